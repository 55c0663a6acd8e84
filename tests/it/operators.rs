//! Operators: registered clients that act for no org. They see which keys there are, start a reseal and watch
//! it, and reach nothing of any tenant's; and no tenant's role reaches what is theirs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::exchange::Service;
use crate::harness::{Answer, Vault};
use crate::rotation::{keys, keys_done};

fn operator(vault: &Vault) -> String {
    let ops = Service::new("ops").registered(vault, Some(&[]), None, &["operator"]);
    ops.token(vault, &json!({}))
}

/// The vault's own chain, oldest first.
fn own_trail(vault: &Vault) -> Vec<Value> {
    let events = vault.home.sql().texts("event", "FROM audit_events WHERE org_id = '' ORDER BY seq");
    events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

/// Asks until the last reseal has ended.
fn ended(vault: &Vault, token: &str) -> Answer {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let seen = vault.call("GET", "/v1/keys/reseal", token, None);
        assert_eq!(seen.status, 200, "{}", seen.body);
        if seen.json["state"] != "running" {
            return seen;
        }
        assert!(Instant::now() < patience, "{}", seen.body);
        std::thread::yield_now();
    }
}

/// Attack on P1.
#[test]
fn an_operator_lists_the_keys_and_has_everything_resealed() {
    let vault = Vault::start();
    let operator = operator(&vault);
    let ids: Vec<String> = (0..3)
        .map(|n| {
            vault.deposit_as("acme", "ada", &crate::harness::deposit(&format!("bot{n}"), "planted-SECRET"))
        })
        .collect();
    let none = vault.call("GET", "/v1/keys/reseal", &operator, None);
    assert_eq!((none.status, none.problem().as_str()), (404, "not-found"));
    keys_done(&vault.home, &["rotate"]);

    let list = || vault.call("GET", "/v1/keys", &operator, None);
    let of = |answer: &Answer, n: usize, path: &str| answer.json["items"][n].pointer(path).unwrap().clone();
    let before = list();
    assert_eq!(before.status, 200, "{}", before.body);
    let shown = |answer: &Answer| {
        let key =
            |n| ["/id", "/state", "/sealed/credentials", "/sealed/issuer_keys"].map(|it| of(answer, n, it));
        [key(0), key(1)]
    };
    assert_eq!(json!(shown(&before)), json!([["k1", "opening", 3, 1], ["k2", "sealing", 0, 0]]));
    let said = keys_done(&vault.home, &["list"]);
    for n in 0..2 {
        assert!(said.contains(of(&before, n, "/fingerprint").as_str().unwrap()), "{said}");
    }
    // By its own account: this vault has met the new key with nothing yet.
    assert_eq!((of(&before, 0, "/held"), of(&before, 1, "/held")), (json!(true), json!(false)));

    let started = vault.call("POST", "/v1/keys/reseal", &operator, None);
    assert_eq!((started.status, &started.json["state"]), (202, &json!("running")), "{}", started.body);
    let done = ended(&vault, &operator);
    assert_eq!(done.json["id"], started.json["id"]);
    for (member, value) in
        [("state", json!("done")), ("key_id", json!("k2")), ("moved", json!(4)), ("shut", json!(0))]
    {
        assert_eq!(done.json[member], value, "{}", done.body);
    }
    assert_eq!(json!(shown(&list())), json!([["k1", "opening", 0, 0], ["k2", "sealing", 3, 1]]));
    for id in &ids {
        assert_eq!(
            vault.lend(id, &json!({"purpose": "other"})).json["credential"]["secret"],
            "planted-SECRET"
        );
    }
    let trail = own_trail(&vault);
    let asked = trail.iter().find(|event| event["action"] == "keys.reseal").unwrap();
    for (member, value) in [("client_id", "ops"), ("subject", "k2"), ("outcome", "done")] {
        assert_eq!(asked[member], value, "{asked}");
    }
    assert_eq!(asked["reseal_id"], started.json["id"]);
    // what the command line does is seen too
    keys_done(&vault.home, &["reseal"]);
    let last = ended(&vault, &operator);
    assert!(last.json["id"] != started.json["id"] && last.json["moved"] == 0, "{}", last.body);
    let all = [before.body, started.body, done.body, last.body].concat();
    assert!(!["planted", "acme", "ada", "conn_", "odoo"].iter().any(|it| all.contains(it)), "{all}");
}

#[test]
fn a_reseal_that_goes_on_elsewhere_is_not_started_again_until_it_is_silent() {
    let vault = Vault::start();
    let operator = operator(&vault);
    let begun = "reseal_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let at = vault.clock.now().micros();
    vault.sql(&format!(
        "INSERT INTO reseals (id, key_id, started_at, updated_at, total, moved, shut) VALUES ('{begun}', 'k1', {at}, {at}, 9, 4, 0)"
    ));
    let started = vault.call("POST", "/v1/keys/reseal", &operator, None);
    assert_eq!((started.status, started.text("id").as_str()), (202, begun), "{}", started.body);
    vault.clock.advance(Duration::from_secs(60));
    let seen = vault.call("GET", "/v1/keys/reseal", &operator, None);
    assert_eq!((seen.text("state").as_str(), &seen.json["moved"]), ("broken_off", &json!(4)));
    let again = vault.call("POST", "/v1/keys/reseal", &operator, None);
    assert_ne!(again.text("id"), begun, "{}", again.body);
    assert_eq!(ended(&vault, &operator).text("state"), "done");
    // and one that can't open the ring says so
    vault.clock.advance(Duration::from_secs(1));
    std::fs::rename(vault.home.key_file(), vault.home.path().join("elsewhere")).unwrap();
    assert_eq!(vault.call("POST", "/v1/keys/reseal", &operator, None).status, 202);
    assert_eq!(ended(&vault, &operator).text("state"), "failed");
    assert_ne!(keys(&vault.home, &["reseal"]).0, 0);
}

/// Attack on P5.
#[test]
fn operators_and_tenants_reach_nothing_of_each_other() {
    let vault = Vault::start();
    let (operator, connection) = (operator(&vault), vault.deposit("s"));
    let lease = vault.lend(&connection, &json!({"purpose": "sync"})).text("id");
    let calls = crate::every_call::calls();
    let (theirs, tenants): (Vec<_>, Vec<_>) =
        calls.iter().partition(|call| call.path.starts_with("/v1/keys"));
    assert_eq!(theirs.len(), 3);
    let ask = |call: &crate::every_call::Call, token: &str| {
        let id = if call.path.starts_with("/v1/leases") { &lease } else { &connection };
        let path = call.path.replace("{id}", id);
        vault.call(&call.method, &path, token, crate::every_call::example(call).as_ref())
    };
    for call in theirs {
        for role in ["backend", "worker", "owner", "auditor"] {
            let refused = ask(call, &vault.token("acme", "ada", role));
            assert_eq!((refused.status, refused.problem().as_str()), (403, "forbidden"), "{role}");
            let event = vault
                .trail("acme")
                .iter()
                .map(|e| e["event"].clone())
                .rfind(|e| e["action"] != "token.issue");
            let event = event.unwrap();
            assert!(event["action"].as_str().unwrap().starts_with("keys."), "{event}");
            assert_eq!((&event["outcome"], &event["cause"]), (&json!("refused"), &json!("forbidden")));
        }
    }
    for call in tenants {
        let before = own_trail(&vault).len();
        let refused = ask(call, &operator);
        assert_eq!((refused.status, refused.problem().as_str()), (403, "forbidden"), "{}", call.operation);
        let trail = own_trail(&vault);
        let event = trail.last().unwrap();
        assert!(trail.len() > before, "{}", call.operation);
        let said = format!("{} {}", call.method, call.path);
        assert_eq!(
            (&event["outcome"], &event["client_id"], &event["call"]),
            (&json!("refused"), &json!("ops"), &json!(said))
        );
    }
    let backend = vault.token("acme", "ada", "backend");
    assert_eq!(vault.call("GET", &format!("/v1/connections/{connection}"), &backend, None).status, 200);
}
