//! What the process tells: lines on standard error, filtered by `PAWL_LOG`, as text or as JSON; which
//! trace a line belongs to; spans to a collector, if there is one. A panic is a line too, with its place
//! and without its message, which could quote anything.

mod endpoint;
mod lines;
#[cfg(feature = "otlp")]
mod otlp;
mod trace;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer};

pub use endpoint::{OtlpEndpoint, OtlpRefused};
pub use lines::shown;
pub use trace::{SpanId, Trace, TraceId};

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

/// The log can't be started as asked.
#[derive(Debug, thiserror::Error)]
pub enum LogRefused {
    /// The filter is no filter.
    #[error("PAWL_LOG is no log filter, such as warn,pawl=info")]
    Filter,
    /// Nothing to send spans with.
    #[error("PAWL_OTLP_ENDPOINT: spans can't be sent from here")]
    Otlp,
}

/// What was started; to be ended when there is nothing more to tell.
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    spans: Option<otlp::Spans>,
}

impl Telemetry {
    /// Sends the spans that still wait, for a second at most.
    pub fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(spans) = self.spans {
            spans.end();
        }
    }
}

/// What speaks with a store of keys tells, below INFO, whole requests and answers, without what it knows
/// to be secret. That is not relied on: no filter lets it through.
fn tells_no_secret(metadata: &Metadata<'_>) -> bool {
    const TALKATIVE: [&str; 4] = ["aws_", "h2", "hyper", "rustls"];
    let talks = TALKATIVE.iter().any(|name| metadata.target().starts_with(name));
    !talks || *metadata.level() <= Level::INFO
}

/// Starts the log. To be called once, before anything is logged.
pub fn start(
    filter: &str,
    format: LogFormat,
    endpoint: Option<&OtlpEndpoint>,
) -> Result<Telemetry, LogRefused> {
    let filter = EnvFilter::try_new(filter).map_err(|_| LogRefused::Filter)?;
    let no_secrets = filter_fn(tells_no_secret).with_max_level_hint(LevelFilter::TRACE);
    let log = tracing_subscriber::registry().with(Lines::new(format).with_filter(filter.and(no_secrets)));
    #[cfg(not(feature = "otlp"))]
    let (telemetry, _) = (Telemetry {}, endpoint);
    #[cfg(feature = "otlp")]
    let telemetry = Telemetry {
        spans: endpoint.map(|endpoint| otlp::Spans::to(endpoint).ok_or(LogRefused::Otlp)).transpose()?,
    };
    #[cfg(feature = "otlp")]
    let log = {
        let ours = tracing_subscriber::filter::filter_fn(otlp::Spans::is_ours)
            .with_max_level_hint(LevelFilter::DEBUG);
        log.with(telemetry.spans.clone().map(|spans| spans.with_filter(ours)))
    };
    // Fails when there is one already; the first stays.
    let _ = tracing::subscriber::set_global_default(log);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
    Ok(telemetry)
}
