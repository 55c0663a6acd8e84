//! Witnesses: whoever is told of each checkpoint of the trail's log, and asked at a start what it was told last. Each
//! has a bound on how long it may take and how much it may say; nobody else waits for it.

mod file;
mod http;

use std::io::Write;
use std::time::Duration;

use crate::config::Witness;

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
}

/// One witness, and how it is reached.
#[derive(Clone)]
pub enum Reach {
    /// A file.
    File(file::File),
    /// Standard output.
    Stdout,
    /// By HTTP.
    Http(http::Http),
}

impl Reach {
    /// How `witness` is reached.
    pub fn new(witness: &Witness) -> Result<Self, WitnessFailed> {
        Ok(match witness {
            Witness::File(path) => Self::File(file::File(path.clone())),
            Witness::Stdout => Self::Stdout,
            Witness::Http(url) => Self::Http(http::Http::new(url.clone())?),
        })
    }

    /// Gives it `note`, which it has durably when this answers.
    pub async fn give(&self, note: &str) -> Result<(), WitnessFailed> {
        match self.clone() {
            Self::Http(http) => http.give(note).await,
            Self::File(file) => off_thread(note, move |note| file.give(note)).await,
            Self::Stdout => off_thread(note, print).await,
        }
    }

    /// Asks for the newest note that it has, of each log that it has any of. Standard output has none.
    pub async fn ask(&self) -> Result<Vec<String>, WitnessFailed> {
        match self.clone() {
            Self::Http(http) => Ok(http.ask().await?.into_iter().collect()),
            Self::File(file) => off_thread("", move |_| file.ask()).await,
            Self::Stdout => Ok(Vec::new()),
        }
    }
}

async fn off_thread<T: Send + 'static>(
    note: &str,
    work: impl FnOnce(&str) -> std::io::Result<T> + Send + 'static,
) -> Result<T, WitnessFailed> {
    let note = note.to_owned();
    match tokio::time::timeout(WITHIN, tokio::task::spawn_blocking(move || work(&note))).await {
        Ok(Ok(done)) => done.map_err(|error| WitnessFailed::Io(error.to_string())),
        Ok(Err(_)) => Err(WitnessFailed::Io("the work broke off".into())),
        Err(_) => Err(WitnessFailed::Late),
    }
}

/// As one line, for whoever collects lines.
fn print(note: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::json!({ "checkpoint": note }))?;
    out.flush()
}
