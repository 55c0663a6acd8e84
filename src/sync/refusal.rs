//! Why the vault did not do what the worker asked, as sentences that say what to do.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;

use crate::clock::Moment;
use crate::egress::EgressError;
use crate::ids::RequestId;
use crate::sync::vault_url::VaultUrl;

/// Why nothing was borrowed or handed back. Says what to do; the vault's own words stay there, under
/// the request id.
#[derive(Debug, thiserror::Error)]
pub enum BorrowError {
    /// No answer came.
    #[error("the vault at {0} does not answer")]
    Unreachable(VaultUrl),
    /// No TLS with it.
    #[error("the vault at {0}: {1} (PAWL_CA names the authorities that vouch for it)")]
    Tls(VaultUrl, EgressError),
    /// The file of those who vouch for the vault is none.
    #[error("PAWL_CA: {0}")]
    Ca(&'static str),
    /// It can't do this now.
    #[error("the vault can't do this now{0}")]
    Unavailable(Request),
    /// Somebody else holds the connection's lease.
    #[error("another run holds this connection until {until}")]
    Held {
        /// At the latest until then, by the vault's clock.
        until: Moment,
        /// When to ask again.
        retry_after: Duration,
    },
    /// It refused.
    #[error("{0}{1}")]
    Refused(Refusal, Request),
    /// What answers there is no vault, or another version of it.
    #[error("what answers at {0} does not speak like a vault")]
    NotAVault(VaultUrl),
    /// TLS could not be set up here.
    #[error("no HTTP client could be set up")]
    NoClient,
}

/// The request's id, to be looked up in the vault's log and trail.
#[derive(Debug)]
pub struct Request(pub(super) Option<RequestId>);

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

/// What a refusal means to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 401.
    #[error(
        "the vault does not take this token: it has ended or is not its own; mint one with `pawl token issue`"
    )]
    Token,
    /// 401 for an assertion.
    #[error(
        "the vault does not take this client's assertion: register its key with `pawl client add`; PAWL_URL is to \
         be the vault's own PAWL_PUBLIC_URL, and the clocks to agree within 30 s"
    )]
    Client,
    /// 400 for an assertion that was taken.
    #[error("this client may not act for that org or user, or has to say which: PAWL_ORG, PAWL_USER")]
    Whom,
    /// 423.
    #[error("frozen: the vault lends nothing of this org until its owner, or who runs the vault, ends it")]
    Frozen,
    /// 403.
    #[error("this token may not do that: it takes the role worker, of the connection's own org and user")]
    Role,
    /// 403 with `kind-not-allowed`.
    #[error("this token may not borrow that kind of credential")]
    Kind,
    /// 403 with `environment-not-allowed` or `state-not-allowed`.
    #[error("the vault's policy lends no credential of that environment or state to this token")]
    Condition,
    /// 403 with `host-not-allowed`.
    #[error("the org of that connection does not let its host be called (allowed_hosts of its settings)")]
    Host,
    /// 403 with `injection-only`.
    #[error("the org of that connection lends no credential of Odoo's: it has them used by injection alone")]
    InjectionOnly,
    /// 403 with `may-write`.
    #[error(
        "the Odoo user of that connection can do more than read, so its credential is not lent: take those rights \
         away and check it again, or have the org's owner set lend_to_writers"
    )]
    MayWrite,
    /// 409 with `not-odoo`.
    #[error("that connection keeps no password or API key of an Odoo's: there is nothing to sync or check")]
    NotOdoo,
    /// 404.
    #[error("the vault has no such connection for this token's org and user")]
    NotFound,
    /// 409 with `auth-failed`.
    #[error(
        "Odoo refused the connection's credential, so it is lent for no sync: replace it, or run \
         `pawl-sync check` once the cause is gone"
    )]
    AuthFailed,
    /// 409 with `lease-ended` or `credential-replaced`, 403 with `not-holder`.
    #[error("the lease has ended already")]
    LeaseOver,
    /// 500 with `does-not-open` or `damaged`.
    #[error("the stored credential does not open where it lies: ask who runs the vault")]
    DoesNotOpen,
    /// Anything else.
    #[error("the vault refused the request")]
    Other,
}

impl Refusal {
    pub(super) fn of(status: StatusCode, name: &str) -> Self {
        match (status.as_u16(), name) {
            (_, "auth-failed") => Self::AuthFailed,
            (_, "kind-not-allowed") => Self::Kind,
            (_, "environment-not-allowed" | "state-not-allowed") => Self::Condition,
            (_, "host-not-allowed") => Self::Host,
            (_, "injection-only") => Self::InjectionOnly,
            (_, "may-write") => Self::MayWrite,
            (_, "frozen") => Self::Frozen,
            (_, "not-odoo") => Self::NotOdoo,
            (_, "lease-ended" | "credential-replaced" | "not-holder") => Self::LeaseOver,
            (_, "does-not-open" | "damaged") => Self::DoesNotOpen,
            (401, _) => Self::Token,
            (403, _) => Self::Role,
            (404, _) => Self::NotFound,
            _ => Self::Other,
        }
    }
}
