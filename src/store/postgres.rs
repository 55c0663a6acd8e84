//! PostgreSQL: connections with bounds on every wait, and transactions that say whose rows they touch.

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::config::PostgresAddress;
use crate::store::db::Access;
use crate::store::error::StoreError;
use crate::store::scopes::Scopes;
pub(super) use crate::store::tables::{check, migrate};

/// What every connection is set to: durable at commit, whatever the server's default; and no wait
/// without an end.
const SESSION: &str = "SET synchronous_commit = on; SET lock_timeout = '2s'; SET statement_timeout = '10s'; \
                       SET idle_in_transaction_session_timeout = '15s'; SET search_path = public";

pub(super) fn connect(address: &PostgresAddress) -> Result<PgConnection, StoreError> {
    establish(address).map_err(|error| {
        let said = error.to_string();
        // libpq quotes the part of an address that it can't read, which may be the password.
        let quotes = said.contains("URI") || said.contains("percent-encoded");
        StoreError::NoDatabase(if quotes { "its address can't be read".into() } else { said })
    })
}

pub(super) fn establish(address: &PostgresAddress) -> Result<PgConnection, diesel::r2d2::Error> {
    use diesel::r2d2::Error;
    let mut db = PgConnection::establish(address.expose()).map_err(Error::ConnectionError)?;
    db.batch_execute(SESSION).map_err(Error::QueryError)?;
    Ok(db)
}

/// Says whose rows the open transaction may touch; a writer takes its orgs' chains, one after the
/// other in the order that all keep.
pub(super) fn enter(db: &mut PgConnection, access: Access, scopes: &Scopes) -> QueryResult<()> {
    diesel::sql_query("SELECT set_config('pawl.scope', $1, true)")
        .bind::<Text, _>(scopes.setting())
        .execute(db)?;
    if access == Access::Write {
        for lock in scopes.locks() {
            diesel::sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(lock).execute(db)?;
        }
    }
    Ok(())
}
