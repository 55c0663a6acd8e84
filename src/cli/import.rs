//! `pawl import`: reads the command line, shows how far it is, names every row that it left.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use pawl::app::{App, ImportAsked, ImportStep, Setup};
use pawl::clock::Clock;
use pawl::config::Config;
use pawl::ids::OrgId;
use pawl::import::{Columns, Source, SourceName, Table};
use pawl::secret::Secret;
use pawl::vault::{IMPORT_KINDS, Left, Tally, Why};

use crate::Failure;

const EXAMPLES: &str = "\
Examples:
  pawl import --from sqlite:shop.db --table odoo_credentials --org acme --source-key-file fernet.key --dry-run
  pawl import --from-file /run/secrets/shop-db --table odoo_credentials --org acme --source-key-file fernet.key
  pawl import --from csv:export.csv --source shop --org acme --source-key-file fernet.key

Again later: only what is new comes in, and nothing that was forgotten here since.
Exit codes: 0 every row is in; 1 it could not begin or broke off (run it again); 3 some rows were left, each
named on standard error.";

/// Exit code when rows were left.
const ROWS_LEFT: u8 = 3;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// postgres://USER@HOST/DATABASE, sqlite:PATH or csv:PATH (with a header, in UTF-8)
    #[arg(long, required_unless_present = "from_file", conflicts_with = "from_file")]
    from: Option<String>,
    /// The file that holds that, so that no password is on a command line; mode 0600
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// The table or view, or SCHEMA.TABLE; of a database
    #[arg(long)]
    table: Option<String>,
    /// The customer, one for all of the rows
    #[arg(long)]
    org: String,
    /// The Fernet keys of the source, one a line or between commas, all tried in that order; mode 0600
    #[arg(long, value_name = "FILE")]
    source_key_file: PathBuf,
    /// A column of another name: id, user_id, url, database, username or encrypted_password
    #[arg(long, value_name = "FIELD=COLUMN")]
    column: Vec<String>,
    /// What the passwords are: password or api_key
    #[arg(long, default_value = "password")]
    kind: String,
    /// What the source is called here from now on; a database has a name of its own, a CSV wants one
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Open and count everything, write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Arguments {
    fn asked(self) -> Result<ImportAsked, Failure> {
        let source = match (self.from, self.from_file) {
            (Some(from), _) => Source::of_command_line(Secret::new(from))?,
            (None, Some(path)) => Source::of_file(&path)?,
            (None, None) => return Err("--from or --from-file is required".into()),
        };
        let kind = IMPORT_KINDS.iter().find(|kind| kind.as_str() == self.kind);
        let kind = *kind.ok_or("--kind must be password or api_key")?;
        let name = self.source.as_deref().map(SourceName::parse).transpose().map_err(|e| e.to_string())?;
        let table =
            self.table.as_deref().map(Table::parse).transpose().map_err(|e| format!("--table: {e}"))?;
        Ok(ImportAsked {
            source,
            name,
            table,
            columns: Columns::parse(&self.column).map_err(|e| format!("--column: {e}"))?,
            org: OrgId::parse(&self.org).map_err(|e| format!("--org {e}"))?,
            key_file: self.source_key_file,
            kind,
            is_dry: self.dry_run,
        })
    }
}

pub fn run(config: Config, arguments: Arguments) -> Result<ExitCode, Failure> {
    let asked = arguments.asked()?;
    let (org, is_dry) = (asked.org.clone(), asked.is_dry);
    let app = App::open_with(config, Clock::system(), Setup::Look)?;
    let mut display = Display::new();
    let ended = app.import(asked, |step| display.show(&step));
    let took = display.close();
    let ended = ended?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "source            {}", ended.source)?;
    writeln!(out, "org               {org}")?;
    let Tally { rows, imported, before, forgotten, duplicates, refused } = ended.tally;
    let per_second = rate(rows, took);
    writeln!(out, "rows              {rows}, {per_second} a second")?;
    writeln!(out, "{}          {imported}", if is_dry { "would come" } else { "imported  " })?;
    writeln!(out, "imported before   {before}")?;
    writeln!(out, "forgotten since   {forgotten}")?;
    writeln!(out, "duplicates        {duplicates}")?;
    writeln!(out, "refused           {refused}")?;
    if is_dry {
        writeln!(out, "nothing was written (--dry-run)")?;
    }
    Ok(if ended.tally.left() == 0 { ExitCode::SUCCESS } else { ExitCode::from(ROWS_LEFT) })
}

fn rate(rows: u64, took: Duration) -> u64 {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    rows.saturating_mul(1000) / millis
}

/// How far it is: a bar on a terminal, nothing but the rows that were left otherwise.
struct Display {
    bar: Option<ProgressBar>,
    begun: Instant,
}

impl Display {
    fn new() -> Self {
        Self { bar: None, begun: Instant::now() }
    }

    fn show(&mut self, step: &ImportStep) {
        match step {
            ImportStep::Begun(_, total) => {
                self.begun = Instant::now();
                if std::io::stderr().is_terminal() {
                    self.bar = Some(bar(*total));
                }
            }
            ImportStep::Went(tally) => {
                if let Some(bar) = &self.bar {
                    bar.set_position(tally.rows);
                    bar.set_message(format!("{} rows, {} a second", tally.rows, self.rate(tally.rows)));
                }
            }
            ImportStep::Left(left) => self.say(&told(left)),
        }
    }

    fn rate(&self, rows: u64) -> u64 {
        rate(rows, self.begun.elapsed())
    }

    fn say(&self, line: &str) {
        let say = || {
            let _ = writeln!(std::io::stderr(), "pawl: {line}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    fn close(&self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.begun.elapsed()
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let Some(total) = total else { return ProgressBar::new_spinner() };
    let bar = ProgressBar::new(total);
    match ProgressStyle::with_template("{bar:30} {percent}% {msg} {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Names the row, the field and the rule; never a value.
fn told(left: &Left) -> String {
    let row = match &left.row {
        Ok(id) => format!("id {id}"),
        Err(number) => format!("row {number}"),
    };
    match &left.why {
        Why::Duplicate(Some(there)) => format!("{row} left: a duplicate of {there}"),
        Why::Duplicate(None) => format!("{row} left: a duplicate of an earlier row"),
        Why::Rules(rules) => {
            let rules = rules.iter().map(|wrong| format!("{} {}: {}", wrong.field, wrong.rule, wrong.detail));
            format!("{row} left: {}", rules.collect::<Vec<_>>().join("; "))
        }
    }
}
