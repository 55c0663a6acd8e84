//! No record, no loan; and nothing half-done when the database fails.

use serde_json::json;

use crate::database::{on_postgres, without_foreign_keys};
use crate::harness::{Vault, deposit, raw};

/// The trail takes nothing more.
pub fn stop_the_trail(vault: &Vault) {
    vault.sql(match on_postgres() {
        false => {
            "CREATE TRIGGER no_audit BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'full'); END"
        }
        true => {
            "CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'full'; END $$; \
             CREATE TRIGGER no_audit BEFORE INSERT ON audit_events EXECUTE FUNCTION full()"
        }
    });
}

fn go_on_with_the_trail(vault: &Vault) {
    vault.sql(match on_postgres() {
        false => "DROP TRIGGER no_audit",
        true => "DROP TRIGGER no_audit ON audit_events",
    });
}

fn count(vault: &Vault, table: &str) -> i64 {
    vault.home.sql().count(table)
}

/// Attack on P4.
#[test]
fn what_can_not_be_recorded_does_not_happen() {
    let vault = Vault::start();
    let id = vault.deposit("planted-secret");
    let lease = vault.lend(&id, &json!({"purpose": "other"})).text("id");
    let (backend, worker) = (vault.token("acme", "ada", "backend"), vault.token("acme", "ada", "worker"));
    stop_the_trail(&vault);
    let before = (count(&vault, "connections"), count(&vault, "leases"), count(&vault, "audit_events"));
    let connection = format!("/v1/connections/{id}");
    let (lend, back) = (format!("{connection}/leases"), format!("/v1/leases/{lease}/return"));
    let calls = [
        ("POST", lend.as_str(), &worker, Some(json!({"purpose": "sync"}))),
        ("POST", "/v1/connections", &backend, Some(deposit("second", "s"))),
        ("DELETE", &connection, &backend, None),
        ("POST", &back, &worker, Some(json!({"outcome": "ok"}))),
        // a refusal has to be on record too
        ("POST", &lend, &backend, Some(json!({"purpose": "sync"}))),
    ];
    for (method, path, token, body) in &calls {
        let answer = vault.call(method, path, token, body.as_ref());
        assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"), "{method} {path}");
        assert!(!answer.body.contains("planted-secret"));
    }
    let after = (count(&vault, "connections"), count(&vault, "leases"), count(&vault, "audit_events"));
    assert_eq!(after, before);

    go_on_with_the_trail(&vault);
    for (method, path, token, body) in &calls[..2] {
        assert_eq!(vault.call(method, path, token, body.as_ref()).status, 201);
    }
}

/// While another process holds what a lend has to write, it answers 503, and works again afterwards.
/// Attack on P4.
#[test]
fn a_lend_does_not_wait_for_a_database_that_is_busy() {
    let vault = Vault::start();
    let id = vault.deposit("planted-secret");
    let worker = vault.token("acme", "ada", "worker");
    let path = format!("/v1/connections/{id}/leases");
    let lend = || vault.call("POST", &path, &worker, Some(&json!({"purpose": "other"})));
    assert_eq!(lend().status, 201);
    let mut writer = vault.home.sql();
    writer.run(match on_postgres() {
        false => "BEGIN IMMEDIATE",
        true => "BEGIN; LOCK TABLE audit_events",
    });
    let started = std::time::Instant::now();
    let refused = lend();
    let took = started.elapsed();
    assert_eq!((refused.status, refused.problem().as_str()), (503, "unavailable"));
    assert!(!refused.body.contains("planted-secret"));
    if std::env::var_os("TEST_LONG").is_some() {
        assert!(took.as_millis() <= 250 + 50, "a 503 within 250 ms, and the test's own call: {took:?}");
    }
    writer.run("ROLLBACK");
    drop(writer);
    assert_eq!(lend().status, 201);
}

/// Lends of one connection that wait for the same writer, and so are written together.
/// Attack on P4.
#[test]
fn lends_that_are_written_together_see_each_other() {
    let vault = Vault::start();
    let worker = |client| vault.token_for("acme", "ada", "worker", client);
    let tokens = ["one", "two", "one", "two", "one", "two"].map(worker);
    let mut won = 0;
    for round in 0..20 {
        let id = vault.deposit_as("acme", "ada", &deposit(&format!("bot{round}"), "s"));
        let mut writer = vault.home.sql();
        writer.run(match on_postgres() {
            false => "BEGIN IMMEDIATE",
            true => "BEGIN; LOCK TABLE audit_events",
        });
        let lend = |token: &str, body: serde_json::Value, more: &str| {
            let head = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n{more}");
            let path = format!("/v1/connections/{id}/leases");
            raw(&vault.url, "POST", &path, &head, body.to_string().as_bytes())
        };
        let other = json!({"purpose": "other"});
        std::thread::scope(|scope| {
            let (lend, other) = (&lend, &other);
            let loose: Vec<_> =
                tokens.iter().map(|token| scope.spawn(move || lend(token, other.clone(), ""))).collect();
            let sync = |run| json!({"purpose": "sync", "run_id": run});
            let exclusive: Vec<_> = tokens
                .iter()
                .enumerate()
                .map(|(n, token)| {
                    scope.spawn(move || (n % 2, lend(token, sync(format!("run{}", n % 2)), "")))
                })
                .collect();
            let named = [&tokens[0]; 2]
                .map(|token| scope.spawn(move || lend(token, other.clone(), "Idempotency-Key: k\r\n")));
            writer.run("ROLLBACK");
            assert!(loose.into_iter().all(|lent| [201, 503].contains(&lent.join().unwrap().status)));
            // only one run has it, and that one has one lease, however often it asks
            let held: Vec<(usize, String)> = exclusive
                .into_iter()
                .map(|lent| lent.join().unwrap())
                .filter(|(_, lent)| lent.status == 201)
                .map(|(run, lent)| (run, lent.json["id"].to_string()))
                .collect();
            assert!(held.iter().all(|one| *one == held[0]), "{held:?}");
            won += held.len();
            let named: Vec<String> = named
                .into_iter()
                .map(|lent| lent.join().unwrap())
                .filter(|lent| lent.status == 201)
                .map(|lent| lent.json["id"].to_string())
                .collect();
            assert!(named.iter().all(|one| *one == named[0]), "{named:?}");
        });
        let of_it = format!("FROM leases WHERE connection_id = '{id}'");
        let [leases, last] =
            ["count(*)", "max(fence)"].map(|what| vault.home.sql().texts(what, &of_it).remove(0));
        assert_eq!(leases, last, "a fence was left out or given twice");
    }
    assert!(won >= 20, "{won}");
    vault.trail("acme");
}

/// Lends that arrive together are one transaction; each is answered for itself all the same.
/// Lends that arrive together are one transaction; each is answered for itself all the same.
/// Attack on P4.
#[test]
fn lends_that_are_written_together_are_answered_each_for_itself() {
    let vault = Vault::start();
    let damaged = vault.deposit_as("acme", "ada", &deposit("damaged", "planted-damaged"));
    let sound: Vec<String> =
        (0..6).map(|n| vault.deposit_as("acme", "ada", &deposit(&format!("bot{n}"), "s"))).collect();
    vault.sql(&format!(
        "{}; UPDATE connections SET key_id = '' WHERE id = '{damaged}'",
        without_foreign_keys()
    ));
    let worker = vault.token("acme", "ada", "worker");
    let (mut granted, mut late) = (0, 0);
    for _ in 0..20 {
        let mut writer = vault.home.sql();
        writer.run(match on_postgres() {
            false => "BEGIN IMMEDIATE",
            true => "BEGIN; LOCK TABLE audit_events",
        });
        let lend = |id: &str| {
            let body = json!({"purpose": "other"});
            vault.call("POST", &format!("/v1/connections/{id}/leases"), &worker, Some(&body))
        };
        std::thread::scope(|scope| {
            let lend = &lend;
            let asked: Vec<_> = sound.iter().map(|id| scope.spawn(move || lend(id))).collect();
            let refused = scope.spawn(|| lend(&damaged));
            writer.run("ROLLBACK");
            for lent in asked {
                let lent = lent.join().unwrap();
                match lent.status {
                    201 => granted += 1,
                    // the machine was too slow for the deadline
                    503 => late += 1,
                    other => panic!("{other} {}", lent.body),
                }
            }
            assert!(["damaged", "unavailable"].contains(&refused.join().unwrap().problem().as_str()));
        });
    }
    // each answer has its record and its lease, and nothing has but what was asked for
    let leases = count(&vault, "leases");
    let trail = vault.trail("acme");
    let lends = trail.iter().filter(|e| e["event"]["activity_name"] == "lease.lend");
    assert_eq!(i64::try_from(lends.count()).unwrap(), leases);
    assert!((granted..=granted + late).contains(&leases), "{granted} granted, {late} late, {leases} leases");
    assert!(granted >= 20, "{granted}");
}
