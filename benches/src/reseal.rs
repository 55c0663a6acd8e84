//! How fast `pawl keys reseal` puts 100,000 credentials under the next key, and what that does to lends
//! meanwhile, on both databases. The rows come by `pawl import`, which is timed too.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::{Round, Target};
use crate::postgres::Cluster;
use crate::table;
use crate::vault::{SECRET, Vault, command, program};

const ROWS: u32 = 100_000;
const ROUNDS: usize = 3;
const CALLERS: usize = 8;
/// For so long lends are measured with nothing beside them, and while a reseal runs.
const ALONE: Duration = Duration::from_secs(3);

/// Rows/s of a reseal with nothing beside it; of one beside lends; p99 of lends in µs, alone and meanwhile.
type Measured = [f64; 4];

pub fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cluster = Cluster::start();
    let mut sides = vec![Side::new("SQLite", tempfile::tempdir().unwrap(), Vec::new())];
    if let Some(cluster) = &cluster {
        let dir = tempfile::tempdir().unwrap();
        let settings = cluster.database("pawl", &program("pawl"), &dir);
        sides.push(Side::new("PostgreSQL", dir, settings));
        cluster.analyze("pawl");
    }
    let mut rows = Vec::new();
    for side in &mut sides {
        let all: Vec<Measured> = (0..ROUNDS).map(|_| runtime.block_on(side.round())).collect();
        let median = |of: usize| table::median(all.iter().map(|one| one[of]).collect());
        let mut row = vec![side.name.to_owned(), format!("{:.0}", side.imported)];
        row.extend([0, 1, 2, 3].map(|of| format!("{:.0}", median(of))));
        row.push(format!("{:.2}", median(3) / median(2)));
        rows.push(row);
    }
    println!("{ROWS} rows, medians of {ROUNDS} rounds, {CALLERS} callers; times in µs\n");
    let head = [
        "database",
        "imported a second",
        "resealed a second",
        "beside lends",
        "p99 alone",
        "meanwhile",
        "by",
    ];
    table::print(&head, &rows);
}

struct Side {
    name: &'static str,
    vault: Vault,
    settings: Vec<(String, String)>,
    target: Target,
    imported: f64,
}

impl Side {
    fn new(name: &'static str, dir: tempfile::TempDir, settings: Vec<(String, String)>) -> Self {
        let vault = Vault::start(program("pawl"), dir, settings.clone());
        let imported = import(vault.dir(), &settings);
        let target = vault.target(CALLERS);
        Self { name, vault, settings, target, imported }
    }

    async fn round(&mut self) -> Measured {
        self.keys(&["rotate"]);
        let alone = self.reseal().wait();
        let before = self.target.load(CALLERS, ALONE).await;
        self.keys(&["rotate"]);
        // Lends go on for as long as the reseal does.
        let mut reseal = self.reseal();
        let mut meanwhile = Vec::new();
        while !reseal.has_ended() {
            meanwhile.extend(self.target.load(CALLERS, Duration::from_millis(250)).await.took);
        }
        let beside = reseal.wait();
        meanwhile.sort_by(f64::total_cmp);
        let meanwhile = Round { took: meanwhile, ..Round::default() };
        [alone, beside, before.within(0.99), meanwhile.within(0.99)]
    }

    fn keys(&self, args: &[&str]) {
        crate::vault::said(
            command(&program("pawl"), self.vault.dir(), &self.settings).arg("keys").args(args),
        );
    }

    fn reseal(&self) -> Reseal {
        let mut reseal = command(&program("pawl"), self.vault.dir(), &self.settings);
        reseal.args(["keys", "reseal"]).stdout(Stdio::piped());
        Reseal(reseal.spawn().unwrap())
    }
}

struct Reseal(std::process::Child);

impl Reseal {
    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Rows a second, by the program's own word.
    fn wait(self) -> f64 {
        let output = self.0.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}");
        let speed = said.split(" s, ").nth(1).and_then(|rest| rest.split(' ').next());
        speed.and_then(|speed| speed.parse().ok()).unwrap_or_else(|| panic!("{said}"))
    }
}

/// Rows a second.
fn import(dir: &Path, settings: &[(String, String)]) -> f64 {
    let (key, csv) = (fernet::Fernet::generate_key(), dir.join("rows.csv"));
    let source = fernet::Fernet::new(&key).unwrap();
    let mut file = std::io::BufWriter::new(std::fs::File::create(&csv).unwrap());
    writeln!(file, "id,user_id,url,database,username,encrypted_password").unwrap();
    for n in 0..ROWS {
        let token = source.encrypt(SECRET.as_bytes());
        writeln!(file, "{n},user{},https://acme.odoo.com,acme,bot-{n},{token}", n % 1000).unwrap();
    }
    file.into_inner().unwrap();
    let keys = dir.join("source.key");
    std::fs::write(&keys, key).unwrap();
    std::fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let begun = Instant::now();
    let mut import: Command = command(&program("pawl"), dir, settings);
    import.args(["import", "--org", "acme", "--source", "bench", "--from"]);
    import.arg(format!("csv:{}", csv.display())).arg("--source-key-file").arg(&keys);
    crate::vault::said(&mut import);
    f64::from(ROWS) / begun.elapsed().as_secs_f64()
}
