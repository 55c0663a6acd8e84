//! How long an org's events are kept, and letting go of those that are past it: from the beginning of the chain up to
//! a boundary that the log has a leaf of, so that what is left verifies from there. The newest event always stays.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::*;

use crate::audit::{AuditEvent, Hash, link, member};
use crate::clock::Moment;
use crate::ids::OrgId;
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::events::append;
use crate::store::schema::{audit_chains, audit_checkpoints, audit_events, audit_leaves, org_settings};
use crate::store::scopes::{NarrowRole, Scopes};
use crate::store::tx::{Store, Tx};

const DEFAULT_DAYS: i64 = 365;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How many events one transaction lets go of: a lend of the org waits for no more than that.
const AT_ONCE: i64 = 500;
/// How many chains one look takes: a look holds SQLite's log back.
const CHAINS: i64 = 200;

/// For how many days an org's events are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Now.
    pub days: i64,
    /// The shorter time that was asked for, and from when on it counts.
    pub next: Option<(i64, Moment)>,
}

impl Retention {
    fn of(days: Option<i64>, next: Option<(i64, Moment)>, at: Moment) -> Self {
        match next {
            Some((days, from)) if from <= at => Self { days, next: None },
            next => Self { days: days.unwrap_or(DEFAULT_DAYS), next },
        }
    }

    /// With `days` asked for at `at`: a shorter time counts only when the one that was promised is over.
    #[must_use]
    pub fn asked(self, days: i64, at: Moment) -> Self {
        match self.next {
            _ if days >= self.days => Self { days, next: None },
            Some((next, _)) if next == days => self,
            _ => Self { next: Some((days, at.after(whole_days(self.days)))), ..self },
        }
    }

    /// What was logged before then is past its time.
    fn cutoff(self, now: Moment) -> Moment {
        now.before(whole_days(self.days))
    }
}

/// A few decades at most.
fn whole_days(days: i64) -> Duration {
    DAY * u32::try_from(days).unwrap_or(u32::MAX)
}

/// A chain's events up to `seq` are past their time.
#[derive(Clone, Debug)]
pub struct PastRetention {
    /// Whose chain; `None`: the vault's own.
    pub org: Option<OrgId>,
    /// The first that goes.
    pub first: i64,
    /// The last that goes.
    pub seq: i64,
    /// Its hash.
    pub hash: Hash,
    /// When it was taken to be past it.
    now: Moment,
    cutoff: Moment,
}

type SettingsRow = (Option<i64>, Option<i64>, Option<i64>);

impl Tx<'_> {
    /// How long the scope's org keeps its events.
    pub fn find_retention(&mut self, at: Moment) -> Result<Retention, StoreError> {
        find(self.db, self.scope.org().as_str(), at)
    }

    /// Keeps them so long from now on.
    pub fn set_retention(&mut self, retention: Retention, at: Moment) -> Result<(), StoreError> {
        let org = self.scope.org().as_str();
        let (next, from) = retention.next.unzip();
        let row = (
            org_settings::retention_days.eq(Some(retention.days)),
            org_settings::next_retention_days.eq(next),
            org_settings::next_retention_from.eq(from.map(Moment::micros)),
            org_settings::updated_at.eq(at.micros()),
        );
        // Nobody else makes it: the transaction holds the org's chain.
        if diesel::update(org_settings::table.find(org)).set(row).execute(self.db)? == 0 {
            diesel::insert_into(org_settings::table)
                .values((org_settings::org_id.eq(org), row))
                .execute(self.db)?;
        }
        Ok(())
    }
}

impl Store {
    /// Of the chains after that of `after`, in order of their orgs: those that have events past their time, and the
    /// last that was looked at; `None` when there are no more. A chain that can't be read is stepped over.
    pub async fn find_past_retention(
        &self,
        after: Option<String>,
        at: Moment,
        deadline: Duration,
    ) -> Result<(Vec<PastRetention>, Option<String>), StoreError> {
        self.transact("look for old events", Access::Read, Scopes::vault(), deadline, move |db, _| {
            db.become_role(NarrowRole::Prune)?;
            let mut chains = audit_chains::table.into_boxed();
            if let Some(after) = after {
                chains = chains.filter(audit_chains::org_id.gt(after));
            }
            let chains: Vec<(String, i64)> = chains
                .order(audit_chains::org_id.asc())
                .limit(CHAINS)
                .select((audit_chains::org_id, audit_chains::pruned_seq))
                .load(db)?;
            let is_last = i64::try_from(chains.len()).unwrap_or(CHAINS) < CHAINS;
            let last = chains.last().map(|(org, _)| org.clone()).filter(|_| !is_last);
            let Some(mut times) = Times::find(db, at)? else { return Ok((Vec::new(), None)) };
            let mut found = Vec::new();
            for (org, pruned) in chains {
                match find_past(db, &org, pruned, &mut times) {
                    Ok(past) => found.extend(past),
                    Err(StoreError::Damaged(table)) => {
                        tracing::error!(table, "a chain is damaged, and kept: pawl audit verify says which");
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok((found, last))
        })
        .await
    }

    /// Moves the chain's boundary, on record as `event`, if it is still past its time and not there already; and lets
    /// go of some of the events behind it. Whether there are more.
    pub async fn prune(
        &self,
        past: PastRetention,
        event: AuditEvent,
        deadline: Duration,
    ) -> Result<bool, StoreError> {
        let scopes = past.org.as_ref().map_or_else(Scopes::vault, Scopes::of_org);
        self.transact("let go of old events", Access::Write, scopes, deadline, move |db, appended| {
            let org = past.org.as_ref().map_or("", OrgId::as_str);
            // When a checkpoint was made nobody signs; when an event was, its hash says.
            if find_time(db, &past)?.is_some_and(|time| time > past.cutoff) {
                tracing::error!(
                    org,
                    seq = past.seq,
                    "an event is younger than the checkpoint that speaks of it, and kept"
                );
                return Ok(false);
            }
            db.become_role(NarrowRole::Prune)?;
            let pruned: i64 = audit_chains::table.find(org).select(audit_chains::pruned_seq).first(db)?;
            let moves = pruned < past.seq;
            if moves {
                // Its owner may have said meanwhile that it is kept for longer.
                if find(db, org, past.now)?.cutoff(past.now) < past.cutoff {
                    return Ok(false);
                }
                diesel::update(audit_chains::table.find(org))
                    .set((
                        audit_chains::pruned_seq.eq(past.seq),
                        audit_chains::pruned_hash.eq(past.hash.as_bytes()),
                    ))
                    .execute(db)?;
            }
            let first = find_first(db, org)?.unwrap_or(past.seq);
            let last = past.seq.min(first.saturating_add(AT_ONCE - 1));
            let old =
                audit_events::table.filter(audit_events::org_id.eq(org)).filter(audit_events::seq.le(last));
            diesel::delete(old).execute(db)?;
            db.leave_role()?;
            if moves {
                append(db, &event)?;
                *appended += 1;
            }
            Ok(last < past.seq)
        })
        .await
    }
}

/// What time it is, to who lets go of events, and how far the logs had come then and then. A clock that is wrong is not
/// believed at once: it is the time of the newest checkpoint that is a day old.
struct Times {
    asked: Moment,
    now: Moment,
    logs: Vec<String>,
    /// Up to which leaf each log had come, by the moment.
    sizes: BTreeMap<Moment, Vec<(String, i64)>>,
}

impl Times {
    /// `None` where no checkpoint is old enough.
    fn find(db: &mut Db, asked: Moment) -> Result<Option<Self>, StoreError> {
        let newest: Option<i64> = audit_checkpoints::table
            .filter(audit_checkpoints::created_at.le(asked.before(DAY).micros()))
            .order(audit_checkpoints::created_at.desc())
            .select(audit_checkpoints::created_at)
            .first(db)
            .optional()?;
        let Some(now) = newest.map(Moment::from_micros) else { return Ok(None) };
        let logs = audit_checkpoints::table.select(audit_checkpoints::log_id).distinct().load(db)?;
        Ok(Some(Self { asked, now, logs, sizes: BTreeMap::new() }))
    }

    /// How many leaves of each log were signed for until `cutoff`: by checkpoints before the first one that is younger,
    /// whatever is told of those behind it. One of a time that is yet to come is of a clock that was wrong.
    fn sizes(&mut self, db: &mut Db, cutoff: Moment) -> Result<&[(String, i64)], StoreError> {
        if !self.sizes.contains_key(&cutoff) {
            let mut sizes = Vec::new();
            for log in &self.logs {
                let of_log = || audit_checkpoints::table.filter(audit_checkpoints::log_id.eq(log));
                let younger: Option<i64> = of_log()
                    .filter(audit_checkpoints::created_at.gt(cutoff.micros()))
                    .filter(audit_checkpoints::created_at.le(self.asked.micros()))
                    .select(diesel::dsl::min(audit_checkpoints::size))
                    .first(db)?;
                let size: Option<i64> = of_log()
                    .filter(audit_checkpoints::size.lt(younger.unwrap_or(i64::MAX)))
                    .filter(audit_checkpoints::created_at.le(cutoff.micros()))
                    .select(diesel::dsl::max(audit_checkpoints::size))
                    .first(db)?;
                sizes.extend(size.map(|size| (log.clone(), size)));
            }
            self.sizes.insert(cutoff, sizes);
        }
        Ok(self.sizes.get(&cutoff).map_or(&[], Vec::as_slice))
    }
}

/// What of `org`'s is past its time, also what an earlier pruning was killed over.
fn find_past(
    db: &mut Db,
    org: &str,
    pruned: i64,
    times: &mut Times,
) -> Result<Option<PastRetention>, StoreError> {
    let now = times.now;
    let cutoff = find(db, org, now)?.cutoff(now);
    let sizes = times.sizes(db, cutoff)?;
    let logged = find_logged(db, org, sizes)?;
    let Some(seq) = logged.max(Some(pruned).filter(|pruned| *pruned > 0)) else {
        return Ok(None);
    };
    let Some(first) = find_first(db, org)?.filter(|first| *first <= seq) else { return Ok(None) };
    let hash: Option<Vec<u8>> =
        audit_events::table.find((org, seq)).select(audit_events::hash).first(db).optional()?;
    let hash = hash.and_then(|hash| Hash::from_bytes(&hash)).ok_or(StoreError::Damaged("audit_events"))?;
    let org = (!org.is_empty()).then(|| OrgId::parse(org)).transpose();
    let org = org.map_err(|_| StoreError::Damaged("audit_chains"))?;
    Ok(Some(PastRetention { org, first, seq, hash, now, cutoff }))
}

/// When the last event that goes was, by its own word; `None` where it went already.
fn find_time(db: &mut Db, past: &PastRetention) -> Result<Option<Moment>, StoreError> {
    let org = past.org.as_ref().map_or("", OrgId::as_str);
    let row: Option<(String, Vec<u8>)> = audit_events::table
        .find((org, past.seq))
        .select((audit_events::event, audit_events::prev_hash))
        .first(db)
        .optional()?;
    let damaged = StoreError::Damaged("audit_events");
    row.map(|(event, before)| {
        let before = Hash::from_bytes(&before).ok_or(damaged.clone())?;
        if link(past.org.as_ref(), past.seq, &before, event.as_bytes()) != past.hash {
            return Err(damaged.clone());
        }
        let event: serde_json::Value = serde_json::from_str(&event).map_err(|_| damaged.clone())?;
        // As those are called from before events had a version.
        let time = event.get(member::TIME).or_else(|| event.get("at")).and_then(|time| time.as_str());
        time.and_then(Moment::parse).ok_or(damaged.clone())
    })
    .transpose()
}

fn find_first(db: &mut Db, org: &str) -> Result<Option<i64>, StoreError> {
    Ok(audit_events::table
        .filter(audit_events::org_id.eq(org))
        .order(audit_events::seq.asc())
        .select(audit_events::seq)
        .first(db)
        .optional()?)
}

fn find(db: &mut Db, org: &str, at: Moment) -> Result<Retention, StoreError> {
    let row: Option<SettingsRow> = org_settings::table
        .find(org)
        .select((
            org_settings::retention_days,
            org_settings::next_retention_days,
            org_settings::next_retention_from,
        ))
        .first(db)
        .optional()?;
    let (days, next, from) = row.unwrap_or_default();
    Ok(Retention::of(days, next.zip(from.map(Moment::from_micros)), at))
}

/// The last event of `org` that a log spoke of within its first leaves, so many of each, and that is not its newest.
fn find_logged(db: &mut Db, org: &str, sizes: &[(String, i64)]) -> Result<Option<i64>, StoreError> {
    let newest: Option<i64> = audit_events::table
        .filter(audit_events::org_id.eq(org))
        .order(audit_events::seq.desc())
        .select(audit_events::seq)
        .first(db)
        .optional()?;
    let mut last = None;
    for (log, size) in sizes {
        let logged: Option<i64> = audit_leaves::table
            .filter(audit_leaves::org_id.eq(org))
            .filter(audit_leaves::log_id.eq(log))
            .filter(audit_leaves::seq.lt(newest.unwrap_or(0)))
            .filter(audit_leaves::idx.lt(*size))
            .order(audit_leaves::seq.desc())
            .select(audit_leaves::seq)
            .first(db)
            .optional()?;
        last = last.max(logged);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_time_counts_only_when_the_promised_one_is_over() {
        let at = Moment::parse("2026-01-01T00:00:00Z").unwrap();
        let day = |n: u32| at.after(DAY * n);
        let default = Retention::of(None, None, at);
        assert_eq!(default, Retention { days: 365, next: None });
        assert_eq!(default.asked(400, at), Retention { days: 400, next: None });
        let shorter = default.asked(90, at);
        assert_eq!(shorter, Retention { days: 365, next: Some((90, day(365))) });
        // asked again it is no later, and another time begins anew
        assert_eq!(shorter.asked(90, day(100)), shorter);
        assert_eq!(shorter.asked(100, day(100)), Retention { days: 365, next: Some((100, day(465))) });
        // one that is no shorter takes it back
        assert_eq!(shorter.asked(365, day(100)), Retention { days: 365, next: None });
        let kept = |at| Retention::of(Some(shorter.days), shorter.next, at);
        assert_eq!(kept(day(364)).days, 365);
        assert_eq!(kept(day(365)), Retention { days: 90, next: None });
    }
}
