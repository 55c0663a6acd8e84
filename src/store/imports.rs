//! Rows of other products' tables: many connections at once, and the ledger of what was moved in, which
//! outlives them.

use std::collections::{BTreeMap, BTreeSet};

use diesel::dsl::sql;
use diesel::prelude::*;
#[cfg(feature = "postgres")]
use diesel::sql_types::Array;
use diesel::sql_types::{Bool, Text};

use crate::access::UserScope;
use crate::clock::Moment;
use crate::credential::Destination;
use crate::ids::{ConnectionId, SourceId};
use crate::store::connections::{NewConnection, NewRow, OF_ODOO};
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::keys::must_seal;
use crate::store::schema::{connections, imports};
use crate::store::tx::Tx;

/// What the ledger knows of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// As which connection it came in.
    pub connection: String,
    /// Whether that is still there.
    pub is_there: bool,
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Text)]
    source_id: String,
    #[diesel(sql_type = Text)]
    connection: String,
    #[diesel(sql_type = Bool)]
    is_there: bool,
}

/// A look into an index for each, whatever a plan that was made on empty tables takes for cheap: a list of ids
/// beside the org would read all of the org's.
#[cfg(feature = "postgres")]
const FIND_IMPORTS: &str = "
    SELECT wanted.id AS source_id, mine.connection_id AS connection,
           coalesce((SELECT org_id FROM connections WHERE connections.id = mine.connection_id) = $1, false) AS is_there
    FROM unnest($3) AS wanted (id)
    CROSS JOIN LATERAL (
        SELECT connection_id FROM imports
        WHERE imports.org_id = $1 AND imports.source = $2 AND imports.source_id = wanted.id LIMIT 1) AS mine";

#[derive(Insertable)]
#[diesel(table_name = imports)]
struct NewImport<'a> {
    org_id: &'a str,
    source: &'a str,
    source_id: &'a str,
    connection_id: &'a str,
    imported_at: i64,
}

impl Tx<'_> {
    /// Those of the rows `ids` of `source` that the scope's ledger knows.
    pub fn find_imports(
        &mut self,
        source: &str,
        ids: &[&SourceId],
    ) -> Result<BTreeMap<String, Imported>, StoreError> {
        let org = self.scope.org().as_str();
        let known: Vec<Known> = match self.db {
            Db::Sqlite(db) => {
                let mut known = Vec::new();
                for id in ids {
                    let row = imports::table.find((org, source, id.as_str())).select(imports::connection_id);
                    let Some(connection) = row.first::<String>(db).optional()? else { continue };
                    let there = connections::table.find(&connection).select(connections::org_id);
                    let is_there = there.first::<String>(db).optional()?.is_some_and(|of| of == org);
                    known.push(Known { source_id: id.to_string(), connection, is_there });
                }
                known
            }
            #[cfg(feature = "postgres")]
            Db::Postgres(db) => diesel::sql_query(FIND_IMPORTS)
                .bind::<Text, _>(org)
                .bind::<Text, _>(source)
                .bind::<Array<Text>, _>(ids.iter().map(|id| id.as_str()).collect::<Vec<_>>())
                .load(db)?,
        };
        let known = known.into_iter();
        Ok(known
            .map(|row| (row.source_id, Imported { connection: row.connection, is_there: row.is_there }))
            .collect())
    }

    /// Other sources than `source` that the scope's ledger knows, `most` of them at most; none if it knows `source`.
    pub fn find_other_sources(&mut self, source: &str, most: usize) -> Result<Vec<String>, StoreError> {
        let org = self.scope.org().as_str();
        let mut others: Vec<String> = Vec::new();
        let of_org = imports::table.filter(imports::org_id.eq(org)).select(imports::source);
        if of_org.filter(imports::source.eq(source)).first::<String>(self.db).optional()?.is_some() {
            return Ok(others);
        }
        // From one name to the next by the index, past all of the rows between them.
        while others.len() < most {
            let last = others.last().map_or("", String::as_str);
            let next = of_org.filter(imports::source.gt(last)).order(imports::source.asc());
            match next.first(self.db).optional()? {
                Some(next) => others.push(next),
                None => break,
            }
        }
        Ok(others)
    }

    /// Keeps those of `new` whose owner has none for the same destination, also not one that came before it here;
    /// all are sealed under one key. Answers which were kept.
    pub fn insert_connections(
        &mut self,
        new: &[&NewConnection],
    ) -> Result<BTreeSet<ConnectionId>, StoreError> {
        let org = self.scope.org();
        let Some(key) = new.first().map(|new| &new.sealed.key_id) else { return Ok(BTreeSet::new()) };
        if new.iter().any(|new| new.scope.org() != org || new.sealed.key_id != *key) {
            return Err(StoreError::Damaged("connections"));
        }
        must_seal(self.db, key)?;
        match self.db {
            Db::Sqlite(db) => {
                let mut kept = BTreeSet::new();
                for new in new {
                    let inserted = diesel::insert_into(connections::table)
                        .values(NewRow::from(*new))
                        .on_conflict_do_nothing()
                        .execute(db)?;
                    if inserted == 1 {
                        kept.insert(new.id.clone());
                    }
                }
                Ok(kept)
            }
            #[cfg(feature = "postgres")]
            Db::Postgres(db) => {
                let rows: Vec<NewRow> = new.iter().map(|new| NewRow::from(*new)).collect();
                let kept: Vec<String> = diesel::insert_into(connections::table)
                    .values(rows)
                    .on_conflict_do_nothing()
                    .returning(connections::id)
                    .get_results(db)?;
                let kept = kept.iter().map(|id| ConnectionId::parse(id));
                kept.collect::<Result<_, _>>().map_err(|_| StoreError::Damaged("connections"))
            }
        }
    }

    /// The connection with a credential of Odoo's that `owner` has for that destination, if the scope reaches it.
    pub fn find_connection_of(
        &mut self,
        owner: &UserScope,
        destination: &Destination,
    ) -> Result<Option<ConnectionId>, StoreError> {
        if self.scope.of_user(owner.user()).as_ref() != Some(owner) {
            return Ok(None);
        }
        let (url, database, username) = destination.parts();
        let id: Option<String> = connections::table
            .filter(sql::<Bool>(OF_ODOO))
            .filter(connections::org_id.eq(owner.org().as_str()))
            .filter(connections::user_id.eq(owner.user().as_str()))
            .filter(connections::url.eq(url))
            .filter(connections::database.eq(database))
            .filter(connections::username.eq(username))
            .select(connections::id)
            .first(self.db)
            .optional()?;
        id.map(|id| ConnectionId::parse(&id)).transpose().map_err(|_| StoreError::Damaged("connections"))
    }

    /// Notes that rows of `source` are these connections of the scope's org.
    pub fn insert_imports(
        &mut self,
        source: &str,
        rows: &[(&SourceId, ConnectionId)],
        at: Moment,
    ) -> Result<(), StoreError> {
        let org_id = self.scope.org().as_str();
        let rows = rows.iter().map(|(id, connection)| NewImport {
            org_id,
            source,
            source_id: id.as_str(),
            connection_id: connection.as_str(),
            imported_at: at.micros(),
        });
        match self.db {
            Db::Sqlite(db) => {
                for row in rows {
                    diesel::insert_into(imports::table).values(row).execute(db)?;
                }
            }
            #[cfg(feature = "postgres")]
            Db::Postgres(db) => {
                let rows: Vec<NewImport> = rows.collect();
                diesel::insert_into(imports::table).values(rows).execute(db)?;
            }
        }
        Ok(())
    }
}
