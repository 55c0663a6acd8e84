//! Reads that don't end by themselves: a caller who hangs up, a slow Odoo, a dead one, and what is taken away meanwhile.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value as Json, json};
#[cfg(feature = "postgres")]
use sha2::{Digest, Sha256};

use crate::harness::{Answer, Home, Vault, call, holds, until};
use crate::injection::{endings, names, read, settings, told, wait_for_endings};
use crate::scene::{LOOPBACK, Scene, deposit};
use crate::standin::company::Company;
use crate::standin::{PASSWORD, StandIn};

/// Sends a request and does not wait for the answer.
fn send(vault: &Vault, token: &str, (method, path): (&str, &str), body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(vault.url.strip_prefix("http://").unwrap()).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: pawl\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn send_read(scene: &Scene) -> TcpStream {
    let path = format!("/v1/connections/{}/read", scene.connection);
    let worker = scene.vault.token("acme", "ada", "worker");
    send(&scene.vault, &worker, ("POST", &path), &names(2).to_string())
}

fn wait_for_beginnings(scene: &Scene, wanted: usize) {
    let begun = || told(scene).iter().filter(|event| event["activity_name"] == "inject.started").count();
    until(&format!("{wanted} begun"), || begun() == wanted);
}

/// Attack on P4 and P6.
#[test]
fn a_caller_who_hangs_up_ends_the_call_and_that_is_on_record() {
    let scene = Scene::new(Company::small(3), PASSWORD);
    // The login, then the records.
    for held in [1, 2] {
        scene.odoo.hold(held);
        let caller = send_read(&scene);
        assert!(scene.odoo.wait_until_held());
        assert!(!endings(&scene).contains(&"ok".to_owned()));
        drop(caller);
        wait_for_endings(&scene, &["cancelled", "cancelled"][..held]);
        scene.odoo.release();
    }
    assert_eq!(read(&scene, &names(1)).status, 200, "its places are free again");
}

/// Attack on P8 and P6.
#[test]
fn what_is_taken_away_ends_the_read_before_it_answers() {
    let mut scene = Scene::new(Company::small(3), PASSWORD);
    let backend = scene.vault.token("acme", "ada", "backend");
    type Change = fn(&Scene, &str) -> Answer;
    let cases: [(&str, u16, Change); 3] = [
        ("frozen", 200, |scene, _| settings(&scene.vault, &json!({"frozen": true}))),
        ("credential-replaced", 200, |scene, backend| {
            let path = format!("/v1/connections/{}/credential", scene.connection);
            scene.vault.call("PUT", &path, backend, Some(&json!({"secret": PASSWORD})))
        }),
        ("not-found", 204, |scene, backend| {
            scene.vault.call("DELETE", &format!("/v1/connections/{}", scene.connection), backend, None)
        }),
    ];
    for (cause, status, change) in cases {
        let before = endings(&scene).len();
        scene.odoo.hold(2);
        std::thread::scope(|threads| {
            let reader = threads.spawn(|| read(&scene, &names(2)));
            assert!(scene.odoo.wait_until_held());
            assert_eq!(change(&scene, &backend).status, status, "{cause}");
            assert_eq!(endings(&scene)[before..], [cause], "on record when the change is answered");
            let answer = reader.join().unwrap();
            assert_eq!(answer.problem(), cause, "{}", answer.body);
        });
        scene.odoo.release();
        assert_eq!(settings(&scene.vault, &json!({"frozen": false})).status, 200);
        if cause == "not-found" {
            scene.connection = scene.vault.deposit_as("acme", "ada", &deposit(&scene.odoo, PASSWORD));
        }
        assert_eq!(read(&scene, &names(1)).status, 200, "{cause}");
        until("that is on record", || endings(&scene).last().is_some_and(|how| how == "ok"));
    }
}

/// The same by another vault on the same database: while Odoo is waited for, and when it has answered right after.
/// Attack on P8 and P6.
#[test]
fn what_another_vault_takes_away_ends_the_read_too() {
    let mut scene = Scene::new(Company::small(3), PASSWORD);
    let (other, backend) = (scene.vault.replica(), scene.vault.token("acme", "ada", "backend"));
    let owner = scene.vault.token("acme", "boss", "owner");
    let set = |body: Json| ("PUT", crate::frozen::SETTINGS.to_owned(), body);
    let cases = |scene: &Scene| {
        let at = format!("/v1/connections/{}", scene.connection);
        [
            ("frozen", 423, set(json!({"frozen": true}))),
            ("host-not-allowed", 403, set(json!({"allowed_hosts": ["another.example"]}))),
            ("settings-changed", 503, set(json!({"readable": {"res.partner": ["city"]}}))),
            ("credential-replaced", 409, ("PUT", format!("{at}/credential"), json!({"secret": PASSWORD}))),
            ("not-found", 404, ("DELETE", at, Json::Null)),
        ]
    };
    let back = json!({"frozen": false, "allowed_hosts": null, "readable": null});
    for is_late in [false, true] {
        for n in 0..5 {
            let before = endings(&scene).len();
            let (cause, status, (method, path, body)) = cases(&scene)[n].clone();
            scene.odoo.hold(2);
            std::thread::scope(|threads| {
                let reader = threads.spawn(|| read(&scene, &names(2)));
                assert!(scene.odoo.wait_until_held());
                let token = if path == crate::frozen::SETTINGS { &owner } else { &backend };
                let changed = call(&other, method, &path, token, Some(&body).filter(|body| !body.is_null()));
                assert!((200..=204).contains(&changed.status), "{cause}: {}", changed.body);
                if is_late {
                    scene.odoo.release();
                }
                let answer = reader.join().unwrap();
                assert_eq!(answer.status, status, "{cause}: {}", answer.body);
                assert!(!answer.body.contains("records"), "{cause}: {}", answer.body);
            });
            assert_eq!(endings(&scene)[before..], [cause]);
            scene.odoo.release();
            assert_eq!(settings(&scene.vault, &back).status, 200);
            if cause == "not-found" {
                scene.connection = scene.vault.deposit_as("acme", "ada", &deposit(&scene.odoo, PASSWORD));
            }
            assert_eq!(read(&scene, &names(1)).status, 200, "{cause}");
            until("that is on record", || endings(&scene).last().is_some_and(|how| how == "ok"));
        }
    }
}

#[cfg(feature = "postgres")]
/// What may be read is narrowed after the question was judged and before it is on record.
/// Attack on P6.
#[test]
fn a_question_is_judged_by_what_may_be_read_as_it_begins() {
    let scene = Scene::of(Vault::start_in(Home::on_postgres(), &[LOOPBACK]), Company::small(3), PASSWORD);
    assert_eq!(read(&scene, &names(1)).status, 200);
    assert_eq!(settings(&scene.vault, &json!({"lend_to_writers": false})).status, 200);
    let asked = scene.odoo.paths().len();
    let digest = Sha256::digest(b"pawl/v1/chainacme");
    let lock = i64::from_be_bytes(digest[..8].try_into().unwrap());
    let mut holder = scene.vault.home.sql();
    let waiting = "FROM pg_locks JOIN pg_database ON pg_database.oid = database \
                   WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()";
    until("it was judged in time", || {
        holder.run("UPDATE org_settings SET readable = NULL WHERE org_id = 'acme'");
        holder.run(&format!("SELECT pg_advisory_lock({lock})"));
        let answer = std::thread::scope(|threads| {
            let reader = threads.spawn(|| read(&scene, &names(1)));
            while holder.texts("count(*)", waiting) != ["1"] && !reader.is_finished() {
                std::thread::yield_now();
            }
            let part = r#"{"res.partner": ["city"]}"#;
            holder.run(&format!("UPDATE org_settings SET readable = '{part}' WHERE org_id = 'acme'"));
            holder.run(&format!("SELECT pg_advisory_unlock({lock})"));
            reader.join().unwrap()
        });
        // It has a quarter of a second to begin in.
        assert!([422, 503].contains(&answer.status), "{}", answer.body);
        answer.errors() == ["fields[0] readable"]
    });
    assert_eq!(scene.odoo.paths().len(), asked);
}

/// Attack on P8.
#[test]
fn a_forget_is_whole_though_its_caller_hung_up() {
    let vault = Vault::start_in(Home::on_sqlite(), &[LOOPBACK]);
    let backend = vault.token("acme", "ada", "backend");
    for n in 0..8 {
        let id = vault.deposit_as("acme", "ada", &crate::harness::deposit(&format!("bot{n}"), "planted"));
        let sealed =
            vault.home.sql().texts("sealed", &format!("FROM connections WHERE id = '{id}'")).remove(0);
        let caller = send(&vault, &backend, ("DELETE", &format!("/v1/connections/{id}")), "");
        let there = format!("FROM connections WHERE id = '{id}'");
        until("the row is gone", || vault.home.sql().texts("count(*)", &there) == ["0"]);
        drop(caller);
        let is_kept = || vault.home.everything_kept().iter().any(|(_, bytes)| holds(bytes, &sealed));
        until("its bytes are gone from every file", || !is_kept());
    }
}

/// Attack on P4 and P6.
#[test]
fn a_slow_odoo_uses_up_its_own_places_alone() {
    let scene = Scene::new(Company::small(3), PASSWORD);
    let quick = StandIn::start(Company::small(3)).unwrap();
    let other = scene.vault.deposit_as("acme", "ada", &deposit(&quick, PASSWORD));
    scene.odoo.set_workers(1);
    scene.odoo.hold(1);
    let callers: Vec<TcpStream> = (0..3).map(|_| send_read(&scene)).collect();
    wait_for_beginnings(&scene, 3);
    let full = read(&scene, &names(1));
    assert_eq!((full.status, full.problem().as_str()), (429, "too-many-reads"), "{}", full.body);
    assert_eq!(full.header("retry-after"), Some("1"));
    // Whoever else has something to do there or elsewhere goes on.
    let worker = scene.vault.token("acme", "ada", "worker");
    let elsewhere =
        scene.vault.call("POST", &format!("/v1/connections/{other}/read"), &worker, Some(&names(1)));
    assert_eq!(elsewhere.status, 200, "{}", elsewhere.body);
    assert_eq!(scene.vault.lend(&scene.connection, &json!({"purpose": "other"})).status, 201);
    // Another org has its own places there.
    let others = scene.vault.deposit_as("other", "oda", &deposit(&scene.odoo, PASSWORD));
    let others_worker = scene.vault.token("other", "oda", "worker");
    std::thread::scope(|threads| {
        let read = threads.spawn(|| {
            scene.vault.call(
                "POST",
                &format!("/v1/connections/{others}/read"),
                &others_worker,
                Some(&names(1)),
            )
        });
        let begun = |event: &serde_json::Value| event["event"]["activity_name"] == "inject.started";
        until("another org's begins", || read.is_finished() || scene.vault.trail("other").iter().any(begun));
        drop(callers);
        until("they have ended", || endings(&scene).iter().filter(|how| *how == "cancelled").count() == 3);
        scene.odoo.release();
        let read = read.join().unwrap();
        assert_eq!(read.status, 200, "{}", read.body);
    });
    scene.odoo.set_workers(8);
    assert_eq!(read(&scene, &names(1)).status, 200);
}

/// Attack on P4 and P6.
#[test]
fn a_dead_host_is_not_called_for_a_while() {
    let mut scene = Scene::new(Company::small(3), PASSWORD);
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut there = deposit(&scene.odoo, PASSWORD);
    let alive = std::mem::replace(&mut scene.connection, {
        there["url"] = json!(format!("http://{dead}"));
        scene.vault.deposit_as("acme", "ada", &there)
    });
    let told = |answer: Answer| (answer.status, answer.problem());
    let failed = (502, "odoo-failed".to_owned());
    for _ in 0..3 {
        assert_eq!(told(read(&scene, &names(1))), failed);
    }
    let held = read(&scene, &names(1));
    assert_eq!((held.status, held.problem().as_str()), (503, "host-down"), "{}", held.body);
    let seconds: u64 = held.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=15).contains(&seconds), "{seconds}");
    let until = pawl::clock::Moment::parse(&held.text("until")).unwrap();
    assert!(until > scene.vault.clock.now());
    assert_eq!(endings(&scene), ["odoo-failed"; 3], "nobody was called");
    // One tries, and finds it dead; then it is let be for twice as long.
    scene.vault.clock.advance(Duration::from_secs(15));
    assert_eq!(told(read(&scene, &names(1))), failed);
    scene.vault.clock.advance(Duration::from_secs(16));
    assert_eq!(told(read(&scene, &names(1))), (503, "host-down".to_owned()));
    let dead = std::mem::replace(&mut scene.connection, alive);
    assert_eq!(read(&scene, &names(1)).status, 200, "another host");
    // It is back.
    let back = TcpListener::bind(there["url"].as_str().unwrap().strip_prefix("http://").unwrap()).unwrap();
    scene.connection = dead;
    scene.vault.clock.advance(Duration::from_secs(15));
    std::thread::scope(|threads| {
        threads.spawn(move || {
            let (mut stream, _) = back.accept().unwrap();
            let page = "HTTP/1.1 404 NOT FOUND\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(page.as_bytes()).unwrap();
        });
        let answer: Json = read(&scene, &names(1)).json;
        assert_ne!(answer["type"], "urn:pawl:problem:host-down", "{answer}");
    });
}
