//! PostgreSQL: connections with bounds on every wait, and transactions that say whose rows they touch.

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{Array, BigInt, Bool, Text};

use crate::config::PostgresAddress;
use crate::store::db::Access;
use crate::store::error::StoreError;
use crate::store::scopes::Scopes;
pub(super) use crate::store::tables::{check, migrate};

/// What every connection is set to: durable at commit, whatever the server's default; no wait without an
/// end; and a plan that was made on an empty table reads by the index all the same once it is full (every
/// query of ours has one). The few tables that are read whole would then look so dear that the server
/// compiles the query first, for 100 ms: not that either.
const SESSION: &str = "SET synchronous_commit = on; SET lock_timeout = '2s'; SET statement_timeout = '10s'; \
                       SET idle_in_transaction_session_timeout = '15s'; SET enable_seqscan = off; \
                       SET jit = off; SET search_path = public";

pub(super) fn connect(address: &PostgresAddress) -> Result<PgConnection, StoreError> {
    establish(address).map_err(|error| StoreError::NoDatabase(error.to_string()))
}

/// A connection made ready; or why not, without the password.
pub(super) fn establish(address: &PostgresAddress) -> Result<PgConnection, diesel::r2d2::Error> {
    use diesel::r2d2::Error;
    let mut db = PgConnection::establish(address.expose()).map_err(|error| {
        let quotes = address.is_quoted_in(&error.to_string());
        Error::ConnectionError(match quotes {
            true => ConnectionError::BadConnection("the reason is left out: it holds the password".into()),
            false => error,
        })
    })?;
    db.batch_execute(SESSION).map_err(Error::QueryError)?;
    Ok(db)
}

/// Says whose rows the open transaction may touch, and that what it changes is durable at its commit.
const TELL: &str = "SELECT set_config('pawl.scope', $1, true), set_config('synchronous_commit', 'on', true)";

/// Of the whole vault: shared by all who write, and taken alone by a freeze of it. The first 8 bytes of
/// SHA-256("pawl/v1/vault").
pub(super) const VAULT: i64 = 2_878_156_944_878_392_785;

/// Begins to write, whatever the server's default: what is looked at after a lock is as it is under the lock.
pub(super) const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Begins a transaction that is yet to enter its rows.
pub(super) fn begin(db: &mut PgConnection) -> QueryResult<()> {
    AnsiTransactionManager::begin_transaction_sql(db, WRITE)
}

pub(super) fn rollback(db: &mut PgConnection) -> QueryResult<()> {
    AnsiTransactionManager::rollback_transaction(db)
}

/// Enters the rows of `scopes`; a writer takes first its share of the vault, then its orgs' chains, one after the
/// other in the order that all keep.
pub(super) fn enter(db: &mut PgConnection, access: Access, scopes: &Scopes) -> QueryResult<()> {
    let vault = match access {
        Access::Read => "",
        Access::Write => {
            ", current_setting('transaction_read_only') = 'on' AS is_read_only, pg_advisory_xact_lock_shared($2)"
        }
        Access::Alone => {
            ", current_setting('transaction_read_only') = 'on' AS is_read_only, pg_advisory_xact_lock($2)"
        }
    };
    let told = diesel::sql_query(format!("{TELL}{vault}")).bind::<Text, _>(scopes.setting());
    if access == Access::Read {
        told.execute(db)?;
    } else {
        let Session { is_read_only } = told.bind::<BigInt, _>(VAULT).get_result(db)?;
        if is_read_only {
            let told = Box::new("the session is read-only".to_owned());
            return Err(Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, told));
        }
        for (lock, _) in scopes.locks() {
            diesel::sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(lock).execute(db)?;
        }
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Bool)]
    is_read_only: bool,
}

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = BigInt)]
    lock: i64,
}

#[derive(QueryableByName)]
struct Shared {
    #[diesel(sql_type = Bool)]
    is_shared: bool,
}

/// Enters the rows of `scopes` as a writer that waits for nobody, to end loans. Answers the orgs whose chains somebody
/// else holds; all of them while the whole vault is being frozen.
pub(super) fn enter_where_free(db: &mut PgConnection, scopes: &Scopes) -> QueryResult<Vec<String>> {
    let shared = format!(
        "{TELL}, set_config('pawl.counts', 'on', true), pg_try_advisory_xact_lock_shared($2) AS is_shared"
    );
    let Shared { is_shared } = diesel::sql_query(shared)
        .bind::<Text, _>(scopes.setting())
        .bind::<BigInt, _>(VAULT)
        .get_result(db)?;
    let locks = scopes.locks();
    if !is_shared {
        return Ok(locks.into_iter().map(|(_, org)| org).collect());
    }
    let wanted: Vec<i64> = locks.iter().map(|(lock, _)| *lock).collect();
    let taken: Vec<Taken> =
        diesel::sql_query("SELECT lock FROM unnest($1) AS lock WHERE NOT pg_try_advisory_xact_lock(lock)")
            .bind::<Array<BigInt>, _>(wanted)
            .load(db)?;
    let is_taken = |lock: i64| taken.iter().any(|row| row.lock == lock);
    Ok(locks.into_iter().filter(|(lock, _)| is_taken(*lock)).map(|(_, org)| org).collect())
}
