//! How far each reseal has come, for whoever watches it from another process.

use diesel::prelude::*;

use crate::clock::Moment;
use crate::ids::{IdRefused, KeyId, ResealId};
use crate::store::error::StoreError;
use crate::store::schema::reseals;
use crate::store::upkeep::Upkeep;

/// One reseal.
#[derive(Clone)]
pub struct ResealRun {
    /// Its id.
    pub id: ResealId,
    /// The key that values are put under.
    pub key: KeyId,
    /// When it began.
    pub started_at: Moment,
    /// When it was last heard of.
    pub updated_at: Moment,
    /// When it ended, and whether all of it was done.
    pub ended: Option<(Moment, bool)>,
    /// Values that were under another key when it began.
    pub total: i64,
    /// Values put under the key, so far.
    pub moved: i64,
    /// Values that do not open.
    pub shut: i64,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = reseals)]
struct Columns {
    id: String,
    key_id: String,
    started_at: i64,
    updated_at: i64,
    ended_at: Option<i64>,
    outcome: Option<String>,
    total: i64,
    moved: i64,
    shut: i64,
}

impl Columns {
    fn parse(self) -> Result<ResealRun, IdRefused> {
        let is_done = self.outcome.as_deref() == Some("done");
        Ok(ResealRun {
            id: ResealId::parse(&self.id)?,
            key: KeyId::parse(&self.key_id)?,
            started_at: Moment::from_micros(self.started_at),
            updated_at: Moment::from_micros(self.updated_at),
            ended: self.ended_at.map(|at| (Moment::from_micros(at), is_done)),
            total: self.total,
            moved: self.moved,
            shut: self.shut,
        })
    }
}

impl From<&ResealRun> for Columns {
    fn from(run: &ResealRun) -> Self {
        Self {
            id: run.id.to_string(),
            key_id: run.key.to_string(),
            started_at: run.started_at.micros(),
            updated_at: run.updated_at.micros(),
            ended_at: run.ended.map(|(at, _)| at.micros()),
            outcome: run.ended.map(|(_, is_done)| if is_done { "done" } else { "failed" }.into()),
            total: run.total,
            moved: run.moved,
            shut: run.shut,
        }
    }
}

impl Upkeep<'_> {
    /// The reseal that began last.
    pub fn find_last_reseal(&mut self) -> Result<Option<ResealRun>, StoreError> {
        let row: Option<Columns> = reseals::table
            .order((reseals::started_at.desc(), reseals::id.desc()))
            .select(Columns::as_select())
            .first(self.db)
            .optional()?;
        row.map(Columns::parse).transpose().map_err(|_| StoreError::Damaged("reseals"))
    }

    /// Notes that one begins.
    pub fn insert_reseal(&mut self, run: &ResealRun) -> Result<(), StoreError> {
        diesel::insert_into(reseals::table).values(Columns::from(run)).execute(self.db)?;
        Ok(())
    }

    /// Notes how far it is.
    pub fn update_reseal(&mut self, run: &ResealRun) -> Result<(), StoreError> {
        let Columns { updated_at, ended_at, outcome, total, moved, shut, .. } = Columns::from(run);
        diesel::update(reseals::table.find(run.id.as_str()))
            .set((
                reseals::updated_at.eq(updated_at),
                reseals::ended_at.eq(ended_at),
                reseals::outcome.eq(outcome),
                reseals::total.eq(total),
                reseals::moved.eq(moved),
                reseals::shut.eq(shut),
            ))
            .execute(self.db)?;
        Ok(())
    }
}
