//! One vault's API as bytes: the token of now on every request, a fresh one where a registered client can get
//! it, a change that may be sent twice and is done once, and what a problem means.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::clock::{Clock, Moment, new_id};
use crate::egress::tls_cause;
use crate::ids::RequestId;
use crate::secret::Secret;
use crate::sync::identity::{Held, Identity, Tokens};
use crate::sync::refusal::{BorrowError, Refusal, Request};
use crate::sync::vault_url::VaultUrl;
use crate::telemetry::Trace;

/// The way to one vault. Holds a token: neither printed nor cloned.
pub(super) struct Channel {
    http: Client,
    url: VaultUrl,
    pub(super) tokens: Tokens,
    clock: Clock,
    pub(super) trace: Trace,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    retry_after: Option<Duration>,
    has_limits: bool,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// A lease that another run holds may be handed back before its time: ask again this soon.
const ASK_AGAIN_WITHIN: Duration = Duration::from_secs(2);
/// A change whose answer was lost is asked for once more, after this long.
const ASK_ONCE_MORE: Duration = Duration::from_millis(500);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// RFC 7523, section 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Larger than any loan; with this much room the buffer never moves, so no copy is left behind.
const MAX_ANSWER: usize = 64 * 1024;

impl Channel {
    /// A client that follows no redirect and heeds no proxy. With a file `ca`, nobody but whose certificates
    /// lie there vouches for the vault.
    pub(super) fn new(
        url: VaultUrl,
        ca: Option<&Path>,
        identity: Identity,
        clock: Clock,
    ) -> Result<Self, BorrowError> {
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
        let tokens = Tokens::new(identity, clock.clone());
        let trace = Trace::begin().map_err(|_| BorrowError::NoClient)?;
        Ok(Self { http, url, tokens, clock, trace })
    }

    /// What there is at `path`.
    pub(super) async fn find(&self, path: &[&str]) -> Result<Answer, BorrowError> {
        let path = self.url.path(path);
        self.send(|| self.http.get(path.clone())).await
    }

    /// Asks for a change; when no answer comes, once more under the same key, so that it is done once.
    pub(super) async fn change(
        &self,
        path: &[&str],
        body: &serde_json::Value,
    ) -> Result<Answer, BorrowError> {
        let key = new_id("call", self.clock.now()).map_err(|_| BorrowError::NoClient)?;
        let request = || {
            let request = self.http.post(self.url.path(path)).header("Idempotency-Key", &key);
            request.header("Content-Type", "application/json").body(body.to_string())
        };
        match self.send(request).await {
            Err(BorrowError::Unreachable(_)) => {
                tokio::time::sleep(ASK_ONCE_MORE).await;
                self.send(request).await
            }
            answered => answered,
        }
    }

    /// Sends a request under the token of now. A registered client whose token is not taken any more asks for
    /// another, once.
    async fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Answer, BorrowError> {
        let held = self.token().await?;
        let answer = self.exchange(request().bearer_auth(held.token.expose())).await?;
        // Where many bad tokens come from, one more is told to wait. A good one is told its limits, even past them.
        let is_refused = match answer.status {
            StatusCode::UNAUTHORIZED => true,
            StatusCode::TOO_MANY_REQUESTS => !answer.has_limits,
            _ => false,
        };
        if !is_refused || !self.tokens.drop_refused(&held) {
            return Ok(answer);
        }
        let held = self.token().await?;
        self.exchange(request().bearer_auth(held.token.expose())).await
    }

    /// The token of now; a client gets one for a fresh assertion.
    async fn token(&self) -> Result<Rc<Held>, BorrowError> {
        let (held, client) = (self.tokens.current(), self.tokens.client());
        let client = match (held, client) {
            (Some(held), _) => return Ok(held),
            // One that was given is shown for as long as there is this worker.
            (None, None) => return Err(BorrowError::NoClient),
            (None, Some(client)) => client,
        };
        let (path, asked) = (self.url.path(&["v1", "token"]), self.clock.now());
        let assertion = client.assertion(path.as_str(), asked).map_err(|_| BorrowError::NoClient)?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("grant_type", "client_credentials"), ("client_assertion_type", ASSERTION_TYPE)])
            .append_pair("client_assertion", assertion.expose())
            .finish();
        let request = self.http.post(path).header("Content-Type", "application/x-www-form-urlencoded");
        let answer = self.exchange(request.body(form)).await?;
        match answer.status {
            StatusCode::OK => {}
            // Whom it is to act for is not what it may act for, or was not said.
            StatusCode::BAD_REQUEST => {
                return Err(BorrowError::Refused(Refusal::Whom, request_of(&answer)));
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(BorrowError::Refused(Refusal::Client, request_of(&answer)));
            }
            _ => return Err(self.problem(&answer)),
        }
        let view: TokenView = serde_json::from_slice(&answer.body).map_err(|_| self.strange())?;
        Ok(self.tokens.take(view.access_token, asked, Duration::from_secs(view.expires_in)))
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Answer, BorrowError> {
        // The error could quote the address at most; it is not kept all the same.
        let unreachable = |error: reqwest::Error| match tls_cause(&error) {
            Some(cause) => BorrowError::Tls(self.url.clone(), cause),
            None => BorrowError::Unreachable(self.url.clone()),
        };
        let asks = self.trace.next().map_err(|_| BorrowError::NoClient)?;
        let mut response: Response =
            request.header("traceparent", asks.header()).send().await.map_err(unreachable)?;
        let mut body = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.strange());
            }
            body.extend_from_slice(&chunk);
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let has_limits = response.headers().contains_key("ratelimit");
        Ok(Answer { status: response.status(), retry_after, has_limits, body })
    }

    /// What answers there is no vault.
    pub(super) fn strange(&self) -> BorrowError {
        BorrowError::NotAVault(self.url.clone())
    }

    /// Nobody answers.
    pub(super) fn silent(&self) -> BorrowError {
        BorrowError::Unreachable(self.url.clone())
    }

    /// Why it was not done.
    pub(super) fn problem(&self, answer: &Answer) -> BorrowError {
        let status = answer.status;
        let problem = serde_json::from_slice::<ProblemView>(&answer.body).ok();
        let named = problem.as_ref().and_then(|problem| problem.r#type.strip_prefix("urn:pawl:problem:"));
        let id = request_of(answer);
        let refusal = named.map(|name| Refusal::of(status, name));
        let is_held = named == Some("lease-held");
        let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        match (refusal, problem.and_then(|problem| Moment::parse(&problem.held_until?))) {
            (Some(_), Some(until)) if is_held => {
                let retry_after = answer.retry_after.unwrap_or(ASK_AGAIN_WITHIN).min(ASK_AGAIN_WITHIN);
                BorrowError::Held { until, retry_after }
            }
            (Some(Refusal::DoesNotOpen), _) => BorrowError::Refused(Refusal::DoesNotOpen, id),
            _ if passes => BorrowError::Unavailable(id),
            (Some(refusal), _) => BorrowError::Refused(refusal, id),
            (None, _) => self.strange(),
        }
    }
}

/// The id that the vault gave to the request.
fn request_of(answer: &Answer) -> Request {
    let problem = serde_json::from_slice::<ProblemView>(&answer.body).ok();
    Request(problem.and_then(|problem| RequestId::parse(&problem.request_id).ok()))
}

fn certificates(file: &Path) -> Result<Vec<Certificate>, BorrowError> {
    let pem = std::fs::read(file).map_err(|_| BorrowError::Ca("the file can't be read"))?;
    let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() { Err(BorrowError::Ca("the file holds no certificate in PEM")) } else { Ok(found) }
}

#[derive(Deserialize)]
struct TokenView {
    access_token: Secret,
    expires_in: u64,
}

#[derive(Deserialize)]
struct ProblemView {
    r#type: String,
    #[serde(default)]
    request_id: String,
    held_until: Option<String>,
}
