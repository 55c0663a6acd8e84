//! The vault as its clients see it: borrow a credential, hand it back, over the HTTP API alone.
//! The secret goes from the answer's buffer, which is wiped, straight into a [`Secret`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::clock::{Clock, Moment, new_id};
use crate::egress::tls_cause;
use crate::ids::{ConnectionId, LeaseId, RequestId, RunId};
use crate::secret::Secret;
use crate::sync::refusal::{BorrowError, Refusal, Request};
use crate::sync::token;
use crate::sync::vault_url::VaultUrl;
use crate::telemetry::{Trace, TraceId};

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
pub struct VaultClient {
    http: Client,
    url: VaultUrl,
    token: Secret,
    token_ends: Option<Moment>,
    clock: Clock,
    trace: Trace,
}

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

/// A lease that another run holds may be handed back before its time: ask again this soon.
const ASK_AGAIN_WITHIN: Duration = Duration::from_secs(2);
/// A change whose answer was lost is asked for once more, after this long.
const ASK_ONCE_MORE: Duration = Duration::from_millis(500);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Larger than any loan; with this much room the buffer never moves, so no copy is left behind.
const MAX_ANSWER: usize = 64 * 1024;

impl VaultClient {
    /// A client that follows no redirect and heeds no proxy. With a file `ca`, nobody but whose certificates
    /// lie there vouches for the vault.
    pub fn new(url: VaultUrl, ca: Option<&Path>, token: Secret, clock: Clock) -> Result<Self, BorrowError> {
        // Fails when it was chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = match ca {
            Some(ca) => Client::builder().tls_certs_only(certificates(ca)?),
            None => Client::builder(),
        };
        let http = builder
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .resolve("localhost", SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
            .build()
            .map_err(|_| BorrowError::NoClient)?;
        let token_ends = token::ends_at(&token, clock.now());
        let trace = Trace::begin().map_err(|_| BorrowError::NoClient)?;
        Ok(Self { http, url, token, token_ends, clock, trace })
    }

    /// The trace that everything it asks belongs to. Told to the vault, and to nobody's Odoo.
    pub fn trace_id(&self) -> TraceId {
        self.trace.id
    }

    /// When the token ends, if it says so.
    pub fn token_ends(&self) -> Option<Moment> {
        self.token_ends
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
        let answer = self.change(&["v1", "connections", connection.as_str(), "leases"], body).await?;
        if answer.status != StatusCode::CREATED {
            return Err(self.problem(&answer));
        }
        let loan: LoanView = serde_json::from_slice(&answer.body).map_err(|_| self.strange())?;
        let lease = LeaseId::parse(&loan.id).map_err(|_| self.strange())?;
        let LentConnection { url, database, username } = loan.connection;
        let LentCredential { secret, expires_at } = loan.credential;
        let expires_at = expires_at.as_deref().and_then(Moment::parse);
        Ok(Loan { lease, url, database, username, secret, expires_at })
    }

    /// Lets a lease last so long from now on.
    pub async fn renew(&self, lease: &LeaseId, lasting: Duration) -> Result<(), BorrowError> {
        let body = json!({"ttl_seconds": lasting.as_secs()});
        let answer = self.change(&["v1", "leases", lease.as_str(), "renew"], &body).await?;
        if answer.status == StatusCode::OK { Ok(()) } else { Err(self.problem(&answer)) }
    }

    /// How a lease stands.
    pub async fn state(&self, lease: &LeaseId) -> Result<LeaseState, BorrowError> {
        let answer = self.send(self.http.get(self.url.path(&["v1", "leases", lease.as_str()]))).await?;
        if answer.status != StatusCode::OK {
            return Err(self.problem(&answer));
        }
        let lease: LeaseView = serde_json::from_slice(&answer.body).map_err(|_| self.strange())?;
        match (lease.state.as_str(), lease.outcome.as_deref()) {
            ("open", _) => Ok(LeaseState::Open),
            ("ended", Some("forgotten")) => Ok(LeaseState::Forgotten),
            ("ended", _) => Ok(LeaseState::Ended),
            _ => Err(self.strange()),
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
        let answered = tokio::time::timeout(within, self.change(&path, &body)).await;
        let answer = answered.unwrap_or_else(|_| Err(BorrowError::Unreachable(self.url.clone())))?;
        if answer.status == StatusCode::NO_CONTENT { Ok(()) } else { Err(self.problem(&answer)) }
    }

    /// Asks for a change; when no answer comes, once more under the same key, so that it is done once.
    async fn change(&self, path: &[&str], body: &serde_json::Value) -> Result<Answer, BorrowError> {
        let key = new_id("call", self.clock.now()).map_err(|_| BorrowError::NoClient)?;
        let request = || {
            let request = self.http.post(self.url.path(path)).header("Idempotency-Key", &key);
            request.header("Content-Type", "application/json").body(body.to_string())
        };
        match self.send(request()).await {
            Err(BorrowError::Unreachable(_)) => {
                tokio::time::sleep(ASK_ONCE_MORE).await;
                self.send(request()).await
            }
            answered => answered,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, BorrowError> {
        // The error could quote the address at most; it is not kept all the same.
        let unreachable = |error: reqwest::Error| match tls_cause(&error) {
            Some(cause) => BorrowError::Tls(self.url.clone(), cause),
            None => BorrowError::Unreachable(self.url.clone()),
        };
        let asks = self.trace.next().map_err(|_| BorrowError::NoClient)?;
        let request = request.bearer_auth(self.token.expose()).header("traceparent", asks.header());
        let mut response: Response = request.send().await.map_err(unreachable)?;
        let mut body = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.strange());
            }
            body.extend_from_slice(&chunk);
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        Ok(Answer { status: response.status(), retry_after, body })
    }

    fn strange(&self) -> BorrowError {
        BorrowError::NotAVault(self.url.clone())
    }

    fn problem(&self, answer: &Answer) -> BorrowError {
        let status = answer.status;
        let problem = serde_json::from_slice::<ProblemView>(&answer.body).ok();
        let named = problem.as_ref().and_then(|problem| problem.r#type.strip_prefix("urn:pawl:problem:"));
        let id = problem.as_ref().and_then(|problem| RequestId::parse(&problem.request_id).ok());
        let refusal = named.map(|name| Refusal::of(status, name));
        let is_held = named == Some("lease-held");
        let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        match (refusal, problem.and_then(|problem| Moment::parse(&problem.held_until?))) {
            (Some(_), Some(until)) if is_held => {
                let retry_after = answer.retry_after.unwrap_or(ASK_AGAIN_WITHIN).min(ASK_AGAIN_WITHIN);
                BorrowError::Held { until, retry_after }
            }
            (Some(Refusal::DoesNotOpen), _) => BorrowError::Refused(Refusal::DoesNotOpen, Request(id)),
            _ if passes => BorrowError::Unavailable(Request(id)),
            (Some(refusal), _) => BorrowError::Refused(refusal, Request(id)),
            (None, _) => self.strange(),
        }
    }
}

fn certificates(file: &Path) -> Result<Vec<Certificate>, BorrowError> {
    let pem = std::fs::read(file).map_err(|_| BorrowError::Ca("the file can't be read"))?;
    let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() { Err(BorrowError::Ca("the file holds no certificate in PEM")) } else { Ok(found) }
}

struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Zeroizing<Vec<u8>>,
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
    secret: Secret,
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct ProblemView {
    r#type: String,
    #[serde(default)]
    request_id: String,
    held_until: Option<String>,
}
