//! Where the rows come from: a server, a file of SQLite's, or a CSV with a header.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::config::{Database, DatabaseRefused, PostgresAddress};
use crate::import::columns::{Columns, Table};
use crate::import::csv::CsvFile;
use crate::import::name::{NameRefused, SourceName};
#[cfg(feature = "postgres")]
use crate::import::postgres::PostgresTable;
use crate::import::row::SourceRow;
use crate::import::sqlite::SqliteTable;
use crate::secret::Secret;

/// A source as it was named, not yet opened. A server's address may hold a password.
pub enum Source {
    /// `postgres://…`
    Postgres(Arc<PostgresAddress>),
    /// `sqlite:PATH`
    Sqlite(PathBuf),
    /// `csv:PATH`
    Csv(PathBuf),
}

/// Why a source can't be read. Quotes no value of a row and no password.
#[derive(Debug, thiserror::Error)]
pub enum SourceRefused {
    /// None of the three forms.
    #[error("the source must be postgres://USER@HOST/DATABASE, sqlite:PATH or csv:PATH")]
    Form,
    /// It is a server's address, and wrong.
    #[error("the source {0}")]
    Address(DatabaseRefused),
    /// Who lists this machine's processes reads their command lines.
    #[error(
        "the source has a password on the command line, where others can read it: give it with --from-file"
    )]
    PasswordShown,
    /// A file that holds an address may hold a password.
    #[error("the file {0} holds a server's address and can be read by others (mode {1:03o}): chmod 600 it")]
    FileShown(String, u32),
    /// What comes over an open network may have been changed: another url beside a password, say.
    #[error(
        "the source is reached over a network without sslmode=verify-full: its rows could be changed on the way"
    )]
    NotVerified,
    /// Variables that libpq would heed.
    #[error("{0} is set, and PostgreSQL's library would heed it: put all of the address into the source")]
    Surroundings(String),
    /// A database is more than one table.
    #[error("the source is a database: name the table with --table")]
    NoTable,
    /// A CSV is one table.
    #[error("the source is a CSV, which has no tables: leave --table out")]
    TableOfCsv,
    /// A CSV is made anew each time, anywhere.
    #[error(
        "a CSV has no name that stays: give it one with --source, and the same one to the next export of that table"
    )]
    NoName,
    /// Its name does not fit into the ledger.
    #[error(transparent)]
    Name(#[from] NameRefused),
    /// It can't be opened, or has not what a row is made of.
    #[error("the source can't be opened: {0}")]
    Unopened(String),
    /// It broke off.
    #[error("the source could not be read to its end ({0})")]
    BrokeOff(&'static str),
}

impl Source {
    /// Takes one of the three forms as a command line has it: without a password.
    pub fn of_command_line(text: Secret) -> Result<Self, SourceRefused> {
        match Self::parse(text)? {
            Self::Postgres(address) if address.has_password() => Err(SourceRefused::PasswordShown),
            source => Ok(source),
        }
    }

    /// Takes what the file at `path` holds: one of the three forms, and a server's address only where its owner
    /// alone can read it.
    pub fn of_file(path: &Path) -> Result<Self, SourceRefused> {
        let unopened = |e: io::Error| SourceRefused::Unopened(format!("{}: {e}", path.display()));
        let mut file = File::open(path).map_err(unopened)?;
        let mode = file.metadata().map_err(unopened)?.permissions().mode() & 0o777;
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(unopened)?;
        match Self::parse(Secret::new(text.trim_end().to_owned()))? {
            Self::Postgres(_) if mode & 0o077 != 0 => {
                Err(SourceRefused::FileShown(path.display().to_string(), mode))
            }
            source => Ok(source),
        }
    }

    /// Takes one of the three forms.
    pub fn parse(text: Secret) -> Result<Self, SourceRefused> {
        let file = |rest: &str| (!rest.is_empty()).then(|| PathBuf::from(rest)).ok_or(SourceRefused::Form);
        if let Some(path) = text.expose().strip_prefix("csv:") {
            return file(path).map(Self::Csv);
        }
        match Database::parse(text) {
            Ok(Database::Sqlite(path)) => Ok(Self::Sqlite(path)),
            Ok(Database::Postgres(address)) if address.is_safe_on_its_way() => Ok(Self::Postgres(address)),
            Ok(Database::Postgres(_)) => Err(SourceRefused::NotVerified),
            Err(DatabaseRefused::Form) => Err(SourceRefused::Form),
            Err(refused) => Err(SourceRefused::Address(refused)),
        }
    }

    /// Opens it, to be read and no more, and finds the columns there.
    pub fn open(&self, table: Option<&Table>, columns: &Columns) -> Result<OpenSource, SourceRefused> {
        match (self, table) {
            (Self::Csv(path), None) => CsvFile::open(path, columns).map(OpenSource::Csv),
            (Self::Csv(_), Some(_)) => Err(SourceRefused::TableOfCsv),
            (_, None) => Err(SourceRefused::NoTable),
            (Self::Sqlite(path), Some(table)) => {
                SqliteTable::open(path, table, columns).map(OpenSource::Sqlite)
            }
            #[cfg(feature = "postgres")]
            (Self::Postgres(address), Some(table)) => {
                PostgresTable::open(address, table, columns).map(OpenSource::Postgres)
            }
            #[cfg(not(feature = "postgres"))]
            (Self::Postgres(_), Some(_)) => Err(SourceRefused::Address(DatabaseRefused::NotBuilt)),
        }
    }
}

/// A source that is open, to be read once.
pub enum OpenSource {
    /// A server's table.
    #[cfg(feature = "postgres")]
    Postgres(PostgresTable),
    /// A file's table.
    Sqlite(SqliteTable),
    /// A CSV.
    Csv(CsvFile),
}

impl OpenSource {
    /// What it is called unless it is told, the same however it was spelled: a server's host and port, its database,
    /// schema and table; a file's place, links followed, and table. A CSV has to be told.
    pub fn name(&self) -> Result<SourceName, SourceRefused> {
        let name = match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(table) => table.name(),
            Self::Sqlite(table) => table.name(),
            Self::Csv(_) => return Err(SourceRefused::NoName),
        };
        Ok(SourceName::parse(name)?)
    }

    /// How many rows there are, where that is known before they are read.
    pub fn total(&self) -> Option<u64> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(table) => Some(table.total()),
            Self::Sqlite(table) => Some(table.total()),
            Self::Csv(_) => None,
        }
    }

    /// Gives each row to `take`, until that wants no more.
    pub fn read(self, take: impl FnMut(SourceRow) -> bool) -> Result<(), SourceRefused> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(table) => table.read(take),
            Self::Sqlite(table) => table.read(take),
            Self::Csv(file) => file.read(take),
        }
    }
}
