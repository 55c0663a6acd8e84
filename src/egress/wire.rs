//! One connection to an address that was judged: TCP, TLS held to the name, and HTTP/1.1 on it.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{IpAddr, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use url::Host;

use crate::egress::error::EgressError;
use crate::egress::guard::Guard;
use crate::egress::tls::tls_cause;
use crate::egress::url::OdooUrl;

/// What a request goes over.
pub(super) type Wire = SendRequest<Full<Bytes>>;

/// The most headers that an answer may have.
const MAX_HEADERS: usize = 100;
/// Hyper reads no less at once.
const LEAST_BUFFER: usize = 8192;

/// So many addresses of a name are tried: it may have thousands, of hosts that are nobody's who typed it.
const MOST_TRIED: usize = 8;

/// Connects to the first of `found` that takes it.
pub(super) async fn connect(
    guard: &Guard,
    url: &OdooUrl,
    found: &[SocketAddr],
    max_head_bytes: usize,
    deadline: Instant,
) -> Result<Wire, EgressError> {
    let found = found.get(..MOST_TRIED).unwrap_or(found);
    let stream = match &guard.proxy {
        Some(proxy) => {
            let reached = timeout_at(deadline, proxy.reach(found)).await;
            reached.map_err(|_| EgressError::Timeout)??
        }
        None => reach(found, deadline).await?,
    };
    let _ = stream.set_nodelay(true);
    if url.is_plain() {
        return speak(stream, max_head_bytes, deadline).await;
    }
    let name = match url.host() {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| EgressError::Tls)?,
        Host::Ipv4(ip) => ServerName::IpAddress(IpAddr::V4((*ip).into())),
        Host::Ipv6(ip) => ServerName::IpAddress(IpAddr::V6((*ip).into())),
    };
    let shaken = TlsConnector::from(guard.tls.config()?).connect(name, stream);
    let shaken = timeout_at(deadline, shaken).await.map_err(|_| EgressError::Timeout)?;
    let shaken = shaken.map_err(|error| tls_cause(&error).unwrap_or(EgressError::Connect))?;
    speak(shaken, max_head_bytes, deadline).await
}

/// Each address in turn, with its share of the time that is left.
async fn reach(found: &[SocketAddr], deadline: Instant) -> Result<TcpStream, EgressError> {
    let mut error = EgressError::Connect;
    for (left, address) in (1..).zip(found.iter().rev()).collect::<Vec<_>>().into_iter().rev() {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / left;
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(_)) => error = EgressError::Connect,
            Err(_) => error = EgressError::Timeout,
        }
    }
    Err(error)
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    max_head_bytes: usize,
    deadline: Instant,
) -> Result<Wire, EgressError> {
    let shaken = Builder::new()
        .max_headers(MAX_HEADERS)
        .max_header_size(max_head_bytes)
        .max_buf_size(max_head_bytes.max(LEAST_BUFFER))
        .handshake(TokioIo::new(stream));
    let shaken = timeout_at(deadline, shaken).await.map_err(|_| EgressError::Timeout)?;
    let (wire, connection) = shaken.map_err(|_| EgressError::Broken)?;
    // Ends when the wire and the body that came over it are gone.
    tokio::spawn(connection);
    Ok(wire)
}

/// The request that failed, if none of it was sent; else why.
pub(super) fn is_unsent(
    mut failed: TrySendError<Request<Full<Bytes>>>,
) -> Result<Request<Full<Bytes>>, EgressError> {
    match failed.take_message() {
        Some(request) => Ok(request),
        None => Err(cause(failed.error())),
    }
}

/// The cause behind hyper's error, by its type alone.
pub(super) fn cause(error: &hyper::Error) -> EgressError {
    // A client is told it by this text alone.
    if error.is_parse() && error.to_string().contains("too large") {
        return EgressError::TooLarge;
    }
    tls_cause(error).unwrap_or(EgressError::Broken)
}
