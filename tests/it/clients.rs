//! `pawl client`, as a service's operator and the vault's use it; and other makers' keys.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::contract::{python, root, succeeded};
use crate::harness::{Home, Process, Vault};

/// `pawl …`: whether it went well, its standard output and its standard error.
fn said(home: &Home, args: &[&str]) -> (bool, String, String) {
    let output = home.pawl(&[]).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn done(home: &Home, args: &[&str]) -> String {
    let (ok, out, err) = said(home, args);
    assert!(ok, "{args:?}: {err}");
    out
}

/// Asks as a program in Python does; what it printed.
fn asks(process: &Process, client: &str, key: &Path) -> Command {
    let mut command = Command::new(python());
    command.arg("-B").arg(root("tests/clients/service.py")).args([&process.url, client]).arg(key);
    command.env("NO_PROXY", "*");
    command
}

/// Attack on P5.
#[test]
fn a_service_is_registered_asks_and_is_removed_by_the_command_line() {
    let home = Home::new();
    let process = home.serve(&[]);
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (key, public) = (at("shop.key"), at("shop.pub"));
    std::fs::write(&public, done(&home, &["client", "keygen", &key])).unwrap();
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let written = std::fs::read_to_string(&key).unwrap();
    let (ok, out, err) = said(&home, &["client", "keygen", &key]);
    assert!(!ok && out.is_empty() && err.contains("is there already: it is not written over"), "{err}");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), written);

    let add =
        ["client", "add", "shop", "--org", "acme", "--user", "ada", "--role", "backend", "--role", "worker"];
    let add = [add.as_slice(), &["--public-key", &public]].concat();
    assert!(done(&home, &add).starts_with("shop may ask for tokens: key "));
    assert_eq!(succeeded(&mut asks(&process, "shop", Path::new(&key))), "200 []\n");
    let (ok, _, err) = said(&home, &add);
    assert!(!ok && err.contains("there is a client shop already"), "{err}");
    let listed = done(&home, &["client", "list"]);
    let line: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!([line[0], line[2], line[3], line[4]], ["shop", "backend,worker", "acme", "ada"], "{listed}");
    assert!(done(&home, &["client", "remove", "shop"]).contains("is revoked"));
    let refused = asks(&process, "shop", Path::new(&key)).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("401"));
    // on record where it was done, and where it is about
    for (org, client) in [("''", "NULL"), ("'acme'", "'cli'")] {
        let events =
            home.sql().texts("event", &format!("FROM audit_events WHERE org_id = {org} ORDER BY seq"));
        let about: Vec<&String> =
            events.iter().filter(|event| event.contains(r#""activity_name":"client."#)).collect();
        assert_eq!(about.len(), 2, "{client} {events:?}");
        assert!(about.iter().all(|event| event.contains(r#""subject":"shop""#)), "{about:?}");
    }
}

#[test]
fn keys_of_other_makers_work() {
    let home = Home::new();
    let process = home.serve(&[]);
    let make = "import sys\n\
                from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey\n\
                from cryptography.hazmat.primitives.serialization import *\n\
                key = Ed25519PrivateKey.generate()\n\
                open(sys.argv[1], 'wb').write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))\n\
                sys.stdout.write(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())";
    let (key, public) = (home.path().join("its.key"), home.path().join("its.pub"));
    std::fs::write(&public, succeeded(Command::new(python()).args(["-c", make]).arg(&key))).unwrap();
    let public = public.to_str().unwrap();
    done(
        &home,
        &[
            "client",
            "add",
            "its",
            "--org",
            "acme",
            "--user",
            "ada",
            "--role",
            "backend",
            "--public-key",
            public,
        ],
    );
    assert_eq!(succeeded(&mut asks(&process, "its", &key)), "200 []\n");
}

/// Attack on P5.
#[test]
fn what_can_be_no_client_is_refused_by_name() {
    let home = Vault::start().stop();
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let public = at("good.pub");
    std::fs::write(&public, done(&home, &["client", "keygen", &at("good.key")])).unwrap();
    let pem = |der: &[u8]| {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    };
    let ed = |key: [u8; 32]| [b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".as_slice(), &key].concat();
    for (name, text) in [
        ("neutral", pem(&ed(std::array::from_fn(|n| u8::from(n == 0))))),
        ("zero", pem(&ed([0; 32]))),
        ("x25519", pem(&ed([7; 32])).replace("MCowBQYDK2Vw", "MCowBQYDK2Vu")),
        ("short", pem(&ed([7; 32])[..40])),
        ("empty", String::new()),
        ("private", std::fs::read_to_string(at("good.key")).unwrap()),
    ] {
        std::fs::write(at(name), text).unwrap();
    }
    let good = ["--public-key", &public];
    let key = |name: &str| at(name);
    let cases: [(&[&str], &str); 14] = [
        (&["cli", "--org", "acme", "--role", "backend"], "the name cli is this command line's own"),
        (&["", "--org", "acme", "--role", "backend"], "NAME must not be empty"),
        (&["a\nb", "--org", "acme", "--role", "backend"], "NAME must not contain control characters"),
        (&["shop", "--org", "", "--role", "backend"], "--org must not be empty"),
        (&["shop", "--org", "acme", "--user", "", "--role", "backend"], "--user must not be empty"),
        (&["shop", "--role", "backend"], "say for which orgs"),
        (&["shop", "--org", "acme", "--any-org", "--role", "backend"], "cannot be used with"),
        (&["shop", "--org", "acme"], "--role"),
        (&["shop", "--org", "acme", "--role", "root"], "there is no role root"),
        (
            &["shop", "--role", "operator", "--org", "acme"],
            "an operator has no other role, no org and no user",
        ),
        (&["shop", "--role", "operator", "--any-org"], "an operator has no other role, no org and no user"),
        (
            &["shop", "--role", "operator", "--user", "ada"],
            "an operator has no other role, no org and no user",
        ),
        (
            &["shop", "--role", "operator", "--role", "owner"],
            "an operator has no other role, no org and no user",
        ),
        (
            &["shop", "--role", "owner", "--role", "operator", "--org", "acme"],
            "an operator has no other role",
        ),
    ];
    for (args, told) in cases {
        let (ok, _, err) = said(&home, &[&["client", "add"], args, &good].concat());
        assert!(!ok && err.contains(told), "{args:?}: {err}");
    }
    for (name, told) in [
        ("neutral", "is a key that anybody could sign for"),
        ("zero", "is a key that anybody could sign for"),
        ("x25519", "is no Ed25519 public key in PEM"),
        ("short", "is no Ed25519 public key in PEM"),
        ("empty", "is no Ed25519 public key in PEM"),
        ("private", "is no Ed25519 public key in PEM"),
        ("nowhere", "can't be read"),
    ] {
        let file = key(name);
        let args = ["client", "add", "shop", "--org", "acme", "--role", "backend", "--public-key", &file];
        let (ok, _, err) = said(&home, &args);
        assert!(!ok && err.contains(told), "{name}: {err}");
    }
    assert_eq!(home.sql().count("clients"), 0);
    let (ok, _, err) = said(&home, &["client", "remove", "shop"]);
    assert!(!ok && err.contains("there is no client shop"), "{err}");
}
