//! What every answer has and every request must keep to, whatever it asks for.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Answer, Home, Process, Vault, call, deposit, raw};

const GUARDS: &[(&str, &str)] = &[
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-resource-policy", "same-origin"),
];
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

fn is_guarded(answer: &Answer, what: &str) {
    for (name, value) in GUARDS {
        assert_eq!(answer.header(name), Some(*value), "{what}");
    }
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{what}");
    assert!(policy == NOTHING || what == "/docs", "{what}: {policy}");
    assert!(answer.head.len() < 1024, "the spaces behind a loan cover so much: {}", answer.head);
}

/// A caller waits for all of it, so that a second packet would be waited for too.
#[test]
fn a_loan_is_one_packet() {
    let vault = Vault::start();
    let path = format!("/v1/connections/{}/leases", vault.deposit("s"));
    let worker = vault.token("acme", "ada", "worker");
    let mut stream = TcpStream::connect(vault.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let body = r#"{"purpose": "other"}"#;
    for _ in 0..20 {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: pawl\r\nAuthorization: Bearer {worker}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut packet = vec![0; 64 * 1024];
        let length = stream.read(&mut packet).unwrap();
        let loan = std::str::from_utf8(&packet[..length]).unwrap();
        let (head, body) = loan.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head} and {} bytes", body.len());
        assert!(body.starts_with('{') && body.ends_with("   "));
    }
}

/// Attack on P1.
#[test]
fn every_answer_tells_a_browser_to_keep_its_hands_off() {
    let origin = format!("https://{0}.{0}.{0}.{0}.example", "o".repeat(58));
    let vault = Vault::start_with(&[("PAWL_TLS", "terminated-on-this-host"), ("PAWL_CORS_ORIGINS", &origin)]);
    let id = vault.deposit("s");
    let (backend, worker) = (vault.token("acme", "ada", "backend"), vault.token("acme", "ada", "worker"));
    let headers = |token: &str| {
        format!("Authorization: Bearer {token}\r\nOrigin: {origin}\r\nContent-Type: application/json\r\n")
    };
    for (status, method, path, token, body) in [
        (200, "GET", "/docs", "", ""),
        (200, "GET", "/livez", "", ""),
        (200, "GET", "/v1/connections", backend.as_str(), ""),
        (201, "POST", &format!("/v1/connections/{id}/leases"), worker.as_str(), r#"{"purpose": "other"}"#),
        (401, "GET", "/v1/connections", "", ""),
        (403, "POST", "/v1/connections", worker.as_str(), &deposit("b", "s").to_string()),
        (404, "GET", "/nowhere", "", ""),
        (405, "DELETE", "/v1/connections", backend.as_str(), ""),
        (415, "POST", "/v1/connections", backend.as_str(), ""),
        (422, "GET", "/v1/leases/x", backend.as_str(), ""),
        (204, "DELETE", &format!("/v1/connections/{id}"), backend.as_str(), ""),
    ] {
        let mut headers = headers(token);
        if status == 415 {
            headers = headers.replace("application/json", "text/plain");
        }
        let answer = raw(&vault.url, method, path, &headers, body.as_bytes());
        assert_eq!(answer.status, status, "{method} {path} {}", answer.body);
        is_guarded(&answer, path);
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=63072000"), "{path}");
    }
}

#[test]
fn the_ops_listener_guards_its_answers_and_plain_http_promises_no_tls() {
    let home = Home::on_sqlite();
    let process = home.serve(&[("PAWL_OPS_LISTEN", "127.0.0.1:0")]);
    for (url, path) in [(&process.ops(), "/metrics"), (&process.ops(), "/nowhere"), (&process.url, "/livez")]
    {
        let answer = call(url, "GET", path, "", None);
        is_guarded(&answer, path);
        assert_eq!(answer.header("strict-transport-security"), None, "{path}");
    }
}

/// Attack on P5.
#[test]
fn a_parameter_that_a_call_does_not_take_is_refused_by_name() {
    let document: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let vault = Vault::start();
    let token = vault.token("acme", "ada", "owner");
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|_| path.starts_with("/v1/")) {
            let method = method.to_uppercase();
            let body = (method != "GET").then(|| deposit("bot", "s"));
            let path = format!("{}?org=other&tenant=eve", path.replace("{id}", "x"));
            let answer = vault.call(&method, &path, &token, body.as_ref());
            assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{method} {path}");
            assert_eq!(answer.errors(), ["org unknown_field", "tenant unknown_field"], "{method} {path}");
            seen += 1;
        }
    }
    assert!(seen >= 13, "{seen}");
    for (path, status) in [("/v1/leases/x?limit=5", 422), ("/v1/leases?limit=5", 200), ("/v1/leases?", 200)] {
        assert_eq!(vault.call("GET", path, &token, None).status, status, "{path}");
    }
}

const NAMED: &str = "https://app.example.com";

fn preflight(vault: &Vault, path: &str, origin: &str) -> Answer {
    let headers = format!(
        "Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n"
    );
    raw(&vault.url, "OPTIONS", path, &headers, b"")
}

fn cors(answer: &Answer) -> Vec<&str> {
    answer.head.lines().filter(|line| line.starts_with("access-control-")).collect()
}

/// Attack on P5.
#[test]
fn a_page_of_another_origin_reads_nothing_unless_it_is_named() {
    let vault = Vault::start();
    let refused = preflight(&vault, "/v1/connections", NAMED);
    assert_eq!((refused.status, refused.problem().as_str()), (405, "method-not-allowed"));
    assert_eq!((cors(&refused), refused.header("vary")), (vec![], None));

    let vault = Vault::start_with(&[("PAWL_CORS_ORIGINS", "http://localhost:3000, https://app.example.com")]);
    let token = vault.token("acme", "ada", "backend");
    let list = |origin: &str| {
        let headers = format!("Authorization: Bearer {token}\r\nOrigin: {origin}\r\n");
        raw(&vault.url, "GET", "/v1/connections", &headers, b"")
    };
    for origin in [
        "https://evil.example",
        "null",
        "*",
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "https://APP.example.com",
    ] {
        let refused = preflight(&vault, "/v1/connections", origin);
        assert_eq!((refused.status, cors(&refused)), (405, vec![]), "{origin}");
        let answer = list(origin);
        assert_eq!((answer.status, cors(&answer)), (200, vec![]), "{origin}");
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    let allowed = preflight(&vault, "/v1/connections", NAMED);
    assert_eq!(allowed.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", NAMED),
        ("access-control-allow-headers", "Authorization, Content-Type, Idempotency-Key"),
        ("access-control-allow-methods", "DELETE, GET, PATCH, POST, PUT"),
    ] {
        assert_eq!(allowed.header(name), Some(value));
    }
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    is_guarded(&allowed, "a preflight");
    assert_eq!(list(NAMED).header("access-control-allow-origin"), Some(NAMED));
    // a preflight opens nothing, and no OPTIONS does without being one
    let unknown = raw(&vault.url, "OPTIONS", "/v1/connections", &format!("Origin: {NAMED}\r\n"), b"");
    assert_eq!(unknown.status, 405);
    // and its pages may read a problem too
    let refused = raw(&vault.url, "GET", "/v1/connections", &format!("Origin: {NAMED}\r\n"), b"");
    assert_eq!((refused.status, refused.problem().as_str()), (401, "unauthorized"));
    for (name, value) in [("access-control-allow-origin", NAMED), ("vary", "Origin")] {
        assert_eq!(refused.header(name), Some(value), "{}", refused.head);
    }
    assert!(refused.header("access-control-expose-headers").unwrap().contains("Retry-After"));
}

/// Attack on P10.
#[test]
fn a_head_that_is_too_large_is_refused_and_its_connection_closed() {
    let vault = Vault::start();
    let header = |n: usize, bytes: usize| format!("X-{n}: {}\r\n", "a".repeat(bytes));
    let many = |count, bytes| (0..count).map(|n| header(n, bytes)).collect::<String>();
    for (headers, status) in [
        (many(80, 10), 200),
        (header(0, 15_000), 200),
        (header(0, 17_000), 431),
        (many(80, 250), 431),
        (many(97, 1), 431),
        (header(0, 200_000), 431),
    ] {
        // Sent as to a connection that stays open.
        let mut stream = TcpStream::connect(vault.url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let head = format!("GET /livez HTTP/1.1\r\nHost: pawl\r\n{headers}");
        let end = if status == 200 { "Connection: close\r\n\r\n" } else { "\r\n" };
        // Closed before all of the largest was read, perhaps.
        let _ = stream.write_all(format!("{head}{end}").as_bytes());
        let mut got = Vec::new();
        let closed = stream.read_to_end(&mut got).map_err(|e| e.kind());
        assert!(matches!(closed, Ok(_) | Err(ErrorKind::ConnectionReset)), "{closed:?}");
        let said = String::from_utf8(got).unwrap();
        let length = headers.len();
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{length}: {said:.200}");
    }
    let problem = raw(&vault.url, "GET", "/livez", &header(0, 17_000), b"");
    assert_eq!((problem.status, problem.problem().as_str()), (431, "head-too-large"));
    let long = raw(&vault.url, "GET", &format!("/livez?{}", "a".repeat(17_000)), "", b"");
    assert_eq!((long.status, long.problem().as_str()), (431, "head-too-large"));
}

/// Attack on P10.
#[test]
fn whoever_takes_nothing_of_what_was_sent_is_cut_off() {
    if std::env::var_os("TEST_LONG").is_none() {
        return;
    }
    let home = Home::new();
    let process: Process = home.serve(&[("PAWL_OPS_LISTEN", "127.0.0.1:0")]);
    let requests = [(&process.url, "/openapi.json"), (&process.ops(), "/metrics")];
    std::thread::scope(|scope| {
        for (url, path) in requests {
            scope.spawn(move || {
                let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
                stream.set_write_timeout(Some(Duration::from_secs(90))).unwrap();
                let request = format!("GET {path} HTTP/1.1\r\nHost: pawl\r\n\r\n");
                // Never reads: both sides' buffers fill up, and then nothing moves.
                let cut = loop {
                    if let Err(error) = stream.write_all(request.as_bytes()) {
                        break error.kind();
                    }
                };
                assert!(matches!(cut, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{path}: {cut:?}");
            });
        }
    });
}
