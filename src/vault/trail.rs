//! Read the org's trail, as it was stored.

use crate::access::Action;
use crate::audit::Actor;
use crate::error::Error;
use crate::store::{OrgProof, StoredEvent};
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

    /// The newest checkpoint of the log over all chains, and its proofs for the caller's org; `None` before the first.
    pub async fn read_checkpoint(&self, actor: &Actor) -> Result<Option<OrgProof>, Error> {
        let scope = self.allow(actor, Action::ReadAudit).await?;
        self.store.view("read checkpoint", scope, DEADLINE, |tx| Ok(tx.find_proof()?)).await
    }
}
