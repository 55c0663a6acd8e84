//! Which addresses are somebody's public host, and which nobody may be let to, not even by the operator.
//! Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries; of IPv6 only 2000::/3 is handed out
//! at all (IANA IPv6 address space); the clouds' manuals for where they tell a machine its own secrets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Network and prefix length of every IPv4 block that is not globally reachable unicast.
const NOT_PUBLIC_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),        // this network
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // shared, carrier NAT
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // Azure's own, of every machine there
    ([169, 254, 0, 0], 16),   // link-local, cloud metadata
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 88, 99, 0], 24),   // 6to4 relays
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarking
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved, broadcast
];

/// The same within 2000::/3; all that lies outside is not public. What embeds an IPv4 address
/// (mapped, compatible, NAT64) lies outside, or is 6to4 and Teredo here.
const NOT_PUBLIC_V6: &[([u16; 3], u32)] = &[
    ([0x2001, 0, 0], 23),     // protocol assignments, Teredo, ORCHID
    ([0x2001, 0xdb8, 0], 32), // documentation
    ([0x2002, 0, 0], 16),     // 6to4
    ([0x3fff, 0, 0], 20),     // documentation
];

/// Where a machine is told who it is and what its secrets are, and all that is link-local. An exception
/// that is as wide as to hold one of these does not reach it either.
const NEVER_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),          // this host, as Linux reads it
    ([169, 254, 0, 0], 16),     // link-local: AWS, Azure, Google and nearly all others
    ([168, 63, 129, 16], 32),   // Azure
    ([100, 100, 100, 200], 32), // Alibaba
    ([192, 0, 0, 192], 32),     // Oracle
];

const NEVER_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32), // AWS
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0), 32),  // Google
    (Ipv6Addr::UNSPECIFIED, 128),
];

/// Whether no exception may lead to `ip`, by its own name or as the IPv4 address that it carries.
pub(super) fn is_never(ip: IpAddr) -> bool {
    let v4 = |ip: Ipv4Addr| NEVER_V4.iter().any(|(net, length)| same_prefix_v4(ip, (*net).into(), *length));
    match ip {
        IpAddr::V4(ip) => v4(ip),
        IpAddr::V6(ip) => {
            NEVER_V6.iter().any(|(net, length)| same_prefix_v6(ip, *net, *length))
                || carried(ip).into_iter().flatten().any(v4)
        }
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped (RFC 4291), compatible (the same), NAT64 by its
/// well-known and its local prefix (RFC 6052, RFC 8215), 6to4 (RFC 3056), and both of Teredo's (RFC 4380).
pub(super) fn carried(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let [_, a, b, c, _, _, y, z] = ip.segments();
    let of = |high: u16, low: u16| Some(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] if ip.segments() != [0, 0, 0, 0, 0, 0, 0, 1] => [of(y, z), None],
        [0x64, 0xff9b, ..] => [of(y, z), None],
        [0x2002, ..] => [of(a, b), None],
        [0x2001, 0, ..] => [of(b, c), of(!y, !z)],
        _ => [None, None],
    }
}

/// Whether `ip` is globally reachable unicast.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !NOT_PUBLIC_V4.iter().any(|(net, length)| same_prefix_v4(ip, (*net).into(), *length))
        }
        IpAddr::V6(ip) => {
            same_prefix_v6(ip, Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)
                && !NOT_PUBLIC_V6.iter().any(|([a, b, c], length)| {
                    same_prefix_v6(ip, Ipv6Addr::new(*a, *b, *c, 0, 0, 0, 0, 0), *length)
                })
        }
    }
}

fn same_prefix_v4(ip: Ipv4Addr, net: Ipv4Addr, length: u32) -> bool {
    (ip.to_bits() ^ net.to_bits()).leading_zeros() >= length
}

fn same_prefix_v6(ip: Ipv6Addr, net: Ipv6Addr, length: u32) -> bool {
    (ip.to_bits() ^ net.to_bits()).leading_zeros() >= length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_a_machine_its_secrets_is_known_in_every_dress() {
        for never in [
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "0.0.0.0",
            "fe80::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::1",
            "2001:0:808:808:0:0:5601:5601",
        ] {
            assert!(is_never(never.parse().unwrap()), "{never}");
        }
        for other in ["10.0.0.1", "127.0.0.1", "::1", "fd00::1", "::ffff:10.0.0.1", "1.1.1.1", "100.64.0.1"] {
            assert!(!is_never(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn only_globally_reachable_unicast_is_public() {
        for public in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00::1",
            "2001:4860:4860::8888",
            "2001:200::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for not in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:808:808::1",
            "2001:1ff:ffff::",
            "2001:db8::1",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ] {
            assert!(!is_public(not.parse().unwrap()), "{not}");
        }
    }
}
