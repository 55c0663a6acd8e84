//! No record, no loan; and nothing half-done when the database fails.

use serde_json::json;

use crate::harness::{Vault, deposit};

const NO_AUDIT: &str =
    "CREATE TRIGGER no_audit BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'full'); END";

fn count(vault: &Vault, table: &str) -> i64 {
    use diesel::prelude::*;
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        n: i64,
    }
    let mut db = SqliteConnection::establish(vault.database().to_str().unwrap()).unwrap();
    let counted: Count =
        diesel::sql_query(format!("SELECT count(*) AS n FROM {table}")).get_result(&mut db).unwrap();
    counted.n
}

#[test]
fn what_can_not_be_recorded_does_not_happen() {
    let vault = Vault::start();
    let id = vault.deposit("planted-secret");
    let lease = vault.lend(&id, &json!({"purpose": "other"})).text("id");
    let (backend, worker) = (vault.token("acme", "ada", "backend"), vault.token("acme", "ada", "worker"));
    vault.sql(NO_AUDIT);
    let before = (count(&vault, "connections"), count(&vault, "leases"), count(&vault, "audit_events"));
    let connection = format!("/v1/connections/{id}");
    let (lend, back) = (format!("{connection}/leases"), format!("/v1/leases/{lease}/return"));
    let calls = [
        ("POST", lend.as_str(), &worker, Some(json!({"purpose": "sync"}))),
        ("POST", "/v1/connections", &backend, Some(deposit("second", "s"))),
        ("DELETE", &connection, &backend, None),
        ("POST", &back, &worker, Some(json!({"outcome": "ok"}))),
        // a refusal has to be on record too
        ("POST", &lend, &backend, Some(json!({"purpose": "sync"}))),
    ];
    for (method, path, token, body) in &calls {
        let answer = vault.call(method, path, token, body.as_ref());
        assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"), "{method} {path}");
        assert!(!answer.body.contains("planted-secret"));
    }
    let after = (count(&vault, "connections"), count(&vault, "leases"), count(&vault, "audit_events"));
    assert_eq!(after, before);

    vault.sql("DROP TRIGGER no_audit");
    for (method, path, token, body) in &calls[..2] {
        assert_eq!(vault.call(method, path, token, body.as_ref()).status, 201);
    }
}

/// While another process holds SQLite's one writer a lend answers 503, and works again afterwards.
#[test]
fn a_lend_does_not_wait_for_a_database_that_is_busy() {
    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};
    let vault = Vault::start();
    let id = vault.deposit("planted-secret");
    let worker = vault.token("acme", "ada", "worker");
    let path = format!("/v1/connections/{id}/leases");
    let lend = || vault.call("POST", &path, &worker, Some(&json!({"purpose": "other"})));
    assert_eq!(lend().status, 201);
    let mut writer = SqliteConnection::establish(vault.database().to_str().unwrap()).unwrap();
    writer.batch_execute("BEGIN IMMEDIATE").unwrap();
    let started = std::time::Instant::now();
    let refused = lend();
    let took = started.elapsed();
    assert_eq!((refused.status, refused.problem().as_str()), (503, "unavailable"));
    assert!(!refused.body.contains("planted-secret"));
    if std::env::var_os("TEST_LONG").is_some() {
        assert!(took.as_millis() <= 250 + 50, "a 503 within 250 ms, and the test's own call: {took:?}");
    }
    writer.batch_execute("ROLLBACK").unwrap();
    drop(writer);
    assert_eq!(lend().status, 201);
}
