//! docs/running.md's backup and restore, followed line by line against a vault that serves.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use crate::database::on_postgres;
use crate::harness::{Home, Process, call, deposit};

const PAGE: &str = include_str!("../../docs/running.md");

/// The page's lines under `heading` for the database of this run.
fn lines(heading: &str) -> String {
    let database = if on_postgres() { "postgres" } else { "sqlite" };
    let mut found = String::new();
    for block in PAGE.split("\n```sh ").skip(1) {
        let (tags, rest) = block.split_once('\n').unwrap();
        let mut tags = tags.split_whitespace();
        if tags.next() == Some(heading) && tags.next().is_none_or(|only| only == database) {
            found += rest.split("\n```").next().unwrap();
            found.push('\n');
        }
    }
    assert!(found.lines().count() >= 2, "{found}");
    found
}

/// The addresses of an administrator: of the database that is backed up, and of the empty one.
fn address(home: &Home, role: &str) -> String {
    #[cfg(feature = "postgres")]
    if let Some(address) = home.address_as(role) {
        return address;
    }
    let _ = (home, role);
    String::new()
}

fn follow(lines: &str, home: &Home, keep: &Path, role: &str) -> Output {
    let programs = Path::new(env!("CARGO_BIN_EXE_pawl")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euc", lines]).current_dir(home.path()).env("PATH", path);
    command.envs(home.settings());
    command.env("KEY_FILE", home.key_file()).env("DATA_DIR", home.data());
    command.env("KEY_STORAGE", keep.join("keys")).env("BACKUPS", keep.join("rows"));
    command.env("ADMIN_URL", address(home, role)).env("EMPTY_ADMIN_URL", address(home, role));
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn token(home: &Home, role: &str) -> String {
    let issue = ["token", "issue", "--org", "acme", "--user", "ada", "--role", role];
    let output = home.pawl(&[]).args(issue).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn keep(process: &Process, home: &Home, username: &str, secret: &str) -> String {
    let body = deposit(username, secret);
    let answer = call(&process.url, "POST", "/v1/connections", &token(home, "backend"), Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.text("id")
}

#[test]
fn what_the_page_says_brings_everything_back() {
    let (old, new, storage) = (Home::new(), Home::empty(), tempfile::tempdir().unwrap());
    for dir in ["keys", "rows"] {
        std::fs::create_dir(storage.path().join(dir)).unwrap();
    }
    let process = old.serve(&[]);
    let secrets = ["planted-BACKUP-one", "planted-BACKUP-two"];
    let kept = [keep(&process, &old, "one", secrets[0]), keep(&process, &old, "two", secrets[1])];
    let taken = follow(&lines("backup"), &old, storage.path(), "tester");
    assert!(taken.status.success(), "{}", said(&taken));
    let path = format!("/v1/connections/{}", kept[0]);
    assert_eq!(call(&process.url, "DELETE", &path, &token(&old, "backend"), None).status, 204);
    drop(process);

    let restored = follow(&lines("restore"), &new, storage.path(), "tester");
    assert!(restored.status.success(), "{}", said(&restored));
    assert!(said(&restored).contains("ok        the database opens"), "{}", said(&restored));
    let own = new.settings();
    let own: Vec<(&str, &str)> = own.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let process = Process::serve(new.path(), &own);
    for (id, secret) in kept.iter().zip(secrets) {
        let path = format!("/v1/connections/{id}/leases");
        let loan =
            call(&process.url, "POST", &path, &token(&new, "worker"), Some(&json!({"purpose": "other"})));
        assert_eq!((loan.status, &loan.json["credential"]["secret"]), (201, &json!(secret)), "{}", loan.body);
    }
}

/// Attack on P9.
#[test]
fn a_backup_of_the_rows_alone_yields_nothing() {
    let (home, storage) = (Home::new(), tempfile::tempdir().unwrap());
    for dir in ["keys", "rows"] {
        std::fs::create_dir(storage.path().join(dir)).unwrap();
    }
    let process = home.serve(&[]);
    keep(&process, &home, "one", "planted-BACKUP-three");
    let taken = follow(&lines("backup"), &home, storage.path(), "tester");
    assert!(taken.status.success(), "{}", said(&taken));
    if on_postgres() {
        // The dump is compressed: what is searched is what it unpacks to.
        let unpack = r#"pg_restore --file="$BACKUPS/plain.sql" "$BACKUPS/pawl.dump"
                        grep -q acme.odoo.com "$BACKUPS/plain.sql""#;
        assert!(follow(unpack, &home, storage.path(), "tester").status.success());
    }
    let key = std::fs::read_to_string(home.key_file()).unwrap();
    let key = key.split('"').find(|part| part.len() == 44).unwrap();
    for (file, bytes) in crate::harness::everything_under(&storage.path().join("rows")) {
        for secret in ["planted-BACKUP-three", key] {
            assert!(!crate::harness::holds(&bytes, secret), "{}", file.display());
        }
    }
}

#[cfg(feature = "postgres")]
#[test]
fn a_dump_by_the_tables_owner_is_refused_and_leaves_no_row_out() {
    if !on_postgres() {
        return;
    }
    let (home, storage) = (Home::new(), tempfile::tempdir().unwrap());
    std::fs::create_dir(storage.path().join("rows")).unwrap();
    let dump = lines("backup").lines().filter(|line| line.starts_with("pg_dump")).collect::<String>();
    let taken = follow(&dump, &home, storage.path(), "pawl_migrate");
    assert!(!taken.status.success() && said(&taken).contains("row-level security"), "{}", said(&taken));
}
