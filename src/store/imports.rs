//! Rows of other products' tables: many connections at once, and the ledger of what was moved in, which
//! outlives them.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
#[cfg(feature = "postgres")]
use diesel::sql_types::Array;
use diesel::sql_types::{Nullable, Text};

use crate::clock::Moment;
use crate::credential::Destination;
use crate::ids::{ConnectionId, SourceId};
use crate::store::connections::{NewConnection, NewRow};
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::keys::must_seal;
use crate::store::schema::{connections, imports};
use crate::store::tx::Tx;

/// What the ledger knows of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// As which connection it came in; the one that it is a duplicate of.
    pub connection: ConnectionId,
    /// How it came into the ledger.
    pub entry: Entry,
    /// Whose that connection is and where it leads, while it is there.
    pub there: Option<Place>,
}

/// How a row came into the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// As a connection of its own.
    Imported,
    /// Its user had one for that address.
    Duplicate,
}

impl Entry {
    fn as_str(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Duplicate => "duplicate",
        }
    }
}

/// A connection's user and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its user.
    pub user: String,
    /// Url, database and username.
    pub destination: Destination,
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Text)]
    source_id: String,
    #[diesel(sql_type = Text)]
    connection: String,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Nullable<Text>)]
    user_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    url: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    database: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    username: Option<String>,
}

impl Known {
    fn read(self) -> Result<(String, Imported), StoreError> {
        let damaged = || StoreError::Damaged("imports");
        let entries = [Entry::Imported, Entry::Duplicate];
        let entry = entries.into_iter().find(|entry| entry.as_str() == self.outcome).ok_or_else(damaged)?;
        let connection = ConnectionId::parse(&self.connection).map_err(|_| damaged())?;
        let destination = Destination { url: self.url, database: self.database, username: self.username };
        let there = self.user_id.map(|user| Place { user, destination });
        Ok((self.source_id, Imported { connection, entry, there }))
    }
}

/// A look into an index for each, whatever a plan that was made on empty tables takes for cheap: a list of ids
/// beside the org would read all of the org's.
#[cfg(feature = "postgres")]
const FIND_IMPORTS: &str = "
    SELECT wanted.id AS source_id, mine.connection_id AS connection, mine.outcome,
           its.user_id, its.url, its.database, its.username
    FROM unnest($3) AS wanted (id)
    CROSS JOIN LATERAL (
        SELECT connection_id, outcome FROM imports
        WHERE imports.org_id = $1 AND imports.source = $2 AND imports.source_id = wanted.id LIMIT 1) AS mine
    LEFT JOIN LATERAL (
        SELECT org_id, user_id, url, database, username FROM connections
        WHERE connections.id = mine.connection_id LIMIT 1) AS its ON its.org_id = $1";

/// Url, database and username.
type ThreeParts = (Option<String>, Option<String>, Option<String>);

#[derive(Insertable)]
#[diesel(table_name = imports)]
struct NewImport<'a> {
    org_id: &'a str,
    source: &'a str,
    source_id: &'a str,
    connection_id: &'a str,
    outcome: &'a str,
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
                    let row = imports::table.find((org, source, id.as_str()));
                    let row = row.select((imports::connection_id, imports::outcome));
                    let Some((connection, outcome)) = row.first::<(String, String)>(db).optional()? else {
                        continue;
                    };
                    let its = connections::table.find(&connection).select((
                        (connections::org_id, connections::user_id),
                        (connections::url, connections::database, connections::username),
                    ));
                    let its: Option<((String, String), ThreeParts)> = its.first(db).optional()?;
                    let its = its.filter(|((of, _), _)| of == org);
                    let (user_id, (url, database, username)) =
                        its.map_or((None, ThreeParts::default()), |((_, user), parts)| (Some(user), parts));
                    let source_id = id.to_string();
                    known.push(Known { source_id, connection, outcome, user_id, url, database, username });
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
        known.into_iter().map(Known::read).collect()
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

    /// Notes how rows of `source` came in, as these connections of the scope's org.
    pub fn insert_imports(
        &mut self,
        source: &str,
        rows: &[(&SourceId, ConnectionId, Entry)],
        at: Moment,
    ) -> Result<(), StoreError> {
        let org_id = self.scope.org().as_str();
        let rows = rows.iter().map(|(id, connection, entry)| NewImport {
            org_id,
            source,
            source_id: id.as_str(),
            connection_id: connection.as_str(),
            outcome: entry.as_str(),
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
