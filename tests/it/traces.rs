//! Which trace a request belongs to, who hears of it, and what a collector is sent.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::{Home, Process, raw};
use crate::scene::Scene;
use crate::standin::PASSWORD;
use crate::standin::company::Company;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

fn token(home: &Home, role: &str) -> String {
    let args = ["token", "issue", "--org", "planted-ORG", "--user", "planted-USER", "--role", role];
    let minted = home.pawl(&[]).args(args).output().unwrap();
    String::from_utf8(minted.stdout).unwrap().trim().to_owned()
}

fn end(mut process: Process) {
    process.signal(rustix::process::Signal::TERM);
    assert!(process.child.wait().unwrap().success());
}

fn log(home: &Home) -> Vec<Value> {
    let text = std::fs::read_to_string(home.path().join("log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Attack on P1: a caller who writes what the trace is to be.
#[test]
fn a_callers_trace_is_gone_on_with_in_every_line_and_nothing_else_is_believed() {
    let home = Home::new();
    let process = home.serve(&[("PAWL_LOG", "debug"), ("PAWL_LOG_FORMAT", "json")]);
    let backend = token(&home, "backend");
    let valid = format!("traceparent: {}\r\n", traceparent());
    let id = |traced: &str| {
        let head = format!("Authorization: Bearer {backend}\r\ntracestate: planted=1\r\n{traced}");
        let answer = raw(&process.url, "GET", "/v1/connections", &head, b"");
        assert_eq!(answer.status, 200);
        assert!(answer.header("traceparent").is_none() && answer.header("tracestate").is_none());
        answer.header("x-request-id").unwrap().to_owned()
    };
    let gone_on = id(&valid);
    let begun = [
        "",
        &valid.repeat(2),
        &valid.to_uppercase(),
        &valid.replace("00-4", "ff-4"),
        &valid.replace("4bf9", "planted"),
    ];
    let begun = begun.map(id);
    end(process);
    let lines = log(&home);
    let mut traces = BTreeSet::new();
    for (request, is_callers) in begun.iter().map(|id| (id, false)).chain([(&gone_on, true)]) {
        let own: Vec<_> = lines.iter().filter(|line| line["request_id"] == **request).collect();
        assert!(own.len() >= 2 && own.iter().any(|line| line["transaction"] == "list"), "{own:?}");
        for line in &own {
            assert_eq!((&line["trace_id"], &line["span_id"]), (&own[0]["trace_id"], &own[0]["span_id"]));
            assert_eq!(line["parent_id"] == PARENT, is_callers, "{line}");
            assert_eq!(line["span_id"].as_str().unwrap().len(), 16);
        }
        let trace = own[0]["trace_id"].as_str().unwrap();
        assert_eq!(trace == TRACE, is_callers);
        assert!(trace.len() == 32 && traces.insert(trace.to_owned()), "one of its own");
    }
    assert!(!format!("{lines:?}").contains("planted"));
}

/// What passes on the way to `upstream`.
struct Wiretap {
    address: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Wiretap {
    fn to(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, heard) = (listener.local_addr().unwrap().to_string(), Arc::<Mutex<Vec<u8>>>::default());
        let tape = heard.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let (mut far, tape) = (TcpStream::connect(&upstream).unwrap(), tape.clone());
                let (mut back, mut answers) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
                std::thread::spawn(move || pass(near, &mut far, &tape));
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).to_lowercase()
    }
}

fn pass(mut near: TcpStream, far: &mut TcpStream, tape: &Mutex<Vec<u8>>) {
    let mut some = [0; 8192];
    while let Ok(n @ 1..) = near.read(&mut some) {
        tape.lock().unwrap().extend_from_slice(&some[..n]);
        if far.write_all(&some[..n]).is_err() {
            return;
        }
    }
    let _ = far.shutdown(std::net::Shutdown::Write);
}

/// Attack on P1: a customer's Odoo that wants to know which runs are one.
#[test]
fn a_run_is_one_trace_of_which_odoo_hears_nothing() {
    let mut scene = Scene::new(Company::sized(1, 3, 3), PASSWORD);
    let to_vault = Wiretap::to(scene.vault.url.strip_prefix("http://").unwrap().to_owned());
    let to_odoo = Wiretap::to(scene.odoo.url().strip_prefix("http://").unwrap().to_owned());
    let mut there = crate::scene::deposit(&scene.odoo, PASSWORD);
    there["url"] = json!(format!("http://{}", to_odoo.address));
    scene.connection = scene.vault.deposit_as("acme", "ada", &there);
    scene.vault_url = format!("http://{}", to_vault.address);
    let mut command = scene.command("books.db", &["--no-wait"]);
    let output = command.env("PAWL_LOG", "info").env("PAWL_LOG_FORMAT", "json").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");

    let vault_heard = to_vault.heard();
    let headers = vault_heard.lines().filter_map(|line| line.strip_prefix("traceparent: 00-"));
    let parts: Vec<Vec<&str>> = headers.map(|header| header.split('-').collect()).collect();
    assert!(parts.len() >= 2, "a lend and a return at least: {vault_heard}");
    assert!(parts.iter().all(|part| part[0] == parts[0][0] && part[2] == "01"), "{parts:?}");
    assert_eq!(parts.iter().map(|part| part[1]).collect::<BTreeSet<_>>().len(), parts.len(), "{parts:?}");
    let lines: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(
        lines.iter().any(|line| line["message"] == "borrowed" && line["trace_id"] == parts[0][0]),
        "{said}"
    );

    let odoo_heard = to_odoo.heard();
    assert!(odoo_heard.contains("search_read"));
    for never in ["traceparent", "tracestate", "x-request-id", parts[0][0]] {
        assert!(!odoo_heard.contains(never), "{never}");
    }
}

#[test]
fn a_collector_is_refused_that_others_could_hear() {
    let home = Home::new();
    for (address, complaint) in [
        ("http://collector.example:4318", "plain http to a host that is not loopback"),
        ("http://planted@127.0.0.1:4318", "must be http(s)://"),
        ("grpc://127.0.0.1:4317", "must be http(s)://"),
        ("https://collector.example/?key=planted", "must be http(s)://"),
        #[cfg(not(feature = "otlp"))]
        ("http://127.0.0.1:4318", "cargo build --release --features otlp"),
    ] {
        let output = home.pawl(&[("PAWL_OTLP_ENDPOINT", address)]).arg("serve").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("PAWL_OTLP_ENDPOINT"), "{address}: {said}");
        assert!(said.contains(complaint) && !said.contains("planted"), "{address}: {said}");
    }
}

#[cfg(feature = "otlp")]
mod otlp {
    use std::io::{BufRead, BufReader};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::harness::{call, deposit, holds};

    /// A collector that takes everything.
    fn collector() -> (String, Arc<Mutex<Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (url, got) =
            (format!("http://{}", listener.local_addr().unwrap()), Arc::<Mutex<Vec<u8>>>::default());
        let tape = got.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let tape = tape.clone();
                std::thread::spawn(move || take(stream, &tape));
            }
        });
        (url, got)
    }

    fn take(mut stream: TcpStream, tape: &Mutex<Vec<u8>>) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let (mut head, mut length) = (String::new(), 0);
            while reader.read_line(&mut head).is_ok_and(|n| n > 2) {
                let last = head.lines().last().unwrap().to_lowercase();
                if let Some(value) = last.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
            }
            if head.is_empty() {
                return;
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            tape.lock().unwrap().extend([head.as_bytes(), &body].concat());
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn found(got: &[u8], what: &[u8]) -> bool {
        got.windows(what.len()).any(|window| window == what)
    }

    /// Attack on P1: whoever reads the spans.
    #[test]
    fn spans_reach_the_store_and_tell_on_nobody() {
        let (url, got) = collector();
        let home = Home::new();
        let process = home.serve(&[("PAWL_OTLP_ENDPOINT", &url), ("PAWL_LOG", "error")]);
        let (backend, worker) = (token(&home, "backend"), token(&home, "worker"));
        let traced = |token: &str, flags: &str, path: &str, body: &Value| {
            let traceparent = traceparent().replace("-01", flags);
            let head = format!(
                "Authorization: Bearer {token}\r\nContent-Type: application/json\r\ntraceparent: {traceparent}\r\n"
            );
            raw(&process.url, "POST", path, &head, body.to_string().as_bytes())
        };
        let id =
            traced(&backend, "-01", "/v1/connections", &deposit("planted-BOT", "planted-SECRET")).text("id");
        let path = format!("/v1/connections/{id}/leases");
        let lent = traced(&worker, "-01", &path, &json!({"purpose": "sync", "run_id": "planted-RUN"}));
        assert_eq!(lent.status, 201, "{}", lent.body);
        traced(&worker, "-01", &path, &json!({"purpose": "planted-PURPOSE"}));
        raw(&process.url, "GET", "/planted-PATH?planted-QUERY", "", b"");
        let unsampled = traced(&worker, "-00", "/v1/leases/lease_0/renew", &json!({}));
        end(process);
        let got = got.lock().unwrap().clone();
        assert!(holds(&got, "POST /v1/traces HTTP/1.1"));
        for part in [
            "POST /v1/connections/{id}/leases",
            "GET no route",
            "deposit",
            "lend",
            "invalid",
            lent.header("x-request-id").unwrap(),
        ] {
            assert!(holds(&got, part), "{part}: {}", String::from_utf8_lossy(&got));
        }
        assert!(found(&got, &bytes(TRACE)) && found(&got, &bytes(PARENT)));
        assert!(!holds(&got, unsampled.header("x-request-id").unwrap()), "nobody wanted that one");
        for never in ["planted", "acme", "odoo", &id, &lent.text("id"), &backend, &worker, "127.0.0.1/v1"] {
            assert!(!holds(&got, never), "{never}: {}", String::from_utf8_lossy(&got));
        }
    }

    /// Attack on P10: a collector that is away, or takes the connection and says nothing.
    #[test]
    fn a_collector_that_hangs_or_refuses_keeps_nobody_waiting() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for address in [silent.local_addr().unwrap(), gone] {
            let home = Home::new();
            let process = home.serve(&[("PAWL_OTLP_ENDPOINT", &format!("http://{address}"))]);
            // more than the queue holds
            for _ in 0..1_500 {
                assert_eq!(call(&process.url, "GET", "/readyz", "", None).status, 200);
            }
            let log = || std::fs::read_to_string(home.path().join("log")).unwrap();
            let began = Instant::now();
            while !log().contains("takes no spans") {
                assert!(began.elapsed() < Duration::from_secs(30), "never said");
                std::thread::yield_now();
            }
            let began = Instant::now();
            end(process);
            assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        }
    }
}
