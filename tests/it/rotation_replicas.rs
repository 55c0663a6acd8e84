//! Two vaults on one PostgreSQL: the keys change on one host, and the other's ring is minutes old.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::frozen::UNCAPPED;
use crate::harness::{Home, Vault, call, deposit, raw};
use crate::rotation::{key_file, keys_done, retire};

fn rotate_reseal_retire(home: &Home) {
    keys_done(home, &["rotate"]);
    keys_done(home, &["reseal"]);
    let (code, said) = retire(home, "k1");
    assert_eq!(code, 0, "{said}");
}

/// Attack on P3, P9 and P10.
#[test]
fn what_was_sealed_under_a_key_that_went_meanwhile_is_sealed_again() {
    let mut vault = Vault::start_in(Home::on_postgres(), &UNCAPPED);
    let other = vault.replica();
    let token = vault.token("acme", "ada", "backend");
    let before = vault.deposit("before");
    let snapshot = vault.home.sql().texts("sealed", "FROM connections").remove(0);

    // Between seal and commit: a deposit waits for its org's chain, which somebody holds.
    let digest = Sha256::digest(b"pawl/v1/chainacme");
    let lock = i64::from_be_bytes(digest[..8].try_into().unwrap());
    let mut holder = vault.home.sql();
    holder.run(&format!("SELECT pg_advisory_lock({lock})"));
    let waits = || {
        let waiting = "FROM pg_locks JOIN pg_database ON pg_database.oid = database \
                       WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()";
        vault.home.sql().texts("count(*)", waiting) == ["1"]
    };
    let (keys, said) = std::thread::scope(|scope| {
        let body = deposit("meanwhile", "sealed under k1");
        let (other, token) = (&other, &token);
        let waiting = scope.spawn(move || call(other, "POST", "/v1/connections", token, Some(&body)));
        while !waits() && !waiting.is_finished() {
            std::thread::yield_now();
        }
        let app = vault.app_beside();
        let keys = app.keys();
        keys.rotate().map(drop).unwrap();
        let moved = keys.reseal(|_| ()).unwrap().moved;
        let k1 = pawl::ids::KeyId::parse("k1").unwrap();
        let dead = pawl::clock::Moment::parse("2099-01-01T00:00:00Z").unwrap();
        let (abandon, destroyed_elsewhere) = (std::collections::BTreeSet::new(), false);
        let all = pawl::vault::keys::Retire { key: k1, backups_before: dead, abandon, destroyed_elsewhere };
        keys.retire(&all).unwrap();
        holder.run(&format!("SELECT pg_advisory_unlock({lock})"));
        (moved, waiting.join().unwrap())
    });
    assert_eq!(keys, 3, "the credential, the issuer's key and the log's");
    assert_eq!(said.status, 201, "{}", said.body);
    assert_eq!(said.json["credential"]["key_id"], "k2");

    let mut ids = vec![(before, "before".to_owned()), (said.text("id"), "sealed under k1".to_owned())];
    for n in 0..1000 {
        let secret = format!("secret {n}");
        let answer =
            call(&other, "POST", "/v1/connections", &token, Some(&deposit(&format!("bot{n}"), &secret)));
        assert_eq!(answer.status, 201, "{}", answer.body);
        ids.push((answer.text("id"), secret));
    }
    assert_eq!(vault.home.sql().texts("min(key_id)", "FROM connections GROUP BY key_id"), ["k2"]);
    assert_eq!(vault.home.sql().texts("min(key_id)", "FROM issuer_keys GROUP BY key_id"), ["k2"]);
    assert!(key_file(&vault.home)["keys"].get("k1").is_none());

    let mut vault = Vault::start_in(vault.stop(), &UNCAPPED);
    let other = vault.replica_with(&UNCAPPED);
    let worker = vault.token("acme", "ada", "worker");
    for (id, secret) in &ids {
        for url in [&vault.url, &other] {
            let path = format!("/v1/connections/{id}/leases");
            let loan = call(url, "POST", &path, &worker, Some(&json!({"purpose": "other"})));
            assert_eq!(loan.json["credential"]["secret"].as_str(), Some(secret.as_str()), "{}", loan.body);
        }
    }
    vault.sql(&format!("UPDATE connections SET sealed = '{snapshot}' WHERE id = '{}'", ids[0].0));
    assert_eq!(vault.lend(&ids[0].0, &json!({"purpose": "other"})).problem(), "does-not-open");
}

/// The same request again at a vault that has not heard of the key under which it was marked.
#[test]
fn a_repeat_at_a_vault_with_an_old_ring_is_not_another_request() {
    let mut vault = Vault::start_in(Home::on_postgres(), &[]);
    let other = vault.replica();
    let token = vault.token("acme", "ada", "backend");
    keys_done(&vault.home, &["rotate"]);
    vault.deposit_as("acme", "ada", &deposit("first", "this vault hears of the key"));
    let body = deposit("bot", "secret").to_string();
    let headers = format!(
        "Authorization: Bearer {token}\r\nContent-Type: application/json\r\nIdempotency-Key: one\r\n"
    );
    let send = |url: &str| raw(url, "POST", "/v1/connections", &headers, body.as_bytes());
    let first = send(&vault.url);
    assert_eq!((first.status, &first.json["credential"]["key_id"]), (201, &Value::from("k2")));
    assert_eq!(send(&other).body, first.body);
    assert_eq!(vault.home.sql().texts("key_id", "FROM idempotency_keys"), ["k2"]);

    // once the key is gone for good nobody can tell: that is no licence to do it twice
    for args in [&["rotate"][..], &["reseal"]] {
        keys_done(&vault.home, args);
    }
    assert_eq!(retire(&vault.home, "k1").0, 0);
    assert_eq!(retire(&vault.home, "k2").0, 0);
    let vault = vault.restart();
    assert_eq!(send(&vault.url).problem(), "idempotency-key-reused");
    assert_eq!(vault.home.sql().count("connections"), 2);
}

/// Attack on P9.
#[test]
fn a_vault_with_an_old_ring_opens_nothing_under_a_retired_key() {
    let mut vault = Vault::start_in(Home::on_postgres(), &[]);
    let other = vault.replica();
    let id = vault.deposit("old");
    let old = vault.home.sql().texts("sealed", "FROM connections").remove(0);
    rotate_reseal_retire(&vault.home);
    // the other vault holds k1 still, and the row is put back
    vault.sql(&format!("UPDATE connections SET sealed = '{old}', key_id = 'k1'"));
    let path = format!("/v1/connections/{id}/leases");
    let worker = vault.token("acme", "ada", "worker");
    let answer = call(&other, "POST", &path, &worker, Some(&json!({"purpose": "other"})));
    assert_eq!(answer.problem(), "key-not-held");
}

/// Attack on P3 and P10.
#[test]
fn a_rotation_waits_for_who_seals_under_the_key_that_is_left() {
    let vault = Vault::start_in(Home::on_postgres(), &[]);
    let token = vault.token("acme", "ada", "backend");
    vault.deposit("first");
    // A deposit that has its key's row, and can't write its event.
    let mut holder = vault.home.sql();
    holder.run("BEGIN; LOCK TABLE audit_events IN SHARE MODE");
    let waiting = |kind: &str| {
        let waits = format!(
            "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ILIKE '%{kind}%'"
        );
        vault.home.sql().texts("count(*)", &waiting_for_others(&waits)) != ["0"]
    };
    std::thread::scope(|scope| {
        let deposit = scope.spawn(|| {
            call(&vault.url, "POST", "/v1/connections", &token, Some(&deposit("meanwhile", "under k1")))
        });
        while !waiting("audit_events") && !deposit.is_finished() {
            std::thread::yield_now();
        }
        let app = vault.app_beside();
        let rotation = scope.spawn(move || app.keys().rotate().map(drop));
        while !waiting("UPDATE") && !rotation.is_finished() {
            std::thread::yield_now();
        }
        assert!(!rotation.is_finished(), "a key was left while somebody sealed under it");
        holder.run("COMMIT");
        assert_eq!(deposit.join().unwrap().json["credential"]["key_id"], "k1");
        rotation.join().unwrap().unwrap();
    });
    let counted = keys_done(&vault.home, &["list"]);
    assert!(counted.lines().any(|line| line.starts_with("k1 ") && line.contains(" 4 ")), "{counted}");
}

/// Not this very look.
fn waiting_for_others(waits: &str) -> String {
    format!("{waits} AND pid <> pg_backend_pid()")
}
