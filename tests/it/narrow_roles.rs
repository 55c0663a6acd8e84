//! PostgreSQL: what stands behind the scope, asked of the catalogue, so that no table can be forgotten; and that a
//! duty which crosses orgs can do that duty and nothing else.

use std::path::Path;

use serde_json::json;

use crate::checkpoints::A_WHILE;
use crate::database::Sql;
use crate::harness::{Home, Vault, deposit, until};

/// A vault with a row in every tenant's table.
fn filled() -> Vault {
    let vault = Vault::start_in(Home::on_postgres(), &[]);
    for (org, user) in [("acme", "ada"), ("acme", "bob"), ("other", "eve")] {
        let id = vault.deposit_as(org, user, &deposit(&format!("{user}-bot"), "s"));
        let path = format!("/v1/connections/{id}/leases");
        let worker = vault.token(org, user, "worker");
        assert_eq!(vault.call("POST", &path, &worker, Some(&json!({"purpose": "other"}))).status, 201);
        let owner = vault.token(org, user, "owner");
        let settings = json!({"frozen": false});
        assert_eq!(vault.call("PUT", "/v1/org/settings", &owner, Some(&settings)).status, 200);
    }
    vault.sql(
        "INSERT INTO idempotency_keys VALUES ('acme', 'ada', 'svc', 'key', 'k', '', 'ada', 'c', NULL, NULL, 1);
         INSERT INTO imports VALUES ('acme', 'shop', '1', 'c', 'imported', 1);
         INSERT INTO org_settings VALUES ('', 1, 1)",
    );
    vault.clock.advance(A_WHILE);
    until("a leaf of each org's", || {
        vault.home.sql().texts("count(DISTINCT org_id)", "FROM audit_leaves") == ["3"]
    });
    vault
}

/// Every table that says whose a row is.
fn tenant_tables(sql: &mut Sql) -> Vec<String> {
    let tables = "FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'org_id' \
                  WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname";
    sql.texts("relname", tables)
}

fn refuses(role: &mut Sql, statements: &[&str]) {
    for statement in statements {
        let refused = role.try_run(&format!("BEGIN; {statement}; COMMIT")).unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{statement}: {refused}");
        role.run("ROLLBACK");
    }
}

/// Attack on P5.
#[test]
fn no_tenants_table_has_a_row_for_who_names_no_scope() {
    let vault = filled();
    let mut sql = vault.home.sql();
    let tables = tenant_tables(&mut sql);
    assert!(tables.len() >= 6, "{tables:?}");
    let forced = "FROM pg_class WHERE relrowsecurity AND relforcerowsecurity ORDER BY relname";
    let forced = sql.texts("relname", forced);
    let mut app = vault.home.sql_as("pawl_app");
    for table in &tables {
        assert!(forced.contains(table), "{table}: row-level security is not forced");
        assert_ne!(sql.count(table), 0, "{table}: no row of this test's");
        // It may not even be asked, where the role has no right to it.
        let seen = app.try_run(&format!("SELECT 1 / count(*) FROM {table}"));
        assert!(seen.is_err(), "{table}: a row without a scope");
    }
    let roles = "FROM pg_roles WHERE rolname LIKE 'pawl\\_%' AND (rolbypassrls OR rolsuper)";
    assert_eq!(sql.texts("rolname", roles), [""; 0]);
}

#[test]
fn nothing_in_the_policies_bypasses_row_level_security() {
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")];
    let mut seen = 0;
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            seen += text.matches("NOBYPASSRLS").count();
            let bypasses = text.replace("NOBYPASSRLS", "").contains("BYPASSRLS");
            assert!(!bypasses, "{}", path.display());
        }
    }
    assert!(seen >= 2);
}

/// Attack on P1 and P5.
#[test]
fn who_reseals_sees_what_sealing_needs_and_writes_sealed_values_alone() {
    let vault = filled();
    let mut role = vault.home.sql_as("pawl_app");
    assert_eq!(role.texts("count(*)", "FROM connections"), ["0"], "before it becomes that role");
    role.run("SET ROLE pawl_reseal");
    assert_eq!(role.texts("count(*)", "FROM connections"), ["3"]);
    role.run(
        "UPDATE connections SET sealed = sealed, key_id = key_id; UPDATE issuer_keys SET sealed = sealed;
         UPDATE audit_logs SET sealed = sealed",
    );
    refuses(
        &mut role,
        &[
            "SELECT label FROM connections",
            "SELECT * FROM connections",
            "SELECT created_at FROM connections",
            "UPDATE connections SET label = 'x'",
            "UPDATE connections SET url = 'https://evil.example'",
            "UPDATE connections SET revision = 9",
            "UPDATE connections SET state = 'active'",
            "DELETE FROM connections",
            "INSERT INTO connections SELECT * FROM connections",
            "DELETE FROM issuer_keys",
            "UPDATE audit_logs SET origin = ''",
            "UPDATE audit_logs SET public_key = ''",
            "DELETE FROM audit_logs",
            "INSERT INTO audit_logs VALUES ('l', 'o', 'p', 's', 'k1', 1, '')",
            "SELECT org_id FROM audit_leaves",
            "SELECT salt FROM audit_chains",
            "INSERT INTO audit_checkpoints VALUES ('l', 1, '', '', 1)",
            "INSERT INTO issuer_keys VALUES ('i', 's', 'k1', 1)",
            "UPDATE keys SET state = 'opening'",
            "UPDATE keys SET canary = NULL",
            "SELECT id FROM leases",
            "UPDATE leases SET ended_at = 1",
            "SELECT org_id FROM audit_events",
            "INSERT INTO audit_events VALUES ('', 1000, '', '', '')",
            "SELECT org_id FROM idempotency_keys",
            "SELECT org_id FROM imports",
            "SELECT org_id FROM org_settings",
            "UPDATE org_settings SET frozen_at = NULL",
        ],
    );
}

/// Attack on P4 and P5.
#[test]
fn who_grows_the_log_sees_how_far_chains_have_come_and_no_event() {
    let vault = filled();
    let mut role = vault.home.sql_as("pawl_app");
    assert_eq!(role.texts("count(*)", "FROM audit_events"), ["0"], "before it becomes that role");
    assert_eq!(role.texts("count(*)", "FROM audit_leaves"), ["0"]);
    refuses(
        &mut role,
        &[
            "INSERT INTO audit_leaves VALUES ('l', 0, '', 1)",
            "INSERT INTO audit_nodes VALUES ('l', 0, 0, '')",
            "INSERT INTO audit_checkpoints VALUES ('l', 1, '', '', 1)",
            "UPDATE audit_logs SET sealed = ''",
            "DELETE FROM audit_logs",
            "DELETE FROM audit_witnesses",
        ],
    );
    role.run("SET ROLE pawl_log");
    let orgs = role.texts("count(DISTINCT org_id)", "FROM audit_events WHERE length(hash) = 32");
    assert_eq!(orgs, ["3"]);
    role.run(
        "INSERT INTO audit_leaves VALUES ('l', 0, 'acme', 1); INSERT INTO audit_nodes VALUES ('l', 0, 0, ''), ('l', 0, 1, '');
         INSERT INTO audit_leaves VALUES ('l', 1, 'acme', 2), ('l', 2, 'acme', 3);
         INSERT INTO audit_checkpoints VALUES ('l', 3, '', '', 1)",
    );
    // What follows the last and nothing else: no checkpoint between others makes what is young old enough to go.
    for torn in [
        "INSERT INTO audit_leaves VALUES ('l', 4, 'acme', 4)",
        "INSERT INTO audit_leaves VALUES ('l', 3, 'acme', 4), ('l', 5, 'acme', 5)",
        "INSERT INTO audit_leaves VALUES ('l', -1, 'acme', 4)",
        "INSERT INTO audit_leaves VALUES ('new', 1, 'acme', 4)",
        "INSERT INTO audit_nodes VALUES ('l', 0, 3, '')",
        "INSERT INTO audit_nodes VALUES ('l', 0, 2, ''), ('l', 1, 1, '')",
        "INSERT INTO audit_checkpoints VALUES ('l', 2, '', '', 9000000000000000)",
        "INSERT INTO audit_checkpoints VALUES ('l', 5, '', '', 1), ('l', 4, '', '', 9000000000000000)",
        "INSERT INTO audit_checkpoints SELECT log_id, size - 1, root, note, 9000000000000000 FROM audit_checkpoints",
    ] {
        let refused = role.try_run(torn).unwrap_err().to_string();
        assert!(refused.contains("only grows"), "{torn}: {refused}");
    }
    refuses(
        &mut role,
        &[
            "SELECT event FROM audit_events",
            "SELECT * FROM audit_events",
            "SELECT prev_hash FROM audit_events",
            "INSERT INTO audit_events VALUES ('', 1000, '', '', '')",
            "UPDATE audit_events SET hash = ''",
            "DELETE FROM audit_events",
            "SELECT day_seq FROM audit_chains",
            "UPDATE audit_chains SET salt = ''",
            "UPDATE audit_leaves SET seq = 1",
            "DELETE FROM audit_leaves",
            "TRUNCATE audit_leaves",
            "UPDATE audit_nodes SET hash = ''",
            "DELETE FROM audit_nodes",
            "UPDATE audit_checkpoints SET note = ''",
            "DELETE FROM audit_checkpoints",
            "SELECT sealed FROM audit_logs",
            "SELECT id FROM audit_logs",
            "SELECT size FROM audit_witnesses",
            "SELECT id FROM connections",
            "SELECT id FROM leases",
            "SELECT id FROM keys",
            "SELECT id FROM issuer_keys",
            "SELECT org_id FROM org_settings",
        ],
    );
    // Nor may who owns the tables: the log only grows.
    for statement in [
        "UPDATE audit_leaves SET seq = 1",
        "DELETE FROM audit_nodes",
        "TRUNCATE audit_checkpoints",
        "DELETE FROM audit_leaves WHERE idx > 1",
    ] {
        let refused = vault.home.sql().try_run(statement).unwrap_err().to_string();
        assert!(refused.contains("only grows"), "{statement}: {refused}");
    }
}

/// Attack on P5 and P8.
#[test]
fn who_freezes_ends_leases_and_sees_whose_of_none() {
    let vault = filled();
    let mut role = vault.home.sql_as("pawl_app");
    role.run("UPDATE leases SET ended_at = 1");
    assert_eq!(vault.home.sql().texts("count(*)", "FROM leases WHERE ended_at IS NULL"), ["3"]);
    role.run("SET ROLE pawl_freeze");
    role.run("UPDATE leases SET ended_at = 1, outcome = 'frozen' WHERE ended_at IS NULL AND expires_at > 1");
    assert_eq!(vault.home.sql().texts("count(*)", "FROM leases WHERE ended_at IS NULL"), ["0"]);
    refuses(
        &mut role,
        &[
            "SELECT org_id FROM leases",
            "SELECT id FROM leases",
            "SELECT * FROM leases",
            "UPDATE leases SET expires_at = 9",
            "UPDATE leases SET client_id = 'evil'",
            "DELETE FROM leases",
            "SELECT id FROM connections",
            "UPDATE connections SET sealed = ''",
            "SELECT id FROM keys",
            "SELECT id FROM issuer_keys",
            "SELECT org_id FROM org_settings",
            "UPDATE org_settings SET frozen_at = NULL",
            "SELECT org_id FROM audit_events",
        ],
    );
}

/// Attack on P4 and P5.
#[test]
fn who_prunes_sees_no_event_and_lets_go_of_none_past_the_boundary() {
    let vault = filled();
    let of_log = "FROM audit_leaves WHERE org_id = 'acme'";
    let logged: i64 = vault.home.sql().texts("max(seq)", of_log)[0].parse().unwrap();
    let (owner, again) = (|| vault.token("acme", "ada", "owner"), json!({"frozen": false}));
    assert_eq!(
        vault.call("PUT", "/v1/org/settings", &owner(), Some(&again)).status,
        200,
        "something younger"
    );
    let mut role = vault.home.sql_as("pawl_app");
    role.run("SET ROLE pawl_prune");
    assert_eq!(role.texts("count(DISTINCT org_id)", "FROM audit_events WHERE seq > 0"), ["3"]);
    let refused = |role: &mut Sql, statement: &str| role.try_run(statement).unwrap_err().to_string();
    let stay = refused(&mut role, "DELETE FROM audit_events WHERE org_id = 'acme' AND seq = 1");
    assert!(stay.contains("kept until it is pruned"), "{stay}");
    // Where the log says nothing, at the end, and back.
    for to in [logged + 1, logged - 1, logged + 1000] {
        let cut = format!("UPDATE audit_chains SET pruned_seq = {to} WHERE org_id = 'acme'");
        let stay = refused(&mut role, &cut);
        assert!(stay.contains("up to an event of the log"), "{to}: {stay}");
    }
    // What is younger than the shortest time that may be promised; and under another hash than the log knows.
    let hash = format!("(SELECT hash FROM audit_events WHERE org_id = 'acme' AND seq = {logged})");
    let set = |hash: &str| {
        format!("UPDATE audit_chains SET pruned_seq = {logged}, pruned_hash = {hash} WHERE org_id = 'acme'")
    };
    let young = refused(&mut role, &set(&hash));
    assert!(young.contains("that is 90 days old"), "{young}");
    vault.clock.advance(std::time::Duration::from_secs(91 * 24 * 60 * 60));
    assert_eq!(vault.call("PUT", "/v1/org/settings", &owner(), Some(&again)).status, 200);
    crate::checkpoints::covered(&vault, "acme");
    refused(&mut role, &set("sha256('')"));
    role.run(&set(&hash));
    refused(&mut role, "UPDATE audit_chains SET pruned_seq = 0 WHERE org_id = 'acme'");
    role.run("DELETE FROM audit_events WHERE org_id = 'acme' AND seq = 1");
    refused(&mut role, "DELETE FROM audit_events WHERE org_id = 'acme'");
    refused(&mut role, "DELETE FROM audit_events WHERE org_id = 'other'");
    refuses(
        &mut role,
        &[
            "SELECT event FROM audit_events",
            "SELECT * FROM audit_events",
            "UPDATE audit_events SET seq = 0",
            "INSERT INTO audit_events VALUES ('', 1000, '', '', '')",
            "TRUNCATE audit_events",
            "SELECT salt FROM audit_chains",
            "UPDATE audit_chains SET day_seq = 0",
            "DELETE FROM audit_chains",
            "DELETE FROM audit_leaves",
            "INSERT INTO audit_leaves VALUES ('l', 9, 'acme', 9)",
            "SELECT frozen_at FROM org_settings",
            "UPDATE org_settings SET retention_days = 90",
            "SELECT id FROM connections",
            "SELECT id FROM leases",
            "SELECT id FROM keys",
            "SELECT id FROM issuer_keys",
            "SELECT id FROM audit_logs",
        ],
    );
}

/// Attack on P5.
#[test]
fn who_looks_for_what_ends_soon_sees_when_and_whose_and_changes_nothing() {
    let vault = filled();
    let mut role = vault.home.sql_as("pawl_app");
    role.run("SET ROLE pawl_expiry");
    let seen =
        "FROM connections WHERE credential_expires_at IS NULL AND expiry_warned IS NULL AND revision = 1";
    assert_eq!(role.texts("count(DISTINCT org_id)", seen), ["2"]);
    refuses(
        &mut role,
        &[
            "SELECT sealed FROM connections",
            "SELECT url FROM connections",
            "SELECT username FROM connections",
            "SELECT user_id FROM connections",
            "SELECT label FROM connections",
            "SELECT * FROM connections",
            "UPDATE connections SET expiry_warned = 14",
            "UPDATE connections SET credential_expires_at = NULL",
            "DELETE FROM connections",
            "SELECT id FROM leases",
            "SELECT id FROM keys",
            "SELECT org_id FROM audit_events",
            "INSERT INTO audit_events VALUES ('', 1000, '', '', '')",
            "SELECT login FROM login_refusals",
            "SELECT org_id FROM org_settings",
        ],
    );
}

/// A role that has these rights at all times is no role to keep rows as; and what they may is watched as the rest.
/// Attack on P3 and P5.
#[test]
fn who_has_a_duty_at_all_times_is_refused() {
    let home = Home::on_postgres();
    let (mut sql, name) = (home.sql(), home.database_name());
    let doctor = |home: &Home, role: &str| {
        let address = home.address_as(role).unwrap();
        let output = home.pawl(&[("PAWL_DATABASE_URL", &address)]).arg("doctor").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    sql.run(&format!(
        "CREATE ROLE {name}_inherits LOGIN IN ROLE pawl_app, pawl_reseal;
         CREATE ROLE {name}_member LOGIN IN ROLE pawl_app"
    ));
    let said = doctor(&home, &format!("{name}_inherits"));
    assert!(
        said.contains("inherits what pawl_reseal, pawl_freeze, pawl_log, pawl_prune or pawl_expiry may"),
        "{said}"
    );
    let said = doctor(&home, &format!("{name}_member"));
    assert!(!said.contains("inherits"), "a member of pawl_app is as good: {said}");
    for opened in [
        "GRANT SELECT (label) ON connections TO pawl_reseal",
        "GRANT UPDATE (expires_at) ON leases TO pawl_freeze",
        "CREATE POLICY more ON leases TO pawl_reseal USING (true)",
    ] {
        sql.run(&format!("BEGIN; {opened}; COMMIT"));
        let said = doctor(&home, "pawl_app");
        assert!(said.contains("forced row-level security"), "{opened}: {said}");
        sql.run(match opened.split(' ').next().unwrap() {
            "CREATE" => "DROP POLICY more ON leases",
            _ => {
                "REVOKE SELECT (label) ON connections FROM pawl_reseal; \
                  REVOKE UPDATE (expires_at) ON leases FROM pawl_freeze"
            }
        });
    }
}
