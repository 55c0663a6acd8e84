//! A network that reaches IPv4 by a NAT64 at prefixes of its own: what is public by its looks leads to an inner host.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use pawl::egress::{Egress, EgressError, Exceptions, Guard, Limits, Nat64, OdooUrl, Resolve};
use serde_json::json;
use url::{Host, Url};

use crate::harness::{Home, Vault, deposit};
use crate::hostile_urls::corpus;

const PREFIXES: &[&str] = &[
    "2a00:6432::/32",
    "2a00:6440:4000::/40",
    "2a00:6448:4800::/48",
    "2a00:6456:5600:5600::/56",
    "2a00:6464:6400:64::/64",
    "2a00:6496:9600:96::/96",
    "64:ff9b::/96",
];

/// The address that stands for `ip` there, by numbers alone (RFC 6052, section 2.2).
fn embed(prefix: &str, ip: Ipv4Addr) -> Ipv6Addr {
    let (prefix, length) = prefix.split_once('/').unwrap();
    let (prefix, length) = (prefix.parse::<Ipv6Addr>().unwrap().to_bits(), length.parse::<u32>().unwrap());
    let ip = u128::from(ip.to_bits());
    if length == 96 {
        return Ipv6Addr::from_bits(prefix | ip);
    }
    let behind = length - 32;
    let (high, low) = (ip >> behind, ip & ((1 << behind) - 1));
    Ipv6Addr::from_bits(prefix | (high << 64) | (low << (56 - behind)))
}

/// The IPv4 hosts of the corpus that are not public, and some that are.
fn hosts() -> (BTreeSet<Ipv4Addr>, [Ipv4Addr; 3]) {
    let hosts = corpus().into_iter().filter(|(rule, _)| rule == "not_public");
    let hosts = hosts.filter_map(|(_, url)| match Url::parse(&url).ok()?.host()? {
        Host::Ipv4(ip) => Some(ip),
        _ => None,
    });
    (hosts.collect(), ["8.8.8.8", "1.1.1.1", "203.0.114.7"].map(|ip| ip.parse().unwrap()))
}

/// Attack on P7.
#[test]
fn an_inner_host_behind_a_nat64_is_an_inner_host() {
    let (inner, public) = hosts();
    assert!(inner.len() >= 20, "{inner:?}");
    let all = PREFIXES.join(",");
    let vault = Vault::start_in(Home::new(), &[("PAWL_EGRESS_NAT64", &all)]);
    let unaware = Vault::start();
    let ask = |vault: &Vault, ip: Ipv6Addr| {
        let mut body = deposit("bot", "hunter2-hunter2");
        body["url"] = json!(format!("https://[{ip}]"));
        let answer =
            vault.call("POST", "/v1/connections", &vault.token("acme", "ada", "backend"), Some(&body));
        (answer.status, answer.json["errors"][0]["rule"].as_str().unwrap_or_default().to_owned())
    };
    for prefix in PREFIXES {
        for ip in &inner {
            assert_eq!(ask(&vault, embed(prefix, *ip)), (422, "not_public".into()), "{prefix} {ip}");
        }
        for ip in public {
            assert_eq!(ask(&vault, embed(prefix, ip)).0, 201, "{prefix} {ip}");
        }
    }
    assert_eq!(ask(&unaware, embed(PREFIXES[0], "10.0.0.1".parse().unwrap())).0, 201, "nobody named it");
}

/// Attack on P7.
#[test]
fn a_name_that_leads_through_a_nat64_is_judged_by_where_it_ends() {
    let (inner, public) = hosts();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let nat64: Nat64 = PREFIXES.join(",").parse().unwrap();
    let judge = |exceptions: &str, addresses: Vec<IpAddr>| {
        let exceptions =
            if exceptions.is_empty() { Exceptions::default() } else { exceptions.parse().unwrap() };
        let guard = Guard::new(exceptions).with_nat64(nat64.clone());
        let guard = guard.resolving(Resolve::by(move |_| addresses.clone()));
        let url = OdooUrl::parse("https://odoo.example", &guard, None).unwrap();
        let egress = Egress::new(&guard, url, None, Limits::default()).unwrap();
        runtime.block_on(egress.judge(Duration::from_secs(5)))
    };
    for prefix in PREFIXES {
        let to = |ip: Ipv4Addr| IpAddr::V6(embed(prefix, ip));
        for ip in &inner {
            assert_eq!(
                judge("", vec![to(public[0]), to(*ip)]),
                Err(EgressError::HostNotPublic),
                "{prefix} {ip}"
            );
        }
        assert_eq!(judge("", public.map(to).to_vec()), Ok(()), "{prefix}");
        // A name that may be private may be so there; metadata is nobody's.
        assert_eq!(judge("odoo.example", vec![to([10, 0, 0, 1].into())]), Ok(()), "{prefix}");
        for everything in ["odoo.example", "::/0"] {
            let metadata = to([169, 254, 169, 254].into());
            assert_eq!(judge(everything, vec![metadata]), Err(EgressError::HostNotPublic), "{prefix}");
        }
    }
}
