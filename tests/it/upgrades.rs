//! A database that an earlier version made, with rows in it: the migrations carry every row over.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::database::{Sql, on_postgres};
use crate::harness::{Home, Vault, deposit};

/// The columns that rows had before there were secrets that are not Odoo's.
const BEFORE: &[(&str, &[&str])] = &[
    ("keys", &["id", "fingerprint", "source", "state", "created_at"]),
    ("issuer_keys", &["id", "sealed", "key_id", "created_at"]),
    (
        "connections",
        &[
            "id",
            "org_id",
            "user_id",
            "label",
            "environment",
            "kind",
            "url",
            "database",
            "username",
            "sealed",
            "key_id",
            "revision",
            "credential_expires_at",
            "state",
            "created_at",
            "updated_at",
            "sync_interval_seconds",
        ],
    ),
    (
        "leases",
        &[
            "id",
            "org_id",
            "user_id",
            "connection_id",
            "client_id",
            "purpose",
            "run_id",
            "revision",
            "fence",
            "lent_at",
            "expires_at",
            "ended_at",
            "outcome",
            "records",
        ],
    ),
];

fn migrations() -> BTreeMap<String, PathBuf> {
    let dialect = if on_postgres() { "postgres" } else { "sqlite" };
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("migrations").join(dialect);
    let found = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    found
        .filter(|path| path.is_dir())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect()
}

/// As diesel names a migration in its table.
fn version(name: &str) -> String {
    name.split('_').next().unwrap().replace('-', "")
}

/// Makes the database what it was before the migration `first` and those after it, with these rows.
fn set_back(sql: &mut Sql, first: &str, rows: &[(&str, Value)]) {
    let tables = match on_postgres() {
        true => "FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        false => "FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
    };
    let name = if on_postgres() { "relname" } else { "name" };
    if on_postgres() {
        sql.run("SET ROLE pawl_migrate");
    } else {
        sql.run("PRAGMA foreign_keys = OFF");
    }
    for table in sql.texts(name, tables).iter().filter(|name| *name != "__diesel_schema_migrations") {
        sql.run(&format!("DROP TABLE {table}{}", if on_postgres() { " CASCADE" } else { "" }));
    }
    for (name, path) in migrations() {
        if name.as_str() < first {
            sql.run(&std::fs::read_to_string(path.join("up.sql")).unwrap());
        } else {
            let version = version(&name);
            sql.run(&format!("DELETE FROM __diesel_schema_migrations WHERE version = '{version}'"));
        }
    }
    for (table, rows) in rows {
        for row in rows.as_array().unwrap() {
            let row = row.as_object().unwrap();
            let columns: Vec<&str> = row.keys().map(String::as_str).collect();
            let values: Vec<String> = row
                .values()
                .map(|value| match value {
                    Value::Null => "NULL".into(),
                    Value::String(text) => format!("'{}'", text.replace('\'', "''")),
                    number => number.to_string(),
                })
                .collect();
            sql.run(&format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), values.join(", ")));
        }
    }
    if on_postgres() {
        // as they were applied then
        for table in ["connections", "leases"] {
            sql.run(&format!(
                "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
            ));
        }
        sql.run("RESET ROLE");
    }
}

fn rows(sql: &mut Sql) -> Vec<(&'static str, Value)> {
    BEFORE.iter().map(|(table, columns)| (*table, sql.rows(table, columns))).collect()
}

/// As its start does on SQLite, and as an `init` by the tables' owner on PostgreSQL.
fn brought_up_to_date(home: Home) -> Vault {
    #[cfg(feature = "postgres")]
    if let Some(owner) = home.address_as("pawl_migrate") {
        return Vault::start_in(home, &[("PAWL_MIGRATE_DATABASE_URL", &owner)]);
    }
    Vault::start_in(home, &[])
}

#[test]
fn rows_from_before_other_kinds_are_as_they_were() {
    let vault = Vault::start();
    let mut kept = Vec::new();
    for number in 0..200 {
        let mut body = deposit(&format!("it's bot {number}"), &format!("secret {number}"));
        if number % 2 == 1 {
            body["credential"]["kind"] = json!("api_key");
            body["credential"]["expires_at"] = json!("2027-01-31T00:00:00Z");
            body["label"] = json!("réseau");
        }
        kept.push(vault.deposit_as("acme", "ada", &body));
    }
    let backend = vault.token("acme", "ada", "backend");
    let path = format!("/v1/connections/{}", kept[0]);
    assert_eq!(
        vault.call("PATCH", &path, &backend, Some(&json!({"sync_interval_seconds": 3600}))).status,
        200
    );
    let other = json!({"purpose": "other"});
    assert_eq!(vault.lend(&kept[0], &other).json["fence"], 1);
    let (worker, lease) = (vault.token("acme", "ada", "worker"), vault.lend(&kept[1], &other).text("id"));
    let back = json!({"outcome": "failed", "records": 7});
    let returned = vault.call("POST", &format!("/v1/leases/{lease}/return"), &worker, Some(&back));
    assert_eq!(returned.status, 204, "{}", returned.body);
    let shown = vault.call("GET", &path, &backend, None).json;
    let home = vault.stop();

    let mut sql = home.sql();
    let before = rows(&mut sql);
    set_back(&mut sql, "2026-11-26-010000_kinds", &before);
    assert_eq!(rows(&mut sql), before);
    let whole = "UPDATE connections SET kind = 'generic'";
    assert!(sql.try_run(whole).is_err(), "the tables are not the earlier version's");
    drop(sql);

    let vault = brought_up_to_date(home);
    assert_eq!(rows(&mut vault.home.sql()), before);
    let backend = vault.token("acme", "ada", "backend");
    assert_eq!(vault.call("GET", &path, &backend, None).json, shown);
    for (number, id) in kept.iter().enumerate() {
        let loan = vault.lend(id, &other);
        assert_eq!(loan.json["credential"]["secret"], format!("secret {number}"), "{}", loan.body);
        assert_eq!(loan.json["fence"], if number < 2 { 2 } else { 1 });
    }
    let again = deposit("it's bot 7", "s");
    let again = vault.call("POST", "/v1/connections", &backend, Some(&again));
    assert_eq!((again.problem().as_str(), again.text("connection_id")), ("duplicate", kept[7].clone()));
    let new = json!({"credential": {"kind": "generic", "secret": "s"}});
    assert_eq!(vault.call("POST", "/v1/connections", &backend, Some(&new)).status, 201);
    // A lease may end in a way that it could not then.
    let owner = vault.token("acme", "boss", "owner");
    let frozen = vault.call("PUT", "/v1/org/settings", &owner, Some(&json!({"frozen": true})));
    assert_eq!(frozen.status, 200, "{}", frozen.body);
    assert_eq!(vault.home.sql().texts("count(*)", "FROM leases WHERE outcome = 'frozen'"), ["201"]);
}
