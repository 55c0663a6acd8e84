//! A table of a PostgreSQL server, read through a cursor in one transaction that can change nothing: as it was
//! at one moment, some hundred rows at a time.

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::config::PostgresAddress;
use crate::import::columns::{Columns, Table};
use crate::import::row::{MAX_VALUE, SourceRow};
use crate::import::source::SourceRefused;

/// An open transaction and its cursor.
pub struct PostgresTable {
    db: PgConnection,
    name: String,
    total: u64,
}

#[derive(QueryableByName)]
struct Relation {
    #[diesel(sql_type = Text)]
    name: String,
}

/// What a table is, however it was spelled: its database, its schema, itself.
const RELATION: &str = "SELECT current_database() || '/' || n.nspname || '.' || c.relname AS name \
                        FROM pg_catalog.pg_class AS c \
                        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                        WHERE c.oid = pg_catalog.to_regclass($1)";

#[derive(QueryableByName)]
struct Columns6 {
    #[diesel(sql_type = Nullable<Text>)]
    c0: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    c1: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    c2: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    c3: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    c4: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    c5: Option<String>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Bytes as hex digits; an error where a policy would leave rows out; and no end to a transaction that waits while rows are sealed and kept elsewhere.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL bytea_output = 'hex'; SET LOCAL row_security = off; \
                     SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

const FETCH: &str = "FETCH 500 FROM pawl_rows";

impl PostgresTable {
    pub(super) fn open(
        address: &PostgresAddress,
        table: &Table,
        columns: &Columns,
    ) -> Result<Self, SourceRefused> {
        if let Some(name) = PostgresAddress::surroundings().into_iter().next() {
            return Err(SourceRefused::Surroundings(name));
        }
        let unopened = |error: &dyn std::fmt::Display| {
            let said = error.to_string();
            SourceRefused::Unopened(match address.is_quoted_in(&said) {
                true => "the reason is left out: it holds the password".into(),
                false => said,
            })
        };
        let mut db = PgConnection::establish(address.expose()).map_err(|e| unopened(&e))?;
        db.batch_execute(BEGIN).map_err(|e| unopened(&e))?;
        let select = columns.select(|column, _| format!("substr({column}::text, 1, {})", MAX_VALUE + 1));
        let declare =
            format!("DECLARE pawl_rows NO SCROLL CURSOR FOR SELECT {select} FROM {} AS t", table.quoted());
        // The server's words are about tables and columns alone, as long as no row is read.
        db.batch_execute(&declare).map_err(|e| unopened(&e))?;
        let relation: QueryResult<Relation> =
            diesel::sql_query(RELATION).bind::<Text, _>(table.quoted()).get_result(&mut db);
        let name = relation.map_err(|_| SourceRefused::BrokeOff("its table can't be told"))?.name;
        let name = format!("postgres://{}/{name}", address.server());
        let counted = format!("SELECT count(*) AS count FROM {}", table.quoted());
        let counted: QueryResult<Count> = diesel::sql_query(counted).get_result(&mut db);
        let total = counted.map_err(|_| SourceRefused::BrokeOff("its rows can't be counted"))?.count;
        Ok(Self { db, name, total: u64::try_from(total).unwrap_or(0) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn read(mut self, mut take: impl FnMut(SourceRow) -> bool) -> Result<(), SourceRefused> {
        let mut number = 0;
        loop {
            let rows: QueryResult<Vec<Columns6>> = diesel::sql_query(FETCH).load(&mut self.db);
            let rows = rows.map_err(|_| SourceRefused::BrokeOff("a statement failed"))?;
            if rows.is_empty() {
                return Ok(());
            }
            for Columns6 { c0, c1, c2, c3, c4, c5 } in rows {
                number += 1;
                let values = [c0, c1, c2, c3, c4, c5].map(|value| value.map(String::into_bytes));
                if !take(SourceRow { number, values: Some(values) }) {
                    return Ok(());
                }
            }
        }
    }
}
