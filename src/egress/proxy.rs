//! The operator's way out: a proxy that is asked, by `CONNECT`, for an address that was judged, never for a name. It
//! can hold that against rules of its own; TLS goes through it to the name that was typed.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;
use zeroize::Zeroizing;

use crate::egress::error::EgressError;
use crate::secret::Secret;

/// `PAWL_EGRESS_PROXY`: `http://[USER:PASSWORD@]HOST:PORT`. May hold a password: shown without, never printed whole.
#[derive(Clone)]
pub struct Proxy(Arc<Named>);

struct Named {
    host: String,
    port: u16,
    /// What `Proxy-Authorization` says.
    shown: Option<Secret>,
}

/// A text that names no proxy. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT")]
pub struct ProxyRefused;

/// An answer to `CONNECT` is no longer than that.
const MAX_HEAD: usize = 8192;

impl Proxy {
    /// Takes the setting's text.
    pub fn parse(text: &Secret) -> Result<Self, ProxyRefused> {
        let url = Url::parse(text.expose()).map_err(|_| ProxyRefused)?;
        let is_origin = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if url.scheme() != "http" || !is_origin || text.expose().contains(char::is_control) {
            return Err(ProxyRefused);
        }
        let host = url.host_str().ok_or(ProxyRefused)?.trim_matches(['[', ']']).to_owned();
        // Port 80 by habit would be a guess.
        let named =
            text.expose().trim_end_matches('/').rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port = named.filter(|port| *port != 0).ok_or(ProxyRefused)?;
        let plain = |part: &str| Zeroizing::new(percent_decode_str(part).decode_utf8_lossy().into_owned());
        let shown = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let (user, password) = (plain(user), plain(password.unwrap_or_default()));
                if user.contains([':', '\r', '\n']) || password.contains(['\r', '\n']) {
                    return Err(ProxyRefused);
                }
                let both = Zeroizing::new(format!("{}:{}", *user, *password));
                let coded = Zeroizing::new(STANDARD.encode(both.as_bytes()));
                Some(Secret::new(format!("Basic {}", *coded)))
            }
        };
        Ok(Self(Arc::new(Named { host, port, shown })))
    }

    /// Its host and port, as a door that no URL of a user's may lead to.
    pub fn server(&self) -> (String, u16) {
        (self.0.host.clone(), self.0.port)
    }

    /// A way to the first of `found` that the proxy lets through and that takes it.
    pub(super) async fn reach(&self, found: &[SocketAddr]) -> Result<TcpStream, EgressError> {
        let mut error = EgressError::Connect;
        for address in found {
            match self.connect(*address).await {
                Ok(stream) => return Ok(stream),
                Err(EgressError::Proxy) => return Err(EgressError::Proxy),
                Err(other) => error = other,
            }
        }
        Err(error)
    }

    async fn connect(&self, address: SocketAddr) -> Result<TcpStream, EgressError> {
        let stream = TcpStream::connect((self.0.host.as_str(), self.0.port)).await;
        let mut stream = stream.map_err(|_| self.fails("takes no connection"))?;
        let mut head = Zeroizing::new(format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n"));
        if let Some(shown) = &self.0.shown {
            head.push_str("Proxy-Authorization: ");
            head.push_str(shown.expose());
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.map_err(|_| self.fails("hangs up"))?;
        match self.status(&mut stream).await? {
            200..=299 => Ok(stream),
            // It holds the address against its own rules, and those are the operator's.
            403 => {
                tracing::warn!(proxy = %self, "the egress proxy lets nobody to an address that is public");
                Err(EgressError::HostNotPublic)
            }
            502..=504 => Err(EgressError::Connect),
            407 => Err(self.fails("asks for another user or password")),
            _ => Err(self.fails("refuses CONNECT")),
        }
    }

    /// The status of its answer, which is read to the end of its head and no further.
    async fn status(&self, stream: &mut TcpStream) -> Result<u16, EgressError> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = stream.read_u8().await.map_err(|_| self.fails("hangs up"))?;
            head.push(byte);
            if head.len() > MAX_HEAD {
                return Err(self.fails("speaks without end"));
            }
        }
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = std::str::from_utf8(line).unwrap_or_default();
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        status.ok_or_else(|| self.fails("speaks no HTTP"))
    }

    fn fails(&self, how: &'static str) -> EgressError {
        tracing::warn!(proxy = %self, "the egress proxy {how}");
        EgressError::Proxy
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.host, self.0.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_http_with_its_port_and_shows_no_password() {
        let parse = |text: &str| Proxy::parse(&Secret::new(text.to_owned()));
        for (text, shown, says) in [
            ("http://squid.lan:3128", "squid.lan:3128", None),
            ("http://squid.lan:80/", "squid.lan:80", None),
            ("http://[fd00::1]:3128", "fd00::1:3128", None),
            ("http://pawl:hunter2@10.0.0.1:3128", "10.0.0.1:3128", Some("Basic cGF3bDpodW50ZXIy")),
            ("http://pawl:a%3Ab%40c@10.0.0.1:3128", "10.0.0.1:3128", Some("Basic cGF3bDphOmJAYw==")),
        ] {
            let proxy = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(proxy.0.shown.as_ref().map(Secret::expose), says, "{text}");
        }
        for wrong in [
            "",
            "squid.lan:3128",
            "http://squid.lan",
            "http://squid.lan:0",
            "http://squid.lan:99999",
            "https://squid.lan:3128",
            "socks5://squid.lan:1080",
            "http://squid.lan:3128/path",
            "http://squid.lan:3128?x",
            "http://a:b%0d%0aX@squid.lan:3128",
            "http://a%3a:b@squid.lan:3128",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
