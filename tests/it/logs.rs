//! What the log looks like, and that nobody who is logged can write in it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Home, Process, call, deposit, raw};

fn log(home: &Home) -> String {
    std::fs::read_to_string(home.path().join("log")).unwrap()
}

fn backend(home: &Home) -> String {
    let args = ["token", "issue", "--org", "acme", "--user", "ada", "--role", "backend"];
    let minted = home.pawl(&[]).args(args).output().unwrap();
    String::from_utf8(minted.stdout).unwrap().trim().to_owned()
}

#[test]
fn every_line_is_an_object_and_those_of_a_request_name_it() {
    let home = Home::new();
    let process = home.serve(&[("PAWL_LOG", "debug"), ("PAWL_LOG_FORMAT", "json")]);
    let token = backend(&home);
    let answers = [
        call(&process.url, "POST", "/v1/connections", &token, Some(&deposit("bot", "s"))),
        call(&process.url, "GET", "/v1/connections", &token, None),
        call(&process.url, "GET", "/nowhere", "", None),
    ];
    end(process);
    let mut of_request: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in log(&home).lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for member in ["time", "level", "target", "message"] {
            assert!(object[member].is_string(), "{member}: {line}");
        }
        let time = object["time"].as_str().unwrap();
        assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
        if let Some(id) = object["request_id"].as_str() {
            of_request.entry(id.to_owned()).or_default().push(object.clone());
        }
    }
    for answer in answers {
        let lines = &of_request[answer.header("x-request-id").unwrap()];
        let last = lines.last().unwrap();
        assert_eq!((&last["message"], &last["status"]), (&"request".into(), &answer.status.into()));
        let transactions = lines.iter().filter(|line| line["message"] == "transaction").count();
        assert_eq!(transactions, usize::from(answer.status < 300), "{lines:?}");
    }
    let stored = of_request.values().flatten().find(|line| line["transaction"] == "deposit").unwrap();
    assert_eq!(stored["outcome"], "committed", "logged by a thread of the store");
}

/// Attack on P1: somebody who wants to be read as the vault.
#[test]
fn what_is_sent_forges_no_line() {
    for format in ["text", "json"] {
        let home = Home::new();
        let process = home.serve(&[("PAWL_LOG", "trace"), ("PAWL_LOG_FORMAT", format)]);
        for path in ["/%0a2026-11-25T00:00:00Z%20ERROR%20forged", "/%1b[2J", "/v1/connections?a%0aforged=%1b"]
        {
            raw(
                &process.url,
                "GET",
                path,
                "Accept: a\u{1b}[2J\u{9b}forged\r\nAuthorization: Bearer a\tb\r\n",
                b"",
            );
        }
        raw(
            &process.url,
            "POST",
            "/v1/connections",
            "Content-Type: application/json\r\n",
            b"{\"a\\n\": \"\x1b\"}",
        );
        end(process);
        let log = log(&home);
        assert!(log.lines().count() >= 4, "{log}");
        for line in log.lines() {
            assert!(!line.contains(char::is_control), "{line:?}");
            assert!(!line.contains("forged"), "{line}");
            assert!(line.starts_with(if format == "json" { "{\"" } else { "20" }), "{line}");
        }
    }
}

#[test]
fn a_format_that_is_none_is_refused() {
    let home = Home::new();
    let output = home.pawl(&[("PAWL_LOG_FORMAT", "xml")]).arg("serve").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("PAWL_LOG_FORMAT must be text or json"), "{said}");
}

/// So that all that it logs is written.
fn end(mut process: Process) {
    process.signal(rustix::process::Signal::TERM);
    process.child.wait().unwrap();
}
