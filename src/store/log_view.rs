//! The log and whose chains there are, read as they lie there by who verifies them: nothing of it is believed.

use diesel::dsl::{max, min};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};

use crate::ids::LogId;
use crate::store::db::{Access, Db, each};
use crate::store::error::StoreError;
use crate::store::logs::{LogRow, find_logs};
use crate::store::schema::{audit_checkpoints, audit_leaves, audit_nodes, audit_witnesses};
use crate::store::scopes::{NarrowRole, Scopes};
use crate::store::trail::{ChainOf, ChainView};
use crate::store::tx::Store;

/// A node of a log.
pub struct RawNode {
    /// Its number in its level.
    pub idx: i64,
    /// Its hash.
    pub hash: Vec<u8>,
}

/// A leaf of an org, and the node that it is.
pub struct RawLeaf {
    /// Its number.
    pub idx: i64,
    /// The event that it speaks of.
    pub seq: i64,
    /// The hash of that event.
    pub head: Vec<u8>,
    /// Its hash; none where its node is gone.
    pub hash: Option<Vec<u8>>,
}

/// A checkpoint of a log.
pub struct RawCheckpoint {
    /// Over so many leaves.
    pub size: i64,
    /// The root.
    pub root: Vec<u8>,
    /// The signed note.
    pub note: String,
}

/// A table whose rows are each of a log.
#[derive(Clone, Copy, Debug)]
pub enum LogTable {
    /// `audit_leaves`.
    Leaves,
    /// `audit_nodes`.
    Nodes,
    /// `audit_checkpoints`.
    Checkpoints,
}

#[derive(QueryableByName)]
struct OrgRow {
    #[diesel(sql_type = Nullable<Text>)]
    org_id: Option<String>,
}

/// The whole trail as it was at one moment: the logs, and one chain after the other.
pub struct TrailView<'a> {
    db: &'a mut Db,
}

impl Store {
    /// Reads the logs and chains, all as they were at one moment. Blocks.
    pub fn view_trail<T>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut TrailView) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.upkeep_of(name, Access::Read, &Scopes::vault(), |tx| work(&mut TrailView { db: tx.db }))
    }
}

impl TrailView<'_> {
    /// Every log there ever was, oldest first.
    pub fn find_logs(&mut self) -> Result<Vec<LogRow>, StoreError> {
        self.db.look_at(&Scopes::vault())?;
        find_logs(self.db)
    }

    /// The next log after `after` that a witness has taken of, in the database's own order.
    pub fn find_taken_after(&mut self, after: &str) -> Result<Option<String>, StoreError> {
        self.db.look_at(&Scopes::vault())?;
        let of_later = audit_witnesses::table.filter(audit_witnesses::log_id.gt(after));
        Ok(of_later.select(min(audit_witnesses::log_id)).first(self.db)?)
    }

    /// Which witness has taken the most of `log`, and how many leaves.
    pub fn find_most_taken(&mut self, log: &LogId) -> Result<Option<(String, i64)>, StoreError> {
        self.db.look_at(&Scopes::vault())?;
        let of_log = audit_witnesses::table.filter(audit_witnesses::log_id.eq(log.as_str()));
        let most = of_log.order((audit_witnesses::size.desc(), audit_witnesses::witness.asc()));
        Ok(most.select((audit_witnesses::witness, audit_witnesses::size)).first(self.db).optional()?)
    }

    /// Reads of the logs what who grows them sees: no event.
    pub fn log<T>(
        &mut self,
        work: impl FnOnce(&mut LogView) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.db.become_role(NarrowRole::Log)?;
        let done = work(&mut LogView { db: self.db })?;
        self.db.leave_role()?;
        Ok(done)
    }

    /// Reads one chain.
    pub fn chain<T>(
        &mut self,
        of: &ChainOf,
        work: impl FnOnce(&mut ChainView) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (scopes, org) = of.scopes();
        self.db.look_at(&scopes)?;
        work(&mut ChainView { db: self.db, org })
    }
}

/// The logs in an open transaction, and whose chains there are.
pub struct LogView<'a> {
    db: &'a mut Db,
}

impl LogView<'_> {
    /// The next org after `after` of which there is an event, a leaf or a row, in the database's own order.
    pub fn find_org_after(&mut self, after: &str) -> Result<Option<String>, StoreError> {
        let [a, b, c] = match self.db {
            Db::Sqlite(_) => ["?", "?", "?"],
            #[cfg(feature = "postgres")]
            Db::Postgres(_) => ["$1", "$2", "$3"],
        };
        let text = format!(
            "SELECT min(org_id) AS org_id FROM (
                SELECT min(org_id) AS org_id FROM audit_chains WHERE org_id > {a}
                UNION ALL SELECT min(org_id) FROM audit_events WHERE org_id > {b}
                UNION ALL SELECT min(org_id) FROM audit_leaves WHERE org_id > {c}) AS first_of_each"
        );
        let row: OrgRow = each!(self.db, db => {
            let asked = diesel::sql_query(text).bind::<Text, _>(after).bind::<Text, _>(after);
            asked.bind::<Text, _>(after).get_result(db)?
        });
        Ok(row.org_id)
    }

    /// The next log after `after` of which `table` has a row, in the database's own order.
    pub fn find_log_after(&mut self, table: LogTable, after: &str) -> Result<Option<String>, StoreError> {
        Ok(match table {
            LogTable::Leaves => audit_leaves::table
                .filter(audit_leaves::log_id.gt(after))
                .select(min(audit_leaves::log_id))
                .first(self.db)?,
            LogTable::Nodes => audit_nodes::table
                .filter(audit_nodes::log_id.gt(after))
                .select(min(audit_nodes::log_id))
                .first(self.db)?,
            LogTable::Checkpoints => audit_checkpoints::table
                .filter(audit_checkpoints::log_id.gt(after))
                .select(min(audit_checkpoints::log_id))
                .first(self.db)?,
        })
    }

    /// The lowest level of the log's nodes, and the highest.
    pub fn find_levels(&mut self, log: &LogId) -> Result<Option<(i64, i64)>, StoreError> {
        let of_log = || audit_nodes::table.filter(audit_nodes::log_id.eq(log.as_str()));
        // Two looks into the index; asked for in one it would be read through.
        let lowest: Option<i64> = of_log().select(min(audit_nodes::level)).first(self.db)?;
        let highest: Option<i64> = of_log().select(max(audit_nodes::level)).first(self.db)?;
        Ok(lowest.zip(highest))
    }

    /// Of how many leaves it is known whose they are.
    pub fn count_leaves(&mut self, log: &LogId) -> Result<u64, StoreError> {
        let known = audit_leaves::table.filter(audit_leaves::log_id.eq(log.as_str()));
        let count: i64 = known.count().get_result(self.db)?;
        u64::try_from(count).map_err(|_| StoreError::Damaged("audit_leaves"))
    }

    /// Nodes of a level from number `from` on, at most `limit`.
    pub fn find_level(
        &mut self,
        log: &LogId,
        level: i64,
        (from, limit): (i64, i64),
    ) -> Result<Vec<RawNode>, StoreError> {
        let rows: Vec<(i64, Vec<u8>)> = audit_nodes::table
            .filter(audit_nodes::log_id.eq(log.as_str()))
            .filter(audit_nodes::level.eq(level))
            .filter(audit_nodes::idx.ge(from))
            .order(audit_nodes::idx.asc())
            .limit(limit)
            .select((audit_nodes::idx, audit_nodes::hash))
            .load(self.db)?;
        Ok(rows.into_iter().map(|(idx, hash)| RawNode { idx, hash }).collect())
    }

    /// Checkpoints over more than `size` leaves, smallest first, at most `limit`.
    pub fn find_checkpoints(
        &mut self,
        log: &LogId,
        (size, limit): (i64, i64),
    ) -> Result<Vec<RawCheckpoint>, StoreError> {
        let rows: Vec<(i64, Vec<u8>, String)> = audit_checkpoints::table
            .filter(audit_checkpoints::log_id.eq(log.as_str()))
            .filter(audit_checkpoints::size.gt(size))
            .order(audit_checkpoints::size.asc())
            .limit(limit)
            .select((audit_checkpoints::size, audit_checkpoints::root, audit_checkpoints::note))
            .load(self.db)?;
        Ok(rows.into_iter().map(|(size, root, note)| RawCheckpoint { size, root, note }).collect())
    }
}

impl ChainView<'_> {
    /// Leaves of the chain in a log behind that of event and number `after`, at most `limit`.
    pub fn find_leaves(
        &mut self,
        log: &LogId,
        (after, limit): ((i64, i64), i64),
    ) -> Result<Vec<RawLeaf>, StoreError> {
        type Row = (i64, i64, Vec<u8>, Option<Vec<u8>>);
        let rows: Vec<Row> = audit_leaves::table
            .left_join(
                audit_nodes::table.on(audit_nodes::log_id
                    .eq(audit_leaves::log_id)
                    .and(audit_nodes::level.eq(0))
                    .and(audit_nodes::idx.eq(audit_leaves::idx))),
            )
            .filter(audit_leaves::org_id.eq(self.org))
            .filter(audit_leaves::log_id.eq(log.as_str()))
            .filter(audit_leaves::seq.ge(after.0))
            .filter(audit_leaves::seq.gt(after.0).or(audit_leaves::idx.gt(after.1)))
            .order((audit_leaves::seq.asc(), audit_leaves::idx.asc()))
            .limit(limit)
            .select((audit_leaves::idx, audit_leaves::seq, audit_leaves::head, audit_nodes::hash.nullable()))
            .load(self.db)?;
        Ok(rows.into_iter().map(|(idx, seq, head, hash)| RawLeaf { idx, seq, head, hash }).collect())
    }
}
