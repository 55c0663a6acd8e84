//! What `pawl doctor` says of the log over the trail and of its witnesses.

use std::io::Write;

use pawl::app::App;
use pawl::config::Config;
use pawl::telemetry::shown;

use crate::Failure;

/// Whether the database is the one that its witnesses know.
pub fn show(config: &Config, app: &App, out: &mut impl Write) -> Result<bool, Failure> {
    writeln!(out, "witness   {}", config.checkpoints.witnesses)?;
    let looked = app.look_at_log()?;
    match &looked.log {
        Some(log) => {
            writeln!(out, "log       {} leaves, verified with {}", looked.size, shown(&log.public_key))?
        }
        None => writeln!(out, "log       none yet: the next start begins it")?,
    }
    if let Some(shut) = &looked.shut {
        writeln!(out, "wrong     the log in the database is not this vault's, {shut}: nothing is lent")?;
    }
    for (witness, why) in &looked.silent {
        writeln!(out, "warning   {witness} does not say what it has: {why}")?;
    }
    for doubted in &looked.doubted {
        writeln!(
            out,
            "wrong     {} ({}): nothing is lent",
            shown(&doubted.doubt.to_string()),
            doubted.witness
        )?;
    }
    let is_known = looked.doubted.is_empty() && looked.shut.is_none();
    if !is_known {
        writeln!(out, "          if it was put back on purpose: pawl doctor --accept-restore")?;
    }
    Ok(is_known)
}

/// Accepts the database as it is.
pub fn accept(app: &App, out: &mut impl Write) -> Result<(), Failure> {
    let accepted = app.accept_restore()?;
    if let Some(shut) = &accepted.shut {
        writeln!(out, "accepted  a log that is not this vault's, {shut}: it is not gone on from")?;
    }
    for doubted in &accepted.doubted {
        writeln!(out, "accepted  {} ({})", shown(&doubted.doubt.to_string()), doubted.witness)?;
    }
    writeln!(out, "log       another begins, verified with {}", accepted.log.public_key)?;
    writeln!(out, "          vaults that run lend again in a second; tell your customers of the new key")?;
    Ok(())
}
