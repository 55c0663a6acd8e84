//! Tokens: what is not ours is refused, and scope comes from nowhere else.

use std::cell::Cell;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::forger::Forger;
use crate::harness::{Vault, raw};

fn list(vault: &Vault, token: &str) -> crate::harness::Answer {
    vault.call("GET", "/v1/connections", token, None)
}

pub fn parts(token: &str) -> (Value, Value, String) {
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

/// With the issuer's own key, so that nothing but the rule in question refuses.
/// Attack on P5.
#[test]
fn what_our_own_key_signed_is_judged_all_the_same() {
    let vault = Vault::start_with(&[("PAWL_TRUSTED_PROXIES", "127.0.0.0/8")]);
    let (forger, asked) = (Forger::of(&vault), Cell::new(0));
    let (header, claims, now) = (forger.header(), forger.claims(&vault), vault.clock.now().seconds());
    let with = |part: &Value, more: Value| {
        let mut changed = part.clone();
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => drop(changed.as_object_mut().unwrap().remove(name)),
                value => changed[name] = value.clone(),
            }
        }
        changed.to_string()
    };
    let judged = |what: &str, header: &str, claims: &str| {
        // From an address of its own, which has not shown any other.
        let token = forger.sign(header, claims);
        asked.set(asked.get() + 1);
        let from = format!("Authorization: Bearer {token}\r\nX-Forwarded-For: 203.0.113.{}\r\n", asked.get());
        let answer = raw(&vault.url, "GET", "/v1/connections", &from, b"");
        assert!(answer.status == 200 || answer.problem() == "unauthorized", "{what}: {}", answer.body);
        answer.status
    };
    let by_head = [
        ("as it is", json!({}), 200),
        ("no algorithm", json!({"alg": "none"}), 401),
        ("an HMAC", json!({"alg": "HS256"}), 401),
        ("RSA", json!({"alg": "RS256"}), 401),
        ("another curve", json!({"alg": "ES256"}), 401),
        ("an algorithm in lower case", json!({"alg": "eddsa"}), 401),
        ("no algorithm at all", json!({"alg": null}), 401),
        ("an unknown kid", json!({"kid": "iss_01ARZ3NDEKTSV4RRFFQ69G5FAV"}), 401),
        ("no kid", json!({"kid": null}), 401),
        ("a kid that is no text", json!({"kid": 1}), 401),
        ("what is critical", json!({"crit": ["b64"], "b64": false}), 401),
        ("nothing critical", json!({"crit": []}), 401),
        (
            "where a key would be",
            json!({"jku": "https://evil.example/jwks", "x5u": "https://evil.example/x"}),
            200,
        ),
        ("no type", json!({"typ": null}), 401),
        ("JWT", json!({"typ": "JWT"}), 401),
        ("an id token's type", json!({"typ": "id+jwt"}), 401),
        ("an assertion's type", json!({"typ": "client-authentication+jwt"}), 401),
        ("its type in capitals", json!({"typ": "AT+JWT"}), 401),
    ];
    for (what, more, status) in by_head {
        assert_eq!(judged(what, &with(&header, more), &claims.to_string()), status, "{what}");
    }
    let by_claims = [
        ("another issuer", json!({"iss": "https://evil.example"}), 401),
        ("no issuer", json!({"iss": null}), 401),
        ("another audience", json!({"aud": "other"}), 401),
        ("several audiences", json!({"aud": ["pawl", "other"]}), 401),
        ("a list of audiences", json!({"aud": ["pawl"]}), 401),
        ("no audience", json!({"aud": null}), 401),
        ("30 s after its end", json!({"iat": now - 900, "exp": now - 30}), 401),
        ("29 s after its end", json!({"iat": now - 900, "exp": now - 29}), 200),
        ("issued in 30 s", json!({"iat": now + 30}), 200),
        ("issued in 31 s", json!({"iat": now + 31}), 401),
        ("good from in 30 s", json!({"nbf": now + 30}), 200),
        ("good from in 31 s", json!({"nbf": now + 31}), 401),
        ("a life of 901 s", json!({"exp": now + 901}), 401),
        ("900 s, from in 30 s", json!({"iat": now + 30, "exp": now + 930}), 200),
        ("900 s, from in 31 s", json!({"iat": now + 31, "exp": now + 931}), 401),
        ("an end before its beginning", json!({"iat": now + 10, "exp": now + 9}), 401),
        ("no end", json!({"exp": null}), 401),
        ("no beginning", json!({"iat": null}), 401),
        ("an end in words", json!({"exp": "never"}), 401),
        ("an end past all numbers", json!({"exp": i64::MAX, "iat": i64::MAX - 1}), 401),
        ("a beginning before all numbers", json!({"iat": i64::MIN}), 401),
        ("no name", json!({"jti": null}), 401),
        ("no user", json!({"sub": null}), 401),
        ("no client", json!({"client_id": null}), 401),
        ("a user with a line end", json!({"sub": "ada\nbob"}), 401),
        ("no org", json!({"org": null}), 401),
        ("an empty org", json!({"org": ""}), 401),
        ("no roles", json!({"roles": []}), 401),
        ("a role that is none", json!({"roles": ["backend", "root"]}), 401),
        ("a tenant's operator", json!({"roles": ["operator"]}), 401),
        ("an operator beside", json!({"roles": ["backend", "operator"]}), 401),
        ("an operator for another", json!({"roles": ["operator"], "org": null}), 401),
        ("one with a tenant's role", json!({"roles": ["operator", "owner"], "org": null, "sub": "svc"}), 401),
        ("no operator without an org", json!({"org": null, "sub": "svc"}), 401),
    ];
    for (what, more, status) in by_claims {
        assert_eq!(judged(what, &header.to_string(), &with(&claims, more)), status, "{what}");
    }
    let twice = |part: &Value, again: &str| part.to_string().replacen('{', &format!("{{{again},"), 1);
    for again in [r#""org":"other""#, r#""exp":4000000000"#, r#""roles":["owner"]"#, r#""aud":"pawl""#] {
        assert_eq!(judged(again, &header.to_string(), &twice(&claims, again)), 401, "{again}");
    }
    for again in [r#""alg":"none""#, r#""typ":"at+jwt""#] {
        assert_eq!(judged(again, &twice(&header, again), &claims.to_string()), 401, "{again}");
    }
}

/// A key that the token itself brings, or names, is never heeded; nor is ours of use as a shared secret.
/// Attack on P5.
#[test]
fn a_token_does_not_choose_what_it_is_verified_with() {
    let vault = Vault::start();
    let forger = Forger::of(&vault);
    let (header, claims) = (forger.header(), forger.claims(&vault));
    let stranger = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let x = URL_SAFE_NO_PAD.encode(stranger.public_key().as_ref());
    let mut own = header.clone();
    own["jwk"] = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    let message = joined(&own, &claims, "").trim_end_matches('.').to_owned();
    let brought = format!("{message}.{}", URL_SAFE_NO_PAD.encode(stranger.sign(message.as_bytes())));
    let mut shared = header.clone();
    shared["alg"] = json!("HS256");
    let message = joined(&shared, &claims, "").trim_end_matches('.').to_owned();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &forger.public());
    let confused = format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())));
    for (what, token) in [("its own key", brought), ("our public key as a secret", confused)] {
        assert_eq!(list(&vault, &token).text("detail"), "the token is not one of ours", "{what}");
    }
}

/// Attack on P4, P5, P6 and P8.
#[test]
fn a_token_ends_also_when_it_is_remembered() {
    let vault = Vault::start();
    let (early, late) = (vault.token("acme", "ada", "backend"), vault.token("acme", "bob", "backend"));
    assert_eq!(list(&vault, &early).status, 200);
    // its 15 minutes, and the 30 s that clocks may differ by
    vault.clock.advance(Duration::from_secs(929));
    assert_eq!(list(&vault, &early).status, 200);
    vault.clock.advance(Duration::from_secs(1));
    for (what, token) in [("remembered", early), ("first seen now", late)] {
        let refused = list(&vault, &token);
        assert_eq!(refused.status, 401, "{what}");
        assert_eq!(refused.text("detail"), "the token has ended", "{what}");
    }
}
