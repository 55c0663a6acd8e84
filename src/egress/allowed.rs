//! An org's own list of hosts: beside it nothing of the org is called or lent, whatever the guard would let through.

use std::net::IpAddr;

use url::{Host, Url};

use crate::egress::host::{is_name, is_spelled, is_under, plain};

/// Host names, addresses, and `*.suffix` for every name below one. At least one and at most a hundred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHosts(Vec<String>);

/// Why a list is none: the place of the entry that breaks a rule, or the list's own. Quotes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAList {
    /// The entry's place, from 0.
    pub at: Option<usize>,
    /// The rule's stable name.
    pub rule: &'static str,
    /// The rule.
    pub detail: &'static str,
}

/// The most entries of a list.
const MOST: usize = 100;

impl AllowedHosts {
    /// Takes a list as somebody sent it, each entry in its normal form.
    pub fn parse(list: &[String]) -> Result<Self, NotAList> {
        if list.is_empty() || list.len() > MOST {
            let detail = "must name 1 to 100 hosts; null lets any public host be called";
            return Err(NotAList { at: None, rule: "items", detail });
        }
        let mut hosts = Vec::new();
        for (at, text) in list.iter().enumerate() {
            let wrong = |rule, detail| NotAList { at: Some(at), rule, detail };
            let detail = "must be a host name, *. and a name of two labels or more, or an address";
            let host = entry(text).ok_or_else(|| wrong("host", detail))?;
            if hosts.contains(&host) {
                return Err(wrong("once", "must be named once"));
            }
            hosts.push(host);
        }
        Ok(Self(hosts))
    }

    /// The entries, in their normal form.
    pub fn entries(&self) -> &[String] {
        &self.0
    }

    /// Whether the host of `url`, an origin as the guard made it, is one of them.
    pub fn allow(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else { return false };
        let Some(host) = url.host() else { return false };
        let host = plain(host).to_string();
        self.0.iter().any(|entry| match entry.strip_prefix("*.") {
            Some(suffix) => host != *suffix && is_under(&host, suffix),
            None => *entry == host,
        })
    }
}

fn entry(text: &str) -> Option<String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
    }
    let (star, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
    let host = match Host::parse(name).ok()? {
        Host::Domain(name) => Host::Domain(name.strip_suffix('.').unwrap_or(&name).to_owned()),
        other => other,
    };
    if !is_spelled(name, &host) {
        return None;
    }
    match &host {
        Host::Domain(name) if is_name(name) && (star.is_empty() || name.contains('.')) => {
            Some(format!("{star}{name}"))
        }
        Host::Ipv6(_) if star.is_empty() => Some(host.to_string()),
        Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &[&str]) -> Result<AllowedHosts, NotAList> {
        AllowedHosts::parse(&list.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_host_is_allowed_by_its_name_or_by_what_stands_above_it() {
        let list =
            of(&["ACME.example.", "*.odoo.com", "10.0.0.7", "fd00::1", "żółw.example", "odoo"]).unwrap();
        let normal = ["acme.example", "*.odoo.com", "10.0.0.7", "[fd00::1]", "xn--w-uga1v8h.example", "odoo"];
        assert_eq!(list.entries(), normal);
        assert_eq!(of(&normal), Ok(list.clone()), "a normal form is its own");
        for (url, allowed) in [
            ("https://acme.example", true),
            ("https://acme.example:8443", true),
            ("https://a.acme.example", false),
            ("https://notacme.example", false),
            ("https://acme.example.evil.example", false),
            ("https://beta.odoo.com", true),
            ("https://a.b.odoo.com", true),
            ("https://odoo.com", false),
            ("https://myodoo.com", false),
            ("https://xn--w-uga1v8h.example", true),
            ("http://10.0.0.7:8069", true),
            ("http://10.0.0.8", false),
            ("http://[fd00::1]", true),
            ("http://odoo:8069", true),
            ("https://odoo.example", false),
            ("acme.example", false),
            ("", false),
        ] {
            assert_eq!(list.allow(url), allowed, "{url}");
        }
    }

    #[test]
    fn a_list_that_is_none_is_refused_by_entry_and_rule() {
        for (list, at, rule) in [
            (&[][..], None, "items"),
            (&[""], Some(0), "host"),
            (&["a.example", "*"], Some(1), "host"),
            (&["*.com"], Some(0), "host"),
            (&["*."], Some(0), "host"),
            (&["a.*.example"], Some(0), "host"),
            (&["*.10.0.0.1"], Some(0), "host"),
            (&["https://a.example"], Some(0), "host"),
            (&["a.example:443"], Some(0), "host"),
            (&["a.example/"], Some(0), "host"),
            (&["2130706433"], Some(0), "host"),
            (&["0x7f.1"], Some(0), "host"),
            (&["a example"], Some(0), "host"),
            (&["a%2eexample"], Some(0), "host"),
            (&["a..example"], Some(0), "host"),
            (&["a.example", "A.example"], Some(1), "once"),
        ] {
            let refused = of(list).unwrap_err();
            assert_eq!((refused.at, refused.rule), (at, rule), "{list:?}");
        }
        assert!(AllowedHosts::parse(&(0..100).map(|n| format!("h{n}.example")).collect::<Vec<_>>()).is_ok());
        assert!(AllowedHosts::parse(&(0..101).map(|n| format!("h{n}.example")).collect::<Vec<_>>()).is_err());
    }
}
