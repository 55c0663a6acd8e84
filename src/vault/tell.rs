//! Once a minute what was counted is told: one event for all that is alike, in the chain of the org that it is about.
//! It is told until it is known to be there, and then not again. What ends the process by force takes at most the counts
//! of a minute with it.

use crate::audit::{AuditEvent, Counted};
use crate::clock::NoRandomness;
use crate::ids::OrgId;
use crate::store::Once;
use crate::vault::{DEADLINE, Vault};

impl Vault {
    /// Tells the counts of the minutes that are over; with `all`, of this one too: the vault stops. Below the reserve
    /// they are kept until there is room.
    pub async fn tell_counts(&self, all: bool) {
        if self.is_below_reserve() {
            return;
        }
        for (trail, once) in self.untold.take_unsure(all) {
            self.tell(trail, once).await;
        }
        for (trail, counts) in self.untold.take(all).by_trail() {
            // First it is to be known what became of those before them.
            if self.untold.is_unsure(trail.as_ref()) {
                self.untold.put_back(counts);
                continue;
            }
            let now = self.clock.now();
            let event =
                |(trail, counted): (Option<&OrgId>, Counted)| AuditEvent::counted(trail, &counted, now);
            let events: Result<Vec<AuditEvent>, NoRandomness> = counts.told().map(event).collect();
            match events {
                Ok(events) => {
                    if !self.tell(trail, Once::new(events)).await {
                        self.untold.put_back(counts);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "what was counted could not be put on record: again in a minute");
                    self.untold.put_back(counts);
                }
            }
        }
    }

    /// `false`: it is certain that none of them are there, and they are not kept to be told again.
    async fn tell(&self, trail: Option<OrgId>, once: Once) -> bool {
        let Err(error) = self.store.append_once(&once, DEADLINE).await else { return true };
        tracing::warn!(%error, "what was counted could not be put on record: again in a minute");
        let is_unsure = once.is_unsure();
        if is_unsure {
            self.untold.keep_unsure(trail, once);
        }
        is_unsure
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
