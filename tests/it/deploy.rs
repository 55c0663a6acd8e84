//! What deploys Pawl: right by its schemas and by our own rules, and of settings that exist.

use std::path::Path;
use std::process::Command;

use pawl::config::{VAULT_SETTINGS, WORKER_SETTINGS};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn manifests_are_right_and_as_closed_as_we_say() {
    let python = std::env::var("TEST_PYTHON").expect("./test sets TEST_PYTHON");
    let output = Command::new(python).arg(format!("{ROOT}/tests/deploy/manifests.py")).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn every_setting_that_a_manifest_names_is_one() {
    let mut files = vec!["Dockerfile".to_owned(), "compose.yaml".to_owned()];
    for folder in ["deploy/kubernetes", "deploy/systemd"] {
        let entries = std::fs::read_dir(Path::new(ROOT).join(folder)).unwrap();
        files.extend(
            entries.map(|entry| format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap())),
        );
    }
    let known = |name: &str| VAULT_SETTINGS.iter().chain(WORKER_SETTINGS).any(|(known, _)| *known == name);
    let mut named = 0;
    for file in files {
        let text = std::fs::read_to_string(Path::new(ROOT).join(&file)).unwrap();
        let is_part = |c: char| c.is_ascii_uppercase() || c == '_';
        for (at, _) in text.match_indices("PAWL_") {
            let name: String = text[at + 5..].chars().take_while(|c| is_part(*c)).collect();
            // `PAWL_*` speaks of all.
            assert!(
                name.is_empty() || known(&name.to_lowercase()),
                "{file} names PAWL_{name}, which is no setting"
            );
            named += 1;
        }
    }
    assert!(named > 20, "{named}");
}

#[cfg(feature = "postgres")]
#[test]
fn the_addresses_that_the_setup_writes_are_taken() {
    use pawl::config::Database;
    let setup = std::fs::read_to_string(Path::new(ROOT).join("deploy/compose/setup")).unwrap();
    let formats =
        setup.lines().filter_map(|line| line.split_once("printf 'postgres://")?.1.split("\\n'").next());
    let addresses = formats.map(|format| format.replace("%s", "0123abc").replace("%%", "%"));
    let addresses: Vec<String> = addresses.map(|rest| format!("postgres://{rest}")).collect();
    assert_eq!(addresses.len(), 2, "{setup}");
    for address in addresses {
        match Database::parse(pawl::secret::Secret::new(address.clone())) {
            Ok(Database::Postgres(parsed)) => assert!(parsed.is_safe_on_its_way(), "{address}"),
            Ok(Database::Sqlite(_)) => panic!("{address} is no PostgreSQL"),
            Err(refused) => panic!("{address}: {refused}"),
        }
    }
}
