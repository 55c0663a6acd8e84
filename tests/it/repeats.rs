//! Requests that come again under the same Idempotency-Key: one result, whatever was lost on the way.

use std::io::Write;
use std::time::Duration;

use pawl::clock::Moment;
use serde_json::{Value, json};

use crate::database::on_postgres;
use crate::harness::{Answer, Vault, deposit, holds, raw};

fn head(token: &str, key: &str) -> String {
    format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n")
}

fn send(vault: &Vault, (method, path): (&str, &str), token: &str, key: &str, body: &Value) -> Answer {
    raw(&vault.url, method, path, &head(token, key), body.to_string().as_bytes())
}

const DEPOSIT: (&str, &str) = ("POST", "/v1/connections");

/// The events of acme that are no token's.
fn events(vault: &Vault) -> Vec<Value> {
    let all = vault.trail("acme").into_iter().map(|stored| stored["event"].clone());
    all.filter(|event| event["activity_name"] != "token.issue").collect()
}

/// A vault with one connection and one lease of it, and what each POST and PUT would be there.
struct Calls {
    vault: Vault,
    id: String,
    all: Vec<(&'static str, String, &'static str, Value, u16)>,
}

fn calls() -> Calls {
    let vault = Vault::start();
    let id = vault.deposit("first");
    let (connection, lend) = (format!("/v1/connections/{id}"), json!({"purpose": "sync", "run_id": "r"}));
    let lease = vault.lend(&id, &lend).text("id");
    let all = vec![
        ("POST", "/v1/connections".into(), "backend", deposit("other", "s"), 201),
        ("POST", format!("{connection}/leases"), "worker", json!({"purpose": "other"}), 201),
        ("POST", format!("/v1/leases/{lease}/renew"), "worker", json!({"ttl_seconds": 600}), 200),
        ("POST", format!("/v1/leases/{lease}/return"), "worker", json!({"outcome": "ok"}), 204),
        ("PUT", format!("{connection}/credential"), "backend", json!({"secret": "second"}), 200),
    ];
    Calls { vault, id, all }
}

/// Attack on P1, P8 and P10.
#[test]
fn a_repeat_gets_the_first_result_and_changes_nothing() {
    let Calls { vault, all, .. } = calls();
    for (n, (method, path, role, body, status)) in all.iter().enumerate() {
        let key = format!("key-{n}");
        let token = vault.token("acme", "ada", role);
        let first = send(&vault, (method, path), &token, &key, body);
        assert_eq!(first.status, *status, "{path} {}", first.body);
        let before = events(&vault);
        for _ in 0..3 {
            vault.clock.advance(Duration::from_secs(1));
            // a token of its own each time, as a client has it that tries again later
            let token = vault.token("acme", "ada", role);
            let again = send(&vault, (method, path), &token, &key, body);
            assert_eq!((again.status, &again.body), (first.status, &first.body), "{path}");
            assert_eq!(again.header("location"), first.header("location"));
        }
        // a secret that leaves again, or a lease that is found good again, is on record again
        let new = events(&vault).split_off(before.len());
        let recorded = new.iter().all(|e| {
            ["lease.lend", "lease.renew"].contains(&e["activity_name"].as_str().unwrap())
                && e["status"] == "Success"
        });
        assert!(recorded, "{new:?}");
        let expected = if path.ends_with("/leases") || path.ends_with("/renew") { 3 } else { 0 };
        assert_eq!(new.len(), expected, "{path}");
    }
    let backend = vault.token("acme", "ada", "backend");
    let list = vault.call("GET", "/v1/connections", &backend, None);
    let items = list.json["items"].as_array().unwrap();
    let mut revisions: Vec<_> = items.iter().map(|item| item["credential"]["revision"].as_i64()).collect();
    revisions.sort();
    assert_eq!(revisions, [Some(1), Some(2)]);
    let open = vault.call("GET", "/v1/leases", &vault.token("acme", "ada", "worker"), None);
    assert_eq!(open.json["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_key_is_visible_ascii_and_names_its_rule() {
    let Calls { vault, all, .. } = calls();
    for (method, path, role, body, _) in &all {
        let token = vault.token("acme", "ada", role);
        for (key, rule) in [
            ("", "not_empty"),
            ("two words", "visible_ascii"),
            ("käse", "visible_ascii"),
            ("a\tb", "visible_ascii"),
            (&"x".repeat(129), "max_bytes"),
            ("one\r\nIdempotency-Key: two", "once"),
        ] {
            let refused = send(&vault, (method, path), &token, key, body);
            assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid"), "{path} {key}");
            assert_eq!(refused.errors(), [format!("Idempotency-Key {rule}")], "{path} {key}");
        }
    }
    // nothing of it happened
    let backend = vault.token("acme", "ada", "backend");
    let list = vault.call("GET", "/v1/connections", &backend, None);
    assert_eq!(list.json["items"].as_array().unwrap().len(), 1);
    let longest: String = ('!'..='~').chain('!'..='~').take(128).collect();
    for _ in 0..2 {
        let kept = send(&vault, DEPOSIT, &backend, &longest, &deposit("long", "s"));
        assert_eq!(kept.status, 201, "{}", kept.body);
    }
    let unknown = send(&vault, DEPOSIT, "no.token.ours", "k", &deposit("x", "s"));
    assert_eq!((unknown.status, unknown.problem().as_str()), (401, "unauthorized"));
}

/// Attack on P1, P8 and P10.
#[test]
fn the_same_key_for_another_request_is_refused() {
    let Calls { vault, id, all } = calls();
    let (method, path, role, body, _) = &all[1];
    let token = vault.token("acme", "ada", role);
    assert_eq!(send(&vault, (method, path), &token, "key", body).status, 201);
    let other_id = vault.deposit_as("acme", "ada", &deposit("bot2", "s"));
    let others = [
        // another body, also when it means the same
        (path.clone(), role, body.to_string().replace(':', ": ")),
        (path.clone(), role, json!({"purpose": "check"}).to_string()),
        // another path
        (format!("/v1/connections/{other_id}/leases"), role, body.to_string()),
        // other calls
        (all[0].1.clone(), &all[0].2, all[0].3.to_string()),
        (all[2].1.clone(), &all[2].2, all[2].3.to_string()),
        (all[3].1.clone(), &all[3].2, all[3].3.to_string()),
    ];
    for (path, role, body) in others {
        let token = vault.token("acme", "ada", role);
        let refused = raw(&vault.url, "POST", &path, &head(&token, "key"), body.as_bytes());
        let found = (refused.status, refused.problem());
        assert_eq!(found, (422, "idempotency-key-reused".to_owned()), "{path} {body}");
    }
    let put = format!("/v1/connections/{id}/credential");
    let backend = vault.token("acme", "ada", "backend");
    let refused = send(&vault, ("PUT", &put), &backend, "key", &json!({"secret": "planted"}));
    assert_eq!(refused.problem(), "idempotency-key-reused");
    assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).json["credential"]["secret"], "first");

    // another client's, user's and org's keys are their own
    for (org, user, client, name) in
        [("acme", "ada", "other-service", "c1"), ("acme", "bob", "svc", "c2"), ("other", "ada", "svc", "c3")]
    {
        let token = vault.token_for(org, user, "backend", client);
        let kept = send(&vault, DEPOSIT, &token, "key", &deposit(name, "s"));
        assert_eq!(kept.status, 201, "{org} {user} {client} {}", kept.body);
    }
}

#[test]
fn a_refusal_is_not_kept() {
    let vault = Vault::start();
    let backend = vault.token("acme", "ada", "backend");
    let body = deposit("bot", "s");
    // a 503, then a 409, then it works
    vault.sql("UPDATE keys SET state = 'opening'");
    let refused = send(&vault, DEPOSIT, &backend, "key", &body);
    assert_eq!((refused.status, refused.problem().as_str()), (503, "unavailable"));
    vault.sql("UPDATE keys SET state = 'sealing'");
    let first = vault.deposit("first");
    assert_eq!(send(&vault, DEPOSIT, &backend, "key", &body).problem(), "duplicate");
    assert_eq!(vault.call("DELETE", &format!("/v1/connections/{first}"), &backend, None).status, 204);
    let made = send(&vault, DEPOSIT, &backend, "key", &body);
    assert_eq!(made.status, 201);
    let id = made.text("id");

    let lend = format!("/v1/connections/{id}/leases");
    let sync = json!({"purpose": "sync"});
    let holder = vault.lend(&id, &sync).text("id");
    let worker = vault.token("acme", "ada", "worker");
    assert_eq!(send(&vault, ("POST", &lend), &worker, "lend", &sync).problem(), "lease-held");
    let back = format!("/v1/leases/{holder}/return");
    assert_eq!(vault.call("POST", &back, &worker, Some(&json!({"outcome": "ok"}))).status, 204);
    assert_eq!(send(&vault, ("POST", &lend), &worker, "lend", &sync).json["fence"], 2);
    // and what may not be done under one role is not kept from another
    assert_eq!(send(&vault, ("POST", &lend), &backend, "role", &json!({"purpose": "other"})).status, 403);
    assert_eq!(send(&vault, ("POST", &lend), &worker, "role", &json!({"purpose": "other"})).status, 201);
}

/// By somebody whom no trigger stops.
const WITHOUT_TRAIL: [&str; 2] = [
    "PRAGMA secure_delete = ON; DROP TRIGGER audit_events_are_kept; DELETE FROM audit_events; \
     PRAGMA wal_checkpoint(TRUNCATE)",
    "ALTER TABLE audit_events DISABLE TRIGGER USER; DELETE FROM audit_events",
];

/// Attack on P1, P8 and P10.
#[test]
fn a_late_repeat_brings_nothing_back() {
    let vault = Vault::start();
    let (backend, worker) = (vault.token("acme", "ada", "backend"), vault.token("acme", "ada", "worker"));
    let owner = vault.token("acme", "olga", "owner");
    let mut body = deposit("bot", "first");
    body["label"] = json!("planted-LABEL-4kP");
    let id = send(&vault, DEPOSIT, &backend, "deposit", &body).text("id");
    let path = format!("/v1/connections/{id}");
    let (put, lend) = (format!("{path}/credential"), format!("{path}/leases"));
    let (second, third) = (json!({"secret": "second"}), json!({"secret": "third"}));
    assert_eq!(send(&vault, ("PUT", &put), &backend, "put", &second).status, 200);
    // what an owner did to it is kept of the owner, and blanked when its user forgets
    assert_eq!(send(&vault, ("PUT", &put), &owner, "put", &third).status, 200);
    let other = json!({"purpose": "other"});
    let lease = send(&vault, ("POST", &lend), &worker, "lend", &other).text("id");
    let renew = format!("/v1/leases/{lease}/renew");
    assert_eq!(send(&vault, ("POST", &renew), &worker, "renew", &json!({})).status, 200);
    assert_eq!(vault.call("DELETE", &path, &backend, None).status, 204);

    let before = events(&vault).len();
    for (call, token, key, body, status, problem) in [
        (DEPOSIT, &backend, "deposit", &body, 404, "not-found"),
        (("PUT", put.as_str()), &backend, "put", &second, 404, "not-found"),
        (("PUT", &put), &owner, "put", &third, 404, "not-found"),
        (("POST", &lend), &worker, "lend", &other, 404, "not-found"),
        (("POST", &renew), &worker, "renew", &json!({}), 409, "lease-ended"),
    ] {
        let late = send(&vault, call, token, key, body);
        assert_eq!((late.status, late.problem().as_str()), (status, problem), "{key}");
    }
    assert!(events(&vault)[before..].iter().all(|e| e["status"] == "Failure"));
    assert_eq!(vault.call("GET", "/v1/connections", &backend, None).json["items"], json!([]));
    // what people called it is in its events, and nowhere else
    vault.sql(WITHOUT_TRAIL[usize::from(on_postgres())]);
    for (file, bytes) in vault.home.everything_kept() {
        assert!(!holds(&bytes, "planted-LABEL-4kP"), "{}", file.display());
    }
    // with a key of its own the address is free
    assert_eq!(send(&vault, DEPOSIT, &backend, "deposit-2", &body).status, 201);
}

/// Attack on P1, P8 and P10.
#[test]
fn a_repeated_lend_is_the_same_lease_while_it_is_open_and_its_credential_there() {
    let vault = Vault::start();
    let id = vault.deposit("first");
    let lend = format!("/v1/connections/{id}/leases");
    let worker = vault.token("acme", "ada", "worker");
    let (sync, ok) = (json!({"purpose": "sync", "ttl_seconds": 60}), json!({"outcome": "ok"}));
    let ask = |key: &str| send(&vault, ("POST", &lend), &worker, key, &sync);
    let first = ask("a");
    vault.clock.advance(Duration::from_secs(59));
    let again = ask("a");
    assert_eq!((again.status, &again.body), (201, &first.body), "it is not renewed either");
    assert_eq!(again.header("cache-control"), Some("no-store"));
    vault.clock.advance(Duration::from_secs(1));
    assert_eq!(ask("a").problem(), "lease-ended");

    let second = ask("b");
    assert_eq!(second.json["fence"], 2);
    // a lease that another run followed is over, whatever the clock of one machine says
    vault.sql(&format!(
        "UPDATE leases SET expires_at = expires_at + 300000000 WHERE id = '{}'",
        first.text("id")
    ));
    assert_eq!(ask("a").problem(), "lease-ended");
    let back = format!("/v1/leases/{}/return", second.text("id"));
    assert_eq!(vault.call("POST", &back, &worker, Some(&ok)).status, 204);
    assert_eq!(ask("b").problem(), "lease-ended");

    vault.sql(&format!("UPDATE leases SET expires_at = 0 WHERE id = '{}'", first.text("id")));
    assert_eq!(ask("c").json["fence"], 3);
    let put = format!("/v1/connections/{id}/credential");
    let backend = vault.token("acme", "ada", "backend");
    assert_eq!(vault.call("PUT", &put, &backend, Some(&json!({"secret": "second"}))).status, 200);
    let replaced = ask("c");
    assert_eq!((replaced.status, replaced.problem().as_str()), (409, "credential-replaced"));
    assert!(!replaced.body.contains("second"));

    vault.sql("UPDATE connections SET url = 'https://evil.example'");
    assert_eq!(ask("c").problem(), "does-not-open");
}

/// What a role showed once, another role of the same user and client does not show again.
/// Attack on P1, P8 and P10.
#[test]
fn a_repeat_reaches_no_further_than_its_token() {
    let vault = Vault::start();
    let id = vault.deposit_as("acme", "bob", &deposit("planted-USER-2hW", "s"));
    let (put, new) = (format!("/v1/connections/{id}/credential"), json!({"secret": "second"}));
    let owner = vault.token("acme", "olga", "owner");
    let first = send(&vault, ("PUT", &put), &owner, "key", &new);
    assert_eq!(first.status, 200);
    let backend = vault.token("acme", "olga", "backend");
    let again = send(&vault, ("PUT", &put), &backend, "key", &new);
    assert_eq!((again.status, again.problem().as_str()), (404, "not-found"));
    assert!(!again.body.contains("planted-USER-2hW"));
    assert_eq!(send(&vault, ("PUT", &put), &owner, "key", &new).body, first.body);
}

/// Attack on P1, P8 and P10.
#[test]
fn of_two_at_once_the_second_sees_the_first_ones_result() {
    let Calls { vault, all, .. } = calls();
    for (n, (method, path, role, body, status)) in all.iter().enumerate() {
        let (key, token) = (format!("key-{n}"), vault.token("acme", "ada", role));
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let one = |_| scope.spawn(|| send(&vault, (method, path), &token, &key, body));
            let threads: Vec<_> = (0..6).map(one).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for answer in &answers {
            assert_eq!((answer.status, &answer.body), (*status, &answers[0].body), "{path}");
        }
    }
    let done = |action: &str| {
        events(&vault).iter().filter(|e| e["activity_name"] == action && e["status"] == "Success").count()
    };
    assert_eq!((done("connection.deposit"), done("connection.replace"), done("lease.return")), (2, 1, 1));
    let worker = vault.token("acme", "ada", "worker");
    assert_eq!(vault.call("GET", "/v1/leases", &worker, None).json["items"].as_array().unwrap().len(), 1);
}

/// The client hangs up once the request is out, does not know what became of it, and asks again.
/// Attack on P1, P8 and P10.
#[test]
fn a_request_whose_answer_was_lost_is_sent_again() {
    let vault = Vault::start();
    let backend = vault.token("acme", "ada", "backend");
    for n in 0..12 {
        let (key, body) = (format!("key-{n}"), deposit(&format!("bot{n}"), "s").to_string());
        let mut stream = std::net::TcpStream::connect(vault.url.strip_prefix("http://").unwrap()).unwrap();
        let head = head(&backend, &key);
        let length = body.len();
        let request = format!(
            "POST /v1/connections HTTP/1.1\r\nHost: pawl\r\nContent-Length: {length}\r\n{head}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        if n % 2 == 0 {
            stream.shutdown(std::net::Shutdown::Both).unwrap();
        }
        drop(stream);
        let again = raw(&vault.url, "POST", "/v1/connections", &head, body.as_bytes());
        assert_eq!(again.status, 201, "{}", again.body);
    }
    let list = vault.call("GET", "/v1/connections?limit=200", &backend, None);
    assert_eq!(list.json["items"].as_array().unwrap().len(), 12);
    let deposits = events(&vault).iter().filter(|e| e["activity_name"] == "connection.deposit").count();
    assert_eq!(deposits, 12);
}

#[test]
fn a_key_is_kept_for_a_day() {
    let vault = Vault::start();
    let token = || vault.token("acme", "ada", "backend");
    let mut body = deposit("bot", "s");
    body["credential"]["expires_at"] = json!("2026-11-24T12:10:00Z");
    let first = send(&vault, DEPOSIT, &token(), "key", &body);
    assert_eq!(first.status, 201);
    vault.clock.advance(Duration::from_secs(24 * 60 * 60 - 1));
    // in time the first time, it stays so
    let again = send(&vault, DEPOSIT, &token(), "key", &body);
    assert_eq!((again.status, &again.body), (201, &first.body));
    vault.clock.advance(Duration::from_secs(1));
    let anew = send(&vault, DEPOSIT, &token(), "key", &body);
    assert_eq!(anew.errors(), ["credential.expires_at in_future"]);
    let other = send(&vault, DEPOSIT, &token(), "key", &deposit("other", "s"));
    assert_eq!(other.status, 201);
}

/// With the database and the master key, guesses at a password could be tried on what marks its request:
/// for as long as that is the connection's password, and a day at most.
/// Attack on P1, P8 and P10.
#[test]
fn no_mark_outlives_the_password_that_it_marks() {
    let vault = Vault::start();
    let (backend, worker) = (vault.token("acme", "ada", "backend"), vault.token("acme", "ada", "worker"));
    let body = deposit("bot", "first");
    let id = send(&vault, DEPOSIT, &backend, "deposit", &body).text("id");
    let path = format!("/v1/connections/{id}");
    let (put, lend) = (format!("{path}/credential"), format!("{path}/leases"));
    let marked = || {
        let with = "FROM idempotency_keys WHERE length(mark) > 0 ORDER BY idempotency_key";
        vault.home.sql().texts("idempotency_key", with)
    };
    let (second, third) = (json!({"secret": "second"}), json!({"secret": "third"}));
    assert_eq!(send(&vault, ("POST", &lend), &worker, "lend", &json!({"purpose": "other"})).status, 201);
    assert_eq!(marked(), ["deposit", "lend"]);
    let kept = send(&vault, ("PUT", &put), &backend, "put-2", &second);
    assert_eq!((kept.status, marked()), (200, vec!["lend".to_owned(), "put-2".to_owned()]));
    // what is left can't tell that request from others, and answers none
    for body in [&body, &deposit("other", "s")] {
        let late = send(&vault, DEPOSIT, &backend, "deposit", body);
        assert_eq!((late.status, late.problem().as_str()), (409, "credential-replaced"));
    }
    // the newest is known, until the next, which needs no key to be that
    assert_eq!(send(&vault, ("PUT", &put), &backend, "put-2", &second).body, kept.body);
    assert_eq!(vault.call("PUT", &put, &backend, Some(&third)).status, 200);
    assert_eq!(marked(), ["lend"]);
    let late = send(&vault, ("PUT", &put), &backend, "put-2", &second);
    assert_eq!((late.status, late.problem().as_str()), (409, "credential-replaced"));
    // such a key was no lend's
    let lent = send(&vault, ("POST", &lend), &worker, "put-2", &json!({"purpose": "other"}));
    assert_eq!((lent.status, lent.problem().as_str()), (422, "idempotency-key-reused"));

    assert_eq!(send(&vault, ("PUT", &put), &backend, "put-4", &json!({"secret": "fourth"})).status, 200);
    assert_eq!(vault.call("DELETE", &path, &backend, None).status, 204);
    assert_eq!(marked(), ["lend"]);
    for key in ["deposit", "put-2", "put-4"] {
        for body in [&body, &deposit("other", "s")] {
            let late = send(&vault, DEPOSIT, &backend, key, body);
            assert_eq!((late.status, late.problem().as_str()), (404, "not-found"), "{key}");
        }
    }
}

/// `count` rows of `user` that were to be kept until `until`, like one that is there.
fn plant(vault: &Vault, user: &str, count: u32, until: i64) {
    vault.sql(&format!(
        "INSERT INTO idempotency_keys WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         SELECT org_id, '{user}', client_id, 'planted-' || i, key_id, mark, '{user}', connection_id, lease_id, \
                answer, {until} + i \
         FROM n, (SELECT * FROM idempotency_keys LIMIT 1) AS one"
    ));
}

/// Attack on P1, P8 and P10.
#[test]
fn old_keys_of_anybody_hold_nobody_up_and_go() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let (lend, other) = (format!("/v1/connections/{id}/leases"), json!({"purpose": "other"}));
    let worker = vault.token("acme", "ada", "worker");
    let ask = |key: &str| send(&vault, ("POST", &lend), &worker, key, &other).status;
    assert_eq!(ask("first"), 201);
    plant(&vault, "bob", 20_000, 0);
    plant(&vault, "ada", 250, 1);
    let kept = |user: &str| {
        let of = format!("FROM idempotency_keys WHERE caller_id = '{user}'");
        vault.home.sql().texts("count(*)", &of)[0].parse::<u32>().unwrap()
    };
    // a few at a time, the oldest first
    assert_eq!((ask("second"), kept("ada")), (201, 152));
    // the newest of them, by its name
    assert_eq!((ask("planted-250"), kept("ada")), (201, 52));
    assert_eq!((ask("third"), kept("ada")), (201, 4));
    assert_eq!(kept("bob"), 20_000);

    // who does not come back is seen to when a vault starts
    let unexpired = Moment::parse("2026-11-24T12:00:00Z").unwrap().micros();
    plant(&vault, "carol", 10, unexpired);
    let vault = vault.restart();
    let kept = vault.home.sql().texts("caller_id", "FROM idempotency_keys GROUP BY caller_id ORDER BY 1");
    assert_eq!(kept, ["ada", "carol"]);
}

/// What the database keeps of a request lets nobody guess at what was in it.
/// Attack on P1, P8, P9 and P10.
#[test]
fn what_is_kept_is_no_oracle() {
    use sha2::{Digest, Sha256};
    let vault = Vault::start();
    let (backend, worker) = (vault.token("acme", "ada", "backend"), vault.token("acme", "ada", "worker"));
    let (first, second) = ("planted-FIRST-8sD", "planted-SECOND-2fG");
    let body = deposit("bot", first);
    let id = send(&vault, DEPOSIT, &backend, "deposit", &body).text("id");
    let put = format!("/v1/connections/{id}/credential");
    let new = json!({"secret": second});
    let lend = format!("/v1/connections/{id}/leases");
    assert_eq!(send(&vault, ("POST", &lend), &worker, "lend", &json!({"purpose": "other"})).status, 201);
    let hashes = [body.to_string(), new.to_string(), first.into(), second.into()].map(|text| {
        let hash = Sha256::digest(text);
        (hash.to_vec(), hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    });
    let search = || {
        for (file, bytes) in vault.home.everything_kept() {
            for secret in [first, second] {
                assert!(!holds(&bytes, secret), "{}", file.display());
            }
            for (hash, hex) in &hashes {
                assert!(!bytes.windows(hash.len()).any(|window| window == hash), "{}", file.display());
                assert!(!holds(&bytes, hex), "{}", file.display());
            }
        }
    };
    search();
    assert_eq!(send(&vault, ("PUT", &put), &backend, "put", &new).status, 200);
    search();
    // an answer that was damaged is said to be
    let again = || send(&vault, ("PUT", &put), &backend, "put", &new);
    vault.sql("UPDATE idempotency_keys SET answer = '{' WHERE idempotency_key = 'put'");
    let damaged = again();
    assert_eq!((damaged.status, damaged.problem().as_str()), (500, "damaged"));
    // a mark that was made with a key which is not held any more, or was changed, recognizes nothing
    for change in
        ["key_id = 'k9'", "mark = (SELECT mark FROM idempotency_keys WHERE idempotency_key = 'lend')"]
    {
        vault.sql(&format!("UPDATE idempotency_keys SET {change} WHERE idempotency_key = 'put'"));
        let refused = again();
        assert_eq!((refused.status, refused.problem().as_str()), (422, "idempotency-key-reused"));
    }
}
