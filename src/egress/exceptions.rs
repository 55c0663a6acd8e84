//! `PAWL_EGRESS_ALLOW`: what the operator lets be private or plain http, and for whom.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::egress::host::is_under;
use crate::egress::places::{carried, is_never};

/// The operator's exceptions: comma-separated `[ORG@]host|cidr[:port]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions(Vec<Exception>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    org: Option<String>,
    what: What,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Host(String),
    Net(IpNet),
}

/// An entry that is no exception.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{entry} is not [ORG@]host|cidr[:port]: {rule}")]
pub struct ExceptionRefused {
    entry: String,
    rule: &'static str,
}

/// Where clouds tell a machine its secrets, by name.
const NEVER_NAMES: &[&str] = &["metadata", "metadata.google.internal", "metadata.goog", "instance-data"];

impl What {
    /// Whether it is, from end to end, what no exception may name. A network that is wider is taken, and does not
    /// reach such an address either.
    fn is_never(&self) -> bool {
        match self {
            Self::Host(name) => NEVER_NAMES.iter().any(|never| is_under(name, never)),
            Self::Net(net) => is_never(net.network()) && is_never(net.broadcast()),
        }
    }
}

impl Exceptions {
    /// Whether a host by that name may be private or plain http for `org`. An entry without an org
    /// is for all.
    pub(super) fn allow_name(&self, host: &str, port: u16, org: Option<&str>) -> bool {
        self.of(org, port).any(|e| matches!(&e.what, What::Host(name) if name == host))
    }

    /// Whether that address may be called though it is not public, whatever name led there.
    pub(super) fn allow_address(&self, ip: IpAddr, port: u16, org: Option<&str>) -> bool {
        self.of(org, port).any(|e| matches!(&e.what, What::Net(net) if net.contains(&ip)))
    }

    /// Whether the host by that name may be at `ip`. A name is somebody's to point where they like:
    /// it opens private networks, and only `localhost` opens this host.
    pub(super) fn allow_name_at(&self, host: &str, ip: IpAddr, port: u16, org: Option<&str>) -> bool {
        self.allow_name(host, port, org) && (is_localhost(host) || !is_local(ip))
    }

    /// Whether an entry reaches loopback or link-local addresses, this host's own.
    pub fn covers_local(&self) -> bool {
        self.0.iter().any(|e| match &e.what {
            What::Host(name) => is_localhost(name),
            What::Net(net) => local_nets().iter().any(|local| net.contains(local) || local.contains(net)),
        })
    }

    /// Whether an entry names that very host, or its address, and that very port.
    pub fn names_door(&self, host: &str, port: u16) -> bool {
        let ip = host.parse::<IpAddr>().ok();
        let is_named = |what: &What| match what {
            What::Host(name) => name.eq_ignore_ascii_case(host),
            What::Net(net) => ip.is_some_and(|ip| *net == IpNet::from(ip)),
        };
        self.0.iter().any(|e| e.port == Some(port) && is_named(&e.what))
    }

    /// Whether an entry is for every org.
    pub fn any_without_org(&self) -> bool {
        self.0.iter().any(|e| e.org.is_none())
    }

    /// Whether an entry is for one org.
    pub fn any_with_org(&self) -> bool {
        self.0.iter().any(|e| e.org.is_some())
    }

    fn of<'a>(&'a self, org: Option<&'a str>, port: u16) -> impl Iterator<Item = &'a Exception> {
        self.0.iter().filter(move |e| {
            (e.org.is_none() || e.org.as_deref() == org) && e.port.is_none_or(|only| only == port)
        })
    }
}

fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// By its own name, or as the IPv4 address that it carries.
fn is_local(ip: IpAddr) -> bool {
    let is_in = |ip: IpAddr| local_nets().iter().any(|local| local.contains(&ip));
    match ip {
        IpAddr::V6(v6) => is_in(ip) || carried(v6).into_iter().flatten().any(|v4| is_in(v4.into())),
        IpAddr::V4(_) => is_in(ip),
    }
}

/// Loopback, link-local and "this host", of both families, and of IPv4 as IPv6 writes it
/// (`::ffff:0:0/96`), which reaches the same.
fn local_nets() -> [IpNet; 9] {
    let v4 = |a, b, length| IpNet::new_assert(Ipv4Addr::new(a, b, 0, 0).into(), length);
    let mapped =
        |a, b, length: u8| IpNet::new_assert(Ipv4Addr::new(a, b, 0, 0).to_ipv6_mapped().into(), 96 + length);
    let v6 = |ip: Ipv6Addr, length| IpNet::new_assert(ip.into(), length);
    [
        v4(127, 0, 8),
        v4(169, 254, 16),
        v4(0, 0, 8),
        mapped(127, 0, 8),
        mapped(169, 254, 16),
        mapped(0, 0, 8),
        v6(Ipv6Addr::LOCALHOST, 128),
        v6(Ipv6Addr::UNSPECIFIED, 128),
        v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    ]
}

impl FromStr for Exceptions {
    type Err = ExceptionRefused;

    fn from_str(text: &str) -> Result<Self, ExceptionRefused> {
        text.split(',').map(str::trim).map(Exception::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl Exception {
    fn parse(entry: &str) -> Result<Self, ExceptionRefused> {
        let refuse = |rule| ExceptionRefused { entry: entry.to_owned(), rule };
        let (org, rest) = match entry.rsplit_once('@') {
            Some(("", _)) => return Err(refuse("the org before @ is empty")),
            Some((org, rest)) => (Some(org.to_owned()), rest),
            None => (None, entry),
        };
        let (place, port) = split_port(rest).ok_or_else(|| refuse("the port is not 1 to 65535"))?;
        let what = if let Ok(net) = place.parse::<IpNet>() {
            What::Net(net.trunc())
        } else if let Ok(ip) = place.parse::<IpAddr>() {
            What::Net(ip.into())
        } else if is_name(place) {
            What::Host(place.to_lowercase())
        } else {
            return Err(refuse("it is neither a host name nor an address nor a network"));
        };
        if what.is_never() {
            return Err(refuse(
                "nobody may be let to link-local addresses, nor to where a machine's secrets are told",
            ));
        }
        Ok(Self { org, what, port })
    }
}

/// `host:port`, `[v6]:port`, or either without a port. A bare IPv6 address has colons and no port.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let port = |digits: &str| digits.parse().ok().filter(|port| *port != 0).map(Some);
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(digits) => Some((inside, port(digits)?)),
            None if after.is_empty() => Some((inside, None)),
            None => None,
        };
    }
    match text.split_once(':') {
        Some((place, digits)) if !digits.contains(':') => Some((place, port(digits)?)),
        _ => Some((text, None)),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
        // all digits and dots would be an address that did not parse
        && text.bytes().any(|b| b.is_ascii_alphabetic())
}

impl fmt::Display for Exceptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("public https only");
        }
        for (index, exception) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            if let Some(org) = &exception.org {
                write!(f, "{org}@")?;
            }
            match (&exception.what, exception.port) {
                (What::Host(name), None) => f.write_str(name)?,
                (What::Host(name), Some(port)) => write!(f, "{name}:{port}")?,
                (What::Net(net), None) => write!(f, "{net}")?,
                (What::Net(net @ IpNet::V4(_)), Some(port)) => write!(f, "{net}:{port}")?,
                (What::Net(net @ IpNet::V6(_)), Some(port)) => write!(f, "[{net}]:{port}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_are_written() {
        let all: Exceptions =
            "10.0.0.0/8, acme@odoo.lan:8069,[::1]:80,fd00::/8, x@127.0.0.1:1".parse().unwrap();
        assert_eq!(
            all.to_string(),
            "10.0.0.0/8, acme@odoo.lan:8069, [::1/128]:80, fd00::/8, x@127.0.0.1/32:1"
        );
        assert!(all.allow_address("10.9.9.9".parse().unwrap(), 1, None));
        assert!(!all.allow_address("11.9.9.9".parse().unwrap(), 1, None));
        assert!(all.allow_name("odoo.lan", 8069, Some("acme")));
        assert!(!all.allow_name("odoo.lan", 8069, Some("other")) && !all.allow_name("odoo.lan", 8069, None));
        assert!(!all.allow_name("odoo.lan", 80, Some("acme")));
        assert!(all.covers_local() && all.any_without_org());
    }

    #[test]
    fn what_is_no_entry_is_refused_with_its_rule() {
        for wrong in
            ["", "a,,b", "@host", "host:0", "host:99999", "10.0.0.0/99", "10.0.0", "a b", "[::1", "http://x"]
        {
            assert!(wrong.parse::<Exceptions>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_nobody_may_be_let_to_can_not_be_named() {
        for never in [
            "169.254.169.254",
            "acme@169.254.169.254:80",
            "169.254.0.0/16",
            "[::ffff:169.254.169.254]:80",
            "::ffff:169.254.0.0/112",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "fe80::/10",
            "fd00:ec2::254",
            "168.63.129.16",
            "100.100.100.200",
            "0.0.0.0",
            "metadata.google.internal",
            "acme@METADATA.google.internal:80",
            "x.metadata.google.internal",
        ] {
            let refused = never.parse::<Exceptions>().unwrap_err().to_string();
            assert!(refused.contains("nobody"), "{never}: {refused}");
        }
        // What is wider is taken, and is judged again at every address.
        assert!("100.64.0.0/10, fd00::/8".parse::<Exceptions>().is_ok());
    }

    #[test]
    fn what_reaches_this_host_is_known() {
        for local in [
            "0.0.0.0/0",
            "127.1.2.3",
            "169.0.0.0/8",
            "::1",
            "::/0",
            "fe00::/8",
            "::ffff:127.0.0.1",
            "::ffff:0:0/96",
            "localhost",
            "a.localhost",
        ] {
            assert!(local.parse::<Exceptions>().unwrap().covers_local(), "{local}");
        }
        for far in ["10.0.0.0/8", "odoo.lan", "fd00::/8", "::ffff:10.0.0.0/104"] {
            assert!(!far.parse::<Exceptions>().unwrap().covers_local(), "{far}");
        }
    }
}
