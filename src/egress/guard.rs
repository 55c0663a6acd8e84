//! Who may be called: the operator's word and the judgement of every address, in one place that both programs
//! put together once and pass down.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio::time::Instant;
use url::Host;

use crate::egress::error::EgressError;
use crate::egress::exceptions::Exceptions;
use crate::egress::nat64::Nat64;
use crate::egress::places::{is_never, is_public};
use crate::egress::ports::Ports;
use crate::egress::proxy::Proxy;
use crate::egress::resolve::Resolve;
use crate::egress::tls::Tls;
use crate::egress::url::OdooUrl;

/// What every call is held against. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    rules: Arc<Rules>,
    pub(super) resolve: Resolve,
    pub(super) proxy: Option<Proxy>,
    pub(super) tls: Tls,
}

#[derive(Clone, Default)]
struct Rules {
    exceptions: Exceptions,
    ports: Ports,
    nat64: Nat64,
    own: Vec<Own>,
}

/// A door of this very program, which no exception opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// Where it listens.
    Listener(SocketAddr),
    /// A server of its own, such as the database's: its host and its port.
    Server(String, u16),
}

impl Guard {
    /// With what the operator lets be private or plain http, by the system's resolver.
    pub fn new(exceptions: Exceptions) -> Self {
        let rules = Rules { exceptions, ..Rules::default() };
        Self { rules: Arc::new(rules), resolve: Resolve::system(), proxy: None, tls: Tls::default() }
    }

    /// And with these ports of public hosts.
    pub fn with_ports(mut self, ports: Ports) -> Self {
        Arc::make_mut(&mut self.rules).ports = ports;
        self
    }

    /// And where these prefixes lead to IPv4.
    pub fn with_nat64(mut self, nat64: Nat64) -> Self {
        Arc::make_mut(&mut self.rules).nat64 = nat64;
        self
    }

    /// And never to these.
    pub fn without(mut self, own: Vec<Own>) -> Self {
        Arc::make_mut(&mut self.rules).own.extend(own);
        self
    }

    /// And by that resolver.
    pub fn resolving(self, resolve: Resolve) -> Self {
        Self { resolve, ..self }
    }

    /// And by way of that proxy, which is a door of the operator's own.
    pub fn through(self, proxy: Option<Proxy>) -> Self {
        let own = proxy.iter().map(Proxy::server).map(|(host, port)| Own::Server(host, port)).collect();
        Self { proxy, ..self.without(own) }
    }

    pub(super) fn exceptions(&self) -> &Exceptions {
        &self.rules.exceptions
    }

    pub(super) fn ports(&self) -> &Ports {
        &self.rules.ports
    }

    /// Whether `ip` is a public host's: what a NAT64 leads to is so by its IPv4 address alone.
    pub(super) fn is_public(&self, ip: IpAddr) -> bool {
        let mut embedded = self.rules.nat64.embedded(ip).peekable();
        if embedded.peek().is_some() { embedded.all(is_public) } else { is_public(ip) }
    }

    fn is_never(&self, ip: IpAddr) -> bool {
        is_never(ip) || self.rules.nat64.embedded(ip).any(is_never)
    }

    /// Every address of `url`'s host, looked up once: all of them public or excepted for `org`, and at least
    /// one. What is connected to is one of these. A look-up that has no place until `until` is none.
    pub(super) async fn find(
        &self,
        url: &OdooUrl,
        org: Option<&str>,
        until: Instant,
    ) -> Result<Vec<SocketAddr>, EgressError> {
        let found = match url.host() {
            Host::Ipv4(ip) => vec![IpAddr::V4(*ip)],
            Host::Ipv6(ip) => vec![IpAddr::V6(*ip)],
            Host::Domain(name) if self.rules.exceptions.allow_name(name, url.port(), org) => {
                self.resolve.find(name, org, until).await?
            }
            // A public host's name is whole: no search list of this machine's makes an inner one of it.
            Host::Domain(name) => self.resolve.find(&format!("{name}."), org, until).await?,
        };
        let good = |ip: &IpAddr| self.is_public(*ip) || self.is_excepted(url, *ip, org);
        if found.is_empty() || !found.iter().all(good) {
            return Err(EgressError::HostNotPublic);
        }
        let found: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, url.port())).collect();
        if self.leads_to_own(url, &found, (org, until)).await? {
            return Err(EgressError::HostNotPublic);
        }
        Ok(found)
    }

    fn is_excepted(&self, url: &OdooUrl, ip: IpAddr, org: Option<&str>) -> bool {
        let (exceptions, port) = (&self.rules.exceptions, url.port());
        let by_name = match url.host() {
            Host::Domain(name) => exceptions.allow_name_at(name, ip, port, org),
            Host::Ipv4(_) | Host::Ipv6(_) => false,
        };
        !self.is_never(ip) && (by_name || exceptions.allow_address(ip, port, org))
    }

    async fn leads_to_own(
        &self,
        url: &OdooUrl,
        found: &[SocketAddr],
        (org, until): (Option<&str>, Instant),
    ) -> Result<bool, EgressError> {
        for own in &self.rules.own {
            let leads = match own {
                Own::Listener(at) if at.port() != url.port() => false,
                Own::Listener(at) => found.iter().any(|to| self.is_same(at.ip(), to.ip())),
                Own::Server(_, port) if *port != url.port() => false,
                Own::Server(host, _) => {
                    let theirs = self.resolve.find(host, org, until).await?;
                    // Not known to be another's.
                    theirs.is_empty()
                        || found.iter().any(|to| theirs.iter().any(|ip| self.is_same(*ip, to.ip())))
                }
            };
            if leads {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_same(&self, own: IpAddr, to: IpAddr) -> bool {
        is_same(own, to) || self.rules.nat64.embedded(to).any(|to| is_same(own, to))
    }
}

/// Whether both reach one socket: what listens everywhere, or on loopback, is met at any address of this machine.
fn is_same(own: IpAddr, to: IpAddr) -> bool {
    let (own, to) = (own.to_canonical(), to.to_canonical());
    own == to || (own.is_loopback() && to.is_loopback()) || (own.is_unspecified() && is_of_this_machine(to))
}

/// Nothing is sent: a socket binds to an address of this machine alone.
fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}
