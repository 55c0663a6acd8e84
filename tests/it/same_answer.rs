//! Another tenant's id is as one that never was: to the letter, and in the time that it takes. Measured where
//! TEST_LONG is set.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::every_call::{calls, example};
use crate::harness::Vault;

/// What was asked with each id, in turns.
const TURNS: usize = 400;

/// One caller's connection, which stays open where the vault lets it.
struct Line {
    address: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Line {
    /// The answer's status and body without what every answer has of its own, and how long it took.
    fn ask(&mut self, method: &str, path: &str, token: &str, body: &str) -> (String, Duration) {
        let address = &self.address;
        let stream = self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            BufReader::new(stream)
        });
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: pawl\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let begun = Instant::now();
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut head, mut length, mut closes) = (String::new(), 0, false);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            closes |= lower.trim() == "connection: close";
            if line == "\r\n" || line.is_empty() {
                break;
            }
            if head.is_empty() {
                head = line;
            }
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).unwrap();
        let took = begun.elapsed();
        if closes {
            self.stream = None;
        }
        let mut answer: Value = serde_json::from_slice(&answer).unwrap_or(Value::Null);
        if let Some(answer) = answer.as_object_mut() {
            answer.remove("request_id");
        }
        (format!("{} {answer}", head.trim()), took)
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Attack on P5.
#[test]
fn another_tenants_id_answers_as_one_that_never_was_also_in_time() {
    let vault = Vault::start();
    let theirs = vault.deposit_as("other", "eve", &crate::harness::deposit("bot", "s"));
    let colleagues = vault.deposit_as("acme", "bob", &crate::harness::deposit("bot", "s"));
    let lend = |org: &str, user: &str, id: &str| {
        let worker = vault.token(org, user, "worker");
        let path = format!("/v1/connections/{id}/leases");
        vault.call("POST", &path, &worker, Some(&json!({"purpose": "other"}))).text("id")
    };
    let leases = [lend("other", "eve", &theirs), lend("acme", "bob", &colleagues)];
    let (no_connection, no_lease) = ("conn_01ARZ3NDEKTSV4RRFFQ69G5FAV", "lease_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let (backend, worker) = (vault.token("acme", "ada", "backend"), vault.token("acme", "ada", "worker"));
    let connections = [no_connection, &theirs, &colleagues];
    let leases = [no_lease, &leases[0], &leases[1]];
    let is_long = std::env::var_os("TEST_LONG").is_some();
    let address = vault.url.strip_prefix("http://").unwrap().to_owned();
    let calls: Vec<_> = calls().into_iter().filter(|call| call.path.contains("{id}")).collect();
    let lend = calls.iter().find(|call| call.operation == "lend_credential").unwrap();
    let examples = calls.iter().map(|call| (call, example(call)));
    // An exclusive lease too.
    for (call, body) in examples.chain([(lend, Some(json!({"purpose": "sync"})))]) {
        let (method, path) = (call.method.as_str(), call.path.as_str());
        let is_workers = path.contains("lease") || path.ends_with("/read");
        let token = if is_workers { &worker } else { &backend };
        let ids = if path.starts_with("/v1/leases") { leases } else { connections };
        let body = &body.map(|body| body.to_string()).unwrap_or_default();
        let mut line = Line { address: address.clone(), stream: None };
        let mut times = [const { Vec::new() }; 3];
        for turn in 0..if is_long { TURNS } else { 2 } {
            let mut answers = Vec::new();
            // In another order each time, so that none is always the first.
            for n in 0..ids.len() {
                let of = (n + turn) % ids.len();
                let (answer, took) = line.ask(method, &path.replace("{id}", ids[of]), token, body);
                times[of].push(took);
                answers.push(answer);
            }
            assert!(answers[0].starts_with("HTTP/1.1 404"), "{method} {path}: {answers:?}");
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{method} {path}: {answers:?}");
        }
        if is_long {
            let [never, theirs, colleagues] = times.map(median);
            eprintln!(
                "{method} {path} {body}: {never:?} never, {theirs:?} another org's, {colleagues:?} a colleague's"
            );
            for foreign in [theirs, colleagues] {
                let (least, most) = (never.min(foreign), never.max(foreign));
                assert!(
                    most < least * 3 / 2 + Duration::from_micros(50),
                    "{method} {path}: {least:?} {most:?}"
                );
            }
        }
    }
    // Nothing of them was touched.
    assert_eq!(vault.home.sql().count("connections"), 2);
}
