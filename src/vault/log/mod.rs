//! The log over all chains: begun once, grown and signed again and again, told to witnesses, and held against what
//! they know. A database that knows less than a witness is older than it should be: then nothing is lent.

mod accept;
mod begin;
mod courier;
mod doubt;
mod doubting;
mod follows;
mod keeper;
mod session;
mod signing;
mod witnesses;

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Checkpoints;
use crate::metrics;
use crate::seal::{OpenRefused, SealFailed};
use crate::store::{Store, StoreError};
use crate::vault::HostSwitch;
use crate::vault::keys::Ring;

pub use accept::{Accepted, Looked, accept, look_at_log};
pub(super) use begin::BEGIN;
pub use begin::{LogShut, begin_log, origin_host};
pub use doubt::{Doubt, Doubted};
pub use doubting::Doubting;
pub use keeper::Keeper;
pub use witnesses::{Telling, Witnesses};

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
    /// When it is signed.
    pub checkpoints: Checkpoints,
    /// Who is told.
    pub witnesses: Witnesses,
    /// Where it is kept that the database was doubted.
    pub doubting: Doubting,
}

impl Log {
    /// Nothing is lent from here on: `doubted` says that a witness knows more, or this process itself.
    fn doubt(&self, doubted: &[Doubted]) {
        if doubted.is_empty() {
            return;
        }
        self.switch.set_behind(true);
        metrics::frozen("witness", true);
        for Doubted { doubt, witness, .. } in doubted {
            tracing::error!(%witness, "frozen: {doubt}; `pawl doctor --accept-restore` if that is as it should be");
        }
        // Of a log that is not believed everything is strange; when it is again, the witnesses are asked anew.
        if self.switch.is_other_log() {
            return;
        }
        if let Err(error) = self.doubting.keep(doubted) {
            tracing::error!(%error, "that this host is frozen could not be kept: that is tried again while it runs");
        }
    }

    /// What could not be kept before is kept as soon as the data directory takes it.
    fn keep_doubts(&self) {
        if let Err(error) = self.doubting.keep(&[]) {
            tracing::debug!(%error, "that this host is frozen can still not be kept");
        }
    }

    /// Whether anything is lent, where the log `known` is believed: not while anybody doubts the database, nor before
    /// what a witness has was held against it.
    fn settle(&self, known: Option<&follows::Known>) {
        let is_behind = !self.remembered(known).is_empty() || self.witnesses.is_any_unjudged();
        self.switch.set_behind(is_behind);
        metrics::frozen("witness", is_behind);
    }

    /// What was doubted before and is not accepted yet, where the log `known` is believed.
    fn remembered(&self, known: Option<&follows::Known>) -> Vec<Doubted> {
        let (settled, left): (Vec<_>, Vec<_>) =
            self.doubting.read().into_iter().partition(|doubted| doubted.is_settled(known));
        if left.is_empty()
            && !settled.is_empty()
            && let Err(error) = self.doubting.end()
        {
            tracing::error!(%error, "what was doubted is accepted, and the file that says so can't be removed");
        }
        left
    }

    /// Nothing is lent while the log in the database is not one that this vault's keys made. One whose key can't be
    /// had says nothing, where nobody would be asked of it.
    fn set_shut(&self, shut: Option<&LogShut>) {
        let is_missing = matches!(shut, Some(LogShut::Shut(OpenRefused::UnknownKey, _)));
        let shut = shut.filter(|_| !is_missing || !self.witnesses.is_empty());
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
    /// It was accepted, and the file says otherwise.
    #[error("accepted, on record; but the file `doubted` in the data directory can't be removed: {0}")]
    StillMarked(std::io::Error),
    /// Another log was begun meanwhile.
    #[error("another log was begun meanwhile: look again")]
    Meanwhile,
    /// The key that it is sealed under is not held, or it does not open.
    #[error("the key of the trail's log does not open: {0}")]
    Shut(OpenRefused),
}
