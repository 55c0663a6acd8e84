//! What is left in the memory of a live vault once a loan was handed back: no secret, and the master key in
//! locked pages alone. Through the real process, over connections that the clients keep open.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Home, Process, call, deposit, everything_under, holds, pawl};
use crate::process_memory::{Copy, copies};
use crate::scene::{self, LOOPBACK, Scene};
use crate::standin::company::Company;
use crate::standin::{PASSWORD, StandIn};
use crate::tls::{Authority, GOOD, lay, shake};

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// A client that keeps its connection for as long as the test runs, however the vault feels about it.
struct Client<'a> {
    connect: &'a dyn Fn() -> Box<dyn Wire>,
    wire: Box<dyn Wire>,
    closed: Vec<Box<dyn Wire>>,
}

impl<'a> Client<'a> {
    fn new(connect: &'a dyn Fn() -> Box<dyn Wire>) -> Self {
        Self { connect, wire: connect(), closed: Vec::new() }
    }

    fn call(&mut self, request: &str, token: &str, more: &str, body: &str) -> (u16, Value) {
        self.send(request, token, more, body);
        self.answer()
    }

    fn send(&mut self, request: &str, token: &str, more: &str, body: &str) {
        let length = body.len();
        let head = format!(
            "{request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{more}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        self.wire.write_all(format!("{head}{body}").as_bytes()).unwrap();
        self.wire.flush().unwrap();
    }

    fn answer(&mut self) -> (u16, Value) {
        let (status, is_closed, json) = answer(&mut self.wire);
        if is_closed {
            // Held on to: what the vault keeps for it must be gone all the same.
            self.closed.push(std::mem::replace(&mut self.wire, (self.connect)()));
        }
        (status, json)
    }
}

fn answer(wire: &mut dyn Wire) -> (u16, bool, Value) {
    let mut got = Vec::new();
    loop {
        let mut some = [0; 4096];
        let n = wire.read(&mut some).unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&some[..n]);
        let text = String::from_utf8_lossy(&got);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if body.len() >= header("content-length:").map_or(0, |length| length.parse().unwrap()) {
            let is_closed = header("connection:") == Some("close");
            return (head[9..12].parse().unwrap(), is_closed, serde_json::from_str(body).unwrap_or_default());
        }
    }
}

/// Secrets that are planted, each by the way it went.
#[derive(Default)]
struct Planted(Vec<(&'static str, String)>);

impl Planted {
    /// 40 characters, as an API key of Odoo's has: it fits into one block of a hash.
    fn plant(&mut self, way: &'static str) -> String {
        let secret = random();
        self.0.push((way, secret.clone()));
        secret
    }
}

fn random() -> String {
    let mut bytes = [0; 20];
    pawl::clock::fill_random(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Tokens {
    backend: String,
    worker: String,
}

impl Tokens {
    fn of(dir: &Path, settings: &[(&str, &str)]) -> Self {
        let issue = |role| {
            let args = ["token", "issue", "--org", "acme", "--user", "ada", "--role", role];
            let out = pawl(dir, settings).args(args).output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).unwrap().trim().to_owned()
        };
        Self { backend: issue("backend"), worker: issue("worker") }
    }
}

/// A loan that the machine was too busy to write within 250 ms is asked for again: no secret was sent.
fn lent(client: &mut Client, tokens: &Tokens, id: &str, (status, loan): (u16, Value), secret: &str) -> Value {
    if status == 503 {
        let again = client.call(&lend(id), &tokens.worker, "", OTHER);
        return lent(client, tokens, id, again, secret);
    }
    assert_eq!((status, loan["credential"]["secret"].as_str()), (201, Some(secret)), "{loan}");
    loan
}

fn lend(id: &str) -> String {
    format!("POST /v1/connections/{id}/leases")
}

const OTHER: &str = r#"{"purpose":"other"}"#;

fn lend_and_hand_back(client: &mut Client, tokens: &Tokens, id: &str, secret: &str) {
    client.send(&lend(id), &tokens.worker, "", OTHER);
    hand_back(client, tokens, id, secret);
}

/// What was sent was a lend.
fn hand_back(client: &mut Client, tokens: &Tokens, id: &str, secret: &str) {
    let first = client.answer();
    let loan = lent(client, tokens, id, first, secret);
    let path = format!("POST /v1/leases/{}/return", loan["id"].as_str().unwrap());
    assert_eq!(client.call(&path, &tokens.worker, "", r#"{"outcome":"ok"}"#).0, 204);
}

/// Each way that a secret comes in or goes out by. The clients, whose connections are still open.
fn every_way<'a>(
    connect: &'a dyn Fn() -> Box<dyn Wire>,
    tokens: &Tokens,
    planted: &mut Planted,
) -> Vec<Client<'a>> {
    let mut clients: Vec<Client> = (0..4).map(|_| Client::new(connect)).collect();
    let [backend, worker, third, wrong] = &mut clients[..] else { panic!() };
    let Tokens { backend: token, .. } = tokens;
    let new = "POST /v1/connections";

    let first = planted.plant("deposit, lend, hand back");
    let (status, made) = backend.call(new, token, "", &deposit("bot", &first).to_string());
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    lend_and_hand_back(worker, tokens, &id, &first);

    let second = planted.plant("replace, lend again");
    let replace = format!("PUT /v1/connections/{id}/credential");
    assert_eq!(backend.call(&replace, token, "", &json!({"secret": second}).to_string()).0, 200);
    lend_and_hand_back(worker, tokens, &id, &second);

    let again = planted.plant("deposit by an Idempotency-Key, twice, and a lend so");
    let key = "Idempotency-Key: once\r\n";
    let body = deposit("again", &again).to_string();
    let (status, made) = third.call(new, token, key, &body);
    assert_eq!(status, 201, "{made}");
    assert_eq!(third.call(new, token, key, &body), (201, made.clone()));
    let made = made["id"].as_str().unwrap();
    for _ in 0..2 {
        let first = worker.call(&lend(made), &tokens.worker, "Idempotency-Key: l\r\n", OTHER);
        lent(worker, tokens, made, first, &again);
    }

    let long = planted.plant("one of 4,000 characters").repeat(100);
    let (status, made) = third.call(new, token, "", &deposit("long", &long).to_string());
    assert_eq!(status, 201, "{made}");
    lend_and_hand_back(worker, tokens, made["id"].as_str().unwrap(), &long);

    let mut refused = deposit("refused", &planted.plant("deposit that is refused (422)"));
    refused["url"] = "http://127.0.0.1".into();
    assert_eq!(backend.call(new, token, "", &refused.to_string()).0, 422);
    let cut = deposit("cut", &planted.plant("deposit that is no JSON (400)")).to_string();
    assert_eq!(wrong.call(new, token, "", &cut[..cut.len() - 1]).0, 400);
    let twice = deposit("again", &planted.plant("a second deposit of the same (409)"));
    assert_eq!(backend.call(new, token, "", &twice.to_string()).0, 409);
    let nobody = deposit("nobody", &planted.plant("deposit without a good token (401)"));
    assert_eq!(wrong.call(new, "x", "", &nobody.to_string()).0, 401);
    let lost = deposit("lost", &planted.plant("deposit to no route (404)"));
    assert_eq!(wrong.call("POST /v1/connection", token, "", &lost.to_string()).0, 404);
    let lease = deposit("lease", &planted.plant("deposit to a lease's route (422)"));
    assert_eq!(
        wrong.call(&format!("POST /v1/connections/{id}/leases"), &tokens.worker, "", &lease.to_string()).0,
        422
    );
    let put = deposit("put", &planted.plant("deposit by the wrong method (405)"));
    assert_eq!(wrong.call("PUT /v1/connections", token, "", &put.to_string()).0, 405);
    let elsewhere = json!({"secret": planted.plant("replace of what is not there (404)")});
    let path = "PUT /v1/connections/conn_01ARZ3NDEKTSV4RRFFQ69G5FAV/credential";
    assert_eq!(backend.call(path, token, "", &elsewhere.to_string()).0, 404);

    let many = planted.plant("64 connections at once");
    let (status, made) = third.call(new, token, "", &deposit("many", &many).to_string());
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap();
    let mut others: Vec<Client> = (0..64).map(|_| Client::new(connect)).collect();
    for other in &mut others {
        other.send(&lend(id), &tokens.worker, "", OTHER);
    }
    for other in &mut others {
        hand_back(other, tokens, id, &many);
    }

    // Nothing comes after these that would write over what they left.
    let mut last: Vec<Client> = (0..16).map(|_| Client::new(connect)).collect();
    for (n, one) in last.iter_mut().enumerate() {
        let body = deposit(&format!("bot {n}"), &planted.plant("the last of many deposits at once"));
        one.send(new, token, "", &body.to_string());
    }
    for one in &mut last {
        let (status, made) = one.answer();
        assert_eq!(status, 201, "{made}");
    }
    clients.extend(others.into_iter().chain(last));
    clients
}

struct MasterKey {
    raw: Vec<u8>,
    text: String,
    /// What HKDF makes of it first, for every key: RFC 5869's PRK.
    extracted: Vec<u8>,
    /// One of the keys made of that, which every request with an Idempotency-Key takes.
    derived: Vec<u8>,
}

impl MasterKey {
    fn of(home: &Home) -> Self {
        use base64::Engine;
        let file: Value = serde_json::from_str(&std::fs::read_to_string(home.key_file()).unwrap()).unwrap();
        let text = file["keys"]["k1"].as_str().unwrap().trim_end_matches('=').to_owned();
        let raw = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&text).unwrap();
        let (extracted, hkdf) = hkdf::Hkdf::<sha2::Sha256>::extract(None, &raw);
        let mut derived = vec![0; 32];
        hkdf.expand(b"pawl/v1/repeat", &mut derived).unwrap();
        Self { raw, text, extracted: extracted.to_vec(), derived }
    }
}

/// How long after the last answer memory is read, as the issue has it.
const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_millis(1950);

/// A vault whose memory is looked at.
struct Subject {
    what: &'static str,
    process: Process,
    tokens: Tokens,
    key: MasterKey,
}

impl Subject {
    fn start(what: &'static str, home: &Home, settings: &[(&str, &str)], under: &[&str]) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this reads the memory of an undumpable process, which is root's alone: run it as root"
        );
        let made = pawl(home.path(), settings).arg("init").output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let process = match under {
            [] => Process::serve(home.path(), settings),
            under => Process::serve_under(under, home.path(), settings),
        };
        let tokens = Tokens::of(home.path(), settings);
        Self { what, process, tokens, key: MasterKey::of(home) }
    }

    /// What should not be there, 50 ms and 2 s after the last answer; the second must be nothing.
    fn must_forget(&self, planted: &Planted) {
        std::thread::sleep(SOON);
        self.look(planted, "50 ms after");
        std::thread::sleep(LATER);
        let left = self.look(planted, "2 s after");
        assert!(left.is_empty(), "2 s after, over {}: {left:#?}", self.what);
    }

    fn look(&self, planted: &Planted, when: &str) -> Vec<String> {
        // The first half: a copy that was cut off counts too.
        let mut needles: Vec<&[u8]> = planted.0.iter().map(|(_, secret)| &secret.as_bytes()[..20]).collect();
        needles.extend([&self.key.raw, self.key.text.as_bytes(), &self.key.extracted, &self.key.derived]);
        let mut found = copies(self.process.child.id(), &needles);
        let mut derived = found.split_off(planted.0.len());
        let raws = derived.remove(0);
        let texts: Vec<Copy> = derived.into_iter().flatten().collect();
        assert!(!raws.is_empty(), "the key that seals is in memory, so this looked at too little");
        let exposed = raws.iter().filter(|copy| !copy.is_locked);
        let exposed: Vec<String> = exposed.map(|copy| format!("key: {}", copy.place)).collect();
        let texts: Vec<String> =
            texts.iter().map(|copy| format!("key as text, or derived from it: {}", copy.place)).collect();
        let each = planted.0.iter().zip(&found);
        let each = each.flat_map(|((way, _), copies)| copies.iter().map(move |copy| (way, copy)));
        let secrets: Vec<String> = each.map(|(way, copy)| format!("{way}: {}", copy.place)).collect();
        eprintln!(
            "{}, {when}: {} copies of {} secrets; of the key {} raw, {} of them in pages that are not locked, {} as text or as what is derived from it",
            self.what,
            secrets.len(),
            planted.0.len(),
            raws.len(),
            exposed.len(),
            texts.len()
        );
        let all: Vec<String> = secrets.into_iter().chain(exposed).chain(texts).collect();
        for line in &all {
            eprintln!("  {line}");
        }
        all
    }

    /// The one secret that may be there is found: of a request that has not come whole.
    fn must_still_hold_what_it_reads(&self, connect: &dyn Fn() -> Box<dyn Wire>) {
        let secret = random();
        let body = deposit("half", &secret).to_string();
        let mut wire = connect();
        write!(
            wire,
            "POST /v1/connections HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.tokens.backend,
            body.len() + 1
        )
        .unwrap();
        wire.flush().unwrap();
        std::thread::sleep(SOON);
        let found = copies(self.process.child.id(), &[secret.as_bytes()]);
        assert!(!found[0].is_empty(), "a secret that is there was not found");
    }

    fn measure(&self, connect: &dyn Fn() -> Box<dyn Wire>) {
        let mut planted = Planted::default();
        let _open = every_way(connect, &self.tokens, &mut planted);
        self.must_forget(&planted);
        self.must_still_hold_what_it_reads(connect);
    }
}

fn plain(process: &Process) -> impl Fn() -> Box<dyn Wire> + use<> {
    let address = process.url.strip_prefix("http://").unwrap().to_owned();
    move || Box::new(TcpStream::connect(&address).unwrap())
}

fn settings_of<'a>(
    home: &'a [(&'static str, String)],
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let home = home.iter().map(|(name, value)| (*name, value.as_str()));
    home.filter(|(name, _)| *name != "PAWL_TLS" || more.is_empty()).chain(more.iter().copied()).collect()
}

/// Attack on P11.
#[test]
fn a_secret_leaves_memory_when_its_request_does() {
    let home = Home::new();
    let subject = Subject::start("HTTP", &home, &settings_of(&home.settings(), &[]), &[]);
    subject.measure(&plain(&subject.process));
}

/// Attack on P11.
#[test]
fn a_secret_leaves_memory_over_tls_too() {
    let home = Home::new();
    let authority = Authority::new();
    lay(home.path(), &authority.vouch("localhost", GOOD));
    let tls = [
        ("PAWL_TLS_CERT", "cert.pem"),
        ("PAWL_TLS_KEY", "key.pem"),
        ("PAWL_PUBLIC_URL", "https://localhost"),
    ];
    let subject = Subject::start("TLS", &home, &settings_of(&home.settings(), &tls), &[]);
    let url = subject.process.url.clone();
    subject.measure(&move || Box::new(shake(&url, &authority.pem).unwrap()));
}

/// Without any capability, and with the limit that most systems set.
const LIMITED: &[&str] =
    &["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "prlimit", "--memlock=8388608:8388608"];

/// Attack on P11. Where not all memory may be locked, the key's pages are, and what was derived is cleaned up.
#[test]
fn a_key_is_in_locked_pages_whatever_the_limit() {
    let home = Home::on_sqlite();
    let subject = Subject::start("the usual limits", &home, &[], LIMITED);
    let connect = plain(&subject.process);
    let mut planted = Planted::default();
    let _open = every_way(&connect, &subject.tokens, &mut planted);
    let status = std::fs::read_to_string(format!("/proc/{}/status", subject.process.child.id())).unwrap();
    let line = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(line("CapEff:"), "0000000000000000", "it has no right to lock at will");
    let locked: u64 = line("VmLck:").strip_suffix(" kB").unwrap().parse().unwrap();
    assert!((1..=64).contains(&locked), "{locked} kB are locked, and not the key's pages alone");
    subject.must_forget(&planted);
}

/// Attack on P11. No signal, no setting and no request makes it readable for others; nothing in the code could.
#[test]
fn nothing_makes_the_process_dumpable() {
    let home = Home::on_sqlite();
    let noisy = [("PAWL_LOG", "trace"), ("RUST_BACKTRACE", "full"), ("RUST_LOG", "trace")];
    let subject = Subject::start("a look by others", &home, &noisy, LIMITED);
    // The same account, as little capable as the vault: a dumpable process shows itself to it.
    let look = |process: u32| {
        let mut others = Command::new("setpriv");
        others.args(["--bounding-set", "-all", "--inh-caps", "-all", "head", "-c1"]);
        let seen = others.arg(format!("/proc/{process}/environ")).output().unwrap();
        (seen.status.success(), String::from_utf8(seen.stderr).unwrap())
    };
    let mut other = Command::new(LIMITED[0]);
    other.args(&LIMITED[1..]).arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut other = other.spawn().unwrap();
    // Once it answers it has become what it was told to start.
    other.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    other.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let seen = look(other.id());
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(seen.0, "{}", seen.1);
    let by_its_owner = |what: &str| {
        let (is_shown, told) = look(subject.process.child.id());
        assert!(!is_shown && told.contains("Permission denied"), "{what}: {told}");
    };
    by_its_owner("at first");
    let connect = plain(&subject.process);
    drop(every_way(&connect, &subject.tokens, &mut Planted::default()));
    by_its_owner("after requests");
    subject.process.signal(rustix::process::Signal::HUP);
    assert_eq!(call(&subject.process.url, "GET", "/livez", "", None).status, 200);
    by_its_owner("after SIGHUP");

    let sources = everything_under(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let said = |word: &str| {
        let files = sources.iter().filter(|(_, text)| holds(text, word));
        files.map(|(path, _)| path.file_name().unwrap().to_str().unwrap()).collect::<Vec<_>>()
    };
    for word in ["set_dumpable_behavior", "DumpableBehavior"] {
        assert_eq!(said(word), ["process.rs"], "{word}");
    }
    assert!(said("DumpableBehavior::Dumpable").is_empty());
    assert!(said("PR_SET_DUMPABLE").is_empty());
}

/// Attack on P11. Of one that runs: the secret itself, which goes with every call, and the call on its way.
#[test]
fn the_worker_keeps_its_secret_once() {
    let secret = random();
    let scene = Scene::new(Company::small(3), PASSWORD);
    scene.odoo.set_password(&secret);
    let backend = scene.vault.token("acme", "ada", "backend");
    let path = format!("/v1/connections/{}/credential", scene.connection);
    let replaced = scene.vault.call("PUT", &path, &backend, Some(&json!({"secret": secret})));
    assert_eq!(replaced.status, 200, "{}", replaced.body);
    scene.odoo.hold(2);
    let mut worker = scene.command("books.db", &[]).spawn().unwrap();
    assert!(scene.odoo.wait_until_held());
    let found = copies(worker.id(), &[secret.as_bytes()]).remove(0);
    scene.odoo.release();
    worker.kill().unwrap();
    worker.wait().unwrap();
    for copy in &found {
        eprintln!("the worker, at its second call: {}", copy.place);
    }
    assert!((1..=2).contains(&found.len()), "{} copies", found.len());
    assert!(found.iter().all(|copy| copy.is_locked), "as root nothing is outside of locked pages");
}

/// Attack on P11. In production no check reaches loopback, so this one is on SQLite whatever the run is on.
#[test]
fn a_secret_leaves_memory_after_a_check() {
    let home = Home::on_sqlite();
    let odoo = StandIn::start(Company::small(1)).unwrap();
    let subject = Subject::start("a check", &home, &[LOOPBACK], &[]);
    let connect = plain(&subject.process);
    let (mut planted, mut backend) = (Planted::default(), Client::new(&connect));
    let secret = planted.plant("deposit and check");
    odoo.set_password(&secret);
    let body = scene::deposit(&odoo, &secret).to_string();
    let token = &subject.tokens.backend;
    let (status, made) = backend.call("POST /v1/connections?check=true", token, "", &body);
    assert_eq!(status, 201, "{made}");
    let path = format!("POST /v1/connections/{}/check", made["id"].as_str().unwrap());
    let (status, check) = backend.call(&path, token, "", "");
    assert_eq!((status, check["ok"].as_bool()), (200, Some(true)), "{check}");
    odoo.set_password("another");
    let (status, check) = backend.call(&path, token, "", "");
    assert_eq!((status, check["ok"].as_bool()), (200, Some(false)), "{check}");
    subject.must_forget(&planted);
}
