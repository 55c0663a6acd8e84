//! `POST /v1/token`: a service's signed assertion for a token. Once, by its own key, for what it was registered for.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pawl::access::Client;
use pawl::client_key::PublicKey;
use pawl::ids::{ClientId, OrgId, UserId};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::harness::{Answer, Vault, raw};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// A service with a key of its own.
pub struct Service {
    name: &'static str,
    key: Ed25519KeyPair,
}

impl Service {
    pub fn new(name: &'static str) -> Self {
        let seed: [u8; 32] =
            ring::digest::digest(&ring::digest::SHA256, name.as_bytes()).as_ref().try_into().unwrap();
        Self { name, key: Ed25519KeyPair::from_seed_unchecked(&seed).unwrap() }
    }

    pub fn public(&self) -> PublicKey {
        PublicKey::from_text(&URL_SAFE_NO_PAD.encode(self.key.public_key().as_ref())).unwrap()
    }

    /// Registered for `orgs` (`None`: any) and `user`, with `roles`.
    pub fn registered(
        self,
        vault: &Vault,
        orgs: Option<&[&str]>,
        user: Option<&str>,
        roles: &[&str],
    ) -> Self {
        let registry = vault.registry();
        let client = Client {
            id: ClientId::parse(self.name).unwrap(),
            key: self.public(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            orgs: orgs.map(|orgs| orgs.iter().map(|org| OrgId::parse(org).unwrap()).collect()),
            user: user.map(|user| UserId::parse(user).unwrap()),
            created_at: registry.now(),
        };
        registry.add(client).unwrap();
        self
    }

    /// The claims of a fresh assertion.
    pub fn claims(&self, vault: &Vault) -> Value {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let now = vault.clock.now().seconds();
        json!({"iss": self.name, "sub": self.name, "aud": format!("{}/v1/token", vault.url), "exp": now + 60,
               "iat": now, "jti": format!("a{number}")})
    }

    pub fn sign(&self, header: &Value, claims: &str) -> String {
        let head = URL_SAFE_NO_PAD.encode(header.to_string());
        let message = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes())))
    }

    /// A fresh assertion, with `more` in its claims; null takes one out.
    pub fn assertion(&self, vault: &Vault, more: &Value) -> String {
        let mut claims = self.claims(vault);
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        self.sign(&json!({"alg": "EdDSA", "typ": "JWT"}), &claims.to_string())
    }

    pub fn token(&self, vault: &Vault, more: &Value) -> String {
        let answer = exchange(&vault.url, &self.assertion(vault, more));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.text("access_token")
    }
}

pub fn exchange(url: &str, assertion: &str) -> Answer {
    let form = format!(
        "grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A\
         client-assertion-type%3Ajwt-bearer&client_assertion={assertion}"
    );
    raw(url, "POST", "/v1/token", FORM, form.as_bytes())
}

/// What stands in a token's claims.
pub fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[test]
fn a_service_exchanges_what_it_signed_for_a_token_of_a_quarter_of_an_hour() {
    let vault = Vault::start();
    let shop = Service::new("shop").registered(&vault, Some(&["acme"]), Some("ada"), &["backend", "worker"]);
    let answer = exchange(&vault.url, &shop.assertion(&vault, &json!({})));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        (answer.json["token_type"].as_str(), answer.json["expires_in"].as_u64()),
        (Some("Bearer"), Some(900))
    );
    for (name, value) in
        [("cache-control", "no-store"), ("content-type", "application/json"), ("connection", "close")]
    {
        assert_eq!(answer.header(name), Some(value));
    }
    let token = answer.text("access_token");
    let said = claims(&token);
    assert_eq!((said["org"].as_str(), said["sub"].as_str()), (Some("acme"), Some("ada")));
    assert_eq!((&said["client_id"], &said["roles"]), (&json!("shop"), &json!(["backend", "worker"])));
    assert_eq!(vault.call("GET", "/v1/connections", &token, None).status, 200);
    let event = vault
        .trail("acme")
        .iter()
        .map(|entry| entry["event"].clone())
        .find(|event| event["action"] == "token.exchange")
        .unwrap();
    for (member, value) in [
        ("client_id", "shop"),
        ("user", "ada"),
        ("role", "backend worker"),
        ("token_id", said["jti"].as_str().unwrap()),
        ("request_id", answer.header("x-request-id").unwrap()),
    ] {
        assert_eq!(event[member], value, "{event}");
    }
    vault.clock.advance(Duration::from_secs(930));
    assert_eq!(vault.call("GET", "/v1/connections", &token, None).status, 401);
}
