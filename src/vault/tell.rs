//! Once a minute what was counted is told: one event for all that is alike, in the chain of the org that it is about.
//! What ends the process by force takes at most the counts of a minute with it.

use crate::audit::{AuditEvent, Counted};
use crate::clock::NoRandomness;
use crate::ids::OrgId;
use crate::vault::{DEADLINE, Vault};

impl Vault {
    /// Tells the counts of the minutes that are over; with `all`, of this one too: the vault stops. Below the reserve
    /// they are kept until there is room.
    pub async fn tell_counts(&self, all: bool) {
        if self.is_below_reserve() {
            return;
        }
        for (_, counts) in self.untold.take(all).by_trail() {
            let now = self.clock.now();
            let event =
                |(trail, counted): (Option<&OrgId>, Counted)| AuditEvent::counted(trail, &counted, now);
            let events: Result<Vec<AuditEvent>, NoRandomness> = counts.told().map(event).collect();
            let told = match events {
                Ok(events) => self.store.append_counted(events, DEADLINE).await.map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = told {
                tracing::warn!(error, "what was counted could not be put on record: again in a minute");
                self.untold.put_back(counts);
            }
        }
    }

    /// Whether the disk has so little room that only lends, injections and changes are put on record.
    pub fn is_below_reserve(&self) -> bool {
        self.untold.reserve().is_below()
    }

    /// Looks at the disk, off the async threads.
    pub async fn look_at_reserve(&self) {
        let untold = self.untold.clone();
        let _ = tokio::task::spawn_blocking(move || untold.reserve().look()).await;
    }
}
