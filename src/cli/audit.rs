//! `pawl audit`: shows the trail, exports it, and verifies it, here or from an export alone.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use pawl::app::open_trail;
use pawl::audit::{Kept, Line, Report, VerifierKey, hex_of, line_of, verify_export};
use pawl::clock::{Clock, Moment};
use pawl::config::Config;
use pawl::ids::OrgId;
use pawl::telemetry::shown;
use pawl::vault::{ExportAsk, ExportFormat, HostTrail, RawEvent, Which};

use crate::Failure;

/// What is done with the trail.
#[derive(Subcommand)]
pub enum AuditCommand {
    /// Verify the stored trail, or an export by itself: the first event that is not as it was is named
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Show the newest 20 events, each as a line of JSON; that they were read is on record
    #[command(after_help = "Examples:\n  pawl audit tail --org acme\n  pawl audit tail --vault --follow")]
    Tail(TailArgs),
    /// Export an org's trail to standard output; that it was exported is on record
    #[command(
        after_help = "Example:\n  pawl audit export --org acme --format jsonl --from 2027-01-01 > acme.jsonl"
    )]
    Export(ExportArgs),
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  pawl audit verify                                     every chain, and the log over them
  pawl audit verify --org acme --checkpoint kept.txt    against checkpoints that were kept elsewhere
  pawl audit verify --export acme.jsonl --key 'vault.example/pawl+1a2b3c4d+AbC…'
  pawl audit verify --export since.jsonl --first-seq 50 --key …    one that was asked for from a time on

An export needs no vault and no settings: a file and the log's public key are enough.
Exit codes: 0 whole; 1 something is not as it was, and is named; 2 it could not be read.";

/// What is verified, against what.
#[derive(Args)]
pub struct VerifyArgs {
    /// The chain of this org alone
    #[arg(long, conflicts_with_all = ["vault", "export"], value_parser = parse_org)]
    org: Option<OrgId>,
    /// The vault's own chain alone
    #[arg(long, conflicts_with = "export")]
    vault: bool,
    /// An export (JSONL) in place of the database
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// What was kept elsewhere: a file of signed notes, or of answers of GET /v1/audit/checkpoint; every one counts
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The log's verifier key, from another source than what is verified; every one counts
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    key: Vec<VerifierKey>,
    /// The export may begin as late as with event N: it was asked for from a time on, or those before are at hand
    #[arg(long, value_name = "N", requires = "export", value_parser = clap::value_parser!(i64).range(1..))]
    first_seq: Option<i64>,
}

/// Whose trail is shown.
#[derive(Args)]
pub struct TailArgs {
    /// The org
    #[arg(long, required_unless_present = "vault", conflicts_with = "vault", value_parser = parse_org)]
    org: Option<OrgId>,
    /// The vault's own
    #[arg(long)]
    vault: bool,
    /// Go on as events come
    #[arg(long)]
    follow: bool,
}

/// What is exported.
#[derive(Args)]
pub struct ExportArgs {
    /// The org
    #[arg(long, value_parser = parse_org)]
    org: OrgId,
    /// csv, for spreadsheets, or jsonl, to be verified
    #[arg(long, value_parser = parse_format)]
    format: ExportFormat,
    /// Not much before this time (2027-01-31, or RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = super::keys::parse_date)]
    from: Option<Moment>,
    /// Not much after this time
    #[arg(long, value_name = "TIME", value_parser = super::keys::parse_date)]
    to: Option<Moment>,
    /// With the proof that the log goes on from a checkpoint of this size (jsonl)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..1_000_000_000_000_000_000))]
    since_size: Option<u64>,
}

fn parse_org(text: &str) -> Result<OrgId, String> {
    OrgId::parse(text).map_err(|refused| refused.to_string())
}

fn parse_key(text: &str) -> Result<VerifierKey, String> {
    VerifierKey::parse(text).map_err(|refused| refused.to_string())
}

fn parse_format(text: &str) -> Result<ExportFormat, String> {
    ExportFormat::parse(text).ok_or_else(|| format!("must be {}", ExportFormat::NAMES.join(" or ")))
}

/// How often `--follow` looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Exit code where nothing could be judged.
const UNREADABLE: u8 = 2;

/// Whether it needs no vault: a customer may run it anywhere.
pub fn is_offline(command: &AuditCommand) -> bool {
    matches!(command, AuditCommand::Verify(VerifyArgs { export: Some(_), .. }))
}

/// Verifies an export.
pub fn verify_offline(command: &AuditCommand) -> Result<ExitCode, Failure> {
    let AuditCommand::Verify(args) = command else { return Ok(ExitCode::FAILURE) };
    let judged = || -> Result<Report, Failure> {
        let file = args.export.as_deref().unwrap_or(Path::new("-"));
        let mut kept = read_kept(&args.checkpoint)?;
        kept.expect_from(args.first_seq);
        let open = || File::open(file).map(BufReader::new);
        Ok(verify_export(open, &args.key, &kept).map_err(|e| format!("{}: {e}", file.display()))?)
    };
    tell(judged())
}

/// Does the rest, beside whatever vaults are running.
pub fn run(config: &Config, command: &AuditCommand) -> Result<ExitCode, Failure> {
    match command {
        AuditCommand::Verify(args) => verify(config, args),
        AuditCommand::Tail(args) => tail(&open_trail(config, Clock::system())?, args),
        AuditCommand::Export(args) => export(&open_trail(config, Clock::system())?, args),
    }
}

fn verify(config: &Config, args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let judged = || -> Result<Report, Failure> {
        let kept = read_kept(&args.checkpoint)?;
        let which = match (&args.org, args.vault) {
            (Some(org), _) => Which::Org(org.clone()),
            (None, true) => Which::Vault,
            (None, false) => Which::All,
        };
        Ok(open_trail(config, Clock::system())?.verify(&which, &args.key, &kept)?)
    };
    tell(judged())
}

/// Says why nothing could be judged.
pub fn unreadable(error: &dyn std::fmt::Display) -> Result<ExitCode, Failure> {
    writeln!(io::stderr(), "pawl: {error}")?;
    Ok(ExitCode::from(UNREADABLE))
}

fn read_kept(files: &[PathBuf]) -> Result<Kept, Failure> {
    let mut kept = Kept::default();
    for file in files {
        let named = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
        let text = std::fs::read_to_string(file).map_err(|e| named(&e))?;
        kept.add(&text).map_err(|e| named(&e))?;
    }
    Ok(kept)
}

fn tell(judged: Result<Report, Failure>) -> Result<ExitCode, Failure> {
    let report = match judged {
        Ok(report) => report,
        Err(error) => return unreadable(&error),
    };
    let mut out = io::stdout().lock();
    for warning in &report.warnings {
        writeln!(out, "warning: {}", shown(warning))?;
    }
    for wrong in &report.wrong {
        writeln!(out, "{}", shown(wrong))?;
    }
    let sizes: Vec<String> = report.sizes.iter().map(ToString::to_string).collect();
    let log = if sizes.is_empty() { "none".into() } else { sizes.join(", ") };
    let held = report.held.as_ref().map(|held| format!(" ({held})")).unwrap_or_default();
    writeln!(
        out,
        "{}: {} chains, {} events{held}; log: {log} leaves; {} events past the last leaf, not covered yet",
        if report.wrong.is_empty() { "whole" } else { "not whole" },
        report.chains,
        report.events,
        report.uncovered
    )?;
    Ok(if report.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tail(trail: &HostTrail, args: &TailArgs) -> Result<ExitCode, Failure> {
    let mut rows = trail.tail(args.org.as_ref())?;
    let mut last = rows.last().map_or(0, |row| row.seq);
    loop {
        let mut out = io::stdout().lock();
        for row in &rows {
            out.write_all(line(row).as_bytes())?;
        }
        out.flush()?;
        drop(out);
        if !args.follow {
            return Ok(ExitCode::SUCCESS);
        }
        if rows.is_empty() {
            std::thread::sleep(LOOK_EVERY);
        }
        rows = trail.follow(args.org.as_ref(), last)?;
        last = rows.last().map_or(last, |row| row.seq);
    }
}

/// As a line of an export.
fn line(row: &RawEvent) -> String {
    let (event, prev_hash) = (String::from_utf8_lossy(&row.event), hex_of(&row.prev_hash).into());
    line_of(&Line { seq: row.seq, event, prev_hash, hash: hex_of(&row.hash).into() })
}

fn export(trail: &HostTrail, args: &ExportArgs) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ask = ExportAsk { format: args.format, from: args.from, to: args.to, since_size: args.since_size };
    runtime.block_on(async {
        let mut export = trail.export(&args.org, ask).await?;
        let mut out = io::stdout().lock();
        while let Some(piece) = export.next().await? {
            out.write_all(piece.as_bytes())?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    })
}
