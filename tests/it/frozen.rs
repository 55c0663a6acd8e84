//! A frozen org: nothing of it is lent, renewed, checked or deposited until an owner ends it, and nothing that was
//! out stays out. Races and trespassers included.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, Vault, call, deposit, is_within, raw};
use crate::import_source::{Kind, Table, key, row, token};
use crate::scene::{Scene, code, errors};
use crate::standin::PASSWORD;
use crate::standin::company::Company;

pub const SETTINGS: &str = "/v1/org/settings";

fn switch(vault: &Vault, org: &str, role: &str, frozen: bool) -> Answer {
    vault.call("PUT", SETTINGS, &vault.token(org, "boss", role), Some(&json!({"frozen": frozen})))
}

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem())
}

fn frozen() -> (u16, String) {
    (423, "frozen".into())
}

/// Action and cause of each refusal in acme's trail.
fn refusals(vault: &Vault) -> Vec<(String, String)> {
    let trail = vault.trail("acme");
    let refused = trail.iter().map(|e| &e["event"]).filter(|e| e["status"] == "Failure");
    refused
        .map(|e| (e["activity_name"].as_str().unwrap().into(), e["status_detail"].as_str().unwrap().into()))
        .collect()
}

/// Attack on P5 and P8.
#[test]
fn nothing_of_a_frozen_org_is_lent_kept_or_checked_until_its_owner_ends_it() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let elsewhere = vault.deposit_as("other", "eve", &deposit("bot", "s"));
    let (worker, backend) = (vault.token("acme", "ada", "worker"), vault.token("acme", "ada", "backend"));
    let owner = vault.token("acme", "boss", "owner");
    let path = format!("/v1/connections/{id}");
    let other = json!({"purpose": "other"});
    let lease = vault.lend(&id, &other).text("id");
    let of_other = format!("/v1/connections/{elsewhere}/leases");
    let eves = vault.token("other", "eve", "worker");
    let eves_lease = vault.call("POST", &of_other, &eves, Some(&other)).text("id");

    let before = vault.call("GET", SETTINGS, &owner, None);
    let kept = |mut settings: Value| {
        settings["audit_retention_days"] = json!(365);
        settings["next_audit_retention"] = Value::Null;
        settings["injection_only"] = json!(false);
        settings["lend_to_writers"] = json!(false);
        settings["readable"] = Value::Null;
        settings["allowed_hosts"] = Value::Null;
        settings
    };
    let lends = kept(json!({"frozen": false, "frozen_at": null, "vault_frozen": false}));
    assert_eq!(before.json, lends);
    let now = "2026-11-24T12:00:00.000000Z";
    let done = switch(&vault, "acme", "owner", true);
    let switched = kept(json!({"frozen": true, "frozen_at": now, "vault_frozen": false}));
    assert_eq!(done.json, switched, "{}", done.body);
    assert_eq!(vault.call("GET", SETTINGS, &owner, None).json, done.json);

    let ended = vault.call("GET", &format!("/v1/leases/{lease}"), &worker, None);
    assert_eq!((ended.text("state"), ended.text("outcome")), ("ended".into(), "frozen".into()));
    let on_lease = |what: &str, body: &Value| {
        vault.call("POST", &format!("/v1/leases/{lease}/{what}"), &worker, Some(body))
    };
    assert_eq!(refused(&vault.lend(&id, &other)), frozen());
    assert_eq!(refused(&vault.lend(&id, &json!({"purpose": "sync", "run_id": "r"}))), frozen());
    // Nor does it tell which connections there are.
    assert_eq!(refused(&vault.lend("conn_01ARZ3NDEKTSV4RRFFQ69G5FAV", &other)), frozen());
    assert_eq!(refused(&on_lease("renew", &json!({}))), frozen());
    assert_eq!(on_lease("return", &json!({"outcome": "ok"})).problem(), "lease-ended");
    let new = Some(deposit("new-bot", "s"));
    assert_eq!(refused(&vault.call("POST", "/v1/connections", &backend, new.as_ref())), frozen());
    assert_eq!(refused(&vault.call("POST", &format!("{path}/check"), &backend, None)), frozen());
    let of = |action: &str, cause: &str| (action.to_owned(), cause.to_owned());
    let actions =
        ["lease.lend", "lease.lend", "lease.lend", "lease.renew", "connection.deposit", "connection.check"];
    let mut told = actions.map(|action| of(action, "frozen")).to_vec();
    told.insert(4, of("lease.return", "lease-ended"));
    assert_eq!(refusals(&vault), told);

    // What takes away, or only looks, goes on.
    let state = |answer: Answer| answer.json["state"].clone();
    assert_eq!(state(vault.call("GET", &path, &backend, None)), "frozen");
    let listed = vault.call("GET", "/v1/connections", &backend, None);
    assert_eq!(listed.json["items"][0]["state"], "frozen");
    let label = json!({"label": "l"});
    assert_eq!(state(vault.call("PATCH", &path, &backend, Some(&label))), "frozen");
    let secret = json!({"secret": "second"});
    let replaced = vault.call("PUT", &format!("{path}/credential"), &backend, Some(&secret));
    assert_eq!(state(replaced), "frozen");
    assert_eq!(vault.call("GET", "/v1/leases", &worker, None).json["items"], json!([]));

    // Nobody else's business.
    assert_eq!(vault.call("POST", &of_other, &eves, Some(&other)).status, 201);
    let eves_lease = vault.call("GET", &format!("/v1/leases/{eves_lease}"), &eves, None);
    assert_eq!(eves_lease.text("state"), "open");

    let done = switch(&vault, "acme", "owner", false);
    assert_eq!(done.json, before.json);
    assert_eq!(vault.lend(&id, &other).json["credential"]["secret"], "second");
    assert_eq!(state(vault.call("GET", &path, &backend, None)), "active");
    assert_eq!(vault.call("POST", "/v1/connections", &backend, new.as_ref()).status, 201);
    assert_eq!(refused(&on_lease("renew", &json!({}))), (409, "lease-ended".into()));
    let switched = vault.trail("acme");
    let switched = switched.iter().map(|e| e["event"]["activity_name"].as_str().unwrap());
    assert_eq!(switched.filter(|a| a.starts_with("settings.")).count(), 2);
}

/// Attack on P5.
#[test]
fn only_an_owner_throws_the_switch_and_only_their_own_orgs() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    assert_eq!(switch(&vault, "other", "owner", true).status, 200);
    assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).status, 201);
    assert_eq!(switch(&vault, "acme", "owner", true).status, 200);
    for role in ["backend", "worker", "auditor"] {
        assert_eq!(refused(&switch(&vault, "acme", role, false)), (403, "forbidden".into()), "{role}");
        let read = vault.call("GET", SETTINGS, &vault.token("acme", "boss", role), None);
        assert_eq!(refused(&read), (403, "forbidden".into()), "{role}");
    }
    assert_eq!(switch(&vault, "other", "owner", false).status, 200);
    assert_eq!(refused(&vault.lend(&id, &json!({"purpose": "other"}))), frozen());
    let causes: Vec<_> = refusals(&vault).into_iter().map(|(action, _)| action).collect();
    assert_eq!(
        causes,
        [
            "settings.unfreeze",
            "settings.read",
            "settings.unfreeze",
            "settings.read",
            "settings.unfreeze",
            "settings.read",
            "lease.lend"
        ]
    );
}

#[test]
fn a_change_of_settings_keeps_to_its_form_and_comes_once() {
    let vault = Vault::start();
    let owner = vault.token("acme", "boss", "owner");
    for (body, wrong) in [
        (json!({}), "body not_empty"),
        (json!({"frozen": null}), "frozen type"),
        (json!({"frozen": "yes"}), "frozen type"),
        (json!({"frozen": true, "vault_frozen": true}), "vault_frozen unknown_field"),
    ] {
        let no = vault.call("PUT", SETTINGS, &owner, Some(&body));
        assert_eq!((no.status, no.errors()), (422, vec![wrong.to_owned()]), "{body}");
    }
    let keyed = |frozen: bool| {
        let headers = format!(
            "Authorization: Bearer {owner}\r\nContent-Type: application/json\r\nIdempotency-Key: one\r\n"
        );
        raw(&vault.url, "PUT", SETTINGS, &headers, json!({"frozen": frozen}).to_string().as_bytes())
    };
    let first = keyed(true);
    assert_eq!((first.status, &first.json["frozen"]), (200, &json!(true)));
    assert_eq!(switch(&vault, "acme", "owner", false).status, 200);
    // Come late, and changed nothing: it says what it said.
    assert_eq!(keyed(true).body, first.body);
    assert_eq!(vault.call("GET", SETTINGS, &owner, None).json["frozen"], false);
    assert_eq!(keyed(false).problem(), "idempotency-key-reused");
    assert_eq!(vault.call("DELETE", SETTINGS, &owner, None).problem(), "method-not-allowed");
}

/// Eight borrowers at each of `urls`, while `freeze` freezes: none gets anything once that has answered, and each is
/// told within a second.
pub fn race(vault: &Vault, urls: &[String], id: &str, freeze: impl FnOnce()) {
    let worker = vault.token("acme", "ada", "worker");
    let (path, other) = (format!("/v1/connections/{id}/leases"), json!({"purpose": "other"}));
    let (is_frozen, lends) = (AtomicBool::new(false), AtomicBool::new(false));
    let answered = std::thread::scope(|scope| {
        for url in urls.iter().cycle().take(8 * urls.len()) {
            scope.spawn(|| {
                loop {
                    let was_frozen = is_frozen.load(Ordering::SeqCst);
                    let answer = call(url, "POST", &path, &worker, Some(&other));
                    match answer.status {
                        201 => {
                            assert!(!was_frozen, "lent after the freeze had answered");
                            lends.store(true, Ordering::SeqCst);
                        }
                        423 => return,
                        // The writer was busy: no secret was sent.
                        503 => assert!(!answer.body.contains("secret\":")),
                        status => panic!("{status} {}", answer.body),
                    }
                }
            });
        }
        while !lends.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        freeze();
        is_frozen.store(true, Ordering::SeqCst);
        Instant::now()
    });
    is_within(Duration::from_secs(1), answered.elapsed(), "423 for all");
    let open = "FROM leases WHERE ended_at IS NULL";
    assert_eq!(vault.home.sql().texts("count(*)", open), ["0"]);
}

/// The vault's URL, and on PostgreSQL another one's.
#[cfg(feature = "postgres")]
pub fn urls(vault: &mut Vault, settings: &[(&str, &str)]) -> Vec<String> {
    let replica = crate::database::on_postgres().then(|| vault.replica_with(settings));
    [vault.url.clone()].into_iter().chain(replica).collect()
}

/// The vault's URL.
#[cfg(not(feature = "postgres"))]
pub fn urls(vault: &mut Vault, _: &[(&str, &str)]) -> Vec<String> {
    vec![vault.url.clone()]
}

pub const UNCAPPED: [(&str, &str); 2] =
    [("PAWL_MAX_OPEN_LEASES_PER_ORG", "1000000"), ("PAWL_MAX_OPEN_LEASES_PER_CONNECTION", "1000000")];

/// Attack on P4 and P8.
#[test]
fn no_loan_is_granted_once_the_freeze_has_answered() {
    for _ in 0..5 {
        let mut vault = Vault::start_with(&UNCAPPED);
        let id = vault.deposit("s");
        let urls = urls(&mut vault, &UNCAPPED);
        // Minted before: on SQLite another program's writes wait for no end beside so many.
        let owner = vault.token("acme", "boss", "owner");
        race(&vault, &urls, &id, || {
            let done = vault.call("PUT", SETTINGS, &owner, Some(&json!({"frozen": true})));
            assert_eq!(done.status, 200, "{}", done.body);
        });
    }
}

/// A check under way would have used the credential: it ends, here and at the other vault.
/// Attack on P8.
#[test]
fn a_check_under_way_ends_with_the_freeze() {
    let mut scene = Scene::new(Company::small(1), PASSWORD);
    let urls = urls(&mut scene.vault, &[]);
    let path = format!("/v1/connections/{}/check", scene.connection);
    for url in urls {
        // The login.
        scene.odoo.hold(2);
        let (backend, owner) =
            (scene.vault.token("acme", "ada", "backend"), scene.vault.token("acme", "boss", "owner"));
        std::thread::scope(|threads| {
            let checking = threads.spawn(|| call(&scene.vault.url, "POST", &path, &backend, None));
            assert!(scene.odoo.wait_until_held());
            let done = call(&url, "PUT", SETTINGS, &owner, Some(&json!({"frozen": true})));
            assert_eq!(done.status, 200, "{}", done.body);
            // Odoo never let go: it was not waited for.
            assert_eq!(refused(&checking.join().unwrap()), frozen());
        });
        scene.odoo.release();
        assert_eq!(
            scene.trail("connection.check", "status_detail").last().map(String::as_str),
            Some("frozen")
        );
        assert_eq!(switch(&scene.vault, "acme", "owner", false).status, 200);
        assert_eq!(scene.state(), "active");
    }
}

#[test]
fn a_worker_is_told_that_the_org_is_frozen_and_calls_nobody() {
    let scene = Scene::new(Company::small(1), PASSWORD);
    assert_eq!(switch(&scene.vault, "acme", "owner", true).status, 200);
    let output = scene.run("books.db");
    assert!(
        code(&output) != 0 && errors(&output).contains("frozen: the vault lends nothing"),
        "{}",
        errors(&output)
    );
    assert!(scene.odoo.seen().is_empty());
}

/// Attack on P8.
#[test]
fn nothing_is_moved_into_a_frozen_org() {
    let vault = Vault::start();
    let table = Table::new(&vault.home, Kind::Csv, &[row("1", "ada", &token("s"))]);
    let import = || table.command(&vault.home, &key('a'), &[]).output().unwrap();
    assert_eq!(switch(&vault, "acme", "owner", true).status, 200);
    let output = import();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.contains("frozen")), (Some(1), true), "{said}");
    assert_eq!(vault.home.sql().count("connections"), 0);
    let runs =
        vault.home.sql().texts("event", "FROM audit_events WHERE org_id = '' ORDER BY seq DESC LIMIT 1");
    assert!(runs[0].contains("\"status_detail\":\"frozen\""), "{runs:?}");
    assert_eq!(switch(&vault, "acme", "owner", false).status, 200);
    assert_eq!(import().status.code(), Some(0));
}
