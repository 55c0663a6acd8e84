//! PostgreSQL: what a lend looks at does not grow with what was lent before. Behind row-level security a look that
//! compares with a sum, or with a text of another collation, goes through all there is, and nothing else shows it.

use serde_json::json;

use crate::harness::{Home, Vault};

/// So many leases and events an org has from before.
const BEFORE: i64 = 2_000;
/// So many rows and entries of indexes a lend may look at.
const ENOUGH: i64 = 40;

#[test]
fn a_lend_looks_at_as_much_however_much_was_lent_before() {
    let vault = Vault::start_in(Home::on_postgres(), &[]);
    let id = vault.deposit("s3cr3t");
    assert_eq!(vault.lend(&id, &json!({"purpose": "sync"})).status, 201);
    vault.sql(&format!(
        "INSERT INTO audit_events
             SELECT org_id, seq + n, event, prev_hash, hash
             FROM (SELECT * FROM audit_events WHERE org_id = 'acme' ORDER BY seq DESC LIMIT 1) AS last,
                 generate_series(1, {BEFORE}) AS n;
         INSERT INTO leases (id, org_id, user_id, connection_id, client_id, purpose, revision, fence, lent_at, expires_at)
             SELECT 'lease_' || n, org_id, user_id, 'conn_' || n % 50, client_id, 'other', 1, n, lent_at, expires_at
             FROM (SELECT * FROM leases WHERE org_id = 'acme' LIMIT 1) AS lent, generate_series(1, {BEFORE}) AS n"
    ));
    for is_analyzed in [false, true] {
        if is_analyzed {
            vault.sql("ANALYZE");
        }
        // as the vault does it, in a session that counts what it looked at itself
        let mut app = vault.home.sql_as("pawl_app");
        app.run("BEGIN");
        let found = app.texts(
            "fence::text",
            &format!(
                r#"FROM pawl_find_lends('{{"acme":["ada"]}}', 1, '{{acme}}', '{{2}}',
                    '{{acme}}', '{{ada}}', '{{{id}}}', '{{true}}', '{{0}}') WHERE number IS NOT NULL"#
            ),
        );
        assert_eq!(found, ["1"]);
        let found = looked_at(&mut app);
        app.run(&format!(
            "SELECT pawl_write_lends('{{lease_next}}', '{{acme}}', '{{ada}}', '{{{id}}}', '{{svc}}', '{{other}}', '{{NULL}}',
                '{{1}}', '{{2}}', '{{0}}', '{{1}}', ARRAY[org_id], ARRAY[seq + 1], ARRAY[event], ARRAY[hash], ARRAY[hash])
             FROM audit_events WHERE org_id = 'acme' ORDER BY seq DESC LIMIT 1"
        ));
        let written = looked_at(&mut app);
        app.run("ROLLBACK");
        assert!(found > 0 && found <= ENOUGH, "{found} to find, analyzed: {is_analyzed}");
        assert!(
            written > found && written - found <= ENOUGH,
            "{} to write, analyzed: {is_analyzed}",
            written - found
        );
    }
}

/// Rows and entries of indexes that the open transaction looked at, in the tables that grow with every lend.
fn looked_at(app: &mut crate::database::Sql) -> i64 {
    let seen = "sum(pg_stat_get_xact_tuples_returned(of.oid))::bigint::text";
    let of = "FROM (SELECT oid FROM pg_class WHERE relname IN ('leases', 'audit_events')
         UNION SELECT indexrelid FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
             WHERE relname IN ('leases', 'audit_events')) AS of";
    app.texts(seen, of)[0].parse().unwrap()
}
