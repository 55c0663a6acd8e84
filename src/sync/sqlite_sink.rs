//! The sink: one SQLite file, for one connection, written by one run at a time. A page and how far
//! the sweep is are one transaction; a run that died is found here and goes on.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::clock::{Moment, NoRandomness, new_id};
use crate::ids::{ConnectionId, RunId};
use crate::odoo::{Fields, Record};
use crate::sync::borrow::Outcome;
use crate::sync::table::Table;

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
    db: SqliteConnection,
    _lock: File,
}

/// A run on record: durable before anything is borrowed for it.
pub struct Run {
    /// Its id, for the vault.
    pub id: RunId,
    /// Whether it began earlier and died.
    pub is_continued: bool,
}

/// How far the pull of one model is.
pub struct Sweep {
    number: i64,
    table: Table,
    /// The highest id that is in the sink.
    pub last_id: i64,
    /// How many records so far.
    pub records: u64,
    /// Whether all of the model is in.
    pub is_done: bool,
}

/// What the pull of one model did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Records found.
    pub records: u64,
    /// Of these, new or changed.
    pub changed: u64,
    /// Records that are gone.
    pub removed: u64,
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

/// A sweep that stood still for longer begins anew: what it saw first may have changed since.
const FRESH: Duration = Duration::from_secs(900);

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

#[derive(QueryableByName)]
struct SweepRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    last_id: i64,
    #[diesel(sql_type = BigInt)]
    records: i64,
    #[diesel(sql_type = BigInt)]
    moved_at: i64,
    #[diesel(sql_type = Nullable<Text>)]
    done_at: Option<String>,
}

#[derive(QueryableByName)]
struct SweptRow {
    #[diesel(sql_type = BigInt)]
    records: i64,
    #[diesel(sql_type = BigInt)]
    changed: i64,
    #[diesel(sql_type = BigInt)]
    removed: i64,
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

    /// Goes on with the run's sweep of a model, or begins it.
    pub fn begin_sweep(&mut self, run: &Run, fields: &Fields, now: Moment) -> Result<Sweep, SinkError> {
        let table = Table::of(fields);
        let model = fields.model().name();
        self.db.immediate_transaction(|db| {
            table.prepare(db)?;
            let row: Option<SweepRow> = sql_query(
                "SELECT number, last_id, records, moved_at, done_at FROM pawl_sweep \
                 WHERE run_id = ? AND model = ? ORDER BY number DESC",
            )
            .bind::<Text, _>(run.id.as_str())
            .bind::<Text, _>(model)
            .get_result(db)
            .optional()?;
            let fresh = row.filter(|row| now.since(Moment::from_micros(row.moved_at)) <= FRESH);
            let row = match fresh {
                Some(row) => row,
                None => sql_query(
                    "INSERT INTO pawl_sweep (run_id, model, moved_at) VALUES (?, ?, ?) \
                     RETURNING number, last_id, records, moved_at, done_at",
                )
                .bind::<Text, _>(run.id.as_str())
                .bind::<Text, _>(model)
                .bind::<BigInt, _>(now.micros())
                .get_result(db)?,
            };
            Ok(Sweep {
                number: row.number,
                table,
                last_id: row.last_id,
                records: unsigned(row.records),
                is_done: row.done_at.is_some(),
            })
        })
    }

    /// Writes a page and moves the sweep past it, together.
    pub fn write_page(&mut self, sweep: &mut Sweep, page: Vec<Record>, now: Moment) -> Result<(), SinkError> {
        let last_id = page.last().map_or(sweep.last_id, |record| record.id);
        let records = sweep.records + u64::try_from(page.len()).unwrap_or(u64::MAX);
        self.db.immediate_transaction(|db| {
            for record in page {
                sweep.table.write(db, record, sweep.number)?;
            }
            sql_query("UPDATE pawl_sweep SET last_id = ?, records = ?, moved_at = ? WHERE number = ?")
                .bind::<BigInt, _>(last_id)
                .bind::<BigInt, _>(signed(records))
                .bind::<BigInt, _>(now.micros())
                .bind::<BigInt, _>(sweep.number)
                .execute(db)
        })?;
        (sweep.last_id, sweep.records) = (last_id, records);
        Ok(())
    }

    /// The whole model was seen: what was not is removed, together with the note that it is done.
    pub fn end_sweep(&mut self, sweep: &mut Sweep, now: Moment) -> Result<Swept, SinkError> {
        let number = sweep.number;
        let row: SweptRow = self.db.immediate_transaction(|db| {
            if !sweep.is_done {
                let removed = sweep.table.remove_unseen(db, number)?;
                let changed = sweep.table.count_changed(db, number)?;
                sql_query("UPDATE pawl_sweep SET changed = ?, removed = ?, done_at = ? WHERE number = ?")
                    .bind::<BigInt, _>(changed)
                    .bind::<BigInt, _>(i64::try_from(removed).unwrap_or(i64::MAX))
                    .bind::<Text, _>(now.to_string())
                    .bind::<BigInt, _>(number)
                    .execute(db)?;
            }
            sql_query(
                "SELECT records, coalesce(changed, 0) AS changed, coalesce(removed, 0) AS removed \
                 FROM pawl_sweep WHERE number = ?",
            )
            .bind::<BigInt, _>(number)
            .get_result(db)
        })?;
        sweep.is_done = true;
        Ok(Swept {
            records: unsigned(row.records),
            changed: unsigned(row.changed),
            removed: unsigned(row.removed),
        })
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
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
