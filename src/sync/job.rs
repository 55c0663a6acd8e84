//! What a run is asked for, and what it answers.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ids::ConnectionId;
use crate::sync::json_lines::JsonLines;
use crate::sync::sink::{Sink, SinkError};
use crate::sync::sqlite::SqliteSink;
use crate::sync::sweep::Swept;

/// What to sync, and where to.
pub struct Job {
    /// The connection.
    pub connection: ConnectionId,
    /// Where the records go.
    pub sink: Target,
    /// Every record of every model, whatever the sink holds.
    pub whole: bool,
    /// Whether much of what the sink holds may be removed at once.
    pub accepts_removals: bool,
    /// Whether to wait while another run holds the connection.
    pub waits: bool,
}

/// Where the records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file of SQLite's, for this connection alone.
    Sqlite(PathBuf),
    /// Standard output, a line of JSON a record.
    JsonLines,
}

impl From<&Path> for Target {
    fn from(path: &Path) -> Self {
        Self::Sqlite(path.into())
    }
}

impl Target {
    pub(super) fn open(&self, connection: &ConnectionId) -> Result<Box<dyn Sink>, SinkError> {
        Ok(match self {
            Self::Sqlite(path) => Box::new(SqliteSink::open(path, connection)?),
            Self::JsonLines => Box::new(JsonLines::to(std::io::stdout())),
        })
    }
}

/// What a run did, by model.
pub struct Summary {
    /// Each model, in the order of the plan.
    pub models: Vec<(String, Swept)>,
}

/// As a table for people, a line a model.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, cells: [&str; 4]| {
            writeln!(f, "{:<17} {:>9} {:>13} {:>9}", cells[0], cells[1], cells[2], cells[3])
        };
        line(f, ["model", "records", "new/changed", "removed"])?;
        for (model, swept) in &self.models {
            let [records, changed, removed] =
                [swept.records, swept.count.changed, swept.count.removed].map(|count| count.to_string());
            line(f, [model, &records, &changed, &removed])?;
        }
        Ok(())
    }
}

/// How much is put up with.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often the vault is asked whether the lease is still open.
    pub ask_every: Duration,
    /// How long it may take to answer.
    pub answer_within: Duration,
    /// When to ask again after no answer.
    pub ask_again: Duration,
    /// How long a lease that was last heard to be open is used without hearing so again.
    pub silent_for: Duration,
    /// How long handing it back may take.
    pub hand_back_within: Duration,
    /// How many pages of a model are read: a server that a stranger chose could go on for ever.
    pub most_pages: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            ask_every: Duration::from_secs(10),
            answer_within: Duration::from_secs(5),
            ask_again: Duration::from_secs(1),
            silent_for: Duration::from_secs(20),
            hand_back_within: Duration::from_secs(10),
            most_pages: 20_000,
        }
    }
}
