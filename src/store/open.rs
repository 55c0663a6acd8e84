//! Opens connections, made ready: SQLite with WAL, full syncs and overwritten deletes; PostgreSQL
//! with bounds on every wait. And holds the tables against what this version expects.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
use diesel::prelude::*;
use diesel::r2d2::{HandleError, ManageConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::config::Database;
use crate::store::db::{Db, each};
use crate::store::error::StoreError;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// How long a statement waits for what another holds.
pub(super) const BUSY: Duration = Duration::from_secs(2);

/// What an opening may do to the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// Bring them up to date, where this program's role may.
    Migrate,
    /// Only hold them against what this version expects.
    Check,
}

/// Opens connections for the pool and the lane.
#[derive(Clone)]
pub(super) struct Opener {
    database: Database,
}

impl Opener {
    pub(super) fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }

    /// Whether there is one writer for all: SQLite.
    pub(super) fn has_one_writer(&self) -> bool {
        self.database.file().is_some()
    }

    /// Makes the tables or checks them.
    pub(super) fn prepare(&self, tables: Tables) -> Result<(), StoreError> {
        match &self.database {
            Database::Sqlite(file) => prepare_sqlite(file, tables),
            #[cfg(feature = "postgres")]
            Database::Postgres(address) => super::postgres::check(&mut super::postgres::connect(address)?),
            #[cfg(not(feature = "postgres"))]
            Database::Postgres(_) => Err(StoreError::NoDatabase("this binary has no PostgreSQL".into())),
        }
    }
}

fn prepare_sqlite(file: &Path, tables: Tables) -> Result<(), StoreError> {
    let failed = |e: &dyn std::fmt::Display| StoreError::NoDatabase(e.to_string());
    if tables == Tables::Check {
        if !file.exists() {
            return Err(StoreError::NotSetUp);
        }
        return pending(&mut connect_sqlite(file).map_err(|e| failed(&e))?);
    }
    // For its owner alone; the files that SQLite makes beside it take its mode.
    let mut options = std::fs::OpenOptions::new();
    let made = options.create(true).append(true).mode(0o600).open(file).map_err(|e| failed(&e))?;
    let mode = made.metadata().map_err(|e| failed(&e))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let file = file.display();
        return Err(failed(&format!("{file} can be read by others (mode {mode:03o}): chmod 600 it")));
    }
    let mut db = connect_sqlite(file).map_err(|e| failed(&e))?;
    db.run_pending_migrations(SQLITE).map_err(|e| failed(&e))?;
    Ok(())
}

fn pending(db: &mut SqliteConnection) -> Result<(), StoreError> {
    let applied = applied_migrations(&mut |sql| diesel::sql_query(sql).load(db));
    compare(applied, &expected::<diesel::sqlite::Sqlite>(&SQLITE)?)
}

#[derive(QueryableByName)]
pub(super) struct Version {
    #[diesel(sql_type = diesel::sql_types::Text)]
    version: String,
}

/// The versions that the tables were brought to; `None` when there is no record of any. Asked by hand:
/// the migration harness would make its own table first, which a role that only keeps rows may not.
pub(super) fn applied_migrations(
    load: &mut dyn FnMut(&str) -> QueryResult<Vec<Version>>,
) -> Option<Vec<String>> {
    let rows = load("SELECT version FROM __diesel_schema_migrations ORDER BY version").ok()?;
    Some(rows.into_iter().map(|row| row.version).collect())
}

pub(super) fn expected<DB: diesel::backend::Backend>(
    migrations: &EmbeddedMigrations,
) -> Result<Vec<String>, StoreError>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let all = MigrationSource::<DB>::migrations(migrations);
    let all = all.map_err(|e| StoreError::NoDatabase(e.to_string()))?;
    let mut versions: Vec<String> = all.iter().map(|m| m.name().version().to_string()).collect();
    versions.sort();
    Ok(versions)
}

pub(super) fn compare(applied: Option<Vec<String>>, expected: &[String]) -> Result<(), StoreError> {
    match applied {
        None => Err(StoreError::NotSetUp),
        Some(applied) if applied == expected => Ok(()),
        Some(applied) if applied.iter().any(|version| !expected.contains(version)) => {
            Err(StoreError::NoDatabase("its tables are of a later version of Pawl".into()))
        }
        Some(_) => Err(StoreError::NoDatabase(
            "its tables are of an earlier version of Pawl: run `pawl init` to bring them up to date".into(),
        )),
    }
}

fn connect_sqlite(file: &Path) -> Result<SqliteConnection, diesel::r2d2::Error> {
    let path = PathBuf::from(file);
    let mut db =
        SqliteConnection::establish(&path.to_string_lossy()).map_err(diesel::r2d2::Error::ConnectionError)?;
    db.batch_execute(&format!(
        "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;",
        BUSY.as_millis()
    ))
    .map_err(diesel::r2d2::Error::QueryError)?;
    Ok(db)
}

/// Says in the log why no connection could be made; the callers are only told that there was none.
#[derive(Debug)]
pub(super) struct Complain;

impl HandleError<diesel::r2d2::Error> for Complain {
    fn handle_error(&self, error: diesel::r2d2::Error) {
        tracing::error!(%error, "no connection to the database");
    }
}

impl ManageConnection for Opener {
    type Connection = Db;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Db, Self::Error> {
        match &self.database {
            Database::Sqlite(file) => connect_sqlite(file).map(Db::Sqlite),
            #[cfg(feature = "postgres")]
            Database::Postgres(address) => super::postgres::establish(address).map(Db::Postgres),
            #[cfg(not(feature = "postgres"))]
            Database::Postgres(_) => Err(diesel::r2d2::Error::ConnectionError(
                ConnectionError::BadConnection("this binary has no PostgreSQL".into()),
            )),
        }
    }

    fn is_valid(&self, db: &mut Db) -> Result<(), Self::Error> {
        each!(db, db => db.batch_execute("SELECT 1")).map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, db: &mut Db) -> bool {
        db.is_broken()
    }
}
