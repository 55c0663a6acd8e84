//! Answers as large as they may be, of as many hostile Odoos at once as there are places: what the vault holds of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, OnceLock};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::harness::{Home, Vault, call, until};
use crate::scene::LOOPBACK;

/// The most that an answer may have.
const MOST: usize = 8 * 1024 * 1024;

/// An Odoo 17 that speaks JSON-RPC, and answers a read with `result`, the rest of it once `gate` has opened. Ends with its test's process.
pub struct Large {
    pub url: String,
}

/// Comes back once the rest of an answer may go.
pub type Gate = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone)]
pub struct Said {
    pub result: Arc<str>,
    pub is_packed: bool,
    /// So much of the answer to a read comes before it waits for `gate`.
    pub at_once: usize,
    pub gate: Gate,
}

impl Large {
    pub fn start(said: &Said) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (url, said) = (format!("http://{}", listener.local_addr().unwrap()), said.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let said = said.clone();
                std::thread::spawn(move || speak(stream, &said));
            }
        });
        Self { url }
    }
}

/// Until the vault hangs up.
fn speak(mut stream: TcpStream, said: &Said) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let is_rpc = line.starts_with("POST /jsonrpc ");
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let of_length = line.to_lowercase().strip_prefix("content-length:").map(str::to_owned);
            length = of_length.map_or(length, |it| it.trim().parse().unwrap());
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let asked: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let (is_large, result) = match asked["params"]["method"].as_str() {
            Some("version") => (false, r#"{"server_version_info": [17, 0, 0, "final", 0, ""]}"#),
            Some("authenticate") => (false, "7"),
            Some("execute_kw") => (true, &*said.result),
            _ => (false, ""),
        };
        let status = if is_rpc { "200 OK" } else { "404 Not Found" };
        let body = format!(r#"{{"jsonrpc": "2.0", "id": {}, "result": {result}}}"#, asked["id"]).into_bytes();
        let (coding, body) = match is_large && said.is_packed {
            true => ("Content-Encoding: gzip\r\n", packed(&body)),
            false => ("", body),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{coding}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        let (first, rest) = body.split_at(if is_large { said.at_once.min(body.len()) } else { body.len() });
        stream.write_all(first).ok()?;
        if is_large {
            (said.gate)();
        }
        stream.write_all(rest).ok()?;
    }
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(body).unwrap();
    packer.finish().unwrap()
}

/// One record whose name is `unit` for as long as an answer may be.
pub fn text_of(unit: &str) -> Arc<str> {
    format!(r#"[{{"id": 1, "name": "{}"}}]"#, unit.repeat((MOST - 200) / unit.len())).into()
}

/// Asks for records, and takes the answer whenever it comes: a test build is slow to look through so much.
fn ask(url: &str, id: &str, token: &str) -> u16 {
    let body = json!({"model": "res.partner", "method": "search_read", "fields": ["name"], "limit": 2000});
    let body = body.to_string();
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
    let request = format!(
        "POST /v1/connections/{id}/read HTTP/1.1\r\nHost: pawl\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap()
}

/// On a busy machine its record may be late, and not for ever.
fn answered(ask: impl Fn() -> u16) -> u16 {
    (0..100).map(|_| ask()).find(|status| *status != 503).unwrap_or(503)
}

/// Attack on P4.
#[test]
fn an_org_whose_large_answers_never_end_holds_its_own_part_of_the_room() {
    let vault = Vault::start_with(&[LOOPBACK]);
    let text: Arc<str> = format!(r#"[{{"id": 1, "name": "{}"}}]"#, "x".repeat(600_000)).into();
    let odoo = |at_once: usize, gate: Gate| {
        Large::start(&Said { result: text.clone(), is_packed: false, at_once, gate })
    };
    let end = Arc::new(OnceLock::new());
    let never = end.clone();
    let (endless, good) = (odoo(400_000, Arc::new(move || *never.wait())), odoo(0, Arc::new(|| ())));
    let at = |org: &str, odoo: &Large, login: &str| {
        let body = json!({"url": odoo.url, "database": "d", "username": login,
                          "credential": {"kind": "password", "secret": "hunter2-hunter2"}});
        (vault.deposit_as(org, "ada", &body), org.to_owned())
    };
    let [bad, of_acme, of_other] =
        [at("acme", &endless, "bot"), at("acme", &good, "bot"), at("other", &good, "bot")];
    let refused = AtomicUsize::new(0);
    let read = &|(id, org): &(String, String)| {
        let status = answered(|| ask(&vault.url, id, &vault.token(org, "ada", "worker")));
        refused.fetch_add(usize::from(status == 429), SeqCst);
        status
    };
    std::thread::scope(|threads| {
        // Until they have their places, others of their org may be before them, and time passes for them too.
        let hold = || (0..).map(|_| read(&bad)).find(|status| *status != 429);
        let held = [(); 2].map(|()| threads.spawn(hold));
        let mut thirds = 0;
        until("no room for a third", || {
            let (tell, told) = std::sync::mpsc::channel();
            let of_acme = &of_acme;
            threads.spawn(move || tell.send(read(of_acme)));
            let status = loop {
                match told.recv_timeout(Duration::from_millis(300)) {
                    Ok(status) => break status,
                    Err(_) => vault.clock.advance(Duration::from_secs(20)),
                }
            };
            assert!([200, 429].contains(&status), "{status}");
            thirds += usize::from(status == 429);
            thirds == 3
        });
        assert_eq!(read(&of_other), 200, "another org's go on");
        end.set(()).unwrap();
        let ends = held.map(|held| held.join().unwrap());
        assert_eq!((ends, read(&of_acme)), ([Some(200); 2], 200), "it was not the host's fault");
    });
    let told = vault
        .trail("acme")
        .iter()
        .map(|event| event["event"]["status_detail"].to_string())
        .collect::<Vec<_>>();
    assert_eq!(
        told.iter().filter(|how| *how == "\"too-many-reads\"").count(),
        refused.load(SeqCst),
        "{told:?}"
    );
}

/// On SQLite whatever this run is on: a vault of production lets nobody's Odoo be on loopback.
/// Attack on P4.
#[test]
fn as_many_hostile_answers_as_there_are_places_fit_into_a_small_container() {
    if std::env::var_os("TEST_LONG").is_none() {
        return;
    }
    const READS: usize = 64;
    let many_texts: Vec<String> = (1..=2_000)
        .map(|id| format!(r#"{{"id": {id}, "name": "{}"}}"#, "\\u0026lt;%41".repeat(340)))
        .collect();
    let cases = [
        ("a text dense with escapes", text_of(r"\u0026#x41;%2541\n"), false),
        ("a plain text", text_of("x"), false),
        ("many texts", format!("[{}]", many_texts.join(",")).into(), false),
        ("a text dense with escapes, packed", text_of(r"\u0026#x41;%2541\n"), true),
    ];
    for (what, result, is_packed) in cases {
        let all = Barrier::new(READS);
        let gate: Gate = Arc::new(move || {
            all.wait();
        });
        let said = Said { result, is_packed, at_once: 0, gate };
        let odoos: Vec<Large> = (0..8).map(|_| Large::start(&said)).collect();
        let home = Home::on_sqlite();
        let process = home.serve(&[LOOPBACK]);
        let token = |org: &str, role: &str| home.mint(&["--org", org, "--user", "ada", "--role", role]);
        let connections: Vec<(String, String)> = (0..READS)
            .map(|n| {
                let org = format!("o{n}");
                let body = json!({"url": odoos[n % 8].url, "database": "d", "username": "bot",
                                  "credential": {"kind": "password", "secret": "hunter2-hunter2"}});
                let made =
                    call(&process.url, "POST", "/v1/connections", &token(&org, "backend"), Some(&body));
                (made.text("id"), token(&org, "worker"))
            })
            .collect();
        let before = process.kilobytes("VmHWM:");
        let answers: Vec<u16> = std::thread::scope(|threads| {
            let ask = |(id, token): &(String, String)| {
                let (url, id, token) = (process.url.clone(), id.clone(), token.clone());
                threads.spawn(move || answered(|| ask(&url, &id, &token)))
            };
            let asked: Vec<_> = connections.iter().map(ask).collect();
            asked.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let answered = answers.iter().filter(|status| **status == 200).count();
        let peak = process.kilobytes("VmHWM:");
        eprintln!(
            "{what}: {} MiB at most, {} before; {answered} of {READS} answered",
            peak / 1024,
            before / 1024
        );
        assert!(answers.iter().all(|status| [200, 429].contains(status)), "{what}: {answers:?}");
        assert!(peak < 256 * 1024, "{what}: {peak} kB");
    }
}
