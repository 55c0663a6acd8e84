//! How much a caller may ask, and how often an address may show a token that is not good.

use std::ffi::OsString;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use pawl::config::Config;
use serde_json::{Value, json};

use crate::exchange::{Service, exchange};
use crate::harness::{Answer, Vault, call, deposit, raw};

fn told(answer: &Answer) -> (u16, Option<&str>, Option<&str>, Option<&str>) {
    let header = |name| answer.header(name);
    (answer.status, header("retry-after"), header("ratelimit-policy"), header("ratelimit"))
}

fn list(vault: &Vault, token: &str) -> Answer {
    vault.call("GET", "/v1/connections", token, None)
}

/// Attack on P10.
#[test]
fn a_caller_past_their_limit_waits_and_nobody_else_does() {
    let vault = Vault::start_with(&[("PAWL_READS_PER_SECOND", "3"), ("PAWL_WRITES_PER_SECOND", "2")]);
    let token = vault.token("acme", "ada", "backend");
    let write =
        |token: &str, name: &str| vault.call("POST", "/v1/connections", token, Some(&deposit(name, "s")));
    let policy = Some("\"writes\";q=4;w=2");
    for (name, left) in [("a", "r=3;t=1"), ("b", "r=2;t=1"), ("c", "r=1;t=2"), ("d", "r=0;t=2")] {
        let rate = format!("\"writes\";{left}");
        assert_eq!(told(&write(&token, name)), (201, None, policy, Some(rate.as_str())));
    }
    // another token of the same caller, and another role, are the same caller
    for token in [&token, &vault.token("acme", "ada", "owner"), &vault.token("acme", "ada", "worker")] {
        let refused = write(token, "e");
        assert_eq!(told(&refused), (429, Some("1"), policy, Some("\"writes\";r=0;t=2")));
        assert_eq!(refused.problem(), "too-many-requests");
    }
    let read = list(&vault, &token);
    assert_eq!(told(&read), (200, None, Some("\"reads\";q=6;w=2"), Some("\"reads\";r=5;t=1")));
    assert_eq!(read.json["items"].as_array().unwrap().len(), 4);
    for (org, user, client) in [("acme", "ada", "other"), ("acme", "bob", "svc"), ("other", "ada", "svc")] {
        assert_eq!(
            write(&vault.token_for(org, user, "backend", client), "f").status,
            201,
            "{org} {user} {client}"
        );
    }
    vault.clock.advance(Duration::from_secs(1));
    let statuses = ["g", "h", "i"].map(|name| write(&token, name).status);
    assert_eq!(statuses, [201, 201, 429]);
}

/// Attack on P10.
#[test]
fn a_client_past_its_limit_gets_no_token_and_another_does() {
    let vault = Vault::start_with(&[("PAWL_WRITES_PER_SECOND", "2")]);
    let client = |name| Service::new(name).registered(&vault, Some(&["acme"]), Some("ada"), &["backend"]);
    let (shop, other) = (client("shop"), client("other"));
    let show = |assertion: &str| exchange(&vault.url, assertion);
    let ask = |service: &Service| show(&service.assertion(&vault, &json!({})));
    let policy = Some("\"writes\";q=4;w=2");
    for left in ["r=3;t=1", "r=2;t=1", "r=1;t=2", "r=0;t=2"] {
        let rate = format!("\"writes\";{left}");
        assert_eq!(told(&ask(&shop)), (200, None, policy, Some(rate.as_str())));
    }
    let assertion = shop.assertion(&vault, &json!({}));
    let refused = show(&assertion);
    assert_eq!(told(&refused), (429, Some("1"), policy, Some("\"writes\";r=0;t=2")));
    assert_eq!(refused.problem(), "too-many-requests");
    assert_eq!(ask(&other).status, 200);
    // it was not used up, and now it is; whoever shows it again is told nothing of what its client has left
    vault.clock.advance(Duration::from_secs(1));
    assert_eq!(show(&assertion).status, 200);
    assert_eq!(told(&show(&assertion)), (401, None, None, None));
}

/// The body asks who calls, for the key, and so does the handler.
#[test]
fn a_call_under_a_key_is_charged_once_and_a_refused_one_too() {
    let vault = Vault::start_with(&[("PAWL_WRITES_PER_SECOND", "5")]);
    let token = vault.token("acme", "ada", "backend");
    let send = |body: &Value, key: &str| {
        let headers = format!(
            "Authorization: Bearer {token}\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n"
        );
        raw(&vault.url, "POST", "/v1/connections", &headers, body.to_string().as_bytes())
    };
    let bad = json!({"url": 7});
    for (body, status, left) in [(deposit("a", "s"), 201, 9), (deposit("a", "s"), 201, 8), (bad, 422, 7)] {
        let answer = send(&body, "k");
        let rate = format!("\"writes\";r={left};t=1");
        assert_eq!(
            (answer.status, answer.header("ratelimit")),
            (status, Some(rate.as_str())),
            "{}",
            answer.body
        );
    }
    // where nobody is asked who they are, nobody is charged
    let alive = call(&vault.url, "GET", "/livez", &token, None);
    assert_eq!(told(&alive), (200, None, None, None));
}

/// Attack on P5 and P10.
#[test]
fn bad_tokens_are_slowed_down_and_good_ones_never() {
    let vault = Vault::start();
    let good = vault.token("acme", "ada", "backend");
    let over = vault.token("acme", "eve", "backend");
    vault.clock.advance(Duration::from_secs(899));
    let late = vault.token("acme", "ada", "backend");
    assert_eq!(list(&vault, &good).status, 200);
    // past its end, and the leeway
    vault.clock.advance(Duration::from_secs(31));

    // twenty at once are told what they are
    let at_once: Vec<u16> = std::thread::scope(|scope| {
        let one = |_| scope.spawn(|| list(&vault, "hunter2").status);
        let all: Vec<_> = (0..20).map(one).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(at_once, [401; 20]);
    // none, another scheme, one that has ended and nonsense count alike
    let mut refused = 20;
    let limited = loop {
        let answer = match refused % 4 {
            0 => list(&vault, ""),
            1 => raw(&vault.url, "GET", "/v1/leases", "Authorization: Basic YTpi\r\n", b""),
            2 => list(&vault, &over),
            _ => vault.call("POST", "/v1/connections", "hunter2", Some(&deposit("a", "s"))),
        };
        if answer.status != 401 {
            break answer;
        }
        refused += 1;
    };
    assert_eq!((refused, told(&limited)), (50, (429, Some("1"), None, None)));
    assert_eq!(limited.problem(), "too-many-requests");
    assert_eq!(list(&vault, &late).status, 200);

    let mut waits = Vec::new();
    for _ in 0..8 {
        let wait = (0..100).find_map(|_| {
            let answer = list(&vault, "hunter2");
            answer.header("retry-after").map(|wait| wait.parse::<u64>().unwrap())
        });
        let wait = wait.unwrap();
        waits.push(wait);
        // the address is judged by what it shows now, whatever it showed before
        assert_eq!(list(&vault, &late).status, 200, "{waits:?}");
        vault.clock.advance(Duration::from_secs(wait));
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    vault.clock.advance(Duration::from_secs(600));
    assert_eq!(list(&vault, "hunter2").status, 401);
}

/// A line of those who are gone would hold up whoever is next for as long as its sender likes.
/// Attack on P10.
#[test]
fn whoever_hangs_up_is_in_no_line() {
    const GONE: usize = 1_000;
    let vault = Vault::start();
    while list(&vault, "hunter2").status == 401 {}
    let address = vault.url.strip_prefix("http://").unwrap();
    let mut all: Vec<_> = (0..GONE).map(|_| TcpStream::connect(address).unwrap()).collect();
    let request =
        format!("GET /v1/connections HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer hunter2\r\n\r\n");
    for one in &mut all {
        one.write_all(request.as_bytes()).unwrap();
    }
    drop(all);
    // behind them all, and answered
    assert_eq!(list(&vault, "hunter2").status, 429);
    let home = vault.stop();
    let counted = home.sql().texts("event", "FROM audit_events WHERE org_id = ''");
    let counted = counted.iter().map(|event| serde_json::from_str::<Value>(event).unwrap());
    let counted: usize =
        counted.filter_map(|event| Some(event["count"].as_str()?.parse::<usize>().unwrap())).sum();
    assert!(counted < GONE / 2, "{counted} of {GONE} were judged");
}

/// Attack on P5 and P10.
#[test]
fn bad_assertions_are_slowed_down_and_good_ones_never() {
    let vault = Vault::start();
    let shop = Service::new("shop").registered(&vault, Some(&["acme"]), Some("ada"), &["backend"]);
    let forger = Service::new("forger");
    let token = vault.token("acme", "ada", "backend");
    let used = shop.assertion(&vault, &json!({}));
    assert_eq!(exchange(&vault.url, &used).status, 200);
    let refusals: Vec<_> = (0..100)
        .map(|n| match n % 4 {
            0 => exchange(&vault.url, "hunter2"),
            1 => exchange(&vault.url, &used),
            2 => exchange(&vault.url, &forger.assertion(&vault, &json!({"iss": "shop", "sub": "shop"}))),
            _ => list(&vault, "hunter2"),
        })
        .collect();
    let judged = refusals.iter().take_while(|answer| answer.status == 401).count();
    // together with the tokens that are not good
    assert_eq!(judged, 50);
    for limited in &refusals[judged..] {
        assert_eq!(told(limited), (429, Some("1"), None, None));
        assert_eq!(limited.problem(), "too-many-requests");
    }
    assert_eq!(list(&vault, &token).status, 200);
    assert_eq!(list(&vault, &shop.token(&vault, &json!({}))).status, 200);
}

/// Attack on P5 and P10.
#[test]
fn every_call_that_asks_for_a_token_counts_the_bad_ones() {
    let document: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let vault = Vault::start();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
    });
    let (mut asked, mut open) = (0, 0);
    let body = json!({});
    while list(&vault, "hunter2").status == 401 {}
    for (path, method, operation) in operations {
        let (path, method) = (path.replace("{id}", "x"), method.to_uppercase());
        let answer = vault.call(&method, &path, "hunter2", (method != "GET").then_some(&body));
        if operation["security"].pointer("/0/bearer").is_some() {
            asked += 1;
            assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")), "{method} {path}");
            assert!(operation["responses"]["429"]["headers"]["Retry-After"].is_object(), "{method} {path}");
        } else {
            open += 1;
            assert_ne!(answer.status, 429, "{method} {path}");
        }
    }
    assert!(asked >= 13 && open >= 4, "{asked} {open}");
}

/// How many bad tokens are told so, before one has to wait.
fn judged(vault: &Vault, forwarded: &str) -> usize {
    let headers = format!("Authorization: Bearer hunter2\r\n{forwarded}");
    let answers = std::iter::repeat_with(|| raw(&vault.url, "GET", "/v1/connections", &headers, b"").status);
    answers.take(60).take_while(|status| *status == 401).count()
}

/// Attack on P10.
#[test]
fn a_forwarded_address_counts_only_where_its_proxy_is_named() {
    let vault = Vault::start();
    assert_eq!(judged(&vault, "X-Forwarded-For: 192.0.2.1\r\n"), 50);
    assert_eq!(judged(&vault, "X-Forwarded-For: 192.0.2.2\r\n"), 0);

    let vault = Vault::start_with(&[("PAWL_TRUSTED_PROXIES", "127.0.0.0/8, 10.1.0.0/16")]);
    for (forwarded, expected) in [
        ("X-Forwarded-For: 192.0.2.1\r\n", 50),
        ("X-Forwarded-For: 192.0.2.1\r\n", 0),
        // what the client itself wrote before is no other address
        ("X-Forwarded-For: 203.0.113.9, 192.0.2.1\r\n", 0),
        ("X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 192.0.2.1, 10.1.2.3\r\n", 0),
        ("X-Forwarded-For: ::ffff:192.0.2.1\r\n", 0),
        ("X-Forwarded-For: 192.0.2.2\r\n", 50),
        ("X-Forwarded-For: 2001:db8:0:1::1\r\n", 50),
        ("X-Forwarded-For: 2001:db8:0:1::2\r\n", 0),
        // nothing that can be read: the proxy's own
        ("X-Forwarded-For: 192.0.2.3, somebody\r\n", 50),
        ("X-Forwarded-For: 10.1.0.1\r\n", 0),
        ("Forwarded: for=192.0.2.4\r\n", 0),
        ("", 0),
    ] {
        assert_eq!(judged(&vault, forwarded), expected, "{forwarded}");
    }
}

#[test]
fn what_is_no_limit_proxy_or_origin_is_refused_by_name() {
    for (name, value, said) in [
        ("PAWL_READS_PER_SECOND", "0", "from 1 to 1000000"),
        ("PAWL_WRITES_PER_SECOND", "1000001", "from 1 to 1000000"),
        ("PAWL_WRITES_PER_SECOND", "many", "from 1 to 1000000"),
        ("PAWL_TRUSTED_PROXIES", "proxy", "proxy is no IP address or network"),
        ("PAWL_TRUSTED_PROXIES", "0.0.0.0/0", "or is all of them"),
        ("PAWL_CORS_ORIGINS", "*", "* is no origin"),
        ("PAWL_CORS_ORIGINS", "https://a.example,null", "null is no origin"),
    ] {
        let environment = [(name.to_owned(), OsString::from(value))];
        let refused = Config::from("", environment.into_iter()).err().unwrap().to_string();
        assert!(refused.contains(name) && refused.contains(said), "{refused}");
    }
}
