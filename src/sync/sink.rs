//! Where the records go. A sink takes a page and how far the sweep is as one thing, so that whatever
//! ends a run, the next one finds both or neither. It works on a thread of its own, one thing at a time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::clock::{Moment, NoRandomness};
use crate::ids::RunId;
use crate::odoo::{Fields, Record};
use crate::sync::borrow::Outcome;
use crate::sync::stamp::Stamp;
use crate::sync::sweep::{Sweep, Swept};

/// A place for records, open for one run.
pub trait Sink: Send {
    /// The run that died here, or a new one. It is durable when this answers.
    fn begin_run(&mut self, now: Moment) -> Result<Run, SinkError>;

    /// Notes how the run went; it is over once its lease is handed back, and would be gone on with
    /// otherwise.
    fn end_run(
        &mut self,
        run: &Run,
        outcome: Outcome,
        records: u64,
        handed_back: Option<Moment>,
    ) -> Result<(), SinkError>;

    /// Makes room for these fields of a model, and says what is here of it.
    fn known(&mut self, fields: &Fields) -> Result<Known, SinkError>;

    /// Notes that a sweep begins.
    fn begin_sweep(&mut self, sweep: &Sweep) -> Result<(), SinkError>;

    /// Takes a page, and that the sweep is at `sweep.place` with it. Answers the sweep with its count.
    fn write(&mut self, sweep: Sweep, page: Page) -> Result<Sweep, SinkError>;

    /// Which of the `listed`, lowest id first, are not here, or with another time.
    fn differing(&mut self, model: &str, listed: &[Listed]) -> Result<Vec<i64>, SinkError>;

    /// Of the records that are here and that no page of the sweep showed, the first `most` above `after`.
    fn missing(&mut self, model: &str, after: i64, most: u32) -> Result<Vec<i64>, SinkError>;

    /// These are not missing.
    fn found(&mut self, model: &str, ids: &[i64]) -> Result<(), SinkError>;

    /// What the end of the sweep would remove.
    fn loss(&mut self, model: &str) -> Result<Loss, SinkError>;

    /// The sweep is whole: what is missing is removed, and its `newest` is the watermark now.
    fn end_sweep(&mut self, sweep: Sweep) -> Result<Swept, SinkError>;
}

/// A run on record: durable before anything is borrowed for it.
#[derive(Clone)]
pub struct Run {
    /// Its id, for the vault.
    pub id: RunId,
    /// Whether it began earlier and died.
    pub is_continued: bool,
}

/// What a sink knows of a model.
pub struct Known {
    /// A sweep that was broken off.
    pub unfinished: Option<Sweep>,
    /// The newest `write_date` when the last whole or changes sweep began.
    pub watermark: Option<Stamp>,
    /// When the last whole one began.
    pub whole_at: Option<Moment>,
}

/// What is taken at once.
pub struct Page {
    /// To be written.
    pub records: Vec<Record>,
    /// What is not among them.
    pub missing: Missing,
}

/// What a page says of records that are not on it. They may still be there: Odoo leaves a record out
/// whose fields it can't work out.
pub enum Missing {
    /// Nothing.
    Unknown,
    /// Of the ids above `after` up to `to` there are only these, lowest first.
    AllBut {
        /// Below the page's first id.
        after: i64,
        /// Its last id; the highest there is, if nothing follows.
        to: i64,
        /// What is there.
        there: Vec<i64>,
    },
    /// These were asked for and not answered.
    These(Vec<i64>),
}

/// What a sweep would take from the sink.
#[derive(Clone, Copy)]
pub struct Loss {
    /// So many records.
    pub missing: u64,
    /// Of so many.
    pub of: u64,
}

/// A record of which no more is known than when it was written.
pub struct Listed {
    /// Its id.
    pub id: i64,
    /// Its `write_date`.
    pub written: Option<String>,
}

/// Why the sink did not take it. Holds no record's content.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Another run writes to it.
    #[error("another run is writing to {}", .0.display())]
    Busy(PathBuf),
    /// Another program writes to it, and did not let go.
    #[error("another program is writing to the sink")]
    Locked,
    /// It belongs to another connection.
    #[error("{} belongs to {belongs_to}: give each connection a file of its own", .path.display())]
    OtherConnection {
        /// The sink.
        path: PathBuf,
        /// Whose records are in it.
        belongs_to: String,
    },
    /// Another version made it.
    #[error("{} was made by another version of pawl-sync: name a new file, and all is read again", .0.display())]
    OtherLayout(PathBuf),
    /// It is a database of somebody else's.
    #[error("{} is a database of another program: name a file of its own for the sink", .0.display())]
    Foreign(PathBuf),
    /// It can't be opened or locked.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// It is no SQLite database, or SQLite failed.
    #[error("the sink's database failed: {0}")]
    Database(&'static str),
    /// Nobody reads what is written to standard output any more.
    #[error("what reads the records has gone; not all were written")]
    ReaderGone,
    /// Standard output failed.
    #[error("standard output: {0}")]
    Output(std::io::Error),
    /// The thread that writes ended.
    #[error("writing to the sink failed")]
    Broken,
    /// The system gave no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// How long a page that is being written when a run is broken off may take. Longer than SQLite waits
/// for another program.
const QUIET_WITHIN: Duration = Duration::from_secs(8);

/// A sink at work on a thread of its own. What was begun there ends there, whether or not somebody
/// still waits for it; the next thing begins after that.
pub struct Desk(Arc<Mutex<Box<dyn Sink>>>);

impl Desk {
    /// Takes the sink over.
    pub fn new(sink: Box<dyn Sink>) -> Self {
        Self(Arc::new(Mutex::new(sink)))
    }

    /// Does `work`.
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Sink) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        // Taken here, in the order of asking, and given up there.
        let mut sink = self.0.clone().lock_owned().await;
        let worked = tokio::task::spawn_blocking(move || work(&mut **sink));
        worked.await.map_err(|_| SinkError::Broken)?
    }

    /// Waits until nothing is at work. False if it takes too long, as with a reader that does not read.
    pub async fn is_quiet(&self) -> bool {
        tokio::time::timeout(QUIET_WITHIN, self.with(|_| Ok(()))).await.is_ok()
    }
}
