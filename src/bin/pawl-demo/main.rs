//! The newcomer's tour, on loopback alone: a vault, a stand-in for Odoo, and the way of a credential
//! from the deposit to the ×. It ends in seconds and leaves nothing, unless it is told to.

mod look;
mod standin;
mod tour;

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use pawl::clock::{Clock, new_id};
use tokio::signal::unix::{SignalKind, signal};

/// Shows what pawl does, from the deposit of a credential to its end, against a made-up Odoo.
#[derive(Parser)]
#[command(
    name = "pawl-demo",
    version,
    after_help = "Example:\n  cargo run --release --bin pawl-demo -- --keep"
)]
struct Cli {
    /// Leave the vault and the stand-in up until Ctrl-C, and their folder for good
    #[arg(long)]
    keep: bool,
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
    let folder = Folder::make(cli.keep)?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let stopped = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
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
