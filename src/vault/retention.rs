//! Lets go of events that are past the time for which their org keeps them, in the background and little by little.

use std::time::Duration;

use crate::audit::{AuditEvent, PRUNE, member};
use crate::clock::Moment;
use crate::error::Error;
use crate::store::PastRetention;
use crate::vault::{DEADLINE, Vault};

/// How often it is looked for them.
const EVERY: Duration = Duration::from_secs(60 * 60);

impl Vault {
    /// Lets go of old events, if it was not looked for them within the hour before `now`. Answers when it was.
    pub async fn follow_retention(&self, looked_at: Option<Moment>) -> Option<Moment> {
        let now = self.clock.now();
        if looked_at.is_some_and(|at| now < at.after(EVERY)) {
            return looked_at;
        }
        let mut after = None;
        loop {
            match self.store.find_past_retention(after, now, DEADLINE).await {
                Ok((found, last)) => {
                    for past in found {
                        self.prune(past, now).await;
                    }
                    after = last;
                }
                // What is old is kept for longer, no worse: in an hour it is tried again.
                Err(error) => {
                    tracing::warn!(%error, "it could not be looked for events past their time");
                    break;
                }
            }
            if after.is_none() {
                break;
            }
        }
        Some(now)
    }

    /// Chain by chain: one that can't be pruned keeps no other.
    async fn prune(&self, past: PastRetention, now: Moment) {
        let pruned = async {
            let event = pruned(&past, now)?;
            while self.store.prune(past.clone(), event.clone(), DEADLINE).await? {}
            Ok::<_, Error>(())
        };
        if let Err(error) = pruned.await {
            tracing::warn!(%error, "events past their time are still there");
        }
    }
}

fn pruned(past: &PastRetention, now: Moment) -> Result<AuditEvent, Error> {
    let (first, last, hash) = (past.first.to_string(), past.seq.to_string(), past.hash.to_string());
    let more = [(member::PRUNED_FIRST, &*first), (member::PRUNED_LAST, &last), (member::PRUNED_HASH, &hash)];
    let event = match &past.org {
        Some(org) => AuditEvent::of_vault_in(org, PRUNE, &last, &more, now)?,
        None => AuditEvent::of_vault_with(PRUNE, &last, &more, now)?,
    };
    Ok(event)
}
