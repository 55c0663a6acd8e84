//! Reading through the vault: what the caller gets and never gets, what is on record of it, and what an org sets.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::asked_paths::outside;
use crate::check::codes;
use crate::durability::stop_the_trail;
use crate::frozen::SETTINGS;
use crate::harness::{Answer, Vault, until};
use crate::scene::{LOOPBACK, Scene, columns, deposit, expected};
use crate::standin::company::Company;
use crate::standin::settings::{Coding, Echo, Place};
use crate::standin::wire::Value;
use crate::standin::{API_KEY, PASSWORD, StandIn};

pub fn read(scene: &Scene, body: &Json) -> Answer {
    let path = format!("/v1/connections/{}/read", scene.connection);
    scene.vault.call("POST", &path, &scene.vault.token("acme", "ada", "worker"), Some(body))
}

pub fn names(limit: u32) -> Json {
    json!({"model": "res.partner", "method": "search_read", "fields": ["name"], "limit": limit})
}

pub fn settings(vault: &Vault, body: &Json) -> Answer {
    vault.call("PUT", SETTINGS, &vault.token("acme", "boss", "owner"), Some(body))
}

/// The members of each event of an injection, in order.
pub fn told(scene: &Scene) -> Vec<BTreeMap<String, String>> {
    let told = |event: &Json| {
        let event: BTreeMap<String, String> = serde_json::from_value(event["event"].clone()).unwrap();
        Some(event).filter(|event| event["activity_name"].starts_with("inject."))
    };
    scene.vault.trail("acme").iter().filter_map(told).collect()
}

/// How each one that ended did, by its name in the trail.
pub fn endings(scene: &Scene) -> Vec<String> {
    let ended = told(scene).into_iter().filter(|event| event["activity_name"] == "inject.finished");
    ended.map(|event| event["status_detail"].clone()).collect()
}

pub fn wait_for_endings(scene: &Scene, wanted: &[&str]) {
    until(&format!("{wanted:?}"), || endings(scene) == wanted);
}

/// Puts `secret` in the credential's place, be it the same: what an answer held is not read with again.
pub fn replace(scene: &Scene, secret: &str) {
    let backend = scene.vault.token("acme", "ada", "backend");
    let path = format!("/v1/connections/{}/credential", scene.connection);
    assert_eq!(scene.vault.call("PUT", &path, &backend, Some(&json!({"secret": secret}))).status, 200);
}

fn lend(scene: &Scene, purpose: &str) -> Answer {
    scene.vault.lend(&scene.connection, &json!({"purpose": purpose}))
}

/// Attack on P6 and P1.
#[test]
fn records_come_back_and_the_secret_never_does() {
    for secret in [PASSWORD, API_KEY] {
        let scene = Scene::new(Company::small(3), secret);
        let company = scene.odoo.company();
        for model in ["account.move", "res.partner", "account.tax"] {
            let columns = columns(model);
            let fields: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
            let body = json!({"model": model, "method": "search_read", "fields": fields, "limit": 2000,
                "domain": [["id", ">", 1]], "order": "id desc"});
            let answer = read(&scene, &body);
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert!(!answer.body.contains(secret) && !answer.head.contains(secret));
            let records = answer.json["records"].as_array().unwrap();
            let active = columns.iter().position(|(name, _)| name == "active");
            let is_shown = |row: &[Json]| active.is_none_or(|at| row[at] == 1);
            let rows = expected(model, &company).into_iter();
            let shown = rows.filter(|(id, row)| *id > 1 && is_shown(row));
            let mut wanted: Vec<i64> = shown.map(|(id, _)| id).collect();
            wanted.reverse();
            let ids: Vec<i64> = records.iter().map(|record| record["id"].as_i64().unwrap()).collect();
            assert_eq!(ids, wanted, "{model}");
            assert!(!ids.is_empty());
            for record in records {
                assert_eq!(record.as_object().unwrap().len(), fields.len() + 1, "{record}");
            }
        }
        let read_one = json!({"model": "account.move", "method": "read", "fields": ["name", "partner_id"], "ids": [2, 999_999]});
        let answer = read(&scene, &read_one);
        let records = answer.json["records"].as_array().unwrap();
        assert_eq!((records.len(), records[0]["id"].as_i64()), (1, Some(2)), "{}", answer.body);
        assert!(records[0]["partner_id"][1].is_string(), "{}", answer.body);

        wait_for_endings(&scene, &["ok"; 4]);
        let told = told(&scene);
        let (begun, ended) = (&told[0], &told[1]);
        assert_eq!(
            (begun["activity_name"].as_str(), begun["status"].as_str()),
            ("inject.started", "Success")
        );
        assert_eq!((begun["model"].as_str(), begun["method"].as_str()), ("account.move", "search_read"));
        assert_eq!(begun["connection.uid"], scene.connection);
        assert_eq!(ended["api.request.uid"], begun["api.request.uid"]);
        assert!(ended["records"].parse::<u64>().unwrap() > 0 && ended["bytes"].parse::<u64>().unwrap() > 100);
        let all = scene.vault.trail("acme").iter().map(Json::to_string).collect::<String>();
        assert!(!all.contains(secret) && !all.contains("INV/"), "no contents in the trail");
        assert_eq!(scene.vault.home.sql().texts("count(*)", "FROM leases"), ["0"]);
    }
}

/// Attack on P6.
#[test]
fn no_path_outside_of_the_policy_reaches_an_odoo() {
    let scene = Scene::new(Company::small(3), PASSWORD);
    let all = outside();
    assert!(all.len() >= 500);
    for (body, at) in &all {
        let answer = read(&scene, body);
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"), "{body}: {}", answer.body);
        let at = at.as_ref().unwrap();
        let is_named = answer.errors().iter().any(|wrong| wrong.starts_with(&format!("{at} ")));
        assert!(is_named, "{body}: {}", answer.body);
    }
    for more in ["context", "kwargs", "args", "lang", "method_name", "domain_or_ids"] {
        let mut body = names(1);
        body[more] = json!({"active_test": false});
        let answer = read(&scene, &body);
        assert_eq!(answer.errors(), [format!("{more} unknown_field")], "{}", answer.body);
    }
    assert!(scene.odoo.paths().is_empty(), "{:?}", scene.odoo.paths());
    assert!(told(&scene).is_empty());
    assert_eq!(read(&scene, &names(1)).status, 200);
}

/// Attack on P6.
#[test]
fn an_org_that_wants_injection_alone_lends_nothing_of_odoos() {
    let scene = Scene::new(Company::small(3), PASSWORD);
    let lease = lend(&scene, "other").text("id");
    let before = settings(&scene.vault, &json!({"frozen": false}));
    assert_eq!((&before.json["injection_only"], &before.json["readable"]), (&json!(false), &Json::Null));
    let set = settings(&scene.vault, &json!({"injection_only": true}));
    assert_eq!((set.status, &set.json["injection_only"]), (200, &json!(true)), "{}", set.body);
    for purpose in ["sync", "check", "other"] {
        let answer = lend(&scene, purpose);
        assert_eq!((answer.status, answer.problem().as_str()), (403, "injection-only"));
        assert!(!answer.body.contains(PASSWORD));
    }
    let worker = scene.vault.token("acme", "ada", "worker");
    let renewed = scene.vault.call("POST", &format!("/v1/leases/{lease}/renew"), &worker, Some(&json!({})));
    assert_eq!((renewed.status, renewed.problem().as_str()), (403, "injection-only"));
    assert_eq!(read(&scene, &names(1)).status, 200);
    let of_worker = scene.run("sink");
    assert!(crate::scene::errors(&of_worker).contains("injection alone"), "{of_worker:?}");
    // Another org goes on, and so does this one once it wants to.
    let theirs = scene.vault.deposit_as("other", "eve", &deposit(&scene.odoo, PASSWORD));
    let eve = scene.vault.token("other", "eve", "worker");
    let path = format!("/v1/connections/{theirs}/leases");
    assert_eq!(scene.vault.call("POST", &path, &eve, Some(&json!({"purpose": "sync"}))).status, 201);
    assert_eq!(settings(&scene.vault, &json!({"injection_only": false})).status, 200);
    assert_eq!(lend(&scene, "sync").status, 201);
    let refused = scene.trail("lease.lend", "status_detail");
    assert_eq!(refused.iter().filter(|cause| *cause == "injection-only").count(), 4, "{refused:?}");
    let changed = scene.trail("settings.injection", "injection_only");
    assert_eq!(changed, ["true", "false"]);
}

/// Attack on P6.
#[test]
fn a_bot_that_may_write_is_lent_by_injection_alone() {
    let scene = Scene::new(Company::small(3), PASSWORD);
    let check = || {
        let backend = scene.vault.token("acme", "ada", "backend");
        let path = format!("/v1/connections/{}/check", scene.connection);
        let found = scene.vault.call("POST", &path, &backend, None);
        assert_eq!(found.status, 200, "{}", found.body);
        codes(&found.json)
    };
    let rights = || {
        let backend = scene.vault.token("acme", "ada", "backend");
        let path = format!("/v1/connections/{}", scene.connection);
        scene.vault.call("GET", &path, &backend, None).text("rights").to_owned()
    };
    let groups = |ids: &[i64]| {
        let ids = Value::List(ids.iter().copied().map(Value::Int).collect());
        scene.odoo.edit(|c| c.edit("res.users", 10, |user| drop(user.insert("all_group_ids", ids))));
    };
    assert_eq!((rights().as_str(), lend(&scene, "other").status), ("unknown", 201), "nobody has looked yet");
    check();
    assert_eq!((rights().as_str(), lend(&scene, "other").status), ("reader", 201));
    groups(&[1, 24]);
    assert_eq!((check(), rights().as_str()), (vec!["bot_may_write".to_owned()], "writer"));
    let answer = lend(&scene, "other");
    assert_eq!((answer.status, answer.problem().as_str()), (403, "may-write"), "{}", answer.body);
    assert_eq!(read(&scene, &names(1)).status, 200);
    assert_eq!(settings(&scene.vault, &json!({"lend_to_writers": true})).status, 200);
    assert_eq!(lend(&scene, "other").status, 201);
    assert_eq!(settings(&scene.vault, &json!({"lend_to_writers": false})).status, 200);
    assert_eq!(lend(&scene, "other").status, 403);

    // What can't be told makes it no less of one; nor does another credential of the same user.
    let unknown = vec!["rights_unknown".to_owned()];
    scene.odoo.edit(|c| c.closed = Some("res.groups"));
    assert_eq!((check(), rights().as_str(), lend(&scene, "other").status), (unknown.clone(), "writer", 403));
    scene.odoo.edit(|c| c.closed = None);
    groups(&[1, 30]);
    assert_eq!((check(), rights().as_str(), lend(&scene, "other").status), (unknown.clone(), "writer", 403));
    groups(&[1, 99]);
    assert_eq!((check(), rights().as_str()), (unknown.clone(), "writer"), "a group that is not shown");
    let backend = scene.vault.token("acme", "ada", "backend");
    let path = format!("/v1/connections/{}/credential", scene.connection);
    let replaced = scene.vault.call("PUT", &path, &backend, Some(&json!({"secret": PASSWORD})));
    assert_eq!((replaced.status, replaced.text("rights").as_str()), (200, "writer"), "{}", replaced.body);
    assert_eq!(lend(&scene, "other").status, 403);
    scene.vault.clock.advance(Duration::from_secs(60));

    groups(&[1]);
    assert_eq!((check(), rights().as_str(), lend(&scene, "other").status), (vec![], "reader", 201));
    scene.odoo.edit(|c| c.closed = Some("res.groups"));
    assert_eq!((check(), rights().as_str(), lend(&scene, "other").status), (unknown, "unknown", 201));
    scene.odoo.edit(|c| (c.closed, c.bot_reads_rights) = (None, true));
    let told = vec!["bot_reads_access_rights".to_owned()];
    assert_eq!((check(), rights().as_str(), lend(&scene, "other").status), (told, "writer", 403));
    scene.odoo.edit(|c| c.bot_reads_rights = false);
    groups(&[1, 23, 31]);
    assert_eq!((check(), rights().as_str()), (vec!["bot_may_write".to_owned()], "writer"));
    // Told at the deposit, too; and of what is not Odoo's there is nothing to tell.
    let body = deposit(&scene.odoo, PASSWORD);
    let bob = scene.vault.token("acme", "bob", "backend");
    let deposited = scene.vault.call("POST", "/v1/connections?check=true", &bob, Some(&body));
    assert_eq!((deposited.status, deposited.text("rights").as_str()), (201, "writer"), "{}", deposited.body);
    // As it was known when it was lent; of one that was refused nothing was lent.
    let lent = scene.trail("lease.lend", "rights");
    assert_eq!(lent, ["unknown", "reader", "writer", "reader", "unknown"]);
    let other = json!({"credential": {"kind": "generic", "secret": "s"}});
    let deposited = scene.vault.call("POST", "/v1/connections", &bob, Some(&other));
    assert_eq!((deposited.status, &deposited.json["rights"]), (201, &Json::Null), "{}", deposited.body);
}

/// Attack on P6.
#[test]
fn an_org_lets_less_be_read_and_never_more() {
    let scene = Scene::new(Company::small(3), PASSWORD);
    for (part, wrong) in [
        (json!({"res.users": ["login"]}), "readable readable"),
        (json!({"res.partner": ["name", "bank_ids"]}), "readable.res.partner[1] readable"),
        (json!({"res.partner": []}), "readable.res.partner not_empty"),
        (json!({"res.partner": ["name", "name"]}), "readable.res.partner[1] once"),
    ] {
        let answer = settings(&scene.vault, &json!({"readable": part}));
        assert_eq!((answer.status, answer.errors()), (422, vec![wrong.to_owned()]), "{}", answer.body);
    }
    let part = json!({"res.partner": ["name", "city"]});
    let set = settings(&scene.vault, &json!({"readable": part}));
    assert_eq!((set.status, &set.json["readable"]), (200, &part), "{}", set.body);
    assert_eq!(read(&scene, &names(1)).status, 200);
    let before = scene.odoo.paths().len();
    let ask = |member: &str, value: Json| {
        let mut body = names(1);
        body[member] = value;
        body
    };
    for (body, at) in [
        (ask("fields", json!(["name", "email"])), "fields[1] readable"),
        (ask("domain", json!([["email", "ilike", "a"]])), "domain[0][0] readable"),
        (ask("order", json!("email")), "order readable"),
        (ask("model", json!("account.move")), "model readable"),
    ] {
        let answer = read(&scene, &body);
        assert_eq!((answer.status, answer.errors()), (422, vec![at.to_owned()]), "{}", answer.body);
        let told = told(&scene).pop().unwrap();
        let [cause, of] = ["status_detail", "connection.uid"].map(|name| told[name].as_str());
        assert_eq!((cause, of), ("not-readable", scene.connection.as_str()));
    }
    assert_eq!(scene.odoo.paths().len(), before);
    let set = settings(&scene.vault, &json!({"readable": null}));
    assert_eq!((set.status, &set.json["readable"]), (200, &Json::Null), "{}", set.body);
    assert_eq!(read(&scene, &ask("fields", json!(["name", "email"]))).status, 200);
}

/// Attack on P4.
#[test]
fn what_can_not_be_recorded_is_not_asked() {
    let scene = Scene::new(Company::small(3), PASSWORD);
    let worker = scene.vault.token("acme", "ada", "worker");
    stop_the_trail(&scene.vault);
    let path = format!("/v1/connections/{}/read", scene.connection);
    let answer = scene.vault.call("POST", &path, &worker, Some(&names(1)));
    assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"), "{}", answer.body);
    assert!(scene.odoo.paths().is_empty());
}

/// Attack on P6.
#[test]
fn a_refused_login_is_kept_and_not_tried_again() {
    let scene = Scene::new(Company::small(3), PASSWORD);
    scene.odoo.set_password("another");
    let answer = read(&scene, &names(1));
    assert_eq!((answer.status, answer.problem().as_str()), (409, "auth-failed"), "{}", answer.body);
    assert_eq!(scene.state(), "auth_failed");
    let asked = scene.odoo.paths().len();
    for _ in 0..3 {
        let answer = read(&scene, &names(1));
        assert_eq!((answer.status, answer.problem().as_str()), (409, "auth-failed"), "{}", answer.body);
    }
    assert_eq!(scene.odoo.paths().len(), asked, "once");
    assert_eq!(endings(&scene), ["auth-failed"]);
}

/// Attack on P6 and P8.
#[test]
fn an_injection_is_held_to_what_a_loan_is() {
    let scene = Scene::new(Company::small(3), PASSWORD);
    let backend = scene.vault.token("acme", "ada", "backend");
    let path = format!("/v1/connections/{}/read", scene.connection);
    assert_eq!(scene.vault.call("POST", &path, &backend, Some(&names(1))).problem(), "forbidden");
    assert_eq!(settings(&scene.vault, &json!({"frozen": true})).status, 200);
    assert_eq!(read(&scene, &names(1)).problem(), "frozen");
    assert_eq!(settings(&scene.vault, &json!({"frozen": false})).status, 200);
    let tunnel = json!({"credential": {"kind": "tunnel", "secret": "s"}});
    let tunnel = scene.vault.deposit_as("acme", "ada", &tunnel);
    let worker = scene.vault.token("acme", "ada", "worker");
    let of_tunnel =
        scene.vault.call("POST", &format!("/v1/connections/{tunnel}/read"), &worker, Some(&names(1)));
    assert_eq!(of_tunnel.problem(), "kind-not-allowed", "{}", of_tunnel.body);
    assert!(scene.odoo.paths().is_empty());
    let forgotten =
        scene.vault.call("DELETE", &format!("/v1/connections/{}", scene.connection), &backend, None);
    assert_eq!(forgotten.status, 204);
    assert_eq!(read(&scene, &names(1)).problem(), "not-found");
    assert!(scene.odoo.paths().is_empty());
}

/// What a hostile server says, which no answer may repeat.
const SAID: &str = "planted-by-the-server";

#[test]
fn what_an_odoo_does_not_answer_is_told_by_its_cause() {
    let http = |status: &str, more: &str| {
        format!("HTTP/1.1 {status}\r\n{more}Content-Length: 21\r\nConnection: close\r\n\r\n{SAID}")
            .into_bytes()
    };
    let scene = Scene::new(Company::small(3), PASSWORD);
    type Break = Box<dyn Fn(&StandIn)>;
    let cases: Vec<(&str, Break)> = vec![
        ("model_missing", Box::new(|o| o.edit(|c| c.missing = Some("res.partner")))),
        (
            "redirected",
            Box::new(move |o| o.answer_raw(1, http("302 Found", &format!("Location: https://{SAID}/\r\n")))),
        ),
    ];
    for (code, arrange) in cases {
        arrange(&scene.odoo);
        let answer = read(&scene, &names(1));
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (502, "odoo-failed"),
            "{code}: {}",
            answer.body
        );
        assert_eq!(answer.errors(), [format!("odoo {code}")], "{}", answer.body);
        assert!(!answer.body.contains(SAID));
    }
    assert_eq!(endings(&scene), ["odoo-failed"; 2]);
    assert_eq!(told(&scene).last().unwrap()["odoo"], "redirected");
}

/// An Odoo, or what stands before it, sends the secret back in whatever place and form, to the login or the read: it
/// goes no further, and that it came is on record.
/// Attack on P1 and P6.
#[test]
fn a_secret_that_is_echoed_goes_no_further() {
    for (secret, major, at_login) in [(API_KEY, 19, false), (PASSWORD, 18, false), (PASSWORD, 18, true)] {
        let vault = Vault::start_with(&[LOOPBACK]);
        let scene = Scene::of(vault, Company::small(3), secret);
        let mut stopped = 0;
        for place in Place::ALL {
            for coding in Coding::ALL {
                scene.odoo.set(|server| {
                    server.version = crate::standin::settings::Version::of(major);
                    server.echo = Some(Echo { place, coding, at_login });
                });
                // None of it opens a circuit: it is an answer.
                let answer = read(&scene, &names(2));
                assert!(!crate::harness::holds(answer.body.as_bytes(), secret), "{place:?} {coding:?}");
                assert!(!answer.head.contains(secret), "{place:?} {coding:?}");
                let told = (answer.status, answer.problem());
                assert_eq!(told, (502, "leak-stopped".to_owned()), "{place:?} {coding:?}: {}", answer.body);
                stopped += 1;
                replace(&scene, secret);
            }
        }
        assert_eq!(endings(&scene), vec!["leak-stopped"; stopped]);
        let events = told(&scene);
        let leaks = events.iter().filter(|event| event["activity_name"] == "inject.leak_stopped").count();
        assert_eq!((leaks, stopped), (36, 36));
        let trail = scene.vault.trail("acme").iter().map(Json::to_string).collect::<String>();
        assert!(!trail.contains(secret));
        scene.odoo.set(|server| server.echo = None);
        assert_eq!(read(&scene, &names(1)).status, 200);
    }
}

/// An echo in what is given up halfway, and in what no call wants; beside them, what is none.
/// Attack on P1.
#[test]
fn only_an_echo_is_one() {
    let scene = Scene::new(Company::small(3), PASSWORD);
    let raw = |status: &str, headers: &str, body: &str, length: usize| {
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close");
        format!("{head}\r\n\r\n{body}").into_bytes()
    };
    let all = |status: &str, headers: &str, body: &str| raw(status, headers, body, body.len());
    let in_hex: String = PASSWORD.bytes().map(|byte| format!("{byte:02x}")).collect();
    let json = "Content-Type: application/json\r\n";
    let (login, to_login) = (crate::standin::LOGIN, "Location: /web/login?login=bot@acme.example\r\n");
    for (answer, wanted) in [
        (all("404 Not Found", "Content-Type: text/html\r\n", PASSWORD), "leak-stopped"),
        (all("302 Found", "Location: /\r\nContent-Type: image/png\r\n", PASSWORD), "leak-stopped"),
        (all(&format!("502 {in_hex}"), json, "{}"), "leak-stopped"),
        (raw("200 OK", json, PASSWORD, 4_096), "leak-stopped"),
        (all("302 Found", to_login, login), "odoo-failed"),
        (all("500 Oops", json, &json!({"error": {"message": login}}).to_string()), "odoo-failed"),
        (all("200 OK", json, &PASSWORD[..PASSWORD.len() - 1]), "odoo-failed"),
    ] {
        let said = String::from_utf8_lossy(&answer).into_owned();
        // The version is remembered, or else asked for first.
        scene.odoo.answer_raw(1, answer);
        let answer = read(&scene, &names(1));
        assert_eq!((answer.status, answer.problem().as_str()), (502, wanted), "{said}: {}", answer.body);
        assert!(!answer.body.contains(PASSWORD) && !answer.head.contains(PASSWORD));
        if wanted == "leak-stopped" {
            replace(&scene, PASSWORD);
        }
        assert_eq!(read(&scene, &names(1)).status, 200, "{said}");
    }
}

/// Who can write into an Odoo, and not know its bot's password, has it guessed at by the vault.
/// Attack on P1 and P6.
#[test]
fn a_password_is_not_guessed_by_reading() {
    let mut scene = Scene::new(Company::small(3), PASSWORD);
    let first = read(&scene, &names(1)).json["records"][0]["id"].as_i64().unwrap();
    let say = |scene: &Scene, name: &str| {
        let name = Value::Text(name.to_owned());
        scene.odoo.edit(|c| c.edit("res.partner", first, |partner| drop(partner.insert("name", name))));
    };
    say(&scene, &format!("not {}", &PASSWORD[1..]));
    assert_eq!(read(&scene, &names(1)).status, 200);
    say(&scene, &format!("is it {PASSWORD}?"));
    assert_eq!(read(&scene, &names(1)).problem(), "leak-stopped");
    let asked = scene.odoo.paths().len();
    // Whether the next guess is one is told to nobody: not here, not after a restart, not by another vault.
    say(&scene, "a guess that is none");
    let refused = |answer: Answer| {
        assert_eq!((answer.status, answer.problem().as_str()), (409, "credential-leaked"), "{}", answer.body);
    };
    refused(read(&scene, &names(1)));
    let replica = scene.vault.replica();
    let path = format!("/v1/connections/{}/read", scene.connection);
    let worker = scene.vault.token("acme", "ada", "worker");
    refused(crate::harness::call(&replica, "POST", &path, &worker, Some(&names(1))));
    scene.vault = Vault::start_in(scene.vault.stop(), &[LOOPBACK]);
    refused(read(&scene, &names(1)));
    assert_eq!(scene.odoo.paths().len(), asked, "nobody is called");
    // A check tells that it is the right one still, and not that it may be read with.
    let backend = scene.vault.token("acme", "ada", "backend");
    let check = format!("/v1/connections/{}/check", scene.connection);
    assert_eq!(scene.vault.call("POST", &check, &backend, None).json["ok"], true);
    refused(read(&scene, &names(1)));
    let causes = scene.trail("connection.inject", "status_detail");
    assert!(causes.iter().all(|cause| cause == "credential-leaked"), "{causes:?}");
    replace(&scene, PASSWORD);
    assert_eq!(read(&scene, &names(1)).status, 200);
}

/// Attack on P4 and P6.
#[test]
fn what_takes_away_is_on_record_also_when_the_day_s_events_are_used_up() {
    let vault = Vault::start_with(&[LOOPBACK, ("PAWL_EVENTS_PER_DAY", "8")]);
    let scene = Scene::of(vault, Company::small(3), PASSWORD);
    until("they are used up", || lend(&scene, "other").status == 429);
    for (body, wanted) in [
        (json!({"lend_to_writers": true}), 429),
        (json!({"injection_only": true}), 200),
        (json!({"injection_only": true}), 429),
        (json!({"readable": {"res.partner": ["name", "city"]}}), 200),
        (json!({"readable": {"res.partner": ["city", "name"]}}), 429),
        (json!({"readable": {"res.partner": ["name"]}, "injection_only": false}), 429),
        (json!({"readable": {"res.partner": ["name"]}}), 200),
        (json!({"allowed_hosts": ["a.example", "b.example"]}), 200),
        (json!({"allowed_hosts": ["b.example", "a.example"]}), 429),
        (json!({"allowed_hosts": ["c.example"]}), 429),
        (json!({"allowed_hosts": ["a.example"]}), 200),
        (json!({"allowed_hosts": null}), 429),
        (json!({"readable": null}), 429),
        (json!({"injection_only": false}), 429),
    ] {
        let answer = settings(&scene.vault, &body);
        assert_eq!(answer.status, wanted, "{body}: {}", answer.body);
    }
    let changed = scene.trail("settings.injection", "status");
    assert_eq!((changed.len(), scene.trail("settings.hosts", "status").len()), (3, 2), "{changed:?}");
}
