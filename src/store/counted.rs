//! What was counted, appended once: who was not told what became of it asks again with the very same events, and those
//! that are there already are not appended a second time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::prelude::*;

use crate::audit::AuditEvent;
use crate::ids::OrgId;
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::events::{append_all, find_last};
use crate::store::schema::audit_events;
use crate::store::scopes::Scopes;
use crate::store::tx::Store;

/// Events of one chain, an org's or the vault's own, and from where on they may be there.
#[derive(Clone)]
pub struct Once {
    events: Arc<Vec<AuditEvent>>,
    /// The last event before the first try; none while none came so far.
    behind: Arc<Mutex<Option<i64>>>,
}

impl Once {
    /// To be appended.
    pub fn new(events: Vec<AuditEvent>) -> Self {
        Self { events: Arc::new(events), behind: Arc::default() }
    }

    /// Whether it may be there: a try came so far, and what became of it was not told.
    pub fn is_unsure(&self) -> bool {
        self.behind().is_some()
    }

    fn behind(&self) -> Option<i64> {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, db: &mut Db) -> Result<usize, StoreError> {
        let Some(first) = self.events.first() else { return Ok(0) };
        let org = first.org().map_or("", OrgId::as_str);
        match self.behind() {
            // One transaction: the first is there with all of them, or none is.
            Some(behind) => {
                let there = audit_events::table
                    .filter(audit_events::org_id.eq(org))
                    .filter(audit_events::seq.gt(behind))
                    .filter(audit_events::event.eq(first.as_str()));
                if diesel::select(diesel::dsl::exists(there)).get_result(db)? {
                    return Ok(0);
                }
            }
            None => {
                let last = find_last(db, org)?;
                *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
            }
        }
        append_all(db, &self.events)?;
        Ok(self.events.len())
    }
}

impl Store {
    /// Appends what was counted, whatever the quota. Whatever an earlier try is still at, it has ended before this looks:
    /// it holds the chain.
    pub async fn append_once(&self, once: &Once, deadline: Duration) -> Result<(), StoreError> {
        let once = once.clone();
        let org = once.events.first().and_then(AuditEvent::org);
        let scopes = org.map_or_else(Scopes::vault, Scopes::of_org);
        self.transact("tell counts", Access::Write, scopes, deadline, move |db, appended| {
            *appended = u32::try_from(once.append(db)?).unwrap_or(u32::MAX);
            Ok(())
        })
        .await
    }
}
