//! What the worker does about its lease while it reads: renews it, and stops when it is over, whatever
//! ended it. Once it is over, no page is written any more.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pawl::clock::Clock;
use pawl::sync::{Patience, SyncError, Verdict};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};

use crate::harness::until;
use crate::scene::{Scene, code, errors, number};
use crate::standin::PASSWORD;
use crate::standin::company::Company;

/// A run in this process whose second page of invoices is held back, and what is done meanwhile.
fn meanwhile(scene: &Scene, clock: &Clock, act: impl FnOnce(&str)) -> Result<(), SyncError> {
    let soon = Duration::from_millis(2);
    let patience = Patience { ask_every: soon, ask_again: soon, ..Patience::default() };
    patiently(scene, patience, clock, act)
}

fn patiently(
    scene: &Scene,
    patience: Patience,
    clock: &Clock,
    act: impl FnOnce(&str),
) -> Result<(), SyncError> {
    scene.odoo.hold(4);
    std::thread::scope(|threads| {
        let run = threads.spawn(|| scene.run_patiently(patience, clock, &mut |_, _| {}));
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
        until("a renewal", || ends() == "2026-11-24T12:23:20.000000Z");
        scene.odoo.release();
    });
    done.unwrap();
    scene.assert_same("books.db");
    let renewed = scene.trail("lease.renew", "status");
    assert_eq!(renewed, ["Success"], "once is enough");
    assert_eq!(scene.open_leases(), 0);
}

/// Attack on P8.
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

/// What becomes of an answer of the vault's.
enum Fate {
    Arrives,
    /// The connection closes without it.
    Lost,
    /// The connection stays open without it, and the vault was never asked.
    NeverComes,
    /// Something in between answers.
    Instead(&'static str),
}

/// Between worker and vault: each request, by its first line, has its fate.
fn between(vault: &str, mut fate: impl FnMut(&str) -> Fate + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let vault = vault.strip_prefix("http://").unwrap().to_owned();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // One that was broken off before it said anything.
            let Some(request) = read_request(&mut stream) else { continue };
            let fate = fate(request.lines().next().unwrap());
            if let Fate::Instead(answer) = fate {
                let _ = stream.write_all(answer.as_bytes());
                continue;
            }
            if matches!(fate, Fate::NeverComes) {
                silent.push(stream);
                continue;
            }
            let mut beyond = TcpStream::connect(&vault).unwrap();
            beyond.write_all(request.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes()).unwrap();
            let mut answer = Vec::new();
            beyond.read_to_end(&mut answer).unwrap();
            if matches!(fate, Fate::Lost) {
                continue;
            }
            let head = answer.windows(2).position(|w| w == b"\r\n").unwrap() + 2;
            let answer = [&answer[..head], b"Connection: close\r\n", &answer[head..]].concat();
            let _ = stream.write_all(&answer);
        }
    });
    url
}

/// The same, where some answers are lost.
fn lossy(vault: &str, mut is_lost: impl FnMut(&str) -> bool + Send + 'static) -> String {
    between(vault, move |line| if is_lost(line) { Fate::Lost } else { Fate::Arrives })
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            return Some(text.into_owned());
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
        let lent = scene.trail("lease.lend", "lease.uid");
        assert!(lent.iter().all(|lease| *lease == lent[0]), "{path}: one lease, {lent:?}");
        assert_eq!(
            scene.trail("lease.return", "status").first().map(String::as_str),
            Some("Success"),
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
        until("a third question", || lost.load(Ordering::SeqCst) >= 3);
        scene.odoo.release();
    });
    done.unwrap();
    scene.assert_same("books.db");
}

/// The questions come half a second apart, and after no answer much sooner: else the vault would have
/// been silent for too long before the one that is answered.
#[test]
fn no_answer_is_asked_for_again_at_once() {
    let mut scene = Scene::new(Company::sized(3, 1_100, 40), PASSWORD);
    let mut left = 40;
    scene.vault_url = lossy(&scene.vault.url, move |line| {
        let is_lost = line.starts_with("GET ") && left > 0;
        left -= usize::from(is_lost);
        is_lost
    });
    let patience = Patience {
        ask_every: Duration::from_millis(500),
        ask_again: Duration::from_millis(1),
        silent_for: Duration::from_secs(10),
        ..Patience::default()
    };
    let ended = patiently(&scene, patience, &scene.vault.clock, |_| {
        let backend = scene.vault.token("acme", "ada", "backend");
        let connection = format!("/v1/connections/{}", scene.connection);
        assert!(scene.vault.call("DELETE", &connection, &backend, None).status < 300);
    });
    scene.odoo.release();
    let error = ended.err().unwrap();
    assert!(matches!(error, SyncError::Forgotten), "{error}");
}

#[test]
fn a_vault_that_stays_silent_ends_the_use_of_the_lease_and_the_next_run_goes_on() {
    let mut scene = Scene::new(Company::sized(3, 1_100, 40), PASSWORD);
    let direct = scene.vault.url.clone();
    scene.vault_url = between(&direct, |line| match line {
        line if line.starts_with("GET ") || line.contains("/return ") => Fate::NeverComes,
        _ => Fate::Arrives,
    });
    let patience = Patience {
        ask_every: Duration::from_millis(2),
        answer_within: Duration::from_millis(20),
        ask_again: Duration::from_millis(2),
        silent_for: Duration::from_secs(4),
        hand_back_within: Duration::from_millis(50),
        ..Patience::default()
    };
    let ended = patiently(&scene, patience, &scene.vault.clock, |_| {});
    scene.odoo.release();
    let error = ended.err().unwrap();
    assert!(matches!(error, SyncError::VaultSilent) && error.verdict() == Verdict::Later, "{error}");
    assert_eq!(number(&scene.sink("books.db"), "SELECT count(*) FROM account_move"), 1_000);
    assert_eq!(scene.open_leases(), 1, "it ends by itself");
    scene.vault_url = direct;
    scene.run_here(&scene.vault.clock, &mut |_, _| {}).unwrap();
    scene.assert_same("books.db");
    assert_eq!(scene.open_leases(), 0);
}

const ANSWERS_OF_OTHERS: [&str; 4] = [
    "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone",
    "HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\nContent-Length: 22\r\n\
     Connection: close\r\n\r\n{\"type\":\"about:blank\"}",
    "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/problem+json\r\nContent-Length: 22\r\n\
     Connection: close\r\n\r\n{\"type\":\"about:blank\"}",
    "HTTP/1.1 500 Broken\r\nContent-Type: application/problem+json\r\nContent-Length: 22\r\n\
     Connection: close\r\n\r\n{\"type\":\"about:blank\"}",
];

#[test]
fn what_stands_before_the_vault_stops_no_run_with_its_own_answers() {
    for answer in ANSWERS_OF_OTHERS {
        let mut scene = Scene::new(Company::sized(3, 1_100, 40), PASSWORD);
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        scene.vault_url = between(&scene.vault.url, move |line| {
            let is_first = line.starts_with("GET ") && counted.fetch_add(1, Ordering::SeqCst) == 0;
            if is_first { Fate::Instead(answer) } else { Fate::Arrives }
        });
        let done = meanwhile(&scene, &scene.vault.clock, |_| {
            until("a second question", || asked.load(Ordering::SeqCst) >= 2);
            scene.odoo.release();
        });
        assert!(done.is_ok(), "{answer}: {done:?}");
        scene.assert_same("books.db");
    }
}

#[test]
fn what_may_have_been_lent_is_asked_for_as_the_same_run() {
    for (answer, ended) in ANSWERS_OF_OTHERS.into_iter().zip([1, 1, 75, 75]) {
        let mut scene = Scene::new(Company::sized(3, 30, 20), PASSWORD);
        let mut is_first = true;
        let vault = scene.vault.url.clone();
        scene.vault_url = between(&vault, move |line| match line.contains("/leases ") {
            true if std::mem::take(&mut is_first) => Fate::Instead(answer),
            _ => Fate::Arrives,
        });
        let output = scene.run("books.db");
        assert_eq!(code(&output), ended, "{answer}: {}", errors(&output));
        let output = scene.run("books.db");
        assert_eq!(code(&output), 0, "{answer}: {}", errors(&output));
        assert!(errors(&output).contains("going on"), "{answer}: {}", errors(&output));
        scene.assert_same("books.db");
    }
}

#[test]
fn a_signal_does_not_wait_for_a_vault_that_hangs() {
    for (path, is_second) in [("/leases ", false), ("/return ", true)] {
        let mut scene = Scene::new(Company::sized(3, 1_100, 40), PASSWORD);
        let (tell, told) = std::sync::mpsc::channel();
        scene.vault_url = between(&scene.vault.url, move |line| match line.contains(path) {
            true => {
                tell.send(()).unwrap();
                Fate::NeverComes
            }
            false => Fate::Arrives,
        });
        scene.odoo.hold(4);
        let worker = scene.spawn("books.db");
        let pid = Pid::from_raw(worker.child.id() as i32).unwrap();
        let patience = Duration::from_secs(60);
        if is_second {
            assert!(scene.odoo.wait_until_held());
            kill_process(pid, Signal::TERM).unwrap();
        }
        told.recv_timeout(patience).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let (ended, said) = worker.end();
        assert_eq!(ended, 75, "{path}: {said}");
        assert_eq!(said.contains("at once"), is_second, "{path}: {said}");
        assert!(told.try_recv().is_err(), "{path}: it was asked once more");
        scene.odoo.release();
    }
}
