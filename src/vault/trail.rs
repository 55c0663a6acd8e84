//! Read the org's trail, as it was stored.

use crate::access::Action;
use crate::audit::Actor;
use crate::error::Error;
use crate::store::StoredEvent;
use crate::vault::{DEADLINE, Page, Vault};

impl Vault {
    /// The org's events, oldest first, and whether there are more.
    pub async fn read_trail(
        &self,
        actor: &Actor,
        page: Page<i64>,
    ) -> Result<(Vec<StoredEvent>, bool), Error> {
        let scope = self.allow(actor, Action::ReadAudit).await?;
        self.store
            .view("read trail", scope, DEADLINE, move |tx| {
                Ok(page.cut(tx.find_events(page.after.unwrap_or(0), page.probe())?))
            })
            .await
    }
}
