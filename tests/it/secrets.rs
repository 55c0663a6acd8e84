//! Secrets and keys are planted through every door; then everything that the process wrote, said and
//! kept is searched for them, at TRACE, also after the connection is forgotten.

use serde_json::json;

#[cfg(feature = "postgres")]
use crate::database::on_postgres;
use crate::harness::{Home, call, deposit, holds, raw};

const PASSWORD: &str = "planted-PASSWORD-5hT9";
const API_KEY: &str = "planted0APIKEY0deadbeef0deadbeef";
const NEXT: &str = "planted-NEXT-3vB6";
const REFUSED: &str = "planted-REFUSED-8wQ2";

fn token(home: &Home, role: &str) -> String {
    let args = ["token", "issue", "--org", "acme", "--user", "ada", "--role", role];
    let minted = home.pawl(&[("PAWL_LOG", "trace")]).args(args).output().unwrap();
    assert!(minted.status.success(), "{}", String::from_utf8_lossy(&minted.stderr));
    let log = String::from_utf8(minted.stderr).unwrap();
    let token = String::from_utf8(minted.stdout).unwrap().trim().to_owned();
    assert!(!log.contains(&token));
    token
}

/// Attack on P1 and P8.
#[test]
fn nothing_secret_is_written_said_or_kept() {
    plant_and_search("text");
}

/// Attack on P1.
#[test]
fn nothing_secret_is_written_as_json_or_counted() {
    plant_and_search("json");
}

fn plant_and_search(format: &str) {
    let home = Home::new();
    let process =
        home.serve(&[("PAWL_LOG", "trace"), ("PAWL_LOG_FORMAT", format), ("PAWL_OPS_LISTEN", "127.0.0.1:0")]);
    let url = process.url.clone();
    let (backend, worker, owner) = (token(&home, "backend"), token(&home, "worker"), token(&home, "owner"));
    let said = std::cell::RefCell::new(Vec::<String>::new());
    let say = |method: &str, path: &str, token: &str, body: Option<serde_json::Value>| {
        let answer = call(&url, method, path, token, body.as_ref());
        said.borrow_mut().push(format!("{}\n{}", answer.head, answer.body));
        answer
    };

    let id = say("POST", "/v1/connections", &backend, Some(deposit("bot", PASSWORD))).text("id");
    let key = json!({"url": "https://b.example", "database": "d", "username": "bot",
                     "credential": {"kind": "api_key", "secret": API_KEY}});
    let second = say("POST", "/v1/connections", &backend, Some(key)).text("id");
    say("POST", "/v1/connections", &backend, Some(deposit("bot", REFUSED)));
    for bad in [
        json!({"url": REFUSED, "database": REFUSED, "username": "x\u{1}",
               "credential": {"kind": REFUSED, "secret": REFUSED}}),
        json!({"url": 1, "credential": {"secret": REFUSED}}),
        json!({"credential": {"secret": [REFUSED]}}),
        json!([{"secret": REFUSED}]),
        json!(REFUSED),
    ] {
        assert_eq!(say("POST", "/v1/connections", &backend, Some(bad)).status, 422);
    }
    say("GET", "/v1/connections", &backend, None);
    say("GET", &format!("/v1/connections/{id}"), &backend, None);
    say("GET", "/v1/connections", REFUSED, None);
    say("GET", &format!("/v1/connections/{REFUSED}"), &backend, None);
    say("POST", &format!("/v1/connections/{id}/leases"), &backend, Some(json!({"purpose": "sync"})));
    say("POST", &format!("/v1/connections/{id}/leases"), &worker, Some(json!({"purpose": REFUSED})));
    let head = format!("Authorization: Bearer {backend}\r\nContent-Type: application/json\r\n");
    for body in [format!("{{\"secret\": \"{REFUSED}"), format!("{REFUSED}{{}}")] {
        let answer = raw(&url, "POST", "/v1/connections", &head, body.as_bytes());
        said.borrow_mut().push(format!("{}\n{}", answer.head, answer.body));
    }

    // the only answers that may hold one
    let lend = |id: &str| {
        let path = format!("/v1/connections/{id}/leases");
        call(&url, "POST", &path, &worker, Some(&json!({"purpose": "sync", "run_id": "r"})))
    };
    let (loan, loan_of_key) = (lend(&id), lend(&second));
    assert_eq!(loan.json["credential"]["secret"], PASSWORD);
    assert_eq!(loan_of_key.json["credential"]["secret"], API_KEY);

    say("GET", "/v1/leases", &worker, None);
    let back = format!("/v1/leases/{}/return", loan.text("id"));
    say("POST", &back, &worker, Some(json!({"outcome": REFUSED})));
    say("POST", &back, &worker, Some(json!({"outcome": "ok"})));
    let old = sealed_of(&home, &id);
    let put = format!("/v1/connections/{id}/credential");
    let keyed = format!("{head}Idempotency-Key: k\r\n");
    for body in [json!({"secret": NEXT}), json!({"secret": NEXT}), json!({"secret": REFUSED})] {
        let answer = raw(&url, "PUT", &put, &keyed, body.to_string().as_bytes());
        said.borrow_mut().push(format!("{}\n{}", answer.head, answer.body));
    }
    say("PUT", &put, &backend, Some(json!({"secret": [REFUSED]})));
    say("PUT", &put, &backend, Some(json!({"secret": "", "expires_at": REFUSED})));
    say("PATCH", &format!("/v1/connections/{id}"), &backend, Some(json!({"environment": REFUSED})));
    let sealed = sealed_of(&home, &id);
    assert_ne!(old, sealed);
    // replaced, the old ciphertext is overwritten, in the file and in the write-ahead log
    for (path, bytes) in home.everything_kept() {
        assert!(!holds(&bytes, &old), "replaced, and in {}", path.display());
    }
    let next = lend(&id);
    assert_eq!(next.json["credential"]["secret"], NEXT);

    // a row that does not open, and one that is damaged
    home.sql().run(&format!("UPDATE connections SET username = 'x' WHERE id = '{second}'"));
    let refused =
        say("POST", &format!("/v1/connections/{second}/leases"), &worker, Some(json!({"purpose": "other"})));
    assert_eq!(refused.problem(), "does-not-open");
    say("GET", "/v1/audit/events?limit=200", &owner, None);

    let master: serde_json::Value = serde_json::from_slice(&std::fs::read(home.key_file()).unwrap()).unwrap();
    let master = master["keys"]["k1"].as_str().unwrap().to_owned();
    let metrics = process.metrics();
    assert!(metrics.contains("does-not-open"));
    said.borrow_mut().push(metrics);
    let log = std::fs::read(home.path().join("log")).unwrap();
    assert_eq!(log.starts_with(b"{"), format == "json");
    assert!(holds(&log, "does-not-open"), "the log was written to where it is searched");
    for secret in [PASSWORD, API_KEY, NEXT, REFUSED, &master, &backend, &worker, &owner] {
        assert!(!holds(&log, secret), "{secret} in the log");
        assert!(said.borrow().iter().all(|answer| !answer.contains(secret)), "{secret} in an answer");
    }
    let kept = |what: &str, secrets: &[&str]| {
        for (path, bytes) in home.everything_kept() {
            if path.ends_with("master.json") {
                continue;
            }
            for secret in secrets {
                assert!(!holds(&bytes, secret), "{what}: {secret} in {}", path.display());
            }
        }
    };
    kept("while kept", &[PASSWORD, API_KEY, NEXT, REFUSED, &master, &backend, &worker, &owner]);

    for id in [&id, &second] {
        assert_eq!(say("DELETE", &format!("/v1/connections/{id}"), &backend, None).status, 204);
    }
    // forgotten, the ciphertext is overwritten too, in the file and in the write-ahead log
    kept("forgotten", &[PASSWORD, API_KEY, NEXT, REFUSED, &master, &sealed]);
    #[cfg(feature = "postgres")]
    if on_postgres() {
        // What the server was told, statement by statement, it wrote into its own log.
        let log = std::fs::read(crate::database::told("LOG")).unwrap();
        assert!(holds(&log, &second), "the server's log is searched where it is written");
        for secret in [PASSWORD, API_KEY, NEXT, REFUSED, &master, &backend, &worker, &owner] {
            assert!(!holds(&log, secret), "{secret} in the server's log");
        }
    }
    process.signal(rustix::process::Signal::TERM);
    let rest = process.rest();
    assert_eq!(rest, "");
    kept("stopped", &[PASSWORD, API_KEY, NEXT, REFUSED, &master, &sealed]);
}

fn sealed_of(home: &Home, id: &str) -> String {
    home.sql().texts("sealed", &format!("FROM connections WHERE id = '{id}'")).remove(0)
}
