//! Why a run did not come to its end, and what a caller in a script should make of it.

use crate::egress::{EgressError, UrlRefused};
use crate::odoo::{NotReadable, OdooError, ReadableRefused};
use crate::sync::refusal::{BorrowError, Refusal};
use crate::sync::sink::SinkError;

/// The cause. Holds nothing that Odoo sent, and no secret.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The vault lent nothing.
    #[error(transparent)]
    Borrow(#[from] BorrowError),
    /// Odoo did not answer with records.
    #[error("{1} ({model})", model = if .0.is_empty() { "login" } else { .0 })]
    Odoo(String, OdooError),
    /// The vault lent a connection to a host that this worker may not call.
    #[error("the connection's address {0}; PAWL_EGRESS_ALLOW names exceptions")]
    Address(UrlRefused),
    /// No client for Odoo could be made.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// The sink did not take it.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The plan and the policy disagree.
    #[error(transparent)]
    NotReadable(#[from] NotReadable),
    /// The policy compiled into this binary is none.
    #[error(transparent)]
    Policy(#[from] ReadableRefused),
    /// It was told to stop.
    #[error("stopped; what was read so far is kept, and the next run goes on")]
    Stopped,
    /// The lease came to its end before the records did.
    #[error("the lease has come to its end; what was read so far is kept, and the next run goes on")]
    LeaseOver,
    /// Nobody says any more whether the lease is open.
    #[error(
        "the vault does not say any more that the lease is open; what was read so far is kept, and the next run goes on"
    )]
    VaultSilent,
    /// The token is about to end.
    #[error(
        "the token is about to end; what was read so far is kept, and the next run goes on: mint another token"
    )]
    TokenOver,
    /// The connection was forgotten.
    #[error("the connection was forgotten; what was read so far is kept, and nothing more is read")]
    Forgotten,
    /// Odoo answered with what was not asked for: other ids, not in order, too many, or no time.
    #[error("Odoo's answer is not what was asked for; nothing of it was kept ({0})")]
    NotAsked(String),
    /// Odoo shows a record, and then none.
    #[error("Odoo shows the newest record of {0} and then none at all; nothing was removed")]
    Contradiction(String),
    /// So much is seldom deleted; it may be hidden.
    #[error(
        "{missing} of {of} records of {model} are no longer shown to the bot; nothing was removed; if that is \
         right, run with --accept-removals"
    )]
    MassRemoval {
        /// The model.
        model: String,
        /// How many it would remove.
        missing: u64,
        /// Of how many.
        of: u64,
    },
    /// Odoo goes on for ever.
    #[error("Odoo answers with more records than there can be ({0})")]
    Endless(String),
}

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It failed, and will again until somebody looks.
    Failed,
    /// What was asked can't be.
    Usage,
    /// Try again later.
    Later,
    /// Odoo refused the credential.
    CredentialRefused,
}

impl SyncError {
    /// What to make of it.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Borrow(BorrowError::Refused(Refusal::AuthFailed, _)) => Verdict::CredentialRefused,
            Self::Odoo(_, cause) if cause.is_refusal() => Verdict::CredentialRefused,
            Self::Odoo(_, cause) if cause.retryable() => Verdict::Later,
            Self::Sink(
                SinkError::OtherConnection { .. } | SinkError::OtherLayout(_) | SinkError::Foreign(_),
            )
            | Self::Borrow(BorrowError::Ca(_)) => Verdict::Usage,
            Self::Stopped
            | Self::LeaseOver
            | Self::VaultSilent
            | Self::TokenOver
            | Self::Sink(SinkError::Busy(_) | SinkError::Locked | SinkError::ReaderGone)
            | Self::Borrow(
                BorrowError::Unreachable(_)
                | BorrowError::Unavailable(_)
                | BorrowError::Held { .. }
                | BorrowError::Refused(Refusal::Frozen, _),
            ) => Verdict::Later,
            Self::Odoo(..)
            | Self::Address(_)
            | Self::Egress(_)
            | Self::NotReadable(_)
            | Self::Policy(_)
            | Self::Forgotten
            | Self::NotAsked(_)
            | Self::Contradiction(_)
            | Self::MassRemoval { .. }
            | Self::Endless(_)
            | Self::Sink(
                SinkError::Io { .. }
                | SinkError::Database(_)
                | SinkError::Output(_)
                | SinkError::Broken
                | SinkError::NoRandomness(_),
            )
            | Self::Borrow(
                BorrowError::Refused(..)
                | BorrowError::Tls(..)
                | BorrowError::NotAVault(_)
                | BorrowError::NoClient,
            ) => Verdict::Failed,
        }
    }
}
