//! Who takes an export without taking it: their place is another's in a minute, and what they were promised breaks off.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{Vault, call, deposit, until};
use crate::trail::crowd;

const PATH: &str = "/v1/audit/export?format=jsonl";

/// Begins to read an export, and takes what comes by itself.
fn begun(vault: &Vault, org: &str) -> Option<TcpStream> {
    let auditor = vault.token(org, "auditor", "auditor");
    let mut stream = TcpStream::connect(vault.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // Or all of it fits in.
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 64 * 1024).unwrap();
    let head = format!("GET {PATH} HTTP/1.1\r\nHost: pawl\r\nAuthorization: Bearer {auditor}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    (&first == b"HTTP/1.1 200").then_some(stream)
}

/// Whether it came to its end.
fn is_whole(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    // It stays open after a whole answer.
    while !rest.ends_with(b"\r\n0\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return false,
            Ok(read) => rest.extend_from_slice(&piece[..read]),
        }
    }
    true
}

/// Attack on P10.
#[test]
fn whoever_takes_nothing_leaves_their_place_to_others_in_a_minute() {
    let vault = Vault::start();
    vault.deposit_as("acme", "ada", &deposit("bot", "s"));
    // 11 MB: more than is under way between two sockets.
    crowd(&vault, "acme", 40_000);
    let slow = [(); 2].map(|()| begun(&vault, "acme").unwrap());
    let third = || call(&vault.url, "GET", PATH, &vault.token("acme", "auditor", "auditor"), None);
    assert_eq!(third().status, 429);
    vault.clock.advance(Duration::from_secs(60));
    assert_eq!(third().status, 429);
    let mut another = None;
    until("a place", || {
        // Until nothing more is under way to them, they take it.
        vault.clock.advance(Duration::from_secs(61));
        another = begun(&vault, "acme");
        another.is_some()
    });
    assert!(is_whole(another.unwrap()));
    // The other may have been waiting for the database when the first was cut off.
    assert!(!slow.into_iter().all(is_whole));
}
