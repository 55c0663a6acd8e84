//! `PAWL_EGRESS_NAT64`: prefixes at which the operator's network reaches IPv4 hosts. An address in one of them is
//! judged as the IPv4 address in it: a public one of its own would lead to an inner host.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::Ipv6Net;

/// The prefixes: comma-separated, each of one of the lengths of RFC 6052.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nat64(Vec<Ipv6Net>);

/// An entry that is no prefix of a NAT64.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{entry} is no prefix of a NAT64: {rule}")]
pub struct Nat64Refused {
    entry: String,
    rule: &'static str,
}

const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];
/// Bits 64 to 71, which are no part of the IPv4 address and zero in a prefix.
const LEFT_OUT: usize = 8;

impl Nat64 {
    /// The IPv4 addresses that `ip` stands for, by each prefix that it lies in.
    pub(super) fn embedded(&self, ip: IpAddr) -> impl Iterator<Item = IpAddr> {
        let ip = if let IpAddr::V6(ip) = ip { Some(ip) } else { None };
        let within =
            self.0.iter().filter_map(move |net| ip.filter(|ip| net.contains(ip)).map(|ip| (ip, net)));
        within.map(|(ip, net)| IpAddr::V4(embedded(ip, net.prefix_len())))
    }
}

/// RFC 6052, section 2.2: the four octets behind the prefix, of which that one is none.
fn embedded(ip: Ipv6Addr, length: u8) -> Ipv4Addr {
    let octets = ip.octets().into_iter().enumerate();
    let behind = octets.skip(usize::from(length / 8)).filter(|(at, _)| *at != LEFT_OUT);
    Ipv4Addr::from_bits(behind.take(4).fold(0, |bits, (_, octet)| (bits << 8) | u32::from(octet)))
}

impl FromStr for Nat64 {
    type Err = Nat64Refused;

    fn from_str(text: &str) -> Result<Self, Nat64Refused> {
        text.split(',').map(str::trim).map(parse).collect::<Result<_, _>>().map(Self)
    }
}

fn parse(entry: &str) -> Result<Ipv6Net, Nat64Refused> {
    let refuse = |rule| Nat64Refused { entry: entry.to_owned(), rule };
    let net: Ipv6Net = entry.parse().map_err(|_| refuse("it is not written as 2001:db8:64::/96"))?;
    if !LENGTHS.contains(&net.prefix_len()) {
        return Err(refuse("its length is not 32, 40, 48, 56, 64 or 96 (RFC 6052)"));
    }
    let first = net.addr();
    if net.network() != first || first.octets().get(LEFT_OUT) != Some(&0) {
        return Err(refuse("bits 64 to 71 and those behind the prefix must be zero"));
    }
    match first.segments() {
        [0x2002, ..] | [0x2001, 0, ..] => Err(refuse("6to4 and Teredo are no NAT64")),
        [0x2000..=0x3fff | 0xfc00..=0xfdff, ..] | [0x64, 0xff9b, ..] => Ok(net),
        _ => Err(refuse("it lies outside of 2000::/3, fc00::/7 and 64:ff9b::/32")),
    }
}

impl fmt::Display for Nat64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(Ipv6Net::to_string).collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 6052, section 2.4.
    #[test]
    fn an_ipv4_address_is_found_behind_a_prefix_of_any_length() {
        for (prefix, address) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
        ] {
            let nat64: Nat64 = prefix.parse().unwrap();
            let found: Vec<_> = nat64.embedded(address.parse().unwrap()).collect();
            assert_eq!(found, [IpAddr::from([192, 0, 2, 33])], "{prefix}");
            assert_eq!(nat64.to_string(), prefix);
            for other in ["192.0.2.33", "2606:4700::1111"] {
                assert_eq!(nat64.embedded(other.parse().unwrap()).count(), 0, "{other}");
            }
        }
        let both: Nat64 = "2001:db8::/32, 2001:db8:122:344::/96".parse().unwrap();
        assert_eq!(both.embedded("2001:db8:122:344::1".parse().unwrap()).count(), 2, "by each");
    }

    #[test]
    fn what_is_no_prefix_is_refused_with_its_rule() {
        for (wrong, rule) in [
            ("", "written"),
            ("2600:64::/96,", "written"),
            ("2600:64::", "written"),
            ("10.0.0.0/8", "written"),
            ("2600:64::/95", "length"),
            ("2600:64::/128", "length"),
            ("2600:64::1/96", "zero"),
            ("2600:64:0:1::/48", "zero"),
            ("2600:64:0:0:100::/96", "zero"),
            ("2002::/96", "6to4"),
            ("2001::/32", "6to4"),
            ("::ffff:0:0/96", "outside"),
            ("::/96", "outside"),
            ("fe80::/64", "outside"),
            ("ff00::/32", "outside"),
        ] {
            let refused = wrong.parse::<Nat64>().unwrap_err().to_string();
            assert!(refused.contains(rule), "{wrong}: {refused}");
        }
    }
}
