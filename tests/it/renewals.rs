//! Leases looked at and renewed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Vault};
use crate::life::{last_event, put};

fn renew(vault: &Vault, lease: &str, body: &Value) -> Answer {
    let worker = vault.token("acme", "ada", "worker");
    vault.call("POST", &format!("/v1/leases/{lease}/renew"), &worker, Some(body))
}

#[test]
fn a_lease_is_shown_open_and_ended() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let lease = vault.lend(&id, &json!({"purpose": "sync", "run_id": "r", "ttl_seconds": 60})).text("id");
    let path = format!("/v1/leases/{lease}");
    let worker = vault.token("acme", "ada", "worker");
    let show = || vault.call("GET", &path, &worker, None);
    let mut expected = json!({"id": lease, "connection_id": id, "client_id": "svc", "purpose": "sync",
        "run_id": "r", "revision": 1, "fence": 1, "lent_at": "2026-11-24T12:00:00.000000Z",
        "expires_at": "2026-11-24T12:01:00.000000Z", "state": "open", "ended_at": null, "outcome": null});
    assert_eq!((show().status, show().json), (200, expected.clone()));
    let again = renew(&vault, &lease, &json!({"ttl_seconds": 90}));
    expected["expires_at"] = json!("2026-11-24T12:01:30.000000Z");
    assert_eq!((again.status, again.json), (200, expected.clone()));
    assert_eq!(show().json, expected);

    vault.clock.advance(Duration::from_secs(1));
    let back = format!("{path}/return");
    assert_eq!(vault.call("POST", &back, &worker, Some(&json!({"outcome": "failed"}))).status, 204);
    expected["state"] = json!("ended");
    expected["ended_at"] = json!("2026-11-24T12:00:01.000000Z");
    expected["outcome"] = json!("failed");
    assert_eq!(show().json, expected);

    // one whose time ran out was ended by nobody
    let other = vault.lend(&id, &json!({"purpose": "other", "ttl_seconds": 60})).text("id");
    vault.clock.advance(Duration::from_secs(60));
    let over = vault.call("GET", &format!("/v1/leases/{other}"), &worker, None).json;
    assert_eq!(
        (&over["state"], &over["ended_at"], &over["outcome"]),
        (&json!("ended"), &Value::Null, &Value::Null)
    );

    // and one of a forgotten connection is still there to be looked at
    let last = vault.lend(&id, &json!({"purpose": "other"})).text("id");
    let backend = vault.token("acme", "ada", "backend");
    vault.call("DELETE", &format!("/v1/connections/{id}"), &backend, None);
    let gone = vault.call("GET", &format!("/v1/leases/{last}"), &worker, None).json;
    assert_eq!((&gone["state"], &gone["outcome"]), (&json!("ended"), &json!("forgotten")));
}

/// Attack on P6.
#[test]
fn a_sync_lease_is_not_renewed_once_odoo_refused_the_credential() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let lease = vault.lend(&id, &json!({"purpose": "sync"})).text("id");
    let other = vault.lend(&id, &json!({"purpose": "other"})).text("id");
    let checking = vault.lend(&id, &json!({"purpose": "check"})).text("id");
    let worker = vault.token("acme", "ada", "worker");
    let back = format!("/v1/leases/{checking}/return");
    assert_eq!(vault.call("POST", &back, &worker, Some(&json!({"outcome": "auth_failed"}))).status, 204);
    let refused = renew(&vault, &lease, &json!({}));
    assert_eq!((refused.status, refused.problem().as_str()), (409, "auth-failed"));
    assert_eq!(last_event(&vault)["status_detail"], "auth-failed");
    assert_eq!(renew(&vault, &other, &json!({})).status, 200);
    assert_eq!(put(&vault, &id, &vault.token("acme", "ada", "backend"), "t").status, 200);
    assert_eq!(renew(&vault, &lease, &json!({})).problem(), "credential-replaced");
}

#[test]
fn a_renewal_never_shortens_and_starts_from_now() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let lease = vault.lend(&id, &json!({"purpose": "sync", "ttl_seconds": 900})).text("id");
    for (advance, body, until) in [
        (0, json!({"ttl_seconds": 60}), "2026-11-24T12:15:00.000000Z"),
        (600, json!({}), "2026-11-24T12:15:00.000000Z"),
        (1, json!({}), "2026-11-24T12:15:01.000000Z"),
        (0, json!({"ttl_seconds": 900}), "2026-11-24T12:25:01.000000Z"),
    ] {
        vault.clock.advance(Duration::from_secs(advance));
        let renewed = renew(&vault, &lease, &body);
        assert_eq!((renewed.status, renewed.text("expires_at").as_str()), (200, until), "{body}");
        let event = last_event(&vault);
        assert_eq!((&event["activity_name"], &event["status"]), (&json!("lease.renew"), &json!("Success")));
        assert_eq!((&event["lease.uid"], &event["connection.uid"]), (&json!(lease), &json!(id)));
    }
    // it is the lock of the sync, and stays it
    assert_eq!(
        vault.lend(&id, &json!({"purpose": "sync"})).text("held_until"),
        "2026-11-24T12:25:01.000000Z"
    );
}

/// Attack on P4, P5, P6 and P8.
#[test]
fn a_renewal_holds_everything_against_what_is_true_now() {
    type Change = fn(&Vault, &str, &str);
    let cases: [(&str, Change, u16, &str); 8] = [
        ("another client", |_, _, _| {}, 403, "not-holder"),
        (
            "returned",
            |v, _, lease| {
                let worker = v.token("acme", "ada", "worker");
                let back = json!({"outcome": "ok"});
                assert_eq!(
                    v.call("POST", &format!("/v1/leases/{lease}/return"), &worker, Some(&back)).status,
                    204
                );
            },
            409,
            "lease-ended",
        ),
        ("its time is over", |v, _, _| v.clock.advance(Duration::from_secs(300)), 409, "lease-ended"),
        (
            "forgotten",
            |v, id, _| {
                let backend = v.token("acme", "ada", "backend");
                assert_eq!(v.call("DELETE", &format!("/v1/connections/{id}"), &backend, None).status, 204);
            },
            409,
            "lease-ended",
        ),
        (
            "replaced",
            |v, id, _| {
                assert_eq!(put(v, id, &v.token("acme", "ada", "backend"), "second").status, 200);
            },
            409,
            "credential-replaced",
        ),
        ("key retired", |v, _, _| v.sql("UPDATE keys SET state = 'retired'"), 503, "key-not-held"),
        (
            "redirected",
            |v, _, _| v.sql("UPDATE connections SET url = 'https://evil.example'"),
            500,
            "does-not-open",
        ),
        // what another machine whose clock is ahead may have done
        (
            "succeeded",
            |v, id, lease| {
                v.clock.advance(Duration::from_secs(300));
                assert_eq!(v.lend(id, &json!({"purpose": "sync"})).json["fence"], 2);
                v.sql(&format!("UPDATE leases SET expires_at = expires_at + 300000001 WHERE id = '{lease}'"));
            },
            409,
            "lease-ended",
        ),
    ];
    for (what, change, status, problem) in cases {
        let vault = Vault::start();
        let id = vault.deposit("first");
        let lease = vault.lend(&id, &json!({"purpose": "sync"})).text("id");
        change(&vault, &id, &lease);
        let client = if what == "another client" { "other-service" } else { "svc" };
        let worker = vault.token_for("acme", "ada", "worker", client);
        let path = format!("/v1/leases/{lease}");
        let before = vault.call("GET", &path, &worker, None).body;
        let refused =
            vault.call("POST", &format!("{path}/renew"), &worker, Some(&json!({"ttl_seconds": 900})));
        assert_eq!((refused.status, refused.problem().as_str()), (status, problem), "{what}");
        assert_eq!(vault.call("GET", &path, &worker, None).body, before, "{what}");
        let event = last_event(&vault);
        let cause = if what == "key retired" { "key-retired" } else { problem };
        assert_eq!(
            (&event["activity_name"], &event["status_detail"]),
            (&json!("lease.renew"), &json!(cause)),
            "{what}"
        );
    }
}

/// After a replace a run goes on by asking again, with the lease that it has.
#[test]
fn a_run_whose_credential_was_replaced_borrows_again() {
    let vault = Vault::start();
    let id = vault.deposit("first");
    let run = json!({"purpose": "sync", "run_id": "r"});
    let lease = vault.lend(&id, &run).text("id");
    put(&vault, &id, &vault.token("acme", "ada", "backend"), "second");
    assert_eq!(renew(&vault, &lease, &json!({})).problem(), "credential-replaced");
    let again = vault.lend(&id, &run);
    assert_eq!((again.text("id"), &again.json["credential"]["secret"]), (lease.clone(), &json!("second")));
    assert_eq!(renew(&vault, &lease, &json!({})).status, 200);
}
