//! Caps on open leases: never one more than may be, whoever races, and nobody is refused before.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::frozen::urls;
use crate::harness::{Answer, Vault, call, deposit, pawl, raw};

const OF_CONNECTION: (&str, &str) = ("PAWL_MAX_OPEN_LEASES_PER_CONNECTION", "3");
const OF_ORG: (&str, &str) = ("PAWL_MAX_OPEN_LEASES_PER_ORG", "4");

fn other() -> Value {
    json!({"purpose": "other", "ttl_seconds": 60})
}

fn is_full(answer: &Answer) -> bool {
    answer.status == 429 && answer.problem() == "too-many-leases"
}

fn give_back(vault: &Vault, worker: &str, lease: &str) {
    let path = format!("/v1/leases/{lease}/return");
    assert_eq!(vault.call("POST", &path, worker, Some(&json!({"outcome": "ok"}))).status, 204);
}

/// Attack on P6: a stolen worker that borrows without end.
#[test]
fn a_connection_has_so_many_leases_out_and_no_more() {
    let vault = Vault::start_with(&[OF_CONNECTION]);
    let (id, worker) = (vault.deposit("s"), vault.token("acme", "ada", "worker"));
    let run = json!({"purpose": "sync", "run_id": "r", "ttl_seconds": 900});
    let sync = vault.lend(&id, &run).text("id");
    let keyed = || {
        let path = format!("/v1/connections/{id}/leases");
        let headers = format!(
            "Authorization: Bearer {worker}\r\nContent-Type: application/json\r\nIdempotency-Key: one\r\n"
        );
        raw(&vault.url, "POST", &path, &headers, other().to_string().as_bytes())
    };
    let first = keyed();
    assert_eq!((first.status, vault.lend(&id, &other()).status), (201, 201));
    let full = vault.lend(&id, &other());
    assert!(is_full(&full), "{}", full.body);
    assert_eq!(full.header("retry-after"), Some("60"));
    // What is out already is no new one: a run that comes back, a repeat, a renewal.
    assert_eq!(vault.lend(&id, &run).text("id"), sync);
    assert_eq!(keyed().text("id"), first.text("id"));
    let renew = vault.call("POST", &format!("/v1/leases/{sync}/renew"), &worker, Some(&json!({})));
    assert_eq!(renew.status, 200, "{}", renew.body);
    assert!(is_full(&vault.lend(&id, &other())));

    give_back(&vault, &worker, &first.text("id"));
    assert_eq!(vault.lend(&id, &other()).status, 201);
    assert!(is_full(&vault.lend(&id, &other())));
    vault.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!([201, 201], [vault.lend(&id, &other()).status, vault.lend(&id, &other()).status]);
    assert!(is_full(&vault.lend(&id, &other())));
    // Another connection has its own.
    let another = vault.deposit_as("acme", "ada", &deposit("bot2", "s"));
    assert_eq!(vault.lend(&another, &other()).status, 201);
    let trail = vault.trail("acme");
    assert_eq!(trail.iter().filter(|e| e["event"]["status_detail"] == "too-many-leases").count(), 4);
}

/// Whichever of its users and connections they are; and what was refused meanwhile is no lease.
/// Attack on P6.
#[test]
fn an_org_has_so_many_leases_out_and_no_more() {
    let vault = Vault::start_with(&[OF_ORG]);
    let mut ids = Vec::new();
    for user in ["ada", "bob"] {
        for bot in ["one", "two"] {
            ids.push((user, vault.deposit_as("acme", user, &deposit(&format!("{user}-{bot}"), "s"))));
        }
    }
    let lend = |user: &str, id: &str| {
        let worker = vault.token("acme", user, "worker");
        vault.call("POST", &format!("/v1/connections/{id}/leases"), &worker, Some(&other()))
    };
    let full = || ids.iter().all(|(user, id)| is_full(&lend(user, id)));
    for round in 0..3 {
        for _ in 0..10 {
            assert_eq!(lend("ada", "conn_01ARZ3NDEKTSV4RRFFQ69G5FAV").problem(), "not-found");
        }
        let lent: Vec<Answer> = ids.iter().map(|(user, id)| lend(user, id)).collect();
        assert!(lent.iter().all(|answer| answer.status == 201), "round {round}");
        assert!(full());
        give_back(&vault, &vault.token("acme", "bob", "worker"), &lent[3].text("id"));
        assert_eq!(lend("ada", &ids[0].1).status, 201);
        assert!(full());
        vault.clock.advance(std::time::Duration::from_secs(61));
    }
    let id = vault.deposit_as("other", "eve", &deposit("bot", "s"));
    let worker = vault.token("other", "eve", "worker");
    let path = format!("/v1/connections/{id}/leases");
    assert_eq!(vault.call("POST", &path, &worker, Some(&other())).status, 201);
}

/// Two vaults, many borrowers at once: exactly as many as may be, each time.
/// Attack on P6.
#[test]
fn borrowers_who_race_get_exactly_as_many_as_may_be() {
    let settings = [("PAWL_MAX_OPEN_LEASES_PER_ORG", "7"), ("PAWL_MAX_OPEN_LEASES_PER_CONNECTION", "5")];
    let mut vault = Vault::start_with(&settings);
    let urls = urls(&mut vault, &settings);
    let ids = [vault.deposit("s"), vault.deposit_as("acme", "ada", &deposit("bot2", "s"))];
    for _ in 0..5 {
        let worker = vault.token("acme", "ada", "worker");
        let granted = [AtomicUsize::new(0), AtomicUsize::new(0)];
        std::thread::scope(|scope| {
            for n in 0..24 {
                let (url, of, granted) = (&urls[n % urls.len()], n % 3 % 2, &granted);
                let (path, worker) = (format!("/v1/connections/{}/leases", ids[of]), &worker);
                scope.spawn(move || {
                    let mut answer = call(url, "POST", &path, worker, Some(&other()));
                    while answer.status == 503 {
                        answer = call(url, "POST", &path, worker, Some(&other()));
                    }
                    match answer.status {
                        201 => drop(granted[of].fetch_add(1, Ordering::SeqCst)),
                        _ => assert!(is_full(&answer), "{}", answer.body),
                    }
                });
            }
        });
        let [first, second] = granted.map(AtomicUsize::into_inner);
        let now = vault.clock.now().micros();
        let open = format!("FROM leases WHERE ended_at IS NULL AND expires_at > {now}");
        let open: usize = vault.home.sql().texts("count(*)", &open)[0].parse().unwrap();
        // One whose answer was a 503 may have been granted for nobody.
        assert!(open == 7 && first + second <= 7 && first <= 5 && second <= 5, "{first} {second} {open}");
        vault.clock.advance(std::time::Duration::from_secs(61));
    }
}

#[test]
fn a_cap_is_a_number_that_makes_sense() {
    let dir = tempfile::tempdir().unwrap();
    for wrong in ["0", "-1", "1000001", "many", ""] {
        let output =
            pawl(dir.path(), &[("PAWL_MAX_OPEN_LEASES_PER_ORG", wrong)]).arg("doctor").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("PAWL_MAX_OPEN_LEASES_PER_ORG"), "{wrong}: {said}");
        assert_eq!(output.status.code(), Some(1));
    }
}
