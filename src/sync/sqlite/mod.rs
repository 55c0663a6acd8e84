//! SQLite as a sink: one file, for one connection, written by one run at a time. A run is on record
//! here before anything is lent for it; one that died is found here and goes on.

mod missing;
mod sweeps;
mod table;
mod upsert;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::clock::{Moment, new_id};
use crate::ids::{ConnectionId, RunId};
use crate::odoo::Fields;
use crate::sync::borrow::Outcome;
use crate::sync::sink::{Known, Listed, Loss, Page, Run, Sink, SinkError};
use crate::sync::sweep::{Sweep, Swept};
use table::Table;

impl From<diesel::result::Error> for SinkError {
    fn from(error: diesel::result::Error) -> Self {
        // The message of any other error could quote a value.
        let said = match &error {
            diesel::result::Error::DatabaseError(_, info) => info.message(),
            _ => "",
        };
        match said {
            said if said.contains("locked") => Self::Locked,
            said if said.contains("disk is full") => Self::Database("the disk is full"),
            said if said.contains("not a database") => Self::Database("the file is no SQLite database"),
            _ => Self::Database("a statement failed"),
        }
    }
}

/// An open sink. Nobody else writes to it until it is dropped.
pub struct SqliteSink {
    db: SqliteConnection,
    connection: ConnectionId,
    /// By model.
    tables: BTreeMap<String, Table>,
    _lock: File,
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
    CREATE TABLE IF NOT EXISTS pawl_watermark (
        model     TEXT NOT NULL PRIMARY KEY,
        watermark TEXT,
        whole_at  TEXT
    );
    CREATE TABLE IF NOT EXISTS pawl_sweep (
        model    TEXT    NOT NULL PRIMARY KEY,
        began_at TEXT    NOT NULL,
        newest   TEXT,
        pass     TEXT    NOT NULL,
        since    TEXT,
        last_id  INTEGER NOT NULL,
        read     INTEGER NOT NULL,
        changed  INTEGER NOT NULL,
        removed  INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS pawl_missing (
        model TEXT    NOT NULL,
        id    INTEGER NOT NULL,
        PRIMARY KEY (model, id)
    ) WITHOUT ROWID;";

/// The number of that layout, in the file's `user_version`.
const LAYOUT: i64 = 3;

#[derive(QueryableByName)]
struct OneText {
    #[diesel(sql_type = Text)]
    text: String,
}

#[derive(QueryableByName)]
struct OneNumber {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct OpenRun {
    #[diesel(sql_type = Text)]
    run_id: String,
}

impl SqliteSink {
    /// Opens or makes the sink at `path` and locks it, by a lock that ends with this process.
    pub fn open(path: &Path, connection: &ConnectionId) -> Result<Self, SinkError> {
        let io = |source| SinkError::Io { path: path.into(), source };
        private(path).map_err(io)?;
        // One lock whatever a link calls it; and `file:` and `:memory:` mean something else to SQLite.
        let file = std::fs::canonicalize(path).map_err(io)?;
        let lock = lock(&file, path)?;
        let mut db = SqliteConnection::establish(&file.to_string_lossy())
            .map_err(|_| SinkError::Database("it can't be opened"))?;
        db.batch_execute("PRAGMA busy_timeout = 5000")?;
        if !is_ours(&mut db)? {
            return Err(SinkError::Foreign(path.into()));
        }
        db.batch_execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
        prepare(&mut db, path)?;
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
        Ok(Self { db, connection: connection.clone(), tables: BTreeMap::new(), _lock: lock })
    }
}

impl Sink for SqliteSink {
    fn begin_run(&mut self, now: Moment) -> Result<Run, SinkError> {
        let damaged = |_| SinkError::Database("a run's id is damaged");
        let open: Option<OpenRun> =
            sql_query("SELECT run_id FROM pawl_run WHERE finished_at IS NULL ORDER BY run_id DESC")
                .get_result(&mut self.db)
                .optional()?;
        if let Some(open) = open {
            let id = RunId::parse(&open.run_id).map_err(damaged)?;
            return Ok(Run { id, is_continued: true });
        }
        let id = new_id("run", now)?;
        sql_query("INSERT INTO pawl_run (run_id, connection_id, started_at) VALUES (?, ?, ?)")
            .bind::<Text, _>(&id)
            .bind::<Text, _>(self.connection.as_str())
            .bind::<Text, _>(now.to_string())
            .execute(&mut self.db)?;
        Ok(Run { id: RunId::parse(&id).map_err(damaged)?, is_continued: false })
    }

    fn end_run(
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

    fn known(&mut self, fields: &Fields) -> Result<Known, SinkError> {
        let (model, table) = (fields.model().name(), Table::of(fields));
        let known = self.db.immediate_transaction(|db| {
            if table.prepare(db)? {
                // What was read before has nothing in the new columns.
                sweeps::forget(db, model)?;
            }
            sweeps::known(db, model)
        })?;
        self.tables.insert(model.to_owned(), table);
        Ok(known)
    }

    fn begin_sweep(&mut self, sweep: &Sweep) -> Result<(), SinkError> {
        self.db.immediate_transaction(|db| {
            missing::forget(db, &sweep.model)?;
            sweeps::begin(db, sweep)
        })
    }

    fn write(&mut self, mut sweep: Sweep, page: Page) -> Result<Sweep, SinkError> {
        let table = self.tables.get(&sweep.model).ok_or(SinkError::Broken)?;
        self.db.immediate_transaction(|db| {
            let Page { records, missing } = page;
            missing::note(db, (&sweep.model, table), &missing)?;
            for record in records {
                sweep.count.read += 1;
                sweep.count.changed += u64::from(table.write(db, record)?);
            }
            sweeps::note(db, &sweep)
        })?;
        Ok(sweep)
    }

    fn differing(&mut self, model: &str, listed: &[Listed]) -> Result<Vec<i64>, SinkError> {
        let table = self.tables.get(model).ok_or(SinkError::Broken)?;
        Ok(table.differing(&mut self.db, listed)?)
    }

    fn missing(&mut self, model: &str, after: i64, most: u32) -> Result<Vec<i64>, SinkError> {
        Ok(missing::some(&mut self.db, model, after, most)?)
    }

    fn found(&mut self, model: &str, ids: &[i64]) -> Result<(), SinkError> {
        Ok(missing::found(&mut self.db, model, ids)?)
    }

    fn loss(&mut self, model: &str) -> Result<Loss, SinkError> {
        let table = self.tables.get(model).ok_or(SinkError::Broken)?;
        let missing = missing::count(&mut self.db, model)?;
        Ok(Loss { missing, of: table.count(&mut self.db)? })
    }

    fn end_sweep(&mut self, mut sweep: Sweep) -> Result<Swept, SinkError> {
        let table = self.tables.get(&sweep.model).ok_or(SinkError::Broken)?;
        self.db.immediate_transaction(|db| {
            sweep.count.removed += missing::remove(db, (&sweep.model, table))?;
            sweeps::end(db, &sweep)?;
            Ok(Swept { records: table.count(db)?, count: sweep.count })
        })
    }
}

/// Makes the tables in a new file; refuses one whose tables are other ones.
fn prepare(db: &mut SqliteConnection, path: &Path) -> Result<(), SinkError> {
    let version = "SELECT user_version AS number FROM pragma_user_version";
    let made = "SELECT count(*) AS number FROM sqlite_master WHERE name = 'pawl_sink'";
    let [version, made] = [version, made].map(|sql| sql_query(sql).get_result::<OneNumber>(db));
    if made?.number > 0 && version?.number != LAYOUT {
        return Err(SinkError::OtherLayout(path.into()));
    }
    db.immediate_transaction(|db| {
        db.batch_execute(TABLES)?;
        db.batch_execute(&format!("PRAGMA user_version = {LAYOUT}"))
    })?;
    Ok(())
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Whether the file is a sink, or empty and may become one. Somebody's own tables are not taken over.
fn is_ours(db: &mut SqliteConnection) -> Result<bool, SinkError> {
    let ours: OneNumber = sql_query(
        "SELECT count(*) = 0 OR coalesce(sum(name = 'pawl_sink'), 0) > 0 AS number FROM sqlite_master",
    )
    .get_result(db)?;
    Ok(ours.number != 0)
}

/// Locks the file beside the sink. Not the sink: SQLite has locks of its own on that.
fn lock(file: &Path, path: &Path) -> Result<File, SinkError> {
    let mut beside = file.as_os_str().to_owned();
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
