//! The pull of one model as the sink sees it: a page and how far the sweep is are one transaction, and
//! only a sweep that saw everything removes what it did not see.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::clock::Moment;
use crate::odoo::{Fields, Record};
use crate::sync::sqlite_sink::{Run, Sink, SinkError, signed};
use crate::sync::table::Table;

/// How far the pull of one model is.
pub struct Sweep {
    number: i64,
    table: Table,
    /// The highest id that is in the sink.
    pub last_id: i64,
    /// How many records so far.
    pub records: u64,
    /// Whether all of the model is in.
    pub is_done: bool,
}

/// What the pull of one model did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Records found.
    pub records: u64,
    /// Of these, new or changed.
    pub changed: u64,
    /// Records that are gone.
    pub removed: u64,
}

/// A sweep that stood still for longer begins anew: what it saw first may have changed since.
const FRESH: Duration = Duration::from_secs(900);

#[derive(QueryableByName)]
struct SweepRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    last_id: i64,
    #[diesel(sql_type = BigInt)]
    records: i64,
    #[diesel(sql_type = BigInt)]
    moved_at: i64,
    #[diesel(sql_type = Nullable<Text>)]
    done_at: Option<String>,
}

#[derive(QueryableByName)]
struct SweptRow {
    #[diesel(sql_type = BigInt)]
    records: i64,
    #[diesel(sql_type = BigInt)]
    changed: i64,
    #[diesel(sql_type = BigInt)]
    removed: i64,
}

impl Sink {
    /// Goes on with the run's sweep of a model, or begins it.
    pub fn begin_sweep(&mut self, run: &Run, fields: &Fields, now: Moment) -> Result<Sweep, SinkError> {
        let table = Table::of(fields);
        let model = fields.model().name();
        self.db.immediate_transaction(|db| {
            table.prepare(db)?;
            let row: Option<SweepRow> = sql_query(
                "SELECT number, last_id, records, moved_at, done_at FROM pawl_sweep \
                 WHERE run_id = ? AND model = ? ORDER BY number DESC",
            )
            .bind::<Text, _>(run.id.as_str())
            .bind::<Text, _>(model)
            .get_result(db)
            .optional()?;
            let fresh = row.filter(|row| now.since(Moment::from_micros(row.moved_at)) <= FRESH);
            let row = match fresh {
                Some(row) => row,
                None => sql_query(
                    "INSERT INTO pawl_sweep (run_id, model, moved_at) VALUES (?, ?, ?) \
                     RETURNING number, last_id, records, moved_at, done_at",
                )
                .bind::<Text, _>(run.id.as_str())
                .bind::<Text, _>(model)
                .bind::<BigInt, _>(now.micros())
                .get_result(db)?,
            };
            Ok(Sweep {
                number: row.number,
                table,
                last_id: row.last_id,
                records: unsigned(row.records),
                is_done: row.done_at.is_some(),
            })
        })
    }

    /// Writes a page and moves the sweep past it, together.
    pub fn write_page(&mut self, sweep: &mut Sweep, page: Vec<Record>, now: Moment) -> Result<(), SinkError> {
        let last_id = page.last().map_or(sweep.last_id, |record| record.id);
        let records = sweep.records + u64::try_from(page.len()).unwrap_or(u64::MAX);
        self.db.immediate_transaction(|db| {
            for record in page {
                sweep.table.write(db, record, sweep.number)?;
            }
            sql_query("UPDATE pawl_sweep SET last_id = ?, records = ?, moved_at = ? WHERE number = ?")
                .bind::<BigInt, _>(last_id)
                .bind::<BigInt, _>(signed(records))
                .bind::<BigInt, _>(now.micros())
                .bind::<BigInt, _>(sweep.number)
                .execute(db)
        })?;
        (sweep.last_id, sweep.records) = (last_id, records);
        Ok(())
    }

    /// The whole model was seen: what was not is removed, together with the note that it is done.
    pub fn end_sweep(&mut self, sweep: &mut Sweep, now: Moment) -> Result<Swept, SinkError> {
        let number = sweep.number;
        let row: SweptRow = self.db.immediate_transaction(|db| {
            if !sweep.is_done {
                let removed = sweep.table.remove_unseen(db, number)?;
                let changed = sweep.table.count_changed(db, number)?;
                sql_query("UPDATE pawl_sweep SET changed = ?, removed = ?, done_at = ? WHERE number = ?")
                    .bind::<BigInt, _>(changed)
                    .bind::<BigInt, _>(i64::try_from(removed).unwrap_or(i64::MAX))
                    .bind::<Text, _>(now.to_string())
                    .bind::<BigInt, _>(number)
                    .execute(db)?;
            }
            sql_query(
                "SELECT records, coalesce(changed, 0) AS changed, coalesce(removed, 0) AS removed \
                 FROM pawl_sweep WHERE number = ?",
            )
            .bind::<BigInt, _>(number)
            .get_result(db)
        })?;
        sweep.is_done = true;
        Ok(Swept {
            records: unsigned(row.records),
            changed: unsigned(row.changed),
            removed: unsigned(row.removed),
        })
    }
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
