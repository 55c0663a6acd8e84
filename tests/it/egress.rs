//! What a customer may make us call: a table of addresses, and servers that try to lead elsewhere.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl::egress::{
    Ask, Egress, EgressError, Guard, Limits, OdooUrl, Own, Ports, Redirect, Resolve, is_public,
};
use url::Url;
use zeroize::Zeroizing;

fn none() -> Guard {
    Guard::new("none.invalid".parse().unwrap())
}

/// Attack on P7.
#[test]
fn addresses_are_taken_or_refused_by_their_rule() {
    for (text, taken) in [
        ("https://acme.odoo.com", "https://acme.odoo.com"),
        ("https://acme.odoo.com/", "https://acme.odoo.com"),
        ("HTTPS://ACME.Odoo.COM:443", "https://acme.odoo.com"),
        ("https://acme.odoo.com.", "https://acme.odoo.com"),
        ("https://acme.odoo.com:8443", "port"),
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
        ("https://acme.odoo.com:80", "port"),
        ("https://localhost", "not_public"),
        ("https://localhost.", "not_public"),
        ("https://LOCALHOST:8069", "not_public"),
        ("https://odoo.localhost", "not_public"),
        ("https://printer.local", "not_public"),
        ("https://metadata.google.internal", "not_public"),
        ("https://metadata.google.internal.", "not_public"),
        ("https://a..b", "host_name"),
        ("https://router.home.arpa", "not_public"),
        ("https://metadata。google。internal", "not_public"),
        ("https://10.0.0.1..", "host_name"),
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
    let all = Guard::new("acme@odoo.lan:8069, 10.1.0.0/16, other@localhost".parse().unwrap());
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

pub fn post(egress: &Egress) -> Result<String, EgressError> {
    wait(async {
        let answered = egress.post("/x", "text/xml", Zeroizing::new(b"body".to_vec())).await?;
        Ok(format!("{} {}", answered.media, String::from_utf8(answered.body).unwrap()))
    })
}

pub fn egress(url: &str, exceptions: &str, limits: Limits, resolve: Resolve) -> Egress {
    let port = Url::parse(url).unwrap().port().unwrap_or(443);
    let guard = Guard::new(exceptions.parse().unwrap()).with_ports(port.to_string().parse().unwrap());
    let guard = guard.resolving(resolve);
    let url = OdooUrl::parse(url, &guard, None).unwrap();
    Egress::new(&guard, url, None, limits).unwrap()
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
        ("odoo.lan", "odoo.lan", "64:ff9b::7f00:1", false),
        ("odoo.lan", "odoo.lan", "2002:7f00:1::", false),
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
    let guard = Guard::new("127.0.0.1".parse().unwrap());
    let (port, connections) = serve(vec![OK]);
    let url = OdooUrl::parse(&format!("http://127.0.0.1:{port}"), &guard, None).unwrap();
    // the exception is gone when the call is made
    let egress = Egress::new(&none(), url, None, Limits::default()).unwrap();
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

fn ask<'a>(path: &'a str, accepts: &'static [&'static str]) -> Ask<'a> {
    Ask {
        path,
        body: Some(("text/xml", Zeroizing::new(b"body".to_vec()))),
        accepts,
        bearer: None,
        headers: &[],
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// Answers every connection with `answer`, as it is, and then hangs up.
pub fn serve_bytes(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut seen = Vec::new();
            while !seen.windows(4).any(|w| w == b"body") {
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(n) => seen.extend_from_slice(&buffer[..n]),
                }
            }
            // A client that has enough hangs up.
            let _ = stream.write_all(&answer);
        }
    });
    port
}

/// A packed answer is unpacked as it comes; a bomb ends at the limit, and what is packed in another way, or breaks
/// off, is no answer.
/// Attack on P7.
#[test]
fn a_packed_answer_is_held_to_the_limit_of_what_is_in_it() {
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let packed = |coding: &str, body: &[u8]| {
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend_from_slice(body);
        answer
    };
    let (fits, bomb) = (gzip(&vec![b'x'; 1 << 20]), gzip(&vec![b'x'; 64 << 20]));
    assert!(bomb.len() < 1 << 20, "it is small on the wire");
    let cut = fits[..fits.len() - 3].to_vec();
    let twice = [gzip(b"hello "), gzip(b"again")].concat();
    for (coding, body, expected) in [
        ("gzip", gzip(b"hello"), Ok("text/xml hello".to_owned())),
        ("gzip", twice, Ok("text/xml hello again".to_owned())),
        ("gzip", fits, Ok(format!("text/xml {}", "x".repeat(1 << 20)))),
        ("gzip", bomb, Err(EgressError::TooLarge)),
        ("gzip", cut, Err(EgressError::Broken)),
        ("gzip", b"not packed".to_vec(), Err(EgressError::Broken)),
        ("br", b"hello".to_vec(), Err(EgressError::Broken)),
        ("gzip, gzip", gzip(&gzip(b"hello")), Err(EgressError::Broken)),
        ("identity", b"hello".to_vec(), Ok("text/xml hello".to_owned())),
    ] {
        let port = serve_bytes(packed(coding, &body));
        let egress = egress(&format!("http://127.0.0.1:{port}"), "127.0.0.1", limits, Resolve::system());
        let answered = post(&egress);
        assert!(answered == expected, "{coding}, {} bytes: {:?}", body.len(), answered.err());
    }
}

/// Attack on P7.
#[test]
fn a_head_without_end_and_a_body_of_another_kind_are_not_read() {
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\nhello", "a".repeat(100_000)).into_bytes();
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\nhello", "a: b\r\n".repeat(1_000)).into_bytes();
    for answer in [endless, many] {
        let port = serve_bytes(answer);
        let egress =
            egress(&format!("http://127.0.0.1:{port}"), "127.0.0.1", Limits::default(), Resolve::system());
        assert_eq!(post(&egress), Err(EgressError::TooLarge));
    }
    let port =
        serve_bytes(b"HTTP/1.1 200 OK\r\nContent-Type: Text/HTML\r\nContent-Length: 5\r\n\r\nhello".to_vec());
    let egress =
        egress(&format!("http://127.0.0.1:{port}"), "127.0.0.1", Limits::default(), Resolve::system());
    for (accepts, expected) in [(&["text/html"][..], "hello"), (&["text/xml", "application/xml"], "")] {
        let body = wait(async {
            let answer = egress.call(ask("/x", accepts)).await?;
            assert_eq!((answer.status, answer.media.as_str()), (200, "text/html"));
            answer.body.whole().await
        });
        assert_eq!(String::from_utf8(body.unwrap().to_vec()).unwrap(), expected);
    }
}

/// Attack on P7.
#[test]
fn a_redirect_is_told_by_its_target_without_its_query() {
    for (location, expected) in [
        ("https://other.example/web/login?token=words#words", Some(("other.example", "/web/login"))),
        ("/web/database/selector", Some(("127.0.0.1:PORT", "/web/database/selector"))),
        ("//10.0.0.1:8069", Some(("10.0.0.1:8069", "/"))),
        ("https://words:words@other.example", Some(("other.example", "/"))),
        ("javascript:words", None),
        ("words://words.example/words", None),
        (
            "https://say.whatever.you.like/to.whoever.reads.this",
            Some(("say.whatever.you.like", "/to.whoever.reads.this")),
        ),
        (&format!("https://{}example", "words.".repeat(50)), None),
        ("https://[", None),
    ] {
        let answer = format!("HTTP/1.1 303 See Other\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let port = serve_bytes(answer.into_bytes());
        let egress =
            egress(&format!("http://127.0.0.1:{port}"), "127.0.0.1", Limits::default(), Resolve::system());
        let told = wait(egress.call(ask("/x", &["text/xml"]))).ok().unwrap().redirect;
        let expected = expected.map(|(host, path)| Redirect {
            host: host.replace("PORT", &port.to_string()),
            path: path.to_owned(),
        });
        assert_eq!(told, expected, "{location}");
        assert_eq!(post(&egress), Err(EgressError::Redirected(303)));
    }
}

/// A server that takes the request and says nothing, or only begins to speak.
#[test]
fn each_wait_has_an_end_of_its_own() {
    let (short, long) = (Duration::from_millis(50), Duration::from_secs(60));
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello";
    for (answer, first_byte, total) in [("", short, long), ("", long, short), (begun, long, short)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // What comes before the request is no answer to it. Who went away before needs none.
            if stream.read_exact(&mut [0]).is_err() || stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            // Open until the client goes away.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let limits = Limits { first_byte, total, ..Limits::default() };
        let egress = egress(&format!("http://127.0.0.1:{port}"), "127.0.0.1", limits, Resolve::system());
        assert_eq!(post(&egress), Err(EgressError::Timeout), "{answer}");
    }
    // A name server that never answers.
    let limits = Limits { connect: short, ..Limits::default() };
    let never = Resolve::through(|_| std::future::pending());
    assert_eq!(post(&egress("https://odoo.example", "127.0.0.1", limits, never)), Err(EgressError::Timeout));
}

/// One look-up for all calls of a client, which keeps its connection where the server does.
/// Attack on P7.
#[test]
fn a_host_is_looked_up_once_and_called_where_it_was_judged() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            // Two calls, and then it hangs up, as it says: or the next call might come before that.
            for connection in ["keep-alive", "close"] {
                let mut seen = Vec::new();
                while !seen.windows(4).any(|w| w == b"body") {
                    let mut buffer = [0; 4096];
                    match stream.read(&mut buffer).unwrap() {
                        0 => return,
                        n => seen.extend_from_slice(&buffer[..n]),
                    }
                }
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 5";
                write!(stream, "{head}\r\nConnection: {connection}\r\n\r\nhello").unwrap();
            }
        }
    });
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    // The second answer would lead elsewhere.
    let resolve = Resolve::by(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => vec!["127.0.0.1".parse().unwrap()],
        _ => vec!["169.254.169.254".parse().unwrap()],
    });
    let egress =
        egress(&format!("http://odoo.localhost:{port}"), "odoo.localhost", Limits::default(), resolve);
    wait(async {
        egress.judge(Duration::from_secs(5)).await.unwrap();
        for _ in 0..6 {
            let answered = egress.post("/x", "text/xml", Zeroizing::new(b"body".to_vec())).await;
            assert_eq!(answered.map(|answered| answered.body).ok().as_deref(), Some(&b"hello"[..]));
        }
    });
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

/// A public host's name goes to the resolver whole, so that no search list of this machine's is tried.
#[test]
fn a_public_name_is_looked_up_as_it_is() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    for host in ["odoo.example", "odoo.lan"] {
        let kept = asked.clone();
        let resolve = Resolve::through(move |name| {
            kept.lock().unwrap().push(name);
            std::future::ready(Vec::new())
        });
        let _ = post(&egress(&format!("https://{host}"), "odoo.lan", Limits::default(), resolve));
    }
    assert_eq!(*asked.lock().unwrap(), ["odoo.example.", "odoo.lan"]);
}

/// However wide an exception is, it holds neither where machines are told their secrets nor the vault's own doors.
/// Attack on P7.
#[test]
fn no_exception_opens_metadata_or_the_vault_itself() {
    let own = vec![
        Own::Listener("127.0.0.1:7295".parse().unwrap()),
        Own::Listener("0.0.0.0:7296".parse().unwrap()),
        Own::Server("db.lan".into(), 5432),
        Own::Server("10.9.9.9".into(), 5433),
    ];
    let all = Guard::new("0.0.0.0/0, ::/0, odoo.lan, localhost".parse().unwrap()).without(own);
    let all = all.resolving(Resolve::by(|name| match name {
        "db.lan" | "odoo.lan" => vec!["10.1.1.1".parse().unwrap()],
        "localhost" => vec!["127.0.0.1".parse().unwrap()],
        ip => ip.parse().into_iter().collect(),
    }));
    for (url, good) in [
        ("http://10.1.1.1", true),
        ("http://10.1.1.1:5432", false),
        ("http://odoo.lan", true),
        ("http://odoo.lan:5432", false),
        ("http://10.9.9.9:5432", true),
        ("http://10.9.9.9:5433", false),
        ("http://127.0.0.1:8069", true),
        ("http://127.0.0.1:7295", false),
        ("http://127.0.0.2:7295", false),
        ("http://[::1]:7295", false),
        ("http://localhost:7295", false),
        ("http://127.0.0.1:7296", false),
        ("http://[::1]:7296", false),
        ("http://10.1.1.1:7296", true),
        ("http://169.254.169.254", false),
        ("http://168.63.129.16", false),
        ("http://100.100.100.200", false),
        ("http://0.0.0.0:8069", false),
        ("http://[fd00:ec2::254]", false),
        ("http://[64:ff9b::a9fe:a9fe]", false),
        ("http://[::ffff:a9fe:a9fe]", false),
    ] {
        let parsed = OdooUrl::parse(url, &all, None).unwrap_or_else(|e| panic!("{url}: {e}"));
        let egress = Egress::new(&all, parsed, None, Limits::default()).unwrap();
        let expected = if good { Ok(()) } else { Err(EgressError::HostNotPublic) };
        assert_eq!(wait(egress.judge(Duration::from_secs(5))), expected, "{url}");
    }
}

#[test]
fn the_operator_names_other_ports() {
    let guard = none().with_ports("443, 8443".parse().unwrap());
    for (url, taken) in [
        ("https://acme.odoo.com", true),
        ("https://acme.odoo.com:8443", true),
        ("https://acme.odoo.com:8069", false),
        ("http://acme.odoo.com:8443", false),
        ("https://10.0.0.1:8443", false),
    ] {
        assert_eq!(OdooUrl::parse(url, &guard, None).is_ok(), taken, "{url}");
    }
    for wrong in ["", "0", "443,", "https", "70000", "443;8443"] {
        assert!(wrong.parse::<Ports>().is_err(), "{wrong}");
    }
}

/// The samples of a proxy, a firewall and a cluster refuse what the guard refuses, block for block.
#[test]
fn the_network_samples_hold_the_guards_own_list() {
    for (file, begins) in [
        ("squid.conf", &["acl inner dst ", "acl inner6 dst "][..]),
        ("nftables.conf", &["elements = { "]),
        ("kubernetes.yaml", &["except: ["]),
    ] {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/network/").to_owned() + file;
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(str::trim);
        let lists = lines.filter_map(|line| begins.iter().find_map(|begin| line.strip_prefix(begin)));
        let nets: Vec<ipnet::IpNet> = lists
            .flat_map(|list| list.split([',', ' ', ']', '}']).filter(|net| !net.is_empty()))
            .map(|net| net.parse().unwrap_or_else(|e| panic!("{file}: {net}: {e}")))
            .collect();
        let global: ipnet::IpNet = "2000::/3".parse().unwrap();
        let lets =
            |ip: IpAddr| !nets.iter().any(|net| net.contains(&ip)) && (ip.is_ipv4() || global.contains(&ip));
        // Both ends of every block of either, and their neighbours.
        for net in &nets {
            for ip in [net.network(), net.broadcast()] {
                assert!(!is_public(ip), "{file}: {net}");
            }
        }
        for (ip, public) in edges() {
            assert_eq!(lets(ip), public, "{file}: {ip}");
        }
    }
}

/// Where the guard's list changes its mind, with what it says there.
fn edges() -> Vec<(IpAddr, bool)> {
    let wide = (0..=u32::MAX).step_by(1 << 16).flat_map(|net| [net, net | 0xffff]);
    let narrow =
        ["168.63.0.0", "192.0.0.0", "192.88.0.0", "198.51.0.0", "203.0.0.0"].into_iter().flat_map(|net| {
            let net = net.parse::<std::net::Ipv4Addr>().unwrap().to_bits();
            (net..=net | 0xffff).step_by(1 << 8).flat_map(|net| [net, net | 0xff])
        });
    let v4 = wide.chain(narrow).map(std::net::Ipv4Addr::from_bits);
    let mut edges = Vec::new();
    let mut last = None;
    for ip in v4.map(IpAddr::V4) {
        let public = is_public(ip);
        if last != Some(public) {
            edges.push((ip, public));
        }
        last = Some(public);
    }
    edges.push(("168.63.129.16".parse().unwrap(), false));
    let v6 = [
        "2001::",
        "2001:1ff:ffff::",
        "2001:200::",
        "2001:db7:ffff::",
        "2001:db8::",
        "2001:db9::",
        "2002::",
        "2003::",
        "3fff::",
        "3fff:fff:ffff::",
        "3fff:1000::",
        "3ffe:ffff::",
        "2000::1",
        "4000::",
        "1fff::",
    ];
    edges.extend(v6.iter().map(|ip| (ip.parse().unwrap(), is_public(ip.parse().unwrap()))));
    assert!(edges.len() > 40);
    edges
}
