//! `PAWL_TRUSTED_PROXIES`: whose word of a client's address is taken.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// `PAWL_TRUSTED_PROXIES`: whose `X-Forwarded-For` is believed. Nobody's, unless they are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// An entry that names no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no IP address or network such as 10.0.0.0/8, or is all of them")]
pub struct ProxyRefused(String);

impl FromStr for TrustedProxies {
    type Err = ProxyRefused;

    fn from_str(text: &str) -> Result<Self, ProxyRefused> {
        let net = |entry: &str| {
            let net = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from)).ok();
            net.filter(|net| net.prefix_len() > 0).ok_or_else(|| ProxyRefused(entry.to_owned()))
        };
        text.split(',').map(str::trim).map(net).collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxies {
    /// Whether it is one of them.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_address_or_a_network_and_not_everybody() {
        for wrong in ["", "proxy.example", "10.0.0.0/33", "0.0.0.0/0", "::/0", "10.0.0.1,"] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
    }
}
