//! The operator's proxy: what it is asked for, what it hears, and what becomes of a proxy that does not do its work.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl::egress::{Egress, EgressError, Guard, Limits, OdooUrl, Own, Proxy, Resolve};
use pawl::secret::Secret;
use serde_json::json;
use zeroize::Zeroizing;

use crate::check::{by_worker, lines};
use crate::check_tls::front;
use crate::harness::Vault;
use crate::scene::{Scene, code, errors};
use crate::standin::company::Company;
use crate::standin::{DATABASE, LOGIN, PASSWORD};
use crate::tls::{Authority, GOOD};

/// A proxy, by its port: what it was told first on each connection, and what went through it after.
struct Between {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Between {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heads, heard) = (Arc::default(), Arc::default());
        let own = Self { port, heads: Arc::clone(&heads), heard: Arc::clone(&heard) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heads, heard) = (heads.clone(), heard.clone());
                std::thread::spawn(move || pass(stream, &heads, &heard));
            }
        });
        own
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn pass(mut client: TcpStream, heads: &Mutex<Vec<String>>, heard: &Arc<Mutex<Vec<u8>>>) {
    let head = head_of(&mut client);
    let to = head.split(' ').nth(1).unwrap_or_default().to_owned();
    heads.lock().unwrap().push(head);
    let Ok(server) = TcpStream::connect(&to) else {
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
        return;
    };
    let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n");
    let (from, into, kept) = (client.try_clone().unwrap(), server.try_clone().unwrap(), heard.clone());
    std::thread::spawn(move || copy(from, into, &kept));
    copy(server, client, heard);
}

fn copy(mut from: TcpStream, mut into: TcpStream, kept: &Mutex<Vec<u8>>) {
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        kept.lock().unwrap().extend_from_slice(&piece[..read]);
        if into.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = into.shutdown(std::net::Shutdown::Both);
}

/// It is asked for addresses that were judged; the name, the certificate and the secret go past it, in TLS.
/// Attack on P7.
#[test]
fn a_proxy_is_asked_for_the_address_that_was_judged_and_hears_nothing() {
    let vault = Vault::start_with(&[("PAWL_EGRESS_ALLOW", "127.0.0.1,localhost")]);
    let mut scene = Scene::of(vault, Company::small(1), PASSWORD);
    let authority = Authority::new();
    let roots = scene.dir.path().join("roots.pem");
    std::fs::write(&roots, &authority.pem).unwrap();
    let between = Between::start();
    let proxy = format!("http://pawl:pr0xy-pass@127.0.0.1:{}", between.port);
    let file = scene.dir.path().join("proxy");
    std::fs::write(&file, format!("{proxy}\n")).unwrap();
    for (name, expected) in [("localhost", None), ("other.example", Some("certificate_name"))] {
        let port = front(&authority.vouch(name, GOOD), &scene.odoo.url());
        let body = json!({"url": format!("https://localhost:{port}"), "database": DATABASE, "username": LOGIN,
                          "credential": {"kind": "password", "secret": PASSWORD}});
        scene.connection = scene.vault.deposit_as("acme", "ada", &body);
        let settings = [
            ("PAWL_EGRESS_ALLOW", "localhost"),
            ("PAWL_EGRESS_PROXY_FILE", file.to_str().unwrap()),
            ("SSL_CERT_FILE", roots.to_str().unwrap()),
        ];
        let before = between.heads().len();
        let output = by_worker(&scene, &settings);
        assert_eq!(lines(&output).first().map(String::as_str), expected, "{}", errors(&output));
        assert_eq!(code(&output), i32::from(expected.is_some()));
        let heads = between.heads();
        assert!(heads.len() > before);
        for head in &heads[before..] {
            let is_address = ["127.0.0.1", "[::1]"].map(|ip| format!("CONNECT {ip}:{port} HTTP/1.1\r\n"));
            assert!(is_address.iter().any(|line| head.starts_with(line)), "{head}");
            // "pawl:pr0xy-pass"
            assert!(head.contains("\r\nProxy-Authorization: Basic cGF3bDpwcjB4eS1wYXNz\r\n"), "{head}");
            assert!(!head.contains("localhost") && !head.contains("User-Agent"), "{head}");
        }
        let said = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&said).contains("pr0xy-pass"));
    }
    let heard = between.heard.lock().unwrap();
    let hears = |text: &str| heard.windows(text.len()).any(|at| at == text.as_bytes());
    // Its client's first words: the name that TLS goes to.
    assert!(hears("localhost"));
    for never in [PASSWORD, "authenticate", "xmlrpc", "server_version"] {
        assert!(!hears(never), "{never}");
    }
}

/// A proxy that says `answer` to whatever comes and hangs up.
fn saying(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            head_of(&mut stream);
            let _ = stream.write_all(&answer);
        }
    });
    port
}

fn post_by(proxy: u16, url: &str, found: &'static [&'static str]) -> Result<(), EgressError> {
    let proxy = Proxy::parse(&Secret::new(format!("http://127.0.0.1:{proxy}"))).unwrap();
    let resolve = Resolve::by(|_| found.iter().map(|ip| ip.parse().unwrap()).collect());
    let guard = Guard::new("none.invalid".parse().unwrap()).resolving(resolve).through(Some(proxy));
    let url = OdooUrl::parse(url, &guard, None).unwrap();
    let limits = Limits { connect: Duration::from_secs(60), ..Limits::default() };
    let egress = Egress::new(&guard, url, None, limits).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = Zeroizing::new(b"body".to_vec());
    runtime.block_on(egress.post("/x", "text/xml", body)).map(|_| ())
}

/// Attack on P7.
#[test]
fn a_proxy_that_does_not_do_its_work_is_told_apart_from_a_host_that_does_not() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(post_by(closed, "https://odoo.example", &["8.8.8.8"]), Err(EgressError::Proxy));
    for (answer, expected) in [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec(), EgressError::HostNotPublic),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n".to_vec(), EgressError::Connect),
        (b"HTTP/1.0 503 x\r\n\r\n".to_vec(), EgressError::Connect),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".to_vec(), EgressError::Proxy),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://10.0.0.1\r\n\r\n".to_vec(), EgressError::Proxy),
        (b"HTTP/1.1 405 No\r\n\r\n".to_vec(), EgressError::Proxy),
        (b"SSH-2.0-OpenSSH\r\n\r\n\r\n".to_vec(), EgressError::Proxy),
        (b"HTTP/1.1 2".to_vec(), EgressError::Proxy),
        ([b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; 100_000]].concat(), EgressError::Proxy),
        // Let through, and then there is no TLS.
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".to_vec(), EgressError::Tls),
    ] {
        let said = String::from_utf8_lossy(&answer).chars().take(40).collect::<String>();
        assert_eq!(post_by(saying(answer), "https://odoo.example", &["8.8.8.8"]), Err(expected), "{said}");
    }
}

/// Each address is asked for in turn; what is not public is asked for of no proxy, and neither is the proxy itself.
/// Attack on P7.
#[test]
fn a_proxy_is_asked_for_nothing_that_the_guard_refuses() {
    let between = Between::start();
    for (url, found) in [
        ("https://odoo.example", &["10.0.0.1"][..]),
        ("https://odoo.example", &["8.8.8.8", "127.0.0.1"]),
        ("https://odoo.example", &[]),
    ] {
        assert_eq!(post_by(between.port, url, found), Err(EgressError::HostNotPublic));
    }
    let proxy = Proxy::parse(&Secret::new(format!("http://127.0.0.1:{}", between.port))).unwrap();
    let guard = Guard::new("127.0.0.1".parse().unwrap()).through(Some(proxy));
    let guard = guard.without(vec![Own::Listener("127.0.0.1:1".parse().unwrap())]);
    for (url, expected) in [
        (format!("http://127.0.0.1:{}", between.port), Err(EgressError::HostNotPublic)),
        ("http://127.0.0.1:1".to_owned(), Err(EgressError::HostNotPublic)),
        ("http://127.0.0.1:2".to_owned(), Ok(())),
    ] {
        let parsed = OdooUrl::parse(&url, &guard, None).unwrap();
        let egress = Egress::new(&guard, parsed, None, Limits::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(runtime.block_on(egress.judge(Duration::from_secs(5))), expected, "{url}");
    }
    assert_eq!(between.heads(), Vec::<String>::new());
}
