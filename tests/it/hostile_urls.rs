//! Addresses that an attacker types, each through the real deposit and each held to the rule that refuses it; and
//! texts that nobody has thought of.

use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use pawl::egress::{Exceptions, Guard, OdooUrl, is_public};
use serde_json::{Value, json};
use url::{Host, Url};

use crate::contract::python;
use crate::harness::{Vault, deposit};
use crate::xml_answers::random;

/// The rule and the address of each line of the corpus.
pub fn corpus() -> Vec<(String, String)> {
    let lines = include_str!("../egress/hostile-urls.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (rule, url) = line.split_once(' ').unwrap();
            (rule.to_owned(), serde_json::from_str(url).unwrap())
        })
        .collect()
}

fn guard() -> Guard {
    Guard::new(Exceptions::default())
}

/// Attack on P7.
#[test]
fn no_hostile_address_is_deposited() {
    let corpus = corpus();
    assert!(corpus.len() >= 300, "{}", corpus.len());
    let vault = Vault::start();
    let backend = vault.token("acme", "ada", "backend");
    let mut wrong = Vec::new();
    for (rule, url) in &corpus {
        let mut body = deposit("bot", "hunter2-hunter2");
        body["url"] = json!(url);
        let answer = vault.call("POST", "/v1/connections", &backend, Some(&body));
        let told: Vec<&Value> = answer.json["errors"].as_array().into_iter().flatten().collect();
        let is_told = matches!(told[..], [one] if one["field"] == "url" && one["rule"] == rule.as_str());
        if answer.status != 422 || !is_told {
            wrong.push(format!("{url:?} is not {rule}: {} {told:?}", answer.status));
        }
        // A problem quotes no address: who is shown it may be another than who typed it.
        let is_ours = url.len() < 12 || "such as https://acme.odoo.com".contains(url.as_str());
        let quotes = !is_ours && answer.body.contains(url.as_str());
        assert!(!quotes, "{url:?}: {}", answer.body);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), corpus.len(), wrong.join("\n"));
    let kept = vault.call("GET", "/v1/connections", &backend, None);
    assert_eq!(kept.json["items"], json!([]));
}

/// Pieces that addresses are made of, honest and not.
const PIECES: &[&str] = &[
    "https",
    "http",
    "://",
    ":",
    "/",
    "\\",
    "@",
    "?",
    "#",
    "[",
    "]",
    "%",
    "%2e",
    "%25",
    "%00",
    ".",
    "..",
    "-",
    "_",
    "*",
    "0",
    "1",
    "127",
    "0x7f",
    "0177",
    "10",
    "169",
    "254",
    "8",
    "443",
    ":443",
    ":8443",
    "::",
    "ffff",
    "64:ff9b::",
    "2002:",
    "2606:4700::1111",
    "fe80",
    "%eth0",
    "localhost",
    "acme",
    "odoo",
    "com",
    "example",
    "internal",
    "xn--",
    "xn--w-uga1v8h",
    "żółw",
    "ß",
    "ı",
    "K",
    "①",
    "。",
    "．",
    "\u{ad}",
    "\u{200d}",
    "\u{202e}",
    "\u{0}",
    "\n",
    " ",
    "é",
    "e\u{301}",
    "9",
    "a",
    "b",
    "z",
];

fn piece(seed: &mut u64) -> &'static str {
    PIECES[random(seed, PIECES.len() as u64) as usize]
}

fn put_together(seed: &mut u64) -> String {
    let scheme = if random(seed, 4) > 0 { "https://" } else { "" };
    scheme.to_owned() + &(0..=random(seed, 7)).map(|_| piece(seed)).collect::<String>()
}

/// A good address with a piece too many, or a letter too few, here and there.
fn bent(seed: &mut u64) -> String {
    let good =
        ["https://acme.odoo.com", "https://żółw.example", "https://8.8.8.8", "https://[2606:4700::1111]"];
    let mut text: Vec<char> = good[random(seed, 4) as usize].chars().collect();
    for _ in 0..=random(seed, 2) {
        let at = random(seed, text.len() as u64) as usize;
        match random(seed, 3) {
            0 => drop(text.remove(at)),
            1 => drop(text.splice(at..at, piece(seed).chars())),
            _ => drop(text.splice(at..=at, piece(seed).chars())),
        }
    }
    text.into_iter().collect()
}

/// Whatever the text: what is taken is https to a public host by a name or address that a second reader of the
/// normal form reads alike, and is its own normal form.
/// Attack on P7.
#[test]
fn what_is_taken_of_any_text_is_a_public_origin_in_its_normal_form() {
    let rounds = if std::env::var_os("TEST_LONG").is_some() { 5_000_000 } else { 100_000 };
    let (guard, mut seed, mut taken) = (guard(), 0x9a21_u64, 0);
    for _ in 0..rounds {
        let text = if random(&mut seed, 2) == 0 { put_together(&mut seed) } else { bent(&mut seed) };
        let Ok(url) = OdooUrl::parse(&text, &guard, None) else { continue };
        taken += 1;
        let normal = url.as_str();
        assert_eq!(OdooUrl::parse(normal, &guard, None).as_ref(), Ok(&url), "{text:?}");
        let host = normal.strip_prefix("https://").unwrap_or_else(|| panic!("{text:?} became {normal}"));
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match (bare.parse::<IpAddr>(), Url::parse(normal).unwrap().host().unwrap()) {
            (Ok(ip), Host::Ipv4(v4)) => assert!(is_public(ip) && ip == IpAddr::V4(v4), "{text:?}"),
            (Ok(ip), Host::Ipv6(v6)) => assert!(is_public(ip) && ip == IpAddr::V6(v6), "{text:?}"),
            (Err(_), Host::Domain(name)) => {
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
                assert!(name == host && host.bytes().all(plain) && host.contains('.'), "{text:?}: {host}");
                let last = host.rsplit('.').next().unwrap();
                assert!(last.bytes().any(|b| b.is_ascii_alphabetic()), "{text:?}: {host}");
                assert!(host != "localhost" && !host.ends_with(".internal"), "{text:?}");
            }
            read => panic!("{text:?} became {normal}, which is read as {read:?}"),
        }
    }
    assert!(taken > rounds / 500, "{taken} of {rounds} were taken: that tries nothing");
}

/// The guard's list, held against another that others keep: at the ends of every block of either, and at random.
#[test]
fn an_address_is_public_where_another_reader_says_so() {
    let rounds = if std::env::var_os("TEST_LONG").is_some() { 1_000_000 } else { 50_000 };
    let blocks = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 \
                  192.0.0.0/24 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 \
                  192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 233.252.0.0/24 240.0.0.0/4 \
                  ::/128 ::1/128 ::/96 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2000::/3 \
                  2001::/23 2001::/32 2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28 \
                  2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8";
    let mut asked: Vec<IpAddr> = Vec::new();
    for net in blocks.split_whitespace().map(|net| net.parse::<ipnet::IpNet>().unwrap()) {
        match (net.network(), net.broadcast()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let (first, last) = (first.to_bits(), last.to_bits());
                let ends = [first.wrapping_sub(1), first, last, last.wrapping_add(1)];
                asked.extend(ends.map(|bits| IpAddr::V4(bits.into())));
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                let (first, last) = (first.to_bits(), last.to_bits());
                let ends = [first.wrapping_sub(1), first, last, last.wrapping_add(1)];
                asked.extend(ends.map(|bits| IpAddr::V6(bits.into())));
            }
            _ => unreachable!(),
        }
    }
    let (mut seed, ends) = (0x1f_u64, asked.len() as u64);
    for _ in 0..rounds {
        let near = asked[random(&mut seed, ends) as usize];
        let [high, low] = [(); 2]
            .map(|()| u128::from(random(&mut seed, 1 << 30)) << 32 | u128::from(random(&mut seed, 1 << 30)));
        asked.push(match near {
            IpAddr::V4(_) if random(&mut seed, 2) == 0 => IpAddr::V4((low as u32).rotate_left(7).into()),
            IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() ^ (1 << random(&mut seed, 32))).into()),
            IpAddr::V6(_) if random(&mut seed, 2) == 0 => {
                IpAddr::V6(((high << 66 | low) & (u128::MAX >> 3) | 1 << 125).into())
            }
            IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() ^ (1 << random(&mut seed, 128))).into()),
        });
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/egress/ranges.py");
    let mut reader = Command::new(python())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("python3 is missing: {e}"));
    let mut to = reader.stdin.take().unwrap();
    let said = std::thread::scope(|threads| {
        threads.spawn(|| {
            let lines: Vec<String> = asked.iter().map(|ip| format!("{ip}\n")).collect();
            to.write_all(lines.concat().as_bytes()).unwrap();
            drop(to);
        });
        reader.wait_with_output().unwrap()
    });
    let said = String::from_utf8(said.stdout).unwrap();
    let said: Vec<bool> = said.lines().map(|line| line == "1").collect();
    assert_eq!(said.len(), asked.len());
    let public = said.iter().filter(|said| **said).count();
    assert!(public > asked.len() / 10 && public < asked.len() * 9 / 10, "{public} of {}", asked.len());
    let wrong: Vec<_> =
        asked.iter().zip(&said).filter(|(ip, said)| is_public(**ip) != **said).take(20).collect();
    assert!(wrong.is_empty(), "the other reader says of these: {wrong:?}");
}
