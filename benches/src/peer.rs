//! Pawl beside the stack that everybody writes first: 64 callers, the same rows, the same PostgreSQL; then
//! what was promised of Pawl's memory and of its start. Every lend is found on record afterwards.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::fastapi::{self, FastApi};
use crate::load::Target;
use crate::postgres::Cluster;
use crate::vault::{Vault, programs, said};
use crate::{cpu, table};

const CALLERS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(5);
/// How much was lent when memory is looked at.
const LENDS: f64 = 100_000.0;
const STARTS: usize = 20;
/// The bounds, in MB and ms.
const MEMORY: f64 = 40.0;
const READY: f64 = 100.0;

/// Rows of lends that were done, in a vault's database.
const DONE: &str = "SELECT count(*) FROM audit_events
    WHERE event LIKE '%\"action\":\"lease.lend\"%' AND event LIKE '%\"outcome\":\"done\"%'";

enum Server {
    Peer(FastApi),
    Postgres(Vault, String),
    Sqlite(Vault),
}

struct Side {
    name: String,
    server: Server,
    target: Target,
    lends: f64,
    refused: f64,
}

impl Side {
    fn peer(cluster: &Cluster) -> Self {
        let mut peer = FastApi::start(cluster, CALLERS);
        let target = std::mem::take(&mut peer.target);
        Self {
            name: "FastAPI, PostgreSQL".into(),
            server: Server::Peer(peer),
            target,
            lends: 0.0,
            refused: 0.0,
        }
    }

    fn pawl(name: String, vault: Vault, server: impl FnOnce(Vault) -> Server) -> Self {
        let target = vault.target(CALLERS);
        Self { name, server: server(vault), target, lends: 0.0, refused: 0.0 }
    }

    /// µs of its processes, of the database server's, and of this one.
    fn cpu(&self, cluster: &Cluster) -> [f64; 3] {
        let own = match &self.server {
            Server::Peer(peer) => cpu::of_family(peer.pid()),
            Server::Postgres(vault, _) | Server::Sqlite(vault) => cpu::of(vault.pid()),
        };
        [own, cpu::of_family(cluster.pid()), cpu::of(std::process::id())]
    }

    fn memory(&self) -> f64 {
        match &self.server {
            Server::Peer(peer) => cpu::resident_of_family(peer.pid()),
            Server::Postgres(vault, _) | Server::Sqlite(vault) => cpu::resident(vault.pid()),
        }
    }

    /// How many lends are on record.
    fn recorded(&self, cluster: &Cluster) -> f64 {
        let count = match &self.server {
            Server::Peer(_) => cluster.run(fastapi::DATABASE, "SELECT count(*) FROM audit_events"),
            Server::Postgres(_, database) => cluster.run(database, DONE),
            Server::Sqlite(vault) => {
                let file = vault.dir().join("pawl-data/pawl.db");
                let ask = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone())";
                said(Command::new("python3").args(["-c", ask]).arg(file).arg(DONE))
            }
        };
        count.parse().unwrap()
    }

    /// Every answer is a row; a 503 may be one as well.
    fn check(&self, cluster: &Cluster) {
        let recorded = self.recorded(cluster);
        let right = self.lends..=self.lends + self.refused;
        assert!(right.contains(&recorded), "{}: {} lends, {recorded} on record", self.name, self.lends);
        println!(
            "{}: {} lends, {} answers of 503, {recorded} on record",
            self.name, self.lends, self.refused
        );
    }
}

/// lends/s, p50, p99, CPU µs a lend of server, database and load, and 503 of 10,000.
type Measured = [f64; 7];

pub fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Some(cluster) = Cluster::start() else { return };
    let mut sides = vec![Side::peer(&cluster)];
    for (at, program) in programs().into_iter().enumerate() {
        let shown = |database| format!("{}, {database}", program.file_name().unwrap().to_string_lossy());
        let (dir, database) = (tempfile::tempdir().unwrap(), format!("pawl{at}"));
        let settings = cluster.database(&database, &program, &dir);
        let vault = Vault::start(program.clone(), dir, settings);
        sides.push(Side::pawl(shown("PostgreSQL"), vault, |vault| Server::Postgres(vault, database)));
        let vault = Vault::start(program.clone(), tempfile::tempdir().unwrap(), Vec::new());
        sides.push(Side::pawl(shown("SQLite"), vault, Server::Sqlite));
    }
    let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); sides.len()];
    for round in 0..=ROUNDS {
        for (side, all) in sides.iter_mut().zip(&mut measured) {
            let before = side.cpu(&cluster);
            let load = runtime.block_on(side.target.load(CALLERS, ROUND));
            let after = side.cpu(&cluster);
            let (lends, refused) = (load.lends(), f64::from(load.refused));
            side.lends += lends;
            side.refused += refused;
            let cpu = [0, 1, 2].map(|of| (after[of] - before[of]) / lends);
            let refused = refused * 1e4 / (lends + refused);
            let (p50, p99) = (load.within(0.5), load.within(0.99));
            // the first round warms up
            if round > 0 {
                all.push([lends / load.seconds, p50, p99, cpu[0], cpu[1], cpu[2], refused]);
            }
        }
        if round == 0 {
            sides.iter().for_each(|side| match &side.server {
                Server::Peer(_) => cluster.analyze(fastapi::DATABASE),
                Server::Postgres(_, database) => cluster.analyze(database),
                Server::Sqlite(_) => {}
            });
        }
    }
    println!("{CALLERS} callers; medians of {ROUNDS} rounds of {} s; times in µs\n", ROUND.as_secs());
    print(&sides, &measured);
    println!();
    sides.iter().for_each(|side| side.check(&cluster));
    println!(
        "\nresident after {LENDS} lends, {CALLERS} connections open; ready: medians of {STARTS} starts\n"
    );
    let rows: Vec<Vec<String>> = sides.iter_mut().map(|side| bounds(side, &runtime)).collect();
    table::print(&["side", "resident MB", "of 40", "ready after ms", "of 100"], &rows);
    sizes();
}

fn print(sides: &[Side], measured: &[Vec<Measured>]) {
    let row = |(side, all): (&Side, &Vec<Measured>)| {
        let median = |column: usize| table::median(all.iter().map(|one| one[column]).collect());
        let mut ratios: Vec<f64> = all.iter().zip(&measured[0]).map(|(one, peer)| one[0] / peer[0]).collect();
        ratios.sort_by(f64::total_cmp);
        let mut row = vec![side.name.clone()];
        row.extend([0, 1, 2, 3, 4, 5, 6].map(median).map(|it| format!("{it:.0}")));
        row.push(format!("{:.1}", table::median(ratios.clone())));
        row.push(format!("{:.1}–{:.1}", ratios[0], ratios[ratios.len() - 1]));
        row
    };
    let rows: Vec<Vec<String>> = sides.iter().zip(measured).map(row).collect();
    let head = [
        "side",
        "lends/s",
        "p50",
        "p99",
        "CPU a lend",
        "database's",
        "load's",
        "503 of 10,000",
        "ratio",
        "from–to",
    ];
    table::print(&head, &rows);
}

/// What a side takes of memory, and of time until it is ready; for the peer, memory alone.
fn bounds(side: &mut Side, runtime: &tokio::runtime::Runtime) -> Vec<String> {
    let is_peer = matches!(side.server, Server::Peer(_));
    let mut load = runtime.block_on(side.target.load(CALLERS, ROUND));
    side.lends += load.lends();
    while side.lends < LENDS && !is_peer {
        load = runtime.block_on(side.target.load(CALLERS, ROUND));
        side.lends += load.lends();
    }
    let memory = side.memory();
    assert_eq!(load.open.len(), CALLERS);
    let met = |is: bool| if is { "yes" } else { "NO" }.to_owned();
    let mut row = vec![side.name.clone(), format!("{memory:.1}"), met(memory <= MEMORY)];
    match &mut side.server {
        Server::Peer(_) => row.extend([String::new(), String::new()]),
        Server::Postgres(vault, _) | Server::Sqlite(vault) => {
            let ready = table::median((0..STARTS).map(|_| vault.start_again() * 1e3).collect());
            row.extend([format!("{ready:.1}"), met(ready <= READY)]);
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
