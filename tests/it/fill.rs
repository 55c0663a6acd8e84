//! Who is refused as fast as they can ask, and what that leaves behind: nothing in a victim's trail, next to nothing on
//! the disk, and others who don't notice.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::database::on_postgres;
use crate::harness::{Home, Process, call, deposit};
use crate::kept_open::{Client, Wire};
use crate::pour::{Poured, pour, step_back};
use crate::untold::Volume;

struct Scene {
    process: Process,
    home: Home,
    /// Lends of connections, each with its worker's token.
    good: Vec<(String, String)>,
    /// Claims the victim's org, and is not signed.
    bad: String,
    /// Of an org that does nothing but what it may not.
    noisy: String,
    /// On SQLite; on PostgreSQL the server's disk is its own.
    _volume: Option<Volume>,
}

const MIB: u64 = 1 << 20;
/// So much has room.
const ROOM: u64 = 256;

fn scene() -> Scene {
    let home = Home::new();
    let volume = if on_postgres() { None } else { Volume::mount(&home.data(), ROOM) };
    let settings = [
        ("PAWL_WRITES_PER_SECOND", "100000"),
        ("PAWL_READS_PER_SECOND", "100000"),
        ("PAWL_MAX_OPEN_LEASES_PER_ORG", "1000000"),
        ("PAWL_MAX_OPEN_LEASES_PER_CONNECTION", "1000000"),
        // Denials are to be put on record, as far as ever they are.
        ("PAWL_AUDIT_RESERVE_MIB", "16"),
    ];
    let process = home.serve(&settings);
    if volume.is_none() && !on_postgres() {
        // No volume can be mounted here: then no file of the vault's grows above as much.
        let (pid, most) = (Pid::from_raw(process.child.id() as i32).unwrap(), Some(ROOM * MIB));
        prlimit(Some(pid), Resource::Fsize, Rlimit { current: most, maximum: most }).unwrap();
    }
    let token = |org: &str, role: &str, client: &str| {
        home.mint(&["--org", org, "--user", "ada", "--role", role, "--client", client])
    };
    let backend = token("good", "backend", "svc");
    let good = (0..16).map(|n| {
        let body = deposit(&format!("bot{n}"), "s");
        let id = call(&process.url, "POST", "/v1/connections", &backend, Some(&body)).text("id");
        (format!("POST /v1/connections/{id}/leases"), token("good", "worker", &format!("svc{n}")))
    });
    let good = good.collect();
    let victims = token("victim", "backend", "svc");
    let (said, _) = victims.rsplit_once('.').unwrap();
    let bad = format!("{said}.{}", "A".repeat(86));
    let noisy = token("noisy", "worker", "svc");
    Scene { process, home, good, bad, noisy, _volume: volume }
}

impl Scene {
    fn client(&self, work: impl FnOnce(&mut Client)) {
        let address = self.process.url.strip_prefix("http://").unwrap().to_owned();
        let connect = move || -> Box<dyn Wire> {
            let stream = TcpStream::connect(&address).unwrap();
            stream.set_nodelay(true).unwrap();
            Box::new(stream)
        };
        work(&mut Client::new(&connect));
    }

    /// Bad tokens, as many a second as [`bad_a_second`], and denied calls, one after another.
    fn flood(&self, stop: &AtomicBool, (poured, denied): (&Poured, &AtomicUsize)) {
        std::thread::scope(|scope| {
            scope.spawn(|| pour(&self.process.url, &self.bad, bad_a_second(), stop, poured));
            for request in
                ["POST /v1/connections/conn_01ARZ3NDEKTSV4RRFFQ69G5FAV/leases", "GET /v1/audit/events"]
            {
                scope.spawn(move || {
                    let body = if request.starts_with("POST") { r#"{"purpose": "other"}"# } else { "" };
                    step_back();
                    let mut next = Instant::now();
                    self.client(|client| {
                        while !stop.load(Ordering::Relaxed) {
                            std::thread::sleep(next.saturating_duration_since(Instant::now()));
                            next += between_denied();
                            let status = client.call(request, &self.noisy, "", body).0;
                            // as busy as everybody, at the worst
                            assert!([403, 404, 429, 503].contains(&status), "{status}");
                            denied.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                });
            }
        });
    }

    /// Bytes of the database. SQLite's write-ahead log, which is written from its beginning again at 4 MiB, is taken
    /// over into the file first.
    fn size(&self) -> i64 {
        if on_postgres() {
            return self.home.sql().texts("pg_database_size(current_database())", "")[0].parse().unwrap();
        }
        self.home.sql().run("PRAGMA wal_checkpoint(TRUNCATE)");
        let of = |name: &str| std::fs::metadata(self.home.data().join(name)).map_or(0, |file| file.len());
        i64::try_from(of("pawl.db") + of("pawl.db-wal")).unwrap()
    }

    /// Bytes of SQLite's write-ahead log, at its longest.
    fn log(&self) -> u64 {
        std::fs::metadata(self.home.data().join("pawl.db-wal")).map_or(0, |file| file.len())
    }

    fn events(&self, org: &str) -> i64 {
        let of = format!("FROM audit_events WHERE org_id = '{org}'");
        self.home.sql().texts("count(*)", &of)[0].parse().unwrap()
    }

    /// What each call of sixteen good callers took, who ask again and again; all are answered with success.
    fn round(&self, long: Duration, lends: bool) -> Vec<Duration> {
        self.round_every(Duration::ZERO, long, lends)
    }

    /// The same of callers who ask that often.
    fn round_every(&self, every: Duration, long: Duration, lends: bool) -> Vec<Duration> {
        let (from, until) = (Instant::now(), Instant::now() + long);
        let caller = |n: u32, (request, token): &(String, String)| {
            // One after another, not all at the same moment.
            let (mut took, mut next) = (Vec::new(), from + every * n / 16);
            self.client(|client| {
                while Instant::now() < until {
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                    next += every;
                    let begun = Instant::now();
                    let (request, body) = if lends {
                        (request.as_str(), r#"{"purpose": "other"}"#)
                    } else {
                        ("GET /v1/leases?limit=1", "")
                    };
                    let status = client.call(request, token, "", body).0;
                    // a lend's record may be late on a machine that others use
                    let is_late = lends && status == 503 && !is_judged();
                    assert!(is_late || status == if lends { 201 } else { 200 }, "{status}");
                    took.push(begun.elapsed());
                }
            });
            took
        };
        let mut took: Vec<Duration> = std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..).zip(&self.good).map(|(n, one)| scope.spawn(move || caller(n, one))).collect();
            all.into_iter().flat_map(|one| one.join().unwrap()).collect()
        });
        took.sort();
        took
    }
}

fn is_long() -> bool {
    std::env::var_os("TEST_LONG").is_some()
}

/// As many as a vault is to stand, by its release build: another takes ten times as long for each.
fn is_judged() -> bool {
    is_long() && !cfg!(debug_assertions)
}

/// Good callers who asked without a pause would leave a flood of so many no room.
fn between_calls() -> Duration {
    if is_judged() { Duration::from_millis(50) } else { Duration::ZERO }
}

/// The rest of the machine is for the vault.
fn between_denied() -> Duration {
    if is_judged() { Duration::from_millis(2) } else { Duration::ZERO }
}

fn bad_a_second() -> usize {
    if is_judged() { 10_000 } else { 800 }
}

/// In ms.
fn p99(took: &[Duration]) -> f64 {
    took[(took.len() - 1) * 99 / 100].as_secs_f64() * 1e3
}

/// Attack on P10.
#[test]
fn whoever_is_refused_fills_no_trail_and_no_disk() {
    let scene = scene();
    let long = Duration::from_secs(if is_long() { 60 } else { 3 });
    // what the good callers do first belongs to nobody's flood
    scene.round(Duration::from_millis(200), true);
    let (size, victim, noisy) = (scene.size(), scene.events("victim"), scene.events("noisy"));
    let (stop, poured, denied) = (AtomicBool::new(false), Poured::default(), AtomicUsize::new(0));
    let quiet = scene.round_every(between_calls(), long / 3, false);
    let begun = Instant::now();
    let flooded = std::thread::scope(|threads| {
        threads.spawn(|| scene.flood(&stop, (&poured, &denied)));
        let took = scene.round_every(between_calls(), long, false);
        stop.store(true, Ordering::Relaxed);
        took
    });
    let (Poured { failed, held_back }, denied) = (poured, denied.into_inner());
    let (failed, held_back) = (failed.into_inner(), held_back.into_inner());
    let seconds = begun.elapsed().as_secs_f64();
    let [quiet, flooded] = [quiet, flooded].map(|took| (took.len(), p99(&took)));
    eprintln!("reads of sixteen good callers and their p99 in ms: quiet {quiet:?}, flooded {flooded:?}");
    let offered = (failed + held_back) as f64 / long.as_secs_f64();
    if is_judged() {
        assert!(offered >= 9_500.0, "only {offered} bad tokens a second");
        assert!(flooded.1 <= 2.0 * quiet.1, "p99 went from {} to {} ms", quiet.1, flooded.1);
    }
    let with_log = scene.log();
    let grown = scene.size() - size;
    eprintln!(
        "{offered:.0} bad tokens a second, of which {:.0} were answered, and {:.0} denied calls for {seconds:.0} s: {grown} bytes more, {with_log} of write-ahead log",
        failed as f64 / seconds,
        denied as f64 / seconds
    );
    assert_eq!(scene.events("victim"), victim);
    assert!(grown < 1 << 20, "{grown} bytes more");
    assert!(with_log < 5 << 20, "{with_log} bytes of write-ahead log");
    // sixty in each minute that it touched, and what was counted
    let minutes = (seconds / 60.0) as i64 + 2;
    let told = scene.events("noisy") - noisy;
    assert!(told <= minutes * (60 + 4 + 2), "{told} events");
    if denied > 60 {
        assert!(told >= 60, "{told} events");
    }
    // with the vault's end nothing of it is lost
    scene.process.signal(rustix::process::Signal::TERM);
    let Scene { process, home, _volume, .. } = scene;
    process.rest();
    let counted = |org: &str| -> usize {
        let events = home.sql().texts("event", &format!("FROM audit_events WHERE org_id = '{org}'"));
        let events = events.iter().map(|event| serde_json::from_str::<serde_json::Value>(event).unwrap());
        events.filter_map(|event| event["count"].as_str().map(|count| count.parse::<usize>().unwrap())).sum()
    };
    assert_eq!(counted(""), failed);
    let one_by_one = home.sql().texts("event", "FROM audit_events WHERE org_id = 'noisy'");
    let one_by_one = one_by_one.iter().filter(|event| event.contains("Failure") && !event.contains("count"));
    let told = one_by_one.count() + counted("noisy");
    // what was answered 503 may be on record or not
    assert!(told <= denied && told + denied / 10 + 64 >= denied, "{told} of {denied}");
}

/// Rounds without and with a flood take turns, so that a busy machine is busy for both; medians are compared.
/// Attack on P10.
#[test]
fn whoever_is_refused_does_not_double_what_good_callers_wait() {
    if !is_long() {
        return;
    }
    let scene = scene();
    // Lends, whose records fill the disk the rightful way.
    let long = Duration::from_millis(800);
    let (mut quiet, mut flooded) = (Vec::new(), Vec::new());
    let (poured, denied) = (Poured::default(), AtomicUsize::new(0));
    for _ in 0..7 {
        quiet.push(p99(&scene.round(long, true)));
        let stop = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| scene.flood(&stop, (&poured, &denied)));
            flooded.push(p99(&scene.round(long, true)));
            stop.store(true, Ordering::Relaxed);
        });
    }
    let rates = [poured.failed, poured.held_back, denied];
    let rates = rates.map(|count| count.into_inner() as f64 / 7.0 / long.as_secs_f64());
    eprintln!(
        "p99 in ms, quiet {quiet:.1?}, flooded {flooded:.1?}; {rates:.0?} bad, held back and denied a second"
    );
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let (quiet, flooded) = (median(quiet), median(flooded));
    assert!(flooded <= 2.0 * quiet, "p99 went from {quiet} to {flooded} ms");
}
