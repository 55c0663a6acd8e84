//! Look at connections and leases: what is stored, never a secret.

use crate::access::Action;
use crate::audit::Actor;
use crate::error::Error;
use crate::ids::{ConnectionId, LeaseId};
use crate::store::{LendRefused, StoredConnection, StoredLease, Tx};
use crate::vault::freeze::show_frozen;
use crate::vault::{DEADLINE, Vault};

/// Which part of a list: at most `limit` items after `after`.
pub struct Page<T> {
    /// The last item of the page before.
    pub after: Option<T>,
    /// How many items at most.
    pub limit: u16,
}

impl<T> Page<T> {
    /// One more than the limit, to see whether there is a next page.
    pub(super) fn probe(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Cuts what [`Page::probe`] fetched, and says whether there is more.
    pub(super) fn cut<I>(&self, mut items: Vec<I>) -> (Vec<I>, bool) {
        let more = items.len() > usize::from(self.limit);
        items.truncate(self.limit.into());
        (items, more)
    }
}

impl Vault {
    /// One connection of the caller's.
    pub async fn show(&self, actor: &Actor, id: ConnectionId) -> Result<StoredConnection, Error> {
        let permit = self.permit(actor, Action::ShowConnection, (&id).into()).await?;
        let (here, scope, wanted) = (self.switch.is_frozen(), permit.scope(), id.clone());
        let show = move |tx: &mut Tx| {
            let mut found = tx.find_connection(&wanted)?.ok_or(Error::NotFound)?;
            let judged = permit.judge(&found.user, found.about());
            show_frozen(tx, here, std::slice::from_mut(&mut found))?;
            Ok::<_, Error>(judged.map(|()| found))
        };
        let (action, subject) = (Action::ShowConnection, (&id).into());
        let shown = self.store.view("show", scope, DEADLINE, show).await;
        match self.found(actor, action, subject, shown).await? {
            Ok(found) => Ok(found),
            Err(unmet) => Err(self.record_refused(actor, action, subject, LendRefused::Unmet(unmet)).await),
        }
    }

    /// The caller's connections, oldest first, and whether there are more.
    pub async fn list(
        &self,
        actor: &Actor,
        page: Page<ConnectionId>,
    ) -> Result<(Vec<StoredConnection>, bool), Error> {
        let scope = self.allow(actor, Action::ListConnections).await?;
        let here = self.switch.is_frozen();
        let list = move |tx: &mut Tx| {
            let mut found = tx.find_connections(page.after.as_ref(), page.probe())?;
            show_frozen(tx, here, &mut found)?;
            Ok(page.cut(found))
        };
        self.store.view("list", scope, DEADLINE, list).await
    }

    /// One lease of the caller's, open or ended.
    pub async fn show_lease(&self, actor: &Actor, id: LeaseId) -> Result<StoredLease, Error> {
        let (action, subject) = (Action::ShowLease, (&id).into());
        let scope = self.allow_on(actor, action, subject).await?;
        let (now, wanted) = (self.clock.now(), id.clone());
        let show = move |tx: &mut Tx| tx.find_lease(&wanted, now)?.ok_or(Error::NotFound);
        let shown = self.store.view("show lease", scope, DEADLINE, show).await;
        self.found(actor, action, subject, shown).await
    }

    /// The caller's leases that are out now, oldest first, and whether there are more.
    pub async fn list_leases(
        &self,
        actor: &Actor,
        page: Page<LeaseId>,
    ) -> Result<(Vec<StoredLease>, bool), Error> {
        let scope = self.allow(actor, Action::ListLeases).await?;
        let now = self.clock.now();
        self.store
            .view("list leases", scope, DEADLINE, move |tx| {
                Ok(page.cut(tx.find_open_leases(now, page.after.as_ref(), page.probe())?))
            })
            .await
    }
}
