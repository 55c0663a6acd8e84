//! `Store::run` is the door: a named transaction with a scope and a deadline, off the async threads.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diesel::r2d2::Pool;
use tokio::sync::Semaphore;

use crate::access::Scope;
use crate::store::db::{BUSY, Db, Opener};
use crate::store::error::StoreError;

/// Connections that the pool keeps: SQLite has one writer, the rest are readers.
const POOL: u32 = 4;

/// The database.
#[derive(Clone)]
pub struct Store {
    pub(super) pool: Pool<Opener>,
    /// SQLite has one writer and wakes those who wait for it in no order; here they queue.
    writers: Arc<Semaphore>,
}

/// An open transaction that may touch the rows of one scope.
pub struct Tx<'a> {
    pub(super) db: &'a mut Db,
    pub(super) scope: &'a Scope,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

impl Store {
    /// Opens the SQLite file, making it if it is not there, and applies the migrations.
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        let opener = Opener::new(file);
        opener.prepare()?;
        let pool = Pool::builder()
            .max_size(POOL)
            .min_idle(Some(1))
            .connection_timeout(BUSY)
            .error_handler(Box::new(diesel::r2d2::NopErrorHandler))
            .test_on_check_out(false)
            .build(opener)
            .map_err(|e| StoreError::NoDatabase(e.to_string()))?;
        Ok(Self { pool, writers: Arc::new(Semaphore::new(1)) })
    }

    /// Changes rows of `scope`: all of `work` is durable when this answers, or none of it is.
    /// After [`StoreError::Unavailable`] the outcome of a change is unknown.
    pub async fn run<T, E>(
        &self,
        name: &'static str,
        scope: Scope,
        deadline: Duration,
        work: impl FnOnce(&mut Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.transact(name, Access::Write, deadline, move |db| work(&mut Tx { db, scope: &scope })).await
    }

    /// Reads rows of `scope`, all as they were at one moment.
    pub async fn view<T, E>(
        &self,
        name: &'static str,
        scope: Scope,
        deadline: Duration,
        work: impl FnOnce(&mut Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.transact(name, Access::Read, deadline, move |db| work(&mut Tx { db, scope: &scope })).await
    }

    /// Whether the database answers.
    pub async fn ping(&self, deadline: Duration) -> Result<(), StoreError> {
        self.transact("ping", Access::Read, deadline, |db| Ok(db.ping()?)).await
    }

    /// Takes deleted bytes out of the write-ahead log, as far as readers allow it now.
    pub async fn scrub(&self, deadline: Duration) -> Result<(), StoreError> {
        let pool = self.pool.clone();
        self.within(deadline, Access::Write, move || {
            let mut db = pool.get().map_err(|_| StoreError::Unavailable("no connection"))?;
            Ok(db.checkpoint()?)
        })
        .await
    }

    pub(super) async fn change<T, E>(
        &self,
        name: &'static str,
        deadline: Duration,
        work: impl FnOnce(&mut Db) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.transact(name, Access::Write, deadline, work).await
    }

    async fn transact<T, E>(
        &self,
        name: &'static str,
        access: Access,
        deadline: Duration,
        work: impl FnOnce(&mut Db) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let pool = self.pool.clone();
        self.within(deadline, access, move || transact(&pool, name, access, work)).await
    }

    /// Runs `work` off the async threads. One that is still at it when the deadline passes keeps its
    /// place as the writer until it has ended; its outcome is not waited for.
    async fn within<T, E>(
        &self,
        deadline: Duration,
        access: Access,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let writers = self.writers.clone();
        let turn = async move {
            let place = match access {
                Access::Read => None,
                // Closed by nobody.
                Access::Write => writers.acquire_owned().await.ok(),
            };
            tokio::task::spawn_blocking(move || {
                let _place = place;
                work()
            })
            .await
        };
        match tokio::time::timeout(deadline, turn).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StoreError::Unavailable("the work broke off").into()),
            Err(_) => Err(StoreError::Unavailable("deadline").into()),
        }
    }
}

pub(super) fn transact<T, E>(
    pool: &Pool<Opener>,
    name: &'static str,
    access: Access,
    work: impl FnOnce(&mut Db) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<StoreError>,
{
    let _span = tracing::debug_span!("store", name).entered();
    let mut db = pool.get().map_err(|_| StoreError::Unavailable("no connection"))?;
    let stored = |e: diesel::result::Error| E::from(StoreError::from(e));
    db.begin(access == Access::Write).map_err(stored)?;
    match work(&mut db) {
        Ok(done) => db.commit().map(|()| done).map_err(|e| {
            // A commit that failed leaves the transaction open on SQLite.
            let _ = db.rollback();
            stored(e)
        }),
        Err(refused) => {
            // The pool throws a connection away whose transaction is still open.
            let _ = db.rollback();
            Err(refused)
        }
    }
}
