//! Checks, by the vault and by the worker: each cause by its code, nothing about inner hosts, the login
//! once, and the state that a refused login leaves.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::database::on_postgres;
use crate::durability::stop_the_trail;
use crate::harness::{Answer, Home, Vault, call, holds, program, raw};
use crate::scene::{LOOPBACK, Scene, code, deposit, errors};
use crate::standin::company::Company;
use crate::standin::settings::{Front, Settings, Version};
use crate::standin::wire::Value;
use crate::standin::{API_KEY, DATABASE, LOGIN, PASSWORD, StandIn};

/// What a hostile server says, which no answer may repeat.
const SAID: &str = "planted-by-the-server";

fn path(id: &str) -> String {
    format!("/v1/connections/{id}/check")
}

fn check(scene: &Scene) -> Answer {
    let backend = scene.vault.token("acme", "ada", "backend");
    scene.vault.call("POST", &path(&scene.connection), &backend, None)
}

pub fn codes(check: &Json) -> Vec<String> {
    let causes = check["causes"].as_array().unwrap_or_else(|| panic!("{check}"));
    causes.iter().map(|cause| cause["code"].as_str().unwrap().to_owned()).collect()
}

/// The worker's check of the scene's connection, as a process.
pub fn by_worker(scene: &Scene, more: &[(&str, &str)]) -> Output {
    let token = scene.vault.token("acme", "ada", "worker");
    let settings = [LOOPBACK, ("PAWL_URL", scene.vault_url.as_str()), ("PAWL_TOKEN", &token)];
    let settings: Vec<_> = settings.into_iter().chain(more.iter().copied()).collect();
    let mut command = program(env!("CARGO_BIN_EXE_pawl-sync"), scene.dir.path(), &settings);
    command.args(["check", "--connection", &scene.connection]).output().unwrap()
}

/// The code of each line that is about something.
pub fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let found = text.lines().filter(|line| *line != "ok" && !line.starts_with("Odoo "));
    found.map(|line| line.split([' ', ':']).nth(1).unwrap().to_owned()).collect()
}

fn http(status: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

fn version(major: &str) -> Vec<u8> {
    let body = format!(
        "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member>\
         <name>server_version_info</name><value><array><data><value>{major}</value><value><int>0</int></value></data></array></value>\
         </member></struct></value></param></params></methodResponse>"
    );
    http("200 OK", "Content-Type: text/xml\r\n", &body)
}

type Arrange = fn(&StandIn);

const NOTHING: Front = Front::Closed(&["/"], "404 Not Found");
const NO_RPC: Front = Front::Closed(&["/jsonrpc", "/xmlrpc"], "404 Not Found");

/// Where it is asked for the version then.
const XML: &str = "/xmlrpc/2/common";

fn by_xml_alone(settings: &mut Settings) {
    (settings.version, settings.front) = (Version::of(18), Front::Closed(&["/jsonrpc"], "404 Not Found"));
}

/// Attack on P6 and P10.
#[test]
fn each_cause_is_told_by_its_code() {
    let cases: &[(&str, Arrange, &[&str], bool, &str)] = &[
        ("all well", |_| {}, &[], true, "active"),
        ("no app", |o| o.edit(|c| c.missing = Some("product.product")), &["model_missing"], true, "active"),
        ("closed", |o| o.edit(|c| c.closed = Some("account.tax")), &["not_allowed"], false, "active"),
        ("admin", |o| o.edit(|c| c.bot_reads_rights = true), &["bot_reads_access_rights"], true, "active"),
        (
            "bookkeeper",
            |o| {
                o.edit(|c| {
                    let groups = Value::List(vec![Value::Int(1), Value::Int(24)]);
                    c.edit("res.users", 10, |user| drop(user.insert("all_group_ids", groups)));
                });
            },
            &["bot_may_write"],
            true,
            "active",
        ),
        ("password", |o| o.set_password("another"), &["login_refused"], false, "auth_failed"),
        (
            "redirect",
            |o| {
                o.answer_raw(
                    1,
                    http("302 Found", &format!("Location: https://elsewhere.example/{SAID}\r\n"), SAID),
                )
            },
            &["redirected"],
            false,
            "active",
        ),
        ("down", |o| o.answer_status(1, "505 HTTP VERSION NOT SUPPORTED"), &["http_status"], false, "active"),
        ("no such path", |o| o.set(|s| s.front = NOTHING), &["not_odoo"], false, "active"),
        ("the API is closed off", |o| o.set(|s| s.front = NO_RPC), &["api_closed"], false, "active"),
        (
            "takes keys alone",
            |o| o.set(|s| s.version = Version::of(22)),
            &["password_not_taken"],
            false,
            "active",
        ),
        (
            "a page",
            |o| o.answer_raw(1, http("200 OK", "Content-Type: text/html\r\n", SAID)),
            &["not_odoo"],
            false,
            "active",
        ),
        (
            "no JSON",
            |o| o.answer_raw(1, http("200 OK", "Content-Type: application/json\r\n", SAID)),
            &["malformed_answer"],
            false,
            "active",
        ),
        (
            "too much",
            |o| {
                let body = SAID.repeat(300_000);
                o.answer_raw(1, http("200 OK", "Content-Type: application/json\r\n", &body));
            },
            &["too_large"],
            false,
            "active",
        ),
        (
            "denied before any login",
            |o| {
                let fault = "<?xml version=\"1.0\"?><methodResponse><fault><value><struct><member><name>faultCode</name>\
                             <value><int>3</int></value></member><member><name>faultString</name><value><string>Access \
                             Denied</string></value></member></struct></value></fault></methodResponse>";
                o.set(by_xml_alone);
                o.answer_before_login(XML, http("200 OK", "Content-Type: text/xml\r\n", fault));
            },
            &["not_odoo"],
            false,
            "active",
        ),
        ("hangs up", |o| o.answer_raw(1, Vec::new()), &["broken_off"], false, "active"),
        ("hangs up after the login", |o| o.answer_raw(3, Vec::new()), &["broken_off"], false, "active"),
        (
            "no version",
            |o| {
                o.set(by_xml_alone);
                o.answer_before_login(XML, version(&format!("<string>{SAID}</string>")));
            },
            &["not_odoo"],
            false,
            "active",
        ),
        ("old", |o| o.set(|s| s.version = Version::of(13)), &["odoo_too_old"], true, "active"),
        ("hosted by its maker", |o| o.set(|s| s.version = Version::online(18, 2)), &[], true, "active"),
    ];
    for (name, arrange, expected, ok, state) in cases {
        let scene = Scene::new(Company::small(1), PASSWORD);
        arrange(&scene.odoo);
        let answer = check(&scene);
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        assert_eq!(codes(&answer.json), *expected, "{name}");
        assert_eq!((answer.json["ok"].as_bool(), scene.state().as_str()), (Some(*ok), *state), "{name}");
        assert!(scene.odoo.logins() <= 1, "{name}");
        for never in [PASSWORD, SAID, "Traceback", "Accounting / Invoicing", "<"] {
            assert!(!answer.body.contains(never), "{name}: {}", answer.body);
        }
        // Twice on record: before the secret was sent, and how it ended.
        let results = scene.trail("connection.check", "status_detail");
        assert_eq!((results.len(), results[0].as_str()), (2, "begun"), "{name}: {results:?}");

        // The same from the worker's host.
        let scene = Scene::new(Company::small(1), PASSWORD);
        arrange(&scene.odoo);
        let output = by_worker(&scene, &[("PAWL_LOG", "trace")]);
        assert_eq!(lines(&output), *expected, "{name}: {}", errors(&output));
        assert_eq!((code(&output), scene.state().as_str()), (i32::from(!ok), *state), "{name}");
        assert_eq!(scene.open_leases(), 0, "{name}");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), errors(&output));
        assert!(!said.contains(PASSWORD) && !said.contains("Přísně"), "{name}");
    }
}

#[test]
fn what_the_deposit_got_wrong_is_told_with_it() {
    let scene = Scene::new(Company::small(1), PASSWORD);
    let backend = scene.vault.token("acme", "ada", "backend");
    let ask = |username: &str, database: &str, secret: &str, query: &str| {
        let body = json!({"url": scene.odoo.url(), "database": database, "username": username,
                          "credential": {"kind": "password", "secret": secret}});
        scene.vault.call("POST", &format!("/v1/connections{query}"), &backend, Some(&body))
    };
    for (username, database, expected, state) in [
        (LOGIN, "nowhere", "no_such_database", "active"),
        ("nobody", DATABASE, "login_refused", "auth_failed"),
    ] {
        let answer = ask(username, database, PASSWORD, "?check=true");
        assert_eq!((answer.status, codes(&answer.json["check"])), (201, vec![expected.to_owned()]));
        assert_eq!(
            (answer.json["check"]["ok"].as_bool(), answer.json["state"].as_str()),
            (Some(false), Some(state))
        );
    }
    // A deposit that comes again does not try again what Odoo refused.
    let (logins, text) =
        (scene.odoo.logins(), deposit(&scene.odoo, "wrong").to_string().replace(LOGIN, "again"));
    for tries in [1, 1] {
        let head = format!(
            "Authorization: Bearer {backend}\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n"
        );
        let answer = raw(&scene.vault.url, "POST", "/v1/connections?check=true", &head, text.as_bytes());
        assert_eq!((answer.status, codes(&answer.json["check"])), (201, vec!["login_refused".to_owned()]));
        assert_eq!((answer.text("state").as_str(), scene.odoo.logins() - logins), ("auth_failed", tries));
    }
    let answer = ask("second", DATABASE, PASSWORD, "?check=false");
    assert_eq!((answer.status, &answer.json["check"]), (201, &Json::Null));
    for query in ["?check=1", "?chek=true"] {
        assert_eq!(ask("third", DATABASE, PASSWORD, query).status, 422);
    }

    // A key whose own date is over is not sent.
    let mut key = deposit(&scene.odoo, API_KEY);
    key["database"] = json!("other");
    key["credential"]["expires_at"] = json!("2026-11-24T12:00:10Z");
    let id = scene.vault.deposit_as("acme", "ada", &key);
    scene.vault.clock.advance(Duration::from_secs(10));
    let logins = scene.odoo.logins();
    let backend = scene.vault.token("acme", "ada", "backend");
    let answer = scene.vault.call("POST", &path(&id), &backend, None);
    assert_eq!(codes(&answer.json), ["credential_expired"], "{}", answer.body);
    assert_eq!(scene.odoo.logins(), logins);
}

/// Private, absent, refused: one answer, and no sooner for any of them.
/// Attack on P7.
#[test]
fn a_host_that_is_not_public_is_one_cause_at_one_time() {
    let scene = Scene::new(Company::small(1), PASSWORD);
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let of = |url: String| {
        json!({"url": url, "database": "d", "username": "bot",
               "credential": {"kind": "password", "secret": PASSWORD}})
    };
    let ids = [
        scene.connection.clone(),
        scene.vault.deposit_as("acme", "ada", &of(format!("http://127.0.0.1:{closed}"))),
        scene.vault.deposit_as("acme", "ada", &of("https://absent.invalid".into())),
    ];
    let backend = scene.vault.token("acme", "ada", "backend");
    assert_eq!(codes(&scene.vault.call("POST", &path(&ids[1]), &backend, None).json), ["connect"]);
    let seen = scene.odoo.seen().len();

    let Scene { vault, odoo, .. } = scene;
    // Without the exception that let it speak with the stand-in.
    let vault = Vault::start_in(vault.stop(), &[]);
    let backend = vault.token("acme", "ada", "backend");
    let mut bodies = Vec::new();
    for id in &ids {
        let begun = Instant::now();
        let answer = vault.call("POST", &path(id), &backend, None);
        assert!(begun.elapsed() >= Duration::from_secs(1), "{id} {:?}", begun.elapsed());
        assert_eq!((answer.status, codes(&answer.json)), (200, vec!["host_not_public".to_owned()]));
        bodies.push(answer.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert_eq!(odoo.seen().len(), seen);
}

/// Attack on P6 and P10.
#[test]
fn a_refused_credential_is_lent_for_no_sync_until_it_is_replaced_or_checked() {
    let scene = Scene::new(Company::small(1), "not the password");
    let sync = json!({"purpose": "sync", "run_id": "r"});
    assert_eq!(scene.vault.lend(&scene.connection, &sync).status, 201);
    assert_eq!(codes(&check(&scene).json), ["login_refused"]);

    // Not even the run that has the lease gets it again.
    let refused = scene.vault.lend(&scene.connection, &sync);
    assert_eq!((refused.status, refused.problem().as_str()), (409, "auth-failed"));
    assert_eq!(scene.trail("lease.lend", "status_detail"), ["auth-failed"]);
    for purpose in ["check", "other"] {
        assert_eq!(scene.vault.lend(&scene.connection, &json!({"purpose": purpose})).status, 201);
    }
    let logins = scene.odoo.logins();
    let output = scene.run("books.db");
    assert_eq!(code(&output), 77, "{}", errors(&output));
    assert!(errors(&output).contains("Odoo refused the connection's credential"), "{}", errors(&output));
    assert_eq!(scene.odoo.logins(), logins, "nobody tried it again");

    // What was wrong was Odoo's side: a check that logs in unmarks it.
    scene.odoo.set_password("not the password");
    assert_eq!(codes(&check(&scene).json), Vec::<String>::new());
    assert_eq!(scene.state(), "active");
    assert_eq!(scene.vault.lend(&scene.connection, &sync).status, 201);

    scene.odoo.set_password("yet another");
    assert_eq!(code(&by_worker(&scene, &[])), 1);
    assert_eq!(scene.vault.lend(&scene.connection, &sync).problem(), "auth-failed");
    let backend = scene.vault.token("acme", "ada", "backend");
    let credential = format!("/v1/connections/{}/credential", scene.connection);
    let new = json!({"secret": "yet another"});
    assert_eq!(scene.vault.call("PUT", &credential, &backend, Some(&new)).status, 200);
    assert_eq!(scene.vault.lend(&scene.connection, &sync).status, 201);
}

/// A check is ended by what makes its secret old, and marks nothing.
/// Attack on P8.
#[test]
fn a_check_under_way_ends_with_its_credential() {
    for (method, suffix, body, problem) in [
        ("PUT", "/credential", Some(json!({"secret": "next"})), "credential-replaced"),
        ("DELETE", "", None, "not-found"),
    ] {
        let scene = Scene::new(Company::small(1), "not the password");
        // The login, which will be refused.
        scene.odoo.hold(1);
        let backend = scene.vault.token("acme", "ada", "backend");
        std::thread::scope(|threads| {
            let checking = threads.spawn(|| check(&scene));
            assert!(scene.odoo.wait_until_held());
            assert_eq!(check(&scene).problem(), "check-running");
            // Which is nobody else's business.
            let eve = scene.vault.token("acme", "eve", "backend");
            assert_eq!(scene.vault.call("POST", &path(&scene.connection), &eve, None).problem(), "not-found");
            let at = format!("/v1/connections/{}{suffix}", scene.connection);
            let changed = scene.vault.call(method, &at, &backend, body.as_ref());
            assert!((200..300).contains(&changed.status), "{}", changed.body);
            // Odoo never let go: it was not waited for.
            assert_eq!(checking.join().unwrap().problem(), problem);
        });
        scene.odoo.release();
        // Between them eve's, in the same org.
        assert_eq!(scene.trail("connection.check", "status_detail"), ["begun", "not-found", problem]);
        if method == "PUT" {
            assert_eq!(scene.state(), "active");
        }
    }
}

/// Attack on P4 and P5.
#[test]
fn no_check_without_a_record_and_none_of_anybody_elses() {
    let scene = Scene::new(Company::small(1), PASSWORD);
    let at = path(&scene.connection);
    for (org, user, role, status) in [
        ("acme", "eve", "backend", 404),
        ("other", "ada", "backend", 404),
        ("other", "ada", "owner", 404),
        ("acme", "ada", "worker", 403),
        ("acme", "ada", "auditor", 403),
    ] {
        let answer = scene.vault.call("POST", &at, &scene.vault.token(org, user, role), None);
        assert_eq!(answer.status, status, "{org} {user} {role}: {}", answer.body);
    }
    assert!(scene.odoo.seen().is_empty());
    let boss = scene.vault.token("acme", "boss", "owner");
    assert_eq!(scene.vault.call("POST", &at, &boss, None).json["ok"], true);

    let seen = scene.odoo.seen().len();
    let backend = scene.vault.token("acme", "ada", "backend");
    stop_the_trail(&scene.vault);
    let answer = scene.vault.call("POST", &at, &backend, None);
    assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"));
    assert_eq!(scene.odoo.seen().len(), seen, "nothing was sent");
}

/// Only a check reads what tells of rights; the exceptions of one org are no other's.
/// Attack on P6.
#[test]
fn a_sync_reads_nothing_that_is_for_checks_and_exceptions_are_of_their_org() {
    let scene = Scene::new(Company::small(1), PASSWORD);
    assert_eq!(code(&scene.run("books.db")), 0);
    let of_rights = |model: &str| ["res.users", "res.groups", "ir.model.access"].contains(&model);
    assert!(!scene.odoo.seen().iter().any(|call| of_rights(&call.model)));
    check(&scene);
    let asked: Vec<_> = scene.odoo.seen().into_iter().filter(|call| of_rights(&call.model)).collect();
    let methods: Vec<_> = asked.iter().map(|call| (call.method.as_str(), call.model.as_str())).collect();
    assert_eq!(methods, [("search_read", "ir.model.access"), ("read", "res.users"), ("read", "res.groups")]);

    let vault = Vault::start_with(&[("PAWL_EGRESS_ALLOW", "acme@127.0.0.1")]);
    let odoo = StandIn::start(Company::small(1)).unwrap();
    let id = vault.deposit_as("acme", "ada", &deposit(&odoo, PASSWORD));
    let backend = vault.token("acme", "ada", "backend");
    assert_eq!(vault.call("POST", &path(&id), &backend, None).json["ok"], true);
}

/// At TRACE, with the secret on its way to Odoo. In production nothing on loopback may be called, so this is
/// for the embedded mode.
/// Attack on P1.
#[test]
fn nothing_secret_is_in_the_vaults_log() {
    if on_postgres() {
        return;
    }
    let (home, odoo) = (Home::new(), StandIn::start(Company::small(1)).unwrap());
    let process = home.serve(&[LOOPBACK, ("PAWL_LOG", "trace")]);
    let args = ["token", "issue", "--org", "acme", "--user", "ada", "--role", "backend"];
    let token = String::from_utf8(home.pawl(&[]).args(args).output().unwrap().stdout).unwrap();
    let mut wrong = deposit(&odoo, "planted-WRONG-5hT9");
    wrong["username"] = json!("nobody");
    for (body, expected) in [(deposit(&odoo, API_KEY), true), (wrong, false)] {
        let answer = call(&process.url, "POST", "/v1/connections?check=true", token.trim(), Some(&body));
        assert_eq!((answer.status, &answer.json["check"]["ok"]), (201, &json!(expected)), "{}", answer.body);
    }
    // With the key there is none.
    assert_eq!(odoo.logins(), 1);
    drop(process);
    let log = std::fs::read(home.path().join("log")).unwrap();
    assert!(log.len() > 1_000, "{}", log.len());
    for never in [API_KEY, "planted-WRONG-5hT9"] {
        assert!(!holds(&log, never));
        assert!(home.everything_kept().iter().all(|(_, bytes)| !holds(bytes, never)));
    }
}

/// Attack on P6.
#[test]
fn a_check_is_no_way_to_guess_a_password() {
    let scene = Scene::new(Company::sized(7, 3, 2), PASSWORD);
    scene.odoo.set_password("another");
    let backend = scene.vault.token("acme", "ada", "backend");
    let credential = format!("/v1/connections/{}/credential", scene.connection);
    for guess in 0..5 {
        let body = json!({"secret": format!("guess {guess}")});
        assert_eq!(scene.vault.call("PUT", &credential, &backend, Some(&body)).status, 200);
        assert_eq!(codes(&check(&scene).json), ["login_refused"], "{guess}");
    }
    let tried = scene.odoo.seen().len();
    assert_eq!(
        scene.vault.call("PUT", &credential, &backend, Some(&json!({"secret": "another"}))).status,
        200
    );
    let refused = check(&scene);
    assert_eq!((refused.status, refused.problem().as_str()), (429, "too-many-refusals"));
    assert_eq!(refused.header("retry-after"), Some("3600"));
    assert_eq!(scene.odoo.seen().len(), tried, "nothing is sent");
    scene.vault.clock.advance(Duration::from_secs(3_600));
    assert_eq!(check(&scene).json["ok"], true);
}

/// Attack on P6.
#[test]
fn a_loan_that_logged_in_nowhere_lets_no_sync_begin_again() {
    let scene = Scene::new(Company::sized(7, 3, 2), PASSWORD);
    scene.odoo.set_password("another");
    assert_eq!(codes(&check(&scene).json), ["login_refused"]);
    let worker = scene.vault.token("acme", "ada", "worker");
    for (purpose, then) in [("other", "auth-failed"), ("check", "")] {
        let loan = scene.vault.lend(&scene.connection, &json!({"purpose": purpose})).text("id");
        let back = format!("/v1/leases/{loan}/return");
        assert_eq!(scene.vault.call("POST", &back, &worker, Some(&json!({"outcome": "ok"}))).status, 204);
        let lent = scene.vault.lend(&scene.connection, &json!({"purpose": "sync"}));
        assert_eq!(if lent.status == 201 { String::new() } else { lent.problem() }, then, "{purpose}");
    }
}
