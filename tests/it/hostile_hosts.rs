//! A public host that somebody bought to see what becomes of who calls it: it speaks without end, packs nothing many
//! times over, points to thousands of addresses, or to words.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::time::Duration;

use pawl::egress::{EgressError, Guard, Limits, Own, Resolve};

use crate::egress::{egress, gzip, post, serve_bytes};

/// Answers with `begun`, and then `again` until nobody listens.
fn endless(begun: &str, again: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (begun, again) = (begun.to_owned(), again.repeat(100));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let mut sent = stream.write_all(begun.as_bytes());
            while sent.is_ok() {
                sent = stream.write_all(again.as_bytes());
            }
        }
    });
    port
}

/// Attack on P7.
#[test]
fn a_host_that_speaks_without_end_is_left_at_the_limits() {
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n";
    let short = Limits { first_byte: Duration::from_millis(300), max_bytes: 1 << 16, ..Limits::default() };
    for (begun, again, expected) in [
        ("", "HTTP/1.1 100 Continue\r\n\r\n", EgressError::Timeout),
        ("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", EgressError::Timeout),
        ("", "x", EgressError::Broken),
        ("HTTP/1.1 200 OK\r\n", "X: y\r\n", EgressError::TooLarge),
        ("HTTP/1.1 200 OK\r\nX: ", "y", EgressError::TooLarge),
        (chunked, "1\r\nx\r\n", EgressError::TooLarge),
        (&format!("{chunked}1;"), "x", EgressError::Broken),
        (&format!("{chunked}1\r\nx\r\n0\r\n"), "X: y\r\n", EgressError::Broken),
        (&format!("{chunked}0\r\nX: "), "y", EgressError::Broken),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n", "x", EgressError::TooLarge),
    ] {
        let port = endless(begun, again);
        let egress = egress(&format!("http://127.0.0.1:{port}"), "127.0.0.1", short, Resolve::system());
        assert_eq!(post(&egress), Err(expected), "{begun:?} and {again:?} without end");
    }
}

/// Each packing of nothing costs as much as one of something.
/// Attack on P7.
#[test]
fn nothing_is_not_unpacked_a_hundred_thousand_times() {
    let nothing = gzip(b"").repeat(100_000);
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        nothing.len()
    )
    .into_bytes();
    answer.extend_from_slice(&nothing);
    let port = serve_bytes(answer);
    let egress =
        egress(&format!("http://127.0.0.1:{port}"), "127.0.0.1", Limits::default(), Resolve::system());
    assert_eq!(post(&egress), Err(EgressError::Broken));
}

/// Attack on P7.
#[test]
fn a_name_with_many_addresses_has_a_few_of_them_called() {
    let listener = TcpListener::bind("127.0.0.20:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let limits = Limits::default();
    for (first, expected) in [(13, EgressError::Broken), (1, EgressError::Connect)] {
        let resolve = Resolve::by(move |_| (first..=20).map(|n| IpAddr::from([127, 0, 0, n])).collect());
        let egress =
            egress(&format!("http://many.example:{port}"), "many.example, 127.0.0.0/8", limits, resolve);
        assert_eq!(post(&egress), Err(expected), "from {first} on");
    }
    // All are judged.
    let resolve =
        Resolve::by(|_| (1..=20).map(|n| IpAddr::from([if n < 20 { 127 } else { 10 }, 0, 0, n])).collect());
    let egress = egress(&format!("https://many.example:{port}"), "127.0.0.0/8", limits, resolve);
    assert_eq!(post(&egress), Err(EgressError::HostNotPublic));
}

/// Attack on P7.
#[test]
fn a_door_of_our_own_that_can_not_be_looked_up_is_taken_for_theirs() {
    for (own, expected) in [(vec![], Err(EgressError::HostNotPublic)), (vec![[10, 0, 0, 6]], Ok(()))] {
        let guard = Guard::new("10.0.0.0/8".parse().unwrap());
        let guard = guard.without(vec![Own::Server("db.lan".into(), 5432)]);
        let guard = guard.resolving(Resolve::by(move |name| match name {
            "db.lan" => own.iter().map(|ip| IpAddr::from(*ip)).collect(),
            _ => vec![IpAddr::from([10, 0, 0, 5])],
        }));
        let url = pawl::egress::OdooUrl::parse("https://10.0.0.5:5432", &guard, None).unwrap();
        let egress = pawl::egress::Egress::new(&guard, url, None, Limits::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(runtime.block_on(egress.judge(Duration::from_secs(5))), expected);
    }
}
