//! The log over all chains: begun once, grown and signed again and again, told to witnesses, and held against what
//! they know. A database that knows less than a witness is older than it should be: then nothing is lent.

mod accept;
mod begin;
mod courier;
mod doubt;
mod follows;
mod keeper;

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Checkpoints, Witness};
use crate::metrics;
use crate::seal::{OpenRefused, SealFailed};
use crate::store::{Store, StoreError};
use crate::vault::HostSwitch;
use crate::vault::keys::Ring;

pub use accept::{Accepted, Looked, accept, look_at_log};
pub use begin::{LogShut, begin_log, origin_host};
pub use doubt::{Doubt, Doubted};
pub use keeper::Keeper;

/// What the log is kept with.
pub struct Log {
    /// Where it lies.
    pub store: Store,
    /// What opens its key.
    pub ring: Arc<Ring>,
    /// What time it is.
    pub clock: Clock,
    /// What is thrown while a witness knows more than the database.
    pub switch: Arc<HostSwitch>,
    /// When it is signed, and who is told.
    pub checkpoints: Checkpoints,
}

impl Log {
    /// Nothing is lent while `doubted` says that a witness knows more.
    fn set_doubted(&self, doubted: &[Doubted]) {
        for Doubted { doubt, witness, .. } in doubted {
            tracing::error!(%witness, "frozen: {doubt}; `pawl doctor --accept-restore` if that is as it should be");
        }
        self.switch.set_behind(!doubted.is_empty());
        metrics::frozen("witness", !doubted.is_empty());
    }

    /// Nothing is lent while the log in the database is not one that this vault's keys made. One whose key can't be
    /// had says nothing, where nobody would be asked of it.
    fn set_shut(&self, shut: Option<&LogShut>) {
        let is_missing = matches!(shut, Some(LogShut::Shut(OpenRefused::UnknownKey, _)));
        let shut = shut.filter(|_| !is_missing || !self.checkpoints.witnesses.is_empty());
        if let (Some(shut), false) = (shut, self.switch.is_other_log()) {
            tracing::error!(
                "frozen: {shut}; `pawl doctor --accept-restore` if the database is as it should be"
            );
        }
        if shut.is_none() && self.switch.is_other_log() {
            tracing::warn!("no longer frozen: the log in the database is this vault's");
        }
        self.switch.set_other_log(shut.is_some());
        metrics::frozen("log", shut.is_some());
    }
}

/// Why a log is not begun or not accepted.
#[derive(Debug, thiserror::Error)]
pub enum LogRefused {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealFailed),
    /// No randomness.
    #[error(transparent)]
    NoRandomness(#[from] crate::clock::NoRandomness),
    /// No witness knows more than the database.
    #[error(
        "nothing to accept: the log is this vault's, and no witness that answers knows more than the database"
    )]
    NothingToAccept,
    /// Another log was begun meanwhile.
    #[error("another log was begun meanwhile: look again")]
    Meanwhile,
    /// The key that it is sealed under is not held, or it does not open.
    #[error("the key of the trail's log does not open: {0}")]
    Shut(OpenRefused),
}

/// How a witness is told from others in the metrics: by its place in the settings.
fn numbered(checkpoints: &Checkpoints) -> impl Iterator<Item = (usize, &Witness)> {
    checkpoints.witnesses.iter().enumerate().map(|(at, witness)| (at + 1, witness))
}
