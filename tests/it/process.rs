//! `pawl` as people start it: what it makes, what it prints, how it stops and what it refuses.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use rustix::process::Signal;
use serde_json::json;

use crate::frozen::UNCAPPED;
use crate::harness::{Home, Process, call, deposit, everything_under, pawl, raw};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn run(dir: &Path, settings: &[(&str, &str)], args: &[&str]) -> (i32, String, String) {
    said(pawl(dir, settings).args(args))
}

fn said(command: &mut std::process::Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Attack on P1, P3, P7 and P11.
#[test]
fn it_serves_with_no_configuration_and_says_what_that_means() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &[]);
    let all = process.greeting.join("\n");
    assert_eq!(process.greeting.len(), 5);
    for part in
        ["listens on http://127.0.0.1:", "pawl-data/pawl.db", "pawl token issue", "embedded, the default"]
    {
        assert!(all.contains(part), "{part}: {all}");
    }
    let data = dir.path().join("pawl-data");
    assert_eq!(mode(&data), 0o700);
    for (file, _) in everything_under(&data) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    assert_eq!(call(&process.url, "GET", "/readyz", "", None).status, 200);
}

/// Attack on P10.
#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let home = Home::new();
    let first = home.serve(&[]);
    let token = |role: &str| {
        let args = ["token", "issue", "--org", "o", "--user", "u", "--role", role, "--ttl", "5m"];
        said(home.pawl(&[]).args(args)).1.trim().to_owned()
    };
    let (backend, worker) = (token("backend"), token("worker"));
    let mut kept = Vec::new();
    for n in 0..20 {
        let body = deposit(&format!("bot{n}"), &format!("secret {n}"));
        kept.push(call(&first.url, "POST", "/v1/connections", &backend, Some(&body)).text("id"));
    }
    call(&first.url, "DELETE", &format!("/v1/connections/{}", kept[0]), &backend, None);
    drop(first);

    let second = home.serve(&[]);
    for (n, id) in kept.iter().enumerate() {
        let path = format!("/v1/connections/{id}/leases");
        let loan = call(&second.url, "POST", &path, &worker, Some(&json!({"purpose": "other"})));
        match n {
            0 => assert_eq!(loan.status, 404),
            _ => assert_eq!(loan.json["credential"]["secret"], format!("secret {n}")),
        }
    }
}

/// Killed while a credential is being replaced, and asked again with the same key: done once, whichever
/// side of the commit the kill fell on.
/// Attack on P1, P8 and P10.
#[test]
fn a_change_that_a_kill_cut_off_is_done_once_by_its_repeat() {
    let home = Home::new();
    let mut process = home.serve(&[]);
    let token = |role: &str| {
        let args = ["token", "issue", "--org", "o", "--user", "u", "--role", role, "--ttl", "5m"];
        said(home.pawl(&[]).args(args)).1.trim().to_owned()
    };
    let (backend, worker) = (token("backend"), token("worker"));
    let id =
        call(&process.url, "POST", "/v1/connections", &backend, Some(&deposit("bot", "secret 1"))).text("id");
    let path = format!("/v1/connections/{id}/credential");
    for revision in 2..8 {
        let body = json!({"secret": format!("secret {revision}")}).to_string();
        let head = format!(
            "Authorization: Bearer {backend}\r\nContent-Type: application/json\r\nIdempotency-Key: {revision}\r\n"
        );
        let mut stream = TcpStream::connect(process.url.strip_prefix("http://").unwrap()).unwrap();
        let length = body.len();
        let request =
            format!("PUT {path} HTTP/1.1\r\nHost: p\r\nContent-Length: {length}\r\n{head}\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        if revision % 2 == 0 {
            // it has begun to answer: the change is durable
            assert_eq!(stream.peek(&mut [0]).unwrap(), 1);
        }
        drop(process);
        process = home.serve(&[]);
        let again = raw(&process.url, "PUT", &path, &head, body.as_bytes());
        assert_eq!(again.status, 200, "{}", again.body);
        assert_eq!(again.json["credential"]["revision"], revision);
        let lend = format!("/v1/connections/{id}/leases");
        let loan = call(&process.url, "POST", &lend, &worker, Some(&json!({"purpose": "other"})));
        assert_eq!(loan.json["credential"]["secret"], format!("secret {revision}"));
    }
}

/// Attack on P10.
#[test]
fn on_sigterm_open_requests_finish_and_then_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &[]);
    let args = ["token", "issue", "--org", "o", "--user", "u", "--role", "backend"];
    let backend = run(dir.path(), &[], &args).1.trim().to_owned();
    let body = deposit("bot", "secret").to_string();
    let mut stream = TcpStream::connect(process.url.strip_prefix("http://").unwrap()).unwrap();
    write!(
        stream,
        "POST /v1/connections HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\nAuthorization: Bearer {backend}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    // the server has begun this request: it asks for the body
    let mut asked = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100");
    process.signal(Signal::TERM);
    // it takes no new connection any more
    let address = process.url.strip_prefix("http://").unwrap().to_owned();
    while TcpStream::connect(&address).is_ok() {
        std::thread::yield_now();
    }
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.contains("HTTP/1.1 201"), "{answer}");
    assert!(process.child.wait().unwrap().success());
}

/// Attack on P11.
#[test]
fn its_memory_is_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.child.id())).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{cores}");

    // The memory of an undumpable process belongs to root, whoever runs it.
    if !rustix::process::geteuid().is_root() {
        let owner = std::os::unix::fs::MetadataExt::uid(
            &std::fs::metadata(format!("/proc/{}/mem", process.child.id())).unwrap(),
        );
        assert_eq!(owner, 0);
        return;
    }
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let copy = home.path().join("pawl");
    // By another process: what this one holds open to write, a test beside it hands down to its children,
    // and a program that somebody writes to can't be run.
    let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_pawl")).arg(&copy).status();
    assert!(copied.unwrap().success());
    let mut command = crate::harness::program(copy.to_str().unwrap(), home.path(), &[]);
    let mut child = command
        .env("PAWL_LISTEN", "127.0.0.1:0")
        .arg("serve")
        .uid(65534)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let out = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
    let memory = std::fs::metadata(format!("/proc/{}/mem", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.contains("listens"), "{line}");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&memory), 0, "nobody's process, root's memory");
}

/// Attack on P3 and P9.
#[test]
fn a_wrong_or_missing_key_stops_the_start_and_names_fingerprints_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(Process::serve(dir.path(), &[]));
    let key_file = dir.path().join("pawl-data/master.json");
    let right = std::fs::read_to_string(&key_file).unwrap();
    let listen = [("PAWL_LISTEN", "127.0.0.1:0")];

    let elsewhere = tempfile::tempdir().unwrap();
    drop(Process::serve(elsewhere.path(), &[]));
    let wrong = std::fs::read_to_string(elsewhere.path().join("pawl-data/master.json")).unwrap();
    std::fs::write(&key_file, &wrong).unwrap();
    for args in
        [&["serve"][..], &["token", "issue", "--org", "o", "--user", "u", "--role", "worker"], &["doctor"]]
    {
        let (code, out, err) = run(dir.path(), &listen, args);
        assert_eq!(code, 1, "{args:?}");
        let said = format!("{out}{err}");
        assert!(said.contains("wrong key: the database was sealed under k1 with fingerprint "), "{said}");
        assert!(said.contains("held: k1="), "{said}");
        for file in [&right, &wrong] {
            let key = serde_json::from_str::<serde_json::Value>(file).unwrap()["keys"]["k1"].clone();
            assert!(!said.contains(key.as_str().unwrap()));
        }
    }
    std::fs::remove_file(&key_file).unwrap();
    let (code, _, err) = run(dir.path(), &listen, &["serve"]);
    assert!(code == 1 && err.contains("there is no key file") && err.contains("fingerprint"), "{err}");
    assert!(!key_file.exists(), "no key is made in the place of a lost one");

    std::fs::write(&key_file, &right).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let (code, _, err) = run(dir.path(), &listen, &["serve"]);
    assert!(code == 1 && err.contains("chmod 600"), "{err}");
    for damaged in
        ["", "{}", "{\"current\":\"k1\",\"keys\":{}}", "{\"current\":\"k1\",\"keys\":{\"k1\":\"c2hvcnQ=\"}}"]
    {
        std::fs::write(&key_file, damaged).unwrap();
        std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (code, _, err) = run(dir.path(), &listen, &["serve"]);
        assert!(code == 1 && err.contains("is not a key file"), "{damaged}: {err}");
    }
    std::fs::write(&key_file, &right).unwrap();
    drop(Process::serve(dir.path(), &[]));
}

/// Attack on P3.
#[test]
fn a_damaged_issuer_stops_the_start() {
    let home = Home::new();
    drop(home.serve(&[]));
    home.sql().run("UPDATE issuer_keys SET id = 'iss_01ARZ3NDEKTSV4RRFFQ69G5FAV'");
    let (code, _, err) = said(home.pawl(&[("PAWL_LISTEN", "127.0.0.1:0")]).arg("serve"));
    assert!(code == 1 && err.contains("issuer's key in the database does not open"), "{err}");
}

/// Attack on P5.
#[test]
fn a_token_is_minted_for_four_roles_and_is_on_record() {
    let home = Home::new();
    let issue = |rest: &[&str]| {
        let mut args = vec!["token", "issue", "--org", "o"];
        args.extend(rest);
        said(home.pawl(&[]).args(args))
    };
    let (code, out, err) = issue(&["--user", "u", "--role", "backend"]);
    assert!(code == 1 && out.is_empty() && err.contains("nothing is set up yet"), "{err}");
    let process = home.serve(&[]);
    for role in ["backend", "worker", "owner", "auditor"] {
        let (code, out, err) = issue(&["--user", "u", "--role", role, "--client", "shop"]);
        assert!(code == 0 && err.is_empty() && out.lines().count() == 1, "{role}: {out}{err}");
    }
    for (args, complaint) in [
        (&["--user", "u", "--role", "operator"][..], "no token for the role operator"),
        (&["--user", "u", "--role", "root"], "no token for the role root"),
        (&["--user", "", "--role", "worker"], "--user must not be empty"),
        (&["--user", "u", "--role", "worker", "--ttl", "16m"], "at most 15 minutes"),
        (&["--user", "u", "--role", "worker", "--ttl", "0s"], "at least one second"),
        (&["--user", "u", "--role", "worker", "--ttl", "soon"], "must be such as 30s or 15m"),
    ] {
        let (code, out, err) = issue(args);
        assert!(code != 0 && out.is_empty() && err.contains(complaint), "{args:?}: {err}");
    }
    let auditor = issue(&["--user", "u", "--role", "auditor"]).1.trim().to_owned();
    let trail = call(&process.url, "GET", "/v1/audit/events", &auditor, None);
    let events: Vec<_> = trail.json["items"].as_array().unwrap().iter().rev().map(|e| &e["event"]).collect();
    assert_eq!(events.len(), 5);
    assert!(events.iter().all(|e| e["activity_name"] == "token.issue"));
    assert_eq!(
        (events[0]["role"].as_str(), events[0]["actor.app_uid"].as_str()),
        (Some("backend"), Some("shop"))
    );
}

/// Attack on P3.
#[test]
fn settings_that_are_none_are_refused_by_name_all_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("PAWL_LISTENN", "127.0.0.1:0"),
        ("PAWL_MODE", "prod"),
        ("PAWL_LISTEN", "localhost"),
        ("PAWL_DATABASE_URL", "postgres://x/y?hostaddr=1"),
        ("PAWL_KEY_SOURCE", "aws-secretsmanager:pawl/k2"),
        ("PAWL_EGRESS_ALLOW", "10.0.0.0/99"),
    ];
    let (code, _, err) = run(dir.path(), &settings, &["serve"]);
    assert_eq!(code, 1);
    for (name, _) in settings {
        assert!(err.contains(name), "{name}: {err}");
    }
    for (feature, is_built) in [("postgres", cfg!(feature = "postgres")), ("aws", cfg!(feature = "aws"))] {
        assert_eq!(err.contains(&format!("--features {feature}")), !is_built, "{err}");
    }
    assert!(!dir.path().join("pawl-data").exists(), "nothing was made");

    std::fs::write(dir.path().join("pawl.toml"), "lissten = \"127.0.0.1:0\"\nlog = 3\n").unwrap();
    let (code, _, err) = run(dir.path(), &[], &["serve"]);
    assert!(
        code == 1 && err.contains("lissten is no setting") && err.contains("log must be a text"),
        "{err}"
    );

    // the environment goes over the file, and the worker's names do no harm
    std::fs::write(dir.path().join("pawl.toml"), "listen = \"127.0.0.1:1\"\ndata_dir = \"here\"\n").unwrap();
    drop(Process::serve(dir.path(), &[("PAWL_TOKEN", "x"), ("PAWL_URL", "y")]));
    assert!(dir.path().join("here/pawl.db").exists());
}

#[test]
fn the_doctor_shows_what_is_in_force_and_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, _) = run(dir.path(), &[], &["doctor"]);
    assert!(code == 1 && out.contains("nothing is set up yet: run `pawl serve`"), "{out}");
    drop(Process::serve(dir.path(), &[]));
    let (code, out, _) = run(dir.path(), &[("PAWL_EGRESS_ALLOW", "127.0.0.1:8069")], &["doctor"]);
    assert_eq!(code, 0, "{out}");
    for part in
        ["mode      embedded", "127.0.0.1:7295", "127.0.0.1/32:8069", "core dumps off, not dumpable, ", "ok "]
    {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (code, out, _) = run(dir.path(), &[("PAWL_EGRESS_ALLOW", "acme@127.0.0.1:7295")], &["doctor"]);
    assert!(code == 1 && out.contains("names 127.0.0.1:7295, a door of the vault's own"), "{out}");
    let (code, out, _) = run(dir.path(), &[("PAWL_MODE", "production")], &["doctor"]);
    assert!(code == 1 && out.lines().count() == 3 && out.lines().all(|l| l.starts_with("wrong ")), "{out}");
}

#[test]
fn help_teaches_with_examples() {
    let dir = tempfile::tempdir().unwrap();
    let (_, out, _) = run(dir.path(), &[], &["--help"]);
    for part in
        ["Examples:", "pawl serve", "pawl token issue --org acme --user ada --role backend", "pawl doctor"]
    {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (_, out, _) = run(dir.path(), &[], &["serve", "--help"]);
    for (name, _) in pawl::config::VAULT_SETTINGS {
        assert!(out.contains(&format!("PAWL_{}", name.to_uppercase())), "{name}");
    }
    assert_ne!(run(dir.path(), &[], &["steal"]).0, 0);
}

/// An issue's bounds, with the database as it was left. Time is looked at in `--long` alone.
#[test]
fn it_is_ready_at_once_and_stays_small() {
    let home = Home::new();
    let first = home.serve(&UNCAPPED);
    let token = |role: &str| {
        let args = ["token", "issue", "--org", "o", "--user", "u", "--role", role];
        said(home.pawl(&[]).args(args)).1.trim().to_owned()
    };
    let deposited =
        call(&first.url, "POST", "/v1/connections", &token("backend"), Some(&deposit("bot", "s")));
    let path = format!("/v1/connections/{}/leases", deposited.json["id"].as_str().unwrap());
    let worker = token("worker");
    let address = first.url.strip_prefix("http://").unwrap();
    let open: Vec<_> = (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
    let is_long = std::env::var_os("TEST_LONG").is_some();
    for _ in 0..if is_long { 5_000 } else { 200 } {
        let lent = call(&first.url, "POST", &path, &worker, Some(&json!({"purpose": "other"})));
        assert_eq!(lent.status, 201, "{}", lent.body);
    }
    // What it keeps, after ever so many: a few megabytes. The program's own pages are the file's; of one that is not
    // optimised they are three times as many, and which of them are in memory differs from machine to machine.
    let keeps = first.kilobytes("RssAnon:") + first.kilobytes("RssShmem:");
    assert!(keeps <= 20_000, "{keeps} kB");
    let resident = first.kilobytes("VmRSS:");
    assert!(cfg!(debug_assertions) || resident * 1024 <= 40_000_000, "{resident} kB");
    drop((open, first));

    let settings = home.settings();
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let start = |_| {
        let begun = std::time::Instant::now();
        let again = Process::serve(home.path(), &settings);
        assert_eq!(call(&again.url, "GET", "/readyz", "", None).status, 200);
        begun.elapsed()
    };
    // the quickest: what else the machine does is no part of it
    let took = (0..if is_long { 20 } else { 1 }).map(start).min().unwrap();
    assert!(!is_long || took.as_millis() <= 100, "{took:?}");
}
