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
fn whoever_takes_nothing_is_cut_off_while_the_server_has_nothing_to_write() {
    let vault = Vault::start();
    vault.deposit_as("acme", "ada", &deposit("bot", "s"));
    crowd(&vault.home, "acme", 40_000);
    let slow = [(); 2].map(|()| begun(&vault, "acme").unwrap());
    // What is still under way to them counts as taken.
    let (mut has, mut same) = ([0; 2], 0);
    until("nothing more to come", || {
        assert_eq!(call(&vault.url, "GET", "/readyz", "", None).status, 200);
        let now = slow.each_ref().map(|stream| rustix::io::ioctl_fionread(stream).unwrap());
        same = if std::mem::replace(&mut has, now) == now { same + 1 } else { 0 };
        same == 100
    });
    vault.clock.advance(Duration::from_secs(60));
    assert!(slow.iter().all(|stream| stream.take_error().unwrap().is_none()));
    vault.clock.advance(Duration::from_secs(1));
    let is_cut = |stream: &TcpStream| stream.take_error().unwrap().is_some();
    let mut cut = [false; 2];
    until("both to be cut off", || {
        cut = [0, 1].map(|at| cut[at] || is_cut(&slow[at]));
        cut == [true; 2]
    });
    assert_eq!(begun(&vault, "acme").map(is_whole), Some(true));
    // Who takes it has their connection for what comes next.
    let auditor = vault.token("acme", "auditor", "auditor");
    let mut kept = begun(&vault, "acme").unwrap();
    let mut rest = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    while !rest.ends_with(b"\r\n0\r\n\r\n") {
        let read = kept.read(&mut piece).unwrap();
        assert!(read > 0);
        rest.extend_from_slice(&piece[..read]);
    }
    vault.clock.advance(Duration::from_secs(61));
    let head =
        format!("GET /v1/audit/events HTTP/1.1\r\nHost: pawl\r\nAuthorization: Bearer {auditor}\r\n\r\n");
    kept.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 12];
    kept.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
}

/// Attack on P10.
#[test]
fn whoever_takes_nothing_leaves_their_place_to_others_in_a_minute() {
    let vault = Vault::start();
    vault.deposit_as("acme", "ada", &deposit("bot", "s"));
    // 11 MB: more than is under way between two sockets.
    crowd(&vault.home, "acme", 40_000);
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
