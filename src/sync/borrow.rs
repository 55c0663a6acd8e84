//! The vault as its clients see it: borrow a credential, hand it back, over the HTTP API alone.
//! The secret goes from the answer's buffer, which is wiped, straight into a [`Secret`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::clock::Moment;
use crate::ids::{ConnectionId, LeaseId, RequestId, RunId};
use crate::secret::Secret;

/// Where the vault listens: https, or http on this very host.
#[derive(Clone, Debug)]
pub struct VaultUrl(Url);

/// Why a text is no [`VaultUrl`]. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultUrlRefused {
    /// Not `https://host[:port]`.
    #[error("must be https://host[:port], nothing after it")]
    Form,
    /// Plain http to another host would show the token and the secret to the network.
    #[error("is plain http to a host that is not loopback: use https")]
    PlainHttp,
}

impl VaultUrl {
    /// Takes `https://host[:port]`, and `http://` when the host is loopback.
    pub fn parse(text: &str) -> Result<Self, VaultUrlRefused> {
        let url = Url::parse(text).map_err(|_| VaultUrlRefused::Form)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(VaultUrlRefused::Form);
        }
        let loopback = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            // Pinned to 127.0.0.1 below, whatever a resolver says.
            Some(Host::Domain(name)) => name == "localhost",
            None => return Err(VaultUrlRefused::Form),
        };
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if loopback => Ok(Self(url)),
            "http" => Err(VaultUrlRefused::PlainHttp),
            _ => Err(VaultUrlRefused::Form),
        }
    }

    fn path(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        url.set_path(&segments.join("/"));
        url
    }
}

impl fmt::Display for VaultUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Why nothing was borrowed or handed back. Says what to do; the vault's own words stay there, under
/// the request id.
#[derive(Debug, thiserror::Error)]
pub enum BorrowError {
    /// No answer came.
    #[error("the vault at {0} does not answer")]
    Unreachable(VaultUrl),
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
pub struct Request(Option<RequestId>);

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
    /// 403.
    #[error("this token may not do that: it takes the role worker, of the connection's own org and user")]
    Role,
    /// 403 with `kind-not-allowed`.
    #[error("this token may not borrow that kind of credential")]
    Kind,
    /// 404.
    #[error("the vault has no such connection for this token's org and user")]
    NotFound,
    /// 409 with `lease-ended`, 403 with `not-holder`.
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
    fn of(status: StatusCode, name: &str) -> Self {
        match (status.as_u16(), name) {
            (_, "kind-not-allowed") => Self::Kind,
            (_, "lease-ended" | "not-holder") => Self::LeaseOver,
            (_, "does-not-open" | "damaged") => Self::DoesNotOpen,
            (401, _) => Self::Token,
            (403, _) => Self::Role,
            (404, _) => Self::NotFound,
            _ => Self::Other,
        }
    }
}

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
}

/// How long a lease is asked for: the longest there is.
pub const LEASE: Duration = Duration::from_secs(900);
/// A lease that another run holds may be handed back before its time: ask again this soon.
const ASK_AGAIN_WITHIN: Duration = Duration::from_secs(2);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Larger than any loan; with this much room the buffer never moves, so no copy is left behind.
const MAX_ANSWER: usize = 64 * 1024;

impl VaultClient {
    /// A client that follows no redirect and heeds no proxy.
    pub fn new(url: VaultUrl, token: Secret) -> Result<Self, BorrowError> {
        // Fails when it was chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .resolve("localhost", SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
            .build()
            .map_err(|_| BorrowError::NoClient)?;
        Ok(Self { http, url, token })
    }

    /// Borrows the connection's credential for a sync, exclusively. The same run gets its own lease
    /// again.
    pub async fn lend(&self, connection: &ConnectionId, run: &RunId) -> Result<Loan, BorrowError> {
        let body = json!({"purpose": "sync", "ttl_seconds": LEASE.as_secs(), "run_id": run});
        let answer = self.post(&["v1", "connections", connection.as_str(), "leases"], &body).await?;
        if answer.status != StatusCode::CREATED {
            return Err(self.problem(&answer));
        }
        let loan: LoanView = serde_json::from_slice(&answer.body).map_err(|_| self.strange())?;
        let lease = LeaseId::parse(&loan.id).map_err(|_| self.strange())?;
        let LentConnection { url, database, username } = loan.connection;
        Ok(Loan { lease, url, database, username, secret: loan.credential.secret })
    }

    /// Hands a lease back.
    pub async fn give_back(
        &self,
        lease: &LeaseId,
        outcome: Outcome,
        records: u64,
    ) -> Result<(), BorrowError> {
        let body = json!({"outcome": outcome.as_str(), "records": records});
        let answer = self.post(&["v1", "leases", lease.as_str(), "return"], &body).await?;
        if answer.status == StatusCode::NO_CONTENT { Ok(()) } else { Err(self.problem(&answer)) }
    }

    async fn post(&self, path: &[&str], body: &serde_json::Value) -> Result<Answer, BorrowError> {
        let request = self.http.post(self.url.path(path)).bearer_auth(self.token.expose());
        let request = request.header("Content-Type", "application/json").body(body.to_string());
        // The error could quote the address at most; it is not kept all the same.
        let unreachable = |_| BorrowError::Unreachable(self.url.clone());
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
        let Ok(problem) = serde_json::from_slice::<ProblemView>(&answer.body) else {
            return match status.is_server_error() {
                true => BorrowError::Unavailable(Request(None)),
                false => self.strange(),
            };
        };
        let name = problem.r#type.strip_prefix("urn:pawl:problem:").unwrap_or_default();
        let request = Request(RequestId::parse(&problem.request_id).ok());
        let held_until = problem.held_until.as_deref().and_then(Moment::parse);
        match (name, held_until) {
            ("lease-held", Some(until)) => {
                let retry_after = answer.retry_after.unwrap_or(ASK_AGAIN_WITHIN).min(ASK_AGAIN_WITHIN);
                BorrowError::Held { until, retry_after }
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE => BorrowError::Unavailable(request),
            _ => BorrowError::Refused(Refusal::of(status, name), request),
        }
    }
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
struct LentConnection {
    url: String,
    database: String,
    username: String,
}

#[derive(Deserialize)]
struct LentCredential {
    secret: Secret,
}

#[derive(Deserialize)]
struct ProblemView {
    r#type: String,
    #[serde(default)]
    request_id: String,
    held_until: Option<String>,
}
