//! A batch of lends on PostgreSQL, where each statement costs a way there and back: what all of them want to know is
//! read before the first is judged, and what was decided is written in one.

use std::collections::BTreeMap;

use diesel::pg::PgConnection;
use diesel::prelude::*;

use crate::store::arrays::{CountOpen, FindLends, WriteLends};
use crate::store::batch::{Batch, Found, NewLease, known_number};
use crate::store::caps::{Of, Open};
use crate::store::error::StoreError;
use crate::store::events::{End, NewEvent};
use crate::store::lend::{LendAsk, OpenLease};
use crate::store::postgres::VAULT;
use crate::store::scopes::Scopes;
use crate::store::sealed::SealedColumns;
use crate::store::terms::Terms;

impl Batch<'_> {
    /// Reads what `asks` will want to know; and the orgs that somebody else holds.
    pub(super) fn read_ahead(
        mut self,
        db: &mut PgConnection,
        scopes: &Scopes,
        asks: &[&LendAsk],
    ) -> Result<(Self, Vec<String>), StoreError> {
        type OfOrg = (bool, bool, i64, i64, Option<String>, Option<(i64, Vec<u8>)>, Option<(i64, i64)>);
        type OfAsk = (i64, SealedColumns, Option<String>, Option<i64>);
        type Rows = Vec<(String, Option<OfOrg>, Option<OfAsk>, Option<(i64, OpenLease)>)>;
        let rows: Rows = wanted(scopes, asks).load(db)?;
        let (mut ahead, mut taken) = (BTreeMap::new(), Vec::new());
        let place = |number: i64| usize::try_from(number - 1).map_err(|_| StoreError::Damaged("connections"));
        for (org, of_org, of_ask, of_held) in rows {
            match of_org {
                Some((true, ..)) => taken.push(org),
                Some((false, is_frozen, only, to_writers, allowed, last, day)) => {
                    // One that is damaged is looked at again by each ask of its org, and is their trouble alone.
                    if let Ok(end) = End::of(last, day) {
                        self.ends.note(&org, end);
                    }
                    let terms = Terms::of(is_frozen, (only, to_writers), allowed.as_deref());
                    self.terms.insert(org, terms);
                }
                None => {}
            }
            if let Some((number, sealed, key, fence)) = of_ask {
                let at = place(number)?;
                let ask = asks.get(at).ok_or(StoreError::Damaged("connections"))?;
                self.fences.insert(ask.connection.to_string(), fence.unwrap_or(0));
                ahead.insert(at, Found { sealed: Some((sealed, key)), held: Some(None) });
            }
            if let Some((number, open)) = of_held
                && let Some(found) = ahead.get_mut(&place(number)?)
            {
                found.held = Some(Some(open));
            }
        }
        self.count_ahead(db, &ahead.keys().filter_map(|at| asks.get(*at).copied()).collect::<Vec<_>>())?;
        self.ahead = Some(ahead);
        Ok((self, taken))
    }

    /// Counts at once the open leases of those of whom too many may be open with these, if there are any.
    fn count_ahead(&mut self, db: &mut PgConnection, asks: &[&LendAsk]) -> Result<(), StoreError> {
        let many = i64::try_from(asks.len()).unwrap_or(i64::MAX);
        let mut near = BTreeMap::new();
        for ask in asks {
            for of in [Of::org(ask), Of::connection(ask)] {
                let at_most = known_number(&of, &self.ends, &self.fences)
                    .map(|number| self.counted.at_most(&of, number));
                if at_most.is_some_and(|open| open.saturating_add(many) > of.cap(self.caps)) {
                    near.entry(of).or_insert(*ask);
                }
            }
        }
        if near.is_empty() {
            return Ok(());
        }
        let mut wanted = CountOpen::default();
        for (of, ask) in &near {
            wanted.org.push(ask.scope.org().to_string());
            wanted.connection.push(match of {
                Of::Org(_) => None,
                Of::Connection(id) => Some(id.clone()),
            });
            wanted.at.push(ask.at.micros());
            wanted.most.push(of.cap(self.caps));
        }
        let counts: Vec<i64> = wanted.load(db)?;
        let open = |count| Open { count, is_exact: true, first_ends: None };
        self.open.extend(near.into_keys().zip(counts.into_iter().map(open)));
        Ok(())
    }
}

/// What `asks` are to find.
fn wanted(scopes: &Scopes, asks: &[&LendAsk]) -> FindLends {
    let (locks, orgs) = scopes.locks().into_iter().unzip();
    let mut wanted = FindLends { scope: scopes.setting(), vault: VAULT, locks, orgs, ..Default::default() };
    for ask in asks {
        wanted.org.push(ask.scope.org().to_string());
        wanted.owner.push(ask.scope.user().to_string());
        wanted.id.push(ask.connection.to_string());
        wanted.exclusive.push(ask.is_exclusive());
        wanted.at.push(ask.at.micros());
    }
    wanted
}

/// Writes them all at once.
pub(super) fn write(
    db: &mut PgConnection,
    leases: Vec<NewLease>,
    events: Vec<NewEvent>,
) -> Result<(), StoreError> {
    if leases.is_empty() && events.is_empty() {
        return Ok(());
    }
    let mut rows = WriteLends::default();
    for lease in leases {
        rows.id.push(lease.id);
        rows.org.push(lease.org_id);
        rows.owner.push(lease.user_id);
        rows.connection.push(lease.connection_id);
        rows.client.push(lease.client_id);
        rows.purpose.push(lease.purpose);
        rows.run.push(lease.run_id);
        rows.revision.push(lease.revision);
        rows.fence.push(lease.fence);
        rows.lent_at.push(lease.lent_at);
        rows.expires_at.push(lease.expires_at);
    }
    for event in events {
        rows.chain.push(event.org_id);
        rows.seq.push(event.seq);
        rows.event.push(event.event);
        rows.prev_hash.push(event.prev_hash);
        rows.hash.push(event.hash);
    }
    rows.execute(db)?;
    Ok(())
}
