//! A connection's life between deposit and forget: changed, and its credential replaced.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::frozen::UNCAPPED;
use crate::harness::{Answer, Vault, deposit};

pub fn put(vault: &Vault, id: &str, token: &str, secret: &str) -> Answer {
    vault.call("PUT", &format!("/v1/connections/{id}/credential"), token, Some(&json!({"secret": secret})))
}

/// The last event of acme that is no token's.
pub fn last_event(vault: &Vault) -> Value {
    let trail = vault.trail("acme");
    let last = trail.iter().rev().find(|e| e["event"]["activity_name"] != "token.issue").unwrap();
    last["event"].clone()
}

#[test]
fn what_is_named_changes_and_the_rest_stays() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let path = format!("/v1/connections/{id}");
    let owner = vault.token("acme", "olga", "owner");
    let mut expected = vault.call("GET", &path, &owner, None).json;
    for (body, member, value) in [
        (json!({"label": "Ours — ü"}), "label", json!("Ours — ü")),
        (json!({"sync_interval_seconds": 60}), "sync_interval_seconds", json!(60)),
        (json!({"sync_interval_seconds": 604_800}), "sync_interval_seconds", json!(604_800)),
        (json!({"environment": "staging"}), "environment", json!("staging")),
        (json!({"label": null}), "label", Value::Null),
        (json!({"sync_interval_seconds": null}), "sync_interval_seconds", Value::Null),
    ] {
        vault.clock.advance(Duration::from_secs(1));
        let changed = vault.call("PATCH", &path, &owner, Some(&body));
        assert_eq!(changed.status, 200, "{body} {}", changed.body);
        expected[member] = value;
        assert_ne!(changed.json["updated_at"], expected["updated_at"]);
        expected["updated_at"] = changed.json["updated_at"].clone();
        assert_eq!(changed.json, expected, "{body}");
        assert_eq!(vault.call("GET", &path, &owner, None).json, expected, "{body}");
    }
    let before = vault.trail("acme").len();
    let all = json!({"label": "x", "sync_interval_seconds": 90, "environment": "development"});
    assert_eq!(vault.call("PATCH", &path, &owner, Some(&all)).status, 200);
    let trail = vault.trail("acme");
    let events: Vec<(&str, &str)> = trail[before..]
        .iter()
        .map(|e| {
            (
                e["event"]["activity_name"].as_str().unwrap(),
                e["event"]["status_detail"].as_str().unwrap_or_default(),
            )
        })
        .filter(|(action, _)| *action != "token.issue")
        .collect();
    assert_eq!(events, [("connection.update", ""), ("connection.environment", "development")]);
    assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).json["credential"]["secret"], "s");
}

#[test]
fn a_change_out_of_range_names_its_rule_and_changes_nothing() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let lease = vault.lend(&id, &json!({"purpose": "other"})).text("id");
    let (owner, worker) = (vault.token("acme", "olga", "owner"), vault.token("acme", "ada", "worker"));
    let path = format!("/v1/connections/{id}");
    let before = vault.call("GET", &path, &owner, None).body;
    let planted = "planted-7Q-value";
    let (credential, renew) = (format!("{path}/credential"), format!("/v1/leases/{lease}/renew"));
    for (method, path, body, wrong) in [
        ("PATCH", &path, json!({}), "body not_empty"),
        ("PATCH", &path, json!({"label": ""}), "label not_empty"),
        ("PATCH", &path, json!({"label": "é".repeat(65)}), "label max_bytes"),
        ("PATCH", &path, json!({"label": "a\u{7}"}), "label no_control_characters"),
        ("PATCH", &path, json!({"label": 7}), "label type"),
        ("PATCH", &path, json!({"sync_interval_seconds": 59}), "sync_interval_seconds range"),
        ("PATCH", &path, json!({"sync_interval_seconds": 604_801}), "sync_interval_seconds range"),
        ("PATCH", &path, json!({"sync_interval_seconds": -1}), "sync_interval_seconds range"),
        ("PATCH", &path, json!({"sync_interval_seconds": 90.5}), "sync_interval_seconds type"),
        ("PATCH", &path, json!({"sync_interval_seconds": planted}), "sync_interval_seconds type"),
        ("PATCH", &path, json!({"environment": planted}), "environment one_of"),
        ("PATCH", &path, json!({"environment": null}), "environment type"),
        ("PATCH", &path, json!({"url": "https://evil.example"}), "url unknown_field"),
        ("PATCH", &path, json!({"username": planted}), "username unknown_field"),
        ("PATCH", &path, json!([planted]), "body type"),
        ("PUT", &credential, json!({}), "secret required"),
        ("PUT", &credential, json!({"secret": ""}), "secret not_empty"),
        ("PUT", &credential, json!({"secret": "s".repeat(4097)}), "secret max_bytes"),
        ("PUT", &credential, json!({"secret": "a\u{0}b"}), "secret no_control_characters"),
        ("PUT", &credential, json!({"secret": [planted]}), "secret type"),
        ("PUT", &credential, json!({"secret": planted, "kind": "api_key"}), "kind unknown_field"),
        ("PUT", &credential, json!({"secret": planted, "expires_at": "soon"}), "expires_at rfc3339"),
        (
            "PUT",
            &credential,
            json!({"secret": planted, "expires_at": "2026-11-24T12:00:00Z"}),
            "expires_at in_future",
        ),
        ("POST", &renew, json!({"ttl_seconds": 59}), "ttl_seconds range"),
        ("POST", &renew, json!({"ttl_seconds": 901}), "ttl_seconds range"),
        ("POST", &renew, json!({"ttl_seconds": -1}), "ttl_seconds type"),
        ("POST", &renew, json!({"ttl": 60}), "ttl unknown_field"),
        ("POST", &renew, json!([60]), "body type"),
    ] {
        let token = if method == "POST" { &worker } else { &owner };
        let refused = vault.call(method, path, token, Some(&body));
        assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid"), "{body}");
        assert_eq!(refused.errors(), vec![wrong.to_owned()], "{body}");
        assert!(!refused.body.contains(planted), "{}", refused.body);
    }
    assert_eq!(vault.call("GET", &path, &owner, None).body, before);
    let shown = vault.call("GET", &format!("/v1/leases/{lease}"), &worker, None);
    assert_eq!(shown.text("expires_at"), "2026-11-24T12:05:00.000000Z");
}

/// Each role, on what is ada's own, a colleague's and another org's.
/// Attack on P5.
#[test]
fn each_role_reaches_as_far_as_the_policy_says() {
    let vault = Vault::start();
    let owners = [("acme", "ada"), ("acme", "bob"), ("other", "eve")];
    let rows: Vec<(String, String)> = owners
        .iter()
        .map(|(org, user)| {
            let id = vault.deposit_as(org, user, &deposit("bot", "s"));
            let lend = format!("/v1/connections/{id}/leases");
            let worker = vault.token(org, user, "worker");
            let loan = vault.call("POST", &lend, &worker, Some(&json!({"purpose": "other"})));
            (id, loan.text("id"))
        })
        .collect();
    let (label, environment) = (json!({"label": "x"}), json!({"environment": "staging"}));
    let (new, longer) = (json!({"secret": "s2"}), json!({}));
    type Call<'a> = (&'a str, &'a str, Option<&'a Value>);
    let calls: [Call; 5] = [
        ("PATCH", "/v1/connections/CONN", Some(&label)),
        ("PATCH", "/v1/connections/CONN", Some(&environment)),
        ("GET", "/v1/leases/LEASE", None),
        ("POST", "/v1/leases/LEASE/renew", Some(&longer)),
        ("PUT", "/v1/connections/CONN/credential", Some(&new)),
    ];
    // own, a colleague's, another org's; one line for each of the calls
    let (own, org, never) = ([200, 404, 404], [200, 200, 404], [403; 3]);
    for (role, answers) in [
        // first, while what was lent is what is there
        ("worker", [never, never, own, own, never]),
        ("backend", [own, never, never, never, own]),
        ("owner", [org, org, org, never, org]),
        ("auditor", [never; 5]),
    ] {
        let token = vault.token("acme", "ada", role);
        for ((method, path, body), expected) in calls.iter().zip(answers) {
            for ((id, lease), status) in rows.iter().zip(expected) {
                let path = path.replace("CONN", id).replace("LEASE", lease);
                let answer = vault.call(method, &path, &token, *body);
                assert_eq!(answer.status, status, "{role} {method} {path} {}", answer.body);
                let problem = (status != 200).then(|| answer.problem());
                let expected = match status {
                    403 => Some("forbidden".to_owned()),
                    404 => Some("not-found".to_owned()),
                    _ => None,
                };
                assert_eq!(problem, expected, "{role} {method} {path}");
            }
        }
    }
}

#[test]
fn a_credential_is_replaced_by_the_next_revision() {
    let vault = Vault::start();
    let id = vault.deposit("first");
    let backend = vault.token("acme", "ada", "backend");
    let loan = vault.lend(&id, &json!({"purpose": "sync", "run_id": "r"}));
    let back = format!("/v1/leases/{}/return", loan.text("id"));
    let worker = vault.token("acme", "ada", "worker");
    vault.call("POST", &back, &worker, Some(&json!({"outcome": "auth_failed"})));
    let path = format!("/v1/connections/{id}");
    let mut expected = vault.call("GET", &path, &backend, None).json;
    assert_eq!(expected["state"], "auth_failed");

    vault.clock.advance(Duration::from_secs(5));
    let new = json!({"secret": "zweites ü", "expires_at": "2027-01-31T00:00:00Z"});
    let replaced = vault.call("PUT", &format!("{path}/credential"), &backend, Some(&new));
    assert_eq!(replaced.status, 200, "{}", replaced.body);
    expected["state"] = json!("active");
    expected["credential"]["revision"] = json!(2);
    expected["credential"]["expires_at"] = json!("2027-01-31T00:00:00.000000Z");
    expected["updated_at"] = json!("2026-11-24T12:00:05.000000Z");
    assert_eq!(replaced.json, expected);
    assert_eq!(vault.call("GET", &path, &backend, None).json, expected);
    let event = last_event(&vault);
    assert_eq!(
        (&event["activity_name"], &event["status"]),
        (&json!("connection.replace"), &json!("Success"))
    );
    assert_eq!(event["connection.uid"], id.as_str());

    let loan = vault.lend(&id, &json!({"purpose": "sync"}));
    let (secret, revision) = (&loan.json["credential"]["secret"], &loan.json["credential"]["revision"]);
    assert_eq!((secret, revision), (&json!("zweites ü"), &json!(2)));

    // without an expiry the new one has none
    assert_eq!(put(&vault, &id, &backend, "third").json["credential"]["expires_at"], Value::Null);
    // a late word about an earlier revision says nothing of this one
    let back = format!("/v1/leases/{}/return", loan.text("id"));
    assert_eq!(vault.call("POST", &back, &worker, Some(&json!({"outcome": "auth_failed"}))).status, 204);
    assert_eq!(vault.call("GET", &path, &backend, None).json["state"], "active");
}

#[test]
fn an_owner_replaces_for_the_user_whose_it_is() {
    let vault = Vault::start();
    let id = vault.deposit_as("acme", "bob", &deposit("bot", "first"));
    let replaced = put(&vault, &id, &vault.token("acme", "olga", "owner"), "second");
    assert_eq!((replaced.status, replaced.text("user").as_str()), (200, "bob"));
    let lend = |user: &str| {
        let worker = vault.token("acme", user, "worker");
        let path = format!("/v1/connections/{id}/leases");
        vault.call("POST", &path, &worker, Some(&json!({"purpose": "other"})))
    };
    assert_eq!(lend("bob").json["credential"]["secret"], "second");
    assert_eq!(lend("olga").status, 404);
}

/// Whoever can write the database but not open it points a row at their own server and waits for a
/// password to be put into it.
/// Attack on P2.
#[test]
fn a_redirected_row_gets_no_new_secret() {
    for (column, value) in [("url", "https://evil.example"), ("username", "evil"), ("revision", "7")] {
        let vault = Vault::start();
        let id = vault.deposit("s");
        let backend = vault.token("acme", "ada", "backend");
        vault.sql(&format!("UPDATE connections SET {column} = '{value}' WHERE id = '{id}'"));
        let path = format!("/v1/connections/{id}");
        let before = vault.call("GET", &path, &backend, None).body;
        let refused = put(&vault, &id, &backend, "planted-new-secret");
        assert_eq!((refused.status, refused.problem().as_str()), (500, "does-not-open"), "{column}");
        assert_eq!(vault.call("GET", &path, &backend, None).body, before, "{column}");
        let event = last_event(&vault);
        assert_eq!(event["activity_name"], "connection.replace");
        assert_eq!((&event["status"], &event["status_detail"]), (&json!("Failure"), &json!("does-not-open")));
    }
}

#[test]
fn nothing_is_sealed_under_a_key_that_may_not_seal() {
    for (state, problem) in [("retired", "key-not-held"), ("opening", "unavailable")] {
        let vault = Vault::start();
        let id = vault.deposit("first");
        let backend = vault.token("acme", "ada", "backend");
        vault.sql(&format!("UPDATE keys SET state = '{state}'"));
        let refused = put(&vault, &id, &backend, "second");
        assert_eq!((refused.status, refused.problem().as_str()), (503, problem));
        vault.sql("UPDATE keys SET state = 'sealing'");
        let loan = vault.lend(&id, &json!({"purpose": "other"}));
        assert_eq!(
            loan.json["credential"],
            json!({"kind": "password", "secret": "first", "revision": 1, "expires_at": null})
        );
    }
}

#[test]
fn replaces_at_once_come_one_after_the_other() {
    let vault = Vault::start();
    let id = vault.deposit("s0");
    let backend = vault.token("acme", "ada", "backend");
    let mut revisions: Vec<(i64, String)> = std::thread::scope(|scope| {
        let each = |n: usize| {
            let (vault, id, backend) = (&vault, &id, &backend);
            scope.spawn(move || {
                let secret = format!("s{n}");
                let answer = put(vault, id, backend, &secret);
                assert_eq!(answer.status, 200, "{}", answer.body);
                (answer.json["credential"]["revision"].as_i64().unwrap(), secret)
            })
        };
        let threads: Vec<_> = (1..=8).map(each).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    revisions.sort();
    let numbers: Vec<i64> = revisions.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (2..=9).collect::<Vec<_>>());
    // the last one is what is lent
    let credential = vault.lend(&id, &json!({"purpose": "other"})).json["credential"].clone();
    assert_eq!(credential["revision"], 9);
    assert_eq!(credential["secret"], revisions.last().unwrap().1.as_str());
}

/// Replaces and a forget race. Whatever the order, nothing comes back, and the trail tells that order.
/// Attack on P8.
#[test]
fn a_replace_and_a_forget_resolve_to_one_order() {
    let (mut replaced, mut missed) = (0, 0);
    for round in 0..12 {
        let vault = Vault::start();
        let id = vault.deposit("s0");
        let backend = vault.token("acme", "ada", "backend");
        let path = format!("/v1/connections/{id}");
        let answers: Vec<u16> = std::thread::scope(|scope| {
            let puts: Vec<_> = (0..3)
                .map(|n| {
                    let (vault, id, backend) = (&vault, &id, &backend);
                    scope.spawn(move || put(vault, id, backend, &format!("s{n}")).status)
                })
                .collect();
            if round % 2 == 0 {
                std::thread::yield_now();
            }
            assert_eq!(vault.call("DELETE", &path, &backend, None).status, 204);
            puts.into_iter().map(|put| put.join().unwrap()).collect()
        });
        assert!(answers.iter().all(|status| [200, 404].contains(status)), "{answers:?}");
        let done = answers.iter().filter(|status| **status == 200).count();
        replaced += done;
        missed += answers.len() - done;

        assert_eq!(vault.call("GET", &path, &backend, None).status, 404);
        assert_eq!(put(&vault, &id, &backend, "late").status, 404);
        assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).status, 404);
        let trail = vault.trail("acme");
        let changes: Vec<&str> = trail
            .iter()
            .filter(|e| e["event"]["status"] == "Success")
            .map(|e| e["event"]["activity_name"].as_str().unwrap())
            .filter(|action| ["connection.replace", "connection.forget"].contains(action))
            .collect();
        assert_eq!(changes.len(), done + 1);
        assert_eq!(changes.last(), Some(&"connection.forget"), "{changes:?}");
        // the address is free again
        assert_ne!(vault.deposit("new"), id);
    }
    assert_eq!(replaced + missed, 36);
}

/// Borrowers ask without pause while the credential is replaced again and again. A loan that was asked
/// for after a replace answered is of that revision or a later one; and each opens.
/// Attack on P8.
#[test]
fn no_loan_of_the_old_secret_is_answered_after_the_replace() {
    let vault = Vault::start_with(&UNCAPPED);
    let id = vault.deposit("secret-1");
    let worker = vault.token("acme", "ada", "worker");
    let backend = vault.token("acme", "ada", "backend");
    let path = format!("/v1/connections/{id}/leases");
    let answered = AtomicI64::new(1);
    const LAST: i64 = 20;
    let granted: usize = std::thread::scope(|scope| {
        let borrow = || {
            let mut granted = 0;
            let mut seen = 0;
            loop {
                let floor = answered.load(Ordering::SeqCst);
                let loan = vault.call("POST", &path, &worker, Some(&json!({"purpose": "other"})));
                if loan.status == 503 {
                    continue;
                }
                assert_eq!(loan.status, 201, "{}", loan.body);
                let revision = loan.json["credential"]["revision"].as_i64().unwrap();
                assert_eq!(loan.json["credential"]["secret"], format!("secret-{revision}"));
                assert!(revision >= floor, "{revision} was lent after {floor} was answered");
                assert!(revision >= seen);
                seen = revision;
                granted += 1;
                if floor == LAST {
                    return granted;
                }
            }
        };
        let borrowers: Vec<_> = (0..4).map(|_| scope.spawn(borrow)).collect();
        for revision in 2..=LAST {
            let answer = put(&vault, &id, &backend, &format!("secret-{revision}"));
            assert_eq!(answer.json["credential"]["revision"], revision, "{}", answer.body);
            answered.store(revision, Ordering::SeqCst);
        }
        borrowers.into_iter().map(|borrower| borrower.join().unwrap()).sum()
    });
    assert!(granted >= 4);
}

#[test]
fn of_deposits_at_once_for_one_address_one_is_kept_and_named_by_the_rest() {
    let vault = Vault::start();
    let backend = vault.token("acme", "ada", "backend");
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let one = |n: usize| {
            let (vault, backend) = (&vault, &backend);
            scope.spawn(move || {
                vault.call("POST", "/v1/connections", backend, Some(&deposit("bot", &format!("s{n}"))))
            })
        };
        let threads: Vec<_> = (0..8).map(one).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (kept, rest): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((kept.len(), rest.len()), (1, 7));
    let id = kept[0].text("id");
    for answer in rest {
        assert_eq!((answer.status, answer.problem().as_str()), (409, "duplicate"));
        assert_eq!(answer.text("connection_id"), id);
    }
    // another label makes no other address
    let path = format!("/v1/connections/{id}");
    assert_eq!(vault.call("PATCH", &path, &backend, Some(&json!({"label": "x"}))).status, 200);
    put(&vault, &id, &backend, "next");
    let again = vault.call("POST", "/v1/connections", &backend, Some(&deposit("bot", "s")));
    assert_eq!((again.problem().as_str(), again.text("connection_id")), ("duplicate", id));
}
