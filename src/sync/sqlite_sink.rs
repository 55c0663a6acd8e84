//! The sink: one SQLite file, for one connection, written by one run at a time. A run is on record
//! here before anything is lent for it; one that died is found here and goes on.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::clock::{Moment, NoRandomness, new_id};
use crate::ids::{ConnectionId, RunId};
use crate::sync::borrow::Outcome;

/// Why the sink did not take it. Holds no record's content.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Another run writes to it.
    #[error("another run is writing to {}", .0.display())]
    Busy(PathBuf),
    /// It belongs to another connection.
    #[error("{} belongs to {belongs_to}: give each connection a file of its own", .path.display())]
    OtherConnection {
        /// The sink.
        path: PathBuf,
        /// Whose records are in it.
        belongs_to: String,
    },
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
    /// The system gave no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl From<diesel::result::Error> for SinkError {
    fn from(error: diesel::result::Error) -> Self {
        // The message of any other error could quote a value.
        Self::Database(match error {
            diesel::result::Error::DatabaseError(_, info) if info.message().contains("disk is full") => {
                "the disk is full"
            }
            diesel::result::Error::DatabaseError(_, info) if info.message().contains("not a database") => {
                "the file is no SQLite database"
            }
            diesel::result::Error::DatabaseError(_, info) if info.message().contains("locked") => {
                "another program is writing to it"
            }
            _ => "a statement failed",
        })
    }
}

/// An open sink. Nobody else writes to it until it is dropped.
pub struct Sink {
    pub(super) db: SqliteConnection,
    _lock: File,
}

/// A run on record: durable before anything is borrowed for it.
pub struct Run {
    /// Its id, for the vault.
    pub id: RunId,
    /// Whether it began earlier and died.
    pub is_continued: bool,
}

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS pawl_sink (connection_id TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS pawl_run (
        run_id        TEXT    NOT NULL PRIMARY KEY,
        connection_id TEXT    NOT NULL,
        started_at    TEXT    NOT NULL,
        outcome       TEXT,
        records       INTEGER,
        finished_at   TEXT
    );
    CREATE TABLE IF NOT EXISTS pawl_sweep (
        number   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        run_id   TEXT    NOT NULL REFERENCES pawl_run (run_id),
        model    TEXT    NOT NULL,
        last_id  INTEGER NOT NULL DEFAULT 0,
        records  INTEGER NOT NULL DEFAULT 0,
        changed  INTEGER,
        removed  INTEGER,
        moved_at INTEGER NOT NULL,
        done_at  TEXT
    );";

#[derive(QueryableByName)]
struct OneText {
    #[diesel(sql_type = Text)]
    text: String,
}

#[derive(QueryableByName)]
struct OpenRun {
    #[diesel(sql_type = Text)]
    run_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    outcome: Option<String>,
}

impl Sink {
    /// Opens or makes the sink at `path` and locks it, by a lock that ends with this process.
    pub fn open(path: &Path, connection: &ConnectionId) -> Result<Self, SinkError> {
        let lock = lock(path)?;
        let io = |source| SinkError::Io { path: path.into(), source };
        private(path).map_err(io)?;
        // `file:` and `:memory:` mean something else to SQLite than to the lock.
        let file = std::fs::canonicalize(path).map_err(io)?;
        let mut db = SqliteConnection::establish(&file.to_string_lossy())
            .map_err(|_| SinkError::Database("it can't be opened"))?;
        db.batch_execute(
            "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA foreign_keys = ON;",
        )?;
        db.batch_execute(TABLES)?;
        let owner: Option<OneText> =
            sql_query("SELECT connection_id AS text FROM pawl_sink").get_result(&mut db).optional()?;
        match owner {
            Some(owner) if owner.text != connection.as_str() => {
                return Err(SinkError::OtherConnection { path: path.into(), belongs_to: owner.text });
            }
            Some(_) => {}
            None => {
                sql_query("INSERT INTO pawl_sink VALUES (?)")
                    .bind::<Text, _>(connection.as_str())
                    .execute(&mut db)?;
            }
        }
        Ok(Self { db, _lock: lock })
    }

    /// The run that died here, or a new one. It is durable when this answers.
    pub fn begin_run(&mut self, connection: &ConnectionId, now: Moment) -> Result<Run, SinkError> {
        let open: Option<OpenRun> =
            sql_query("SELECT run_id, outcome FROM pawl_run WHERE finished_at IS NULL ORDER BY run_id DESC")
                .get_result(&mut self.db)
                .optional()?;
        if let Some(open) = open {
            let id = RunId::parse(&open.run_id).map_err(|_| SinkError::Database("a run's id is damaged"))?;
            if open.outcome.is_some() {
                // It had come to its end and only its lease was not handed back: sweep anew.
                self.db.immediate_transaction(|db| {
                    sql_query("DELETE FROM pawl_sweep WHERE run_id = ?")
                        .bind::<Text, _>(id.as_str())
                        .execute(db)?;
                    sql_query("UPDATE pawl_run SET outcome = NULL WHERE run_id = ?")
                        .bind::<Text, _>(id.as_str())
                        .execute(db)
                })?;
            }
            return Ok(Run { id, is_continued: true });
        }
        let id = new_id("run", now)?;
        sql_query("INSERT INTO pawl_run (run_id, connection_id, started_at) VALUES (?, ?, ?)")
            .bind::<Text, _>(&id)
            .bind::<Text, _>(connection.as_str())
            .bind::<Text, _>(now.to_string())
            .execute(&mut self.db)?;
        let id = RunId::parse(&id).map_err(|_| SinkError::Database("a run's id is damaged"))?;
        Ok(Run { id, is_continued: false })
    }

    /// Notes how the run went; it is over once its lease is handed back, and would be gone on with
    /// otherwise.
    pub fn end_run(
        &mut self,
        run: &Run,
        outcome: Outcome,
        records: u64,
        handed_back: Option<Moment>,
    ) -> Result<(), SinkError> {
        sql_query("UPDATE pawl_run SET outcome = ?, records = ?, finished_at = ? WHERE run_id = ?")
            .bind::<Text, _>(outcome.as_str())
            .bind::<BigInt, _>(signed(records))
            .bind::<Nullable<Text>, _>(handed_back.map(|at| at.to_string()))
            .bind::<Text, _>(run.id.as_str())
            .execute(&mut self.db)?;
        Ok(())
    }
}

pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Locks the file beside the sink. Not the sink: SQLite has locks of its own on that.
fn lock(path: &Path) -> Result<File, SinkError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let io = |source| SinkError::Io { path: beside.clone(), source };
    let file = private(&beside).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SinkError::Busy(path.into())),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Opens a file, and makes it for its owner alone if it is not there.
fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}
