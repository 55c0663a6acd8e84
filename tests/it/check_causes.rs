//! What a check tells of servers that are Odoo and do not let a sync in, and of what will go wrong soon.

use std::time::Duration;

use pawl::clock::Moment;
use serde_json::{Value as Json, json};

use crate::check::{by_worker, lines};
use crate::harness::Answer;
use crate::scene::{Scene, deposit, errors};
use crate::standin::company::Company;
use crate::standin::settings::{Front, Key, NO_JSON_RPC, Settings, Version};
use crate::standin::wire::Value;
use crate::standin::{API_KEY, PASSWORD};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn scene(secret: &str) -> Scene {
    Scene::new(Company::sized(7, 3, 2), secret)
}

fn check(scene: &Scene, id: &str) -> Answer {
    let backend = scene.vault.token("acme", "ada", "backend");
    let answer = scene.vault.call("POST", &format!("/v1/connections/{id}/check"), &backend, None);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

fn codes(answer: &Answer) -> Vec<String> {
    let causes = answer.json["causes"].as_array().unwrap();
    causes.iter().map(|cause| cause["code"].as_str().unwrap().to_owned()).collect()
}

type Arrange = fn(&mut Settings);

/// Each dialect in which it can be met.
const VERSIONS: [(&str, Arrange); 3] = [
    ("JSON-2 or JSON-RPC", |_| {}),
    ("JSON-RPC", |s| s.version = Version::of(18)),
    ("XML-RPC", |s| (s.version, s.front) = (Version::of(18), NO_JSON_RPC)),
];

/// Attack on P6 and P10.
#[test]
fn who_is_not_let_in_is_told_why() {
    let cases: &[(&str, &str, Arrange, &str, &str)] = &[
        ("plan", PASSWORD, |s| s.without_api = true, "no_external_api", "active"),
        ("plan", API_KEY, |s| s.without_api = true, "no_external_api", "active"),
        ("ended", API_KEY, |s| s.key = Key::Expired, "key_refused", "auth_failed"),
        ("other scope", API_KEY, |s| s.key = Key::Scoped, "key_refused", "auth_failed"),
        ("two factors", PASSWORD, |s| s.second_factor = true, "login_refused", "auth_failed"),
    ];
    for (case, secret, arrange, expected, state) in cases {
        for (dialect, speaks) in VERSIONS {
            let scene = scene(secret);
            scene.odoo.set(speaks);
            scene.odoo.set(arrange);
            let answer = check(&scene, &scene.connection);
            let name = format!("{case}, {dialect}");
            assert_eq!(
                (codes(&answer), scene.state().as_str()),
                (vec![(*expected).to_owned()], *state),
                "{name}"
            );
            assert_eq!(answer.json["ok"], json!(false), "{name}");
        }
    }
    // The same from the worker's host.
    let scene = scene(API_KEY);
    scene.odoo.set(|s| s.key = Key::Expired);
    let output = by_worker(&scene, &[]);
    assert_eq!(
        (lines(&output), scene.state().as_str()),
        (vec!["key_refused".into()], "auth_failed"),
        "{}",
        errors(&output)
    );
}

/// A user with a second factor is let in by a key.
#[test]
fn a_second_factor_is_no_matter_to_a_key() {
    for (dialect, speaks) in VERSIONS {
        let scene = scene(API_KEY);
        scene.odoo.set(|s| s.second_factor = true);
        scene.odoo.set(speaks);
        assert_eq!(codes(&check(&scene, &scene.connection)), Vec::<String>::new(), "{dialect}");
    }
}

#[test]
fn what_stands_before_odoo_is_told_from_odoo() {
    let cases: &[(&str, Arrange, &str)] = &[
        ("its server is down", |s| s.front = Front::Down, "proxy_error"),
        ("it shows a login", |s| s.front = Front::LoginPage, "not_odoo"),
        (
            "it closes the API",
            |s| s.front = Front::Closed(&["/jsonrpc", "/xmlrpc", "/json/2"], "404 Not Found"),
            "api_closed",
        ),
        (
            "it keeps the API to itself",
            |s| s.front = Front::Closed(&["/jsonrpc", "/xmlrpc", "/json/2"], "403 Forbidden"),
            "kept_out",
        ),
        ("it wants a password first", |s| s.front = Front::Closed(&["/"], "401 Unauthorized"), "kept_out"),
        ("a database is to be chosen", |s| s.front = Front::Selector, "database_not_selected"),
        (
            "several databases, and the API is not there before one is chosen",
            |s| (s.version, s.others, s.hides_rpc) = (Version::of(18), vec!["beta"], true),
            "database_not_selected",
        ),
    ];
    for (case, arrange, expected) in cases {
        let scene = scene(PASSWORD);
        scene.odoo.set(arrange);
        let answer = check(&scene, &scene.connection);
        assert_eq!(
            (codes(&answer), scene.state().as_str()),
            (vec![(*expected).to_owned()], "active"),
            "{case}"
        );
        assert_eq!(scene.odoo.logins(), 0, "{case}: nobody knows that it is Odoo, and nothing is sent");
        for never in ["nginx", "oe_login_form", "selector", "Traceback"] {
            assert!(!answer.body.contains(never), "{case}: {}", answer.body);
        }
    }
    // Several databases, of which the one that is named is there: nothing is wrong.
    for version in [14, 18, 19, 21] {
        let scene = scene(PASSWORD);
        scene.odoo.set(|s| (s.version, s.others) = (Version::of(version), vec!["beta"]));
        assert_eq!(codes(&check(&scene, &scene.connection)), Vec::<String>::new(), "{version}");
    }
}

/// The host, and nothing else of what the server said.
#[test]
fn a_redirect_is_told_by_the_host_that_it_leads_to() {
    let scene = scene(PASSWORD);
    for (to, told) in [
        ("https://www.acme.example/web?next=planted", "It leads to www.acme.example."),
        ("https://user:planted@acme.example:8443/planted", "It leads to acme.example:8443."),
        ("//b%C3%BCcher.example/", "It leads to xn--bcher-kva.example."),
    ] {
        let body = "planted";
        let raw =
            format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        for n in 1..=3 {
            scene.odoo.answer_raw(n, raw.clone());
        }
        let answer = check(&scene, &scene.connection);
        assert_eq!(codes(&answer), ["redirected"], "{to}");
        let detail = answer.json["causes"][0]["detail"].as_str().unwrap();
        assert!(detail.ends_with(told), "{to}: {detail}");
        assert!(!answer.body.contains("planted"), "{to}: {}", answer.body);
    }
}

/// A host in which the secret stands, in letters that hosts have or encoded, and one that is too long for any.
/// Attack on P1.
#[test]
fn a_redirect_tells_nothing_of_the_secret() {
    let secret = "Planted-7295-With-Care";
    let scene = scene(secret);
    let in_hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let long = vec!["planted"; 40].join(".");
    for host in [secret, &secret.to_lowercase(), &in_hex.to_uppercase(), &format!("a.{secret}.b"), &long] {
        let raw =
            format!("HTTP/1.1 302 Found\r\nLocation: https://{host}.example/\r\nContent-Length: 0\r\n\r\n");
        for n in 1..=3 {
            scene.odoo.answer_raw(n, raw.clone());
        }
        let answer = check(&scene, &scene.connection);
        assert_eq!(codes(&answer), ["redirected"], "{host}");
        let told = answer.body.to_lowercase();
        assert!(!told.contains("planted") && !told.contains(&in_hex), "{host}: {told}");
    }
}

/// A warning is no error: the sync goes on.
#[test]
fn a_clock_that_goes_another_way_is_told() {
    let scene = scene(PASSWORD);
    let now = scene.vault.clock.now().seconds();
    for (off, expected) in
        [(0, false), (119, false), (-119, false), (180, true), (-180, true), (86_400 * 3_000, true)]
    {
        scene.odoo.set(|s| s.date = Some(now + off));
        let answer = check(&scene, &scene.connection);
        let told = codes(&answer) == ["clock_skew"];
        assert_eq!((told, answer.json["ok"].as_bool()), (expected, Some(true)), "{off}: {}", answer.body);
    }
}

#[test]
fn a_credential_or_a_key_that_ends_soon_is_told() {
    let scene = scene(API_KEY);
    let now = scene.vault.clock.now();
    let odoo_time = |at: Moment| at.to_string().replace('T', " ")[..19].to_owned();
    let ends_in = |key: i64, at: Option<Moment>| {
        let ends = at.map_or(Value::Bool(false), |at| Value::text(odoo_time(at)));
        scene
            .odoo
            .edit(|c| c.edit("res.users.apikeys", key, |key| drop(key.insert("expiration_date", ends))));
    };
    let of_key = ["key_expires_soon"];
    let mut checks = 0;
    let mut told = |expected: &[&str], why: &str| {
        // Ten a minute are let through.
        checks += 1;
        if checks % 10 == 0 {
            scene.vault.clock.advance(Duration::from_secs(60));
        }
        let answer = check(&scene, &scene.connection);
        assert_eq!(
            (codes(&answer), answer.json["ok"].as_bool()),
            (expected.iter().map(|c| (*c).to_owned()).collect(), Some(true)),
            "{why}"
        );
    };
    told(&[], "the first key ends when nobody is left, one is another's, one has ended");
    ends_in(1, Some(now.after(13 * DAY)));
    told(&of_key, "within two weeks");
    scene.odoo.edit(|c| c.edit("res.users.apikeys", 1, |key| drop(key.insert("scope", Value::text("rpc")))));
    told(&of_key, "for RPC alone");
    for (dialect, speaks) in VERSIONS {
        scene.odoo.set(|s| *s = Settings::default());
        scene.odoo.set(speaks);
        told(&of_key, dialect);
    }
    scene.odoo.set(|s| s.version = Version::of(17));
    told(&[], "before keys had an end");
    scene.odoo.set(|s| *s = Settings::default());
    ends_in(1, Some(now.after(15 * DAY)));
    told(&[], "later");
    ends_in(1, None);
    told(&[], "never");
    ends_in(6, Some(now.after(DAY)));
    told(&[], "that is for something else");
    ends_in(1, Some(now.after(DAY)));
    scene.odoo.edit(|c| {
        c.edit("res.users.apikeys", 1, |key| drop(key.insert("user_id", Value::reference(2, "Admin"))));
    });
    told(&[], "somebody else's, which an administrator may see");
    scene.odoo.edit(|c| c.closed = Some("res.users.apikeys"));
    told(&[], "what may not be seen is no fault");

    // By its own date.
    let mut body = deposit(&scene.odoo, API_KEY);
    body["credential"]["expires_at"] = json!(now.after(20 * DAY).to_string());
    let backend = scene.vault.token("acme", "bob", "backend");
    let deposited = scene.vault.call("POST", "/v1/connections?check=true", &backend, Some(&body));
    assert_eq!(deposited.json["check"]["causes"], Json::Array(Vec::new()), "{}", deposited.body);
    scene.vault.clock.advance(7 * DAY);
    let backend = scene.vault.token("acme", "bob", "backend");
    let path = format!("/v1/connections/{}/check", deposited.text("id"));
    let answer = scene.vault.call("POST", &path, &backend, None);
    assert_eq!(
        (codes(&answer), &answer.json["ok"]),
        (vec!["credential_expires_soon".to_owned()], &json!(true))
    );
    scene.vault.clock.advance(13 * DAY);
    let calls = scene.odoo.seen().len();
    let backend = scene.vault.token("acme", "bob", "backend");
    let answer = scene.vault.call("POST", &path, &backend, None);
    assert_eq!((codes(&answer), scene.odoo.seen().len() - calls), (vec!["credential_expired".to_owned()], 0));
}
