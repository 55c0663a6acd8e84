//! One transaction, whole or not at all, and what is told of it.

use std::time::Instant;

use crate::metrics;
use crate::store::db::{Access, Db, is_read_only};
use crate::store::error::StoreError;
use crate::store::scopes::Scopes;
use crate::store::still::Until;

/// What a transaction is, and until when.
pub(super) struct Terms<'a> {
    pub(super) name: &'static str,
    pub(super) access: Access,
    pub(super) scopes: &'a Scopes,
    /// Since when somebody waits for it.
    pub(super) asked: Instant,
    pub(super) until: Option<&'a Until>,
}

/// All of `work` in one transaction, or none of it. Nothing of it once its time has passed: whoever asked
/// was told 503 then, and may have been told of a later change since.
pub(super) fn transact<T, E>(
    db: &mut Db,
    terms: &Terms,
    work: impl FnOnce(&mut Db, &mut u32) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<StoreError>,
{
    let name = terms.name;
    let _span = tracing::debug_span!("store", transaction = name).entered();
    let (begun, mut appended) = (Instant::now(), 0);
    let (done, outcome) = attempt(db, terms, |db| work(db, &mut appended));
    metrics::transaction(name, outcome.name(), begun.elapsed());
    tracing::debug!(outcome = outcome.name(), "transaction");
    if outcome == Outcome::Committed {
        (0..appended).for_each(|_| metrics::event_durable(terms.asked.elapsed()));
    }
    done
}

fn attempt<T, E>(
    db: &mut Db,
    terms: &Terms,
    work: impl FnOnce(&mut Db) -> Result<T, E>,
) -> (Result<T, E>, Outcome)
where
    E: From<StoreError>,
{
    let stored = |e: diesel::result::Error| E::from(StoreError::from(e));
    let in_time = || match terms.until {
        Some(until) if terms.access != Access::Read && until.is_over() => {
            Err(E::from(StoreError::Unavailable("deadline")))
        }
        _ => Ok(()),
    };
    if let Err(error) = db.begin(terms.access, terms.scopes) {
        if is_read_only(&error) {
            db.spoil();
        }
        return (Err(stored(error)), Outcome::Failed);
    }
    let done = in_time().and_then(|()| work(db)).and_then(|done| in_time().map(|()| done));
    match done {
        Ok(done) => match db.commit() {
            Ok(()) => (Ok(done), Outcome::Committed),
            Err(error) => {
                // A commit that failed leaves the transaction open on SQLite. Nobody else is to meet what it met.
                let _ = db.rollback();
                db.spoil();
                (Err(stored(error)), Outcome::Failed)
            }
        },
        Err(refused) => {
            // The pool throws a connection away whose transaction is still open.
            let _ = db.rollback();
            (Err(refused), Outcome::RolledBack)
        }
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    RolledBack,
    Failed,
}

impl Outcome {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
        }
    }
}
