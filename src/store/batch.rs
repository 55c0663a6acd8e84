//! What the lends of one transaction find and write. On PostgreSQL it is read ahead and written at the end,
//! a statement for all of them, since each costs a way there and back; on SQLite none does, and each lend
//! reads for itself. What was read ahead stays true: the transaction holds the orgs' chains.

#[cfg(feature = "postgres")]
mod ahead;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;

use crate::audit::AuditEvent;
use crate::clock::Moment;
use crate::config::LeaseCaps;
use crate::ids::RunId;
use crate::store::caps::{Count, Counted, Of, Open, count, first_end};
use crate::store::db::{Db, first_row};
use crate::store::error::StoreError;
use crate::store::events::{Ends, NewEvent};
use crate::store::freeze;
use crate::store::hosts;
use crate::store::lend::{LendAsk, LendRefused, OpenLease, SealedRow};
use crate::store::schema::{audit_events, leases};
use crate::store::scopes::Scopes;
use crate::store::sealed::{SealedColumns, SealedCredential, find_sealed_columns};
use crate::store::terms::Terms;

/// What one ask finds.
pub(super) struct Found {
    /// The sealed credential, with its key's state.
    pub(super) sealed: Option<(SealedColumns, Option<String>)>,
    /// The exclusive lease that it meets, where that was read ahead.
    pub(super) held: Option<Option<OpenLease>>,
}

#[derive(Insertable)]
#[diesel(table_name = leases)]
// Or a lease without a run has another statement than one with, and neither is remembered.
#[diesel(treat_none_as_default_value = false)]
struct NewLease {
    id: String,
    org_id: String,
    user_id: String,
    connection_id: String,
    client_id: String,
    purpose: &'static str,
    run_id: Option<String>,
    revision: i64,
    fence: i64,
    lent_at: i64,
    expires_at: i64,
}

/// The lends of one transaction.
pub(super) struct Batch<'a> {
    caps: LeaseCaps,
    counted: &'a Counted,
    /// What is known of how many leases are open.
    open: BTreeMap<Of, Open>,
    /// Whether the whole vault is, where that was looked at.
    is_vault_frozen: Option<bool>,
    /// By org, its terms, where they were read.
    terms: BTreeMap<String, Terms>,
    /// By the ask's place; `None` where nothing is read ahead.
    ahead: Option<BTreeMap<usize, Found>>,
    /// The last fences that are known.
    fences: BTreeMap<String, i64>,
    /// The connections of whose exclusive leases something was changed since.
    changed: BTreeSet<String>,
    ends: Ends,
    leases: Vec<NewLease>,
    events: Vec<NewEvent>,
    /// How many events there were.
    appended: usize,
    /// Whether what was to be written was not taken: which ask's fault that is, nobody can tell.
    is_refused: bool,
}

impl<'a> Batch<'a> {
    /// Begins to lend to those of `asks` whose orgs nobody else holds, and answers the others' orgs. What they will
    /// want to know is read ahead where that is cheaper at once.
    pub(super) fn begin(
        db: &mut Db,
        asks: &[&LendAsk],
        caps: LeaseCaps,
        counted: &'a Counted,
    ) -> Result<(Self, Vec<String>), StoreError> {
        let (ahead, events) = (None, Vec::new());
        let (open, terms, fences) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (changed, ends, leases) = (BTreeSet::new(), Ends::default(), Vec::new());
        let (is_vault_frozen, appended, is_refused) = (None, 0, false);
        let batch = Self {
            caps,
            counted,
            open,
            is_vault_frozen,
            terms,
            ahead,
            fences,
            changed,
            ends,
            leases,
            events,
            appended,
            is_refused,
        };
        let scopes: Scopes = asks.iter().map(|ask| &ask.scope).collect();
        match db {
            Db::Sqlite(_) => Ok((batch, db.begin_where_free(&scopes)?)),
            #[cfg(feature = "postgres")]
            Db::Postgres(db) => {
                super::postgres::begin(db)?;
                let begun = batch.read_ahead(db, &scopes, asks);
                if begun.is_err() {
                    // The first error says more than this one could.
                    let _ = super::postgres::rollback(db);
                }
                begun
            }
        }
    }

    /// Whether the ask's org or the whole vault is frozen.
    pub(super) fn is_frozen(&mut self, db: &mut Db, ask: &LendAsk) -> Result<bool, StoreError> {
        Ok(self.terms(db, ask)?.is_frozen)
    }

    /// Whether the ask's org has `credential` lent, and lets its host be called.
    pub(super) fn judge(
        &mut self,
        db: &mut Db,
        ask: &LendAsk,
        credential: &SealedCredential,
    ) -> Result<Result<(), LendRefused>, StoreError> {
        let Terms { lends, hosts, .. } = self.terms(db, ask)?;
        let hosts = hosts.as_ref().map_err(StoreError::clone)?;
        if let Err(refused) = hosts::judge(hosts.as_ref(), &credential.destination) {
            return Ok(Err(refused));
        }
        Ok(if credential.kind.is_odoo() { lends.judge(credential) } else { Ok(()) })
    }

    fn terms(&mut self, db: &mut Db, ask: &LendAsk) -> Result<&Terms, StoreError> {
        Ok(match self.terms.entry(ask.scope.org().to_string()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let is_vault_frozen = match self.is_vault_frozen {
                    Some(known) => known,
                    None => freeze::is_vault_frozen(db)?,
                };
                self.is_vault_frozen = Some(is_vault_frozen);
                unknown.insert(Terms::find(db, ask.scope.org(), is_vault_frozen)?)
            }
        })
    }

    /// Whether the trail of the ask's org takes no more of the day.
    pub(super) fn is_past_quota(&mut self, db: &mut Db, ask: &LendAsk) -> Result<bool, StoreError> {
        let count = self.ends.count_of_day(db, ask.scope.org().as_str(), ask.at)?;
        Ok(count >= self.caps.events_per_day)
    }

    /// When the first lease ends, if as many of the ask's org or connection are open as may be.
    pub(super) fn is_full(&mut self, db: &mut Db, ask: &LendAsk) -> Result<Option<Moment>, StoreError> {
        for of in [Of::connection(ask), Of::org(ask)] {
            let cap = of.cap(self.caps);
            let mut open = match self.open.remove(&of) {
                Some(open) => open,
                None => {
                    let count = self.counted.at_most(&of, self.number(db, &of, ask)?);
                    Open { count, is_exact: false, first_ends: None }
                }
            };
            if open.count >= cap && !open.is_exact {
                self.write(db)?;
                open.count = count(db, &of, ask, cap)?;
                open.is_exact = true;
            }
            if open.count >= cap && open.first_ends.is_none() {
                self.write(db)?;
                open.first_ends = Some(first_end(db, &of, ask)?);
            }
            let full = open.first_ends.filter(|_| open.count >= cap);
            self.open.insert(of, open);
            if full.is_some() {
                return Ok(full);
            }
        }
        Ok(None)
    }

    /// What grows with every lease of these.
    fn number(&mut self, db: &mut Db, of: &Of, ask: &LendAsk) -> Result<i64, StoreError> {
        match of {
            Of::Org(org) => self.ends.last(db, org),
            Of::Connection(_) => self.last_fence(db, ask),
        }
    }

    /// What was learnt of how many are open: true once the batch is committed.
    pub(super) fn learnt(self) -> Vec<(Of, Count)> {
        let Self { open, fences, ends, .. } = self;
        let counted = open.into_iter().filter(|(_, open)| open.is_exact);
        let learnt = counted.filter_map(|(of, open)| {
            let at = known_number(&of, &ends, &fences)?;
            Some((of, Count { open: open.count, at }))
        });
        learnt.collect()
    }

    /// What the ask in place `at` finds.
    pub(super) fn find(&mut self, db: &mut Db, at: usize, ask: &LendAsk) -> Result<Found, StoreError> {
        let Some(ahead) = &mut self.ahead else {
            let sealed = find_sealed_columns(db, &ask.scope, &ask.connection)?;
            return Ok(Found { sealed, held: None });
        };
        let mut found = ahead.remove(&at).unwrap_or(Found { sealed: None, held: None });
        if self.changed.contains(ask.connection.as_str()) {
            found.held = None;
        }
        Ok(found)
    }

    /// The number of the connection's last lease.
    pub(super) fn last_fence(&mut self, db: &mut Db, ask: &LendAsk) -> Result<i64, StoreError> {
        if let Some(last) = self.fences.get(ask.connection.as_str()) {
            return Ok(*last);
        }
        // Not max(): behind row-level security PostgreSQL would look at every lease there ever was.
        let fences = || {
            leases::table
                .filter(leases::org_id.eq(ask.scope.org().as_str()))
                .filter(leases::connection_id.eq(ask.connection.as_str()))
                .select(leases::fence)
                .order(leases::fence.desc())
        };
        let last = first_row!(db, i64, fences())?.unwrap_or(0);
        self.fences.insert(ask.connection.to_string(), last);
        Ok(last)
    }

    /// A new lease, to be written with the others.
    pub(super) fn insert(&mut self, ask: &LendAsk, granted: &SealedRow) {
        self.fences.insert(ask.connection.to_string(), granted.fence);
        for of in [Of::org(ask), Of::connection(ask)] {
            self.open.entry(of).and_modify(|open| open.count += 1);
        }
        if ask.is_exclusive() {
            self.changed.insert(ask.connection.to_string());
        }
        self.leases.push(NewLease {
            id: granted.lease.to_string(),
            org_id: ask.scope.org().to_string(),
            user_id: ask.scope.user().to_string(),
            connection_id: ask.connection.to_string(),
            client_id: ask.actor.caller.client().to_string(),
            purpose: ask.purpose,
            run_id: ask.run.as_ref().map(RunId::to_string),
            revision: granted.credential.revision.number(),
            fence: granted.fence,
            lent_at: ask.at.micros(),
            expires_at: granted.expires_at.micros(),
        });
    }

    /// Notes that the exclusive lease of the ask's connection is being changed.
    pub(super) fn change(&mut self, ask: &LendAsk) {
        self.changed.insert(ask.connection.to_string());
    }

    /// An event at the end of its chain, to be written with the others.
    pub(super) fn append(&mut self, db: &mut Db, event: &AuditEvent) -> Result<(), StoreError> {
        self.events.push(self.ends.follow(db, event)?);
        self.appended += 1;
        Ok(())
    }

    /// Writes what was not written yet: before it is committed, or looked for in the database.
    pub(super) fn write(&mut self, db: &mut Db) -> Result<(), StoreError> {
        let (leases, events) = (std::mem::take(&mut self.leases), std::mem::take(&mut self.events));
        let written = match db {
            Db::Sqlite(db) => write_each(db, leases, events),
            #[cfg(feature = "postgres")]
            Db::Postgres(db) => ahead::write(db, leases, events),
        };
        self.is_refused |= written.is_err();
        written
    }

    /// How many events there were so far.
    pub(super) fn appended(&self) -> usize {
        self.appended
    }

    /// Whether something of these lends was not taken, whichever of them was being answered.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }
}

/// What grows with every lease of these, where it is known.
fn known_number(of: &Of, ends: &Ends, fences: &BTreeMap<String, i64>) -> Option<i64> {
    match of {
        Of::Org(org) => ends.known(org),
        Of::Connection(id) => fences.get(id).copied(),
    }
}

fn write_each(
    db: &mut diesel::SqliteConnection,
    leases: Vec<NewLease>,
    events: Vec<NewEvent>,
) -> Result<(), StoreError> {
    for lease in leases {
        diesel::insert_into(leases::table).values(lease).execute(db)?;
    }
    for event in events {
        diesel::insert_into(audit_events::table).values(event).execute(db)?;
    }
    Ok(())
}
