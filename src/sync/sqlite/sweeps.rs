//! What the file keeps of sweeps: how far one is, and the watermark that the last whole one left.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;

use crate::clock::Moment;
use crate::sync::sink::{Known, SinkError};
use crate::sync::sqlite::signed;
use crate::sync::stamp::Stamp;
use crate::sync::sweep::{Count, Pass, Place, Sweep};

#[derive(QueryableByName)]
struct SweepRow {
    #[diesel(sql_type = Text)]
    began_at: String,
    #[diesel(sql_type = Nullable<Text>)]
    newest: Option<String>,
    #[diesel(sql_type = Text)]
    pass: String,
    #[diesel(sql_type = Nullable<Text>)]
    since: Option<String>,
    #[diesel(sql_type = BigInt)]
    last_id: i64,
    #[diesel(sql_type = BigInt)]
    read: i64,
    #[diesel(sql_type = BigInt)]
    changed: i64,
    #[diesel(sql_type = BigInt)]
    removed: i64,
}

#[derive(QueryableByName)]
struct WatermarkRow {
    #[diesel(sql_type = Nullable<Text>)]
    watermark: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    whole_at: Option<String>,
}

/// What is known of a model. A note that can't be read is one that is not there: then all is read.
pub(super) fn known(db: &mut SqliteConnection, model: &str) -> Result<Known, SinkError> {
    let sweep: Option<SweepRow> = sql_query(
        "SELECT began_at, newest, pass, since, last_id, read, changed, removed FROM pawl_sweep \
         WHERE model = ?",
    )
    .bind::<Text, _>(model)
    .get_result(db)
    .optional()?;
    let watermark: Option<WatermarkRow> =
        sql_query("SELECT watermark, whole_at FROM pawl_watermark WHERE model = ?")
            .bind::<Text, _>(model)
            .get_result(db)
            .optional()?;
    let (watermark, whole_at) = watermark.map_or((None, None), |row| (row.watermark, row.whole_at));
    Ok(Known {
        unfinished: sweep.and_then(|row| row.sweep(model)),
        watermark: watermark.as_deref().and_then(Stamp::parse),
        whole_at: whole_at.as_deref().and_then(Moment::parse),
    })
}

/// Nothing is known of the model from now on.
pub(super) fn forget(db: &mut SqliteConnection, model: &str) -> QueryResult<()> {
    for table in ["pawl_sweep", "pawl_watermark", "pawl_missing"] {
        sql_query(format!("DELETE FROM {table} WHERE model = ?")).bind::<Text, _>(model).execute(db)?;
    }
    Ok(())
}

pub(super) fn begin(db: &mut SqliteConnection, sweep: &Sweep) -> Result<(), SinkError> {
    let (pass, since) = pass_text(sweep.place.pass);
    sql_query(
        "INSERT OR REPLACE INTO pawl_sweep \
         (model, began_at, newest, pass, since, last_id, read, changed, removed) \
         VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0)",
    )
    .bind::<Text, _>(&sweep.model)
    .bind::<Text, _>(sweep.began_at.to_string())
    .bind::<Nullable<Text>, _>(sweep.newest.map(|stamp| stamp.to_string()))
    .bind::<Text, _>(pass)
    .bind::<Nullable<Text>, _>(since)
    .bind::<BigInt, _>(sweep.place.last_id)
    .execute(db)?;
    Ok(())
}

/// How far it is.
pub(super) fn note(db: &mut SqliteConnection, sweep: &Sweep) -> Result<(), SinkError> {
    let (pass, since) = pass_text(sweep.place.pass);
    let noted = sql_query(
        "UPDATE pawl_sweep SET pass = ?, since = ?, last_id = ?, read = ?, changed = ?, removed = ? \
         WHERE model = ?",
    )
    .bind::<Text, _>(pass)
    .bind::<Nullable<Text>, _>(since)
    .bind::<BigInt, _>(sweep.place.last_id)
    .bind::<BigInt, _>(signed(sweep.count.read))
    .bind::<BigInt, _>(signed(sweep.count.changed))
    .bind::<BigInt, _>(signed(sweep.count.removed))
    .bind::<Text, _>(&sweep.model)
    .execute(db)?;
    if noted == 1 { Ok(()) } else { Err(SinkError::Database("the note of a sweep is gone")) }
}

/// Its `newest` is the watermark now.
pub(super) fn end(db: &mut SqliteConnection, sweep: &Sweep) -> Result<(), SinkError> {
    let whole_at = (sweep.place.pass == Pass::Whole).then(|| sweep.began_at.to_string());
    sql_query(
        "INSERT INTO pawl_watermark AS old (model, watermark, whole_at) VALUES (?, ?, ?) \
         ON CONFLICT (model) DO UPDATE SET watermark = excluded.watermark, \
         whole_at = coalesce(excluded.whole_at, old.whole_at)",
    )
    .bind::<Text, _>(&sweep.model)
    .bind::<Nullable<Text>, _>(sweep.newest.map(|stamp| stamp.to_string()))
    .bind::<Nullable<Text>, _>(whole_at)
    .execute(db)?;
    sql_query("DELETE FROM pawl_sweep WHERE model = ?").bind::<Text, _>(&sweep.model).execute(db)?;
    Ok(())
}

fn pass_text(pass: Pass) -> (&'static str, Option<String>) {
    match pass {
        Pass::Whole => ("whole", None),
        Pass::Changed { since } => ("changed", Some(since.to_string())),
        Pass::Listed => ("listed", None),
    }
}

impl SweepRow {
    fn sweep(self, model: &str) -> Option<Sweep> {
        let pass = match (self.pass.as_str(), self.since) {
            ("whole", None) => Pass::Whole,
            ("changed", Some(since)) => Pass::Changed { since: Stamp::parse(&since)? },
            ("listed", None) => Pass::Listed,
            _ => return None,
        };
        let count = |number| u64::try_from(number).ok();
        let count =
            Count { read: count(self.read)?, changed: count(self.changed)?, removed: count(self.removed)? };
        let newest = match self.newest {
            Some(newest) => Some(Stamp::parse(&newest)?),
            None => None,
        };
        let place = Place { pass, last_id: self.last_id };
        Some(Sweep {
            model: model.to_owned(),
            began_at: Moment::parse(&self.began_at)?,
            newest,
            place,
            count,
        })
    }
}
