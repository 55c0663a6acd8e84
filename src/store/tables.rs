//! PostgreSQL's tables: made by one role, kept by another, and held against our promises, as is the server.

use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::dsl::sql;
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Nullable, Text};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::config::PostgresAddress;
use crate::store::error::StoreError;
use crate::store::open::{applied_migrations, compare, expected};
use crate::store::policies::{self, OURS};
use crate::store::postgres::connect;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Held until the connection ends, so that two inits do not meet: "pawl" in ASCII.
const MAKING: &str = "SELECT pg_advisory_lock(1885435756)";

/// How often the tables' locks are asked for, and how long each time: less than the second after which
/// PostgreSQL breaks a deadlock at somebody's cost, and less than a vault waits for a lock.
const TRIES: u32 = 8;
const TRY: &str = "SET LOCAL lock_timeout = '400ms'";
const PAUSE: Duration = Duration::from_millis(200);

/// Brings the tables up to date as the role that `owner` names, and applies `policies/postgres/` where
/// they are not in force. All of it happens, or none.
pub(super) fn migrate(owner: &PostgresAddress) -> Result<(), StoreError> {
    let mut db = connect(owner)?;
    // Another init, and the statements of this one, may take their time.
    db.batch_execute("SET statement_timeout = 0; SET lock_timeout = '60s'").map_err(refused)?;
    db.batch_execute(MAKING).map_err(refused)?;
    let known = expected::<Pg>(&MIGRATIONS)?;
    let applied = applied(&mut db).map_err(refused)?;
    if applied.iter().any(|version| !known.contains(version)) {
        // A later version's tables, and its policies: not ours to touch.
        return compare(Some(applied), &known);
    }
    if applied == known && policies::wrong(&mut db).map_err(refused)?.is_none() {
        return Ok(());
    }
    begin_alone(&mut db).map_err(refused)?;
    // What fails takes the transaction with it, and the connection ends here.
    make(&mut db)?;
    AnsiTransactionManager::commit_transaction(&mut db).map_err(refused)
}

/// Begins a transaction in which nobody else touches the tables: all their locks at once, or none.
fn begin_alone(db: &mut PgConnection) -> QueryResult<()> {
    let names = format!("SELECT string_agg(oid::regclass::text, ', ' ORDER BY relname) {OURS}");
    let mut left = TRIES;
    loop {
        AnsiTransactionManager::begin_transaction(db)?;
        let names: Option<String> =
            diesel::select(sql::<Nullable<Text>>(&format!("({names})"))).get_result(db)?;
        let Some(names) = names else { return Ok(()) };
        let locked = db.batch_execute(&format!("{TRY}; LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"));
        let Err(waited) = locked else { return db.batch_execute("SET LOCAL lock_timeout = '10s'") };
        AnsiTransactionManager::rollback_transaction(db)?;
        left -= 1;
        if left == 0 {
            return Err(waited);
        }
        std::thread::sleep(PAUSE);
    }
}

fn make(db: &mut PgConnection) -> Result<(), StoreError> {
    db.run_pending_migrations(MIGRATIONS).map_err(|e| StoreError::NoDatabase(e.to_string()))?;
    policies::apply(db).map_err(refused)
}

/// The versions that the tables were brought to. What can't be read is not taken for absent.
fn applied(db: &mut PgConnection) -> QueryResult<Vec<String>> {
    let there = "to_regclass('public.__diesel_schema_migrations') IS NOT NULL";
    if !diesel::select(sql::<Bool>(there)).get_result(db)? {
        return Ok(Vec::new());
    }
    let versions = "ARRAY(SELECT version::text FROM public.__diesel_schema_migrations ORDER BY version)";
    diesel::select(sql::<Array<Text>>(versions)).get_result(db)
}

/// The server's own sentence: about roles and tables, never about a row.
fn refused(error: diesel::result::Error) -> StoreError {
    StoreError::NoDatabase(error.to_string())
}

/// What is not as it has to be for rows to be kept here.
#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Bool)]
    is_superuser: bool,
    #[diesel(sql_type = Bool)]
    bypasses: bool,
    #[diesel(sql_type = Bool)]
    owns: bool,
    #[diesel(sql_type = Bool)]
    copies: bool,
    #[diesel(sql_type = Bool)]
    creates: bool,
    #[diesel(sql_type = Bool)]
    crosses: bool,
    #[diesel(sql_type = Text)]
    fsync: String,
}

/// The role that is connected, or any that it could become.
const FOUND: &str = "
    WITH roles AS (SELECT * FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER')),
         owners AS (SELECT relowner AS oid FROM pg_class
                    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
                    UNION SELECT nspowner FROM pg_namespace WHERE nspname = 'public'
                    UNION SELECT proowner FROM pg_proc
                    WHERE pronamespace = 'public'::regnamespace AND starts_with(proname, 'pawl_'))
    SELECT current_user::text AS role,
           EXISTS (SELECT FROM roles WHERE rolsuper) AS is_superuser,
           EXISTS (SELECT FROM roles WHERE rolbypassrls) AS bypasses,
           EXISTS (SELECT FROM roles JOIN owners USING (oid)) AS owns,
           EXISTS (SELECT FROM roles WHERE rolreplication) AS copies,
           EXISTS (SELECT FROM roles WHERE rolcreaterole) AS creates,
           EXISTS (SELECT FROM pg_roles WHERE rolname IN ('pawl_reseal', 'pawl_freeze', 'pawl_log', 'pawl_prune',
                                                        'pawl_expiry')
                   AND pg_has_role(current_user, oid, 'USAGE')) AS crosses,
           current_setting('fsync') AS fsync";

/// Holds tables, role and server against what this version relies on. Changes nothing.
pub(super) fn check(db: &mut PgConnection) -> Result<(), StoreError> {
    let found: Found = diesel::sql_query(FOUND).get_result(db).map_err(refused)?;
    let mut wrong = Vec::new();
    let too_much = [
        (found.is_superuser, "is a superuser, or can become one"),
        (found.bypasses, "has BYPASSRLS, or can become one that has"),
        (found.owns, "owns tables, their schema or a function, or can become the role that does"),
        (found.copies, "has REPLICATION, or can become one that has"),
        (found.creates, "has CREATEROLE, or can become one that has"),
        (
            found.crosses,
            "inherits what pawl_reseal, pawl_freeze, pawl_log, pawl_prune or pawl_expiry may, which it is to become for a moment",
        ),
    ];
    // A superuser has all of them.
    if let Some((_, what)) = too_much.iter().find(|(has, _)| *has) {
        wrong.push(format!("its role {} {what}", found.role));
    }
    if found.fsync != "on" {
        wrong.push("its server runs with fsync off: what it acknowledges it may lose".into());
    }
    if !wrong.is_empty() {
        return Err(StoreError::NotSafe(wrong.join("; ")));
    }
    let applied = applied_migrations(&mut |sql| diesel::sql_query(sql).load(db));
    compare(applied, &expected::<Pg>(&MIGRATIONS)?)?;
    if let Some(what) = policies::wrong(db).map_err(refused)? {
        return Err(StoreError::NotSafe(format!("{what}: run `pawl init` with the owner's address")));
    }
    Ok(())
}
