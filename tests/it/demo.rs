//! The newcomer's tour, as a process: it ends right, in its own time, and leaves nothing.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{call, program};
use crate::standin::{DATABASE, PASSWORD};

#[test]
fn the_tour_ends_right_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [("TMPDIR", dir.path().to_str().unwrap())];
    let output = program(env!("CARGO_BIN_EXE_pawl-demo"), dir.path(), &settings).output().unwrap();
    let (said, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    assert_eq!(errors, "");
    for line in [
        "  account.move            420           420         0",
        "  Odoo saw 1 login and 20 reads, and nothing else",
        "  the login, which is no secret, is in ",
        "  the password is in none: ",
        "  404 urn:pawl:problem:not-found: there is nothing left to lend",
        "  3  PAWL_TOKEN=$(pawl token issue --org acme --user ada --role worker) \\",
    ] {
        assert!(said.lines().any(|said| said.starts_with(line)), "{line:?} is not in\n{said}");
    }
    for currency in ["EUR", "JPY", "USD"] {
        assert!(said.lines().any(|line| line.starts_with(&format!("  {currency}  "))), "{currency}\n{said}");
    }
    assert!(said.lines().last().unwrap().starts_with("  Done in "), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something is left behind");
}

#[test]
fn kept_it_stays_up_to_play_with_until_it_is_told_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [("TMPDIR", dir.path().to_str().unwrap())];
    let mut child = program(env!("CARGO_BIN_EXE_pawl-demo"), dir.path(), &settings)
        .arg("--keep")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("  folder: ") {
        assert!(out.read_line(&mut said).unwrap() > 0, "it ended: {said}");
    }
    let after = |mark: &str| said.split(mark).nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let (url, token) = (after("pawl listens on ").replace(',', ""), after("  backend="));
    let list = call(&url, "GET", "/v1/connections", &token, None);
    assert_eq!(list.status, 200, "{}", list.body);
    assert_eq!(list.json["items"].as_array().unwrap().len(), 1);
    let folder = after("  folder: ").replace(',', "");
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);

    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::INT).unwrap();
    out.read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert!(std::path::Path::new(&folder).join("data").exists());
}

#[test]
fn the_stand_in_runs_alone_with_as_many_invoices_as_are_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = program(env!("CARGO_BIN_EXE_pawl-demo"), dir.path(), &[])
        .args(["--only-odoo", "--invoices", "100000", "--workers", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut url = String::new();
    out.read_line(&mut url).unwrap();
    let named = serde_json::json!({"fields": ["name"], "order": "id desc", "limit": 1});
    let args = serde_json::json!([DATABASE, 10, PASSWORD, "account.move", "search_read", [[]], named]);
    let body = serde_json::json!({"params": {"service": "object", "method": "execute_kw", "args": args}});
    let newest = call(url.trim(), "POST", "/jsonrpc", "", Some(&body));
    assert_eq!(newest.json["result"][0]["id"], 100_000, "{}", newest.body);

    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
