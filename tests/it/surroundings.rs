//! What lies around the programs, made by an attacker: the environment, directories and files that were
//! there before, and copies of them that were carried away.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit};
use serde_json::json;

use crate::database::Sql;
use crate::harness::{Process, call, deposit, everything_under, holds, pawl};
use crate::scene::{Scene, code, errors, number};
use crate::standin::PASSWORD;
use crate::standin::company::Company;

fn said(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let all = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(all).unwrap())
}

/// Attack on P1 and P7.
#[test]
fn a_proxy_in_the_environment_is_not_heeded() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let scene = Scene::new(Company::small(3), PASSWORD);
    let mut run = scene.command("books.db", &[]);
    let names = ["http_proxy", "https_proxy", "all_proxy"].map(str::to_owned);
    for name in names.iter().cloned().chain(names.iter().map(|name| name.to_uppercase())) {
        run.env(name, &address);
    }
    run.env("no_proxy", "").env("NO_PROXY", "");
    let output = run.output().unwrap();
    assert_eq!(code(&output), 0, "{}", errors(&output));
    scene.assert_same("books.db");
    assert_eq!(
        proxy.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock,
        "somebody called the proxy"
    );
}

/// Attack on P11.
#[test]
fn the_workers_memory_is_its_own() {
    let scene = Scene::new(Company::small(3), PASSWORD);
    scene.odoo.hold(2);
    let mut worker = scene.command("books.db", &[]).spawn().unwrap();
    assert!(scene.odoo.wait_until_held());
    let proc = format!("/proc/{}", worker.id());
    let limits = std::fs::read_to_string(format!("{proc}/limits")).unwrap();
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(format!("{proc}/mem")).unwrap());
    scene.odoo.release();
    worker.kill().unwrap();
    worker.wait().unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{cores}");
    assert_eq!(owner, 0, "the memory of an undumpable process belongs to root");
}

/// Attack on P3.
#[test]
fn a_data_directory_that_somebody_else_made_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Process::serve(dir.path(), &[]));
    let mut planted = dir.path().join("pawl-data");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&planted, Some(65534), None).unwrap();
    } else {
        planted = "/root".into();
    }
    let settings = [("PAWL_DATA_DIR", planted.to_str().unwrap()), ("PAWL_LISTEN", "127.0.0.1:0")];
    let (ok, told) = said(pawl(dir.path(), &settings).arg("serve"));
    assert!(!ok && told.contains("it belongs to another user"), "{told}");
}

/// Production on SQLite in `dir`, with the key in `dir/keys`.
fn production<'a>(database: &'a str, key: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("PAWL_MODE", "production"),
        ("PAWL_DATABASE_URL", database),
        ("PAWL_KEY_SOURCE", key),
        ("PAWL_KEY_FILE_APART", "yes"),
        ("PAWL_TLS", "terminated-on-this-host"),
        ("PAWL_OWN_ISSUER", "on"),
        ("PAWL_LISTEN", "127.0.0.1:0"),
    ]
}

fn token(dir: &Path, settings: &[(&str, &str)], role: &str) -> String {
    let args = ["token", "issue", "--org", "acme", "--user", "ada", "--role", role];
    let (ok, told) = said(pawl(dir, settings).args(args));
    assert!(ok, "{told}");
    told.trim().to_owned()
}

/// Attack on P3.
#[test]
fn a_database_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["keys", "rows"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    let settings = production("sqlite:rows/pawl.db", "file:keys/master.json");
    let (ok, told) = said(pawl(dir.path(), &settings).arg("init"));
    assert!(ok, "{told}");
    let process = Process::serve(dir.path(), &settings);
    token(dir.path(), &settings, "owner");
    for (file, _) in everything_under(&dir.path().join("rows")) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", file.display());
    }
    drop(process);
    // as a restore under the usual umask leaves it
    let file = dir.path().join("rows/pawl.db");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let (ok, told) = said(pawl(dir.path(), &settings).arg("serve"));
    assert!(!ok && told.contains("can be read by others (mode 644): chmod 600 it"), "{told}");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    drop(Process::serve(dir.path(), &settings));
}

/// Attack on P9.
#[test]
fn a_stolen_database_with_its_log_opens_for_nobody_without_its_key() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("keys")).unwrap();
    let settings = production("sqlite:pawl-data/pawl.db", "file:keys/master.json");
    assert!(said(pawl(dir.path(), &settings).arg("init")).0);
    let process = Process::serve(dir.path(), &settings);
    let secret = "planted-STOLEN-4uY7";
    let backend = token(dir.path(), &settings, "backend");
    let id =
        call(&process.url, "POST", "/v1/connections", &backend, Some(&deposit("bot", secret))).text("id");
    let lend = |url: &str, worker: &str| {
        let path = format!("/v1/connections/{id}/leases");
        call(url, "POST", &path, worker, Some(&json!({"purpose": "other"})))
    };
    let worker = token(dir.path(), &settings, "worker");
    assert_eq!(lend(&process.url, &worker).json["credential"]["secret"], secret);

    // carried away while it serves, write-ahead log and all
    let thief = tempfile::tempdir().unwrap();
    for name in ["pawl-data", "keys"] {
        std::fs::DirBuilder::new().create(thief.path().join(name)).unwrap();
        std::fs::set_permissions(thief.path().join(name), PermissionsExt::from_mode(0o700)).unwrap();
    }
    let stolen = everything_under(&dir.path().join("pawl-data"));
    assert!(stolen.iter().any(|(file, bytes)| file.ends_with("pawl.db-wal") && !bytes.is_empty()));
    let master: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("keys/master.json")).unwrap()).unwrap();
    let master = master["keys"]["k1"].as_str().unwrap().to_owned();
    for (file, bytes) in &stolen {
        for text in [secret, &master, &backend, &worker] {
            assert!(!holds(bytes, text), "{text} in {}", file.display());
        }
        let copy = thief.path().join("pawl-data").join(file.file_name().unwrap());
        std::fs::write(&copy, bytes).unwrap();
        std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let start = |args: &[&str]| said(pawl(thief.path(), &settings).args(args));
    for args in [&["serve"][..], &["init"]] {
        let (ok, told) = start(args);
        assert!(!ok && told.contains("none is made in its place"), "{told}");
    }

    // with a key of their own
    let other = tempfile::tempdir().unwrap();
    std::fs::create_dir(other.path().join("keys")).unwrap();
    assert!(said(pawl(other.path(), &settings).arg("init")).0);
    let key = thief.path().join("keys/master.json");
    std::fs::copy(other.path().join("keys/master.json"), &key).unwrap();
    let (ok, told) = start(&["serve"]);
    assert!(!ok && told.contains("wrong key"), "{told}");

    // which they write into the table of keys, and then make an issuer of their own
    let own =
        Sql::sqlite(&other.path().join("pawl-data/pawl.db")).texts("fingerprint", "FROM keys").remove(0);
    let mut sql = Sql::sqlite(&thief.path().join("pawl-data/pawl.db"));
    sql.run(&format!("UPDATE keys SET fingerprint = '{own}'"));
    let (ok, told) = start(&["serve"]);
    assert!(!ok && told.contains("does not open its canary"), "{told}");
    sql.run("UPDATE keys SET canary = NULL");
    let (ok, told) = start(&["serve"]);
    assert!(!ok && told.contains("the issuer's key in the database does not open"), "{told}");
    sql.run("DELETE FROM issuer_keys");
    drop(sql);
    let (ok, told) = start(&["init"]);
    assert!(ok, "{told}");
    let asked = || {
        let theirs = Process::serve(thief.path(), &settings);
        let refused = lend(&theirs.url, &token(thief.path(), &settings, "worker"));
        assert!(!refused.body.contains(secret));
        refused.problem()
    };
    // of a log whose own key does not open nothing is believed, until somebody answers for it
    assert_eq!(asked(), "frozen");
    let (ok, told) = start(&["doctor", "--accept-restore"]);
    assert!(ok, "{told}");
    assert_eq!(asked(), "does-not-open");
}

/// Attack on P1 and P10.
#[test]
fn the_path_of_a_sink_is_a_path_and_nothing_else() {
    let scene = Scene::new(Company::small(3), PASSWORD);
    for name in [":memory:", "file:books.db?mode=memory", "it's \"mine\"; --.db", "\u{202e}skoob.db"] {
        let output = scene.run(name);
        assert_eq!(code(&output), 0, "{name}: {}", errors(&output));
        assert!(number(&scene.sink(name), "SELECT count(*) FROM account_move") > 0, "{name}");
    }
    for (file, bytes) in everything_under(scene.dir.path()) {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
        assert!(!holds(&bytes, PASSWORD), "{}", file.display());
    }
    // a link in the place of the lock leads to somebody's file, which stays as it is
    let victim = scene.sink("victim");
    std::fs::write(&victim, "kept").unwrap();
    std::os::unix::fs::symlink(&victim, scene.sink("linked.db.lock")).unwrap();
    assert_eq!(code(&scene.run("linked.db")), 0);
    assert_eq!(std::fs::read(&victim).unwrap(), b"kept");
    // what is no file, and what is no place
    for name in [".", "absent/books.db", "victim", ""] {
        let output = scene.run(name);
        assert!(matches!(code(&output), 1 | 2), "{name}: {}", errors(&output));
    }
    assert_eq!(std::fs::read(&victim).unwrap(), b"kept");
}

/// The same command, in a shell that lets no file of its grow above so many 512 bytes. What it writes
/// there fails, as on a disk that is full, instead of ending it.
fn short_of_room(command: &Command, blocks: &str) -> Command {
    let mut within = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\" \"$@\"");
    within.arg("-c").arg(script).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => within.env(name, value),
            None => within.env_remove(name),
        };
    }
    within.current_dir(command.get_current_dir().unwrap());
    within.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    within
}

/// Attack on P4 and P10.
#[test]
fn a_full_disk_takes_nothing_that_was_acknowledged_and_lends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut serve = pawl(dir.path(), &[("PAWL_LISTEN", "127.0.0.1:0")]);
    let mut child = short_of_room(serve.arg("serve"), "unlimited").spawn().unwrap();
    let mut greeting = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut greeting).unwrap();
    let url = greeting.split_whitespace().last().unwrap().to_owned();
    let (backend, worker) = (token(dir.path(), &[], "backend"), token(dir.path(), &[], "worker"));
    let keep = |n: usize| {
        let body = deposit(&format!("bot{n}"), &format!("secret {n}"));
        call(&url, "POST", "/v1/connections", &backend, Some(&body))
    };
    let lend = |url: &str, id: &str| {
        let path = format!("/v1/connections/{id}/leases");
        call(url, "POST", &path, &worker, Some(&json!({"purpose": "other"})))
    };
    let mut kept: Vec<(usize, String)> = (0..5).map(|n| (n, keep(n).text("id"))).collect();
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    let room = |bytes: Option<u64>| {
        let limit = Rlimit { current: bytes, maximum: None };
        rustix::process::prlimit(Some(pid), Resource::Fsize, limit).unwrap();
    };
    room(Some(4096));
    for n in 5..10 {
        assert_eq!(keep(n).problem(), "unavailable");
        let refused = lend(&url, &kept[0].1);
        assert_eq!(refused.problem(), "unavailable");
        assert!(!refused.body.contains("secret 0"));
        let path = format!("/v1/connections/{}", kept[1].1);
        assert_eq!(call(&url, "DELETE", &path, &backend, None).problem(), "unavailable");
    }
    room(None);
    kept.extend((10..15).map(|n| (n, keep(n).text("id"))));
    room(Some(4096));
    assert_eq!(keep(15).problem(), "unavailable");
    child.kill().unwrap();
    child.wait().unwrap();

    let again = Process::serve(dir.path(), &[]);
    let listed = call(&again.url, "GET", "/v1/connections?limit=200", &backend, None);
    let listed = listed.json["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap());
    let ids = kept.iter().map(|(_, id)| id.as_str());
    assert_eq!(listed.collect::<BTreeSet<_>>(), ids.collect::<BTreeSet<_>>());
    for (n, id) in &kept {
        assert_eq!(lend(&again.url, id).json["credential"]["secret"], format!("secret {n}"));
    }
}

/// Attack on P10.
#[test]
fn a_disk_that_is_full_for_the_sink_ends_the_run_and_the_next_ends_right() {
    let scene = Scene::new(Company::sized(3, 1_200, 20), PASSWORD);
    for blocks in ["8", "200", "900"] {
        let output = short_of_room(&scene.command("books.db", &[]), blocks).output().unwrap();
        assert!(!output.status.success(), "{blocks} blocks were enough");
        assert!(output.status.code().is_some(), "it was ended by a signal");
    }
    assert_eq!(code(&scene.run("books.db")), 0);
    scene.assert_same("books.db");
    assert_eq!(scene.open_leases(), 0);
}
