//! One open database of either kind, and how a transaction on it begins and ends.

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::result::{DatabaseErrorKind, Error};
use diesel::{MultiConnection, QueryResult, SqliteConnection};

use crate::store::scopes::{NarrowRole, Scopes};

/// One open database, of a kind that the address names.
#[derive(MultiConnection)]
pub(super) enum Db {
    Sqlite(SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(diesel::PgConnection),
}

/// What a transaction is going to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    /// To write while nobody else does, of whichever org.
    Alone,
}

/// The same on the connection inside, whichever it is.
macro_rules! each {
    ($db:expr, $inner:ident => $what:expr) => {
        match $db {
            Db::Sqlite($inner) => $what,
            #[cfg(feature = "postgres")]
            Db::Postgres($inner) => $what,
        }
    };
}
pub(super) use each;

/// The first row of `query`, if there is one. On SQLite it is read without a limit, and no further: a limit that is bound
/// has SQLite prepare the statement anew each time, for more than it takes to run.
macro_rules! first_row {
    ($db:expr, $row:ty, $query:expr) => {
        match $db {
            Db::Sqlite(db) => {
                use diesel::connection::DefaultLoadingMode;
                let mut rows = $query.load_iter::<$row, DefaultLoadingMode>(db)?;
                rows.next().transpose()
            }
            #[cfg(feature = "postgres")]
            Db::Postgres(db) => $query.first::<$row>(db).optional(),
        }
    };
}
pub(super) use first_row;

/// Whether it is the session that writes nothing. It stays so when the database is not read-only any more: on PostgreSQL
/// for what it was told when it began, on SQLite for how it opened the file.
pub(super) fn is_read_only(error: &Error) -> bool {
    match error {
        Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) => true,
        Error::DatabaseError(_, told) => told.message().contains("readonly database"),
        _ => false,
    }
}

impl Db {
    /// Begins a transaction on the rows of `scopes`. A reader sees everything as it was at one
    /// moment. A writer holds what it may change from the start, so that it can't fail half-way: on
    /// SQLite the one write lock, on PostgreSQL its orgs' chains, in one order for all.
    pub(super) fn begin(&mut self, access: Access, scopes: &Scopes) -> QueryResult<()> {
        match self {
            Self::Sqlite(db) => {
                // It has no policies to tell.
                let _ = scopes;
                let sql = if access == Access::Read { "BEGIN" } else { "BEGIN IMMEDIATE" };
                AnsiTransactionManager::begin_transaction_sql(db, sql)
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(db) => {
                let sql = match access {
                    Access::Write | Access::Alone => super::postgres::WRITE,
                    Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                };
                AnsiTransactionManager::begin_transaction_sql(db, sql)?;
                let begun = super::postgres::enter(db, access, scopes);
                if begun.is_err() {
                    // The first error says more than this one could.
                    let _ = AnsiTransactionManager::rollback_transaction(db);
                }
                begun
            }
        }
    }

    /// Begins to write on the rows of those of `scopes` that nobody else writes on; waits for none. Answers
    /// the orgs that it did not get. On SQLite the one write lock is waited for, and then all are there.
    pub(super) fn begin_where_free(&mut self, scopes: &Scopes) -> QueryResult<Vec<String>> {
        match self {
            Self::Sqlite(_) => self.begin(Access::Write, scopes).map(|()| Vec::new()),
            #[cfg(feature = "postgres")]
            Self::Postgres(db) => {
                super::postgres::begin(db)?;
                let taken = super::postgres::enter_where_free(db, scopes);
                if taken.is_err() {
                    let _ = AnsiTransactionManager::rollback_transaction(db);
                }
                taken
            }
        }
    }

    /// Lets the open transaction touch the rows of `scopes` instead of those it began with.
    pub(super) fn change_scopes(&mut self, scopes: &Scopes) -> QueryResult<()> {
        match self {
            Self::Sqlite(_) => {
                let _ = scopes;
                Ok(())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(db) => super::postgres::enter(db, Access::Write, scopes),
        }
    }

    /// The same for one that only looks: it waits for nobody.
    pub(super) fn look_at(&mut self, scopes: &Scopes) -> QueryResult<()> {
        match self {
            Self::Sqlite(_) => {
                let _ = scopes;
                Ok(())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(db) => super::postgres::enter(db, Access::Read, scopes),
        }
    }

    /// Lets the rest of the open transaction do what `role` may and no more. SQLite has no roles.
    pub(super) fn become_role(&mut self, role: NarrowRole) -> QueryResult<()> {
        match self {
            Self::Sqlite(_) => {
                let _ = role;
                Ok(())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(db) => db.batch_execute(&format!("SET LOCAL ROLE {}", role.name())),
        }
    }

    /// Ends that.
    pub(super) fn leave_role(&mut self) -> QueryResult<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
            #[cfg(feature = "postgres")]
            Self::Postgres(db) => db.batch_execute("SET LOCAL ROLE NONE"),
        }
    }

    pub(super) fn commit(&mut self) -> QueryResult<()> {
        each!(self, db => AnsiTransactionManager::commit_transaction(db))
    }

    pub(super) fn rollback(&mut self) -> QueryResult<()> {
        each!(self, db => AnsiTransactionManager::rollback_transaction(db))
    }

    /// Whoever gave it out does not give it out again.
    pub(super) fn spoil(&mut self) {
        each!(self, db => AnsiTransactionManager::transaction_manager_status_mut(db).set_in_error());
    }

    /// A transaction left open would hand the next caller somebody else's.
    pub(super) fn is_broken(&mut self) -> bool {
        !each!(self, db => {
            matches!(AnsiTransactionManager::transaction_manager_status_mut(db).transaction_depth(), Ok(None))
        })
    }

    /// Takes what was deleted out of SQLite's write-ahead log too, as far as readers allow it now.
    pub(super) fn checkpoint(&mut self) -> QueryResult<()> {
        match self {
            Self::Sqlite(db) => db.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)"),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
        }
    }

    pub(super) fn ping(&mut self) -> QueryResult<()> {
        self.batch_execute("SELECT 1 FROM keys LIMIT 1")
    }
}
