//! `Store::run` is the door: a named transaction with a scope and a deadline, off the async threads.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::r2d2::{Pool, PooledConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::Scope;
use crate::config::{Database, LeaseCaps};
use crate::metrics;
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::lane::Lane;
use crate::store::open::{BUSY, Complain, Opener, Tables};
use crate::store::scopes::Scopes;
use crate::store::standing::LOOKS;
use crate::store::still::{Motion, Until};

/// Connections that the pool keeps: SQLite has one writer, the rest are readers.
const SQLITE_POOL: u32 = 4;
const POSTGRES_POOL: u32 = 8;

/// The database.
#[derive(Clone)]
pub struct Store {
    pub(super) pool: Pool<Opener>,
    /// For the look at who may call, which no crowd of others is to keep waiting.
    pub(super) lookout: Pool<Opener>,
    pub(super) writers: Writers,
    pub(super) lane: Arc<Lane>,
    pub(super) motion: Arc<Motion>,
    pub(super) events_per_day: i64,
}

/// Places for writers. SQLite has one writer and wakes those who wait for it in no order; here they
/// queue. On PostgreSQL one at a time of an org: more would hold connections only to wait for each other
/// in the database, and leave none for anybody else's.
#[derive(Clone)]
pub(super) struct Writers {
    places: Arc<Vec<Arc<Semaphore>>>,
    hashing: RandomState,
}

/// Enough that two orgs seldom share a place; sharing costs a wait, never an error.
const PLACES: usize = 256;

impl Writers {
    fn of(opener: &Opener) -> Self {
        let places = if opener.has_one_writer() { 1 } else { PLACES };
        let places = (0..places).map(|_| Arc::new(Semaphore::new(1))).collect();
        Self { places: Arc::new(places), hashing: RandomState::new() }
    }

    /// The place of these scopes, to be held until the writing has ended.
    pub(super) async fn place(&self, scopes: &Scopes) -> Option<OwnedSemaphorePermit> {
        let mut hasher = self.hashing.build_hasher();
        scopes.orgs().for_each(|org| org.hash(&mut hasher));
        let places = u64::try_from(self.places.len()).unwrap_or(1);
        let at = usize::try_from(hasher.finish() % places).unwrap_or(0);
        // Closed by nobody.
        self.places.get(at)?.clone().acquire_owned().await.ok()
    }

    /// The lane's: it queues for SQLite's writer like all; on PostgreSQL it takes only what is free.
    pub(super) async fn place_of_lane(&self) -> Option<OwnedSemaphorePermit> {
        if self.places.len() == 1 { self.place(&Scopes::default()).await } else { None }
    }
}

/// An open transaction that may touch the rows of one scope. Every query on a tenant's rows is one of its
/// methods, and it comes only out of [`Store::run`] and [`Store::view`], which take the scope:
///
/// ```
/// use std::time::Duration;
///
/// use pawl::access::Scope;
/// use pawl::ids::ConnectionId;
/// use pawl::store::{Store, StoreError, StoredConnection, Tx};
///
/// async fn find(
///     store: &Store,
///     whose: Scope,
///     id: ConnectionId,
/// ) -> Result<Option<StoredConnection>, StoreError> {
///     let look = move |tx: &mut Tx| tx.find_connection(&id);
///     store.view("find", whose, Duration::from_secs(5), look).await
/// }
/// ```
///
/// Without one there is no query to write:
///
/// ```compile_fail,E0061
/// use std::time::Duration;
///
/// use pawl::ids::ConnectionId;
/// use pawl::store::{Store, StoreError, StoredConnection, Tx};
///
/// async fn find(
///     store: &Store,
///     id: ConnectionId,
/// ) -> Result<Option<StoredConnection>, StoreError> {
///     let look = move |tx: &mut Tx| tx.find_connection(&id);
///     store.view("find", Duration::from_secs(5), look).await
/// }
/// ```
///
/// nor is a text a scope,
///
/// ```compile_fail,E0308
/// use std::time::Duration;
///
/// use pawl::ids::ConnectionId;
/// use pawl::store::{Store, StoreError, StoredConnection, Tx};
///
/// async fn find(
///     store: &Store,
///     whose: String,
///     id: ConnectionId,
/// ) -> Result<Option<StoredConnection>, StoreError> {
///     let look = move |tx: &mut Tx| tx.find_connection(&id);
///     store.view("find", whose, Duration::from_secs(5), look).await
/// }
/// ```
///
/// nor does the transaction outlive what it was opened for:
///
/// ```compile_fail
/// use std::time::Duration;
///
/// use pawl::access::Scope;
/// use pawl::store::{Store, StoreError, Tx};
///
/// async fn keep<'a>(store: &Store, whose: Scope) -> Result<&'a mut Tx<'a>, StoreError> {
///     store.view("keep", whose, Duration::from_secs(5), |tx| Ok(tx)).await
/// }
/// ```
///
/// while what is found in it does:
///
/// ```
/// use std::time::Duration;
///
/// use pawl::access::Scope;
/// use pawl::store::{Store, StoreError, Tx};
///
/// async fn keep(store: &Store, whose: Scope) -> Result<(), StoreError> {
///     store.view("keep", whose, Duration::from_secs(5), |_: &mut Tx| Ok(())).await
/// }
/// ```
pub struct Tx<'a> {
    pub(super) db: &'a mut Db,
    pub(super) scope: &'a Scope,
    /// How many events it appended.
    pub(super) appended: &'a mut u32,
    /// How many the scope's org may have of a day.
    pub(super) events_per_day: i64,
}

impl Store {
    /// Opens the database, and makes its tables or only holds them against what this version expects. `lanes` threads
    /// lend on a server, one on SQLite.
    pub fn open(
        database: &Database,
        tables: Tables,
        caps: LeaseCaps,
        lanes: usize,
    ) -> Result<Self, StoreError> {
        let opener = Opener::new(database);
        opener.prepare(tables)?;
        let is_server = !opener.has_one_writer();
        let writers = Writers::of(&opener);
        let lane = Lane::open(opener.clone(), writers.clone(), caps, lanes)?;
        let pool = |size| {
            Pool::builder()
                .max_size(size)
                // None is opened ahead, in the background: one that is still shaking hands when the process
                // ends would meet an OpenSSL that has cleaned up after itself.
                .min_idle(Some(0))
                .connection_timeout(BUSY)
                .error_handler(Box::new(Complain))
                // A server may have gone away and come back since.
                .test_on_check_out(is_server)
                .build(opener.clone())
                .map_err(|e| StoreError::NoDatabase(e.to_string()))
        };
        let many = pool(if is_server { POSTGRES_POOL } else { SQLITE_POOL })?;
        let lookout = pool(u32::try_from(LOOKS).unwrap_or(1))?;
        let events_per_day = caps.events_per_day;
        let motion = Arc::new(Motion::new());
        Ok(Self { pool: many, lookout, writers, lane: Arc::new(lane), motion, events_per_day })
    }

    /// Brings the tables of a server up to date, as the role that `owner` names, and lets the role that
    /// keeps rows do what `policies/postgres/` says and no more.
    pub fn migrate(owner: &Database) -> Result<(), StoreError> {
        match owner {
            #[cfg(feature = "postgres")]
            Database::Postgres(address) => super::postgres::migrate(address),
            _ => Err(StoreError::NoDatabase("only PostgreSQL's tables have an owner of their own".into())),
        }
    }

    /// Whether there is one writer for all: SQLite.
    pub(super) fn has_one_writer(&self) -> bool {
        self.writers.places.len() == 1
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
        let (turn, until) = self.change(name, scope, deadline, work);
        self.wait(&until, true, turn).await
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
        let (scopes, events_per_day) = (Scopes::from(&scope), self.events_per_day);
        self.transact(name, Access::Read, scopes, deadline, move |db, appended| {
            work(&mut Tx { db, scope: &scope, appended, events_per_day })
        })
        .await
    }

    /// Whether the database answers, and the lane moves.
    pub async fn ping(&self, deadline: Duration) -> Result<(), StoreError> {
        self.lane.check()?;
        self.transact("ping", Access::Read, Scopes::default(), deadline, |db, _| Ok(db.ping()?)).await
    }

    /// Takes deleted bytes out of the write-ahead log, as far as readers allow it now.
    pub async fn scrub(&self, deadline: Duration) -> Result<(), StoreError> {
        let store = self.clone();
        let until = Arc::new(Until::new(deadline));
        let scrub = move |_: &Scopes, _: &Until| Ok(store.connection()?.checkpoint()?);
        let turn = self.turn(Access::Write, Scopes::default(), until.clone(), scrub);
        self.wait(&until, false, turn).await
    }

    pub(super) fn connection(&self) -> Result<PooledConnection<Opener>, StoreError> {
        let asked = Instant::now();
        let got = self.pool.get();
        metrics::pool_wait(asked.elapsed());
        got.map_err(|_| StoreError::Unavailable("no connection"))
    }
}
