//! A check against TLS: a certificate that is right, one that has expired, one for another name, one of an
//! unknown authority, and a port that speaks no TLS.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::check::{by_worker, lines};
use crate::scene::{Scene, code, errors};
use crate::standin::company::Company;
use crate::standin::{DATABASE, LOGIN, PASSWORD};
use crate::tls::{Authority, GOOD};

/// Speaks TLS with that certificate before the stand-in; its port. Ends with the process.
pub fn front((certificate, key): &(String, String), behind: &str) -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = behind.trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = ServerConnection::new(config.clone()).unwrap();
            // A client that does not take the certificate hangs up.
            let _ = relay(StreamOwned::new(session, stream), &behind);
        }
    });
    port
}

/// Answers whatever comes as a web server does that speaks no TLS; its port. Ends with the process.
fn without_tls() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
        }
    });
    port
}

fn relay(mut client: StreamOwned<ServerConnection, TcpStream>, behind: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        let mut piece = [0; 4096];
        match client.read(&mut piece)? {
            0 => return Ok(()),
            read => request.extend_from_slice(&piece[..read]),
        }
    }
    let mut server = TcpStream::connect(behind)?;
    server.write_all(&request)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    client.write_all(&answer)?;
    client.conn.send_close_notify();
    client.flush()
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let begun = request.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
    request.len() >= begun + length.trim().parse::<usize>().unwrap()
}

/// Attack on P6 and P10.
#[test]
fn each_fault_of_a_certificate_is_a_cause_of_its_own() {
    let mut scene = Scene::new(Company::small(1), PASSWORD);
    let dir = scene.dir.path().to_owned();
    let (known, unknown) = (Authority::new(), Authority::new());
    let right = known.vouch("127.0.0.1", GOOD);
    let plain = without_tls();
    let url = scene.odoo.url();
    for (name, port, trusted, expected) in [
        ("right", front(&right, &url), &known, None),
        (
            "expired",
            front(&known.vouch("127.0.0.1", (2000, 2001)), &url),
            &known,
            Some("certificate_expired"),
        ),
        (
            "of another name",
            front(&known.vouch("other.example", GOOD), &url),
            &known,
            Some("certificate_name"),
        ),
        ("unknown", front(&right, &url), &unknown, Some("certificate_unknown")),
        ("no TLS", plain, &known, Some("tls")),
    ] {
        let body = json!({"url": format!("https://127.0.0.1:{port}"), "database": DATABASE, "username": LOGIN,
                          "credential": {"kind": "password", "secret": PASSWORD}});
        scene.connection = scene.vault.deposit_as("acme", "ada", &body);
        let logins = scene.odoo.logins();
        let roots = dir.join("roots.pem");
        std::fs::write(&roots, &trusted.pem).unwrap();
        let output = by_worker(&scene, &[("SSL_CERT_FILE", roots.to_str().unwrap())]);
        let found = lines(&output);
        assert_eq!(found.iter().map(String::as_str).next(), expected, "{name}: {}", errors(&output));
        assert_eq!(
            (code(&output), found.len()),
            (i32::from(expected.is_some()), usize::from(expected.is_some()))
        );
        assert_eq!(scene.odoo.logins() - logins, usize::from(expected.is_none()), "{name}");
        for never in ["rcgen", "other.example"] {
            assert!(!String::from_utf8_lossy(&output.stdout).contains(never), "{name}");
        }
    }
}
