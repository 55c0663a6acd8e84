//! A name server of an attacker's: names whose addresses change between two looks, that mix good with bad, that lead
//! on by an alias. The vault checks what was deposited at them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl::egress::Resolve;
use serde_json::json;

use crate::check::codes;
use crate::harness::{Home, Vault};

/// Of what is below it nobody ever says anything.
pub const MUTE: &str = ".mute.example";

/// What the name server says of a name, look by look; the last again and again.
pub type Script = BTreeMap<&'static str, Vec<Vec<Ipv4Addr>>>;

/// A name server on loopback, speaking DNS, and the looks that it was asked for.
pub struct NameServer {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    pub fn start(script: Script) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = asked.clone();
        std::thread::spawn(move || {
            let (mut query, mut looks) = ([0; 512], BTreeMap::<String, usize>::new());
            while let Ok((length, client)) = socket.recv_from(&mut query) {
                let query = &query[..length];
                let name = name_in(query);
                kept.lock().unwrap().push(name.clone());
                if name.ends_with(MUTE) {
                    continue;
                }
                let look = looks.entry(name.clone()).or_default();
                let answers = script.get(name.as_str()).and_then(|all| all.get(*look).or(all.last()));
                *look += 1;
                socket.send_to(&answer(query, answers.map_or(&[], Vec::as_slice)), client).unwrap();
            }
        });
        Self { port, asked }
    }

    /// Looks names up there, a query for each look, and forgets every answer at once.
    pub fn resolver(&self) -> Resolve {
        let server = (Ipv4Addr::LOCALHOST, self.port);
        Resolve::through(move |name| async move {
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.send_to(&query(&name), server).await.unwrap();
            let mut answer = [0; 512];
            let length = socket.recv(&mut answer).await.unwrap();
            addresses_in(&answer[..length])
        })
    }

    pub fn looks(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

const HEAD: usize = 12;

/// RFC 1035, section 4: a question of class IN for an A record.
fn query(name: &str) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}

fn name_in(query: &[u8]) -> String {
    let (mut labels, mut at) = (Vec::new(), HEAD);
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8(query[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    labels.join(".")
}

/// Each address by an alias and a TTL of no time; no name of that where there is none.
fn answer(query: &[u8], addresses: &[Ipv4Addr]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2] = 0x81;
    answer[3] = if addresses.is_empty() { 0x83 } else { 0x80 };
    answer[7] = addresses.len() as u8;
    for address in addresses {
        answer.extend([0xc0, HEAD as u8, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}

fn addresses_in(answer: &[u8]) -> Vec<IpAddr> {
    let question = HEAD + answer[HEAD..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let records = answer[question..].chunks_exact(16);
    records.map(|record| IpAddr::from([record[12], record[13], record[14], record[15]])).collect()
}

/// What stands for a public host: whoever connects is counted and hung up on.
pub fn public_host() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let met: Arc<AtomicUsize> = Arc::default();
    let counted = met.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    (port, met)
}

/// Attack on P7.
#[test]
fn a_name_that_is_bound_anew_leads_nowhere() {
    let (port, met) = public_host();
    // The same port on another address of loopback: the inner host.
    let inner = TcpListener::bind(("127.0.0.2", port)).unwrap();
    inner.set_nonblocking(true).unwrap();
    let [good, bad, metadata] = ["127.0.0.1", "127.0.0.2", "169.254.169.254"].map(|ip| ip.parse().unwrap());
    let server = NameServer::start(BTreeMap::from([
        ("steady.example", vec![vec![good]]),
        ("turns.example", vec![vec![good], vec![bad]]),
        ("turns-to-metadata.example", vec![vec![good], vec![metadata]]),
        ("flips.example", vec![vec![bad], vec![good], vec![bad]]),
        ("mixed.example", vec![vec![good, bad]]),
        ("mixed-last.example", vec![vec![good, good, good, good, good, good, good, metadata]]),
        ("inner.example", vec![vec![bad]]),
        ("nobody.example", vec![vec![]]),
    ]));
    let port_text = port.to_string();
    let settings = [("PAWL_EGRESS_ALLOW", "127.0.0.1"), ("PAWL_EGRESS_PORTS", port_text.as_str())];
    let vault = Vault::start_resolving(Home::new(), &settings, server.resolver());
    for (name, expected) in [
        // Reached, and hung up on before there is TLS.
        ("steady.example", ["connect", "connect"]),
        ("turns.example", ["connect", "host_not_public"]),
        ("turns-to-metadata.example", ["connect", "host_not_public"]),
        ("flips.example", ["host_not_public", "connect"]),
        ("mixed.example", ["host_not_public"; 2]),
        ("mixed-last.example", ["host_not_public"; 2]),
        ("inner.example", ["host_not_public"; 2]),
        ("nobody.example", ["host_not_public"; 2]),
    ] {
        let body = json!({"url": format!("https://{name}:{port}"), "database": "d", "username": "bot",
                          "credential": {"kind": "password", "secret": "hunter2-hunter2"}});
        let id = vault.deposit_as("acme", "ada", &body);
        assert_eq!(server.looks(), Vec::<String>::new(), "a deposit looks nothing up");
        for expected in expected {
            let backend = vault.token("acme", "ada", "backend");
            let before = met.load(Ordering::SeqCst);
            let answer = vault.call("POST", &format!("/v1/connections/{id}/check"), &backend, None);
            assert_eq!(codes(&answer.json), [expected], "{name}: {}", answer.body);
            assert_eq!(server.looks(), [name], "one look for a check");
            let reached = usize::from(expected == "connect");
            assert_eq!(met.load(Ordering::SeqCst) - before, reached, "{name}");
            vault.clock.advance(Duration::from_secs(120));
        }
    }
    let nobody = inner.accept().err().map(|error| error.kind());
    assert_eq!(nobody, Some(std::io::ErrorKind::WouldBlock), "the inner host was called");
}
