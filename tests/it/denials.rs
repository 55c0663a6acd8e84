//! What a verified caller is refused is on record: by its cause, with the connection or the lease it was about, and no
//! more of them a minute than were said, however many come at once.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Vault, deposit};
use crate::kept_open::{Client, Wire};

const UNKNOWN: &str = "conn_01ARZ3NDEKTSV4RRFFQ69G5FAV";
const UNKNOWN_LEASE: &str = "lease_01ARZ3NDEKTSV4RRFFQ69G5FAV";
const CROWD: usize = 400;

/// The events of an org, without a call that is on record itself.
fn stored(vault: &Vault, org: &str) -> Vec<Value> {
    let rest = format!("FROM audit_events WHERE org_id = '{org}' ORDER BY seq");
    let events = vault.home.sql().texts("event", &rest);
    events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

/// Sends so many, each by a connection of its own, before it reads any answer.
fn at_once(vault: &Vault, request: &str, token: &str, body: &str) -> Vec<u16> {
    let address = vault.url.strip_prefix("http://").unwrap().to_owned();
    let connect = move || -> Box<dyn Wire> { Box::new(TcpStream::connect(&address).unwrap()) };
    let mut crowd: Vec<_> = (0..CROWD).map(|_| Client::new(&connect)).collect();
    crowd.iter_mut().for_each(|client| client.send(request, token, "", body));
    crowd.iter_mut().map(|client| client.answer().0).collect()
}

/// Attack on P10.
#[test]
fn a_crowd_that_is_denied_at_once_is_told_sixty_times_and_counted() {
    let uncapped = [
        ("PAWL_WRITES_PER_SECOND", "1000"),
        ("PAWL_MAX_OPEN_LEASES_PER_ORG", "1000000"),
        ("PAWL_MAX_OPEN_LEASES_PER_CONNECTION", "1000000"),
    ];
    let vault = Vault::start_with(&uncapped);
    let id = vault.deposit("s");
    let worker = vault.token("acme", "ada", "worker");
    let lend = |id: &str| format!("POST /v1/connections/{id}/leases");
    let granted = at_once(&vault, &lend(&id), &worker, r#"{"purpose": "other"}"#);
    assert!(granted.iter().all(|status| [201, 503].contains(status)), "{granted:?}");

    // What was granted took no place of theirs.
    let before = stored(&vault, "acme").len();
    let (forbidden, body) = (vault.token("beta", "bea", "auditor"), r#"{"purpose": "other"}"#);
    for (org, request, token, status) in
        [("acme", lend(UNKNOWN), &worker, 404), ("beta", lend(UNKNOWN), &forbidden, 403)]
    {
        let before = if org == "acme" { before } else { stored(&vault, org).len() };
        let denied = at_once(&vault, &request, token, body);
        let late = denied.iter().filter(|got| **got == 503).count();
        assert!(denied.iter().all(|got| [status, 503].contains(got)), "{denied:?}");
        let told = stored(&vault, org).len() - before;
        assert!(told <= 60 && told + late >= 60, "{told} in {org}, {late} late");
        vault.clock.advance(Duration::from_secs(60));
        crate::harness::until("the counts", || {
            let counted: usize = stored(&vault, org)
                .iter()
                .filter_map(|event| event["count"].as_str()?.parse::<usize>().ok())
                .sum();
            counted + told + late >= CROWD && counted + told <= CROWD
        });
    }
}

/// Attack on P5.
#[test]
fn whatever_is_refused_says_of_which_connection_or_lease() {
    let vault = Vault::start();
    let id = vault.deposit_as("acme", "ada", &deposit("bot", "s"));
    let theirs = vault.deposit_as("other", "eve", &deposit("bot", "s"));
    let lease = vault.lend(&id, &json!({"purpose": "other"})).text("id");
    let [backend, worker, auditor] =
        ["backend", "worker", "auditor"].map(|role| vault.token("acme", "ada", role));
    let thief = vault.token_for("acme", "ada", "worker", "thief");
    let read = json!({"model": "res.partner", "method": "search_read", "fields": ["name"]});
    let [none, lend, ok, secret, label, renewed] = [
        Value::Null,
        json!({"purpose": "other"}),
        json!({"outcome": "ok"}),
        json!({"secret": "t"}),
        json!({"label": "x"}),
        json!({}),
    ];
    let connection = |of: &str, rest: &str| format!("/v1/connections/{of}{rest}");
    let leased = |of: &str, rest: &str| format!("/v1/leases/{of}{rest}");
    type Call<'a> = (&'a str, String, &'a Value, &'a str);
    let calls = |of: &str| -> [Call<'_>; 7] {
        [
            ("GET", connection(of, ""), &none, "connection.show"),
            ("PATCH", connection(of, ""), &label, "connection.update"),
            ("DELETE", connection(of, ""), &none, "connection.forget"),
            ("PUT", connection(of, "/credential"), &secret, "connection.replace"),
            ("POST", connection(of, "/check"), &none, "connection.check"),
            ("POST", connection(of, "/leases"), &lend, "lease.lend"),
            ("POST", connection(of, "/read"), &read, "inject.started"),
        ]
    };
    // What was asked, by whom, as what it is on record, and what it is about.
    let mut tried: Vec<(Call, &str, &str, &str)> = Vec::new();
    for of in [theirs.as_str(), UNKNOWN] {
        for call in calls(of) {
            let by = if ["lease.lend", "inject.started"].contains(&call.3) { &worker } else { &backend };
            tried.push((call, by, "not-found", of));
        }
    }
    for call in calls(&id) {
        // An auditor may do none of it.
        tried.push((call, &auditor, "forbidden", &id));
    }
    for (rest, body, action) in
        [("/return", &ok, "lease.return"), ("/renew", &renewed, "lease.renew"), ("", &none, "lease.show")]
    {
        let method = if rest.is_empty() { "GET" } else { "POST" };
        let call = |of| (method, leased(of, rest), body, action);
        tried.push((call(UNKNOWN_LEASE), &worker, "not-found", UNKNOWN_LEASE));
        tried.push((call(&lease), &auditor, "forbidden", &lease));
        if !rest.is_empty() {
            tried.push((call(&lease), &thief, "not-holder", &lease));
        }
    }
    for ((method, path, body, action), token, cause, about) in &tried {
        let before = stored(&vault, "acme").len();
        let body = (!body.is_null()).then_some(*body);
        let refused = vault.call(method, path, token, body);
        let wanted = if *cause == "not-found" { 404 } else { 403 };
        assert_eq!((refused.status, refused.problem().as_str()), (wanted, *cause), "{method} {path}");
        let all = stored(&vault, "acme");
        assert_eq!(all.len(), before + 1, "{method} {path}");
        let told = all.last().unwrap();
        assert_eq!(
            (&told["activity_name"], &told["status"], &told["status_detail"]),
            (&json!(action), &json!("Failure"), &json!(cause)),
            "{method} {path}"
        );
        let member = if about.starts_with("conn_") { "connection.uid" } else { "lease.uid" };
        assert_eq!(told[member], *about, "{method} {path}: {told}");
    }
    // One that is over; of it the connection is known.
    let back = leased(&lease, "/return");
    assert_eq!(vault.call("POST", &back, &worker, Some(&ok)).status, 204);
    assert_eq!(vault.call("POST", &back, &worker, Some(&ok)).problem(), "lease-ended");
    let told = stored(&vault, "acme").pop().unwrap();
    assert_eq!((&told["status_detail"], &told["connection.uid"]), (&json!("lease-ended"), &json!(id)));
    // Nothing of it stands in the trail of whose it is; and it is found by its id.
    assert!(stored(&vault, "other").iter().all(|event| event["status"] == "Success"));
    let owner = vault.token("acme", "boss", "owner");
    let found = vault.searched(&owner, &format!("connection_id={theirs}"));
    assert_eq!(found.len(), 7, "{found:?}");
}
