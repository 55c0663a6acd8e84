//! `pawl-sync`, the worker: reads the command line, shows how far it is, leaves the work to the
//! library. Standard output carries the closing table alone, or the records; standard error everything
//! else.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use indicatif::ProgressBar;
use pawl::clock::Clock;
use pawl::config::WORKER_SETTINGS;
use pawl::ids::ConnectionId;
use pawl::sync::{Job, Settings, Step, Stopper, SyncError, Target, Verdict, Worker, stop_pair};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::Instrument;

/// What is freed is wiped: also what the libraries copied about.
#[global_allocator]
static WIPING: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Borrows an Odoo credential from pawl, reads invoices and what they refer to, and hands it back.
#[derive(Parser)]
#[command(name = "pawl-sync", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Example:
  export PAWL_TOKEN=$(pawl token issue --org acme --user ada --role worker)
  pawl-sync run --connection conn_01ARZ3NDEKTSV4RRFFQ69G5FAV --to sqlite:invoices.db

`pawl-sync run --help` lists the settings and the exit codes.";

#[derive(Subcommand)]
enum Command {
    /// Sync one connection once: invoices, credit notes and bills with their lines, partners, products,
    /// currencies and taxes
    #[command(after_help = run_help())]
    Run(Run),
    /// Log in to a connection's Odoo from this host, and tell what is wrong
    #[command(after_help = CHECK_HELP)]
    Check(Check),
}

#[derive(Args)]
struct Check {
    /// The connection, as the deposit answered it: conn_…
    #[arg(long, value_name = "ID", value_parser = ConnectionId::parse)]
    connection: ConnectionId,
}

const CHECK_HELP: &str = "\
A line for each thing found: error or warning, its code (docs/checks.md), what it is, what to do.

Exit codes:
  0   a sync would go well; there may be warnings
  1   it would not, or the check could not be made
  2   wrong usage or settings
  75  try again later: the vault does not answer";

#[derive(Args)]
struct Run {
    /// The connection, as the deposit answered it: conn_…
    #[arg(long, value_name = "ID", value_parser = ConnectionId::parse)]
    connection: ConnectionId,
    /// Where the records go: sqlite:PATH, a file for this connection alone, or jsonl:- for a JSON
    /// object a line on standard output
    #[arg(long, value_name = "SINK", value_parser = parse_sink)]
    to: Target,
    /// Read everything again, not only what changed since the last run
    #[arg(long)]
    full: bool,
    /// Remove what Odoo no longer shows, even if it is more than 100 records and a fifth of a model
    #[arg(long)]
    accept_removals: bool,
    /// Exit with 75 while another run holds the connection, instead of waiting for it
    #[arg(long)]
    no_wait: bool,
}

fn parse_sink(text: &str) -> Result<Target, &'static str> {
    match text.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => Ok(Target::Sqlite(path.into())),
        Some(("jsonl", "-")) => Ok(Target::JsonLines),
        _ => Err("must be sqlite:PATH, such as sqlite:invoices.db, or jsonl:-"),
    }
}

fn run_help() -> String {
    let lines =
        WORKER_SETTINGS.iter().map(|(name, what)| format!("  PAWL_{:<14} {what}", name.to_uppercase()));
    let lines: Vec<String> = lines.collect();
    format!(
        "Settings, from the environment:\n{}\n\n\
         Exit codes:\n  \
         0   done\n  \
         1   failed\n  \
         2   wrong usage or settings\n  \
         75  try again later: the sink is busy, the vault does not answer, the lease or the token came to\n      \
             its end, Odoo fails for a while, or a signal (a second one: at once) or a closed pipe stopped\n      \
             the run\n  \
         77  Odoo refused the credential, now or before; it is not tried again until it is replaced or\n      \
             checked\n\n\
         A run that was killed or stopped goes on where it was: start it again with the same --to.\n\
         The first run into a file reads everything, the next ones what changed; once a day, and with\n\
         --full, everything is read again. jsonl:- keeps nothing and always reads everything: each line is\n\
         {{\"model\":…,\"id\":…,\"fields\":{{…}}}}, with null for nothing and [id, name] for a reference.\n\n\
         Examples:\n  \
         PAWL_TOKEN_FILE=/run/pawl/token pawl-sync run --connection conn_… --to sqlite:invoices.db\n  \
         PAWL_LOG=debug pawl-sync run --connection conn_… --to sqlite:invoices.db --no-wait\n  \
         pawl-sync run --connection conn_… --to jsonl:- | jq 'select(.model == \"account.move\")'",
        lines.join("\n")
    )
}

const USAGE: u8 = 2;
const LATER: u8 = 75;
const CREDENTIAL_REFUSED: u8 = 77;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    if let Err(error) = pawl::process::harden() {
        complain(&error.to_string());
        return ExitCode::FAILURE;
    }
    pawl::memory::lock();
    let settings = match Settings::load() {
        Ok(settings) => settings,
        Err(refused) => {
            refused.0.iter().for_each(|line| complain(line));
            return ExitCode::from(USAGE);
        }
    };
    if let Err(refused) = pawl::telemetry::start(&settings.log, settings.log_format, None) {
        complain(&refused.to_string());
        return ExitCode::from(USAGE);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match command {
            Command::Run(run) => sync(settings, run).await.map(|()| ExitCode::SUCCESS),
            Command::Check(asked) => check(settings, asked).await,
        }
    });
    // A page that nobody takes from standard output would be waited for.
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(error) => {
            complain(&error.to_string());
            match error.verdict() {
                Verdict::Failed => ExitCode::FAILURE,
                Verdict::Usage => ExitCode::from(USAGE),
                Verdict::Later => ExitCode::from(LATER),
                Verdict::CredentialRefused => ExitCode::from(CREDENTIAL_REFUSED),
            }
        }
    }
}

fn complain(what: &str) {
    let _ = writeln!(std::io::stderr(), "pawl-sync: {what}");
}

async fn check(settings: Settings, asked: Check) -> Result<ExitCode, SyncError> {
    let found = Worker::new(settings, Clock::system())?.check(&asked.connection).await?;
    let mut out = std::io::stdout();
    if let Some(server) = &found.server {
        let dialect = server.dialect.map(|dialect| format!(" by {dialect}")).unwrap_or_default();
        let _ = writeln!(out, "Odoo {}{dialect}", server.version);
    }
    for finding in &found.findings {
        let (severity, code) = (finding.code.severity().as_str(), finding.code.as_str());
        let _ = writeln!(out, "{severity} {code}: {} {}", finding.detail(), finding.code.advice());
    }
    if found.is_ok() {
        let _ = writeln!(out, "ok");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

async fn sync(settings: Settings, run: Run) -> Result<(), SyncError> {
    let (stopper, stop) = stop_pair();
    // Caught from here on, before anything begins.
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let worker = Worker::new(settings, Clock::system())?;
    let records_go_out = run.to == Target::JsonLines;
    let job = Job {
        connection: run.connection,
        sink: run.to,
        whole: run.full,
        accepts_removals: run.accept_removals,
        waits: !run.no_wait,
    };
    let span = tracing::error_span!("run", trace_id = %worker.trace_id());
    let mut display = Display::new();
    let mut show = |step: Step| display.show(&step);
    let done = tokio::select! {
        biased;
        () = heed(signals, stopper) => {
            complain("stopped at once; if a lease is open, it ends by itself");
            Err(SyncError::Stopped)
        }
        done = worker.run(&job, stop, &mut show).instrument(span) => done,
    };
    display.close();
    let summary = done?;
    let _ = match records_go_out {
        true => write!(std::io::stderr(), "{summary}"),
        false => write!(std::io::stdout(), "{summary}"),
    };
    Ok(())
}

/// The first signal asks the run to stop; it hands its lease back and ends. The second ends this.
async fn heed(signals: (std::io::Result<Signal>, std::io::Result<Signal>), stopper: Stopper) {
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return std::future::pending().await };
    for _ in 0..2 {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stopper.stop();
    }
}

/// How far it is: a moving line on a terminal, plain lines otherwise.
struct Display(Option<ProgressBar>);

impl Display {
    fn new() -> Self {
        Self(std::io::stderr().is_terminal().then(ProgressBar::new_spinner))
    }

    fn show(&mut self, step: &Step) {
        match step {
            Step::Continued => self.say("going on with a run that did not end"),
            Step::Waiting { until } => {
                self.say(&format!("another run holds this connection until {until}; waiting"));
            }
            Step::Borrowed => tracing::info!("borrowed"),
            Step::LoggedIn { version, dialect } => self.say(&format!("Odoo {version} by {dialect}")),
            Step::Pulling { model, records } => {
                tracing::debug!(model, records, "page");
                if let Some(bar) = &self.0 {
                    bar.set_message(format!("{model}: {records} records"));
                    bar.tick();
                }
            }
            Step::Retrying { model, cause } => self.say(&format!("{model}: {cause}; trying again")),
            Step::Pulled { model, swept } => {
                tracing::info!(model, records = swept.records, "done");
                if self.0.is_none() {
                    self.say(&format!("{model}: {} records", swept.records));
                }
            }
            Step::NotHandedBack(error) => {
                self.say(&format!("the lease could not be handed back, it ends by itself: {error}"));
            }
        }
    }

    fn say(&self, line: &str) {
        match &self.0 {
            Some(bar) => bar.suspend(|| complain(line)),
            None => complain(line),
        }
    }

    fn close(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
