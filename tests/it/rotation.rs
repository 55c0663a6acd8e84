//! The life of a master key through the real programs: made, left, destroyed, beside a vault that serves;
//! what is refused on the way; and what a copy from before is worth afterwards.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use serde_json::{Value, json};

use crate::database::without_foreign_keys;
use crate::harness::{Home, Vault, call, deposit, everything_under, holds};
use crate::served::Served;

/// `pawl keys …`: its exit code and all that it said.
pub fn keys(home: &Home, args: &[&str]) -> (i32, String) {
    let output = home.pawl(&[]).arg("keys").args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

pub fn keys_done(home: &Home, args: &[&str]) -> String {
    let (code, said) = keys(home, args);
    assert_eq!(code, 0, "{args:?}: {said}");
    said
}

pub fn retire(home: &Home, key: &str) -> (i32, String) {
    keys(home, &["retire", key, "--backups-older-than-may-die", "2099-01-01"])
}

/// The key file, as it is now.
pub fn key_file(home: &Home) -> Value {
    serde_json::from_slice(&std::fs::read(home.key_file()).unwrap()).unwrap()
}

fn serve(home: &Home, more: &[(&str, &str)]) -> Served {
    Served::of(home.serve(more), home.path().into(), || home.pawl(&[]))
}

fn key_of(served: &Served, id: &str) -> String {
    let shown = call(&served.process.url, "GET", &format!("/v1/connections/{id}"), &served.backend, None);
    shown.json["credential"]["key_id"].as_str().unwrap().to_owned()
}

/// Attack on P3 and P10.
#[test]
fn a_key_is_made_left_and_destroyed_beside_a_vault_that_serves() {
    let home = Home::new();
    let served = serve(&home, &[("PAWL_LOG", "trace")]);
    let first = key_file(&home)["keys"]["k1"].as_str().unwrap().to_owned();
    let old: Vec<(String, String)> =
        (0..12).map(|n| format!("old{n}")).map(|n| (served.deposit(&n), n)).collect();

    assert!(keys_done(&home, &["rotate"]).contains("k2 seals from now on: fingerprint "));
    let (said, file) = (keys_done(&home, &["list"]), key_file(&home));
    assert_eq!(file["current"], "k2");
    for (line, parts) in said.lines().skip(1).zip([["k1", "opening", "12"], ["k2", "sealing", "0"]]) {
        // the issuer's key and the log's are under k1 too
        let sealed = if parts[0] == "k1" { "14" } else { parts[2] };
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!([words[0], words[2], words[3], words[4]], [parts[0], parts[1], sealed, "yes"], "{said}");
    }
    // the vault was told of nothing: its first seal and its first open find out
    let new = served.deposit("new");
    assert_eq!(key_of(&served, &new), "k2");
    served.opens(&new, "new");
    old.iter().for_each(|(id, name)| served.opens(id, name));

    let said = keys_done(&home, &["reseal"]);
    assert!(said.starts_with("14 values are under k2 now ("), "{said}");
    assert!(keys_done(&home, &["reseal"]).starts_with("0 values are under k2 now"), "nothing is left to do");
    assert!(old.iter().all(|(id, _)| key_of(&served, id) == "k2"));
    old.iter().for_each(|(id, name)| served.opens(id, name));

    let (code, said) = retire(&home, "k1");
    assert!(code == 0 && said.contains("k1 is destroyed in file:"), "{said}");
    let (code, said) = retire(&home, "k1");
    assert!(code == 0 && said.contains("k1 was retired before"), "{said}");
    assert_eq!(key_file(&home)["keys"].as_object().unwrap().keys().collect::<Vec<_>>(), ["k2"]);
    let listed = keys_done(&home, &["list"]);
    let words: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!([words[0], words[2], words[3], words[4]], ["k1", "retired", "0", "no"], "{listed}");
    old.iter().for_each(|(id, name)| served.opens(id, name));
    let events = home.sql().texts("event", "FROM audit_events WHERE org_id = '' ORDER BY seq");
    for action in ["key.note", "key.rotate", "key.reseal", "key.retire", "key.destroy"] {
        let of = format!("\"activity_name\":\"{action}\"");
        assert!(events.iter().any(|event| event.contains(&of)), "{action}: {events:?}");
    }

    // what was sealed since opens after a start, and no key was ever said
    drop(served);
    let again = serve(&home, &[]);
    old.iter().chain([&(new, "new".to_owned())]).for_each(|(id, name)| again.opens(id, name));
    let second = key_file(&home)["keys"]["k2"].as_str().unwrap().to_owned();
    let log = std::fs::read(home.path().join("log")).unwrap();
    assert!(holds(&log, "transaction"), "the log is at TRACE");
    for key in [&first, &second] {
        assert!(!holds(&log, key) && !said.contains(key.as_str()));
        let elsewhere =
            everything_under(home.path()).into_iter().filter(|(path, _)| *path != home.key_file());
        for (path, bytes) in
            elsewhere.chain(home.everything_kept().into_iter().filter(|(p, _)| *p != home.key_file()))
        {
            assert!(!holds(&bytes, key), "a key in {}", path.display());
        }
    }
}

/// Attack on P9.
#[test]
fn a_snapshot_from_before_a_retire_stays_shut() {
    let vault = Vault::start();
    let ids: Vec<String> = (0..3)
        .map(|n| vault.deposit_as("acme", "ada", &deposit(&format!("bot{n}"), &format!("planted {n}"))))
        .collect();
    let sealed = vault.home.sql().texts("sealed", "FROM connections ORDER BY id");
    let (issuer, canary) = (
        vault.home.sql().texts("sealed", "FROM issuer_keys").remove(0),
        vault.home.sql().texts("canary", "FROM keys").remove(0),
    );
    keys_done(&vault.home, &["rotate"]);
    keys_done(&vault.home, &["reseal"]);
    let (code, said) = retire(&vault.home, "k1");
    assert_eq!(code, 0, "{said}");

    // the rows as they were, and all keys that there are
    for (id, sealed) in ids.iter().zip(&sealed) {
        vault.sql(&format!("UPDATE connections SET sealed = '{sealed}', key_id = 'k1' WHERE id = '{id}'"));
    }
    let answer = vault.lend(&ids[0], &json!({"purpose": "other"}));
    assert_eq!(answer.problem(), "key-not-held");
    // named after the key that there is; and with the retired one let open again
    vault.sql(&format!("UPDATE connections SET key_id = 'k2' WHERE id = '{}'", ids[1]));
    assert_eq!(vault.lend(&ids[1], &json!({"purpose": "other"})).problem(), "does-not-open");
    vault.sql("UPDATE keys SET state = 'opening' WHERE id = 'k1'");
    assert_eq!(vault.lend(&ids[2], &json!({"purpose": "other"})).problem(), "key-not-held");
    let Vault { home, .. } = vault;

    // all of it as it was, the table of keys too: no start
    home.sql().run(&format!("{}; DELETE FROM keys WHERE id = 'k2'", without_foreign_keys()));
    home.sql().run(&format!("UPDATE keys SET state = 'sealing', canary = '{canary}'"));
    home.sql().run(&format!("UPDATE issuer_keys SET sealed = '{issuer}', key_id = 'k1'"));
    let output = home.pawl(&[("PAWL_LISTEN", "127.0.0.1:0")]).arg("serve").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "a copy from before opens");
    assert!(
        said.contains("wrong key: the database was sealed under k1") && said.contains("held: k2="),
        "{said}"
    );
}

/// Attack on P3 and P9.
#[test]
fn a_key_that_may_not_be_retired_is_refused_and_nothing_changes() {
    let vault = Vault::start();
    let (here, lost) = (vault.deposit("here"), vault.deposit_as("acme", "bob", &deposit("bot", "lost")));
    vault.sql(&format!("UPDATE connections SET username = 'elsewhere' WHERE id = '{lost}'"));
    let home = &vault.home;
    let never = "--backups-older-than-may-die";
    let refused = |args: &[&str], rule: &str| {
        let before = (home.sql().texts("state", "FROM keys ORDER BY id"), key_file(home));
        let (code, said) = keys(home, args);
        assert!(code != 0 && said.contains(rule), "{args:?}: {said}");
        assert_eq!(before, (home.sql().texts("state", "FROM keys ORDER BY id"), key_file(home)));
    };
    refused(&["retire", "k1", never, "2099-01-01"], "k1 is the key that seals");
    refused(&["retire", "k9", never, "2099-01-01"], "there is no key k9");
    refused(&["retire", "k1"], never);
    refused(&["retire", "k1", never, "soon"], "must be such as 2027-01-31");
    keys_done(home, &["rotate"]);
    refused(
        &["retire", "k1", never, "2099-01-01"],
        "2 credentials, 1 issuer keys and 1 log keys are still under k1",
    );
    refused(&["retire", "k1", never, "2099-01-01"], &here);

    // a value that does not open is stepped over and named; the exit code says so
    let (code, said) = keys(home, &["reseal"]);
    assert!(code == 1 && said.contains(&format!("shut: {lost} does not open")), "{said}");
    assert!(said.contains("3 values are under k2"), "{said}");
    refused(&["retire", "k1", never, "2099-01-01"], &lost);
    refused(
        &["retire", "k1", never, "2099-01-01", "--abandon", &here],
        "there is no such connection under k1",
    );
    vault.sql(&format!("UPDATE connections SET key_id = 'k1' WHERE id = '{here}'"));
    refused(
        &["retire", "k1", never, "2099-01-01", "--abandon", &lost, &lost],
        "1 credentials are still under k1",
    );
    vault.sql(&format!("UPDATE connections SET key_id = 'k2' WHERE id = '{here}'"));
    refused(&["retire", "k1", never, "2099-01-01", "--abandon", "x"], "--abandon must be the prefix");
    refused(&["retire", "k1", never, "2001-01-01", "--abandon", &lost], "would die too");
    vault.sql(&format!("UPDATE connections SET username = 'bot' WHERE id = '{lost}'"));
    refused(&["retire", "k1", never, "2099-01-01", "--abandon", &lost], "its credential opens");
    vault.sql(&format!("UPDATE connections SET username = 'elsewhere' WHERE id = '{lost}'"));
    keys_done(home, &["retire", "k1", never, "2099-01-01", "--abandon", &lost]);
    let events = home.sql().texts("event", "FROM audit_events WHERE org_id = ''");
    assert!(events.iter().any(|event| event.contains("key.retire") && event.contains(&lost)), "{events:?}");
    let loan = vault.lend(&here, &json!({"purpose": "other"}));
    assert_eq!(loan.json["credential"]["secret"], "here", "{}", loan.body);
}

/// Attack on P3.
#[test]
fn a_start_is_refused_where_the_key_does_not_open_its_canary() {
    let vault = Vault::start();
    let others = Vault::start();
    let canary = others.home.sql().texts("canary", "FROM keys").remove(0);
    vault.sql(&format!("UPDATE keys SET canary = '{canary}'"));
    let fingerprint = vault.home.sql().texts("fingerprint", "FROM keys").remove(0);
    for args in [&["serve"][..], &["doctor"], &["keys", "reseal"], &["keys", "rotate"]] {
        let output = vault.home.pawl(&[("PAWL_LISTEN", "127.0.0.1:0")]).args(args).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!output.status.success(), "{args:?}");
        let rule =
            format!("wrong key: k1 with fingerprint {fingerprint} is held, and does not open its canary");
        assert!(said.contains(&rule), "{said}");
    }
    // of a key that only opens it is that key's trouble alone
    vault.sql("UPDATE keys SET canary = NULL");
    let vault = vault.restart();
    let old = vault.deposit("old");
    keys_done(&vault.home, &["rotate"]);
    vault.sql(&format!("UPDATE keys SET canary = '{canary}' WHERE id = 'k1'"));
    let (code, said) = keys(&vault.home, &["reseal"]);
    assert!(code == 1 && said.contains(&format!("shut: {old} ")), "{said}");
    vault.sql("UPDATE keys SET canary = NULL WHERE id = 'k1'");
    keys_done(&vault.home, &["reseal"]);
    assert_eq!(vault.lend(&old, &json!({"purpose": "other"})).json["credential"]["secret"], "old");

    // an earlier version's table has none: it is made, and proves the key from then on
    vault.sql("UPDATE keys SET canary = NULL");
    let vault = vault.restart();
    assert_eq!(vault.home.sql().texts("id", "FROM keys WHERE canary IS NOT NULL"), ["k2"]);
}

/// Attack on P3 and P10.
#[test]
fn a_row_under_a_key_that_nobody_has_is_that_rows_trouble_alone() {
    let vault = Vault::start();
    let (good, bad) = (vault.deposit("good"), vault.deposit_as("acme", "ada", &deposit("other", "bad")));
    vault.home.sql().run(&format!(
        "{}; INSERT INTO keys (id, fingerprint, source, state, created_at) VALUES ('k7', '0011223344556677', 'file:', 'opening', 1); \
         UPDATE connections SET key_id = 'k7' WHERE id = '{bad}'",
        without_foreign_keys()
    ));
    // looked for once, then known to be missing for a minute; the file is not even there meanwhile
    assert_eq!(vault.lend(&bad, &json!({"purpose": "other"})).problem(), "key-not-held");
    let (file, away) = (vault.home.key_file(), vault.home.path().join("away"));
    std::fs::rename(&file, &away).unwrap();
    assert_eq!(vault.lend(&bad, &json!({"purpose": "other"})).problem(), "key-not-held");
    let ready = || call(&vault.url, "GET", "/readyz", "", None).json;
    assert_eq!(
        ready(),
        json!({"status": "ok", "keys": "held", "frozen": "no", "witnesses": "none"}),
        "nobody looked again"
    );
    vault.clock.advance(Duration::from_secs(61));
    assert_eq!(vault.lend(&bad, &json!({"purpose": "other"})).problem(), "unavailable", "nobody can say");
    assert_eq!(
        ready(),
        json!({"status": "ok", "keys": "stale", "frozen": "no", "witnesses": "none"}),
        "somebody looked"
    );
    assert_eq!(vault.lend(&good, &json!({"purpose": "other"})).json["credential"]["secret"], "good");
    std::fs::rename(&away, &file).unwrap();
    vault.clock.advance(Duration::from_secs(61));
    assert_eq!(vault.lend(&bad, &json!({"purpose": "other"})).problem(), "key-not-held");
    assert_eq!(ready(), json!({"status": "ok", "keys": "held", "frozen": "no", "witnesses": "none"}));
    let refused =
        vault.trail("acme").iter().filter(|event| event["event"]["status_detail"] == "key-not-held").count();
    assert_eq!(refused, 3, "each refusal is on record once");

    // nor does a row that holds what this vault never writes stop the others
    let odd = vault.deposit_as("acme", "ada", &deposit("odd", "odd"));
    vault.sql(&format!("UPDATE connections SET user_id = '' WHERE id = '{odd}'"));
    keys_done(&vault.home, &["rotate"]);
    let (code, said) = keys(&vault.home, &["reseal"]);
    assert!(code == 1 && said.contains(&format!("shut: {bad} ")) && !said.contains(&good), "{said}");
    assert!(said.contains(&format!("shut: {odd} ")) && said.contains("3 values are under k8 now"), "{said}");
}

/// Attack on P3 and P10.
#[test]
fn a_source_that_goes_away_stops_no_vault_that_runs_and_every_start() {
    let home = Home::new();
    let served = serve(&home, &[("PAWL_KEY_REFRESH_SECONDS", "1"), ("PAWL_OPS_LISTEN", "127.0.0.1:0")]);
    let id = served.deposit("bot");
    served.until("held");
    let whole = std::fs::read(home.key_file()).unwrap();
    let breaks: [(&str, &dyn Fn()); 3] = [
        ("can be read by others", &|| {
            std::fs::set_permissions(home.key_file(), PermissionsExt::from_mode(0o644)).unwrap();
        }),
        ("is not a key file", &|| std::fs::write(home.key_file(), "garbage").unwrap()),
        ("there is no key file at", &|| std::fs::remove_file(home.key_file()).unwrap()),
    ];
    for (cause, act) in breaks {
        act();
        served.until("stale");
        assert!(served.process.metrics().contains("pawl_keys_stale 1"));
        served.opens(&id, "bot");
        served.deposit(cause);
        let output = home.pawl(&[("PAWL_LISTEN", "127.0.0.1:0")]).arg("serve").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(cause), "{said}");
        std::fs::write(home.key_file(), &whole).unwrap();
        std::fs::set_permissions(home.key_file(), PermissionsExt::from_mode(0o600)).unwrap();
        served.until("held");
        assert!(served.process.metrics().contains("pawl_keys_stale 0"));
    }
}

/// A rotation that broke off after the source had the key, and before the database did.
#[test]
fn a_rotation_that_broke_off_is_gone_on_with() {
    let vault = Vault::start();
    let id = vault.deposit("kept");
    let mut file = key_file(&vault.home);
    file["keys"]["k2"] = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".into();
    file["current"] = "k2".into();
    std::fs::write(vault.home.key_file(), file.to_string()).unwrap();
    let vault = vault.restart();
    let shown =
        vault.call("GET", &format!("/v1/connections/{id}"), &vault.token("acme", "ada", "backend"), None);
    assert_eq!(shown.json["credential"]["key_id"], "k1", "the table says which key seals");
    keys_done(&vault.home, &["rotate"]);
    assert_eq!(key_file(&vault.home), file, "the key that was left is taken");
    keys_done(&vault.home, &["rotate"]);
    keys_done(&vault.home, &["reseal"]);
    for key in ["k1", "k2"] {
        assert_eq!(retire(&vault.home, key).0, 0);
    }
    assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).json["credential"]["secret"], "kept");
    assert_eq!(vault.home.sql().texts("key_id", "FROM connections"), ["k3"]);
}

/// The path may be a link, and what is behind it another link's too.
#[test]
fn a_linked_key_file_is_replaced_where_it_is() {
    let vault = Vault::start();
    let (file, apart) = (vault.home.key_file(), vault.home.path().join("apart"));
    std::fs::create_dir(&apart).unwrap();
    let (real, backup) = (apart.join("keys.json"), apart.join("backup.json"));
    std::fs::rename(&file, &real).unwrap();
    std::os::unix::fs::symlink(&real, &file).unwrap();
    std::fs::hard_link(&real, &backup).unwrap();
    let first = std::fs::read(&real).unwrap();
    let owner = if rustix::process::geteuid().is_root() { 65534 } else { real.metadata().unwrap().uid() };
    std::os::unix::fs::chown(&real, Some(owner), None).unwrap();
    keys_done(&vault.home, &["rotate"]);
    assert_eq!(real.metadata().unwrap().uid(), owner, "whoever rotates, it stays its owner's");
    assert!(std::fs::symlink_metadata(&file).unwrap().is_symlink());
    assert_eq!(key_file(&vault.home)["current"], "k2");
    assert_eq!(std::fs::read(&backup).unwrap(), first, "a rotation takes nothing from anybody");
    keys_done(&vault.home, &["reseal"]);
    let second = apart.join("second.json");
    std::fs::hard_link(&real, &second).unwrap();
    assert_eq!(retire(&vault.home, "k1").0, 0);
    assert!(std::fs::read(&second).unwrap().iter().all(|byte| *byte == 0), "the old bytes are written over");
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Attack on P3 and P9.
#[test]
fn a_key_that_can_not_be_had_just_now_is_not_given_up() {
    let vault = Vault::start();
    let id = vault.deposit("here");
    keys_done(&vault.home, &["rotate"]);
    let whole = key_file(&vault.home);
    let garbled = whole.to_string().replace(whole["keys"]["k1"].as_str().unwrap(), "c2hvcnQ=");
    std::fs::write(vault.home.key_file(), garbled).unwrap();
    let (code, said) =
        keys(&vault.home, &["retire", "k1", "--backups-older-than-may-die", "2099-01-01", "--abandon", &id]);
    assert!(code == 1 && said.contains("the key k1 is not 32 bytes in base64url"), "{said}");
    assert_eq!(vault.home.sql().texts("state", "FROM keys WHERE id = 'k1'"), ["opening"]);
    std::fs::write(vault.home.key_file(), whole.to_string()).unwrap();
    assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).json["credential"]["secret"], "here");
}

/// Attack on P3 and P9.
#[test]
fn a_key_in_another_source_is_not_called_destroyed() {
    let vault = Vault::start();
    vault.deposit("here");
    for args in [&["rotate"], &["reseal"]] {
        keys_done(&vault.home, args);
    }
    let mut moved = key_file(&vault.home);
    moved["keys"].as_object_mut().unwrap().remove("k1");
    let elsewhere = vault.home.path().join("elsewhere.json");
    std::fs::write(&elsewhere, moved.to_string()).unwrap();
    std::fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o600)).unwrap();
    let source = format!("file:{}", elsewhere.display());
    let retire = |more: &[&str]| {
        let args = ["keys", "retire", "k1", "--backups-older-than-may-die", "2099-01-01"];
        let output = vault.home.pawl(&[("PAWL_KEY_SOURCE", &source)]).args(args).args(more).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let (ok, said) = retire(&[]);
    assert!(!ok && said.contains("k1 is not in file:") && said.contains("--destroyed-elsewhere"), "{said}");
    assert_eq!(vault.home.sql().texts("state", "FROM keys WHERE id = 'k1'"), ["opening"]);
    let (ok, said) = retire(&["--destroyed-elsewhere"]);
    assert!(ok && said.contains("k1 is retired") && !said.contains("destroyed in"), "{said}");
    let events = vault.home.sql().texts("event", "FROM audit_events WHERE org_id = '' ORDER BY seq");
    assert!(events.last().unwrap().contains("\"destroyed_elsewhere\":\"yes\""), "{events:?}");
    assert!(!events.iter().any(|event| event.contains("key.destroy")), "{events:?}");
}
