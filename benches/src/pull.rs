//! Everything that an invoice needs, pulled from one server: by `pawl-sync` into SQLite; by Python's
//! `xmlrpc.client`, the same pages of the same fields, for nothing; and by it into the same rows.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use pawl::odoo::{Kind, Readable};
use serde_json::{Value, json};

use crate::vault::{Vault, command, program, said};
use crate::{cpu, table};

const INVOICES: &str = "20000";
const ROUNDS: usize = 3;
const PAGE: u32 = 1_000;

/// What the worker's plan has, but for the fields, which are all that may be read. The rows are
/// compared afterwards: were this not the plan, they would differ.
const MODELS: &[(&str, Option<&str>, bool)] = &[
    ("account.move", Some("move_type"), false),
    ("account.move.line", Some("move_id.move_type"), false),
    ("res.partner", None, true),
    ("product.product", None, true),
    ("res.currency", None, true),
    ("account.tax", None, true),
];

/// The stand-in as a process; ended with this value.
pub struct Odoo {
    pub url: String,
    child: Child,
    _stdout: BufReader<ChildStdout>,
}

impl Odoo {
    pub fn start() -> Self {
        let mut child = Command::new(program("pawl-demo"))
            .args(["--only-odoo", "--invoices", INVOICES])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut url = String::new();
        stdout.read_line(&mut url).unwrap();
        Self { url: url.trim_end().to_owned(), child, _stdout: stdout }
    }
}

impl Drop for Odoo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How the stand-in's bot logs in; what it says on standard error.
pub const BOT: [&str; 3] = ["acme", "bot@acme.example", "Přísně-tajné & <heslo> 7295"];

pub fn run() {
    let odoo = Odoo::start();
    let dir = tempfile::tempdir().unwrap();
    let allowed = vec![("PAWL_EGRESS_ALLOW".to_owned(), "127.0.0.1".to_owned())];
    let vault = Vault::start(program("pawl"), tempfile::tempdir().unwrap(), allowed.clone());
    let id = vault.deposit_at(&vault.token("backend"), &odoo.url, BOT);
    let path = |name: &str| dir.path().join(name);
    let mut seconds: [Vec<f64>; 3] = Default::default();
    let mut cpus: [Vec<f64>; 3] = Default::default();
    let mut records = 0;
    for round in 0..ROUNDS {
        let [ours, theirs] = ["pawl", "python"].map(|name| path(&format!("{name}-{round}.db")));
        let mut settings = allowed.clone();
        settings.push(("PAWL_URL".to_owned(), format!("http://{}", vault.address)));
        settings.push(("PAWL_TOKEN".to_owned(), vault.token("worker")));
        let to = format!("sqlite:{}", ours.display());
        let mut sync = command(&program("pawl-sync"), dir.path(), &settings);
        sync.args(["run", "--connection", &id, "--to", &to]);
        let runs = [
            measure(|| drop(said(&mut sync))),
            measure(|| records = python(&odoo.url, None)),
            measure(|| assert_eq!(python(&odoo.url, Some(&theirs)), records)),
        ];
        for (side, (took, cpu)) in runs.into_iter().enumerate() {
            seconds[side].push(took);
            cpus[side].push(cpu);
        }
        let tables = MODELS.iter().map(|(model, _, _)| model.replace('.', "_"));
        let same = include_str!("same_rows.py");
        said(Command::new("python3").args(["-c", same]).args([ours, theirs]).args(tables));
    }
    print(records, seconds.map(table::median), cpus.map(table::median));
}

fn print(records: u64, seconds: [f64; 3], cpus: [f64; 3]) {
    let names = ["pawl-sync into SQLite", "Python, for nothing", "Python into SQLite"];
    let rows: Vec<Vec<String>> = names
        .into_iter()
        .zip(seconds.into_iter().zip(cpus))
        .map(|(name, (took, cpu))| {
            let each = records as f64;
            let (speed, more) = (each / took, took / seconds[0]);
            let (cost, dearer) = (cpu / each * 1e6, cpu / cpus[0]);
            let numbers =
                [format!("{speed:.0}"), format!("{more:.2}"), format!("{cost:.1}"), format!("{dearer:.2}")];
            [vec![name.to_owned()], numbers.to_vec()].concat()
        })
        .collect();
    println!("{records} records of {} models, the same rows; medians of {ROUNDS} rounds\n", MODELS.len());
    table::print(
        &["client", "records/s", "pawl is faster by", "CPU µs a record", "pawl is cheaper by"],
        &rows,
    );
}

/// Seconds by the clock and of CPU, of the one process that `work` runs and waits for.
fn measure(work: impl FnOnce()) -> (f64, f64) {
    let (begun, before) = (Instant::now(), cpu::of_ended_children());
    work();
    (begun.elapsed().as_secs_f64(), (cpu::of_ended_children() - before) / 1e6)
}

/// How many records it pulled.
fn python(url: &str, sink: Option<&Path>) -> u64 {
    let [database, login, password] = BOT;
    let asked = json!({
        "url": url, "database": database, "login": login, "password": password, "page": PAGE,
        "sink": sink, "models": models(),
    });
    let mut child = Command::new("python3")
        .args(["-c", include_str!("pull.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim_end().parse().unwrap()
}

fn models() -> Vec<Value> {
    let readable = Readable::embedded().unwrap();
    let types = ["out_invoice", "out_refund", "in_invoice", "in_refund"];
    let model = |(name, only, archived): &(&str, Option<&str>, bool)| {
        let fields = readable.model(name).unwrap().all();
        let fields: Vec<Value> =
            fields.iter().map(|field| json!([field.name(), kind(field.kind())])).collect();
        let domain: Vec<Value> = only.iter().map(|field| json!([field, "in", types])).collect();
        json!({"model": name, "fields": fields, "domain": domain, "archived": archived})
    };
    MODELS.iter().map(model).collect()
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer => "integer",
        Kind::Float => "float",
        Kind::Monetary => "monetary",
        Kind::Boolean => "boolean",
        Kind::Many2one => "many2one",
        Kind::X2many => "x2many",
        Kind::Text | Kind::Html | Kind::Selection | Kind::Date | Kind::Datetime => "text",
    }
}
