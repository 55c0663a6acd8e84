//! The vault as its clients see it: borrow a credential, hand it back, over the HTTP API alone.
//! The secret goes from the answer's buffer, which is wiped, straight into a [`Secret`].

use std::path::Path;
use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::clock::{Clock, Moment};
use crate::credential::CredentialKind;
use crate::ids::{ConnectionId, LeaseId, RunId};
use crate::secret::Secret;
use crate::sync::channel::Channel;
use crate::sync::identity::Identity;
use crate::sync::refusal::BorrowError;
use crate::sync::vault_url::VaultUrl;
use crate::telemetry::TraceId;

/// A borrowed credential. Wiped when dropped.
pub struct Loan {
    /// To be handed back.
    pub lease: LeaseId,
    /// Where the credential may be sent.
    pub url: String,
    /// The database there.
    pub database: String,
    /// The login there.
    pub username: String,
    /// What the credential is.
    pub kind: CredentialKind,
    /// The credential.
    pub secret: Secret,
    /// When it ends by itself.
    pub expires_at: Option<Moment>,
}

/// How the run went, for the vault's trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All was read.
    Ok,
    /// Something failed.
    Failed,
    /// Odoo refused the credential.
    AuthFailed,
}

impl Outcome {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::AuthFailed => "auth_failed",
        }
    }
}

/// A client of one vault. Holds a token: neither printed nor cloned.
pub struct VaultClient(Channel);

/// How a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// It may be used.
    Open,
    /// It came to its end or was handed back.
    Ended,
    /// The connection was forgotten.
    Forgotten,
}

impl VaultClient {
    /// A client that follows no redirect and heeds no proxy. With a file `ca`, nobody but whose certificates
    /// lie there vouches for the vault.
    pub fn new(
        url: VaultUrl,
        ca: Option<&Path>,
        identity: Identity,
        clock: Clock,
    ) -> Result<Self, BorrowError> {
        Channel::new(url, ca, identity, clock).map(Self)
    }

    /// The trace that everything it asks belongs to. Told to the vault, and to nobody's Odoo.
    pub fn trace_id(&self) -> TraceId {
        self.0.trace.id
    }

    /// When there is no token any more, if there is such a time.
    pub fn token_ends(&self) -> Option<Moment> {
        self.0.tokens.end()
    }

    /// Borrows the connection's credential for a sync, exclusively. The same run gets its own lease
    /// again.
    pub async fn lend(
        &self,
        connection: &ConnectionId,
        run: &RunId,
        lasting: Duration,
    ) -> Result<Loan, BorrowError> {
        self.borrow(connection, &json!({"purpose": "sync", "ttl_seconds": lasting.as_secs(), "run_id": run}))
            .await
    }

    /// Borrows it for a check: not exclusively, and also after Odoo refused it.
    pub async fn lend_for_check(
        &self,
        connection: &ConnectionId,
        lasting: Duration,
    ) -> Result<Loan, BorrowError> {
        self.borrow(connection, &json!({"purpose": "check", "ttl_seconds": lasting.as_secs()})).await
    }

    async fn borrow(&self, connection: &ConnectionId, body: &serde_json::Value) -> Result<Loan, BorrowError> {
        let answer = self.0.change(&["v1", "connections", connection.as_str(), "leases"], body).await?;
        if answer.status != StatusCode::CREATED {
            return Err(self.0.problem(&answer));
        }
        let loan: LoanView = serde_json::from_slice(&answer.body).map_err(|_| self.0.strange())?;
        let lease = LeaseId::parse(&loan.id).map_err(|_| self.0.strange())?;
        let LentConnection { url, database, username } = loan.connection;
        let LentCredential { kind, secret, expires_at } = loan.credential;
        let expires_at = expires_at.as_deref().and_then(Moment::parse);
        Ok(Loan { lease, url, database, username, kind, secret, expires_at })
    }

    /// Lets a lease last so long from now on.
    pub async fn renew(&self, lease: &LeaseId, lasting: Duration) -> Result<(), BorrowError> {
        let body = json!({"ttl_seconds": lasting.as_secs()});
        let answer = self.0.change(&["v1", "leases", lease.as_str(), "renew"], &body).await?;
        if answer.status == StatusCode::OK { Ok(()) } else { Err(self.0.problem(&answer)) }
    }

    /// How a lease stands.
    pub async fn state(&self, lease: &LeaseId) -> Result<LeaseState, BorrowError> {
        let answer = self.0.find(&["v1", "leases", lease.as_str()]).await?;
        if answer.status != StatusCode::OK {
            return Err(self.0.problem(&answer));
        }
        let lease: LeaseView = serde_json::from_slice(&answer.body).map_err(|_| self.0.strange())?;
        match (lease.state.as_str(), lease.outcome.as_deref()) {
            ("open", _) => Ok(LeaseState::Open),
            ("ended", Some("forgotten")) => Ok(LeaseState::Forgotten),
            ("ended", _) => Ok(LeaseState::Ended),
            _ => Err(self.0.strange()),
        }
    }

    /// Hands a lease back, or gives it up after so long: it ends by itself.
    pub async fn give_back(
        &self,
        lease: &LeaseId,
        (outcome, records): (Outcome, u64),
        within: Duration,
    ) -> Result<(), BorrowError> {
        let body = json!({"outcome": outcome.as_str(), "records": records});
        let path = ["v1", "leases", lease.as_str(), "return"];
        let answered = tokio::time::timeout(within, self.0.change(&path, &body)).await;
        let answer = answered.unwrap_or_else(|_| Err(self.0.silent()))?;
        if answer.status == StatusCode::NO_CONTENT { Ok(()) } else { Err(self.0.problem(&answer)) }
    }
}

#[derive(Deserialize)]
struct LoanView {
    id: String,
    connection: LentConnection,
    credential: LentCredential,
}

#[derive(Deserialize)]
struct LeaseView {
    state: String,
    outcome: Option<String>,
}

#[derive(Deserialize)]
struct LentConnection {
    url: String,
    database: String,
    username: String,
}

#[derive(Deserialize)]
struct LentCredential {
    kind: CredentialKind,
    secret: Secret,
    expires_at: Option<String>,
}
