//! Operators: registered clients that act for no org. They see which keys there are, start a reseal and watch
//! it, and reach nothing of any tenant's; and no tenant's role reaches what is theirs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::exchange::{Service, claims};
use crate::harness::{Answer, Vault, call, deposit, until};
use crate::rotation::{keys, keys_done};

fn operator(vault: &Vault) -> String {
    let ops = Service::new("ops").registered(vault, Some(&[]), None, &["operator"]);
    ops.token(vault, &json!({}))
}

/// Asks until the last reseal has ended.
fn ended(vault: &Vault, token: &str) -> Answer {
    let look = || vault.call("GET", "/v1/keys/reseal", token, None);
    until("the reseal's end", || {
        let seen = look();
        assert_eq!(seen.status, 200, "{}", seen.body);
        seen.json["state"] != "running"
    });
    look()
}

/// Attack on P1.
#[test]
fn an_operator_lists_the_keys_and_has_everything_resealed() {
    let vault = Vault::start();
    let operator = operator(&vault);
    let ids: Vec<String> = (0..3)
        .map(|n| vault.deposit_as("acme", "ada", &deposit(&format!("bot{n}"), "planted-SECRET")))
        .collect();
    let none = vault.call("GET", "/v1/keys/reseal", &operator, None);
    assert_eq!((none.status, none.problem().as_str()), (404, "not-found"));
    keys_done(&vault.home, &["rotate"]);

    let list = || vault.call("GET", "/v1/keys", &operator, None);
    let of = |answer: &Answer, n: usize, path: &str| answer.json["items"][n].pointer(path).unwrap().clone();
    let before = list();
    assert_eq!(before.status, 200, "{}", before.body);
    let shown = |answer: &Answer| {
        let members = ["/id", "/state", "/sealed/credentials", "/sealed/issuer_keys", "/sealed/log_keys"];
        [0, 1].map(|n| members.map(|it| of(answer, n, it)))
    };
    assert_eq!(json!(shown(&before)), json!([["k1", "opening", 3, 1, 1], ["k2", "sealing", 0, 0, 0]]));
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
        [("state", json!("done")), ("key_id", json!("k2")), ("moved", json!(5)), ("shut", json!(0))]
    {
        assert_eq!(done.json[member], value, "{}", done.body);
    }
    assert_eq!(json!(shown(&list())), json!([["k1", "opening", 0, 0, 0], ["k2", "sealing", 3, 1, 1]]));
    for id in &ids {
        assert_eq!(
            vault.lend(id, &json!({"purpose": "other"})).json["credential"]["secret"],
            "planted-SECRET"
        );
    }
    let trail = vault.own_trail();
    let asked = trail.iter().find(|event| event["activity_name"] == "keys.reseal").unwrap();
    for (member, value) in [("actor.app_uid", "ops"), ("subject", "k2"), ("status", "Success")] {
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

const LEASE: &str = "lease_01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// Attack on P5.
#[test]
fn no_tenants_role_reaches_an_operators_call_and_each_try_is_on_record() {
    let vault = Vault::start();
    let calls = crate::every_call::calls().into_iter().filter(|call| call.path.starts_with("/v1/keys"));
    let mut tried = 0;
    for call in calls {
        for role in ["backend", "worker", "owner", "auditor"] {
            let refused = vault.call(&call.method, &call.path, &vault.token("acme", "ada", role), None);
            assert_eq!((refused.status, refused.problem().as_str()), (403, "forbidden"), "{role}");
            let trail = vault.trail("acme");
            let event =
                trail.iter().map(|e| &e["event"]).rfind(|e| e["activity_name"] != "token.issue").unwrap();
            assert!(event["activity_name"].as_str().unwrap().starts_with("keys."), "{event}");
            assert_eq!((&event["status"], &event["status_detail"]), (&json!("Failure"), &json!("forbidden")));
            tried += 1;
        }
    }
    assert_eq!(tried, 12);
}

/// Attack on P5.
#[test]
fn an_operator_reaches_no_tenants_call_and_each_try_is_on_record() {
    let vault = Vault::start();
    let ops = Service::new("ops").registered(&vault, Some(&[]), None, &["operator"]);
    let id = vault.deposit("secret");
    let token = ops.token(&vault, &json!({}));
    assert_eq!(claims(&token).get("org"), None);
    let document = call(&vault.url, "GET", "/openapi.json", "", None).json;
    let (mut tried, before) = (0, vault.trail("acme").len());
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation["security"].pointer("/0/bearer/0").is_none() || path.starts_with("/v1/keys") {
                continue;
            }
            let method = method.to_uppercase();
            let body = operation["requestBody"].is_object().then(|| match path.as_str() {
                "/v1/connections" => deposit("another", "secret"),
                _ => json!({}),
            });
            let id = if path.starts_with("/v1/leases") { LEASE } else { &id };
            let answer = call(&vault.url, &method, &path.replace("{id}", id), &token, body.as_ref());
            assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"), "{method} {path}");
            let own = vault.own_trail();
            let event = own.last().unwrap();
            for (member, value) in [
                ("activity_name", json!("tenant.call")),
                ("call", json!(format!("{method} {path}"))),
                ("status", json!("Failure")),
                ("actor.app_uid", json!("ops")),
                ("api.request.uid", answer.json["request_id"].clone()),
                ("actor.user.org.uid", Value::Null),
            ] {
                assert_eq!(event[member], value, "{event}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 13, "{tried}");
    // nobody's trail but the vault's own has it
    assert_eq!(vault.trail("acme").len(), before);
    assert_eq!(vault.home.sql().count("connections"), 1);
    let exchanged =
        vault.own_trail().iter().filter(|event| event["activity_name"] == "token.exchange").count();
    assert_eq!(exchanged, 1);
}
