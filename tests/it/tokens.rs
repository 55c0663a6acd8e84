//! Tokens: what is not ours is refused, and scope comes from nowhere else.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use crate::harness::{Vault, raw};

fn list(vault: &Vault, token: &str) -> crate::harness::Answer {
    vault.call("GET", "/v1/connections", token, None)
}

fn parts(token: &str) -> (Value, Value, String) {
    let mut parts = token.split('.');
    let mut json = || {
        let bytes = URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let (header, claims) = (json(), json());
    (header, claims, parts.next().unwrap().to_owned())
}

fn joined(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

#[test]
fn a_token_says_what_rfc_9068_asks() {
    let vault = Vault::start();
    let (header, claims, _) = parts(&vault.token("acme", "ada", "backend"));
    assert_eq!((header["typ"].as_str(), header["alg"].as_str()), (Some("at+jwt"), Some("EdDSA")));
    assert!(header["kid"].as_str().unwrap().starts_with("iss_"));
    for (claim, value) in [
        ("iss", json!("urn:pawl")),
        ("aud", json!("pawl")),
        ("sub", json!("ada")),
        ("org", json!("acme")),
        ("client_id", json!("svc")),
        ("roles", json!(["backend"])),
    ] {
        assert_eq!(claims[claim], value, "{claim}");
    }
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
}

/// Attack on P5.
#[test]
fn what_is_not_ours_is_refused_and_told_nothing() {
    let vault = Vault::start();
    let good = vault.token("acme", "ada", "backend");
    assert_eq!(list(&vault, &good).status, 200);
    let (header, claims, signature) = parts(&good);
    let with = |part: &Value, name: &str, value: Value| {
        let mut changed = part.clone();
        changed[name] = value;
        changed
    };
    let stranger = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let forged = |header: &Value, claims: &Value| {
        let unsigned = joined(header, claims, "");
        let message = unsigned.trim_end_matches('.');
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(stranger.sign(message.as_bytes())))
    };
    let elsewhere = Vault::start();
    let bad = [
        ("another org, our signature", joined(&header, &with(&claims, "org", json!("other")), &signature)),
        ("another user", joined(&header, &with(&claims, "sub", json!("eve")), &signature)),
        ("more roles", joined(&header, &with(&claims, "roles", json!(["owner"])), &signature)),
        ("more time", joined(&header, &with(&claims, "exp", json!(4_000_000_000_u64)), &signature)),
        ("no algorithm", joined(&with(&header, "alg", json!("none")), &claims, "")),
        ("an HMAC with the public key", joined(&with(&header, "alg", json!("HS256")), &claims, &signature)),
        ("another type", joined(&with(&header, "typ", json!("JWT")), &claims, &signature)),
        ("no kid", joined(&with(&header, "kid", Value::Null), &claims, &signature)),
        ("a stranger's signature", forged(&header, &claims)),
        ("a stranger's kid", forged(&with(&header, "kid", json!("iss_x")), &claims)),
        ("another vault's", elsewhere.token("acme", "ada", "backend")),
        ("no signature", good.rsplit_once('.').unwrap().0.to_owned()),
        ("half of it", good[..good.len() / 2].to_owned()),
        ("too long", "x".repeat(5000)),
        ("nothing like it", "hunter2".into()),
    ];
    for (what, token) in bad {
        let refused = list(&vault, &token);
        assert_eq!((refused.status, refused.problem().as_str()), (401, "unauthorized"), "{what}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        assert_eq!(refused.text("detail"), "the token is not one of ours", "{what}");
    }
    for headers in [
        String::new(),
        "Authorization: Basic YTpi\r\n".into(),
        "Authorization: Bearer\r\n".into(),
        format!("Authorization: Bearer {good}\r\nAuthorization: Bearer {good}\r\n"),
    ] {
        let refused = raw(&vault.url, "GET", "/v1/connections", &headers, b"");
        assert_eq!((refused.status, refused.problem().as_str()), (401, "unauthorized"), "{headers:.30}");
    }
}

/// Attack on P4, P5, P6 and P8.
#[test]
fn a_token_ends_also_when_it_is_remembered() {
    let vault = Vault::start();
    let (early, late) = (vault.token("acme", "ada", "backend"), vault.token("acme", "bob", "backend"));
    assert_eq!(list(&vault, &early).status, 200);
    vault.clock.advance(Duration::from_secs(899));
    assert_eq!(list(&vault, &early).status, 200);
    vault.clock.advance(Duration::from_secs(1));
    for (what, token) in [("remembered", early), ("first seen now", late)] {
        let refused = list(&vault, &token);
        assert_eq!(refused.status, 401, "{what}");
        assert_eq!(refused.text("detail"), "the token has ended", "{what}");
    }
}
