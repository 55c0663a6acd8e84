//! The whole vault frozen: by the database for every host, and by a file for one where no database answers.

use std::os::unix::fs::DirBuilderExt;
use std::process::{Command, Output};
use std::time::Duration;

use pawl::clock::Clock;
use serde_json::{Value, json};

use crate::database::on_postgres;
use crate::frozen::{SETTINGS, UNCAPPED, race, urls};
use crate::harness::{Home, Process, Vault, call, deposit, pawl, until, until_within};

/// `pawl` on another host with the same database: it has no key, and a data directory of its own.
fn elsewhere(home: &Home, command: &str) -> Command {
    let database = home.settings().into_iter().find(|(name, _)| *name == "PAWL_DATABASE_URL");
    let database = database.map(|(_, url)| url);
    let file = format!("sqlite:{}", home.data().join("pawl.db").display());
    let dir = home.path().join("elsewhere");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.join("pawl-data")).unwrap();
    let settings = [
        ("PAWL_MODE", "production"),
        ("PAWL_DATABASE_URL", database.as_deref().unwrap_or(&file)),
        ("PAWL_KEY_SOURCE", "file:/nowhere/master.json"),
        ("PAWL_KEY_FILE_APART", "yes"),
        ("PAWL_TLS", "terminated-on-this-host"),
    ];
    let mut command_line = pawl(&dir, &settings);
    command_line.arg(command);
    command_line
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    said(&output)
}

/// Action and `by` of what the vault's own chain says of freezes, in order.
fn on_record(home: &Home) -> Vec<String> {
    let events = home.sql().texts("event", "FROM audit_events WHERE org_id = '' ORDER BY seq");
    let events = events.iter().map(|event| serde_json::from_str::<Value>(event).unwrap());
    let of_freezes = events.filter(|e| e["activity_name"].as_str().unwrap().starts_with("vault."));
    of_freezes
        .map(|e| format!("{} {}", e["activity_name"].as_str().unwrap(), e["by"].as_str().unwrap()))
        .collect()
}

/// Attack on P5 and P8.
#[test]
fn a_frozen_vault_lends_nothing_to_anybody_until_an_operator_ends_it() {
    let vault = Vault::start();
    // The commands go by the system's clock.
    vault.clock.advance(Clock::system().now().since(vault.clock.now()));
    let other = json!({"purpose": "other"});
    let users = [("acme", "ada"), ("other", "eve")];
    let ids: Vec<String> =
        users.iter().map(|(org, user)| vault.deposit_as(org, user, &deposit("bot", "s"))).collect();
    let lend = |n: usize| {
        let worker = vault.token(users[n].0, users[n].1, "worker");
        vault.call("POST", &format!("/v1/connections/{}/leases", ids[n]), &worker, Some(&other))
    };
    let leases = [lend(0).text("id"), lend(1).text("id")];

    // Where no vault's data is, nothing is made that would say that it is frozen.
    let mut astray = elsewhere(&vault.home, "freeze");
    let told = done(astray.env("PAWL_DATA_DIR", "nowhere"));
    assert!(
        told.contains("no file could be changed in nowhere") && told.contains("database: frozen"),
        "{told}"
    );
    assert!(!vault.home.path().join("elsewhere/nowhere").exists());
    let told = done(&mut elsewhere(&vault.home, "freeze"));
    assert!(told.contains("this host: frozen by file") && told.contains("database: frozen"), "{told}");
    assert!(done(&mut elsewhere(&vault.home, "freeze")).contains("database: frozen"));
    for (n, (org, user)) in users.into_iter().enumerate() {
        assert_eq!((lend(n).status, lend(n).problem().as_str()), (423, "frozen"), "{org}");
        let worker = vault.token(org, user, "worker");
        let ended = vault.call("GET", &format!("/v1/leases/{}", leases[n]), &worker, None);
        assert_eq!((ended.text("state"), ended.text("outcome")), ("ended".into(), "frozen".into()));
        let renewed =
            vault.call("POST", &format!("/v1/leases/{}/renew", leases[n]), &worker, Some(&json!({})));
        assert_eq!(renewed.problem(), "frozen");
        let (backend, owner) = (vault.token(org, user, "backend"), vault.token(org, "boss", "owner"));
        let kept = vault.call("POST", "/v1/connections", &backend, Some(&deposit("new", "s")));
        assert_eq!(kept.problem(), "frozen");
        let path = format!("/v1/connections/{}", ids[n]);
        assert_eq!(vault.call("POST", &format!("{path}/check"), &backend, None).problem(), "frozen");
        assert_eq!(vault.call("GET", &path, &backend, None).text("state"), "frozen");
        // An owner sees it, and does not end it.
        let unfrozen = vault.call("PUT", SETTINGS, &owner, Some(&json!({"frozen": false})));
        let [frozen, since, vault] = ["frozen", "frozen_at", "vault_frozen"].map(|of| &unfrozen.json[of]);
        assert_eq!((frozen, since, vault), (&json!(false), &Value::Null, &json!(true)));
        assert_eq!(lend(n).problem(), "frozen");
    }
    let ready = call(&vault.url, "GET", "/readyz", "", None);
    assert_eq!((ready.status, ready.text("frozen")), (200, "vault".into()));
    assert!(done(vault.home.pawl(&[]).arg("doctor")).contains("frozen    the whole vault"));

    assert!(done(&mut elsewhere(&vault.home, "unfreeze")).contains("database: not frozen"));
    assert_eq!((lend(0).status, lend(1).status), (201, 201));
    assert_eq!(call(&vault.url, "GET", "/readyz", "", None).text("frozen"), "no");
    assert_eq!(
        on_record(&vault.home),
        ["vault.freeze command", "vault.freeze command", "vault.freeze command", "vault.unfreeze command"]
    );
}

/// Attack on P4 and P8.
#[test]
fn no_loan_is_granted_once_the_freeze_of_the_vault_has_answered() {
    for _ in 0..3 {
        let mut vault = Vault::start_with(&UNCAPPED);
        let id = vault.deposit("s");
        let urls = urls(&mut vault, &UNCAPPED);
        vault.clock.advance(Clock::system().now().since(vault.clock.now()));
        race(&vault, &urls, &id, || drop(done(&mut elsewhere(&vault.home, "freeze"))));
    }
}

/// A database that takes nothing: a writer that never ends.
fn hold_writers(home: &Home) -> crate::database::Sql {
    let mut held = home.sql();
    if on_postgres() {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(b"pawl/v1/vault");
        let lock = i64::from_be_bytes(digest[..8].try_into().unwrap());
        held.run(&format!("SELECT pg_advisory_lock({lock})"));
    } else {
        held.run("BEGIN IMMEDIATE");
    }
    held
}

fn token(home: &Home, role: &str) -> String {
    let args = ["token", "issue", "--org", "acme", "--user", "ada", "--role", role];
    let minted = home.pawl(&[]).args(args).output().unwrap();
    String::from_utf8(minted.stdout).unwrap().trim().to_owned()
}

/// Half a second, and as much for a busy machine.
const HOST_SEES_ITS_FILE: Duration = Duration::from_secs(1);

/// Attack on P4, P8 and P10.
#[test]
fn a_host_is_frozen_by_file_where_the_database_takes_nothing() {
    const OPS: (&str, &str) = ("PAWL_OPS_LISTEN", "127.0.0.1:0");
    let home = Home::new();
    let process = home.serve(&[OPS]);
    let (backend, worker) = (token(&home, "backend"), token(&home, "worker"));
    let id = call(&process.url, "POST", "/v1/connections", &backend, Some(&deposit("bot", "s"))).text("id");
    let path = format!("/v1/connections/{id}/leases");
    let lend =
        |process: &Process| call(&process.url, "POST", &path, &worker, Some(&json!({"purpose": "other"})));
    assert_eq!(lend(&process).status, 201);

    let held = hold_writers(&home);
    let output = home.pawl(&[]).arg("freeze").output().unwrap();
    let told = said(&output);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("this host: frozen by file") && told.contains("database: it did not"), "{told}");
    let file = home.data().join("frozen");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    until("the freeze", || lend(&process).status == 423);
    let ready = || call(&process.url, "GET", "/readyz", "", None);
    assert_eq!((ready().status, ready().text("frozen")), (200, "host".into()));
    assert!(process.metrics().contains("pawl_frozen{by=\"host\"} 1"));
    assert_eq!(on_record(&home), [""; 0]);
    assert!(said(&home.pawl(&[]).arg("doctor").output().unwrap()).contains("frozen    this host, by file"));

    // Once it takes writes, the leases end and it is on record; once for each time, also over a restart.
    drop(held);
    until("the record", || on_record(&home) == ["vault.freeze file"]);
    assert_eq!(home.sql().texts("outcome", "FROM leases"), ["frozen"]);
    // Killed before this, the next one would put it on record again.
    until("the mark", || home.data().join("frozen-on-record").exists());
    drop(process);
    let process = home.serve(&[OPS]);
    assert_eq!(lend(&process).status, 423, "it starts frozen");
    assert!(done(home.pawl(&[]).arg("unfreeze")).contains("this host: not frozen"));
    until("the end", || lend(&process).status == 201);
    assert!(!file.exists());
    assert_eq!(on_record(&home), ["vault.freeze file", "vault.unfreeze command"]);

    // One that somebody makes and removes by hand is on record as well.
    std::fs::write(&file, "").unwrap();
    until_within(HOST_SEES_ITS_FILE, "the freeze", || lend(&process).status == 423);
    until("the record", || on_record(&home).len() == 3);
    std::fs::remove_file(&file).unwrap();
    until("the end", || lend(&process).status == 201);
    until("the record", || on_record(&home).len() == 4);
    assert_eq!(on_record(&home)[2..], ["vault.freeze file", "vault.unfreeze file"]);
}

/// A vault that is started on a frozen host serves frozen, before anything was looked for.
/// Attack on P8.
#[test]
fn a_vault_that_starts_on_a_frozen_host_starts_frozen() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let home = vault.stop();
    std::fs::write(home.data().join("frozen"), "").unwrap();
    let vault = Vault::start_in(home, &[]);
    assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).problem(), "frozen");
}
