//! The client for one customer's address. It resolves at each connect, judges every address, and
//! connects only to those it judged; it follows no redirect and reads no more than its limits.

use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::dns::{Addrs, Name, Resolving};
use reqwest::redirect::Policy;
use url::Host;
use zeroize::Zeroizing;

use crate::egress::address::is_public;
use crate::egress::exceptions::Exceptions;
use crate::egress::url::OdooUrl;

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To connect, TLS included.
    pub connect: Duration,
    /// For a whole call.
    pub total: Duration,
    /// The largest answer.
    pub max_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            total: Duration::from_secs(120),
            max_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Why a call failed. Holds nothing of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// Private, refused or not there: one cause, so that it tells nothing about anybody's network.
    #[error("the host is not public, or does not exist")]
    HostNotPublic,
    /// No connection.
    #[error("the host takes no connection")]
    Connect,
    /// No TLS, or none that both speak.
    #[error("TLS with the host failed: its certificate, its name or its version")]
    Tls,
    /// A certificate whose time is over, or has not begun.
    #[error("the host's certificate has expired, or is not valid yet")]
    CertificateExpired,
    /// A certificate for another name.
    #[error("the host's certificate is for another name")]
    CertificateName,
    /// A certificate of an authority that this machine does not know.
    #[error("the host's certificate is of an authority that this machine does not know")]
    CertificateUnknown,
    /// Too slow.
    #[error("the host did not answer in time")]
    Timeout,
    /// Too much.
    #[error("the answer is larger than allowed")]
    TooLarge,
    /// A redirect, which is never followed.
    #[error("the host redirects (HTTP {0}); give the address that it redirects to")]
    Redirected(u16),
    /// Another status than 200.
    #[error("the host answered HTTP {0}")]
    Status(u16),
    /// The connection broke, or the answer was no HTTP.
    #[error("the connection broke off")]
    Broken,
    /// This machine has no TLS to offer.
    #[error("no TLS root certificates on this machine (Debian: ca-certificates)")]
    NoTls,
}

/// How names become addresses: the system's way, or a test's.
#[derive(Clone)]
pub struct Resolve(Arc<LookUp>);

type LookUp = dyn Fn(String, u16) -> Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send>> + Send + Sync;

impl Resolve {
    /// The system's resolver. No answer is an empty one.
    pub fn system() -> Self {
        Self(Arc::new(|name, port| {
            Box::pin(async move {
                match tokio::net::lookup_host((name, port)).await {
                    Ok(found) => found.map(|address| address.ip()).collect(),
                    Err(_) => Vec::new(),
                }
            })
        }))
    }

    /// Whatever `answer` says.
    pub fn by(answer: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |name, _| {
            let found = answer(&name);
            Box::pin(async move { found })
        }))
    }
}

/// A client that reaches one origin and no other.
pub struct Egress {
    client: reqwest::Client,
    guard: Guard,
    url: OdooUrl,
    max_bytes: usize,
}

/// What was answered with HTTP 200.
pub struct Answered {
    /// Its `Content-Type`, lower case, without parameters.
    pub media: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Egress {
    /// A client for `url`, with the exceptions that `org` has.
    pub fn new(
        url: OdooUrl,
        exceptions: Exceptions,
        org: Option<&str>,
        limits: Limits,
        resolve: Resolve,
    ) -> Result<Self, EgressError> {
        install_ring();
        let guard = Guard {
            exceptions: Arc::new(exceptions),
            org: org.map(str::to_owned),
            host: url.host().clone(),
            port: url.port(),
            resolve,
        };
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(limits.connect)
            .timeout(limits.total)
            .pool_max_idle_per_host(1)
            .dns_resolver(guard.clone())
            .build()
            .map_err(|_| EgressError::NoTls)?;
        Ok(Self { client, guard, url, max_bytes: limits.max_bytes })
    }

    /// Whether the host is there and public, or excepted. Nothing is connected to.
    pub async fn judge(&self) -> Result<(), EgressError> {
        let found = match self.url.host() {
            Host::Ipv4(ip) => vec![IpAddr::V4(*ip)],
            Host::Ipv6(ip) => vec![IpAddr::V6(*ip)],
            Host::Domain(name) => (self.guard.resolve.0)(name.clone(), self.guard.port).await,
        };
        self.guard.judge(&found)
    }

    /// Posts `body`, whose buffer is wiped once sent, to `path`.
    pub async fn post(
        &self,
        path: &'static str,
        media: &'static str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Answered, EgressError> {
        // No resolver is asked about an address, so it is judged here.
        match self.url.host() {
            Host::Ipv4(ip) => self.guard.judge(&[IpAddr::V4(*ip)])?,
            Host::Ipv6(ip) => self.guard.judge(&[IpAddr::V6(*ip)])?,
            Host::Domain(_) => {}
        }
        let request = self
            .client
            .post(format!("{}{path}", self.url))
            .header(reqwest::header::CONTENT_TYPE, media)
            .header(reqwest::header::USER_AGENT, "pawl")
            .body(Bytes::from_owner(body));
        let response = request.send().await.map_err(|e| cause(&e))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(EgressError::Redirected(status.as_u16()));
        }
        if status.as_u16() != 200 {
            return Err(EgressError::Status(status.as_u16()));
        }
        let media = response.headers().get(reqwest::header::CONTENT_TYPE);
        let media = media.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim().to_lowercase();
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| cause(&e))?;
            if body.len() + chunk.len() > self.max_bytes {
                return Err(EgressError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answered { media, body })
    }
}

/// One TLS provider for the process; the first to install it wins, and all install the same.
fn install_ring() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The judge of addresses, asked at every connect.
#[derive(Clone)]
struct Guard {
    exceptions: Arc<Exceptions>,
    org: Option<String>,
    host: Host<String>,
    port: u16,
    resolve: Resolve,
}

impl Guard {
    /// All public or excepted, and at least one; or no connection.
    fn judge(&self, addresses: &[IpAddr]) -> Result<(), EgressError> {
        let org = self.org.as_deref();
        let excepted = |ip: IpAddr| match &self.host {
            Host::Domain(name) => self.exceptions.allow_name_at(name, ip, self.port, org),
            Host::Ipv4(_) | Host::Ipv6(_) => false,
        };
        let good = |ip: &IpAddr| {
            is_public(*ip) || self.exceptions.allow_address(*ip, self.port, org) || excepted(*ip)
        };
        if !addresses.is_empty() && addresses.iter().all(good) {
            Ok(())
        } else {
            Err(EgressError::HostNotPublic)
        }
    }
}

impl reqwest::dns::Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let found = (guard.resolve.0)(name, guard.port).await;
            guard.judge(&found)?;
            let port = guard.port;
            let addresses: Addrs = Box::new(found.into_iter().map(move |ip| SocketAddr::new(ip, port)));
            Ok(addresses)
        })
    }
}

/// The cause behind reqwest's error, by its type alone.
fn cause(error: &reqwest::Error) -> EgressError {
    let mut at: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = at {
        if let Some(own) = error.downcast_ref::<EgressError>() {
            return *own;
        }
        if let Some(cause) = tls(error) {
            return cause;
        }
        at = error.source();
    }
    if error.is_timeout() {
        EgressError::Timeout
    } else if error.is_connect() {
        EgressError::Connect
    } else {
        EgressError::Broken
    }
}

/// An io::Error shows its inside only by `get_ref`, its source() is the inside's source; and TLS
/// errors come wrapped in two of them.
fn tls(error: &(dyn Error + 'static)) -> Option<EgressError> {
    use rustls::CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    if let Some(inside) = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()) {
        return tls(inside);
    }
    Some(match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(why) => match why {
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
                EgressError::CertificateExpired
            }
            NotValidForName | NotValidForNameContext { .. } => EgressError::CertificateName,
            // An authority that has a known one's name alone is as unknown.
            UnknownIssuer | BadSignature => EgressError::CertificateUnknown,
            _ => EgressError::Tls,
        },
        _ => EgressError::Tls,
    })
}

/// Why TLS failed, if that is what lies behind `error`.
pub fn tls_cause(error: &(dyn Error + 'static)) -> Option<EgressError> {
    tls(error).or_else(|| error.source().and_then(tls_cause))
}
