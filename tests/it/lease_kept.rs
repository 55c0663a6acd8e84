//! What the worker does about its lease while it reads: renews it, and stops when it is over, whatever
//! ended it. Once it is over, no page is written any more.

use std::time::{Duration, Instant};

use pawl::clock::Clock;
use pawl::sync::{SyncError, Verdict};
use serde_json::{Value as Json, json};

use crate::scene::{Scene, number};
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
