//! Where spans may go: a collector behind TLS, or one on this very host.

use std::fmt;

use url::{Host, Url};

/// A collector's address for spans by OTLP over HTTP.
#[derive(Clone, Debug)]
pub struct OtlpEndpoint(Url);

/// Why a text is no [`OtlpEndpoint`]. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtlpRefused {
    /// Not an address of the form.
    #[error("must be http(s)://host[:port][/path], without user, query and fragment")]
    Form,
    /// Plain http to another host.
    #[error("is plain http to a host that is not loopback: use https")]
    PlainHttp,
    /// This binary sends no spans.
    #[error(
        "is set: this binary was built without OTLP; rebuild with: cargo build --release --features otlp"
    )]
    NotBuilt,
}

const SPANS: &str = "v1/traces";

impl OtlpEndpoint {
    /// Takes a collector's base address, to which `v1/traces` is added, or one that ends in it.
    pub fn parse(text: &str) -> Result<Self, OtlpRefused> {
        let mut url = Url::parse(text).map_err(|_| OtlpRefused::Form)?;
        let is_bare = url.query().is_none() && url.fragment().is_none();
        if !is_bare || !url.username().is_empty() || url.password().is_some() {
            return Err(OtlpRefused::Form);
        }
        let is_here = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            // Pinned to 127.0.0.1 by whoever calls it.
            Some(Host::Domain(name)) => name == "localhost",
            None => return Err(OtlpRefused::Form),
        };
        match url.scheme() {
            "https" => {}
            "http" if is_here => {}
            "http" => return Err(OtlpRefused::PlainHttp),
            _ => return Err(OtlpRefused::Form),
        }
        if !cfg!(feature = "otlp") {
            return Err(OtlpRefused::NotBuilt);
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if !path.ends_with(SPANS) {
            url.set_path(&format!("{path}/{SPANS}"));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
