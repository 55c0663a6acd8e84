//! One log, for as long as it is the one in use: what its witnesses say of it, whether it still is, and its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::audit::LogKey;
use crate::clock::Moment;
use crate::seal::OpenRefused;
use crate::store::{LogRow, StoreError, StoredCheckpoint};
use crate::vault::DEADLINE;
use crate::vault::log::Log;
use crate::vault::log::begin::LogShut;
use crate::vault::log::courier::Courier;
use crate::vault::log::doubt::Doubted;
use crate::vault::log::follows::{Known, believe, newest_believed};
use crate::vault::log::witnesses::Contact;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(250);
/// How often a frozen vault looks whether another log began, and one that failed tries again.
pub(super) const FOLLOW: Duration = Duration::from_secs(1);

/// One log, for as long as it is the one in use.
pub(super) struct Session {
    pub(super) log: Arc<Log>,
    pub(super) row: LogRow,
    pub(super) key: Option<Arc<LogKey>>,
    couriers: Vec<Arc<Courier>>,
    carrying: JoinSet<()>,
    pub(super) newest: watch::Sender<Option<StoredCheckpoint>>,
    /// When it was last looked what moved.
    pub(super) looked_at: Option<Moment>,
    /// How many events this vault had appended then.
    pub(super) counted: u64,
    /// Not before: the last try failed.
    pub(super) again_at: Option<Instant>,
    /// How many leaves the log was seen to have.
    pub(super) size: u64,
    /// How many chains were stepped over at the last look.
    pub(super) damaged: usize,
}

impl Session {
    /// Takes up the log in use, with what its witnesses say of it.
    pub(super) async fn begin(log: Arc<Log>, is_first: bool) -> Result<Self, StoreError> {
        let logs = find_logs(&log).await?;
        let Some(row) = logs.last().cloned() else {
            log.set_shut(Some(&LogShut::Gone));
            return Err(StoreError::NotSetUp);
        };
        if log.switch.is_other_log() {
            // What was doubted of a log that is not believed is not kept: nothing is lent before they are asked anew.
            log.switch.set_behind(true);
        }
        let (known, key) = match believed(&log, &logs).await {
            Ok((known, key)) => {
                log.set_shut(None);
                (Some(known), Some(Arc::new(key)))
            }
            Err(shut) => {
                log.set_shut(Some(&shut));
                (newest_believed(&logs, &log.ring.held().keyring).0, None)
            }
        };
        let known = known.map(Arc::new);
        let remembered = log.remembered(known.as_deref());
        let courier = |of: &Arc<Contact>| Arc::new(Courier::new(log.clone(), known.clone(), of.clone()));
        let couriers: Vec<_> = log.witnesses.iter().map(courier).collect();
        let doubted = join_all(couriers.iter().map(|courier| courier.ask())).await;
        let doubted: Vec<Doubted> = doubted.into_iter().flatten().chain(remembered).collect();
        log.doubt(&doubted);
        log.settle(known.as_deref());
        if !is_first && !log.switch.is_doubted() {
            tracing::warn!("not frozen: the database is not behind its witnesses");
        }
        let (newest, _) = watch::channel(None);
        let mut session = Self {
            log,
            row,
            key,
            couriers,
            carrying: JoinSet::new(),
            newest,
            looked_at: None,
            counted: 0,
            again_at: None,
            size: 0,
            damaged: 0,
        };
        if !session.log.switch.is_doubted() {
            session.make(false).await;
        }
        for courier in &session.couriers {
            session.carrying.spawn(courier.clone().carry(session.newest.subscribe()));
        }
        Ok(session)
    }

    pub(super) async fn run(mut self, stop: &mut oneshot::Receiver<()>) -> Ended {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut followed_at = Instant::now();
        loop {
            tokio::select! {
                _ = &mut *stop => {
                    self.end().await;
                    return Ended::Stopped;
                }
                _ = ticks.tick() => {}
            }
            let (is_doubted, is_due) = (self.log.switch.is_doubted(), self.is_due());
            if is_due || (is_doubted && followed_at.elapsed() >= FOLLOW) {
                followed_at = Instant::now();
                self.log.keep_doubts();
                if self.is_over().await {
                    return Ended::OtherLog;
                }
            }
            if is_due && !is_doubted && !self.make(false).await {
                return Ended::Doubted;
            }
        }
    }

    /// Another log is in use, or this one's row is not what it was, or is believed again.
    async fn is_over(&self) -> bool {
        let logs = match find_logs(&self.log).await {
            Ok(logs) => logs,
            Err(error) => return matches!(error, StoreError::Damaged(_)),
        };
        let same = |last: &LogRow| {
            (&last.id, &last.origin, &last.public_key, &last.follows)
                == (&self.row.id, &self.row.origin, &self.row.public_key, &self.row.follows)
        };
        !logs.last().is_some_and(same)
            || (self.log.switch.is_other_log() && believed(&self.log, &logs).await.is_ok())
    }

    /// What moved since is signed, and told to whoever takes it in the time they have.
    async fn end(mut self) {
        self.carrying.shutdown().await;
        if self.log.switch.is_doubted() {
            return;
        }
        self.make(true).await;
        let newest = self.newest.borrow().clone();
        if let Some(newest) = newest {
            join_all(self.couriers.iter().map(|courier| courier.bring(&newest))).await;
        }
    }
}

/// Why one ended.
#[derive(PartialEq, Eq)]
pub(super) enum Ended {
    /// The vault stops.
    Stopped,
    /// Another log is in use.
    OtherLog,
    /// The log is not what it was: its witnesses are to be asked again.
    Doubted,
}

/// A row that can't be read is of no log of this vault's.
async fn find_logs(log: &Log) -> Result<Vec<LogRow>, StoreError> {
    let found = log.store.view_own("find logs", DEADLINE, |tx| tx.find_logs()).await;
    if let Err(StoreError::Damaged(_)) = found {
        log.set_shut(Some(&LogShut::Damaged));
    }
    found
}

/// The newest log and its key, where it is one that this vault's keys made; they are read anew for one that is not held.
pub(super) async fn believed(log: &Log, logs: &[LogRow]) -> Result<(Known, LogKey), LogShut> {
    let held = log.ring.held();
    match believe(logs, &held.keyring) {
        Err(LogShut::Shut(OpenRefused::UnknownKey, key)) if held.may_learn(&key) => {
            believe(logs, &log.ring.seek(&key, &held).await.keyring)
        }
        done => done,
    }
}
