//! The trail, read: pages from the newest on, stretches from the oldest on. What is read stays as it is stored; a
//! look through many events takes so many and no more.

use std::time::Instant;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use crate::access::Scope;
use crate::audit::{GENESIS, Glance, Hash};
use crate::clock::Moment;
use crate::store::db::{Access, Db, each};
use crate::store::error::StoreError;
use crate::store::proofs::OrgProof;
use crate::store::schema::{audit_chains, audit_events};
use crate::store::scopes::Scopes;
use crate::store::tx::{Store, Tx};

/// One event as it lies there, of which nothing is believed.
#[derive(Clone, Debug, QueryableByName)]
pub struct RawEvent {
    /// Its number.
    #[diesel(sql_type = BigInt)]
    pub seq: i64,
    /// Its bytes.
    #[diesel(sql_type = Binary)]
    pub event: Vec<u8>,
    /// The hash of the one before.
    #[diesel(sql_type = Binary)]
    pub prev_hash: Vec<u8>,
    /// Its own hash.
    #[diesel(sql_type = Binary)]
    pub hash: Vec<u8>,
}

/// What becomes of an event that a search has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// It is one of them.
    Taken,
    /// It is none.
    Passed,
    /// It is none, and so are all before it.
    Last,
}

/// What a search found.
pub struct Page {
    /// Newest first.
    pub items: Vec<RawEvent>,
    /// It goes on with the events before this number; `None` where nothing is left.
    pub before: Option<i64>,
}

/// A piece of a chain without gaps, and what proves it.
pub struct Stretch {
    /// The number of its first event.
    pub first: i64,
    /// The number of its last: one less where there is none.
    pub last: i64,
    /// The hash that its first event follows.
    pub prev_hash: Hash,
    /// What the log says of the chain; none before its first checkpoint.
    pub proof: Option<OrgProof>,
}

/// So many events are loaded at once.
const STEP: i64 = 1_000;
/// So many are loaded to find one with a time to go by.
const PIVOTS: i64 = 8;
/// So many are looked at for one page.
const MOST_LOOKED_AT: i64 = 20_000;

/// Which chain a command on the host reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainOf {
    /// An org's.
    Org(Scope),
    /// The vault's own.
    Vault,
}

impl ChainOf {
    /// The rows that it takes, and as whose they lie there.
    pub(super) fn scopes(&self) -> (Scopes, &str) {
        match self {
            Self::Org(scope) => (Scopes::from(scope), scope.org().as_str()),
            Self::Vault => (Scopes::vault(), ""),
        }
    }
}

/// One chain in an open transaction, to be read.
pub struct ChainView<'a> {
    pub(super) db: &'a mut Db,
    pub(super) org: &'a str,
}

impl Store {
    /// Reads one chain on the host, all as it was at one moment. Blocks.
    pub fn view_chain<T>(
        &self,
        name: &'static str,
        chain: &ChainOf,
        work: impl FnOnce(&mut ChainView) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (scopes, org) = chain.scopes();
        self.upkeep_of(name, Access::Read, &scopes, |tx| work(&mut ChainView { db: tx.db, org }))
    }
}

impl Tx<'_> {
    /// The chain of the scope's org.
    pub fn chain(&mut self) -> ChainView<'_> {
        ChainView { db: self.db, org: self.scope.org().as_str() }
    }
}

impl ChainView<'_> {
    /// Looks from the newest event before number `before` on, until `limit` of those that `judge` takes are found, so
    /// many were looked at, or `until` has come. Of all that are taken each is found, on this page or a later one.
    pub fn search(
        &mut self,
        (before, limit): (Option<i64>, usize),
        until: Instant,
        judge: &dyn Fn(&[u8]) -> Sought,
        step: Option<i64>,
    ) -> Result<Page, StoreError> {
        let (mut before, mut items, mut looked_at) = (before.unwrap_or(i64::MAX), Vec::new(), 0);
        let (pruned, step) = (self.find_pruned()?, step.unwrap_or(STEP));
        loop {
            let rows = self.find_between(pruned, before, step)?;
            let is_end = i64::try_from(rows.len()).unwrap_or(step) < step;
            for row in rows {
                match judge(&row.event) {
                    Sought::Last => return Ok(Page { items, before: None }),
                    Sought::Taken if items.len() == limit => {
                        return Ok(Page { items, before: Some(before) });
                    }
                    Sought::Taken => {
                        before = row.seq;
                        items.push(row);
                    }
                    Sought::Passed => before = row.seq,
                }
                looked_at += 1;
            }
            if is_end {
                return Ok(Page { items, before: None });
            }
            if looked_at >= MOST_LOOKED_AT || Instant::now() >= until {
                return Ok(Page { items, before: Some(before) });
            }
        }
    }

    /// Up to which event nothing is kept any more: what still lies there, or was put there, follows nothing.
    fn find_pruned(&mut self) -> Result<i64, StoreError> {
        let row = audit_chains::table.find(self.org).select(audit_chains::pruned_seq);
        Ok(row.first(self.db).optional()?.unwrap_or(0))
    }

    fn find_between(&mut self, after: i64, before: i64, limit: i64) -> Result<Vec<RawEvent>, StoreError> {
        self.find_rows("seq > {a} AND seq < {b} ORDER BY seq DESC", (after, before), limit)
    }

    /// Events after number `after` up to `upto`, oldest first, at most `limit`, as they lie there.
    pub fn find_raw(&mut self, after: i64, upto: i64, limit: i64) -> Result<Vec<RawEvent>, StoreError> {
        self.find_rows("seq > {a} AND seq <= {b} ORDER BY seq", (after, upto), limit)
    }

    /// Bytes, whatever was put in the place of a text.
    fn find_rows(
        &mut self,
        which: &str,
        (a, b): (i64, i64),
        limit: i64,
    ) -> Result<Vec<RawEvent>, StoreError> {
        let (event, [org, first, second, most]) = match self.db {
            Db::Sqlite(_) => ("CAST(event AS BLOB)", ["?", "?", "?", "?"]),
            #[cfg(feature = "postgres")]
            Db::Postgres(_) => ("convert_to(event, 'UTF8')", ["$1", "$2", "$3", "$4"]),
        };
        let which = which.replace("{a}", first).replace("{b}", second);
        let text = format!(
            "SELECT seq, {event} AS event, prev_hash, hash FROM audit_events
             WHERE org_id = {org} AND {which} LIMIT {most}"
        );
        let rows = each!(self.db, db => {
            let asked = diesel::sql_query(text).bind::<Text, _>(self.org).bind::<BigInt, _>(a);
            asked.bind::<BigInt, _>(b).bind::<BigInt, _>(limit).load(db)?
        });
        Ok(rows)
    }

    /// The numbers of the first and the last event past the boundary; `None` where there is none.
    pub fn find_ends(&mut self) -> Result<Option<(i64, i64)>, StoreError> {
        let pruned = self.find_pruned()?;
        let all = || {
            let of_org = audit_events::table.filter(audit_events::org_id.eq(self.org));
            of_org.filter(audit_events::seq.gt(pruned)).select(audit_events::seq)
        };
        let first: Option<i64> = all().order(audit_events::seq.asc()).first(self.db).optional()?;
        let last: Option<i64> = all().order(audit_events::seq.desc()).first(self.db).optional()?;
        Ok(first.zip(last))
    }

    /// Up to which event nothing is kept any more, and its hash; and the chain's salt. `None`: no row says it.
    pub fn find_boundary(&mut self) -> Result<Option<Boundary>, StoreError> {
        let row: Option<(i64, Vec<u8>, Vec<u8>)> = audit_chains::table
            .find(self.org)
            .select((audit_chains::pruned_seq, audit_chains::pruned_hash, audit_chains::salt))
            .first(self.db)
            .optional()?;
        let damaged = StoreError::Damaged("audit_chains");
        row.map(|(seq, hash, salt)| {
            let hash = Hash::from_bytes(&hash).ok_or(damaged.clone())?;
            Ok(Boundary { seq, hash, salt: salt.try_into().map_err(|_| damaged)? })
        })
        .transpose()
    }

    /// The first event of which its own time says that it was after `at`; the one after the last where none was.
    /// Times in a chain are only nearly in order: of the events before it some may be later than `at`, by as much as
    /// clocks and waits differ.
    pub fn find_first_after(&mut self, at: Moment) -> Result<i64, StoreError> {
        let Some((mut low, last)) = self.find_ends()? else { return Ok(1) };
        let mut high = last.saturating_add(1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.find_timed(middle - 1, high - 1)? {
                Some((seq, time)) if time <= at => low = seq + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The number and the time of the first event after number `after` up to `upto` that was recorded about then: not of
    /// what was counted, nor of what can't be read.
    fn find_timed(&mut self, mut after: i64, upto: i64) -> Result<Option<(i64, Moment)>, StoreError> {
        loop {
            let rows = self.find_raw(after, upto, PIVOTS)?;
            let Some(last) = rows.last() else { return Ok(None) };
            after = last.seq;
            let timed = |row: &RawEvent| {
                let glance = Glance::at(&row.event).filter(|glance| !glance.is_count())?;
                Some((row.seq, glance.time()?))
            };
            if let Some(found) = rows.iter().find_map(timed) {
                return Ok(Some(found));
            }
        }
    }

    /// The hash that event `first` follows.
    pub fn find_head_before(&mut self, first: i64) -> Result<Hash, StoreError> {
        if let Some(boundary) = self.find_boundary()?.filter(|boundary| boundary.seq == first - 1) {
            return Ok(boundary.hash);
        }
        match self.find_raw(first - 2, first - 1, 1)?.pop() {
            Some(row) => Hash::from_bytes(&row.hash).ok_or(StoreError::Damaged("audit_events")),
            None => Ok(GENESIS),
        }
    }
}

/// Where a chain begins, and what its leaves are salted with.
#[derive(Clone, Debug)]
pub struct Boundary {
    /// The number of the last event that was let go of; 0 where none was.
    pub seq: i64,
    /// Its hash.
    pub hash: Hash,
    /// The chain's salt.
    pub salt: [u8; 32],
}

impl Tx<'_> {
    /// The events of the time from `from` to `to`, neighbours of as much as `slack` with them; where it has an end,
    /// as far as the next one that the log knows. With the proof of the log from `since` leaves on.
    pub fn find_stretch(
        &mut self,
        (from, to): (Option<Moment>, Option<Moment>),
        slack: std::time::Duration,
        since: Option<u64>,
    ) -> Result<Stretch, StoreError> {
        let mut chain = self.chain();
        let (lowest, highest) = chain.find_ends()?.unwrap_or((1, 0));
        let first = match from {
            Some(from) => chain.find_first_after(from.before(slack))?,
            None => lowest,
        };
        let until = match to {
            Some(to) => (chain.find_first_after(to.after(slack))? - 1).max(first - 1),
            None => highest,
        };
        let prev_hash = chain.find_head_before(first)?;
        let proof = self.find_proof_from(to.map(|_| until), since)?;
        let known = proof.as_ref().and_then(|proof| proof.leaf.as_ref()).map_or(until, |leaf| leaf.seq);
        let last = if to.is_some() && until >= first { until.max(known.min(highest)) } else { until };
        Ok(Stretch { first, last, prev_hash, proof })
    }
}
