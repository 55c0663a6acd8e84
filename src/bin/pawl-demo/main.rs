//! The newcomer's tour, on loopback alone: a vault, a stand-in for Odoo, and the way of a credential
//! from the deposit to the ×. It ends in seconds and leaves nothing, unless it is told to.

mod look;
mod standin;
mod tour;

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pawl::clock::{Clock, new_id};
use standin::company::Company;
use standin::{API_KEY, DATABASE, LOGIN, PASSWORD, StandIn};
use tokio::signal::unix::{SignalKind, signal};

/// Shows what pawl does, from the deposit of a credential to its end, against a made-up Odoo.
#[derive(Parser)]
#[command(
    name = "pawl-demo",
    version,
    after_help = "Examples:\n  cargo run --release --bin pawl-demo -- --keep\n  \
                  cargo run --release --bin pawl-demo -- --only-odoo --invoices 100000"
)]
struct Cli {
    /// Leave the vault and the stand-in up until Ctrl-C, and their folder for good
    #[arg(long)]
    keep: bool,
    /// Start the stand-in alone, print its URL, and serve until Ctrl-C
    #[arg(long, conflicts_with = "keep")]
    only_odoo: bool,
    /// How many invoices, credit notes and bills the stand-in holds
    #[arg(long, requires = "only_odoo", value_name = "N", default_value_t = 420)]
    invoices: i64,
    /// How long each of its answers takes, beside what it takes anyway
    #[arg(long, requires = "only_odoo", value_name = "N", default_value_t = 0)]
    latency_ms: u64,
    /// How many requests it works at at once; without, all of them
    #[arg(long, requires = "only_odoo", value_name = "N")]
    workers: Option<usize>,
}

/// What can go wrong here is told to a person and needs no type.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "pawl-demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the tour came to its end.
fn run(cli: &Cli) -> Result<bool, Failure> {
    pawl::process::harden()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if cli.only_odoo {
        return runtime.block_on(only_odoo(cli));
    }
    let folder = Folder::make(cli.keep)?;
    runtime.block_on(async {
        let stopped = stopped()?;
        tokio::pin!(stopped);
        let scene = tour::Scene::set(&folder.0)?;
        tokio::select! {
            () = &mut stopped => return Ok(false),
            toured = scene.tour() => toured?,
        }
        if cli.keep {
            scene.invite().await?;
            stopped.await;
        }
        Ok(true)
    })
}

/// The stand-in by itself, for benchmarks and for clients of other makers.
async fn only_odoo(cli: &Cli) -> Result<bool, Failure> {
    let stopped = stopped()?;
    let partners = (cli.invoices / 10).clamp(60, 20_000);
    let odoo = StandIn::start(Company::sized(tour::SEED, cli.invoices.max(0), partners))?;
    odoo.set_latency(Duration::from_millis(cli.latency_ms));
    odoo.set_workers(cli.workers.unwrap_or(usize::MAX));
    writeln!(std::io::stdout(), "{}", odoo.url())?;
    writeln!(
        std::io::stderr(),
        "database {DATABASE}, login {LOGIN}, password {PASSWORD}, API key {API_KEY}"
    )?;
    stopped.await;
    Ok(true)
}

/// Ends with Ctrl-C, or when it is told to.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// A folder for the owner alone, gone with this value unless it is to be kept.
struct Folder(PathBuf, bool);

impl Folder {
    fn make(keep: bool) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(new_id("pawl-demo", Clock::system().now())?);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path, keep))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.1 {
            remove(&self.0);
        }
    }
}

fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        let _ = writeln!(std::io::stderr(), "pawl-demo: {} is left behind: {error}", folder.display());
    }
}
