//! The keys that sign tokens follow each other: with an overlap, or at once when one is stolen or lost.

use std::time::Duration;

use pawl::vault::keys::Following;
use serde_json::{Value, json};

use crate::exchange::{Service, exchange};
use crate::forger::Forger;
use crate::harness::{Home, Vault, call};
use crate::rotation::{key_file, keys_done};
use crate::tokens::parts;

const LIST: &str = "/v1/connections";

fn kid(token: &str) -> String {
    parts(token).0["kid"].as_str().unwrap().to_owned()
}

/// A second later, so that ids and times tell which came first.
fn rotate(vault: &Vault, following: Following) -> String {
    vault.clock.advance(Duration::from_secs(1));
    vault.app_beside().keys().rotate_issuer(following).unwrap().0.to_string()
}

/// Attack on P5 and P10.
#[test]
fn the_next_key_is_known_before_it_signs_and_the_one_before_outlives_its_tokens() {
    let mut vault = Vault::start();
    let replica = vault.replica();
    let urls = [vault.url.as_str(), replica.as_str()];
    let shop = Service::new("shop").registered(&vault, Some(&["acme"]), Some("ada"), &["backend"]);
    let (first, old) = (shop.token(&vault, &json!({})), Forger::of(&vault));
    let by_old = || old.sign(&old.header().to_string(), &old.claims(&vault).to_string());
    Vault::until(&urls, LIST, &first, 200);
    let next = rotate(&vault, Following::Overlapping);
    assert_eq!(kid(&shop.token(&vault, &json!({}))), kid(&first), "the next one waits until all know it");
    assert_eq!(kid(&vault.app_beside_token()), kid(&first));
    vault.clock.advance(Duration::from_secs(10));
    // whichever signs, every replica takes it
    let second = || {
        let token = shop.token(&vault, &json!({}));
        (kid(&token) == next).then_some(token)
    };
    let second = std::iter::repeat_with(second).take(10_000).find_map(|token| token).unwrap();
    for token in [&first, &second] {
        Vault::until(&urls, LIST, token, 200);
    }
    // the last that the first one signed lives 15 minutes from then, and clocks differ
    vault.clock.advance(Duration::from_secs(15 * 60 + 59));
    let remembered = by_old();
    Vault::until(&urls, LIST, &remembered, 200);
    vault.clock.advance(Duration::from_secs(1));
    for url in urls {
        for token in [&remembered, &by_old()] {
            assert_eq!(call(url, "GET", LIST, token, None).status, 401);
        }
    }
    // its row goes with the next rotation
    let rows = || vault.home.sql().texts("id", "FROM issuer_keys ORDER BY id");
    assert_eq!(rows(), [kid(&first), next.clone()]);
    let third = rotate(&vault, Following::Overlapping);
    assert_eq!(rows(), [next, third]);
    let own: Vec<Value> = vault.own_trail().iter().map(|event| event["activity_name"].clone()).collect();
    let told: Vec<&Value> =
        own.iter().filter(|action| action.as_str().unwrap().starts_with("issuer.")).collect();
    assert_eq!(
        json!(told),
        json!(["issuer.make", "issuer.end", "issuer.rotate", "issuer.drop", "issuer.end", "issuer.rotate"])
    );
}

/// Attack on P5.
#[test]
fn a_stolen_key_signs_nothing_that_is_taken_once_another_follows_at_once() {
    let mut vault = Vault::start();
    let replica = vault.replica();
    let urls = [vault.url.as_str(), replica.as_str()];
    let thief = Forger::of(&vault);
    let mut claims = thief.claims(&vault);
    claims["roles"] = json!(["owner"]);
    let stolen = |jti: &str| {
        let mut claims = claims.clone();
        claims["jti"] = json!(jti);
        thief.sign(&thief.header().to_string(), &claims.to_string())
    };
    let remembered = stolen("tok_remembered");
    Vault::until(&urls, LIST, &remembered, 200);
    let next = rotate(&vault, Following::AtOnce);
    Vault::until(&urls, LIST, &remembered, 401);
    for url in urls {
        assert_eq!(call(url, "GET", LIST, &stolen("tok_fresh"), None).status, 401);
    }
    let token = vault.app_beside_token();
    assert_eq!(kid(&token), next);
    Vault::until(&urls, LIST, &token, 200);
    assert_eq!(vault.home.sql().texts("id", "FROM issuer_keys"), [next]);
}

/// Attack on P10.
#[test]
fn a_key_that_lies_under_a_lost_master_key_is_followed_unopened() {
    let vault = Vault::start();
    let home = vault.stop();
    keys_done(&home, &["rotate"]);
    let mut file = key_file(&home);
    file["keys"].as_object_mut().unwrap().remove("k1");
    std::fs::write(home.key_file(), file.to_string()).unwrap();
    let said = |args: &[&str]| {
        let output = home.pawl(&[]).args(args).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let mint = ["token", "issue", "--org", "acme", "--user", "ada", "--role", "backend"];
    let (ok, told) = said(&mint);
    assert!(!ok && told.contains("the issuer's key in the database does not open"), "{told}");
    let (ok, told) = said(&["token", "keys", "rotate", "--at-once"]);
    assert!(ok && told.contains("signs from now on"), "{told}");
    assert!(said(&mint).0);
    let listed = said(&["token", "keys", "list"]).1;
    let lines: Vec<Vec<&str>> =
        listed.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let living: Vec<&Vec<&str>> = lines.iter().filter(|line| line[0].starts_with("iss_")).collect();
    assert_eq!((living.len(), living[0][1]), (1, "signs"), "{listed}");
}

/// Attack on P10.
#[test]
fn a_key_that_lies_under_a_new_master_key_is_opened_by_every_replica() {
    let mut vault = Vault::start();
    let replica = vault.replica();
    vault.app_beside().keys().rotate().unwrap();
    let next = rotate(&vault, Following::Overlapping);
    assert_eq!(vault.home.sql().texts("key_id", "FROM issuer_keys ORDER BY id"), ["k1", "k2"]);
    vault.clock.advance(Duration::from_secs(10));
    let token = vault.app_beside_token();
    assert_eq!(kid(&token), next);
    Vault::until(&[&vault.url, &replica], LIST, &token, 200);
}

/// It stops a start by name, and nothing else once its row is gone.
/// Attack on P10.
#[test]
fn a_key_that_stays_shut_costs_its_own_tokens_alone() {
    let vault = Vault::start();
    let old = vault.token("acme", "ada", "backend");
    let next = rotate(&vault, Following::Overlapping);
    vault.clock.advance(Duration::from_secs(10));
    let new = vault.app_beside_token();
    assert_eq!(kid(&new), next);
    Vault::until(&[&vault.url], LIST, &new, 200);
    let home = vault.stop();
    home.sql().run(&format!("UPDATE issuer_keys SET sealed = 'gone' WHERE id = '{next}'"));
    let (home, told) = refused_start(home);
    assert!(told.contains("the issuer's key in the database does not open"), "{told}");
    home.sql().run(&format!("DELETE FROM issuer_keys WHERE id = '{next}'"));
    let vault = Vault::start_in(home, &[]);
    assert_eq!(call(&vault.url, "GET", LIST, &old, None).status, 200);
    assert_eq!(call(&vault.url, "GET", LIST, &new, None).status, 401);
    let shop = Service::new("shop").registered(&vault, Some(&["acme"]), Some("ada"), &["backend"]);
    assert_eq!(exchange(&vault.url, &shop.assertion(&vault, &json!({}))).status, 200);
}

fn refused_start(home: Home) -> (Home, String) {
    let output = home.pawl(&[]).arg("doctor").output().unwrap();
    assert!(!output.status.success());
    (home, String::from_utf8(output.stdout).unwrap())
}
