//! Freeze an org, or the whole vault: nothing of it is lent, renewed, checked or deposited until somebody ends it.
//! When a freeze answers, its open leases have ended, and no loan of it is answered later by this process.

use std::time::Duration;

use crate::audit::AuditEvent;
use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::metrics;
use crate::store::{Store, StoreError, StoredConnection, Tx};
use crate::vault::{DEADLINE, HostSwitch, Vault};

/// Why nothing is lent, of whichever org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrozenBy {
    /// Something is lent.
    Nobody,
    /// A file on this host.
    Host,
    /// A witness, which knows more of the trail than the database.
    Witness,
    /// The log over the trail, which is not one that this vault's keys made.
    Log,
    /// The database: the whole vault.
    Vault,
}

impl FrozenBy {
    /// As `/readyz` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "no",
            Self::Host => "host",
            Self::Witness => "witness",
            Self::Log => "log",
            Self::Vault => "vault",
        }
    }
}

impl Vault {
    /// Why nothing is lent, of whichever org.
    pub async fn frozen_by(&self) -> Result<FrozenBy, Error> {
        if self.switch.is_there() {
            return Ok(FrozenBy::Host);
        }
        if self.switch.is_other_log() {
            return Ok(FrozenBy::Log);
        }
        if self.switch.is_behind() {
            return Ok(FrozenBy::Witness);
        }
        let since = self.store.see_vault_frozen(Duration::from_secs(1)).await?;
        Ok(if since.is_some() { FrozenBy::Vault } else { FrozenBy::Nobody })
    }

    /// Looks for this host's file. Once it is there, what is under check here ends. Blocks for the look alone.
    pub async fn follow_host(&self) {
        let was_frozen = self.switch.is_there();
        let is_frozen = match self.switch.look() {
            Ok(is_frozen) => is_frozen,
            Err(error) => {
                tracing::error!(%error, "the data directory can't be looked into: frozen or not stays as it was");
                was_frozen
            }
        };
        metrics::frozen("host", is_frozen);
        match (was_frozen, is_frozen) {
            (false, true) => {
                tracing::error!("frozen: the file {} is there", self.switch.file().display());
                self.checks.stop_all().await;
                self.injections.stop_all().await;
            }
            (true, false) => tracing::warn!("no longer frozen: the file is gone"),
            _ => {}
        }
    }

    /// Tells the metrics whether the whole vault is frozen, and puts on record what became of this host's file, as
    /// soon as the database takes it: with its coming, every open lease ends.
    pub async fn follow_vault(&self) {
        if let Ok(since) = self.store.see_vault_frozen(DEADLINE).await {
            metrics::frozen("vault", since.is_some());
        }
        let Ok(Some(is_frozen)) = self.switch.to_record() else { return };
        let (store, at) = (self.store.clone(), self.clock.now());
        let record = move || record_host(&store, is_frozen, at);
        let recorded = tokio::task::spawn_blocking(record).await;
        let recorded = recorded.map_err(|_| Error::Unavailable("the record broke off".into()));
        match recorded.and_then(|recorded| recorded) {
            Ok(()) => {
                if let Err(error) = self.switch.recorded(is_frozen) {
                    tracing::warn!(%error, "the next start puts the host's file on record again");
                }
            }
            Err(error) => tracing::debug!(%error, "the host's file is not on record yet"),
        }
    }
}

fn record_host(store: &Store, is_frozen: bool, at: Moment) -> Result<(), Error> {
    // Other hosts go on: nobody is held up.
    store.upkeep("record host's file", |tx| {
        if is_frozen {
            tx.end_all_leases(at)?;
        }
        Ok(tx.append(&event_of_vault(is_frozen, "file", at)?)?)
    })
}

/// A writer that is in the way has ended by then, and so has a session that broke off in the middle.
const TRIED_FOR: Duration = Duration::from_secs(16);
const PAUSE: Duration = Duration::from_millis(100);

/// Freezes the whole vault in the database, or ends that, on record; by command on a host. Blocks, and is tried again
/// for a while where others write.
pub fn switch_vault(store: &Store, is_frozen: bool, clock: &Clock) -> Result<(), Error> {
    let begun = clock.elapsed();
    loop {
        match switch_once(store, is_frozen, clock.now()) {
            Err(Error::Unavailable(_)) if clock.elapsed().saturating_sub(begun) < TRIED_FOR => {
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

fn switch_once(store: &Store, is_frozen: bool, at: Moment) -> Result<(), Error> {
    store.switch_vault(if is_frozen { "freeze vault" } else { "unfreeze vault" }, |tx| {
        tx.set_frozen(is_frozen, at)?;
        if is_frozen {
            tx.end_all_leases(at)?;
        }
        Ok(tx.append(&event_of_vault(is_frozen, "command", at)?)?)
    })
}

fn event_of_vault(is_frozen: bool, by: &str, at: Moment) -> Result<AuditEvent, Error> {
    let action = if is_frozen { "vault.freeze" } else { "vault.unfreeze" };
    Ok(AuditEvent::of_vault_with(action, "vault", &[("by", by)], at)?)
}

/// Connections as they are shown: `frozen` while their org, the vault or this host (`here`) is.
pub(super) fn show_frozen(tx: &mut Tx, here: bool, shown: &mut [StoredConnection]) -> Result<(), StoreError> {
    if !shown.is_empty() && (here || tx.find_frozen()?.is_frozen()) {
        shown.iter_mut().for_each(|connection| connection.state = "frozen".into());
    }
    Ok(())
}

/// How often a check or a read that is under way looks whether it may go on: less than the second in which a freeze is
/// everywhere.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Ends once the scope's org, the vault or this host is frozen: by whichever vault that was done.
pub(super) async fn frozen_meanwhile(store: &Store, scope: &crate::access::Scope, switch: &HostSwitch) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if switch.is_frozen() {
            return;
        }
        let look = |tx: &mut Tx| tx.find_frozen();
        let found = store.view("look for freeze", scope.clone(), DEADLINE, look).await;
        if found.is_ok_and(|found| found.is_frozen()) {
            return;
        }
    }
}
