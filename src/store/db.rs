//! A connection to the database, made ready: SQLite with WAL, full syncs and overwritten deletes.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::r2d2::ManageConnection;
use diesel::{Connection, MultiConnection, QueryResult, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::store::error::StoreError;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// How long a statement waits for SQLite's one writer.
pub(super) const BUSY: Duration = Duration::from_secs(2);

/// One open database, of a kind that the URL names.
#[derive(MultiConnection)]
pub(super) enum Db {
    Sqlite(SqliteConnection),
}

impl Db {
    /// Begins a transaction; one that `writes` takes SQLite's write lock at once, so that it can't
    /// fail half-way for having begun as a reader.
    pub(super) fn begin(&mut self, writes: bool) -> QueryResult<()> {
        match self {
            Self::Sqlite(db) => {
                let sql = if writes { "BEGIN IMMEDIATE" } else { "BEGIN" };
                AnsiTransactionManager::begin_transaction_sql(db, sql)
            }
        }
    }

    pub(super) fn commit(&mut self) -> QueryResult<()> {
        match self {
            Self::Sqlite(db) => AnsiTransactionManager::commit_transaction(db),
        }
    }

    pub(super) fn rollback(&mut self) -> QueryResult<()> {
        match self {
            Self::Sqlite(db) => AnsiTransactionManager::rollback_transaction(db),
        }
    }

    /// Takes what was deleted out of the write-ahead log too, as far as readers allow it now.
    pub(super) fn checkpoint(&mut self) -> QueryResult<()> {
        match self {
            Self::Sqlite(db) => db.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)"),
        }
    }
}

impl Db {
    pub(super) fn ping(&mut self) -> QueryResult<()> {
        self.batch_execute("SELECT 1 FROM keys LIMIT 1")
    }
}

/// Opens connections for the pool.
pub(super) struct Opener {
    file: PathBuf,
}

impl Opener {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.into() }
    }

    /// Makes the file, for its owner alone, and brings its tables up to date.
    pub(super) fn prepare(&self) -> Result<(), StoreError> {
        let mut options = std::fs::OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        options.open(&self.file).map_err(|e| StoreError::NoDatabase(e.to_string()))?;
        let Db::Sqlite(mut db) = self.connect().map_err(|e| StoreError::NoDatabase(e.to_string()))?;
        db.run_pending_migrations(MIGRATIONS).map_err(|e| StoreError::NoDatabase(e.to_string()))?;
        Ok(())
    }
}

impl ManageConnection for Opener {
    type Connection = Db;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Db, Self::Error> {
        let file = self.file.to_string_lossy();
        let mut db = SqliteConnection::establish(&file).map_err(diesel::r2d2::Error::ConnectionError)?;
        db.batch_execute(&format!(
            "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON;",
            BUSY.as_millis()
        ))
        .map_err(diesel::r2d2::Error::QueryError)?;
        Ok(Db::Sqlite(db))
    }

    fn is_valid(&self, db: &mut Db) -> Result<(), Self::Error> {
        db.batch_execute("SELECT 1").map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, db: &mut Db) -> bool {
        match db {
            // A transaction left open would hand the next caller somebody else's.
            Db::Sqlite(db) => !matches!(
                AnsiTransactionManager::transaction_manager_status_mut(db).transaction_depth(),
                Ok(None)
            ),
        }
    }
}
