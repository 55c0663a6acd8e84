//! Odoo's address as a customer types it, reduced to its origin. Nothing is resolved here: a name
//! that does not exist is taken, so a deposit tells nothing about anybody's network.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use crate::egress::address::is_public;
use crate::egress::exceptions::Exceptions;

/// An origin that may be called: `https://host` or `https://host:port`, normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OdooUrl {
    origin: String,
    host: Host<String>,
    port: u16,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $rule:literal, $text:literal;)*) => {
        /// The rule that an address breaks. Never quotes it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum UrlRefused {
            $($(#[$doc])* #[error($text)] $name,)*
        }

        impl UrlRefused {
            /// Its stable name.
            pub fn rule(self) -> &'static str {
                match self { $(Self::$name => $rule,)* }
            }
        }
    };
}

rules! {
    /// Too long.
    TooLong = "max_bytes", "must be at most 2048 bytes";
    /// White space or control characters, which parsers drop in silence.
    Control = "no_control_characters", "must not contain white space or control characters";
    /// No URL.
    NotAUrl = "url", "must be a URL, such as https://acme.odoo.com";
    /// Not https.
    NotHttps = "https_only", "must begin with https://";
    /// A user or password in it.
    UserInfo = "userinfo", "must not contain a user or password";
    /// More than an origin.
    Path = "no_path", "must be a host alone, without path, query or fragment";
    /// Port 0.
    Port = "port", "must not name port 0";
    /// One label.
    SingleLabel = "single_label", "must be a full host name, such as acme.odoo.com";
    /// An address or name that is not public.
    NotPublic = "not_public", "must be a public host";
}

const MAX_BYTES: usize = 2048;
/// Names that never lead to a public host: RFC 6761, RFC 6762, ICANN's private-use TLD, RFC 8375.
const INNER_SUFFIXES: &[&str] = &["localhost", "local", "internal", "home.arpa"];

impl OdooUrl {
    /// Judges `text` for `org`; the operator's exceptions lift what they name.
    pub fn parse(text: &str, exceptions: &Exceptions, org: Option<&str>) -> Result<Self, UrlRefused> {
        if text.len() > MAX_BYTES {
            return Err(UrlRefused::TooLong);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(UrlRefused::Control);
        }
        let url = Url::parse(text).map_err(|_| UrlRefused::NotAUrl)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(UrlRefused::NotHttps);
        }
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
            return Err(UrlRefused::UserInfo);
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || text.contains('\\') {
            return Err(UrlRefused::Path);
        }
        let port = url.port_or_known_default().ok_or(UrlRefused::NotAUrl)?;
        if port == 0 {
            return Err(UrlRefused::Port);
        }
        let host = match url.host().ok_or(UrlRefused::NotAUrl)? {
            Host::Domain(name) => Host::Domain(name.strip_suffix('.').unwrap_or(name).to_owned()),
            Host::Ipv4(ip) => Host::Ipv4(ip),
            Host::Ipv6(ip) => Host::Ipv6(ip),
        };
        let excepted = match &host {
            Host::Domain(name) => exceptions.allow_name(name, port, org),
            Host::Ipv4(ip) => exceptions.allow_address(IpAddr::V4(*ip), port, org),
            Host::Ipv6(ip) => exceptions.allow_address(IpAddr::V6(*ip), port, org),
        };
        if url.scheme() == "http" && !excepted {
            return Err(UrlRefused::NotHttps);
        }
        if !excepted {
            judge(&host)?;
        }
        let origin = match url.port() {
            Some(port) => format!("{}://{host}:{port}", url.scheme()),
            None => format!("{}://{host}", url.scheme()),
        };
        Ok(Self { origin, host, port })
    }

    /// The origin, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.origin
    }

    pub(super) fn host(&self) -> &Host<String> {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

fn judge(host: &Host<String>) -> Result<(), UrlRefused> {
    let public = match host {
        Host::Ipv4(ip) => is_public(IpAddr::V4(*ip)),
        Host::Ipv6(ip) => is_public(IpAddr::V6(*ip)),
        Host::Domain(name) => {
            let inner = INNER_SUFFIXES.iter().any(|suffix| {
                name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            });
            if !inner && !name.contains('.') {
                return Err(UrlRefused::SingleLabel);
            }
            // a second dot at the end, or an empty label, is nobody's name
            !inner && name.split('.').all(|label| !label.is_empty())
        }
    };
    if public { Ok(()) } else { Err(UrlRefused::NotPublic) }
}

impl fmt::Display for OdooUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}
