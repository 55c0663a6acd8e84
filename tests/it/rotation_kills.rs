//! kill -9 through rotate, reseal and retire with lends, replaces and forgets going on: what was
//! acknowledged opens, no lend fails for want of a key, and nothing that was forgotten comes back.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::frozen::UNCAPPED;
use crate::harness::{Home, Vault, call, deposit};
use crate::rotation::{keys, keys_done, retire};

/// xorshift64*, Vigna 2016.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

fn lend(url: &str, worker: &str, id: &str) -> Value {
    let path = format!("/v1/connections/{id}/leases");
    let answer = call(url, "POST", &path, worker, Some(&json!({"purpose": "other"})));
    match answer.status {
        201 => answer.json["credential"]["secret"].clone(),
        // SQLite has one writer, and reseal may be it for longer than a lend may take.
        503 => {
            assert_eq!(answer.problem(), "unavailable", "{}", answer.body);
            assert!(!answer.body.contains("the keys are"), "for want of a key: {}", answer.body);
            Value::Null
        }
        404 => Value::from(404),
        _ => panic!("{}", answer.body),
    }
}

fn sealing(home: &Home) -> String {
    home.sql().texts("id", "FROM keys WHERE state = 'sealing'").remove(0)
}

/// Starts `pawl keys …` and kills it within 60 ms, or lets it come to its end.
fn killed(home: &Home, args: &[&str], dice: &mut Dice) {
    let mut command = home.pawl(&[]);
    let mut child =
        command.arg("keys").args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (began, end) = (Instant::now(), Duration::from_micros(dice.below(60_000)));
    while began.elapsed() < end && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let _ = child.kill();
    child.wait().unwrap();
}

/// Attack on P8, P9 and P10.
#[test]
fn kill_9_through_rotations_loses_nothing_that_was_acknowledged() {
    let rounds = if std::env::var_os("TEST_LONG").is_some() { 200 } else { 10 };
    let vault = Vault::start_with(&UNCAPPED);
    let home = &vault.home;
    let (backend, worker) = (vault.token("acme", "ada", "backend"), vault.token("acme", "ada", "worker"));
    let ids: Vec<String> = (0..40)
        .map(|n| vault.deposit_as("acme", "ada", &deposit(&format!("bot{n}"), &format!("secret {n}"))))
        .collect();
    let (stop, lent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (n, id) in ids.iter().enumerate().cycle() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let secret = lend(&vault.url, &worker, id);
                assert!(secret.is_null() || secret == format!("secret {n}"), "{secret}");
                lent.fetch_add(u64::from(!secret.is_null()), Ordering::SeqCst);
            }
        });
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        for round in 0..rounds {
            let last = sealing(home);
            killed(home, &["rotate"], &mut dice);
            if sealing(home) == last {
                keys_done(home, &["rotate"]);
            }
            let name = format!("round {round}");
            let new = vault.call("POST", "/v1/connections", &backend, Some(&deposit(&name, &name)));
            let new = if new.status == 201 { Some(new.text("id")) } else { None };
            killed(home, &["reseal"], &mut dice);
            killed(home, &["retire", &last, "--backups-older-than-may-die", "2099-01-01"], &mut dice);
            keys_done(home, &["reseal"]);
            let (code, said) = retire(home, &last);
            assert_eq!(code, 0, "round {round}: {said}");
            if let Some(new) = new {
                let secret = lend(&vault.url, &worker, &new);
                assert!(secret.is_null() || secret == *name, "{secret}");
                vault.call("DELETE", &format!("/v1/connections/{new}"), &backend, None);
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert!(lent.into_inner() > rounds, "lends went on meanwhile");
    let vault = vault.restart();
    let current = sealing(&vault.home);
    assert_eq!(vault.home.sql().texts("min(key_id)", "FROM connections GROUP BY key_id"), [current.as_str()]);
    let held = crate::rotation::key_file(&vault.home);
    assert_eq!(held["keys"].as_object().unwrap().keys().collect::<Vec<_>>(), [&current]);
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(lend(&vault.url, &worker, id), format!("secret {n}"));
    }
}

/// Attack on P8 and P10.
#[test]
fn a_replace_a_forget_and_a_reseal_of_one_row_meet_and_one_wins_each_step() {
    let rounds = if std::env::var_os("TEST_LONG").is_some() { 60 } else { 6 };
    let vault = Vault::start_with(&UNCAPPED);
    let (backend, worker) = (vault.token("acme", "ada", "backend"), vault.token("acme", "ada", "worker"));
    for round in 0..rounds {
        let ids: Vec<String> = (0..8)
            .map(|n| vault.deposit_as("acme", "ada", &deposit(&format!("bot {round} {n}"), "first")))
            .collect();
        keys_done(&vault.home, &["rotate"]);
        let told: Vec<(String, Option<String>)> = std::thread::scope(|scope| {
            let resealing: Vec<_> = (0..2).map(|_| scope.spawn(|| keys(&vault.home, &["reseal"]))).collect();
            let changed: Vec<_> = ids
                .iter()
                .enumerate()
                .map(|(n, id)| {
                    let path = format!("/v1/connections/{id}");
                    for change in 0..3 {
                        let secret = format!("{round} {n} {change}");
                        let body = json!({"secret": secret});
                        let done =
                            call(&vault.url, "PUT", &format!("{path}/credential"), &backend, Some(&body));
                        assert_eq!(done.status, 200, "{}", done.body);
                        assert_eq!(done.json["credential"]["revision"], change + 2);
                    }
                    if n % 2 == 0 {
                        assert_eq!(call(&vault.url, "DELETE", &path, &backend, None).status, 204);
                        return (id.clone(), None);
                    }
                    (id.clone(), Some(format!("{round} {n} 2")))
                })
                .collect();
            for done in resealing {
                let (code, said) = done.join().unwrap();
                assert_eq!(code, 0, "{said}");
            }
            changed
        });
        for (id, secret) in told {
            let found = lend(&vault.url, &worker, &id);
            assert_eq!(found, secret.map_or(Value::from(404), Value::from));
        }
        let current = sealing(&vault.home);
        assert_eq!(vault.home.sql().texts("min(key_id)", "FROM connections GROUP BY key_id"), [current]);
    }
}
