//! Lets go of events that are past the time for which their org keeps them, in the background and little by little.

use std::time::Duration;

use crate::audit::AuditEvent;
use crate::clock::Moment;
use crate::error::Error;
use crate::store::{PastRetention, Store};
use crate::vault::Vault;

/// How often it is looked for them.
const EVERY: Duration = Duration::from_secs(60 * 60);

impl Vault {
    /// Lets go of old events, if it was not looked for them within the hour before `now`. Answers when it was.
    pub async fn follow_retention(&self, looked_at: Option<Moment>) -> Option<Moment> {
        let now = self.clock.now();
        if looked_at.is_some_and(|at| now < at.after(EVERY)) {
            return looked_at;
        }
        let store = self.store.clone();
        let pruned = tokio::task::spawn_blocking(move || prune(&store, now)).await;
        match pruned.unwrap_or_else(|_| Err(Error::Unavailable("the work broke off".into()))) {
            Ok(0) => {}
            Ok(chains) => tracing::info!(chains, "events past their time were let go of"),
            // They are kept for longer, no worse: in an hour it is tried again.
            Err(error) => tracing::warn!(%error, "events past their time are still there"),
        }
        Some(now)
    }
}

fn prune(store: &Store, now: Moment) -> Result<usize, Error> {
    let found = store.find_past_retention(now)?;
    for boundary in &found {
        let event = pruned(boundary, now)?;
        while store.prune(boundary, &event)? {}
    }
    Ok(found.len())
}

fn pruned(boundary: &PastRetention, now: Moment) -> Result<AuditEvent, Error> {
    let (action, last) = ("audit.prune", boundary.seq.to_string());
    let event = match &boundary.org {
        Some(org) => AuditEvent::of_vault_in(org, action, &last, now)?,
        None => AuditEvent::of_vault(action, &last, now)?,
    };
    Ok(event)
}
