//! Loans: their shape, their time, who holds them and how they end.

use std::time::Duration;

use serde_json::json;

use crate::frozen::UNCAPPED;
use crate::harness::{ODOO, Vault};

#[test]
fn a_loan_carries_the_secret_once_and_for_minutes() {
    let vault = Vault::start();
    let id = vault.deposit("pässword \"quoted\" \\");
    let loan = vault.lend(&id, &json!({"purpose": "sync", "ttl_seconds": 60}));
    assert_eq!(loan.status, 201, "{}", loan.body);
    assert_eq!(loan.header("cache-control"), Some("no-store"));
    let lease = loan.text("id");
    assert_eq!(loan.header("location"), Some(format!("/v1/leases/{lease}").as_str()));
    assert_eq!(
        loan.json,
        json!({"id": lease, "expires_at": "2026-11-24T12:01:00.000000Z", "fence": 1,
            "connection": {"id": id, "url": ODOO, "database": "acme", "username": "bot"},
            "credential": {"kind": "password", "secret": "pässword \"quoted\" \\", "revision": 1,
                           "expires_at": null},
            "allowed": {"methods": ["search_read", "read"], "models": ["account.move", "account.move.line", "res.partner", "product.product",
                "res.currency", "account.tax"]}})
    );
    let worker = vault.token("acme", "ada", "worker");
    let open = vault.call("GET", "/v1/leases", &worker, None);
    assert_eq!(
        open.json,
        json!({"items": [{"id": lease, "connection_id": id, "client_id": "svc", "purpose": "sync",
            "run_id": null, "revision": 1, "fence": 1, "lent_at": "2026-11-24T12:00:00.000000Z",
            "expires_at": "2026-11-24T12:01:00.000000Z", "state": "open", "ended_at": null,
            "outcome": null}], "next_cursor": null})
    );
    vault.clock.advance(Duration::from_secs(60));
    assert_eq!(vault.call("GET", "/v1/leases", &worker, None).json["items"], json!([]));
    let late =
        vault.call("POST", &format!("/v1/leases/{lease}/return"), &worker, Some(&json!({"outcome": "ok"})));
    assert_eq!((late.status, late.problem().as_str()), (409, "lease-ended"));
}

#[test]
fn a_wish_out_of_range_names_its_rule() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    for (body, wrong) in [
        (json!({"purpose": "sync", "ttl_seconds": 59}), "ttl_seconds range"),
        (json!({"purpose": "sync", "ttl_seconds": 901}), "ttl_seconds range"),
        (json!({"purpose": "sync", "ttl_seconds": -1}), "ttl_seconds type"),
        (json!({"purpose": "sync", "ttl_seconds": "60"}), "ttl_seconds type"),
        (json!({"purpose": "sync", "ttl_seconds": 60.5}), "ttl_seconds type"),
        (json!({"purpose": "theft"}), "purpose one_of"),
        (json!({}), "purpose required"),
        (json!(["sync", 60, null]), "body type"),
        (json!({"purpose": "sync", "run_id": ""}), "run_id not_empty"),
        (json!({"purpose": "sync", "run_id": "x".repeat(129)}), "run_id max_bytes"),
        (json!({"purpose": "sync", "user": "eve"}), "user unknown_field"),
    ] {
        let refused = vault.lend(&id, &body);
        assert_eq!((refused.status, refused.errors()), (422, vec![wrong.to_owned()]), "{body}");
    }
    let worker = vault.token("acme", "ada", "worker");
    let lease = vault.lend(&id, &json!({"purpose": "sync", "ttl_seconds": 900.0})).text("id");
    for (body, wrong) in [
        (json!({"outcome": "lost"}), "outcome one_of"),
        (json!({"outcome": "ok", "records": -1}), "records type"),
        (json!({"outcome": "ok", "secret": "x"}), "secret unknown_field"),
    ] {
        let refused = vault.call("POST", &format!("/v1/leases/{lease}/return"), &worker, Some(&body));
        assert_eq!((refused.status, refused.errors()), (422, vec![wrong.to_owned()]), "{body}");
    }
}

#[test]
fn a_sync_lease_is_exclusive_until_it_is_returned_or_its_time_is_over() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let sync = json!({"purpose": "sync", "ttl_seconds": 100});
    let first = vault.lend(&id, &sync);
    vault.clock.advance(Duration::from_micros(30_000_001));
    let held = vault.lend(&id, &sync);
    assert_eq!((held.status, held.problem().as_str()), (409, "lease-held"));
    assert_eq!(held.header("retry-after"), Some("70"));
    assert_eq!(held.text("held_until"), "2026-11-24T12:01:40.000000Z");
    assert!(!held.body.contains("secret"));

    // other purposes do not wait, and do not hold
    assert_eq!(vault.lend(&id, &json!({"purpose": "check"})).json["fence"], 2);

    let worker = vault.token("acme", "ada", "worker");
    let back = format!("/v1/leases/{}/return", first.text("id"));
    assert_eq!(vault.call("POST", &back, &worker, Some(&json!({"outcome": "ok", "records": 7}))).status, 204);
    let second = vault.lend(&id, &sync);
    assert_eq!((second.status, second.json["fence"].as_i64()), (201, Some(3)));

    vault.clock.advance(Duration::from_secs(100));
    let third = vault.lend(&id, &sync);
    assert_eq!((third.status, third.json["fence"].as_i64()), (201, Some(4)));
}

#[test]
fn a_run_that_comes_back_gets_its_own_lease_and_nobody_else_does() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let path = format!("/v1/connections/{id}/leases");
    let run = json!({"purpose": "sync", "ttl_seconds": 60, "run_id": "run-1"});
    let first = vault.lend(&id, &run);
    vault.clock.advance(Duration::from_secs(30));
    let again = vault.lend(&id, &run);
    assert_eq!(again.status, 201, "{}", again.body);
    assert_eq!(again.json["id"], first.json["id"]);
    assert_eq!(again.json["fence"], first.json["fence"]);
    assert_eq!(again.text("expires_at"), "2026-11-24T12:01:30.000000Z");
    assert_eq!(again.json["credential"], first.json["credential"]);

    let stranger = vault.token_for("acme", "ada", "worker", "other-service");
    let other_run = json!({"purpose": "sync", "run_id": "run-2"});
    for (token, body) in
        [(&stranger, &run), (&vault.token("acme", "ada", "worker"), &other_run), (&stranger, &other_run)]
    {
        assert_eq!(vault.call("POST", &path, token, Some(body)).problem(), "lease-held");
    }
}

/// Two machines whose clocks differ: to one of them the first lease is over, to the other it is not.
#[test]
fn a_run_that_was_followed_does_not_get_its_lease_back() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let run = |name: &str| json!({"purpose": "sync", "ttl_seconds": 60, "run_id": name});
    let first = vault.lend(&id, &run("one")).text("id");
    vault.clock.advance(Duration::from_secs(60));
    let second = vault.lend(&id, &run("two"));
    assert_eq!((second.status, second.json["fence"].as_i64()), (201, Some(2)));
    vault.sql(&format!("UPDATE leases SET expires_at = expires_at + 90000000 WHERE id = '{first}'"));
    let again = vault.lend(&id, &run("one"));
    assert_eq!(
        (again.problem().as_str(), again.text("held_until")),
        ("lease-held", second.text("expires_at"))
    );
    assert_eq!(vault.lend(&id, &run("two")).text("id"), second.text("id"));
}

/// Attack on P4, P5, P6 and P8.
#[test]
fn a_lease_goes_back_by_its_holder_alone_and_once() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let path = format!("/v1/leases/{}/return", vault.lend(&id, &json!({"purpose": "sync"})).text("id"));
    let ok = json!({"outcome": "ok"});
    let thief = vault.token_for("acme", "ada", "worker", "other-service");
    let stolen = vault.call("POST", &path, &thief, Some(&ok));
    assert_eq!((stolen.status, stolen.problem().as_str()), (403, "not-holder"));
    for (org, user) in [("acme", "bob"), ("other", "ada")] {
        let foreign = vault.call("POST", &path, &vault.token(org, user, "worker"), Some(&ok));
        assert_eq!((foreign.status, foreign.problem().as_str()), (404, "not-found"));
    }
    let worker = vault.token("acme", "ada", "worker");
    assert_eq!(vault.call("POST", &path, &worker, Some(&ok)).status, 204);
    assert_eq!(vault.call("POST", &path, &worker, Some(&ok)).problem(), "lease-ended");
}

/// Attack on P4, P5, P6 and P8.
#[test]
fn forgetting_ends_every_open_lease() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let lease = vault.lend(&id, &json!({"purpose": "sync"})).text("id");
    assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).status, 201);
    let backend = vault.token("acme", "ada", "backend");
    assert_eq!(vault.call("DELETE", &format!("/v1/connections/{id}"), &backend, None).status, 204);
    let worker = vault.token("acme", "ada", "worker");
    assert_eq!(vault.call("GET", "/v1/leases", &worker, None).json["items"], json!([]));
    let late =
        vault.call("POST", &format!("/v1/leases/{lease}/return"), &worker, Some(&json!({"outcome": "ok"})));
    assert_eq!(late.problem(), "lease-ended");
}

/// Eight borrowers ask without pause while the connection is forgotten. What was asked after the
/// forget answered finds nothing; what was lent before it is over.
/// Attack on P8.
#[test]
fn no_loan_is_granted_once_the_forget_has_answered() {
    use std::sync::atomic::{AtomicBool, Ordering};
    for _ in 0..10 {
        let vault = Vault::start_with(&UNCAPPED);
        let id = vault.deposit("s");
        let worker = vault.token("acme", "ada", "worker");
        let backend = vault.token("acme", "ada", "backend");
        let path = format!("/v1/connections/{id}/leases");
        let forgotten = AtomicBool::new(false);
        let other = json!({"purpose": "other"});
        let granted: usize = std::thread::scope(|scope| {
            let borrowers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let mut granted = 0;
                        loop {
                            let was_forgotten = forgotten.load(Ordering::SeqCst);
                            let answer = vault.call("POST", &path, &worker, Some(&other));
                            match answer.status {
                                201 => {
                                    assert!(!was_forgotten, "lent after the forget had answered");
                                    granted += 1;
                                }
                                404 => return granted,
                                // The writer was busy: no secret was sent.
                                503 => assert!(!answer.body.contains("secret\":")),
                                status => panic!("{status} {}", answer.body),
                            }
                        }
                    })
                })
                .collect();
            let gone = vault.call("DELETE", &format!("/v1/connections/{id}"), &backend, None);
            assert_eq!(gone.status, 204, "{}", gone.body);
            forgotten.store(true, Ordering::SeqCst);
            borrowers.into_iter().map(|borrower| borrower.join().unwrap()).sum()
        });
        let lent = vault
            .trail("acme")
            .iter()
            .filter(|e| e["event"]["activity_name"] == "lease.lend" && e["event"]["status"] == "Success")
            .count();
        assert!(granted <= lent, "{granted} granted, {lent} on record");
        assert_eq!(vault.call("GET", "/v1/leases", &worker, None).json["items"], json!([]));
    }
}
