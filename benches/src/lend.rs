//! How fast secrets are lent: to one caller that waits for each, to 16 and to 64 at once, of one org and of as many
//! orgs, on both databases. Every lend is a durable audit record before its answer, and the disk's own flush stands
//! beside it, measured in the same rounds.

use std::time::Duration;

use crate::disk::Disk;
use crate::load::Target;
use crate::postgres::Cluster;
use crate::vault::{Vault, programs};
use crate::{cpu, table};

const CALLERS: [usize; 3] = [1, 16, 64];
/// Whether the callers are of one org or of one each.
const SPREADS: [&str; 2] = ["one", "each"];
const LOADS: usize = CALLERS.len() * SPREADS.len();
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

/// A vault, and what else it makes work.
struct Side {
    name: String,
    vault: Vault,
    /// Of one org, and of many.
    targets: [Target; 2],
    server: Option<u32>,
}

impl Side {
    fn new(database: &str, program: usize, vault: Vault, server: Option<u32>) -> Self {
        let most = CALLERS[CALLERS.len() - 1];
        let targets = [vault.target(most), vault.target_of_orgs(most)];
        let name =
            if program == 0 { database.to_owned() } else { format!("{database}, vault {}", program + 1) };
        Self { name, vault, targets, server }
    }

    fn cpu(&self) -> [f64; 2] {
        [cpu::of(self.vault.pid()), self.server.map(cpu::of_family).unwrap_or_default()]
    }
}

fn database(program: usize) -> String {
    format!("pawl{program}")
}

/// One round: lends/s, p50 and p99 in µs, CPU µs a lend of the vault and of the database's server, and
/// how many of 10,000 asked were told to come again.
type Measured = [f64; 6];

pub fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cluster = Cluster::start();
    let mut sides = Vec::new();
    for (n, pawl) in programs().iter().enumerate() {
        let vault = Vault::start(pawl.clone(), tempfile::tempdir().unwrap(), Vec::new());
        sides.push(Side::new("SQLite", n, vault, None));
        if let Some(cluster) = &cluster {
            let dir = tempfile::tempdir().unwrap();
            let settings = cluster.database(&database(n), pawl, &dir);
            let vault = Vault::start(pawl.clone(), dir, settings);
            sides.push(Side::new("PostgreSQL", n, vault, Some(cluster.pid())));
        }
    }
    let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); sides.len() * LOADS];
    let (disk, mut flushes) = (Disk::new(), Vec::new());
    for round in 0..=ROUNDS {
        for (at, all) in measured.iter_mut().enumerate() {
            let (side, spread, callers) =
                (&sides[at / LOADS], at % LOADS / CALLERS.len(), at % CALLERS.len());
            let one = runtime.block_on(load(side, spread, CALLERS[callers]));
            // the first round warms up
            if round > 0 {
                all.push(one);
                flushes.extend(disk.flushes());
            }
        }
        if let (0, Some(cluster)) = (round, &cluster) {
            (0..programs().len()).for_each(|n| cluster.analyze(&database(n)));
        }
    }
    let rows: Vec<Vec<String>> = measured
        .iter()
        .enumerate()
        .map(|(at, all)| {
            let median = |column: usize| table::median(all.iter().map(|one| one[column]).collect());
            let (side, spread, callers) =
                (&sides[at / LOADS], at % LOADS / CALLERS.len(), at % CALLERS.len());
            let first = table::median(measured[at % LOADS].iter().map(|one| one[0]).collect());
            let mut row = vec![side.name.clone(), SPREADS[spread].to_owned(), CALLERS[callers].to_string()];
            row.extend([0, 1, 2, 3, 4, 5].map(median).map(|it| format!("{it:.0}")));
            row.push(format!("{:.2}", median(0) / first));
            row
        })
        .collect();
    let per_second = flushes.len() as f64 / (flushes.iter().sum::<f64>() / 1e6);
    let flush = table::median(flushes);
    println!(
        "the disk itself: {per_second:.0} fdatasyncs/s of 4 KiB, one after the other; p50 {flush:.0} µs"
    );
    println!("medians of {ROUNDS} rounds of {} s; times in µs\n", ROUND.as_secs());
    let head = [
        "database",
        "orgs",
        "callers",
        "lends/s",
        "p50",
        "p99",
        "CPU a lend",
        "its server's",
        "503 of 10,000",
        "lends/s by SQLite's",
    ];
    table::print(&head, &rows);
}

async fn load(side: &Side, spread: usize, callers: usize) -> Measured {
    let before = side.cpu();
    let round = side.targets[spread].load(callers, ROUND).await;
    let after = side.cpu();
    let (lends, refused) = (round.lends(), f64::from(round.refused));
    let cpu = [0, 1].map(|of| (after[of] - before[of]) / lends);
    let refused = refused * 1e4 / (lends + refused);
    [lends / round.seconds, round.within(0.5), round.within(0.99), cpu[0], cpu[1], refused]
}
