//! The listener's TLS: which certificates it takes, how it changes them while it serves, and who believes it.

use std::fs::{Permissions, read_to_string, set_permissions, write};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::harness::{Process, holds, pawl, program, until};

/// Whoever vouches for certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for `name` in the years from..to, and its key.
    pub fn vouch(&self, name: &str, (from, to): (i32, i32)) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

pub const GOOD: (i32, i32) = (2000, 2100);

pub fn lay(dir: &Path, (cert, key): &(String, String)) {
    write(dir.join("cert.pem"), cert).unwrap();
    lay_key(dir, key, 0o600);
}

fn lay_key(dir: &Path, key: &str, mode: u32) {
    write(dir.join("key.pem"), key).unwrap();
    set_permissions(dir.join("key.pem"), Permissions::from_mode(mode)).unwrap();
}

pub const SETTINGS: &[(&str, &str)] = &[("PAWL_TLS_CERT", "cert.pem"), ("PAWL_TLS_KEY", "key.pem")];

/// A handshake as `localhost`, believing `authority` alone.
pub fn shake(url: &str, authority: &str) -> Result<StreamOwned<ClientConnection, TcpStream>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name)?;
    let mut stream = TcpStream::connect(url.strip_prefix("https://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    while client.is_handshaking() {
        if let Err(error) = client.complete_io(&mut stream) {
            let inside = error.get_ref().and_then(|inside| inside.downcast_ref::<rustls::Error>());
            return Err(inside.cloned().unwrap_or(rustls::Error::General(error.to_string())));
        }
    }
    Ok(StreamOwned::new(client, stream))
}

fn leaf(stream: &StreamOwned<ClientConnection, TcpStream>) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

/// One request on a connection that stays open; the status line.
fn livez(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> String {
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut got = Vec::new();
    while !holds(&got, "\"ok\"}") {
        let mut some = [0; 1024];
        let n = stream.read(&mut some).unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&some[..n]);
    }
    String::from_utf8_lossy(&got).lines().next().unwrap().to_owned()
}

/// Attack on P1.
#[test]
fn a_certificate_that_can_not_be_used_is_refused_by_name() {
    let authority = Authority::new();
    let (cert, key) = authority.vouch("localhost", GOOD);
    let (_, other_key) = authority.vouch("localhost", GOOD);
    let (over, over_key) = authority.vouch("localhost", (2000, 2001));
    let (early, early_key) = authority.vouch("localhost", (2098, 2100));
    let cases: &[(&str, &str, u32, &str)] = &[
        (&cert, &other_key, 0o600, "does not belong to the certificate"),
        (&over, &over_key, 0o600, "good from 2000-01-01T00:00:00.000000Z to 2001-01-01"),
        (&early, &early_key, 0o600, "not now"),
        ("words", &key, 0o600, "holds no certificate in PEM"),
        (&key, &key, 0o600, "holds no certificate in PEM"),
        (&cert, "words", 0o600, "holds no private key in PEM"),
        (&cert, &cert, 0o600, "holds no private key in PEM"),
        (&cert, &key, 0o644, "can be read by everybody"),
        (&cert, &key, 0o660, "changed by its group"),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (cert, key, mode, complaint) in cases {
        write(dir.path().join("cert.pem"), cert).unwrap();
        lay_key(dir.path(), key, *mode);
        for args in [&["serve"][..], &["doctor"]] {
            let output =
                pawl(dir.path(), SETTINGS).env("PAWL_LISTEN", "127.0.0.1:0").args(args).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&said);
            assert!(!output.status.success() && text.contains(complaint), "{complaint}: {text}");
            assert!(!holds(&said, "words"), "{text}");
            for line in key.lines().chain(other_key.lines()).filter(|line| line.len() > 32) {
                assert!(line.starts_with('-') || !text.contains(line), "{text}");
            }
        }
    }
    let settings: &[(&[(&str, &str)], &str)] = &[
        (&SETTINGS[..1], "PAWL_TLS_CERT is set and PAWL_TLS_KEY is not"),
        (&SETTINGS[1..], "PAWL_TLS_KEY is set and PAWL_TLS_CERT is not"),
        (&[SETTINGS[0], SETTINGS[1], ("PAWL_TLS", "terminated-on-this-host")], "set one or the other"),
        (&[("PAWL_TLS_CERT", "gone.pem"), SETTINGS[1]], "PAWL_TLS_CERT: gone.pem can't be read"),
        (&[SETTINGS[0], ("PAWL_TLS_KEY", "gone.pem")], "PAWL_TLS_KEY: gone.pem can't be read"),
        (&[SETTINGS[0], SETTINGS[1], ("PAWL_PUBLIC_URL", "https://pawl.example")], "PAWL_PUBLIC_URL"),
    ];
    lay(dir.path(), &(cert, key));
    for (settings, complaint) in settings {
        let output = pawl(dir.path(), settings).arg("serve").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(complaint), "{complaint}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// Attack on P10.
#[test]
fn a_new_certificate_is_taken_while_it_serves_and_a_bad_one_never() {
    let (first, second) = (Authority::new(), Authority::new());
    let (old, new) = (first.vouch("localhost", GOOD), second.vouch("localhost", GOOD));
    let dir = tempfile::tempdir().unwrap();
    lay(dir.path(), &old);
    let settings =
        [SETTINGS[0], SETTINGS[1], ("PAWL_PUBLIC_URL", "https://localhost"), ("PAWL_LOG", "trace")];
    let process = Process::serve(dir.path(), &settings);
    assert!(process.url.starts_with("https://"), "{:?}", process.greeting);
    let logged = |what: &str| read_to_string(dir.path().join("log")).unwrap().contains(what);

    let mut open = shake(&process.url, &first.pem).unwrap();
    assert_eq!((leaf(&open), open.conn.alpn_protocol()), (der(&old.0), Some(&b"http/1.1"[..])));
    assert_eq!(livez(&mut open), "HTTP/1.1 200 OK");
    assert!(shake(&process.url, &second.pem).is_err(), "nobody vouches for it");

    // Half of a pair, as tools leave it for a moment, and then nothing that could be a certificate.
    for (bad, complaint) in [(new.0.as_str(), "does not belong"), ("words", "holds no certificate")] {
        write(dir.path().join("cert.pem"), bad).unwrap();
        process.signal(Signal::HUP);
        until(complaint, || logged(complaint));
        assert_eq!(leaf(&shake(&process.url, &first.pem).unwrap()), der(&old.0));
    }
    lay(dir.path(), &new);
    process.signal(Signal::HUP);
    until("the new certificate", || shake(&process.url, &second.pem).is_ok());
    assert_eq!(livez(&mut open), "HTTP/1.1 200 OK", "an open connection goes on");

    let log = read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("shows a new certificate"), "{log}");
    for line in old.1.lines().chain(new.1.lines()).filter(|line| !line.starts_with('-')) {
        assert!(!log.contains(line.trim()), "a key is in the log");
    }
}

/// Attack on P1.
#[test]
fn nothing_is_said_without_tls_and_a_client_that_says_nothing_is_cut_off() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    lay(dir.path(), &authority.vouch("localhost", GOOD));
    let process = Process::serve(dir.path(), SETTINGS);
    let address = process.url.strip_prefix("https://").unwrap();
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(b"GET /v1/connections HTTP/1.1\r\nHost: pawl\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!holds(&answer, "HTTP/"), "{}", String::from_utf8_lossy(&answer));

    if std::env::var_os("TEST_LONG").is_some() {
        let mut silent = TcpStream::connect(address).unwrap();
        silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut shaken = shake(&process.url, &authority.pem).unwrap();
        shaken.write_all(b"GET /livez HTTP/1.1\r\nHost:").unwrap();
        let began = Instant::now();
        assert_eq!(silent.read(&mut [0; 1]).unwrap_or(0), 0, "no handshake: the end");
        let mut rest = Vec::new();
        let _ = shaken.read_to_end(&mut rest);
        assert!(!holds(&rest, "200"), "half a head is no request");
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());

        // With a token, and a body that never comes whole.
        let issue = ["token", "issue", "--org", "o", "--user", "u", "--role", "backend"];
        let token = pawl(dir.path(), &[]).args(issue).output().unwrap().stdout;
        let token = String::from_utf8(token).unwrap();
        let head = format!(
            "POST /v1/connections HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
            token.trim()
        );
        let mut slow = shake(&process.url, &authority.pem).unwrap();
        slow.sock.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        slow.write_all(head.as_bytes()).unwrap();
        let mut answer = vec![0; 1024];
        let read = slow.read(&mut answer).unwrap();
        assert!(holds(&answer[..read], "HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer[..read]));
    }
}

/// Attack on P1.
#[test]
fn a_worker_believes_only_whom_it_was_told_to() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("ours.pem"), &ours.pem).unwrap();
    write(dir.path().join("theirs.pem"), &theirs.pem).unwrap();
    write(dir.path().join("words.pem"), "words").unwrap();
    lay(dir.path(), &ours.vouch("localhost", GOOD));
    let process = Process::serve(dir.path(), SETTINGS);
    let token = pawl(dir.path(), &[])
        .args(["token", "issue", "--org", "acme", "--user", "ada", "--role", "worker"])
        .output()
        .unwrap();
    let token = String::from_utf8(token.stdout).unwrap();
    let port = process.url.rsplit_once(':').unwrap().1.to_owned();
    let (by_name, by_address) = (format!("https://localhost:{port}"), format!("https://127.0.0.1:{port}"));
    for (url, ca, code, complaint) in [
        (&by_name, Some("ours.pem"), 1, "the vault has no such connection"),
        (&by_address, Some("ours.pem"), 1, "is for another name"),
        (&by_name, Some("theirs.pem"), 1, "does not know"),
        (&by_name, None, 1, "does not know"),
        (&by_name, Some("words.pem"), 2, "PAWL_CA: the file holds no certificate"),
        (&by_name, Some("gone.pem"), 2, "PAWL_CA: the file can't be read"),
    ] {
        let mut settings = vec![("PAWL_URL", url.as_str()), ("PAWL_TOKEN", token.trim())];
        settings.extend(ca.map(|ca| ("PAWL_CA", ca)));
        let output = program(env!("CARGO_BIN_EXE_pawl-sync"), dir.path(), &settings)
            .args(["run", "--connection", "conn_01ARZ3NDEKTSV4RRFFQ69G5FAV", "--to", "jsonl:-"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(complaint), "{ca:?} {url}: {said}");
        assert_eq!(output.status.code(), Some(code), "{said}");
    }
}
