//! A database that takes nothing: no room, read-only, gone, or standing still. Nothing is lent off the record, a change
//! is done once by its repeat, and the vault goes on by itself when the cause is gone.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use pawl::audit::{GENESIS, link};
use pawl::ids::OrgId;
use serde_json::{Value, json};

use crate::database::{Sql, on_postgres};
use crate::harness::{Answer, Home, Vault, deposit, is_within, pawl, raw, until};

const SECRET: &str = "planted-FAIL-CLOSED";

/// Who calls, by tokens that were minted while that could be put on record.
struct Calls {
    url: String,
    backend: String,
    worker: String,
    id: String,
}

impl Calls {
    fn send(&self, token: &str, path: &str, more: &str, body: &Value) -> Answer {
        let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n{more}");
        raw(&self.url, "POST", path, &headers, body.to_string().as_bytes())
    }

    fn lend(&self) -> Answer {
        let path = format!("/v1/connections/{}/leases", self.id);
        self.send(&self.worker, &path, "", &json!({"purpose": "other"}))
    }

    fn change(&self, name: &str) -> Answer {
        let more = format!("Idempotency-Key: key-{name}\r\n");
        self.send(&self.backend, "/v1/connections", &more, &deposit(name, SECRET))
    }
}

/// Breaks it, asks, mends it, and looks at what is left.
fn holds_through<'a>(
    calls: &Calls,
    name: &str,
    mut sql: impl FnMut() -> Sql,
    broken: impl FnOnce() -> Box<dyn FnOnce() + 'a>,
) {
    let open = "FROM leases WHERE ended_at IS NULL";
    let before: i64 = sql().texts("count(*)", open)[0].parse().unwrap();
    let mend = broken();
    for _ in 0..5 {
        let begun = Instant::now();
        let answer = calls.lend();
        is_within(Duration::from_millis(250 + 50), begun.elapsed(), &format!("{name}: a 503"));
        assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"), "{name}");
        assert!(!answer.body.contains(SECRET), "{name}");
    }
    let begun = Instant::now();
    let answer = calls.change(name);
    // As soon as a loan would be refused: it was seen that nothing is taken.
    is_within(Duration::from_millis(250 + 50), begun.elapsed(), &format!("{name}: a change's 503"));
    assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"), "{name}");
    assert!(!answer.body.contains(SECRET), "{name}");
    mend();
    let mut got = 0;
    until(&format!("a lend after {name}"), || {
        got += i64::from(calls.lend().status == 201);
        got > 0
    });
    let mut first = None;
    until(&format!("the change after {name}"), || {
        let answer = calls.change(name);
        first = (answer.status == 201).then(|| answer.text("id"));
        first.is_some()
    });
    assert_eq!(Some(calls.change(name).text("id")), first, "{name}");
    let mut sql = sql();
    let kept = sql.texts("count(*)", &format!("FROM connections WHERE username = '{name}'"));
    assert_eq!(kept, ["1"], "{name}");
    let after: i64 = sql.texts("count(*)", open)[0].parse().unwrap();
    assert_eq!(after - before, got, "{name}: a lease that nobody got");
    assert_whole(&mut sql);
}

/// Every chain from its first event to its last: no gap, and each link right.
pub fn assert_whole(sql: &mut Sql) {
    let hex = |column: &str| match sql_is_postgres(sql) {
        true => format!("encode({column}, 'hex')"),
        false => format!("lower(hex({column}))"),
    };
    let (prev, hash) = (hex("prev_hash"), hex("hash"));
    let orgs = sql.texts("org_id", "FROM (SELECT DISTINCT org_id FROM audit_events) AS orgs");
    for org in orgs {
        let of = format!("FROM audit_events WHERE org_id = '{org}' ORDER BY seq");
        let columns = ["seq", "event", &prev, &hash].map(|column| sql.texts(column, &of));
        let known = OrgId::parse(&org).ok();
        let mut previous = GENESIS;
        let [numbers, events, prevs, hashes] = columns;
        let rows = numbers.iter().zip(events).zip(prevs.iter().zip(hashes));
        for (seq, ((number, event), (prev, hash))) in (1..).zip(rows) {
            assert_eq!(*number, seq.to_string(), "a gap in {org:?}");
            assert_eq!(*prev, previous.to_string(), "{org:?} {seq}");
            previous = link(known.as_ref(), seq, &previous, event.as_bytes());
            assert_eq!(hash, previous.to_string(), "{org:?} {seq}");
        }
    }
}

fn sql_is_postgres(sql: &Sql) -> bool {
    match sql {
        Sql::Sqlite(_) => false,
        #[cfg(feature = "postgres")]
        Sql::Postgres(_) => true,
    }
}

fn calls(vault: &Vault) -> Calls {
    let (backend, worker) = (vault.token("acme", "ada", "backend"), vault.token("acme", "ada", "worker"));
    Calls { url: vault.url.clone(), id: vault.deposit(SECRET), backend, worker }
}

/// Whoever writes holds all of it up, as a disk does that stands still.
/// Attack on P4.
#[test]
fn a_database_that_stands_still_lends_nothing_and_goes_on_afterwards() {
    let vault = Vault::start();
    let calls = calls(&vault);
    holds_through(
        &calls,
        "still",
        || vault.home.sql(),
        || {
            let mut writer = vault.home.sql();
            writer.run(match on_postgres() {
                false => "BEGIN IMMEDIATE",
                true => "BEGIN; LOCK TABLE audit_events, leases, connections",
            });
            Box::new(move || writer.run("ROLLBACK"))
        },
    );
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A vault started under `under`, of which no file can be made to grow above so many bytes.
fn within_limits(home: &Home, under: &[&str]) -> (Ended, Calls, impl Fn(Option<u64>) + Clone) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let serve = pawl(home.path(), &[("PAWL_LISTEN", "127.0.0.1:0")]);
    let mut within = std::process::Command::new("sh");
    within.args(["-c", "trap '' XFSZ; exec \"$@\" serve", "sh"]).args(under).arg(serve.get_program());
    within.current_dir(home.path()).env("PAWL_LISTEN", "127.0.0.1:0");
    let mut child =
        Ended(within.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut greeting = String::new();
    let mut out = BufReader::new(child.0.stdout.take().unwrap());
    out.read_line(&mut greeting).unwrap();
    let url = greeting.split_whitespace().last().unwrap().to_owned();
    let token = |role: &str| {
        let asked = ["token", "issue", "--org", "acme", "--user", "ada", "--role", role, "--client", "svc"];
        let minted = home.pawl(&[]).args(asked).output().unwrap();
        String::from_utf8(minted.stdout).unwrap().trim().to_owned()
    };
    let calls = Calls { url, backend: token("backend"), worker: token("worker"), id: String::new() };
    let pid = Pid::from_raw(child.0.id() as i32).unwrap();
    let room = move |bytes: Option<u64>| {
        prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    };
    (child, calls, room)
}

/// No file grows above so much, as on a disk that is full: of SQLite's, whose own disk it is.
/// Attack on P4 and P10.
#[test]
fn a_full_disk_lends_nothing_and_a_change_is_done_once_by_its_repeat() {
    let home = Home::on_sqlite();
    let (_child, mut calls, room) = within_limits(&home, &[]);
    calls.id = calls.change("first").text("id");
    holds_through(
        &calls,
        "full",
        || home.sql(),
        || {
            room(Some(4096));
            Box::new(|| room(None))
        },
    );
}

/// Root but for what lets it past a file's mode, which a vault's own user has not.
const PLAIN: &[&str] = &["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all"];

/// The file may not be written any more, nor its directory, and connections that were opened before are gone.
/// Attack on P4.
#[test]
fn a_file_that_is_read_only_lends_nothing_and_is_written_again_afterwards() {
    let home = Home::on_sqlite();
    let (child, mut calls, room) = within_limits(&home, PLAIN);
    calls.id = calls.change("first").text("id");
    let modes = |file: u32, dir: u32| {
        let of = |path: &Path, mode: u32| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for entry in std::fs::read_dir(home.data()).unwrap() {
            of(&entry.unwrap().path(), file);
        }
        of(&home.data(), dir);
    };
    holds_through(
        &calls,
        "read-only",
        || home.sql(),
        || {
            modes(0o400, 0o500);
            // Whoever has it open to write loses it to a disk that is full for a moment.
            room(Some(4096));
            (0..8).for_each(|_| assert_eq!((calls.lend().status, calls.change("lost").status), (503, 503)));
            room(None);
            Box::new(|| modes(0o600, 0o700))
        },
    );
    // All that were opened meanwhile are given up.
    for n in 0..8 {
        assert_eq!(calls.change(&format!("after{n}")).status, 201);
    }
    drop(child);
}

#[cfg(feature = "postgres")]
mod server {
    use std::path::PathBuf;
    use std::process::Command;

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;
    use crate::harness::Process;

    /// A server of one test's own, to be stopped and started.
    struct Server {
        dir: tempfile::TempDir,
        told: Vec<(String, String)>,
    }

    const CLUSTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres/cluster");

    impl Server {
        fn start() -> Self {
            let dir = tempfile::tempdir_in("/dev/shm").unwrap();
            let made = Command::new(CLUSTER).arg("start").arg(dir.path()).output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            let told = String::from_utf8(made.stdout).unwrap();
            let told = told.lines().filter_map(|line| line.split_once('='));
            Self { told: told.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), dir }
        }

        fn told(&self, name: &str) -> &str {
            let (_, value) =
                self.told.iter().find(|(told, _)| told == &format!("TEST_POSTGRES_{name}")).unwrap();
            value
        }

        fn address(&self, role: &str, database: &str) -> String {
            let socket = self.told("SOCKET").replace('/', "%2F");
            format!("postgres://{role}@{socket}:{}/{database}", self.told("PORT"))
        }

        fn sql(&self, database: &str) -> Sql {
            use diesel::Connection;
            Sql::Postgres(diesel::PgConnection::establish(&self.address("tester", database)).unwrap())
        }

        /// The postmaster, and all it started.
        fn processes(&self) -> Vec<Pid> {
            let file = std::fs::read_to_string(self.dir.path().join("data/postmaster.pid")).unwrap();
            let master = file.lines().next().unwrap().to_owned();
            let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
            let pids = std::iter::once(master.as_str()).chain(children.split_whitespace());
            pids.map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()).collect()
        }

        fn signal(pids: &[Pid], signal: Signal) {
            // One that ended meanwhile is no trouble.
            for pid in pids {
                let _ = kill_process(*pid, signal);
            }
        }

        /// As after a power cut.
        fn kill(&self) {
            let pids = self.processes();
            Self::signal(&pids, Signal::KILL);
            until("the end of the server", || {
                pids.iter().all(|pid| rustix::process::test_kill_process(*pid).is_err())
            });
        }

        fn go_on(&self) -> Child {
            let data = self.dir.path().join("data");
            let owner = std::fs::metadata(&data).unwrap();
            use std::os::unix::fs::MetadataExt;
            use std::os::unix::process::CommandExt;
            let mut server = Command::new(postgres());
            server.arg("-D").arg(&data).args(["-p", self.told("PORT")]);
            server.uid(owner.uid()).gid(owner.gid()).stdin(Stdio::null());
            server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = Command::new(CLUSTER).arg("stop").arg(self.dir.path()).status();
        }
    }

    fn postgres() -> PathBuf {
        let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap();
        let mut found: Vec<PathBuf> = versions
            .map(|version| version.unwrap().path().join("bin/postgres"))
            .filter(|bin| bin.exists())
            .collect();
        found.sort();
        found.pop().unwrap()
    }

    /// Attack on P4.
    #[test]
    fn a_server_that_is_read_only_or_stopped_or_killed_lends_nothing_and_is_found_again() {
        let server = Server::start();
        let mut admin = server.sql("postgres");
        admin.run("CREATE ROLE pawl_migrate LOGIN CREATEROLE");
        admin.run("CREATE DATABASE pawl OWNER pawl_migrate");
        server.sql("pawl").run("ALTER SCHEMA public OWNER TO pawl_migrate");
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("keys")).unwrap();
        let settings = [
            ("PAWL_MODE", "production".to_owned()),
            ("PAWL_DATABASE_URL", server.address("pawl_app", "pawl")),
            ("PAWL_KEY_SOURCE", format!("file:{}", dir.path().join("keys/master.json").display())),
            ("PAWL_KEY_FILE_APART", "yes".into()),
            ("PAWL_TLS", "terminated-on-this-host".into()),
            ("PAWL_OWN_ISSUER", "on".into()),
        ];
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let owner = server.address("pawl_migrate", "pawl");
        let made = pawl(dir.path(), &settings)
            .env("PAWL_MIGRATE_DATABASE_URL", &owner)
            .arg("init")
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let process = Process::serve(dir.path(), &settings);
        let token = |role: &str| {
            let asked =
                ["token", "issue", "--org", "acme", "--user", "ada", "--role", role, "--client", "svc"];
            let minted = pawl(dir.path(), &settings).args(asked).output().unwrap();
            String::from_utf8(minted.stdout).unwrap().trim().to_owned()
        };
        let (backend, worker) = (token("backend"), token("worker"));
        let mut calls = Calls { url: process.url.clone(), backend, worker, id: String::new() };
        calls.id = calls.change("first").text("id");

        holds_through(
            &calls,
            "read-only",
            || server.sql("pawl"),
            || {
                let hang_up =
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pawl_app'";
                let mut admin = server.sql("postgres");
                admin.run("ALTER DATABASE pawl SET default_transaction_read_only = on");
                admin.run(hang_up);
                // Whoever is connected stays read-only: the vault hangs up by itself.
                Box::new(move || admin.run("ALTER DATABASE pawl RESET default_transaction_read_only"))
            },
        );
        holds_through(
            &calls,
            "stopped",
            || server.sql("pawl"),
            || {
                let pids = server.processes();
                Server::signal(&pids, Signal::STOP);
                Box::new(move || Server::signal(&pids, Signal::CONT))
            },
        );
        drop(admin);
        let mut again = None;
        holds_through(
            &calls,
            "killed",
            || server.sql("pawl"),
            || {
                server.kill();
                Box::new(|| again = Some(Ended(server.go_on())))
            },
        );
        drop((server, again));
    }
}
