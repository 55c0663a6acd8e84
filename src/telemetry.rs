//! The log: lines on standard error, filtered by `PAWL_LOG`. A panic is a line too, with its place
//! and without its message, which could quote anything.

use tracing_subscriber::EnvFilter;

/// The filter is no filter.
#[derive(Debug, thiserror::Error)]
#[error("PAWL_LOG is no log filter, such as warn,pawl=info")]
pub struct LogRefused;

/// Starts the log. To be called once, before anything is logged.
pub fn start(filter: &str) -> Result<(), LogRefused> {
    let filter = EnvFilter::try_new(filter).map_err(|_| LogRefused)?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
    Ok(())
}
