//! The client for one customer's address. It looks the host up once, judges every address, and connects only to
//! those it judged; it follows no redirect and reads no more than its limits.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use crate::egress::body::Body;
use crate::egress::call::{Answer, Answered, Ask, Heard, Hearing, Limits, Redirect, Tap, head};
use crate::egress::error::EgressError;
use crate::egress::guard::Guard;
use crate::egress::url::OdooUrl;
use crate::egress::wire::{Wire, connect, is_unsent};

/// A client that reaches one origin and no other.
pub struct Egress {
    guard: Guard,
    org: Option<String>,
    url: OdooUrl,
    limits: Limits,
    /// What the host was found to be, until a connection to it fails.
    checked: Mutex<Option<Vec<SocketAddr>>>,
    idle: Arc<Mutex<Option<Wire>>>,
    hearing: Hearing,
    tap: Option<Arc<dyn Tap>>,
}

impl Egress {
    /// A client for `url`, with the exceptions that `org` has.
    pub fn new(guard: &Guard, url: OdooUrl, org: Option<&str>, limits: Limits) -> Result<Self, EgressError> {
        install_ring();
        let org = org.map(str::to_owned);
        let (checked, idle, hearing) = (Mutex::default(), Arc::default(), Hearing::default());
        Ok(Self { guard: guard.clone(), org, url, limits, checked, idle, hearing, tap: None })
    }

    /// The same, with all that comes back told to `tap`.
    pub fn tapped(self, tap: Arc<dyn Tap>) -> Self {
        Self { tap: Some(tap), ..self }
    }

    /// The same for answers of at most so many bytes, unpacked, from the next call on.
    pub fn taking(mut self, max_bytes: usize) -> Self {
        self.limits.max_bytes = max_bytes;
        self
    }

    /// Where it calls: scheme, host and port.
    pub fn origin(&self) -> &str {
        self.url.as_str()
    }

    /// Whether the host is there and public, or excepted, as far as `within` tells. Nothing is connected to; what is
    /// called afterwards is what was judged here.
    pub async fn judge(&self, within: Duration) -> Result<(), EgressError> {
        let found = self.guard.find(&self.url, self.org.as_deref(), Instant::now() + within / 2);
        let found = timeout(within, found).await.unwrap_or(Err(EgressError::HostNotPublic))?;
        *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(())
    }

    /// What the heads of answers say beside their status.
    pub fn hearing(&self) -> Hearing {
        self.hearing.clone()
    }

    /// Posts `body`, whose buffer is wiped once sent, to `path`, and takes an answer of HTTP 200 alone.
    pub async fn post(
        &self,
        path: &'static str,
        media: &'static str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Answered, EgressError> {
        let ask = Ask { path, body: Some((media, body)), accepts: &[], bearer: None, headers: &[] };
        let answer = self.call(ask).await?;
        match answer.status {
            300..=399 => Err(EgressError::Redirected(answer.status)),
            200 => Ok(Answered { media: answer.media, body: answer.body.whole().await?.into() }),
            status => Err(EgressError::Status(status)),
        }
    }

    /// Makes one call and answers the head of whatever comes, with a body that is still to be read, within what is
    /// left of the limits.
    pub async fn call(&self, ask: Ask<'_>) -> Result<Answer, EgressError> {
        let deadline = Instant::now() + self.limits.total;
        let accepts = ask.accepts;
        let request = self.request(ask)?;
        let begun = timeout_at(deadline, self.send(request)).await;
        let (response, wire) = begun.map_err(|_| EgressError::Timeout)??;
        let text = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let media = text(header::CONTENT_TYPE).unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim().to_lowercase();
        let status = response.status();
        let redirect = text(header::LOCATION).filter(|_| status.is_redirection());
        let redirect = redirect.and_then(|to| Redirect::of(&self.url, to));
        let date = text(header::DATE).filter(|date| date.len() <= 64).map(str::to_owned);
        self.hearing.hear(Heard { redirect: redirect.clone(), date: date.clone() });
        if let Some(tap) = &self.tap {
            tap.hear(head(&response).into());
        }
        let is_wanted = accepts.is_empty() || accepts.contains(&media.as_str());
        let body = match &self.tap {
            Some(_) if !is_wanted || status.is_redirection() => {
                self.hear_out(response, wire, deadline).await;
                Body::unread()
            }
            _ if is_wanted => self.body(response, wire, deadline)?,
            _ => Body::unread(),
        };
        Ok(Answer { status: status.as_u16(), media, redirect, date, body })
    }

    fn body(&self, response: Response<Incoming>, wire: Wire, deadline: Instant) -> Result<Body, EgressError> {
        let left = (self.idle.clone(), wire);
        Body::of(response, self.limits.max_bytes, deadline, left, self.tap.clone())
    }

    /// Reads what is wanted for nothing else than to be heard. Whatever becomes of it, the head says enough.
    async fn hear_out(&self, response: Response<Incoming>, wire: Wire, deadline: Instant) {
        let deadline = deadline.min(Instant::now() + HEARD_OUT_WITHIN);
        if let Ok(mut body) = self.body(response, wire, deadline) {
            while let Ok(Some(_)) = body.piece().await {}
        }
    }

    fn request(&self, ask: Ask<'_>) -> Result<Request<Full<Bytes>>, EgressError> {
        let mut request = Request::builder()
            .method(if ask.body.is_some() { Method::POST } else { Method::GET })
            .uri(ask.path)
            .header(header::HOST, self.url.authority())
            .header(header::USER_AGENT, "pawl")
            .header(header::ACCEPT_ENCODING, "gzip");
        if !ask.accepts.is_empty() {
            request = request.header(header::ACCEPT, ask.accepts.join(", "));
        }
        if let Some(secret) = ask.bearer {
            let shown = Zeroizing::new(format!("Bearer {}", secret.expose()).into_bytes());
            let shown = HeaderValue::from_maybe_shared(Bytes::from_owner(shown));
            let mut shown = shown.map_err(|_| EgressError::Broken)?;
            shown.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, shown);
        }
        for (name, value) in ask.headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| EgressError::Broken)?;
            request = request.header(HeaderName::from_static(name), value);
        }
        let body = match ask.body {
            Some((media, body)) => {
                request = request.header(header::CONTENT_TYPE, media);
                Full::new(Bytes::from_owner(body))
            }
            None => Full::default(),
        };
        request.body(body).map_err(|_| EgressError::Broken)
    }

    /// Over the connection that is left from the last call, or over a new one if that has ended meanwhile.
    async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Wire), EgressError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut wire) = idle
            && wire.ready().await.is_ok()
        {
            match self.first_byte(&mut wire, request).await? {
                Ok(response) => return Ok((response, wire)),
                Err(unsent) => request = unsent,
            }
        }
        let mut wire = self.connect().await?;
        match self.first_byte(&mut wire, request).await? {
            Ok(response) => Ok((response, wire)),
            Err(_) => Err(EgressError::Broken),
        }
    }

    /// The head of the answer; or the request again, if none of it was sent.
    async fn first_byte(
        &self,
        wire: &mut Wire,
        request: Request<Full<Bytes>>,
    ) -> Result<Result<Response<Incoming>, Request<Full<Bytes>>>, EgressError> {
        let answer = timeout(self.limits.first_byte, wire.try_send_request(request)).await;
        match answer.map_err(|_| EgressError::Timeout)? {
            Ok(response) => Ok(Ok(response)),
            Err(failed) => is_unsent(failed).map(Err),
        }
    }

    async fn connect(&self) -> Result<Wire, EgressError> {
        let deadline = Instant::now() + self.limits.connect;
        let known = self.checked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let found = match known {
            Some(found) => found,
            None => {
                let place_until = Instant::now() + self.limits.connect / 2;
                let found = self.guard.find(&self.url, self.org.as_deref(), place_until);
                let found = timeout_at(deadline, found).await.map_err(|_| EgressError::Timeout)??;
                *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
                found
            }
        };
        let connected = connect(&self.guard, &self.url, &found, self.limits.max_head_bytes, deadline).await;
        if connected.is_err() {
            *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        connected
    }
}

/// What nobody wants holds nobody up for longer.
const HEARD_OUT_WITHIN: Duration = Duration::from_secs(5);

/// One TLS provider for the process; the first to install it wins, and all install the same.
fn install_ring() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
