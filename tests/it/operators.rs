//! An operator acts for no org: no tenant's call is theirs, whichever it is, and each that they try is on record.

use serde_json::{Value, json};

use crate::exchange::{Service, claims};
use crate::harness::{Vault, call, deposit};

const LEASE: &str = "lease_01ARZ3NDEKTSV4RRFFQ69G5FAV";

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
            if operation["security"].pointer("/0/bearer/0").is_none() {
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
                ("action", json!("tenant.call")),
                ("call", json!(format!("{method} {path}"))),
                ("outcome", json!("refused")),
                ("client_id", json!("ops")),
                ("request_id", answer.json["request_id"].clone()),
                ("org", Value::Null),
            ] {
                assert_eq!(event[member], value, "{event}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 13, "{tried}");
    // nobody's trail but the vault's own has it (and this look is one token more)
    assert_eq!(vault.trail("acme").len(), before + 1);
    assert_eq!(vault.home.sql().count("connections"), 1);
    let exchanged = vault.own_trail().iter().filter(|event| event["action"] == "token.exchange").count();
    assert_eq!(exchanged, 1);
}
