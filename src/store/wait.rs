//! Who waits for a transaction, and for how long; and what becomes of it, and of what comes after it, when nobody does
//! any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::Instrument;

use crate::access::Scope;
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::scopes::Scopes;
use crate::store::still::Until;
use crate::store::transact::{Terms, transact};
use crate::store::tx::{Store, Tx};

impl Store {
    /// As [`Store::run`], and `after` it, where the change is one of which `is_done` says so: that has ended when this
    /// answers, and is done also where nobody waits for it any more, as its time had passed or who asked has gone.
    pub async fn run_then<T, E>(
        &self,
        name: &'static str,
        scope: Scope,
        deadline: Duration,
        work: impl FnOnce(&mut Tx) -> Result<T, E> + Send + 'static,
        (is_done, after): (fn(&T) -> bool, impl Future<Output = ()> + Send + 'static),
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (turn, until) = self.change(name, scope, deadline, work);
        let (tell, told) = oneshot::channel();
        let whole = async move {
            let done = turn.await;
            let is_done = done.as_ref().is_ok_and(is_done);
            let _ = tell.send(done);
            if is_done {
                after.await;
            }
        };
        let whole = tokio::spawn(whole.in_current_span());
        let broke_off = || StoreError::Unavailable("the work broke off").into();
        let told = async { told.await.unwrap_or_else(|_| Err(broke_off())) };
        let done = self.wait(&until, true, told).await?;
        whole.await.map_err(|_| broke_off())?;
        Ok(done)
    }

    pub(super) async fn transact<T, E>(
        &self,
        name: &'static str,
        access: Access,
        scopes: Scopes,
        deadline: Duration,
        work: impl FnOnce(&mut Db, &mut u32) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let until = Arc::new(Until::new(deadline));
        let turn = self.turn(access, scopes, until.clone(), self.named(name, access, work));
        self.wait(&until, false, turn).await
    }

    /// A transaction that changes rows of `scope`, and until when.
    pub(super) fn change<T, E, W>(
        &self,
        name: &'static str,
        scope: Scope,
        deadline: Duration,
        work: W,
    ) -> (impl Future<Output = Result<T, E>> + Send + use<T, E, W>, Arc<Until>)
    where
        W: FnOnce(&mut Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (scopes, events_per_day) = (Scopes::from(&scope), self.events_per_day);
        let work = move |db: &mut Db, appended: &mut u32| {
            work(&mut Tx { db, scope: &scope, appended, events_per_day })
        };
        let until = Arc::new(Until::new(deadline));
        let turn = self.turn(Access::Write, scopes, until.clone(), self.named(name, Access::Write, work));
        (turn, until)
    }

    /// One transaction of that name, on a connection of the pool.
    pub(super) fn named<T, E, W>(
        &self,
        name: &'static str,
        access: Access,
        work: W,
    ) -> impl FnOnce(&Scopes, &Until) -> Result<T, E> + Send + use<T, E, W>
    where
        W: FnOnce(&mut Db, &mut u32) -> Result<T, E> + Send + 'static,
        E: From<StoreError>,
    {
        let (store, asked) = (self.clone(), Instant::now());
        move |scopes, until| {
            let terms = Terms { name, access, scopes, asked, until: Some(until) };
            let done = transact(&mut *store.connection()?, &terms, work);
            if done.is_ok() && access != Access::Read {
                store.motion.moved();
            }
            done
        }
    }

    /// Runs `work` off the async threads. One that is still at it when nobody waits any more keeps its
    /// place as the writer until it has ended.
    pub(super) fn turn<T, E, W>(
        &self,
        access: Access,
        scopes: Scopes,
        until: Arc<Until>,
        work: W,
    ) -> impl Future<Output = Result<T, E>> + Send + use<T, E, W>
    where
        W: FnOnce(&Scopes, &Until) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let writers = self.writers.clone();
        async move {
            let place = match access {
                Access::Read => None,
                Access::Write | Access::Alone => writers.place(&scopes).await,
            };
            if until.is_over() {
                return Err(StoreError::Unavailable("deadline").into());
            }
            let span = tracing::Span::current();
            let done = tokio::task::spawn_blocking(move || {
                let (_place, _of_request) = (place, span.entered());
                work(&scopes, &until)
            });
            done.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the work broke off").into()))
        }
    }

    /// Waits for `turn` in its time, and for a caller's change no longer than for a lend while the database stands
    /// still: its outcome is unknown then, if it was under way.
    pub(super) async fn wait<T, E>(
        &self,
        until: &Until,
        is_change: bool,
        turn: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        let why = tokio::select! {
            biased;
            done = turn => return done,
            () = tokio::time::sleep_until(until.at) => "deadline",
            () = self.motion.is_still(until.asked), if is_change => "the database stands still",
        };
        until.give_up();
        if is_change {
            self.motion.stood_still(until.asked);
        }
        Err(StoreError::Unavailable(why).into())
    }
}
