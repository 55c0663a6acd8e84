//! Where the vault is: a bearer token and an opened credential travel there and back, so nothing but
//! TLS or this very host will do.

use std::fmt;

use url::{Host, Url};

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

    pub(super) fn path(&self, segments: &[&str]) -> Url {
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
