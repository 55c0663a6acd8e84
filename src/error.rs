//! What can go wrong, in the domain's words. `http/problem.rs` maps each to an answer.

use crate::access::{Action, Spent, Unmet};
use crate::clock::{Moment, NoRandomness};
use crate::ids::{ConnectionId, IdRefused, KeyId};
use crate::store::{LendRefused, StoreError};

/// One thing wrong with one member of what was sent. Never quotes a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The member, with dots for depth: `credential.secret`.
    pub field: String,
    /// The stable name of the rule.
    pub rule: &'static str,
    /// The rule as a sentence.
    pub detail: String,
}

impl FieldError {
    /// `field` breaks `rule`, which says `detail`.
    pub fn new(field: &str, rule: &'static str, detail: impl Into<String>) -> Self {
        Self { field: field.to_owned(), rule, detail: detail.into() }
    }

    /// `field` is no identifier of its kind.
    pub fn of_id(field: &str, refused: IdRefused) -> Self {
        Self::new(field, refused.rule(), refused.to_string())
    }

    /// `field` is for passwords and API keys of Odoo's alone; of other kinds it `must`.
    pub fn of_odoo_alone(field: &str, must: &str) -> Self {
        Self::new(field, "odoo_alone", format!("{must}: the credential is not Odoo's"))
    }
}

/// Why the vault did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No role of the caller grants it.
    #[error("no role of this token grants {}", .0.as_str())]
    Denied(Action),
    /// What was sent breaks rules.
    #[error("what was sent breaks {} rules", .0.len())]
    Invalid(Vec<FieldError>),
    /// The caller's scope has no such thing.
    #[error("there is no such thing here")]
    NotFound,
    /// There is a connection for that address already.
    #[error("there is a connection for that address already")]
    Duplicate(ConnectionId),
    /// Another run holds the exclusive lease.
    #[error("another run holds this connection's sync lease")]
    LeaseHeld {
        /// At the latest until then.
        until: Moment,
        /// When that was found.
        now: Moment,
    },
    /// Odoo refused so many logins of a check that no more is tried for a while.
    #[error("Odoo refused too many logins that were checked: none is tried until {until}")]
    TooManyRefusals {
        /// Until then.
        until: Moment,
        /// When that was found.
        now: Moment,
    },
    /// So many checks of one host for one org that no more is made for a while.
    #[error("this org had as many checks of this host as may be in a minute: none is made until {until}")]
    TooManyChecks {
        /// Until then.
        until: Moment,
        /// When that was found.
        now: Moment,
    },
    /// The lease was ended or its time is over.
    #[error("the lease has ended")]
    LeaseEnded,
    /// The lease was lent to another client.
    #[error("the lease was lent to another client")]
    NotHolder,
    /// No grant of the caller's has its conditions met.
    #[error(transparent)]
    Unmet(Unmet),
    /// The member asks for what a credential of Odoo's alone can do.
    #[error("the connection's credential is not Odoo's")]
    NotOdoo(FieldError),
    /// Odoo refused the credential; it is lent for no sync until it is replaced or a check logs in.
    #[error("Odoo refused the credential: replace it, or check the connection")]
    AuthFailed,
    /// A check of the connection is under way.
    #[error("a check of this connection is under way: wait for its end")]
    CheckRunning,
    /// The credential was replaced since it was lent, or deposited under this Idempotency-Key.
    #[error("the credential was replaced since: borrow again, or look at the connection")]
    CredentialReplaced,
    /// The org, or the whole vault, is frozen.
    #[error(
        "frozen: nothing is lent, checked or deposited until an owner, or for the whole vault an operator, ends it"
    )]
    Frozen,
    /// As many leases are out as may be, of the org or of the connection.
    #[error("too many leases of this org or this connection are out: hand some back, or wait until one ends")]
    TooManyLeases {
        /// When the first of them ends.
        until: Moment,
        /// When that was found.
        now: Moment,
    },
    /// The org does not let the connection's host be called.
    #[error(
        "the org's owner does not let this connection's host be called: see allowed_hosts of its settings"
    )]
    HostNotAllowed,
    /// The org has its credentials used by injection alone.
    #[error(
        "this org lends no credential of Odoo's: ask for records instead (POST /v1/connections/{{id}}/read)"
    )]
    InjectionOnly,
    /// The credential's user can do more than read.
    #[error(
        "a check found that this Odoo user can do more than read, so the credential is not lent: ask for records \
         instead (POST /v1/connections/{{id}}/read), or take the user's rights away and check again"
    )]
    MayWrite,
    /// As many injections are under way as may be, of the org, to the host or of all, or as large ones.
    #[error(
        "too many reads of this org or of this host, or too large ones, are under way: wait until one has ended"
    )]
    TooManyReads,
    /// The host answered nobody of late.
    #[error("the host of that Odoo does not answer: it is not called until {until}")]
    HostDown {
        /// Until then.
        until: Moment,
        /// When that was found.
        now: Moment,
    },
    /// Odoo, or what stands there, did not answer with records.
    #[error("{detail}")]
    OdooFailed {
        /// The cause's stable name.
        code: &'static str,
        /// The cause.
        detail: String,
    },
    /// What came back held the credential.
    #[error("what that Odoo answered holds the credential itself: the answer was cut, and it is on record")]
    LeakStopped,
    /// An answer before held the credential, and it is the same still.
    #[error("an answer of that Odoo held this credential: nothing is read with it until it is replaced")]
    CredentialLeaked,
    /// The org's trail takes no more events of this UTC day.
    #[error("this org has used up its events of today: nothing is lent or changed until midnight UTC")]
    EventQuota {
        /// When that was found.
        now: Moment,
    },
    /// The caller was denied more than they may ask.
    #[error("this caller is past their limit of {}, which calls that are denied count for", .0.budget.of.as_str())]
    Spent(Spent),
    /// As many exports of the org, or of all orgs, are open as may be.
    #[error("too many exports are open: take one to its end, or hang up")]
    TooManyExports,
    /// The Idempotency-Key was used for another request.
    #[error("this Idempotency-Key was used for another request: take a new one for each")]
    KeyReused,
    /// The stored value was not sealed for the place where it lies.
    #[error("the stored credential does not open where it lies")]
    DoesNotOpen,
    /// The stored value names a key that is not held.
    #[error("the key of the stored credential is not held")]
    KeyNotHeld,
    /// The ring is older than what it met: a key that it does not hold, or that may not seal any more.
    #[error("the key {0} came or went meanwhile")]
    OldRing(KeyId),
    /// The database or the system could not do it now. No secret was sent.
    #[error("the vault can't do this now: {0}")]
    Unavailable(String),
    /// A stored row holds what the vault never writes.
    #[error("a stored row is damaged: {0}")]
    Damaged(&'static str),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(table) => Self::Damaged(table),
            StoreError::KeyMayNotSeal(key) => Self::OldRing(key),
            StoreError::PastQuota(now) => Self::EventQuota { now },
            error @ (StoreError::NoDatabase(_)
            | StoreError::NotSetUp
            | StoreError::NotSafe(_)
            | StoreError::Unavailable(_)
            | StoreError::Duplicate) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<NoRandomness> for Error {
    fn from(error: NoRandomness) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self::Invalid(vec![error])
    }
}

impl Error {
    /// What a refused lend found at `now` is to the caller.
    pub(crate) fn of_lend(refused: LendRefused, now: Moment) -> Self {
        match refused {
            LendRefused::NotFound => Self::NotFound,
            LendRefused::Held(held) => Self::LeaseHeld { until: held.until, now },
            LendRefused::Unmet(unmet) => Self::Unmet(unmet),
            LendRefused::Denied(action) => Self::Denied(action),
            LendRefused::NotOdoo => Self::NotOdoo(FieldError::of_odoo_alone("purpose", "must be other")),
            LendRefused::AuthFailed => Self::AuthFailed,
            LendRefused::UnknownKey(_) | LendRefused::RetiredKey(_) => Self::KeyNotHeld,
            LendRefused::DoesNotOpen => Self::DoesNotOpen,
            LendRefused::LeaseEnded => Self::LeaseEnded,
            LendRefused::NotHolder => Self::NotHolder,
            LendRefused::CredentialReplaced => Self::CredentialReplaced,
            LendRefused::KeyReused => Self::KeyReused,
            LendRefused::Frozen => Self::Frozen,
            LendRefused::HostNotAllowed => Self::HostNotAllowed,
            LendRefused::InjectionOnly => Self::InjectionOnly,
            LendRefused::MayWrite => Self::MayWrite,
            LendRefused::Leaked => Self::CredentialLeaked,
            LendRefused::PastQuota => Self::EventQuota { now },
            LendRefused::TooMany(full) => Self::TooManyLeases { until: full.until, now },
        }
    }
}
