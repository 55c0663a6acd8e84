//! What a customer may make us call: a table of addresses, and servers that try to lead elsewhere.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl::egress::{Egress, EgressError, Exceptions, Limits, OdooUrl, Resolve};
use zeroize::Zeroizing;

fn none() -> Exceptions {
    Exceptions::default()
}

/// Attack on P7.
#[test]
fn addresses_are_taken_or_refused_by_their_rule() {
    for (text, taken) in [
        ("https://acme.odoo.com", "https://acme.odoo.com"),
        ("https://acme.odoo.com/", "https://acme.odoo.com"),
        ("HTTPS://ACME.Odoo.COM:443", "https://acme.odoo.com"),
        ("https://acme.odoo.com.", "https://acme.odoo.com"),
        ("https://acme.odoo.com:8443", "https://acme.odoo.com:8443"),
        ("https://8.8.8.8", "https://8.8.8.8"),
        ("https://[2606:4700::1111]", "https://[2606:4700::1111]"),
        ("https://żółw.example", "https://xn--w-uga1v8h.example"),
        ("https://no-such-name.example", "https://no-such-name.example"),
        ("https://mylocal", "single_label"),
        ("https://intranet", "single_label"),
        ("https://intranet.", "single_label"),
        ("http://acme.odoo.com", "https_only"),
        ("ftp://acme.odoo.com", "https_only"),
        ("file:///etc/passwd", "https_only"),
        ("gopher://acme.odoo.com", "https_only"),
        ("javascript:alert(1)", "https_only"),
        ("beta.odoo.com", "url"),
        ("", "url"),
        ("https://", "url"),
        ("https://exa mple.com", "no_control_characters"),
        (" https://acme.odoo.com", "no_control_characters"),
        ("https://acme.odoo.com\n", "no_control_characters"),
        ("https://ac\tme.odoo.com", "no_control_characters"),
        ("https://bot@acme.odoo.com", "userinfo"),
        ("https://bot:pw@acme.odoo.com", "userinfo"),
        ("https://@acme.odoo.com", "userinfo"),
        ("https://acme.odoo.com@10.0.0.1", "userinfo"),
        ("https://acme.odoo.com/web", "no_path"),
        ("https://acme.odoo.com/?db=x", "no_path"),
        ("https://acme.odoo.com/#x", "no_path"),
        ("https:\\\\acme.odoo.com", "no_path"),
        ("https://acme.odoo.com:0", "port"),
        ("https://localhost", "not_public"),
        ("https://localhost.", "not_public"),
        ("https://LOCALHOST:8069", "not_public"),
        ("https://odoo.localhost", "not_public"),
        ("https://printer.local", "not_public"),
        ("https://metadata.google.internal", "not_public"),
        ("https://metadata.google.internal.", "not_public"),
        ("https://a..b", "not_public"),
        ("https://router.home.arpa", "not_public"),
        ("https://metadata。google。internal", "not_public"),
        ("https://10.0.0.1..", "not_public"),
        ("https://%31%30.0.0.1", "not_public"),
        ("https://127.0.0.1", "not_public"),
        ("https://10.0.0.1", "not_public"),
        ("https://169.254.169.254", "not_public"),
        ("https://192.168.1.1", "not_public"),
        ("https://0.0.0.0", "not_public"),
        ("https://100.64.0.1", "not_public"),
        ("https://2130706433", "not_public"),
        ("https://0x7f000001", "not_public"),
        ("https://0x7f.1", "not_public"),
        ("https://0177.0.0.1", "not_public"),
        ("https://127.1", "not_public"),
        ("https://①②⑦.0.0.1", "not_public"),
        ("https://10.0.0.1.", "not_public"),
        ("https://[::1]", "not_public"),
        ("https://[::]", "not_public"),
        ("https://[::ffff:127.0.0.1]", "not_public"),
        ("https://[::ffff:8.8.8.8]", "not_public"),
        ("https://[64:ff9b::7f00:1]", "not_public"),
        ("https://[2002:7f00:1::]", "not_public"),
        ("https://[fe80::1]", "not_public"),
        ("https://[fd00::1]", "not_public"),
        ("https://256.256.256.256", "url"),
        ("https://[::1", "url"),
    ] {
        match OdooUrl::parse(text, &none(), None) {
            Ok(url) => assert_eq!(url.as_str(), taken, "{text}"),
            Err(refused) => {
                assert_eq!(refused.rule(), taken, "{text}");
                assert!(text.len() < 9 || !refused.to_string().contains(text), "{refused}");
            }
        }
    }
    let long = format!("https://{}.example", "a".repeat(2048));
    assert_eq!(OdooUrl::parse(&long, &none(), None).err().unwrap().rule(), "max_bytes");
}

#[test]
fn an_exception_lifts_what_it_names_for_whom_it_names() {
    let all: Exceptions = "acme@odoo.lan:8069, 10.1.0.0/16, other@localhost".parse().unwrap();
    for (text, org, ok) in [
        ("http://odoo.lan:8069", Some("acme"), true),
        ("http://odoo.lan:8069", Some("other"), false),
        ("http://odoo.lan:8069", None, false),
        ("http://odoo.lan", Some("acme"), false),
        ("https://10.1.2.3", Some("any"), true),
        ("http://10.1.2.3:8069", None, true),
        ("https://10.2.0.1", Some("any"), false),
        ("https://localhost", Some("other"), true),
        ("https://localhost", Some("acme"), false),
        ("http://acme.odoo.com", Some("acme"), false),
    ] {
        assert_eq!(OdooUrl::parse(text, &all, org).is_ok(), ok, "{text} for {org:?}");
    }
}

/// A server that answers each connection with the next of `answers`, and counts connections.
fn serve(answers: Vec<&'static str>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            counted.fetch_add(1, Ordering::SeqCst);
            let mut buffer = [0; 4096];
            let mut seen = Vec::new();
            while !seen.windows(4).any(|w| w == b"body") {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    n => seen.extend_from_slice(&buffer[..n]),
                }
            }
            let _ = stream.write_all(answer.as_bytes());
            if answer.is_empty() {
                held.push(stream);
            }
        }
        // what is held stays open until the test's process ends
        let _ = listener.accept();
    });
    (port, connections)
}

/// A server that counts connections, and ends each at once.
fn hang_up() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            // Counted before it is hung up: the client may look as soon as it is.
            counted.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    (port, connections)
}

fn wait<T>(future: impl std::future::Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn post(egress: &Egress) -> Result<String, EgressError> {
    wait(async {
        let answered = egress.post("/x", "text/xml", Zeroizing::new(b"body".to_vec())).await?;
        Ok(format!("{} {}", answered.media, String::from_utf8(answered.body).unwrap()))
    })
}

fn egress(url: &str, exceptions: &str, limits: Limits, resolve: Resolve) -> Egress {
    let exceptions: Exceptions = exceptions.parse().unwrap();
    let url = OdooUrl::parse(url, &exceptions, None).unwrap();
    Egress::new(url, exceptions, None, limits, resolve).unwrap()
}

const OK: &str = "HTTP/1.0 200 OK\r\nContent-Type: text/XML; charset=utf-8\r\nConnection: close\r\n\r\nhello";

/// A name whose first answer is good and whose second is not: each connect is judged anew.
/// Attack on P7.
#[test]
fn a_name_that_turns_private_is_refused_at_the_next_connect() {
    let (port, connections) = hang_up();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    // 127.0.0.1 stands for the public address: it is what the exception names
    let resolve = Resolve::by(move |name| {
        assert_eq!(name, "odoo.example");
        let private: IpAddr = "127.0.0.2".parse().unwrap();
        let public: IpAddr = "127.0.0.1".parse().unwrap();
        vec![if count.fetch_add(1, Ordering::SeqCst) == 0 { public } else { private }]
    });
    let egress = egress(&format!("https://odoo.example:{port}"), "127.0.0.1", Limits::default(), resolve);
    // the first reaches the server, which hangs up before there is TLS
    assert_ne!(post(&egress), Err(EgressError::HostNotPublic));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert_eq!(post(&egress), Err(EgressError::HostNotPublic));
    assert_eq!(connections.load(Ordering::SeqCst), 1, "nothing was connected");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

/// Attack on P7.
#[test]
fn all_addresses_are_public_or_none_is_called() {
    for (answers, refused) in [
        (vec!["8.8.8.8", "10.0.0.1"], true),
        (vec!["127.0.0.1"], true),
        (vec!["::1"], true),
        (vec!["::ffff:8.8.8.8"], true),
        (vec!["169.254.169.254", "8.8.8.8"], true),
        (vec![], true),
    ] {
        let asked = Arc::new(Mutex::new(0));
        let count = asked.clone();
        let ips: Vec<IpAddr> = answers.iter().map(|a| a.parse().unwrap()).collect();
        let resolve = Resolve::by(move |_| {
            *count.lock().unwrap() += 1;
            ips.clone()
        });
        let egress = egress("https://odoo.example", "192.0.2.1", Limits::default(), resolve);
        // private, mixed and absent are one cause
        assert_eq!(post(&egress) == Err(EgressError::HostNotPublic), refused, "{answers:?}");
        assert_eq!(*asked.lock().unwrap(), 1);
    }
}

/// A name that the operator lets be private is still somebody's to point where they like: it opens
/// private networks, and not this host or link-local addresses, which no exception names.
/// Attack on P7.
#[test]
fn a_name_that_may_be_private_does_not_lead_to_this_host() {
    let (port, connections) = hang_up();
    for (exceptions, host, answer, reached) in [
        ("odoo.lan", "odoo.lan", "127.0.0.1", false),
        ("odoo.lan", "odoo.lan", "::ffff:127.0.0.1", false),
        ("odoo.lan", "odoo.lan", "169.254.169.254", false),
        ("odoo.lan", "odoo.lan", "fe80::1", false),
        ("odoo.lan, 127.0.0.1", "odoo.lan", "127.0.0.1", true),
        ("localhost", "localhost", "127.0.0.1", true),
        ("odoo.localhost", "odoo.localhost", "127.0.0.1", true),
    ] {
        let before = connections.load(Ordering::SeqCst);
        let resolve = Resolve::by(move |_| vec![answer.parse().unwrap()]);
        let egress = egress(&format!("http://{host}:{port}"), exceptions, Limits::default(), resolve);
        let refused = post(&egress) == Err(EgressError::HostNotPublic);
        assert_eq!(refused, !reached, "{host} at {answer} with {exceptions}");
        assert_eq!(connections.load(Ordering::SeqCst) > before, reached, "{host} at {answer}");
    }
}

/// Attack on P7.
#[test]
fn an_address_is_judged_though_no_resolver_is_asked() {
    let exceptions: Exceptions = "127.0.0.1".parse().unwrap();
    let (port, connections) = serve(vec![OK]);
    let url = OdooUrl::parse(&format!("http://127.0.0.1:{port}"), &exceptions, None).unwrap();
    // the exception is gone when the call is made
    let egress = Egress::new(url, none(), None, Limits::default(), Resolve::system()).unwrap();
    assert_eq!(post(&egress), Err(EgressError::HostNotPublic));
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

/// Attack on P7.
#[test]
fn an_answer_is_taken_within_limits_and_no_redirect_is_followed() {
    let limits = Limits { max_bytes: 5, ..Limits::default() };
    let cases: [(&'static str, Result<&str, EgressError>); 6] = [
        (OK, Ok("text/xml hello")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123456", Err(EgressError::TooLarge)),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            Err(EgressError::Redirected(302)),
        ),
        (
            "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://a.example\r\nContent-Length: 0\r\n\r\n",
            Err(EgressError::Redirected(308)),
        ),
        ("HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", Err(EgressError::Status(503))),
        ("SSH-2.0-OpenSSH_9.6\r\n", Err(EgressError::Broken)),
    ];
    for (answer, expected) in cases {
        let (port, connections) = serve(vec![answer, OK]);
        let egress = egress(&format!("http://127.0.0.1:{port}"), "127.0.0.1", limits, Resolve::system());
        assert_eq!(post(&egress), expected.map(str::to_owned), "{answer}");
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{answer}");
    }
}

#[test]
fn a_server_that_never_answers_is_left() {
    let (port, _) = serve(vec![""]);
    let limits = Limits { total: Duration::from_millis(50), ..Limits::default() };
    let egress = egress(&format!("http://127.0.0.1:{port}"), "127.0.0.1", limits, Resolve::system());
    assert_eq!(post(&egress), Err(EgressError::Timeout));
}

#[test]
fn a_port_that_is_closed_and_a_server_without_tls_are_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let egress_to = |url: &str| egress(url, "127.0.0.1", Limits::default(), Resolve::system());
    assert_eq!(post(&egress_to(&format!("http://127.0.0.1:{closed}"))), Err(EgressError::Connect));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").unwrap();
        let _ = stream.read(&mut [0; 4096]);
    });
    assert_eq!(post(&egress_to(&format!("https://127.0.0.1:{port}"))), Err(EgressError::Tls));
}
