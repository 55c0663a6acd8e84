//! What the worker does about its lease while it reads: renews it, and stops when it is over, whatever
//! ended it. Once it is over, no page is written any more.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pawl::clock::Clock;
use pawl::sync::{SyncError, Verdict};
use serde_json::{Value as Json, json};

use crate::scene::{Scene, code, errors, number};
use crate::standin::PASSWORD;
use crate::standin::company::Company;

/// A run in this process whose second page of invoices is held back, and what is done meanwhile.
fn meanwhile(scene: &Scene, clock: &Clock, act: impl FnOnce(&str)) -> Result<(), SyncError> {
    scene.odoo.hold(4);
    std::thread::scope(|threads| {
        let run = threads.spawn(|| scene.run_here(clock, &mut |_, _| {}));
        assert!(scene.odoo.wait_until_held());
        scene.wait_until_written("books.db", "account_move", 1_000);
        let lease = leases(scene)[0]["id"].as_str().unwrap().to_owned();
        act(&lease);
        run.join().unwrap().map(drop)
    })
}

fn leases(scene: &Scene) -> Vec<Json> {
    let worker = scene.vault.token("acme", "ada", "worker");
    scene.vault.call("GET", "/v1/leases", &worker, None).json["items"].as_array().unwrap().clone()
}

fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !is_true() {
        assert!(Instant::now() < patience, "{what}");
        std::thread::yield_now();
    }
}

/// The worker's clock is a day ahead, so that its token tells it nothing.
#[test]
fn a_long_run_renews_its_lease() {
    let scene = Scene::new(Company::sized(3, 1_100, 40), PASSWORD);
    let ahead = Clock::held(scene.vault.clock.now().after(Duration::from_secs(86_400)));
    let done = meanwhile(&scene, &ahead, |_| {
        let ends = || leases(&scene)[0]["expires_at"].as_str().unwrap().to_owned();
        assert_eq!(ends(), "2026-11-24T12:15:00.000000Z");
        for clock in [&scene.vault.clock, &ahead] {
            clock.advance(Duration::from_secs(500));
        }
        until("the lease was never renewed", || ends() == "2026-11-24T12:23:20.000000Z");
        scene.odoo.release();
    });
    done.unwrap();
    scene.assert_same("books.db");
    let renewed = scene.trail("lease.renew", "outcome");
    assert_eq!(renewed, ["done"], "once is enough");
    assert_eq!(scene.open_leases(), 0);
}

#[test]
fn a_run_stops_when_its_lease_is_over_and_writes_no_page_after() {
    for (what, verdict) in [("forgotten", Verdict::Failed), ("returned", Verdict::Later)] {
        let scene = Scene::new(Company::sized(3, 1_100, 40), PASSWORD);
        let backend = scene.vault.token("acme", "ada", "backend");
        let connection = format!("/v1/connections/{}", scene.connection);
        let ended = meanwhile(&scene, &scene.vault.clock, |lease| {
            let worker = scene.vault.token("acme", "ada", "worker");
            let (method, path, token, body) = match what {
                "forgotten" => ("DELETE", connection.clone(), &backend, None),
                _ => (
                    "POST",
                    format!("/v1/leases/{lease}/return"),
                    &worker,
                    Some(json!({"outcome": "failed"})),
                ),
            };
            let answer = scene.vault.call(method, &path, token, body.as_ref());
            assert!(answer.status < 300, "{what} {}", answer.body);
            // The page is never let go: the run ends by itself.
        });
        let error = ended.err().unwrap();
        assert_eq!(error.verdict(), verdict, "{what}: {error}");
        scene.odoo.release();
        assert_eq!(number(&scene.sink("books.db"), "SELECT count(*) FROM account_move"), 1_000, "{what}");
        assert_eq!(scene.open_leases(), 0, "{what}");
        if what == "forgotten" {
            assert!(matches!(error, SyncError::Forgotten), "{error}");
            let again = scene.run_here(&scene.vault.clock, &mut |_, _| {});
            assert_eq!(again.err().unwrap().verdict(), Verdict::Failed);
        } else {
            scene.run_here(&scene.vault.clock, &mut |_, _| {}).unwrap();
            scene.assert_same("books.db");
        }
    }
}

/// Between worker and vault: the vault gets what is asked, and those answers are lost on the way back.
fn lossy(vault: &str, mut is_lost: impl FnMut(&str) -> bool + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let vault = vault.strip_prefix("http://").unwrap().to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read_request(&mut stream);
            let mut beyond = TcpStream::connect(&vault).unwrap();
            beyond.write_all(request.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes()).unwrap();
            let mut answer = Vec::new();
            beyond.read_to_end(&mut answer).unwrap();
            if is_lost(request.lines().next().unwrap()) {
                continue;
            }
            let head = answer.windows(2).position(|w| w == b"\r\n").unwrap() + 2;
            stream.write_all(&answer[..head]).unwrap();
            stream.write_all(b"Connection: close\r\n").unwrap();
            stream.write_all(&answer[head..]).unwrap();
        }
    });
    url
}

fn read_request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut chunk).unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            return text.into_owned();
        }
    }
}

#[test]
fn a_lost_answer_is_asked_for_once_more_and_nothing_is_done_twice() {
    for path in ["/leases ", "/return "] {
        let mut scene = Scene::new(Company::sized(3, 30, 20), PASSWORD);
        let mut is_first = true;
        scene.vault_url = lossy(&scene.vault.url, move |line| {
            line.starts_with("POST ") && line.contains(path) && std::mem::take(&mut is_first)
        });
        let output = scene.run("books.db");
        assert_eq!(code(&output), 0, "{path}: {}", errors(&output));
        scene.assert_same("books.db");
        assert_eq!(scene.open_leases(), 0, "{path}");
        let lent = scene.trail("lease.lend", "lease_id");
        assert!(lent.iter().all(|lease| *lease == lent[0]), "{path}: one lease, {lent:?}");
        assert_eq!(
            scene.trail("lease.return", "outcome").first().map(String::as_str),
            Some("done"),
            "{path}"
        );
        let ended = "SELECT count(*) FROM pawl_run WHERE finished_at IS NOT NULL AND outcome = 'ok'";
        assert_eq!(number(&scene.sink("books.db"), ended), 1, "{path}");
    }
}

#[test]
fn a_vault_that_is_silent_for_a_while_stops_no_run() {
    let mut scene = Scene::new(Company::sized(3, 1_100, 40), PASSWORD);
    let lost = Arc::new(AtomicUsize::new(0));
    let counted = lost.clone();
    scene.vault_url = lossy(&scene.vault.url, move |line| {
        let is_lost = line.starts_with("GET ");
        counted.fetch_add(usize::from(is_lost), Ordering::SeqCst);
        is_lost
    });
    let done = meanwhile(&scene, &scene.vault.clock, |_| {
        until("the vault was not asked", || lost.load(Ordering::SeqCst) >= 3);
        scene.odoo.release();
    });
    done.unwrap();
    scene.assert_same("books.db");
}
