//! PostgreSQL: who owns the tables and who keeps rows, what stands behind the scope, and a server that
//! is refused, goes away, or is shared by two vaults.

use std::path::Path;

use serde_json::{Value, json};

use crate::database::{PASSWORD, Sql, TestDatabase, by_tcp, told};
use crate::harness::{Home, Vault, call, deposit, holds, pawl};

fn settings(dir: &Path, database: &str) -> Vec<(&'static str, String)> {
    std::fs::create_dir_all(dir.join("keys")).unwrap();
    vec![
        ("PAWL_MODE", "production".into()),
        ("PAWL_DATABASE_URL", database.into()),
        ("PAWL_KEY_SOURCE", format!("file:{}", dir.join("keys/master.json").display())),
        ("PAWL_KEY_FILE_APART", "yes".into()),
        ("PAWL_TLS", "terminated-on-this-host".into()),
        ("PAWL_LISTEN", "127.0.0.1:0".into()),
    ]
}

/// Whether it went well, and all that it said.
fn run(dir: &Path, settings: &[(&str, String)], args: &[&str]) -> (bool, String) {
    let borrowed: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let output = pawl(dir, &borrowed).args(args).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains(PASSWORD), "{said}");
    (output.status.success(), said)
}

/// Attack on P3.
#[test]
fn init_makes_the_tables_as_their_owner_and_the_rest_only_checks_them() {
    let (dir, database) = (tempfile::tempdir().unwrap(), TestDatabase::empty());
    let good = settings(dir.path(), &database.address("pawl_app"));
    for args in [&["serve"][..], &["doctor"], &["init"]] {
        let (ok, said) = run(dir.path(), &good, args);
        assert!(!ok && said.contains("run `pawl init`"), "{args:?}: {said}");
    }
    assert_eq!(database.sql().texts("count(*)", "FROM pg_class WHERE relname = 'connections'"), ["0"]);
    let mut owner = good.clone();
    owner.push(("PAWL_MIGRATE_DATABASE_URL", database.address("pawl_migrate")));
    for _ in 0..2 {
        let (ok, said) = run(dir.path(), &owner, &["init"]);
        assert!(ok, "{said}");
    }
    let (ok, said) = run(dir.path(), &good, &["doctor"]);
    assert!(ok && said.contains("ok "), "{said}");

    // what an earlier or a later version left is told, and not touched
    database.sql().run("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')");
    let (ok, said) = run(dir.path(), &good, &["doctor"]);
    assert!(!ok && said.contains("later version"), "{said}");
    database.sql().run("TRUNCATE __diesel_schema_migrations");
    let (ok, said) = run(dir.path(), &good, &["doctor"]);
    assert!(!ok && said.contains("earlier version"), "{said}");
}

/// Attack on P3.
#[test]
fn an_earlier_version_leaves_a_later_ones_database_as_it_is() {
    let (dir, database) = (tempfile::tempdir().unwrap(), TestDatabase::new());
    let mut sql = database.sql();
    sql.run(
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000');
         DROP POLICY scope ON leases; CREATE POLICY later ON leases USING (false);
         GRANT UPDATE (purpose) ON leases TO pawl_app",
    );
    let mut owner = settings(dir.path(), &database.address("pawl_app"));
    owner.push(("PAWL_MIGRATE_DATABASE_URL", database.address("pawl_migrate")));
    for args in [&["init"][..], &["serve"]] {
        let (ok, said) = run(dir.path(), &owner, args);
        assert!(!ok && said.contains("later version"), "{args:?}: {said}");
    }
    let kept = "FROM pg_policy WHERE polrelid = 'leases'::regclass AND polname IN ('scope', 'later')";
    assert_eq!(sql.texts("polname", kept), ["later"]);
    let granted = "has_column_privilege('pawl_app', 'leases', 'purpose', 'UPDATE')";
    assert_eq!(sql.texts(granted, ""), ["true"]);
}

/// What a vault that serves is in the middle of.
fn traffic(database: &TestDatabase) -> Sql {
    let mut traffic = database.sql();
    traffic.run("BEGIN; SELECT count(*) FROM leases; SELECT count(*) FROM connections");
    traffic
}

/// Attack on P3.
#[test]
fn an_init_that_has_nothing_to_change_waits_for_nobody() {
    let (dir, database) = (tempfile::tempdir().unwrap(), TestDatabase::new());
    let mut owner = settings(dir.path(), &database.address("pawl_app"));
    owner.push(("PAWL_MIGRATE_DATABASE_URL", database.address("pawl_migrate")));
    let held = traffic(&database);
    let (ok, said) = run(dir.path(), &owner, &["init"]);
    assert!(ok, "{said}");
    drop(held);
    assert!(run(dir.path(), &owner, &["doctor"]).0);
}

/// Attack on P3.
#[test]
fn policies_are_applied_when_they_are_others_and_never_at_the_traffics_cost() {
    let (dir, database) = (tempfile::tempdir().unwrap(), TestDatabase::new());
    let good = settings(dir.path(), &database.address("pawl_app"));
    let mut owner = good.clone();
    owner.push(("PAWL_MIGRATE_DATABASE_URL", database.address("pawl_migrate")));
    database.sql().run("COMMENT ON TABLE __diesel_schema_migrations IS 'of another version'");
    let (ok, said) = run(dir.path(), &good, &["doctor"]);
    assert!(!ok && said.contains("policies are not this version's"), "{said}");

    let mut held = traffic(&database);
    let mut more = database.sql();
    more.run("SET lock_timeout = '2s'");
    std::thread::scope(|scope| {
        let init = scope.spawn(|| run(dir.path(), &owner, &["init"]));
        // Who holds one table and wants the next gets it while the init tries, in either order.
        while !init.is_finished() {
            more.run("BEGIN; SELECT count(*) FROM leases; SELECT count(*) FROM audit_events; COMMIT");
            more.run("BEGIN; SELECT count(*) FROM audit_events; SELECT count(*) FROM leases; COMMIT");
        }
        let (ok, said) = init.join().unwrap();
        assert!(!ok && said.contains("lock timeout"), "{said}");
    });
    held.run("COMMIT");
    let (ok, said) = run(dir.path(), &owner, &["init"]);
    assert!(ok, "{said}");
    let (ok, said) = run(dir.path(), &good, &["doctor"]);
    assert!(ok, "{said}");
}

#[test]
fn init_keeps_to_its_own_tables_and_leaves_nothing_to_everybody() {
    let (dir, database) = (tempfile::tempdir().unwrap(), TestDatabase::empty());
    let (mut sql, name) = (database.sql(), &database.name);
    sql.run(&format!(
        "CREATE TABLE others (x int); GRANT CREATE ON SCHEMA public TO PUBLIC;
         CREATE ROLE {name}_other LOGIN"
    ));
    let mut owner = settings(dir.path(), &database.address("pawl_app"));
    owner.push(("PAWL_MIGRATE_DATABASE_URL", database.address("pawl_migrate")));
    let (ok, said) = run(dir.path(), &owner, &["init"]);
    assert!(ok, "{said}");
    let may = |sql: &mut Sql, what: &str| sql.texts(what, "")[0] == "true";
    for (role, connects) in [(format!("{name}_other"), false), ("pawl_app".to_owned(), true)] {
        let on_database = |right| format!("has_database_privilege('{role}', current_database(), '{right}')");
        assert_eq!(may(&mut sql, &on_database("CONNECT")), connects, "{role}");
        assert!(!may(&mut sql, &on_database("TEMP")), "{role}");
        assert!(!may(&mut sql, &format!("has_schema_privilege('{role}', 'public', 'CREATE')")), "{role}");
    }
}

/// As migrations/postgres/README.md says.
#[test]
fn the_owner_sees_no_row_until_it_says_so() {
    let vault = Vault::start_in(Home::on_postgres(), &[]);
    vault.deposit("s");
    let mut owner = vault.home.sql_as("pawl_migrate");
    let written = "FROM connections WHERE label = 'written'";
    owner.run("UPDATE connections SET label = 'written'");
    assert_eq!(vault.home.sql().texts("count(*)", written), ["0"]);
    owner.run(
        "BEGIN; ALTER TABLE connections NO FORCE ROW LEVEL SECURITY; UPDATE connections SET label = 'written';
         ALTER TABLE connections FORCE ROW LEVEL SECURITY; COMMIT",
    );
    assert_eq!(vault.home.sql().texts("count(*)", written), ["1"]);
}

/// Attack on P3.
#[test]
fn a_role_that_could_reach_round_the_policies_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let database = TestDatabase::new();
    let mut sql = database.sql();
    let name = &database.name;
    sql.run(&format!(
        "CREATE ROLE {name}_bypass LOGIN BYPASSRLS IN ROLE pawl_app;
         CREATE ROLE {name}_becomes LOGIN IN ROLE pawl_app, tester;
         CREATE ROLE {name}_owner LOGIN IN ROLE pawl_migrate;
         CREATE ROLE {name}_member LOGIN IN ROLE pawl_app;
         CREATE ROLE {name}_copies LOGIN REPLICATION IN ROLE pawl_app;
         CREATE ROLE {name}_creates LOGIN CREATEROLE IN ROLE pawl_app;
         CREATE ROLE {name}_schema LOGIN IN ROLE pawl_app;
         CREATE ROLE {name}_function LOGIN IN ROLE pawl_app;"
    ));
    let cases = [
        ("tester".to_owned(), "is a superuser"),
        (format!("{name}_bypass"), "BYPASSRLS"),
        (format!("{name}_becomes"), "is a superuser, or can become one"),
        ("pawl_migrate".to_owned(), "owns tables"),
        (format!("{name}_owner"), "owns tables, their schema or a function, or can become"),
        (format!("{name}_copies"), "has REPLICATION"),
        (format!("{name}_creates"), "has CREATEROLE"),
    ];
    for (role, complaint) in &cases {
        let bad = settings(dir.path(), &database.address(role));
        for args in [&["serve"][..], &["init"], &["doctor"]] {
            let (ok, said) = run(dir.path(), &bad, args);
            assert!(!ok && said.contains(complaint), "{role} {args:?}: {said}");
        }
    }
    let member = settings(dir.path(), &database.address(&format!("{name}_member")));
    let (ok, said) = run(dir.path(), &member, &["init"]);
    assert!(ok, "a member of pawl_app is as good: {said}");

    let good = settings(dir.path(), &database.address("pawl_app"));
    for (owned, what) in [("SCHEMA public", "schema"), ("FUNCTION pawl_scope()", "function")] {
        sql.run(&format!("ALTER {owned} OWNER TO {name}_{what}"));
        let bad = settings(dir.path(), &database.address(&format!("{name}_{what}")));
        let (ok, said) = run(dir.path(), &bad, &["doctor"]);
        assert!(!ok && said.contains("owns tables, their schema or a function"), "{owned}: {said}");
        sql.run(&format!("ALTER {owned} OWNER TO pawl_migrate"));
    }
    assert!(run(dir.path(), &good, &["doctor"]).0);
}

/// A mistake of the owner's, at any time: the vault does not start on it, and an init mends it.
/// Attack on P3.
#[test]
fn tables_that_were_opened_since_the_init_are_refused() {
    let (dir, database) = (tempfile::tempdir().unwrap(), TestDatabase::new());
    let good = settings(dir.path(), &database.address("pawl_app"));
    let mut owner = good.clone();
    owner.push(("PAWL_MIGRATE_DATABASE_URL", database.address("pawl_migrate")));
    for opened in [
        "ALTER TABLE leases NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE leases DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY more ON connections USING (true)",
        "CREATE POLICY more ON keys TO pawl_app USING (true)",
        "ALTER POLICY scope ON leases USING (true)",
        "ALTER POLICY scope ON leases TO PUBLIC WITH CHECK (true)",
        "CREATE OR REPLACE FUNCTION pawl_scope() RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE \
         AS $$ SELECT '{\"acme\": [\"\"]}'::jsonb $$",
        "GRANT UPDATE ON connections TO pawl_app",
        "GRANT UPDATE (url) ON connections TO PUBLIC",
        "GRANT DELETE ON audit_events TO pawl_app",
    ] {
        database.sql().run(opened);
        for args in [&["doctor"][..], &["serve"]] {
            let (ok, said) = run(dir.path(), &good, args);
            assert!(!ok && said.contains("forced row-level security"), "{opened}: {said}");
        }
        let (ok, said) = run(dir.path(), &owner, &["init"]);
        assert!(ok, "{opened}: {said}");
        let (ok, said) = run(dir.path(), &good, &["doctor"]);
        assert!(ok, "{opened}: {said}");
    }
    // whichever table it is
    let mut sql = database.sql();
    sql.run("GRANT TRUNCATE ON ALL TABLES IN SCHEMA public TO PUBLIC");
    assert!(run(dir.path(), &owner, &["init"]).0);
    let opened = "FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace \
                  AND has_table_privilege('pawl_app', oid, 'TRUNCATE')";
    assert_eq!(sql.texts("relname", opened), [""; 0]);
}

/// Attack on P3.
#[test]
fn a_server_that_forgets_what_it_acknowledged_is_refused() {
    struct Other(tempfile::TempDir);
    impl Other {
        fn cluster(&self, what: &str) -> std::process::Output {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/cluster");
            let mut command = std::process::Command::new(script);
            command.arg(what).arg(self.0.path().join("pg")).arg("--fsync=off").output().unwrap()
        }
    }
    impl Drop for Other {
        fn drop(&mut self) {
            self.cluster("stop");
        }
    }
    let other = Other(tempfile::tempdir().unwrap());
    use std::os::unix::fs::PermissionsExt;
    // the server's user has to come through
    std::fs::set_permissions(other.0.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let started = other.cluster("start");
    let said = String::from_utf8(started.stdout).unwrap();
    assert!(started.status.success(), "{said} {}", String::from_utf8_lossy(&started.stderr));
    let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let socket = value("TEST_POSTGRES_SOCKET=").replace('/', "%2F");
    let address = format!("postgres://tester@{socket}:{}/postgres", value("TEST_POSTGRES_PORT="));
    let dir = tempfile::tempdir().unwrap();
    let (ok, said) = run(dir.path(), &settings(dir.path(), &address), &["serve"]);
    assert!(!ok && said.contains("fsync off") && said.contains("superuser"), "{said}");
}

/// Attack on P1, P3, P7 and P11.
#[test]
fn tls_is_held_to_the_servers_own_authority_and_name() {
    let (dir, database) = (tempfile::tempdir().unwrap(), TestDatabase::new());
    let tls = told("TLS");
    let address = |host: &str, ca: &str| {
        let more = format!("sslmode=verify-full&sslrootcert={tls}/{ca}");
        by_tcp("pawl_app", host, &database.name, &more)
    };
    let good = settings(dir.path(), &address("localhost", "ca.pem"));
    let (ok, said) = run(dir.path(), &good, &["init"]);
    assert!(ok, "{said}");
    let (ok, said) = run(dir.path(), &good, &["doctor"]);
    assert!(ok && said.contains("database  postgres://pawl_app@localhost"), "{said}");
    for (host, ca, complaint) in [
        ("localhost", "other-ca.pem", "certificate verify failed"),
        ("127.0.0.1", "ca.pem", "does not match host name"),
        ("localhost", "missing.pem", "does not exist"),
    ] {
        let bad = settings(dir.path(), &address(host, ca));
        for args in [&["serve"][..], &["doctor"]] {
            let (ok, said) = run(dir.path(), &bad, args);
            assert!(!ok && said.contains(complaint), "{host} {ca}: {said}");
        }
    }
    // over a network nothing less will do, before anything is connected to
    for mode in ["", "sslmode=require", "sslmode=verify-ca"] {
        let bad = settings(dir.path(), &by_tcp("pawl_app", "db.invalid", &database.name, mode));
        let (ok, said) = run(dir.path(), &bad, &["serve"]);
        assert!(!ok && said.contains("without sslmode=verify-full"), "{mode}: {said}");
        let mut bad = good.clone();
        bad.push(("PAWL_MIGRATE_DATABASE_URL", by_tcp("pawl_migrate", "db.invalid", &database.name, mode)));
        let (ok, said) = run(dir.path(), &bad, &["init"]);
        assert!(!ok && said.contains("PAWL_MIGRATE_DATABASE_URL reaches PostgreSQL"), "{mode}: {said}");
    }
    // nor may the library be led past what was judged
    for name in ["PGHOSTADDR", "PGHOST", "PGSERVICE"] {
        let mut bad = good.clone();
        bad.push((name, "10.0.0.1".into()));
        let (ok, said) = run(dir.path(), &bad, &["doctor"]);
        assert!(!ok && said.contains(&format!("{name} is set")), "{name}: {said}");
    }
    // the address, with the password in it, may lie in a file
    let file = dir.path().join("address");
    std::fs::write(&file, format!("{}\n", address("localhost", "ca.pem"))).unwrap();
    let mut from_file: Vec<_> = good.iter().filter(|(k, _)| *k != "PAWL_DATABASE_URL").cloned().collect();
    from_file.push(("PAWL_DATABASE_URL_FILE", file.display().to_string()));
    let (ok, said) = run(dir.path(), &from_file, &["doctor"]);
    assert!(ok, "{said}");
    from_file.push(("PAWL_DATABASE_URL", address("localhost", "ca.pem")));
    let (ok, said) = run(dir.path(), &from_file, &["doctor"]);
    assert!(!ok && said.contains("both set"), "{said}");
}

/// Rows of two users of `acme` and one of `other`, seen as the role that the vault keeps rows as.
/// Attack on P5.
#[test]
fn without_a_scope_there_are_no_rows() {
    let home = Home::on_postgres();
    let vault = Vault::start_in(home, &[]);
    for (org, user) in [("acme", "ada"), ("acme", "bob"), ("other", "eve")] {
        let id = vault.deposit_as(org, user, &deposit(&format!("{user}-bot"), "s"));
        let worker = vault.token(org, user, "worker");
        let path = format!("/v1/connections/{id}/leases");
        let body = json!({"purpose": "other"});
        assert_eq!(vault.call("POST", &path, &worker, Some(&body)).status, 201);
    }
    let tables = ["connections", "leases", "audit_events"];
    let counts = |sql: &mut Sql| tables.map(|table| sql.count(table));
    assert_eq!(counts(&mut vault.home.sql())[..2], [3, 3]);

    let mut app = vault.home.sql_as("pawl_app");
    let scoped = |app: &mut Sql, scope: Value| {
        app.run(&format!("BEGIN; SELECT set_config('pawl.scope', '{scope}', true)"));
        let seen = counts(app);
        app.run("COMMIT");
        seen
    };
    for (scope, seen) in [
        (json!({"acme": ["ada"]}), 1),
        (json!({"acme": [""]}), 2),
        (json!({"acme": ["ada", "bob"]}), 2),
        (json!({"acme": ["ada"], "other": ["eve"]}), 2),
        (json!({"acme": ["ada"], "other": [""]}), 2),
        // a user's name is one of its org alone, and whole
        (json!({"acme": ["eve"], "other": ["ada"]}), 0),
        (json!({"acme": ["Ada", "ad", "ada ", "ada,bob", "%", "*"]}), 0),
        (json!({"acme": []}), 0),
        (json!({"": [""]}), 0),
        (json!({}), 0),
        // nor does another shape open one
        (json!([{"org": "acme", "user": "ada"}]), 0),
        (json!(["acme", "ada", ""]), 0),
        (json!({"acme": {"users": ["ada"]}}), 0),
        (json!({"acme": null}), 0),
        (json!("acme"), 0),
        (Value::Null, 0),
    ] {
        let [connections, leases, events] = scoped(&mut app, scope.clone());
        assert_eq!([connections, leases], [seen, seen], "{scope}");
        assert!(scope.is_object() || events == 0, "{scope}");
    }
    // it ended with its transaction
    assert_eq!(counts(&mut app), [0, 0, 0]);

    // nor does a row get out of the scope it is in, or into one from outside
    let ours = "SELECT set_config('pawl.scope', '{\"acme\": [\"ada\"]}', true)";
    for wrong in [
        "INSERT INTO leases SELECT 'l2', 'other', 'eve', connection_id, client_id, purpose, run_id, revision, 99, \
         lent_at, expires_at FROM leases",
        // a key that somebody else's request would find
        "INSERT INTO idempotency_keys VALUES ('acme', 'bob', 'svc', 'key', 'k', '', 'ada', 'c', NULL, NULL, 1)",
        "INSERT INTO idempotency_keys VALUES ('acme', 'ada', 'svc', 'key', 'k', '', 'bob', 'c', NULL, NULL, 1)",
        "INSERT INTO org_settings VALUES ('acme', NULL, 1)",
        "INSERT INTO org_settings VALUES ('', NULL, 1)",
        "INSERT INTO audit_events SELECT 'other', 1000, event, prev_hash, hash FROM audit_events LIMIT 1",
        // nobody's tenant registers a service, or takes tokens back
        "INSERT INTO clients VALUES ('evil', 'x', '[\"owner\"]', NULL, NULL, 0)",
        "INSERT INTO revocations VALUES ('rev_x', NULL, 'shop', 1, 1)",
    ] {
        let refused = app.try_run(&format!("BEGIN; {ours}; {wrong}; COMMIT")).unwrap_err();
        assert!(refused.to_string().contains("row-level security"), "{refused}");
        app.run("ROLLBACK");
    }
    // nor are the seeds that sign tokens ended or dropped, but by a rotation
    app.run(&format!(
        "BEGIN; {ours}; UPDATE issuer_keys SET verifies_until = 1; DELETE FROM issuer_keys; COMMIT"
    ));
    assert_eq!(vault.home.sql().texts("count(*)", "FROM issuer_keys WHERE verifies_until IS NULL"), ["1"]);
    // what the role may not do at all
    for wrong in [
        "UPDATE connections SET url = 'https://evil.example'",
        "UPDATE connections SET org_id = 'acme'",
        "UPDATE connections SET username = 'evil'",
        // but by the duty that puts them under another key
        "UPDATE issuer_keys SET sealed = ''",
        "UPDATE audit_events SET event = ''",
        "UPDATE clients SET public_key = ''",
        "UPDATE revocations SET dies_at = 0",
        "UPDATE client_assertions SET kept_until = 0",
        "UPDATE issuer_keys SET signs_from = 0",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "DELETE FROM leases",
        "UPDATE leases SET client_id = 'evil'",
        "DELETE FROM keys",
        "UPDATE keys SET fingerprint = ''",
        "CREATE TABLE evil (x int)",
        "ALTER TABLE connections DISABLE ROW LEVEL SECURITY",
        "DROP POLICY scope ON connections",
        "CREATE ROLE evil",
        "SET ROLE pawl_migrate",
        "SET row_security = off; SELECT * FROM connections",
    ] {
        let refused = app.try_run(&format!("BEGIN; {ours}; {wrong}; COMMIT")).unwrap_err().to_string();
        let known = ["permission denied", "must be owner", "must be member", "row-level security"];
        assert!(known.iter().any(|k| refused.contains(k)), "{wrong}: {refused}");
        app.run("ROLLBACK");
    }
}

/// The scope is read once a statement, and rows are found by index behind it.
/// Attack on P1, P8 and P10.
#[test]
fn policies_cost_a_statement_not_a_row() {
    let home = Home::on_postgres();
    let mut sql = home.sql();
    sql.run(
        "CREATE FUNCTION explained(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
         BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query; END $$;
         INSERT INTO idempotency_keys
         SELECT 'acme', CASE WHEN i % 100 = 0 THEN 'ada' ELSE 'bob' END, 'svc', i::text, 'k', '', 'bob', 'c' || i,
                NULL, NULL, i FROM generate_series(1, 20000) AS i;
         ANALYZE",
    );
    let mut app = home.sql_as("pawl_app");
    app.run("BEGIN; SELECT set_config('pawl.scope', '{\"acme\": [\"ada\"]}', true)");
    for (query, index) in [
        (
            "SELECT kept_until FROM idempotency_keys WHERE org_id = ''acme'' AND caller_id = ''ada'' AND \
          kept_until <= 9999 ORDER BY kept_until LIMIT 100",
            "by_caller",
        ),
        (
            "DELETE FROM idempotency_keys WHERE org_id = ''acme'' AND caller_id = ''ada'' AND kept_until <= 9999",
            "by_caller",
        ),
        ("DELETE FROM idempotency_keys WHERE kept_until <= 9", "by_age"),
        (
            "UPDATE idempotency_keys SET answer = NULL WHERE org_id = ''acme'' AND connection_id = ''c1''",
            "by_connection",
        ),
    ] {
        let plan = app.texts("line", &format!("FROM explained('{query}') AS line")).join("\n");
        let found = plan.contains(&format!("using idempotency_keys_{index}")) && !plan.contains("Seq Scan");
        assert!(found && plan.contains("InitPlan") && !plan.contains("SubPlan"), "{query}\n{plan}");
    }
}

/// Attack on P10.
#[test]
fn a_lost_connection_is_a_503_at_most_and_then_all_goes_on() {
    let vault = Vault::start_in(Home::on_postgres(), &[]);
    let id = vault.deposit("planted");
    let worker = vault.token("acme", "ada", "worker");
    let path = format!("/v1/connections/{id}/leases");
    for _ in 0..3 {
        vault.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND usename = 'pawl_app'",
        );
        let mut tries = 0;
        loop {
            let lent = vault.call("POST", &path, &worker, Some(&json!({"purpose": "other"})));
            match lent.status {
                201 => break,
                503 => assert!(!lent.body.contains("planted")),
                other => panic!("{other} {}", lent.body),
            }
            tries += 1;
            assert!(tries < 3, "it does not recover");
        }
        assert_eq!(call(&vault.url, "GET", "/readyz", "", None).status, 200);
    }
}

/// Two replicas on one database: exclusive is exclusive, and the chain of an org stays one chain.
/// Attack on P4.
#[test]
fn two_vaults_on_one_database_are_one_vault() {
    let mut first = Vault::start_in(Home::on_postgres(), &[]);
    let second = first.replica();
    let id = first.deposit("shared");
    let urls = [first.url.clone(), second];
    let worker = first.token("acme", "ada", "worker");
    let path = format!("/v1/connections/{id}/leases");
    let lent: Vec<u16> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|n| {
                let (url, worker, path) = (&urls[n % 2], &worker, &path);
                scope.spawn(move || {
                    let body = json!({"purpose": "sync", "run_id": format!("run {n}")});
                    let mut statuses = vec![call(url, "POST", path, worker, Some(&body)).status];
                    for _ in 0..10 {
                        let other = json!({"purpose": "other"});
                        statuses.push(call(url, "POST", path, worker, Some(&other)).status);
                    }
                    statuses
                })
            })
            .collect();
        asked.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let firsts: Vec<u16> = lent.chunks(11).map(|chunk| chunk[0]).collect();
    assert_eq!(firsts.iter().filter(|status| **status == 201).count(), 1, "{firsts:?}");
    assert_eq!(firsts.iter().filter(|status| **status == 409).count(), 7, "{firsts:?}");
    assert_eq!(lent.iter().filter(|status| **status == 201).count(), 81);
    let mut fences = first.home.sql().texts("fence", "FROM leases ORDER BY fence");
    fences.dedup();
    assert_eq!(fences.len(), 81);

    let trail = first.trail("acme");
    let mut previous = "0".repeat(64);
    for (n, event) in trail.iter().enumerate() {
        assert_eq!(event["seq"], n + 1);
        assert_eq!(event["prev_hash"], previous.as_str());
        previous = event["hash"].as_str().unwrap().to_owned();
    }

    let backend = first.token("acme", "ada", "backend");
    assert_eq!(call(&urls[1], "DELETE", &format!("/v1/connections/{id}"), &backend, None).status, 204);
    assert_eq!(call(&urls[0], "POST", &path, &worker, Some(&json!({"purpose": "other"}))).status, 404);
}

/// Attack on P1.
#[test]
fn no_secret_is_told_to_the_server() {
    let vault = Vault::start_in(Home::on_postgres(), &[]);
    let id = vault.deposit("planted-SECRET-for-the-server");
    assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).status, 201);
    let log = std::fs::read(told("LOG")).unwrap();
    assert!(holds(&log, &id), "the log is on");
    assert!(!holds(&log, "planted-SECRET-for-the-server"));
    for (what, bytes) in vault.home.everything_kept() {
        assert!(!holds(&bytes, "planted-SECRET-for-the-server"), "{}", what.display());
    }
}
