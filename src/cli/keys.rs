//! `pawl keys`: which master keys there are, and their change.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use pawl::app::open_keys;
use pawl::clock::{Clock, Moment};
use pawl::config::Config;
use pawl::ids::{ConnectionId, KeyId};
use pawl::vault::keys::{Keys, Made, Retire};

use crate::Failure;

/// What is done with the keys.
#[derive(Subcommand)]
pub enum KeysCommand {
    /// Show every key there ever was: id, fingerprint, source, state, and how much is sealed under it
    List,
    /// Make the next key in the source; it seals from now on, and earlier ones go on opening
    Rotate,
    /// Put every sealed value under the key that seals; may be ended at any moment and run again
    Reseal,
    /// Destroy a key that nothing is under any more: backups that need it become unreadable for ever
    #[command(after_help = "Example, after `pawl keys rotate` and `pawl keys reseal`:\n  \
                            pawl keys retire k1 --backups-older-than-may-die 2027-01-31\n\n\
                            The date may lie ahead. It must not be before the last value left the key: every \
                            backup from before that needs it.")]
    Retire(RetireArgs),
}

/// What is retired.
#[derive(Args)]
pub struct RetireArgs {
    /// The key, as `pawl keys list` names it
    key: String,
    /// Backups from before this date (2027-01-31, or RFC 3339) become unreadable
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    backups_older_than_may_die: Moment,
    /// Connections whose credential does not open, and may stay so for ever
    #[arg(long, value_name = "ID", num_args = 1..)]
    abandon: Vec<String>,
    /// The key was destroyed by hand where it was: keys are kept in another source since
    #[arg(long)]
    destroyed_elsewhere: bool,
}

pub(super) fn parse_date(text: &str) -> Result<Moment, String> {
    let whole = if text.len() == "2027-01-31".len() { format!("{text}T00:00:00Z") } else { text.into() };
    Moment::parse(&whole).ok_or_else(|| "must be such as 2027-01-31 or 2027-01-31T12:00:00Z".into())
}

/// Does it, beside whatever vaults are running.
pub fn run(config: Config, command: &KeysCommand) -> Result<ExitCode, Failure> {
    let keys = open_keys(&config, Clock::system())?;
    match command {
        KeysCommand::List => list(&keys),
        KeysCommand::Rotate => rotate(&keys),
        KeysCommand::Reseal => reseal(&keys),
        KeysCommand::Retire(args) => retire(&keys, args),
    }
}

fn list(keys: &Keys) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<8} {:<16} {:<8} {:>10}  {:<9} SOURCE", "ID", "FINGERPRINT", "STATE", "SEALED", "HELD")?;
    for listed in keys.list()? {
        let key = &listed.key;
        let (state, sealed) = (key.state.as_str(), listed.under.total());
        let held = if listed.is_held { "yes" } else { "no" };
        writeln!(out, "{:<8} {} {state:<8} {sealed:>10}  {held:<9} {}", key.id, key.fingerprint, key.source)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rotate(keys: &Keys) -> Result<ExitCode, Failure> {
    let (key, made) = keys.rotate()?;
    let mut out = std::io::stdout().lock();
    if made == Made::Found {
        writeln!(out, "{} was there already, and is taken: see that its fingerprint is yours", key.id)?;
    }
    writeln!(
        out,
        "{} seals from now on: fingerprint {}, in {}",
        key.id,
        key.fingerprint,
        keys.source().name()
    )?;
    writeln!(out, "next: pawl keys reseal")?;
    Ok(ExitCode::SUCCESS)
}

fn reseal(keys: &Keys) -> Result<ExitCode, Failure> {
    let (began, bar) = (Instant::now(), ProgressBar::hidden());
    if std::io::stderr().is_terminal() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
    }
    let style = "resealing {wide_bar} {pos}/{len}, {per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style)?);
    let done = keys.reseal(|progress| {
        bar.set_length(progress.of.max(progress.moved));
        bar.set_position(progress.moved);
    });
    bar.finish_and_clear();
    let (done, took) = (done?, began.elapsed());
    let mut out = std::io::stdout().lock();
    let a_second = done.moved.saturating_mul(1000) / u64::try_from(took.as_millis()).unwrap_or(1).max(1);
    let seconds = took.as_secs_f64();
    writeln!(out, "{} values are under {} now ({seconds:.1} s, {a_second} a second)", done.moved, done.key)?;
    for id in &done.shut {
        writeln!(out, "shut: {id} does not open with the keys held, or not where it lies")?;
    }
    for id in &done.shut_issuer_keys {
        writeln!(out, "shut: the issuer's key {id} does not open")?;
    }
    for id in &done.shut_logs {
        writeln!(out, "shut: the key of the trail's log {id} does not open")?;
    }
    Ok(if done.shut() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn retire(keys: &Keys, args: &RetireArgs) -> Result<ExitCode, Failure> {
    let key = KeyId::parse(&args.key).map_err(|e| format!("KEY {e}"))?;
    let abandon: Result<BTreeSet<_>, _> = args.abandon.iter().map(|id| ConnectionId::parse(id)).collect();
    let abandon = abandon.map_err(|e| format!("--abandon {e}"))?;
    let backups_before = args.backups_older_than_may_die;
    let destroyed_elsewhere = args.destroyed_elsewhere;
    let was_retired =
        keys.retire(&Retire { key: key.clone(), backups_before, abandon, destroyed_elsewhere })?;
    let mut out = std::io::stdout().lock();
    if was_retired {
        writeln!(out, "{key} was retired before")?;
    }
    if destroyed_elsewhere {
        writeln!(out, "{key} is retired: the database opens nothing under it, and your word is on record")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{key} is destroyed in {}: what was sealed under it never opens again",
        keys.source().name()
    )?;
    Ok(ExitCode::SUCCESS)
}
