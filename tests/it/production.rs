//! Production mode: what it refuses, each alone, and that it runs when all is well.

use std::path::Path;

use crate::harness::{Process, call, pawl};
use crate::tls::{Authority, GOOD, lay};

/// Settings under which production runs; `key` lies on other storage than `data`.
fn settings(dir: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("PAWL_MODE", "production".into()),
        ("PAWL_DATA_DIR", dir.join("data").display().to_string()),
        ("PAWL_KEY_SOURCE", format!("file:{}", dir.join("keys/master.json").display())),
        ("PAWL_KEY_FILE_APART", "yes".into()),
        ("PAWL_TLS", "terminated-on-this-host".into()),
        ("PAWL_LISTEN", "127.0.0.1:0".into()),
    ]
}

fn run(dir: &Path, settings: &[(&str, String)], args: &[&str]) -> (bool, String) {
    let borrowed: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let output = pawl(dir, &borrowed).args(args).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), said)
}

/// Attack on P1 and P3.
#[test]
fn each_thing_that_is_not_safe_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let good = settings(dir.path());
    let cases = [
        (
            "PAWL_KEY_SOURCE",
            Some(format!("file:{}", dir.path().join("data/master.json").display())),
            "lies in the data directory",
        ),
        ("PAWL_KEY_SOURCE", None, "lies in the data directory"),
        ("PAWL_KEY_FILE_APART", None, "PAWL_KEY_FILE_APART"),
        ("PAWL_TLS", None, "PAWL_TLS"),
        ("PAWL_LISTEN", Some("0.0.0.0:0".into()), "must be loopback"),
        ("PAWL_EGRESS_ALLOW", Some("acme@127.0.0.1".into()), "loopback or link-local"),
        (
            "PAWL_EGRESS_ALLOW",
            Some("acme@169.254.0.0/16".into()),
            "nobody may be let to link-local addresses",
        ),
        ("PAWL_EGRESS_ALLOW", Some("acme@localhost:8069".into()), "loopback or link-local"),
        ("PAWL_EGRESS_ALLOW", Some("acme@0.0.0.0/0".into()), "loopback or link-local"),
        ("PAWL_EGRESS_ALLOW", Some("10.1.2.3".into()), "without its org"),
    ];
    for (name, value, complaint) in cases {
        let mut bad: Vec<_> = good.iter().filter(|(k, _)| *k != name).cloned().collect();
        bad.extend(value.clone().map(|value| (name, value)));
        for args in [&["serve"][..], &["init"]] {
            let (ok, said) = run(dir.path(), &bad, args);
            assert!(!ok && said.contains(complaint), "{name}={value:?}: {said}");
            assert_eq!(said.lines().count(), 1, "one thing is wrong, one line says so: {said}");
        }
    }
    assert!(!dir.path().join("data").exists() && !dir.path().join("keys").exists());
}

#[test]
fn with_a_certificate_it_listens_to_the_network() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    lay(dir.path(), &authority.vouch("localhost", GOOD));
    let mut good: Vec<_> = settings(dir.path()).into_iter().filter(|(name, _)| *name != "PAWL_TLS").collect();
    good.push(("PAWL_LISTEN", "0.0.0.0:0".into()));
    good.extend(crate::tls::SETTINGS.iter().map(|(name, file)| (*name, file.to_string())));
    let (ok, said) = run(dir.path(), &good, &["doctor"]);
    assert!(!ok && said.contains("cert.pem, good until 2100-01-01"), "{said}");
    assert!(said.matches("wrong").count() == 1 && said.contains("nothing is set up yet"), "{said}");
}

/// Attack on P3.
#[test]
fn it_makes_nothing_by_itself_and_runs_once_set_up() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("keys")).unwrap();
    let mut good = settings(dir.path());
    for args in [&["serve"][..], &["doctor"]] {
        let (ok, said) = run(dir.path(), &good, args);
        assert!(!ok && said.contains("run `pawl init`"), "{said}");
    }
    assert!(!dir.path().join("keys/master.json").exists());
    let (ok, said) = run(dir.path(), &good, &["init"]);
    assert!(ok, "{said}");
    let key = std::fs::read(dir.path().join("keys/master.json")).unwrap();
    assert!(run(dir.path(), &good, &["init"]).0, "a second init changes nothing");
    assert_eq!(std::fs::read(dir.path().join("keys/master.json")).unwrap(), key);

    let borrowed: Vec<(&str, &str)> = good.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let process = Process::serve(dir.path(), &borrowed);
    assert_eq!(process.greeting[4], "mode: production");
    let issue = ["token", "issue", "--org", "o", "--user", "u", "--role", "backend"];
    let (ok, said) = run(dir.path(), &good, &issue);
    assert!(!ok && said.contains("PAWL_OWN_ISSUER=on"), "{said}");
    good.push(("PAWL_OWN_ISSUER", "on".into()));
    let (ok, token) = run(dir.path(), &good, &issue);
    assert!(ok, "{token}");
    assert_eq!(call(&process.url, "GET", "/v1/connections", token.trim(), None).status, 200);
}

/// Attack on P3.
#[test]
fn embedded_mode_stays_on_this_machine_and_in_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    for (name, value, complaint) in [
        ("PAWL_LISTEN", "0.0.0.0:0", "embedded mode listens on loopback only"),
        ("PAWL_DATABASE_URL", "sqlite:/elsewhere/pawl.db", "outside the data directory"),
        ("PAWL_DATABASE_URL", "sqlite:pawl-data/../pawl.db", "outside the data directory"),
    ] {
        let (ok, said) = run(dir.path(), &[(name, value.into())], &["serve"]);
        assert!(!ok && said.contains(complaint), "{name}={value}: {said}");
    }
}
