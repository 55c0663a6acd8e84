//! `policies/postgres/`, which are applied when their text changed, and what of them is in force: noted
//! beside the tables, so that a start sees which policies were applied and whether they still are.

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use sha2::{Digest, Sha256};

const ROLES: &str = include_str!("../../policies/postgres/roles.sql");
const ROW_LEVEL_SECURITY: &str = include_str!("../../policies/postgres/row-level-security.sql");
const LENDING: &str = include_str!("../../policies/postgres/lending.sql");

/// The tables that Pawl made: those of whoever owns its record of migrations.
pub(super) const OURS: &str = "
    FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relowner =
        (SELECT relowner FROM pg_class WHERE oid = to_regclass('public.__diesel_schema_migrations'))";

/// What guards the rows now, as PostgreSQL itself says it: policies, triggers, the functions they ask, and what the
/// role that keeps rows, those it becomes, or everybody, may do. Also what somebody added.
const IN_FORCE: &str = "
    tables AS (SELECT * {OURS}),
    granted AS (
        SELECT relname, '' AS attname, relacl AS acl FROM tables
        UNION ALL SELECT relname, attname, attacl FROM tables JOIN pg_attribute ON attrelid = tables.oid),
    said (line) AS (
        SELECT row(relname, relrowsecurity, relforcerowsecurity)::text FROM tables
        UNION ALL
        SELECT row(relname, polname, polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid),
                   pg_get_expr(polwithcheck, polrelid))::text
        FROM tables JOIN pg_policy ON polrelid = tables.oid
        UNION ALL
        SELECT pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND starts_with(proname, 'pawl_')
        UNION ALL
        SELECT row(relname, attname, grantee, privilege_type, is_grantable)::text
        FROM granted CROSS JOIN aclexplode(acl) WHERE grantee IN
            (0, to_regrole('pawl_app'), to_regrole('pawl_reseal'), to_regrole('pawl_freeze'), to_regrole('pawl_log'),
             to_regrole('pawl_prune'), to_regrole('pawl_expiry'))
        UNION ALL
        SELECT row(relname, tgenabled, pg_get_triggerdef(pg_trigger.oid))::text
        FROM tables JOIN pg_trigger ON tgrelid = tables.oid AND NOT tgisinternal)
    SELECT encode(sha256(convert_to(string_agg(line, chr(10) ORDER BY line COLLATE \"C\"), 'UTF8')), 'hex') FROM said";

/// Applies the files, and notes that.
pub(super) fn apply(db: &mut PgConnection) -> QueryResult<()> {
    db.batch_execute(ROLES)?;
    db.batch_execute(ROW_LEVEL_SECURITY)?;
    db.batch_execute(LENDING)?;
    let note = format!("{} {}", texts(), in_force(db)?);
    db.batch_execute(&format!("COMMENT ON TABLE public.__diesel_schema_migrations IS '{note}'"))
}

/// What is wrong with the policies in force, if anything is.
pub(super) fn wrong(db: &mut PgConnection) -> QueryResult<Option<&'static str>> {
    let note = "obj_description(to_regclass('public.__diesel_schema_migrations'), 'pg_class')";
    let note: Option<String> = diesel::select(sql::<Nullable<Text>>(note)).get_result(db)?;
    let note = note.unwrap_or_default();
    let Some(noted) = note.strip_prefix(&texts()) else {
        return Ok(Some("its policies are not this version's"));
    };
    if noted.trim_start() != in_force(db)? {
        return Ok(Some("its grants, policies or forced row-level security are not as they were applied"));
    }
    Ok(None)
}

fn texts() -> String {
    let digest =
        Sha256::new().chain_update(ROLES).chain_update(ROW_LEVEL_SECURITY).chain_update(LENDING).finalize();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("policies {hex}")
}

fn in_force(db: &mut PgConnection) -> QueryResult<String> {
    let query = format!("(WITH {})", IN_FORCE.replace("{OURS}", OURS));
    diesel::select(sql::<Text>(&query)).get_result(db)
}
