//! PostgreSQL: connections with bounds on every wait, and transactions that say whose rows they touch.

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};

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
fn tell_scopes(db: &mut PgConnection, scopes: &Scopes) -> QueryResult<()> {
    diesel::sql_query(
        "SELECT set_config('pawl.scope', $1, true), set_config('synchronous_commit', 'on', true)",
    )
    .bind::<Text, _>(scopes.setting())
    .execute(db)
    .map(drop)
}

/// Enters the rows of `scopes`; a writer takes its orgs' chains, one after the other in the order that
/// all keep.
pub(super) fn enter(db: &mut PgConnection, access: Access, scopes: &Scopes) -> QueryResult<()> {
    tell_scopes(db, scopes)?;
    if access == Access::Write {
        for (lock, _) in scopes.locks() {
            diesel::sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(lock).execute(db)?;
        }
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = BigInt)]
    lock: i64,
}

/// Enters the rows of `scopes` as a writer that waits for nobody. Answers the orgs whose chains somebody
/// else holds.
pub(super) fn enter_where_free(db: &mut PgConnection, scopes: &Scopes) -> QueryResult<Vec<String>> {
    tell_scopes(db, scopes)?;
    let locks = scopes.locks();
    let wanted: Vec<i64> = locks.iter().map(|(lock, _)| *lock).collect();
    let taken: Vec<Taken> =
        diesel::sql_query("SELECT lock FROM unnest($1) AS lock WHERE NOT pg_try_advisory_xact_lock(lock)")
            .bind::<Array<BigInt>, _>(wanted)
            .load(db)?;
    let is_taken = |lock: i64| taken.iter().any(|row| row.lock == lock);
    Ok(locks.into_iter().filter(|(lock, _)| is_taken(*lock)).map(|(_, org)| org).collect())
}
