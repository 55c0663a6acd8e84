//! Odoo's address as a customer types it, reduced to its origin. Nothing is resolved here: a name
//! that does not exist is taken, so a deposit tells nothing about anybody's network.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use crate::egress::guard::Guard;
use crate::egress::host::{is_name, is_spelled, judge, plain};

/// An origin that may be called: `https://host` or `https://host:port`, normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OdooUrl {
    origin: String,
    host: Host<String>,
    port: u16,
    is_plain: bool,
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
    /// A port that is not called.
    Port = "port", "must name no port but 443, or one that who runs Pawl has named";
    /// One label.
    SingleLabel = "single_label", "must be a full host name, such as acme.odoo.com";
    /// An address or name that is not public.
    NotPublic = "not_public", "must be a public host";
    /// No host name.
    HostName = "host_name", "must be a host name of letters, digits and hyphens, with labels of at most 63 bytes";
    /// A host in a spelling that programs read in different ways.
    Spelling = "spelling", "must be spelled plainly, such as acme.odoo.com or 203.0.114.7";
}

const MAX_BYTES: usize = 2048;

impl OdooUrl {
    /// Judges `text` for `org`; the operator's exceptions lift what they name.
    pub fn parse(text: &str, guard: &Guard, org: Option<&str>) -> Result<Self, UrlRefused> {
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
        let is_origin = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !is_origin || text.contains('\\') {
            return Err(UrlRefused::Path);
        }
        // Leniently read, `https:/host` and `https:////host` are URLs too.
        let typed = text.split_once("://").map(|(_, rest)| rest.strip_suffix('/').unwrap_or(rest));
        let typed = typed.filter(|rest| !rest.contains('/')).ok_or(UrlRefused::NotAUrl)?;
        let port = url.port_or_known_default().ok_or(UrlRefused::NotAUrl)?;
        if port == 0 {
            return Err(UrlRefused::Port);
        }
        let host = plain(url.host().ok_or(UrlRefused::NotAUrl)?);
        let exceptions = guard.exceptions();
        let is_excepted = match &host {
            Host::Domain(name) => exceptions.allow_name(name, port, org),
            Host::Ipv4(ip) => exceptions.allow_address(IpAddr::V4(*ip), port, org),
            Host::Ipv6(ip) => exceptions.allow_address(IpAddr::V6(*ip), port, org),
        };
        if url.scheme() == "http" && !is_excepted {
            return Err(UrlRefused::NotHttps);
        }
        if !is_excepted {
            judge(&host, guard)?;
        }
        if matches!(&host, Host::Domain(name) if !is_name(name)) {
            return Err(UrlRefused::HostName);
        }
        if !is_spelled(without_port(typed), &host) {
            return Err(UrlRefused::Spelling);
        }
        if !is_excepted && !guard.ports().has(port) {
            return Err(UrlRefused::Port);
        }
        let origin = match url.port() {
            Some(port) => format!("{}://{host}:{port}", url.scheme()),
            None => format!("{}://{host}", url.scheme()),
        };
        Ok(Self { origin, host, port, is_plain: url.scheme() == "http" })
    }

    /// The origin, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.origin
    }

    /// The host as it is called and compared: a name in lower case, or an address.
    pub(super) fn host(&self) -> &Host<String> {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is http, which the operator lets it be.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// What a request calls the host: its port only where it is not the scheme's own.
    pub(super) fn authority(&self) -> &str {
        self.origin.split_once("://").map_or("", |(_, authority)| authority)
    }
}

/// What stands before the last colon that is not within brackets.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

impl fmt::Display for OdooUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}
