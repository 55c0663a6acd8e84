//! Which ports of public hosts are called: 443, or those that the operator names in its place.

use std::fmt;
use std::str::FromStr;

/// `PAWL_EGRESS_PORTS`: comma-separated ports, https spoken at each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(Vec<u16>);

/// A text that names no ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be ports from 1 to 65535 with commas between, such as 443,8443")]
pub struct PortsRefused;

impl Ports {
    pub(super) fn has(&self, port: u16) -> bool {
        self.0.contains(&port)
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self(vec![443])
    }
}

impl FromStr for Ports {
    type Err = PortsRefused;

    fn from_str(text: &str) -> Result<Self, PortsRefused> {
        let port = |port: &str| port.trim().parse().ok().filter(|port| *port != 0).ok_or(PortsRefused);
        text.split(',').map(port).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<_> = self.0.iter().map(u16::to_string).collect();
        f.write_str(&ports.join(", "))
    }
}
