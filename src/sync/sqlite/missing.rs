//! The records that no page of a sweep showed, noted with each page and removed at its end, in one
//! transaction with the watermark. By statements alone: it can be every row there is.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use serde_json::Value as Json;

use crate::sync::sink::Missing;
use crate::sync::sqlite::OneNumber;
use crate::sync::sqlite::table::Table;

/// Notes what is here and not on a page.
pub(super) fn note(
    db: &mut SqliteConnection,
    (model, table): (&str, &Table),
    missing: &Missing,
) -> QueryResult<()> {
    let here = format!("INSERT OR IGNORE INTO pawl_missing SELECT ?, id FROM \"{}\" WHERE", table.name());
    match missing {
        Missing::Unknown => {}
        Missing::AllBut { after, to, there } => {
            let which = "id > ? AND id <= ? AND id NOT IN (SELECT value FROM json_each(?))";
            sql_query(format!("{here} {which}"))
                .bind::<Text, _>(model)
                .bind::<BigInt, _>(after)
                .bind::<BigInt, _>(to)
                .bind::<Text, _>(list(there))
                .execute(db)?;
        }
        Missing::These(ids) => {
            sql_query(format!("{here} id IN (SELECT value FROM json_each(?))"))
                .bind::<Text, _>(model)
                .bind::<Text, _>(list(ids))
                .execute(db)?;
        }
    }
    Ok(())
}

/// The first `most` above `after`.
pub(super) fn some(db: &mut SqliteConnection, model: &str, after: i64, most: u32) -> QueryResult<Vec<i64>> {
    let noted: Vec<OneNumber> =
        sql_query("SELECT id AS number FROM pawl_missing WHERE model = ? AND id > ? ORDER BY id LIMIT ?")
            .bind::<Text, _>(model)
            .bind::<BigInt, _>(after)
            .bind::<BigInt, _>(i64::from(most))
            .load(db)?;
    Ok(noted.into_iter().map(|id| id.number).collect())
}

/// These are there.
pub(super) fn found(db: &mut SqliteConnection, model: &str, ids: &[i64]) -> QueryResult<()> {
    sql_query("DELETE FROM pawl_missing WHERE model = ? AND id IN (SELECT value FROM json_each(?))")
        .bind::<Text, _>(model)
        .bind::<Text, _>(list(ids))
        .execute(db)?;
    Ok(())
}

/// How many there are.
pub(super) fn count(db: &mut SqliteConnection, model: &str) -> QueryResult<u64> {
    let counted: OneNumber = sql_query("SELECT count(*) AS number FROM pawl_missing WHERE model = ?")
        .bind::<Text, _>(model)
        .get_result(db)?;
    Ok(u64::try_from(counted.number).unwrap_or(0))
}

/// Removes them. How many records.
pub(super) fn remove(db: &mut SqliteConnection, (model, table): (&str, &Table)) -> QueryResult<u64> {
    let which = "id IN (SELECT id FROM pawl_missing WHERE model = ?)";
    let removed = sql_query(format!("DELETE FROM \"{}\" WHERE {which}", table.name()))
        .bind::<Text, _>(model)
        .execute(db)?;
    forget(db, model)?;
    Ok(u64::try_from(removed).unwrap_or(0))
}

/// None is missing.
pub(super) fn forget(db: &mut SqliteConnection, model: &str) -> QueryResult<()> {
    sql_query("DELETE FROM pawl_missing WHERE model = ?").bind::<Text, _>(model).execute(db)?;
    Ok(())
}

fn list(ids: &[i64]) -> String {
    Json::from(ids).to_string()
}
