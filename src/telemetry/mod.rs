//! The log: lines on standard error, filtered by `PAWL_LOG`, as text or as JSON. A panic is a line too,
//! with its place and without its message, which could quote anything.

mod lines;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;

use lines::Lines;

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

impl LogFormat {
    /// The values of `PAWL_LOG_FORMAT`.
    pub const NAMES: &[(&str, Self)] = &[("text", Self::Text), ("json", Self::Json)];

    /// The format of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }
}

/// The filter is no filter.
#[derive(Debug, thiserror::Error)]
#[error("PAWL_LOG is no log filter, such as warn,pawl=info")]
pub struct LogRefused;

/// Starts the log. To be called once, before anything is logged.
pub fn start(filter: &str, format: LogFormat) -> Result<(), LogRefused> {
    let filter = EnvFilter::try_new(filter).map_err(|_| LogRefused)?;
    let log = tracing_subscriber::registry().with(filter).with(Lines::new(format));
    // Fails when there is one already; the first stays.
    let _ = tracing::subscriber::set_global_default(log);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
    Ok(())
}
