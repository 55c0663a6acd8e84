//! Requests that are made to be read in two ways: by a proxy and by the vault, by two readers of JSON, by
//! a person and by the database.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Vault, call, deposit, raw};

/// Every byte that comes back on one connection, until the vault ends it.
fn exchange(url: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The vault may have ended it before all is sent.
    let _ = stream.write_all(request);
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => said.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the connection was left open: {error}"),
        }
    }
    String::from_utf8(said).unwrap()
}

/// Attack on P5.
#[test]
fn a_request_whose_end_can_be_read_in_two_ways_is_refused_and_cut_off() {
    let vault = Vault::start();
    let token = vault.token("acme", "ada", "backend");
    let hidden = format!("GET /v1/connections HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {token}\r\n\r\n");
    let ask = |head: &str, body: &str| {
        let head = format!(
            "POST /v1/connections HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\n{head}\r\n\r\n{body}{hidden}"
        );
        exchange(&vault.url, head.as_bytes())
    };
    let end = "0\r\n\r\n";
    let all = end.len() + hidden.len();
    let mut cases = Vec::new();
    for lengths in ["2\r\nContent-Length: 2", "2\r\nContent-Length: 99", "2, 2", "+2", "-2", "0x2", "2 2", ""]
    {
        cases.push((format!("Content-Length: {lengths}"), "{}"));
    }
    for coding in [
        ": chunked",
        ": CHUNKED",
        ":\tchunked",
        " : chunked",
        ": \u{b}chunked",
        ": xchunked",
        ": \"chunked\"",
        ": chunked, identity",
        ": identity, chunked",
        ": gzip, chunked",
        ": chunked;q=1",
        ": identity",
        ": chunked\r\nTransfer-Encoding: chunked",
        ": chunked\r\nTransfer-Encoding: identity",
        ": chunked\r\n ,",
    ] {
        cases.push((format!("Content-Length: {all}\r\nTransfer-Encoding{coding}"), end));
        cases.push((format!("Transfer-Encoding{coding}\r\nContent-Length: 5"), end));
    }
    cases.push((format!("Content-Length: {all}\r\nX: y\nTransfer-Encoding: chunked"), end));
    cases.push((format!("Content-Length: {all}\r\nX: y\rTransfer-Encoding: chunked"), end));
    for chunk in [
        "0x2\r\n{}\r\n",
        "+2\r\n{}\r\n",
        "2\n{}\n",
        "2;a=\n{}\r\n",
        "10000000000000002\r\n{}\r\n",
        "2\r\n{}x",
    ] {
        cases.push(("Transfer-Encoding: chunked".into(), chunk));
    }
    for (head, body) in cases {
        let said = ask(&head, body);
        // A body that breaks off in its own middle is like a caller who hung up: it may be cut off without an answer.
        let is_cut = said.is_empty() && head == "Transfer-Encoding: chunked";
        assert!(is_cut || said.starts_with("HTTP/1.1 400 "), "{head:?} {body:?}: {said}");
        assert!(said.matches("HTTP/1.1 ").count() <= 1, "{head:?} {body:?}: {said}");
    }
    // what has one end is answered, and what follows it too
    let said = ask("Content-Length: 2", "{}");
    assert!(said.starts_with("HTTP/1.1 422 ") && said.contains("HTTP/1.1 200 "), "{said}");
}

/// Attack on P1 and P10.
#[test]
fn json_that_is_nested_doubled_or_odd_is_refused_and_not_repeated() {
    let vault = Vault::start();
    let head = format!(
        "Authorization: Bearer {}\r\nContent-Type: application/json\r\n",
        vault.token("acme", "ada", "backend")
    );
    let planted = "planted-ODD-9kX4";
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(9_000), close.repeat(9_000));
    let with = |member: &str| {
        format!(
            r#"{{"url": "https://a.example", "database": "d", "username": "u",
                 "credential": {{"kind": "password", "secret": "{planted}"}}, {member}}}"#
        )
    };
    for body in [
        deep("[", "]"),
        deep(r#"{"a":"#, "}"),
        "[".repeat(60_000),
        with(&format!(r#""label": {}"#, deep("[", "]"))),
        with(&format!(r#""{planted}": {}"#, deep("[", "]"))).replace(planted, "x"),
        with(r#""url": "https://b.example""#),
        with(r#""\u0075rl": "https://b.example""#),
        with(r#""credential": {"kind": "api_key", "secret": "x"}"#),
        with("\"label\": \"\\ud800\""),
        with("\"label\": \"a\u{0}b\""),
        with("\"label\": 1e999"),
        with("\"label\": NaN"),
        with("\"label\": 'x'"),
        with("/* */ \"label\": \"x\""),
        with("\"label\": \"x\",").replace(planted, "x"),
        format!("\u{feff}{}", with("\"label\": \"x\"")),
        with(&format!(r#""credential": {{"kind": "password", "secret": "a", "secret": "{planted}"}}"#)),
    ] {
        let answer = raw(&vault.url, "POST", "/v1/connections", &head, body.as_bytes());
        assert!(matches!(answer.status, 400 | 422), "{} to {body:.200}", answer.status);
        answer.problem();
        assert!(!answer.body.contains(planted), "{}", answer.body);
    }
    let mut broken = with("\"label\": \"x\"").into_bytes();
    let place = broken.windows(7).position(|w| w == b"planted").unwrap();
    broken[place] = 0xff;
    assert_eq!(raw(&vault.url, "POST", "/v1/connections", &head, &broken).status, 400);
    let kept = call(&vault.url, "GET", "/v1/connections", &vault.token("acme", "ada", "backend"), None);
    assert_eq!(kept.json["items"], json!([]), "nothing of it was kept, and the vault is there");
}

const NAMES: &[&str] = &[
    "acme",
    "ACME",
    "Acme",
    "acme ",
    " acme",
    "acme.",
    "acme\u{200b}",
    "\u{202e}emca",
    "\u{430}cme",
    "a\u{441}me",
    "acm\u{e9}",
    "acme\u{301}",
    "\u{ff41}cme",
    "acme%",
    "acm_",
    "ac",
    "acmea",
    "*",
    "null",
    "acme' OR '1'='1",
    "acme\\",
    r#"acme"},{"org":"acme"#,
    r#"acme", "user": null}, {"org": "acme"#,
    "acme,acme",
    "acme/ada",
];

/// Attack on P2 and P5.
#[test]
fn names_that_look_alike_or_say_more_than_a_name_are_others() {
    let vault = Vault::start();
    let pairs: Vec<(&str, &str)> = NAMES
        .iter()
        .map(|name| (*name, "ada"))
        .chain(NAMES.iter().map(|name| ("acme", *name)))
        .chain([("acmea", "da"), ("ac", "meada")])
        .collect();
    let ids: Vec<String> = pairs
        .iter()
        .enumerate()
        .map(|(n, (org, user))| vault.deposit_as(org, user, &deposit("bot", &format!("secret {n}"))))
        .collect();
    for (n, (org, user)) in pairs.iter().enumerate() {
        let (backend, worker) = (vault.token(org, user, "backend"), vault.token(org, user, "worker"));
        let listed = vault.call("GET", "/v1/connections?limit=200", &backend, None);
        let listed: Vec<&str> = listed.json["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_str().unwrap())
            .collect();
        assert_eq!(listed, [ids[n].as_str()], "{org:?} {user:?}");
        let lend = |id: &str| {
            let path = format!("/v1/connections/{id}/leases");
            vault.call("POST", &path, &worker, Some(&json!({"purpose": "other"})))
        };
        assert_eq!(lend(&ids[n]).json["credential"]["secret"], format!("secret {n}"));
        // the neighbours in the list are the likeliest to be taken for this one
        for other in [(n + 1) % ids.len(), (n + 7) % ids.len(), 0] {
            if other != n {
                assert_eq!(lend(&ids[other]).status, 404, "{org:?} {user:?} reached {:?}", pairs[other]);
            }
        }
    }
    let mut alike = deposit("bot", "secret");
    alike["url"] = json!("https://\u{430}cme.odoo.com");
    let answer = vault.call("POST", "/v1/connections", &vault.token("shop", "u", "backend"), Some(&alike));
    assert_eq!(
        answer.text("url"),
        "https://xn--cme-5cd.odoo.com",
        "a host that looks like another is shown as it is"
    );
}
