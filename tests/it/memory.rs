//! What is left in the memory of a live vault once a loan was handed back: no secret, and the master key in
//! locked pages alone. Through the real process, over connections that the clients keep open.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Home, Process, call, deposit, everything_under, holds, pawl};
use crate::kept_open::{Client, Wire};
use crate::planted::{Planted, Tokens, every_way, random};
use crate::process_memory::{Copy, copies};
use crate::scene::{self, LOOPBACK, Scene};
use crate::standin::company::Company;
use crate::standin::{PASSWORD, StandIn};
use crate::tls::{Authority, GOOD, lay, shake};

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
