//! Why the database did not do it, without any row's content.

use crate::clock::Moment;
use crate::ids::KeyId;

/// The database could not do it. Carries no row's content.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be opened or brought up to date.
    #[error("the database can't be opened: {0}")]
    NoDatabase(String),
    /// It has no tables.
    #[error("the database is not set up")]
    NotSetUp,
    /// It would let happen what this vault promises against.
    #[error("the database is refused: {0}")]
    NotSafe(String),
    /// It did not answer, not in time, or not now.
    #[error("the database did not answer ({0})")]
    Unavailable(&'static str),
    /// There is one like it already.
    #[error("such a row exists")]
    Duplicate,
    /// The org's trail takes no more of the day of that moment.
    #[error("the org's trail takes no more events today")]
    PastQuota(Moment),
    /// A row holds what this vault never writes.
    #[error("a row of {0} is damaged")]
    Damaged(&'static str),
    /// The key that should seal is not the one that may.
    #[error("the key {0} may not seal any more")]
    KeyMayNotSeal(KeyId),
}

impl From<diesel::result::Error> for StoreError {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::{DatabaseErrorKind, Error};
        match error {
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Self::Duplicate,
            Error::DatabaseError(DatabaseErrorKind::ClosedConnection, _) => {
                Self::Unavailable("connection lost")
            }
            Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, _)
            | Error::BrokenTransactionManager => Self::Unavailable("connection lost"),
            Error::DatabaseError(..) => Self::Unavailable("statement failed"),
            Error::DeserializationError(_) => Self::Damaged("a table"),
            _ => Self::Unavailable("query failed"),
        }
    }
}
