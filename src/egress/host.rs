//! A host as somebody typed it: a name or an address, in the one spelling in which every program reads the same.

use std::net::IpAddr;

use url::Host;

use crate::egress::guard::Guard;
use crate::egress::url::UrlRefused;

/// Names that never lead to a public host: RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 9476, ICANN's private-use
/// TLD, those it does not delegate because homes and firms use them, and what clusters call their own.
const INNER_SUFFIXES: &[&str] = &[
    "alt",
    "arpa",
    "corp",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "mail",
    "onion",
    "private",
    "svc",
    "test",
];

/// The longest name and the longest label of one, in bytes (RFC 1035).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// The host of a URL that was parsed, without the dot at its end.
pub(super) fn plain(host: Host<&str>) -> Host<String> {
    match host {
        Host::Domain(name) => Host::Domain(name.strip_suffix('.').unwrap_or(name).to_owned()),
        Host::Ipv4(ip) => Host::Ipv4(ip),
        Host::Ipv6(ip) => Host::Ipv6(ip),
    }
}

/// Whether `host` is somebody's public host, by its name alone.
pub(super) fn judge(host: &Host<String>, guard: &Guard) -> Result<(), UrlRefused> {
    let public = match host {
        Host::Ipv4(ip) => guard.is_public(IpAddr::V4(*ip)),
        Host::Ipv6(ip) => guard.is_public(IpAddr::V6(*ip)),
        Host::Domain(name) => {
            let inner = INNER_SUFFIXES.iter().any(|suffix| is_under(name, suffix));
            if !name.contains('.') && name != "localhost" {
                return Err(UrlRefused::SingleLabel);
            }
            !inner
        }
    };
    if public { Ok(()) } else { Err(UrlRefused::NotPublic) }
}

/// Whether `name` is `suffix` or ends with it, label by label.
pub(super) fn is_under(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Letters, digits, hyphens and the underscore that Windows puts in names, in labels of a length that DNS has;
/// the last one no number, which other programs would take for an address.
pub(super) fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= MAX_NAME
        && name.split('.').all(is_label)
        && name.rsplit('.').next().is_some_and(|last| last.bytes().any(|b| b.is_ascii_alphabetic()))
}

/// Whether `typed` is the way to write `host`: an address in its shortest form and in decimal, a name in ASCII
/// letters, or an international one that its own letters make, with nothing that looks like something else.
pub(super) fn is_spelled(typed: &str, host: &Host<String>) -> bool {
    let typed = typed.strip_suffix('.').unwrap_or(typed);
    match host {
        Host::Ipv4(ip) => typed == ip.to_string(),
        // Its groups have several right forms, and only digits, letters and colons.
        Host::Ipv6(ip) => {
            let inside = typed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            inside.is_some_and(|inside| inside.parse() == Ok(*ip) && !inside.contains('.'))
        }
        Host::Domain(name) if typed.is_ascii() => typed.eq_ignore_ascii_case(name),
        Host::Domain(name) => {
            let (shown, read) = idna::domain_to_unicode(name);
            read.is_ok() && !shown.is_ascii() && shown == typed.to_lowercase()
        }
    }
}
