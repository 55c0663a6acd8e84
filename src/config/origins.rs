//! `PAWL_CORS_ORIGINS`: whose pages may call, each by its exact origin.

use std::str::FromStr;

/// `PAWL_CORS_ORIGINS`: exact origins, https or on loopback. None, unless they are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Whether nobody's may.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is one of them, to the letter.
    pub fn has(&self, origin: &[u8]) -> bool {
        self.0.iter().any(|known| known.as_bytes() == origin)
    }
}

/// An entry that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no origin as browsers send it, such as https://app.example.com (http on loopback alone)")]
pub struct OriginRefused(String);

/// The head of an answer has room for that and not for any length.
const MAX_ORIGIN_BYTES: usize = 256;

impl FromStr for Origins {
    type Err = OriginRefused;

    fn from_str(text: &str) -> Result<Self, OriginRefused> {
        let refused = |entry: &str| OriginRefused(entry.to_owned());
        let origin = |entry: &str| {
            let url = url::Url::parse(entry).map_err(|_| refused(entry))?;
            let is_loopback = match url.host() {
                Some(url::Host::Domain(name)) => name == "localhost",
                Some(url::Host::Ipv4(v4)) => v4.is_loopback(),
                Some(url::Host::Ipv6(v6)) => v6.is_loopback(),
                None => false,
            };
            let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback);
            // Written as a browser writes it, or it would never be met.
            let is_exact = url.origin().ascii_serialization() == entry && entry.len() <= MAX_ORIGIN_BYTES;
            if is_safe && is_exact && !entry.contains('*') {
                Ok(entry.to_owned())
            } else {
                Err(refused(entry))
            }
        };
        text.split(',').map(str::trim).map(origin).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack on P5.
    #[test]
    fn an_origin_is_exact_and_safe_or_refused() {
        for good in [
            "https://app.example.com",
            "https://app.example.com:8443",
            "http://localhost:3000",
            "http://127.0.0.1:5173",
            "http://[::1]:1",
        ] {
            assert_eq!(good.parse(), Ok(Origins(vec![good.to_owned()])), "{good}");
        }
        for wrong in [
            "",
            "*",
            "null",
            "https://*",
            "https://*.example.com",
            "http://app.example.com",
            "https://app.example.com/",
            "https://app.example.com:443",
            "https://APP.example.com",
            "https://user@app.example.com",
            "app.example.com",
            "file://",
            "https://a.example,*",
        ] {
            assert!(wrong.parse::<Origins>().is_err(), "{wrong}");
        }
    }
}
