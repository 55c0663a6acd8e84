//! The trail as it is stored: a chain per org, appended in the transaction of what it records.

use std::collections::BTreeMap;

use diesel::prelude::*;

use crate::audit::{AuditEvent, GENESIS, Hash, link};
use crate::clock::{Moment, fill_random};
use crate::ids::OrgId;
use crate::store::db::{Db, each, first_row};
use crate::store::error::StoreError;
use crate::store::schema::{audit_chains, audit_events};
use crate::store::tx::Tx;

impl Tx<'_> {
    /// Appends `event` to its org's chain, which must be the scope's. [`StoreError::PastQuota`] if that takes no more
    /// of the day.
    pub fn append(&mut self, event: &AuditEvent) -> Result<(), StoreError> {
        self.append_all(std::slice::from_ref(event))
    }

    /// The same for several, in their order: all of them or none.
    pub fn append_all(&mut self, events: &[AuditEvent]) -> Result<(), StoreError> {
        let mut ends = Ends::default();
        if let Some(first) = events.first() {
            let count = ends.count_of_day(self.db, self.scope.org().as_str(), first.at())?;
            let many = i64::try_from(events.len()).unwrap_or(i64::MAX);
            if count.saturating_add(many) > self.events_per_day {
                return Err(StoreError::PastQuota(first.at()));
            }
        }
        self.append_by(ends, events)
    }

    /// Whether the org's chain takes another event of that day.
    pub fn has_quota(&mut self, at: Moment) -> Result<bool, StoreError> {
        Ok(self.count_of_day(at)? < self.events_per_day)
    }

    /// Whether less than half of the events of that day are used up: who reads a trail leaves the other half to what
    /// is lent and changed.
    pub fn has_room_for_readings(&mut self, at: Moment) -> Result<bool, StoreError> {
        Ok(self.count_of_day(at)? < self.events_per_day / 2)
    }

    fn count_of_day(&mut self, at: Moment) -> Result<i64, StoreError> {
        Ends::default().count_of_day(self.db, self.scope.org().as_str(), at)
    }

    /// Appends what protects, and is never refused for how much was told before.
    pub fn append_past_quota(&mut self, event: &AuditEvent) -> Result<(), StoreError> {
        self.append_by(Ends::default(), std::slice::from_ref(event))
    }

    fn append_by(&mut self, mut ends: Ends, events: &[AuditEvent]) -> Result<(), StoreError> {
        if events.iter().any(|event| event.org() != Some(self.scope.org())) {
            return Err(StoreError::Damaged("audit_events"));
        }
        let new: Vec<NewEvent> =
            events.iter().map(|event| ends.follow(self.db, event)).collect::<Result<_, _>>()?;
        *self.appended = self.appended.saturating_add(u32::try_from(new.len()).unwrap_or(u32::MAX));
        insert_all(self.db, new)
    }
}

/// Appends events of one chain, in their order; what a transaction holds, as with [`append`].
pub(super) fn append_all(db: &mut Db, events: &[AuditEvent]) -> Result<(), StoreError> {
    let mut ends = Ends::default();
    let new: Vec<NewEvent> = events.iter().map(|event| ends.follow(db, event)).collect::<Result<_, _>>()?;
    insert_all(db, new)
}

/// Appends `event` at the end of its chain. The transaction holds the chain (on SQLite all of them) from
/// its beginning, so the end that is read is the end that is followed.
pub(super) fn append(db: &mut Db, event: &AuditEvent) -> Result<(), StoreError> {
    let event = Ends::default().follow(db, event)?;
    diesel::insert_into(audit_events::table).values(event).execute(db)?;
    Ok(())
}

/// PostgreSQL takes them in one statement; SQLite is the faster with one it remembers.
fn insert_all(db: &mut Db, new: Vec<NewEvent>) -> Result<(), StoreError> {
    match db {
        Db::Sqlite(db) => {
            for event in new {
                diesel::insert_into(audit_events::table).values(event).execute(db)?;
            }
        }
        #[cfg(feature = "postgres")]
        Db::Postgres(db) => match <[NewEvent; 1]>::try_from(new) {
            Ok([event]) => drop(diesel::insert_into(audit_events::table).values(event).execute(db)?),
            Err(new) => drop(diesel::insert_into(audit_events::table).values(new).execute(db)?),
        },
    }
    Ok(())
}

/// An event with its place in its chain.
#[derive(Insertable)]
#[diesel(table_name = audit_events)]
// Or its statement has no name by which it is remembered, and is written anew to be found.
#[diesel(treat_none_as_default_value = false)]
pub(super) struct NewEvent {
    pub(super) org_id: String,
    pub(super) seq: i64,
    pub(super) event: String,
    pub(super) prev_hash: Vec<u8>,
    pub(super) hash: Vec<u8>,
}

/// The ends of the chains that one transaction appends to: read once, known from then on.
#[derive(Default)]
pub(super) struct Ends(BTreeMap<String, End>);

/// The end of a chain.
#[derive(Clone, Copy)]
pub(super) struct End {
    /// The number of the last event; 0 before the first.
    seq: i64,
    hash: Hash,
    /// The UTC day in days since 1970 that the number of events is counted for, and the last event before it. `None`:
    /// nothing is known of the chain yet.
    day: Option<(i64, i64)>,
}

impl End {
    /// As the database keeps it: its last event, and its row in `audit_chains`.
    pub(super) fn of(last: Option<(i64, Vec<u8>)>, day: Option<(i64, i64)>) -> Result<Self, StoreError> {
        let (seq, hash) = match last {
            Some((seq, hash)) => (seq, Hash::from_bytes(&hash).ok_or(StoreError::Damaged("audit_events"))?),
            None => (0, GENESIS),
        };
        Ok(Self { seq, hash, day })
    }

    /// How many events the chain has of the day of `at`.
    fn count_of_day(&self, at: Moment) -> i64 {
        match self.day {
            Some((day, before)) if is_counted(day, day_of(at)) => self.seq - before,
            _ => 0,
        }
    }
}

impl Ends {
    /// Notes the end that was found of the chain of `org`.
    #[cfg(feature = "postgres")]
    pub(super) fn note(&mut self, org: &str, end: End) {
        self.0.insert(org.to_owned(), end);
    }

    /// The number of the last event of `org`, where its chain was looked at.
    pub(super) fn known(&self, org: &str) -> Option<i64> {
        self.0.get(org).map(|end| end.seq)
    }

    /// The number of the last event of `org`.
    pub(super) fn last(&mut self, db: &mut Db, org: &str) -> Result<i64, StoreError> {
        Ok(self.end(db, org)?.seq)
    }

    /// How many events `org` has of the day of `at`.
    pub(super) fn count_of_day(&mut self, db: &mut Db, org: &str, at: Moment) -> Result<i64, StoreError> {
        Ok(self.end(db, org)?.count_of_day(at))
    }

    fn end(&mut self, db: &mut Db, org: &str) -> Result<End, StoreError> {
        if let Some(end) = self.0.get(org) {
            return Ok(*end);
        }
        let end = find_end(db, org)?;
        self.0.insert(org.to_owned(), end);
        Ok(end)
    }

    /// The place of `event` at the end of its chain, which the transaction holds: the next follows it. The first of a
    /// chain, and the first of a day, are noted beside it.
    pub(super) fn follow(&mut self, db: &mut Db, event: &AuditEvent) -> Result<NewEvent, StoreError> {
        let org = event.org().map_or("", OrgId::as_str);
        let End { seq: last, hash: previous, day } = self.end(db, org)?;
        let day = begin_day(db, org, (last, day), day_of(event.at()))?;
        let seq = last.checked_add(1).ok_or(StoreError::Damaged("audit_events"))?;
        let hash = link(event.org(), seq, &previous, event.as_str().as_bytes());
        self.0.insert(org.to_owned(), End { seq, hash, day: Some(day) });
        Ok(NewEvent {
            org_id: org.to_owned(),
            seq,
            event: event.as_str().to_owned(),
            prev_hash: previous.as_bytes().to_vec(),
            hash: hash.as_bytes().to_vec(),
        })
    }
}

/// The UTC day of `at`, in days since 1970.
fn day_of(at: Moment) -> i64 {
    at.seconds().div_euclid(24 * 60 * 60)
}

/// Whether a chain that counts `day` does not begin another `today`: of two clocks the one that is ahead says when a
/// day begins, but none by more than a day, or one that once was years ahead would have begun the last there is.
fn is_counted(day: i64, today: i64) -> bool {
    (today..=today.saturating_add(1)).contains(&day)
}

/// The day that the chain counts now, and the last event before it.
fn begin_day(
    db: &mut Db,
    org: &str,
    (last, known): (i64, Option<(i64, i64)>),
    today: i64,
) -> Result<(i64, i64), StoreError> {
    match known {
        Some((day, before)) if is_counted(day, today) => return Ok((day, before)),
        Some(_) => {
            diesel::update(audit_chains::table.find(org))
                .set((audit_chains::day.eq(today), audit_chains::day_seq.eq(last)))
                .execute(db)?;
        }
        None => {
            let mut salt = [0; 32];
            fill_random(&mut salt).map_err(|_| StoreError::Unavailable("no randomness"))?;
            diesel::insert_into(audit_chains::table)
                .values((
                    audit_chains::org_id.eq(org),
                    audit_chains::salt.eq(salt.as_slice()),
                    audit_chains::day.eq(today),
                    audit_chains::day_seq.eq(last),
                ))
                .execute(db)?;
        }
    }
    Ok((today, last))
}

/// The number of the chain's last event; 0 before the first.
pub(super) fn find_last(db: &mut Db, org: &str) -> Result<i64, StoreError> {
    Ok(find_end(db, org)?.seq)
}

fn find_end(db: &mut Db, org: &str) -> Result<End, StoreError> {
    let events = || {
        let of_org = audit_events::table.filter(audit_events::org_id.eq(org));
        of_org.order(audit_events::seq.desc()).select((audit_events::seq, audit_events::hash))
    };
    let last = first_row!(db, (i64, Vec<u8>), events())?;
    let mut days: Vec<(i64, i64)> = each!(db, db => {
        audit_chains::table.find(org).select((audit_chains::day, audit_chains::day_seq)).load(db)?
    });
    End::of(last, days.pop())
}
