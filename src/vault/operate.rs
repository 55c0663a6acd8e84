//! What an operator asks of a running vault: which keys there are, and a reseal, started and watched. Nothing of
//! it is a tenant's: counts, and never whose.

use crate::access::Action;
use crate::audit::{AuditEvent, Outcome, Who};
use crate::error::Error;
use crate::store::{ResealRun, StoreError};
use crate::vault::keys::{Keys, KeysRefused, Known, RunState};
use crate::vault::{DEADLINE, Vault};

impl Vault {
    /// Every key there ever was, oldest first, and which of them this vault holds.
    pub async fn list_keys(&self, who: &Who) -> Result<Vec<Known>, Error> {
        self.allow_operator(who, Action::ListKeys).await?;
        let held = self.ring.held().keyring;
        let mut known = self.with_keys(|keys| keys.known()).await?;
        known.iter_mut().for_each(|known| known.is_held = held.holds(&known.key.id));
        Ok(known)
    }

    /// Starts a reseal, on a thread of its own, unless one is under way, here or elsewhere: then that one.
    pub async fn start_reseal(&self, who: &Who) -> Result<ResealRun, Error> {
        let actor = self.allow_operator(who, Action::Reseal).await?.clone();
        let at = self.clock.now();
        // Begun and started together: what is on record as begun runs, also for a caller who was told 503.
        self.with_keys(move |keys| {
            let (run, is_new) = keys.begin_reseal(|run| {
                let told = [("subject", run.key.as_str()), ("reseal_id", run.id.as_str())];
                AuditEvent::of_operator(&actor, Action::Reseal.as_str(), &told, Outcome::Done, at)
            })?;
            if is_new {
                let (keys, run) = (keys.clone(), run.clone());
                // A thread, not a task: nobody waits for it to stop. Where it stops, it stops.
                let work = move || {
                    if let Err(error) = keys.run_reseal(run, |_| {}) {
                        tracing::error!(%error, "the reseal broke off: start it again");
                    }
                };
                let started = std::thread::Builder::new().name("reseal".into()).spawn(work);
                started.map_err(|_| StoreError::Unavailable("no thread for the reseal"))?;
            }
            Ok(run)
        })
        .await
    }

    /// The reseal that began last, wherever it runs, and how it stands.
    pub async fn watch_reseal(&self, who: &Who) -> Result<(ResealRun, RunState), Error> {
        self.allow_operator(who, Action::WatchReseal).await?;
        self.with_keys(|keys| keys.last_reseal()).await?.ok_or(Error::NotFound)
    }

    /// Off the async threads.
    async fn with_keys<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Keys) -> Result<T, KeysRefused> + Send + 'static,
    ) -> Result<T, Error> {
        let keys = self.ring.keys().clone();
        let working = tokio::task::spawn_blocking(move || work(&keys));
        let done = tokio::time::timeout(DEADLINE, working).await;
        let done = done.map_err(|_| Error::Unavailable("deadline".into()))?;
        match done.map_err(|_| Error::Unavailable("the work broke off".into()))? {
            Ok(done) => Ok(done),
            Err(KeysRefused::Store(error)) => Err(error.into()),
            Err(refused) => Err(Error::Unavailable(refused.to_string())),
        }
    }
}
