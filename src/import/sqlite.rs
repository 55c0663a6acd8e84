//! A table of a SQLite file, which is opened so that nothing in it can be changed, and read row by row.

use std::path::Path;

use diesel::connection::{DefaultLoadingMode, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::import::columns::{Columns, Table};
use crate::import::row::{MAX_VALUE, SourceRow};
use crate::import::source::SourceRefused;

/// An open file and the query to be asked.
pub struct SqliteTable {
    db: SqliteConnection,
    query: String,
    name: String,
    total: u64,
}

#[derive(QueryableByName)]
struct Relation {
    #[diesel(sql_type = Text)]
    name: String,
}

/// A name in SQLite is the same in letters of any size, and has one spelling in the schema.
const RELATION: &str =
    "SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE";

#[derive(QueryableByName)]
struct Columns6 {
    #[diesel(sql_type = Nullable<Binary>)]
    c0: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    c1: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    c2: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    c3: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    c4: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    c5: Option<Vec<u8>>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Encoding {
    #[diesel(sql_type = Text)]
    encoding: String,
}

/// What stays as it is in the path of a `file:` URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

impl SqliteTable {
    pub(super) fn open(path: &Path, table: &Table, columns: &Columns) -> Result<Self, SourceRefused> {
        let unopened =
            |what: &dyn std::fmt::Display| SourceRefused::Unopened(format!("{}: {what}", path.display()));
        let path = std::fs::canonicalize(path).map_err(|e| unopened(&e))?;
        let uri = format!("file:{}?mode=ro", percent_encode(path.as_os_str().as_encoded_bytes(), PATH));
        let mut db = SqliteConnection::establish(&uri).map_err(|e| unopened(&e))?;
        // What the schema of somebody else's file may run is what can do no harm.
        db.batch_execute("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA busy_timeout = 5000")
            .map_err(|e| unopened(&e))?;
        let encoding: Encoding =
            diesel::sql_query("PRAGMA encoding").get_result(&mut db).map_err(|e| unopened(&e))?;
        if encoding.encoding != "UTF-8" {
            return Err(unopened(&"its texts are not in UTF-8"));
        }
        // A blob's digits where a name is wanted, its bytes elsewhere.
        let select = columns.select(|column, field| {
            let cut = format!("substr({column}, 1, {})", MAX_VALUE + 1);
            match field {
                "id" | "user_id" => format!(
                    "CAST(CASE typeof({column}) WHEN 'blob' THEN lower(hex({cut})) ELSE {cut} END AS BLOB)"
                ),
                _ => format!("CAST({cut} AS BLOB)"),
            }
        });
        let query = format!("SELECT {select} FROM {} AS t", table.quoted());
        // Its own words are about tables and columns alone, as long as no row is read.
        diesel::sql_query(format!("{query} LIMIT 0")).execute(&mut db).map_err(|e| unopened(&e))?;
        let relation: QueryResult<Relation> =
            diesel::sql_query(RELATION).bind::<Text, _>(table.last()).get_result(&mut db);
        let relation = relation.map_err(|_| unopened(&"--table must be a table or a view of its schema"))?;
        let name = format!("sqlite:{}/{}", path.display(), relation.name);
        let counted = format!("SELECT count(*) AS count FROM {}", table.quoted());
        let counted: QueryResult<Count> = diesel::sql_query(counted).get_result(&mut db);
        let total = counted.map_err(|_| SourceRefused::BrokeOff("its rows can't be counted"))?.count;
        Ok(Self { db, query, name, total: u64::try_from(total).unwrap_or(0) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn read(mut self, mut take: impl FnMut(SourceRow) -> bool) -> Result<(), SourceRefused> {
        let broke_off = |_| SourceRefused::BrokeOff("a statement failed");
        let query = diesel::sql_query(self.query);
        let rows = query.load_iter::<Columns6, DefaultLoadingMode>(&mut self.db).map_err(broke_off)?;
        for (number, row) in (1..).zip(rows) {
            let Columns6 { c0, c1, c2, c3, c4, c5 } = row.map_err(broke_off)?;
            if !take(SourceRow { number, values: Some([c0, c1, c2, c3, c4, c5]) }) {
                break;
            }
        }
        Ok(())
    }
}
