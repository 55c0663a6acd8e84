//! Witnesses: whoever is told of each checkpoint of the trail's log, and asked at a start what it was told. Each
//! has a bound on how long it may take and how much it may say; nobody else waits for it.

mod desk;
mod file;
mod http;
mod notes;

use std::io::Write;
use std::time::Duration;

use crate::config::Witness;

pub use notes::{Gathered, Sought};

/// From connecting to the answer read; a file's disk has as long.
const WITHIN: Duration = Duration::from_secs(3);

/// It did not take a checkpoint, or did not say what it took.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessFailed {
    /// A file, or standard output.
    #[error("{0}")]
    Io(String),
    /// No whole answer in the time.
    #[error("no answer within 3 s")]
    Late,
    /// No connection, or it broke.
    #[error("it can't be reached")]
    Away,
    /// An answer that says no, or leads elsewhere.
    #[error("it answered HTTP {0}")]
    Status(u16),
    /// More than a checkpoint has.
    #[error("what it has is too long for a checkpoint")]
    TooLong,
    /// Nothing that the log's key signed.
    #[error("what it has is not believed: no checkpoint that this log's key signed")]
    NotBelieved,
}

impl WitnessFailed {
    /// Whether it said nothing at all, or nothing that is believed.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Late | Self::Away | Self::NotBelieved => true,
            Self::Io(_) | Self::Status(_) | Self::TooLong => false,
        }
    }
}

/// One witness, and how it is reached. Clones share what there is one of.
#[derive(Clone)]
pub enum Reach {
    /// A file.
    File(file::File, desk::Desk),
    /// Standard output.
    Stdout(desk::Desk),
    /// By HTTP.
    Http(http::Http),
}

impl Reach {
    /// How `witness` is reached.
    pub fn new(witness: &Witness) -> Result<Self, WitnessFailed> {
        Ok(match witness {
            Witness::File(path) => Self::File(file::File::new(path.clone()), desk::Desk::open()?),
            Witness::Stdout => Self::Stdout(desk::Desk::open()?),
            Witness::Http(url) => Self::Http(http::Http::new(url.clone())?),
        })
    }

    /// Gives it `note`, which it has durably when this answers.
    pub async fn give(&self, note: &str) -> Result<(), WitnessFailed> {
        let owned = note.to_owned();
        match self.clone() {
            Self::Http(http) => http.give(note).await,
            Self::File(file, desk) => desk.ask(move || file.give(&owned)).await,
            Self::Stdout(desk) => desk.ask(move || print(&owned)).await,
        }
    }

    /// Asks what it has of what is `sought`. Standard output has nothing.
    pub async fn ask(&self, sought: &Sought) -> Result<Gathered, WitnessFailed> {
        let owned = sought.clone();
        let gathered = match self.clone() {
            Self::Http(http) => http.ask(sought).await?,
            Self::File(file, desk) => desk.ask(move || file.ask(&owned)).await?,
            Self::Stdout(_) => Gathered::default(),
        };
        if gathered.is_forged { Err(WitnessFailed::NotBelieved) } else { Ok(gathered) }
    }
}

/// As one line, for whoever collects lines.
fn print(note: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::json!({ "checkpoint": note }))?;
    out.flush()
}
