//! Several lanes on PostgreSQL against one: the same vault, put together with as many threads that lend, each org's
//! lends by one of 64 callers. They take turns, and the first is the measure.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pawl::app::{App, Signals};
use pawl::clock::Clock;
use pawl::config::Config;

use crate::load::Target;
use crate::postgres::Cluster;
use crate::vault::{Vault, program};
use crate::{cpu, table};

/// What this program is told to be the vault itself, with so many lanes.
pub const VERB: &str = "serve-lanes";

const CALLERS: usize = 64;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(2);

struct Side {
    lanes: usize,
    vault: Vault,
    target: Target,
    /// Lends/s, p50 and p99 in µs, CPU µs a lend of the vault and of the server, 503 of 10,000.
    measured: Vec<[f64; 6]>,
}

/// `BENCH_LANES`, numbers with a colon between them, or 1 and 2.
pub fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Some(cluster) = Cluster::start() else { return };
    let lanes = std::env::var("BENCH_LANES").unwrap_or_else(|_| "1:2".into());
    let scripts = tempfile::tempdir().unwrap();
    let mut sides: Vec<Side> = Vec::new();
    for (at, lanes) in lanes.split(':').map(|lanes| lanes.parse().unwrap()).enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let script = script(scripts.path(), lanes);
        let settings = cluster.database(&format!("pawl{at}"), &script, &dir);
        let vault = Vault::start(script, dir, settings);
        let target = vault.target_of_orgs(CALLERS);
        sides.push(Side { lanes, vault, target, measured: Vec::new() });
    }
    for round in 0..=ROUNDS {
        for side in &mut sides {
            let before = [cpu::of(side.vault.pid()), cpu::of_family(cluster.pid())];
            let one = runtime.block_on(side.target.load(CALLERS, ROUND));
            let after = [cpu::of(side.vault.pid()), cpu::of_family(cluster.pid())];
            let (lends, refused) = (one.lends(), f64::from(one.refused));
            let [vault, server] = [0, 1].map(|of| (after[of] - before[of]) / lends);
            let refused = refused * 1e4 / (lends + refused);
            let measured = [lends / one.seconds, one.within(0.5), one.within(0.99), vault, server, refused];
            // the first round warms up
            if round > 0 {
                side.measured.push(measured);
            }
        }
        if round == 0 {
            (0..sides.len()).for_each(|at| cluster.analyze(&format!("pawl{at}")));
        }
    }
    println!(
        "medians of {ROUNDS} rounds of {} s by turns, {CALLERS} callers of an org each; times in µs\n",
        ROUND.as_secs()
    );
    let rows: Vec<Vec<String>> = sides
        .iter()
        .map(|side| {
            let median = |of: usize| table::median(side.measured.iter().map(|one| one[of]).collect());
            // Round by round, so that what the machine does meanwhile is in both.
            let by = |of: usize| {
                let pairs = side.measured.iter().zip(&sides[0].measured);
                format!("{:.2}", table::median(pairs.map(|(one, first)| one[of] / first[of]).collect()))
            };
            let mut row = vec![side.lanes.to_string()];
            row.extend([0, 1, 2, 3, 4, 5].map(median).map(|it| format!("{it:.0}")));
            row.extend([by(0), by(1)]);
            row
        })
        .collect();
    let head = [
        "lanes",
        "lends/s",
        "p50",
        "p99",
        "CPU a lend",
        "its server's",
        "503 of 10,000",
        "lends/s by the first's",
        "p50 by",
    ];
    table::print(&head, &rows);
}

/// `pawl` itself, but that it serves with so many lanes.
fn script(dir: &Path, lanes: usize) -> PathBuf {
    let (this, pawl) = (std::env::current_exe().unwrap(), program("pawl"));
    let path = dir.join(format!("pawl-{lanes}"));
    let text = format!(
        "#!/bin/sh\nif [ \"$*\" = serve ]; then exec '{}' {VERB} {lanes}; fi\nexec '{}' \"$@\"\n",
        this.display(),
        pawl.display()
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// The vault: says its address and goes on until it is ended.
pub fn serve() {
    let mut config = Config::load().unwrap();
    config.lanes = std::env::args().nth(2).unwrap().parse().unwrap();
    let app = App::open(config, Clock::system()).unwrap();
    actix_web::rt::System::new().block_on(async {
        let serving = app.serve(Signals::Heed).unwrap();
        println!("pawl listens on {}", serving.url());
        serving.run().await.unwrap();
    });
}
