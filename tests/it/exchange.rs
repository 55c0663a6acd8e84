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

pub const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

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
        .find(|event| event["activity_name"] == "token.exchange")
        .unwrap();
    for (member, value) in [
        ("actor.app_uid", "shop"),
        ("actor.user.uid", "ada"),
        ("role", "backend worker"),
        ("token_id", said["jti"].as_str().unwrap()),
        ("api.request.uid", answer.header("x-request-id").unwrap()),
    ] {
        assert_eq!(event[member], value, "{event}");
    }
    vault.clock.advance(Duration::from_secs(930));
    assert_eq!(vault.call("GET", "/v1/connections", &token, None).status, 401);
}

/// A token of the vault's own, `None` where the answer is a problem.
fn refused(answer: &Answer) -> (u16, String, Option<&str>) {
    (answer.status, answer.problem(), answer.json["error"].as_str())
}

/// Attack on P5.
#[test]
fn an_assertion_that_is_not_the_clients_own_and_fresh_gets_one_answer_alone() {
    let vault = Vault::start();
    let shop = Service::new("shop").registered(&vault, Some(&["acme"]), Some("ada"), &["backend"]);
    let other = Service::new("other").registered(&vault, Some(&["other"]), Some("eve"), &["backend"]);
    let stranger = Service::new("stranger");
    let now = vault.clock.now().seconds();
    let before = vault.trail("acme").len();
    let head = |more: Value| {
        let mut head = json!({"alg": "EdDSA", "typ": "JWT"});
        head.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        shop.sign(&head, &shop.claims(&vault).to_string())
    };
    let with = |more: Value| shop.assertion(&vault, &more);
    let twice = shop.claims(&vault).to_string().replacen('{', r#"{"sub":"other","#, 1);
    let good = with(json!({}));
    let bad = [
        ("nobody's", stranger.assertion(&vault, &json!({}))),
        ("another's key", other.assertion(&vault, &json!({"iss": "shop", "sub": "shop"}))),
        ("for another", with(json!({"sub": "other"}))),
        ("by another", with(json!({"iss": "other"}))),
        ("by and for another", with(json!({"iss": "other", "sub": "other"}))),
        ("no issuer", with(json!({"iss": null}))),
        ("no subject", with(json!({"sub": null}))),
        ("for somebody else", with(json!({"aud": "https://evil.example/v1/token"}))),
        ("for somebody else too", with(json!({"aud": ["urn:pawl", "https://evil.example"]}))),
        ("as a token is", with(json!({"aud": "pawl"}))),
        ("for nobody", with(json!({"aud": []}))),
        ("no audience", with(json!({"aud": null}))),
        ("over since 30 s", with(json!({"exp": now - 30}))),
        ("good for 91 s", with(json!({"exp": now + 91}))),
        ("no end", with(json!({"exp": null}))),
        ("made in 31 s", with(json!({"iat": now + 31}))),
        ("good from in 31 s", with(json!({"nbf": now + 31}))),
        ("no name", with(json!({"jti": null}))),
        ("an empty name", with(json!({"jti": ""}))),
        ("a name with a space", with(json!({"jti": "a b"}))),
        ("a name of 129", with(json!({"jti": "x".repeat(129)}))),
        ("an org with a line end", with(json!({"org": "a\nb"}))),
        ("roles that are no list", with(json!({"roles": "backend"}))),
        ("said twice", shop.sign(&json!({"alg": "EdDSA"}), &twice)),
        ("an access token's type", head(json!({"typ": "at+jwt"}))),
        ("another algorithm", head(json!({"alg": "HS256"}))),
        ("no algorithm", head(json!({"alg": "none"}))),
        ("what is critical", head(json!({"crit": ["exp"]}))),
        ("no signature", good.rsplit_once('.').unwrap().0.to_owned() + "."),
        ("half of it", good[..good.len() / 2].to_owned()),
        ("too long", "x".repeat(5000)),
        ("nothing like it", "hunter2".into()),
        ("empty", String::new()),
        ("a token of this vault", vault.token("acme", "ada", "backend")),
        ("a token of its own", shop.token(&vault, &json!({}))),
    ];
    let after = before + 2;
    for (what, assertion) in bad {
        let answer = exchange(&vault.url, &assertion);
        assert_eq!(refused(&answer), (401, "unauthorized".into(), Some("invalid_client")), "{what}");
        assert_eq!(answer.text("detail"), "the client's assertion is not taken", "{what}");
        assert_eq!(answer.json["errors"], json!([]), "{what}");
    }
    // What nobody has proven to be goes into no org's trail: there are the two tokens from above.
    assert_eq!(vault.trail("acme").len(), after);
    for taken in [
        good,
        with(json!({"exp": now - 29})),
        with(json!({"exp": now + 90, "iat": now + 30, "nbf": now + 30})),
        with(json!({"aud": "urn:pawl", "iat": null})),
        with(json!({"aud": [format!("{}/v1/token", vault.url)]})),
        with(json!({"jti": "~".repeat(128), "more": {"than": "we know"}})),
        head(json!({"typ": "client-authentication+jwt", "kid": "whatever"})),
        shop.sign(&json!({"alg": "EdDSA"}), &shop.claims(&vault).to_string()),
    ] {
        let answer = exchange(&vault.url, &taken);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

/// Attack on P5.
#[test]
fn a_service_gets_what_it_is_registered_for_and_no_more() {
    let vault = Vault::start();
    let one = Service::new("one").registered(&vault, Some(&["acme"]), Some("ada"), &["backend", "worker"]);
    let two = Service::new("two").registered(&vault, Some(&["acme", "other"]), None, &["backend"]);
    let any = Service::new("any").registered(&vault, None, Some("robot"), &["auditor"]);
    let ops = Service::new("ops").registered(&vault, Some(&[]), None, &["operator"]);
    let given: [(&Service, Value, Value); 9] = [
        (&one, json!({}), json!(["acme", "ada", ["backend", "worker"]])),
        (&one, json!({"org": "acme", "user": "ada"}), json!(["acme", "ada", ["backend", "worker"]])),
        (&one, json!({"roles": ["worker"]}), json!(["acme", "ada", ["worker"]])),
        (&one, json!({"roles": ["worker", "worker"]}), json!(["acme", "ada", ["worker"]])),
        (&two, json!({"org": "other", "user": "eve"}), json!(["other", "eve", ["backend"]])),
        (&two, json!({"org": "acme", "user": "bob"}), json!(["acme", "bob", ["backend"]])),
        (&any, json!({"org": "whichever"}), json!(["whichever", "robot", ["auditor"]])),
        (&ops, json!({}), json!([null, "ops", ["operator"]])),
        (&ops, json!({"roles": ["operator"]}), json!([null, "ops", ["operator"]])),
    ];
    for (service, wish, says) in given {
        let said = claims(&service.token(&vault, &wish));
        assert_eq!(json!([said["org"], said["sub"], said["roles"]]), says, "{wish}");
        assert_eq!(said["client_id"], service.name);
    }
    let not_given = [
        (&one, json!({"org": "other"})),
        (&one, json!({"user": "bob"})),
        (&one, json!({"roles": ["owner"]})),
        (&one, json!({"roles": ["backend", "owner"]})),
        (&one, json!({"roles": []})),
        (&two, json!({"user": "ada"})),
        (&two, json!({"org": "acme"})),
        (&two, json!({"org": "third", "user": "ada"})),
        (&any, json!({})),
        (&any, json!({"org": "acme", "user": "ada"})),
        (&ops, json!({"org": "acme"})),
        (&ops, json!({"user": "ada"})),
        (&ops, json!({"roles": ["owner"]})),
    ];
    for (service, wish) in not_given {
        let assertion = service.assertion(&vault, &wish);
        let answer = exchange(&vault.url, &assertion);
        assert_eq!(refused(&answer), (400, "invalid-request".into(), Some("invalid_request")), "{wish}");
        assert_eq!(answer.errors(), ["client_assertion registration"], "{wish}");
        // On record under the client, and in no trail of whom it named.
        let told = vault.own_trail().pop().unwrap();
        let said =
            ["activity_name", "status", "status_detail", "actor.app_uid"].map(|name| told[name].clone());
        assert_eq!(json!(said), json!(["token.exchange", "Failure", "registration", service.name]), "{told}");
        assert_eq!((&told["actor.user.org.uid"], &told["actor.user.uid"]), (&Value::Null, &Value::Null));
        // And used up.
        assert_eq!(exchange(&vault.url, &assertion).status, 401, "{wish}");
    }
    assert!(vault.trail("third").is_empty());
}

#[test]
fn a_form_is_read_strictly() {
    let vault = Vault::start();
    let shop = Service::new("shop").registered(&vault, Some(&["acme"]), Some("ada"), &["backend"]);
    let kind = "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let send = |headers: &str, form: &str| raw(&vault.url, "POST", "/v1/token", headers, form.as_bytes());
    let assertion = || shop.assertion(&vault, &json!({}));
    let grant = "grant_type=client_credentials";
    for (form, error, wrong) in [
        (format!("{kind}&client_assertion=x"), "invalid_request", "grant_type required"),
        (
            format!("grant_type=password&{kind}&client_assertion=x"),
            "unsupported_grant_type",
            "grant_type one_of",
        ),
        (format!("{grant}&client_assertion=x"), "invalid_request", "client_assertion_type required"),
        (format!("{grant}&client_assertion_type=x"), "invalid_request", "client_assertion_type one_of"),
        (format!("{grant}&{kind}"), "invalid_request", "client_assertion required"),
        (format!("{grant}&{grant}&{kind}&client_assertion=x"), "invalid_request", "grant_type once"),
        (
            format!("{grant}&{kind}&client_assertion=x&client_assertion=y"),
            "invalid_request",
            "client_assertion once",
        ),
        (
            format!("{grant}&{kind}&client_assertion=x&client_secret=y"),
            "invalid_request",
            "client_secret unknown_field",
        ),
        (format!("{grant}&{kind}&client_assertion=x&org=other"), "invalid_request", "org unknown_field"),
    ] {
        let answer = send(FORM, &form);
        assert_eq!(refused(&answer), (400, "invalid-request".into(), Some(error)), "{form}");
        assert_eq!(answer.errors(), [wrong], "{form}");
    }
    let form = |assertion: String| format!("{grant}&{kind}&client_assertion={assertion}");
    let json = "Content-Type: application/json\r\n";
    for (what, headers, body, status) in [
        ("JSON", json, form(assertion()), 415),
        ("no type", "", form(assertion()), 415),
        ("16 KiB and more", FORM, format!("{}&x={}", form(assertion()), "y".repeat(16 * 1024)), 413),
    ] {
        let answer = send(headers, &body);
        assert_eq!(
            (answer.status, answer.json["error"].as_str()),
            (status, Some("invalid_request")),
            "{what}"
        );
    }
    let asked = raw(&vault.url, "POST", "/v1/token?org=other", FORM, form(assertion()).as_bytes());
    assert_eq!(refused(&asked), (422, "invalid".into(), Some("invalid_request")));
    assert_eq!(asked.errors(), ["org unknown_field"]);
    let other = send(FORM, &format!("{}&client_id=other", form(assertion())));
    assert_eq!(refused(&other), (401, "unauthorized".into(), Some("invalid_client")));
    let typed = "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n";
    for (headers, body) in
        [(typed, form(assertion())), (FORM, format!("{}&client_id=shop", form(assertion())))]
    {
        assert_eq!(send(headers, &body).status, 200);
    }
}

/// Attack on P5.
#[test]
fn an_assertion_is_exchanged_once_on_whichever_replica() {
    let mut vault = Vault::start();
    let shop = Service::new("shop").registered(&vault, Some(&["acme"]), Some("ada"), &["backend"]);
    let twin = Service::new("twin").registered(&vault, Some(&["acme"]), Some("ada"), &["backend"]);
    let replica = vault.replica();
    let urn = json!({"aud": "urn:pawl", "jti": "the-same"});
    let assertion = shop.assertion(&vault, &urn);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|n| if n % 2 == 0 { &vault.url } else { &replica })
            .map(|url| scope.spawn(|| exchange(url, &assertion).status))
            .collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 7, "{statuses:?}");
    // nor the same name on another paper; for another client it is another's name
    assert_eq!(exchange(&replica, &shop.assertion(&vault, &urn)).status, 401);
    assert_eq!(exchange(&replica, &twin.assertion(&vault, &urn)).status, 200);
    let exchanged = |client: &str| {
        let of = |event: &&Value| {
            event["event"]["activity_name"] == "token.exchange" && event["event"]["actor.app_uid"] == client
        };
        vault.trail("acme").iter().filter(of).count()
    };
    assert_eq!((exchanged("shop"), exchanged("twin")), (1, 1));
    // kept for as long as it could come again, and no longer
    let kept = || vault.home.sql().count("client_assertions");
    vault.clock.advance(Duration::from_secs(89));
    assert_eq!(exchange(&vault.url, &assertion).status, 401);
    shop.token(&vault, &json!({}));
    assert_eq!(kept(), 3);
    // and as long as clocks may differ
    vault.clock.advance(Duration::from_secs(61));
    assert_eq!(exchange(&vault.url, &assertion).status, 401);
    shop.token(&vault, &json!({}));
    assert_eq!(kept(), 3, "its own that is over has gone");
}

/// Attack on P4 and P5.
#[test]
fn no_token_leaves_that_is_not_on_record() {
    let vault = Vault::start();
    let shop = Service::new("shop").registered(&vault, Some(&["acme"]), Some("ada"), &["backend"]);
    vault.sql("ALTER TABLE audit_events RENAME TO away");
    let assertion = shop.assertion(&vault, &json!({}));
    let answer = exchange(&vault.url, &assertion);
    assert_eq!(refused(&answer), (503, "unavailable".into(), Some("temporarily_unavailable")));
    assert!(!answer.body.contains("access_token"));
    vault.sql("ALTER TABLE away RENAME TO audit_events");
    // and nothing of it has happened
    assert_eq!(exchange(&vault.url, &assertion).status, 200);
}
