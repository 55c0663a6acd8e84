//! What is revoked is taken on no replica any more, and while nobody can say what is, nothing is taken.

use std::time::{Duration, Instant};

use pawl::clock::Moment;
use pawl::ids::{ClientId, TokenId};
use serde_json::json;

use crate::exchange::{Service, claims, exchange};
use crate::harness::{Vault, call, is_within};

const LIST: &str = "/v1/connections";

/// On each of `urls`, from now on.
fn refused_in_time(urls: &[&str], token: &str) {
    let begun = Instant::now();
    Vault::until(urls, LIST, token, 401);
    is_within(Duration::from_secs(2), begun.elapsed(), "401 everywhere");
}

/// Attack on P5.
#[test]
fn what_is_revoked_is_taken_on_no_replica_any_more() {
    let mut vault = Vault::start();
    let replica = vault.replica();
    let urls = [vault.url.clone(), replica];
    let urls = [urls[0].as_str(), urls[1].as_str()];
    let shop = Service::new("shop").registered(&vault, Some(&["acme"]), Some("ada"), &["backend"]);
    let (one, two) = (shop.token(&vault, &json!({})), shop.token(&vault, &json!({})));
    let others = vault.token_for("acme", "ada", "backend", "other");
    // remembered by both
    for token in [&one, &two, &others] {
        Vault::until(&urls, LIST, token, 200);
    }
    let registry = vault.registry();
    registry.revoke_token(&TokenId::parse(claims(&one)["jti"].as_str().unwrap()).unwrap()).unwrap();
    refused_in_time(&urls, &one);
    for url in urls {
        assert_eq!(call(url, "GET", LIST, &one, None).text("detail"), "the token was revoked");
        assert_eq!(call(url, "GET", LIST, &two, None).status, 200);
    }
    // all that it was issued so far; not what it is issued later, nor what others were
    vault.clock.advance(Duration::from_secs(2));
    let client = ClientId::parse("shop").unwrap();
    let before = Moment::from_micros(vault.clock.now().micros() - 1_000_000);
    assert_eq!(registry.revoke_client(&client, Some(before)).unwrap(), before);
    let three = shop.token(&vault, &json!({}));
    refused_in_time(&urls, &two);
    assert!(registry.revoke_client(&client, Some(vault.clock.now().after(Duration::from_secs(1)))).is_err());
    for token in [&three, &others] {
        Vault::until(&urls, LIST, token, 200);
    }
    registry.revoke_client(&client, None).unwrap();
    refused_in_time(&urls, &three);
    // a vault that starts now knows it too
    let third = vault.replica();
    for token in [&one, &two, &three] {
        assert_eq!(call(&third, "GET", LIST, token, None).text("detail"), "the token was revoked");
    }
    vault.clock.advance(Duration::from_secs(1));
    assert_eq!(call(&third, "GET", LIST, &shop.token(&vault, &json!({})), None).status, 200);
    // on record, in the vault's own trail and in the org's
    let own: Vec<_> =
        vault.own_trail().iter().map(|event| event["activity_name"].as_str().unwrap().to_owned()).collect();
    let own: Vec<_> = own.iter().filter(|action| action.starts_with("token.revoke")).collect();
    assert_eq!(own[own.len() - 3..], ["token.revoke", "token.revoke_client", "token.revoke_client"]);
    let revoked = |entry: &&serde_json::Value| entry["event"]["activity_name"] == "token.revoke_client";
    assert_eq!(vault.trail("acme").iter().filter(revoked).count(), 2);
}

#[test]
fn a_revocation_dies_when_nothing_is_left_that_it_could_hit() {
    let vault = Vault::start();
    let registry = vault.registry();
    let client = ClientId::parse("svc").unwrap();
    let token = vault.token("acme", "ada", "backend");
    registry.revoke_client(&client, None).unwrap();
    refused_in_time(&[&vault.url], &token);
    let kept = || vault.home.sql().count("revocations");
    // a token of then lives 15 minutes, and 30 s more by a clock that is behind
    vault.clock.advance(Duration::from_secs(15 * 60 + 59));
    registry.revoke_token(&TokenId::parse("tok_1").unwrap()).unwrap();
    assert_eq!(kept(), 2);
    vault.clock.advance(Duration::from_secs(1));
    registry.revoke_token(&TokenId::parse("tok_2").unwrap()).unwrap();
    assert_eq!(kept(), 2, "the first has gone");
    assert_eq!(vault.call("GET", LIST, &token, None).text("detail"), "the token has ended");
}

/// Attack on P5.
#[test]
fn a_service_that_is_removed_gets_nothing_and_keeps_nothing() {
    let mut vault = Vault::start();
    let replica = vault.replica();
    let shop = Service::new("shop").registered(&vault, Some(&["acme"]), Some("ada"), &["backend"]);
    let token = shop.token(&vault, &json!({}));
    let urls = [vault.url.as_str(), replica.as_str()];
    Vault::until(&urls, LIST, &token, 200);
    let id = ClientId::parse("shop").unwrap();
    vault.registry().remove(&id).unwrap();
    assert!(vault.registry().remove(&id).is_err());
    for url in urls {
        let refused = exchange(url, &shop.assertion(&vault, &json!({"aud": "urn:pawl"})));
        assert_eq!((refused.status, refused.json["error"].as_str()), (401, Some("invalid_client")));
    }
    refused_in_time(&urls, &token);
    // another of that name, by another key, is not met by what was the first one's for longer than clocks differ
    let shop = Service::new("shop").registered(&vault, Some(&["acme"]), Some("ada"), &["backend"]);
    Vault::until(&urls, LIST, &shop.token(&vault, &json!({})), 401);
    vault.clock.advance(Duration::from_secs(31));
    Vault::until(&urls, LIST, &shop.token(&vault, &json!({})), 200);
    refused_in_time(&urls, &token);
}

/// Attack on P5.
#[test]
fn while_nobody_can_say_what_is_revoked_no_token_is_taken() {
    let vault = Vault::start();
    let token = vault.token("acme", "ada", "backend");
    Vault::until(&[&vault.url], LIST, &token, 200);
    vault.sql("ALTER TABLE revocations RENAME TO away");
    Vault::until(&[&vault.url], LIST, &token, 503);
    let refused = vault.call("GET", LIST, &token, None);
    assert_eq!((refused.status, refused.problem().as_str()), (503, "unavailable"));
    assert_eq!(vault.call("GET", "/livez", "", None).status, 200);
    vault.sql("ALTER TABLE away RENAME TO revocations");
    Vault::until(&[&vault.url], LIST, &token, 200);
}
