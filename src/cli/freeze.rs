//! `pawl freeze` and `pawl unfreeze`: prints, for this host and for the database, what was done.

use std::io::Write;
use std::process::ExitCode;

use pawl::app::{Switched, switch};
use pawl::clock::Clock;
use pawl::config::Config;

use crate::Failure;

pub const EXAMPLES: &str = "\
With a database that takes it every vault lends nothing from then on, on every host. Without one, run it on each
host: the vaults there see the file within half a second.
Exit codes: 0 the database took it; 3 it did not, and this host alone is as you said; 1 not even that.";

/// Exit code when the database did not take it.
const HOST_ALONE: u8 = 3;

pub fn run(config: &Config, is_frozen: bool) -> Result<ExitCode, Failure> {
    let Switched { host, database } = switch(config, &Clock::system(), is_frozen);
    let mut out = std::io::stdout().lock();
    let (done, there) = if is_frozen { ("frozen", "is there") } else { ("not frozen", "is gone") };
    match &host {
        Ok(file) => writeln!(out, "this host: {done} by file ({} {there})", file.display())?,
        Err(error) => {
            let dir = config.data_dir.display();
            writeln!(
                out,
                "this host: no file could be changed in {dir}, which PAWL_DATA_DIR names: {error}"
            )?;
        }
    }
    match &database {
        Ok(()) => writeln!(out, "database: {done}, for every host")?,
        Err(error) => writeln!(out, "database: it did not take it: {error}")?,
    }
    Ok(match (database, host) {
        (Ok(()), Ok(_)) => ExitCode::SUCCESS,
        (Err(_), Ok(_)) => ExitCode::from(HOST_ALONE),
        // An unfreeze that left the file leaves this host frozen.
        (Ok(()), Err(_)) if is_frozen => ExitCode::SUCCESS,
        (_, Err(_)) => ExitCode::FAILURE,
    })
}
