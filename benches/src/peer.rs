//! Pawl beside its peers: the same number of callers, the same machine, turn by turn; then what was promised of
//! Pawl's memory and of its start. Every lend is found on record afterwards.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::aims::{self, Aim};
use crate::disk::Disk;
use crate::fastapi::{self, FastApi};
use crate::hello::Hello;
use crate::kv::Kv;
use crate::postgres::Cluster;
use crate::side::{Server, Side};
use crate::table;
use crate::vault::{Vault, programs};

pub const CALLERS: [usize; 3] = [1, 16, 64];
const MOST: usize = CALLERS[2];
/// Of each number of callers, for each side.
const ROUNDS: usize = 5;
/// Seconds, unless `BENCH_SECONDS` says otherwise.
const ROUND: f64 = 3.0;
/// How much was lent when memory is looked at.
const LENDS: f64 = 100_000.0;
const STARTS: usize = 20;
/// The bounds, in MB and ms.
const MEMORY: f64 = 40.0;
const READY: f64 = 100.0;

/// What one round of one side came to; times in µs.
pub struct Measured {
    /// A second.
    pub lends: f64,
    pub p50: f64,
    pub p99: f64,
    /// A lend, of the side's processes.
    pub cpu: f64,
    /// The same of its database's server.
    pub database: f64,
    /// Answers of 503, of 10,000.
    pub refused: f64,
    /// A second, of the disk, just before.
    pub flushes: f64,
    /// What the middle one of them took.
    pub flush: f64,
}

pub fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Some(cluster) = Cluster::start() else { return };
    let seconds = std::env::var("BENCH_SECONDS").map_or(ROUND, |seconds| seconds.parse().unwrap());
    let (disk, mut sides) = (Disk::new(), sides(&cluster));
    let mut measured: Vec<Vec<Vec<Measured>>> =
        sides.iter().map(|_| CALLERS.map(|_| Vec::new()).into()).collect();
    for round in 0..=ROUNDS {
        for (at, callers) in CALLERS.into_iter().enumerate() {
            for (side, all) in sides.iter_mut().zip(&mut measured) {
                let [flushes, flush] = disk.flush();
                let load = load(side, &runtime, &cluster, callers, Duration::from_secs_f64(seconds));
                // the first round warms up
                if round > 0 {
                    all[at].push(Measured { flushes, flush, ..load });
                }
            }
        }
        if round == 0 {
            sides.iter().filter_map(Side::database).for_each(|database| cluster.analyze(database));
        }
    }
    println!("medians of {ROUNDS} rounds of {seconds} s; times in µs\n");
    print(&sides, &measured);
    println!("\neach round's by the other's of the same round: the median, from–to\n");
    aims::print(&sides, &measured);
    println!();
    sides.iter().for_each(|side| side.check(&cluster));
    println!("\nresident after {LENDS} lends, {MOST} connections open; ready: medians of {STARTS} starts\n");
    let bounds = sides.iter_mut().map(|side| bounds(side, &runtime));
    table::print(&["side", "resident MB", "of 40", "ready after ms", "of 100"], &bounds.collect::<Vec<_>>());
    sizes();
}

/// Whoever can be started here: peers that can't be are named.
fn sides(cluster: &Cluster) -> Vec<Side> {
    let orm = FastApi::start(cluster, fastapi::SQLALCHEMY, MOST).map(Server::FastApi);
    let raw = FastApi::start(cluster, fastapi::ASYNCPG, MOST).map(Server::FastApi);
    let peers = [
        ("FastAPI + SQLAlchemy", Aim::Lends(15.0), orm),
        ("FastAPI on asyncpg", Aim::Lends(8.0), raw),
        ("RustyVault, no audit", Aim::Lends(1.0), Kv::rusty_vault(MOST).map(Server::Kv)),
        ("OpenBao, audit not flushed", Aim::Lends(8.0), Kv::openbao(MOST).map(Server::Kv)),
        ("hello", Aim::Yardstick, Ok(Server::Hello(Hello::start(MOST)))),
    ];
    let mut sides = Vec::new();
    for (name, aim, server) in peers {
        match server {
            Ok(server) => sides.push(Side::peer(name, server, aim)),
            Err(why) => println!("without {name}: {why}"),
        }
    }
    for (at, program) in programs().into_iter().enumerate() {
        let shown = |database| format!("{}, {database}", program.file_name().unwrap().to_string_lossy());
        let (dir, database) = (tempfile::tempdir().unwrap(), format!("pawl{at}"));
        let settings = cluster.database(&database, &program, &dir);
        let vault = Vault::start(program.clone(), dir, settings);
        let server = Server::Postgres(vault, database);
        sides.push(Side::pawl(shown("PostgreSQL"), server, Aim::Cpu(8.0), MOST));
        let vault = Vault::start(program.clone(), tempfile::tempdir().unwrap(), Vec::new());
        sides.push(Side::pawl(shown("SQLite"), Server::Sqlite(vault), Aim::Cpu(6.0), MOST));
    }
    sides
}

fn load(side: &mut Side, runtime: &Runtime, cluster: &Cluster, callers: usize, long: Duration) -> Measured {
    let before = side.cpu(cluster);
    let load = runtime.block_on(side.load(callers, long));
    let after = side.cpu(cluster);
    let (lends, refused) = (load.lends(), f64::from(load.refused));
    let [cpu, database] = [0, 1].map(|of| (after[of] - before[of]) / lends);
    let refused = refused * 1e4 / (lends + refused);
    let (p50, p99) = (load.within(0.5), load.within(0.99));
    Measured { lends: lends / load.seconds, p50, p99, cpu, database, refused, flushes: 0.0, flush: 0.0 }
}

fn print(sides: &[Side], measured: &[Vec<Vec<Measured>>]) {
    let mut rows = Vec::new();
    for (at, callers) in CALLERS.into_iter().enumerate() {
        for (side, all) in sides.iter().zip(measured) {
            let median =
                |of: fn(&Measured) -> f64| format!("{:.0}", table::median(all[at].iter().map(of).collect()));
            let figures = [
                median(|it| it.lends),
                median(|it| it.p50),
                median(|it| it.p99),
                median(|it| it.cpu),
                median(|it| it.database),
                median(|it| it.refused),
                median(|it| it.flushes),
                median(|it| it.flush),
            ];
            rows.push([vec![callers.to_string(), side.name.clone()], figures.to_vec()].concat());
        }
    }
    let head = [
        "callers",
        "side",
        "lends/s",
        "p50",
        "p99",
        "CPU a lend",
        "database's",
        "503 of 10,000",
        "disk's flushes/s",
        "p50",
    ];
    table::print(&head, &rows);
}

/// What a side takes of memory, and of time until it is ready; for a peer, memory alone.
fn bounds(side: &mut Side, runtime: &Runtime) -> Vec<String> {
    let long = Duration::from_secs_f64(ROUND);
    let mut load = runtime.block_on(side.load(MOST, long));
    while side.lends < LENDS && side.vault().is_some() {
        load = runtime.block_on(side.load(MOST, long));
    }
    let memory = side.memory();
    assert_eq!(load.open.len(), MOST);
    let met = |is: bool| if is { "yes" } else { "NO" }.to_owned();
    let mut row = vec![side.name.clone(), format!("{memory:.1}")];
    match side.vault() {
        None => row.extend(["", "", ""].map(str::to_owned)),
        Some(vault) => {
            let ready = table::median((0..STARTS).map(|_| vault.start_again() * 1e3).collect());
            row.extend([met(memory <= MEMORY), format!("{ready:.1}"), met(ready <= READY)]);
        }
    }
    row
}

fn sizes() {
    let size = |path: &Path| std::fs::metadata(path).map(|it| it.len() as f64 / 1e6).ok();
    for path in programs().iter().flat_map(|pawl| [pawl.clone(), pawl.with_file_name("pawl-sync")]) {
        if let Some(size) = size(&path) {
            println!("{}: {size:.1} MB", path.display());
        }
    }
}
