//! Bad tokens as fast as they can be sent, while others go on.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Home, Process, Vault, call, deposit};
use crate::kept_open::{Client, Wire};

fn connect(url: &str) -> impl Fn() -> Box<dyn Wire> {
    let address = url.strip_prefix("http://").unwrap().to_owned();
    move || {
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_nodelay(true).unwrap();
        Box::new(stream)
    }
}

/// One of ours, but for its signature: as much work as a bad one can make.
fn forged(good: &str) -> String {
    let (said, _) = good.rsplit_once('.').unwrap();
    format!("{said}.{}", "A".repeat(86))
}

/// Sends `bad` until it is told to stop; counts what was told to wait.
fn flood(url: &str, bad: &str, stop: &AtomicBool, waits: &AtomicUsize) {
    let connect = connect(url);
    let mut client = Client::new(&connect);
    while !stop.load(Ordering::Relaxed) {
        match client.call("GET /v1/connections", bad, "", "").0 {
            401 => {}
            429 => _ = waits.fetch_add(1, Ordering::Relaxed),
            other => panic!("{other}"),
        }
    }
}

const LEND: &str = r#"{"purpose": "other"}"#;

/// Attack on P10.
#[test]
fn good_callers_all_succeed_while_bad_tokens_flood() {
    let vault = Vault::start();
    vault.deposit("s");
    let good = vault.token("acme", "ada", "backend");
    let bad = forged(&good);
    let (stop, waits) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for bad in [&bad, &bad, "hunter2"] {
            scope.spawn(|| flood(&vault.url, bad, &stop, &waits));
        }
        while waits.load(Ordering::Relaxed) < 100 {
            std::thread::yield_now();
        }
        // Reads: a lend on a busy machine is a 503 by itself when its record is late.
        let caller = || {
            let connect = connect(&vault.url);
            let mut client = Client::new(&connect);
            let one = |_| client.call("GET /v1/connections", &good, "", "").0;
            (0..25).map(one).collect::<Vec<_>>()
        };
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(caller)).collect();
        let statuses: Vec<_> = callers.into_iter().map(|caller| caller.join()).collect();
        stop.store(true, Ordering::Relaxed);
        for statuses in statuses {
            assert_eq!(statuses.unwrap(), [200; 25]);
        }
    });
}

struct Served {
    process: Process,
    callers: Vec<(String, String)>,
    bad: String,
}

/// A vault as a process, and `callers` connections with a token each to borrow them by.
fn served(home: &Home, callers: usize, settings: &[(&str, &str)]) -> Served {
    let process = home.serve(settings);
    let token = |role: &str, client: &str| {
        home.mint(&["--org", "acme", "--user", "ada", "--role", role, "--client", client])
    };
    let backend = token("backend", "svc");
    let caller = |n| {
        let body = deposit(&format!("bot{n}"), "s");
        let id = call(&process.url, "POST", "/v1/connections", &backend, Some(&body)).text("id");
        (format!("POST /v1/connections/{id}/leases"), token("worker", &format!("svc{n}")))
    };
    let callers = (0..callers).map(caller).collect();
    Served { bad: forged(&backend), callers, process }
}

/// What each lend took in a round of so long; all are answered with success, or as busy.
fn round(served: &Served, long: Duration) -> Vec<Duration> {
    let until = Instant::now() + long;
    let caller = |(request, token): &(String, String)| {
        let connect = connect(&served.process.url);
        let mut client = Client::new(&connect);
        let mut took = Vec::new();
        while Instant::now() < until {
            let begun = Instant::now();
            match client.call(request, token, "", LEND).0 {
                201 | 503 => took.push(begun.elapsed()),
                other => panic!("{other}"),
            }
        }
        took
    };
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let all: Vec<_> = served.callers.iter().map(|it| scope.spawn(|| caller(it))).collect();
        all.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    took.sort();
    took
}

fn p99(took: &[Duration]) -> f64 {
    took[(took.len() - 1) * 99 / 100].as_secs_f64() * 1e3
}

/// Rounds without and with a flood take turns, so that a busy machine is busy for both; medians are compared.
/// Attack on P10.
#[test]
fn a_flood_of_bad_tokens_does_not_double_what_good_callers_wait() {
    if std::env::var_os("TEST_LONG").is_none() {
        return;
    }
    let home = Home::new();
    let served = served(&home, 16, &[("PAWL_WRITES_PER_SECOND", "100000")]);
    let (mut quiet, mut flooded, mut bad) = (Vec::new(), Vec::new(), 0);
    let long = Duration::from_secs(4);
    round(&served, long);
    for _ in 0..7 {
        quiet.push(p99(&round(&served, long)));
        let (stop, waits) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| flood(&served.process.url, &served.bad, &stop, &waits));
            }
            flooded.push(p99(&round(&served, long)));
            stop.store(true, Ordering::Relaxed);
        });
        bad += waits.into_inner();
    }
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    eprintln!("p99 in ms, quiet {quiet:.1?}, flooded {flooded:.1?}; {} bad ones a second", bad / 28);
    let (quiet, flooded) = (median(quiet), median(flooded));
    assert!(flooded <= 2.0 * quiet, "p99 went from {quiet} to {flooded} ms");
}

/// Of a whole process; `strain.rs` counts what is kept of them each time.
/// Attack on P10.
#[test]
fn a_hundred_thousand_bad_callers_are_not_remembered() {
    if std::env::var_os("TEST_LONG").is_none() {
        return;
    }
    let home = Home::new();
    let served = served(&home, 0, &[("PAWL_TRUSTED_PROXIES", "127.0.0.1")]);
    let from = |range: std::ops::Range<u32>| {
        let connect = connect(&served.process.url);
        let mut client = Client::new(&connect);
        for n in range {
            let [_, b, c, d] = n.to_be_bytes();
            let more = format!("X-Forwarded-For: 198.{b}.{c}.{d}\r\n");
            assert_eq!(client.call("GET /v1/connections", "hunter2", &more, "").0, 401, "{n}");
        }
    };
    let all = |range: std::ops::Range<u32>| {
        let (middle, from) = (range.start.midpoint(range.end), &from);
        std::thread::scope(|scope| {
            scope.spawn(move || from(range.start..middle));
            scope.spawn(move || from(middle..range.end));
        });
    };
    all(10_000_000..10_001_000);
    let before = served.process.kilobytes("VmRSS:");
    all(0..100_000);
    let grown = served.process.kilobytes("VmRSS:").saturating_sub(before);
    eprintln!("100,000 bad callers: grown by {grown} kB from {before}");
    assert!(grown < 8 * 1024, "grown by {grown} kB from {before}");
}
