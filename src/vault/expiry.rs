//! Tells when a credential is about to end by its own date: 14, 7 and 1 days before, each once, in its org's trail.

use std::time::Duration;

use crate::audit::AuditEvent;
use crate::clock::Moment;
use crate::metrics;
use crate::store::{Expiring, StoreError, Told};
use crate::vault::{DEADLINE, Vault};

/// How often it is looked for them.
const EVERY: Duration = Duration::from_secs(60 * 60);

impl Vault {
    /// Tells of those that are due, if it was not looked for them within the hour before `now`. Answers when it was.
    pub async fn follow_expiry(&self, looked_at: Option<Moment>) -> Option<Moment> {
        let now = self.clock.now();
        if looked_at.is_some_and(|at| now < at.after(EVERY)) {
            return looked_at;
        }
        let mut after = None;
        loop {
            match self.store.find_expiring(after, now, DEADLINE).await {
                Ok((found, last)) => {
                    for expiring in found {
                        self.tell_expiring(expiring, now).await;
                    }
                    after = last;
                }
                Err(error) => {
                    tracing::warn!(%error, "it could not be looked for credentials that end soon");
                    break;
                }
            }
            if after.is_none() {
                break;
            }
        }
        Some(now)
    }

    /// One by one: what can't be told keeps no other from being told, and is tried again in an hour.
    async fn tell_expiring(&self, expiring: Expiring, now: Moment) {
        let days = expiring.days;
        let event = move |expiring: &Expiring, told: &Told| event(expiring, told, now);
        match self.store.tell_expiring(expiring, event, DEADLINE).await {
            Ok(true) => metrics::credential_expires(days),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "a credential that ends soon was not told of"),
        }
    }
}

fn event(expiring: &Expiring, told: &Told, now: Moment) -> Result<AuditEvent, StoreError> {
    let (days, ends) = (expiring.days.to_string(), expiring.ends.to_string());
    let revision = expiring.revision.number().to_string();
    let more = [("days", days.as_str()), ("expires_at", ends.as_str()), ("revision", revision.as_str())];
    let about = (&expiring.connection, told.label.as_deref());
    AuditEvent::of_vault_about((&expiring.org, &told.user), "credential.expires", about, &more, now)
        .map_err(|_| StoreError::Unavailable("no randomness"))
}
