//! The log grows and is signed here, on a thread of its own: nobody waits for it, and for no witness. Of several vaults
//! on one database one signs, whichever is first.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::audit::{Checkpoint, LogKey, VerifierKey, empty_root};
use crate::clock::Moment;
use crate::metrics;
use crate::seal::OpenRefused;
use crate::store::{Grown, Growth, LogRow, Sign, StoreError, StoredCheckpoint, Upkeep};
use crate::vault::DEADLINE;
use crate::vault::log::Log;
use crate::vault::log::begin::LogShut;
use crate::vault::log::courier::Courier;
use crate::vault::log::doubt::{Doubt, Doubted, THIS_VAULT};
use crate::vault::log::follows::{Known, believe, newest_believed};
use crate::vault::log::witnesses::Contact;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(250);
/// How often a frozen vault looks whether another log began, and one that failed tries again.
const FOLLOW: Duration = Duration::from_secs(1);
/// A start waits for so long until the witnesses have said what they have.
const BEGIN_WITHIN: Duration = Duration::from_secs(5);

/// A log that is kept, until this is dropped: then what moved since is signed and told, once.
pub struct Keeper {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Begins to keep the log. Answers once the witnesses were asked, or did not answer in time: before that nothing
    /// is to be lent.
    pub fn start(log: Log) -> std::io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (begun, has_begun) = sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Whatever keeps the database or the log from being read: nothing is lent before witnesses were asked.
        log.switch.set_behind(!log.witnesses.is_empty() || !log.doubting.read().is_empty());
        let keep = move || {
            runtime.block_on(keep(Arc::new(log), begun, stopped));
            // Not for a disk that never answers.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("log".into()).spawn(keep)?;
        // Also where it ended, or is late: it says so itself.
        let _ = has_begun.recv_timeout(BEGIN_WITHIN);
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn keep(log: Arc<Log>, begun: SyncSender<()>, mut stop: oneshot::Receiver<()>) {
    let (mut is_said, mut is_first) = (false, true);
    loop {
        let ended = match Session::begin(log.clone(), is_first).await {
            Ok(session) => {
                (is_said, is_first) = (false, false);
                let _ = begun.try_send(());
                session.run(&mut stop).await
            }
            Err(error) => {
                if !std::mem::replace(&mut is_said, true) {
                    tracing::error!(%error, "the trail's log can't be read: no checkpoint is made");
                }
                tokio::select! {
                    _ = &mut stop => Ended::Stopped,
                    () = tokio::time::sleep(FOLLOW) => Ended::OtherLog,
                }
            }
        };
        if ended == Ended::Stopped {
            return;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Ended {
    Stopped,
    /// Another log is in use.
    OtherLog,
    /// The log is not what it was: its witnesses are to be asked again.
    Doubted,
}

/// One log, for as long as it is the one in use.
struct Session {
    log: Arc<Log>,
    row: LogRow,
    key: Option<Arc<LogKey>>,
    couriers: Vec<Arc<Courier>>,
    carrying: JoinSet<()>,
    newest: watch::Sender<Option<StoredCheckpoint>>,
    /// When it was last looked what moved.
    looked_at: Option<Moment>,
    /// How many events this vault had appended then.
    counted: u64,
    /// Not before: the last try failed.
    again_at: Option<Instant>,
    /// How many leaves the log was seen to have.
    size: u64,
    /// How many chains were stepped over at the last look.
    damaged: usize,
}

impl Session {
    /// Takes up the log in use, with what its witnesses say of it.
    async fn begin(log: Arc<Log>, is_first: bool) -> Result<Self, StoreError> {
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

    async fn run(mut self, stop: &mut oneshot::Receiver<()>) -> Ended {
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

    fn is_due(&self) -> bool {
        let (now, every) = (self.log.clock.now(), self.log.checkpoints.every);
        // A moment that is far ahead is of a clock that went back since.
        let is_time = |at: Moment| now >= at.after(every) || at > now.after(every);
        let is_full = metrics::events_durable().saturating_sub(self.counted) >= self.log.checkpoints.events;
        self.again_at.is_none_or(|at| Instant::now() >= at) && (is_full || self.looked_at.is_none_or(is_time))
    }

    /// Makes a checkpoint, if any chain moved; unless another vault made one just now and it is not the last.
    /// `false`: the log is not the one that it was.
    async fn make(&mut self, is_last: bool) -> bool {
        let counted = metrics::events_durable();
        let is_full = counted.saturating_sub(self.counted) >= self.log.checkpoints.events;
        match self.try_make(is_last || is_full).await {
            Ok(()) => (self.counted, self.again_at) = (counted, None),
            Err(error) => {
                if self.again_at.is_none() {
                    tracing::error!(%error, "no checkpoint of the trail can be made");
                }
                self.again_at = Some(Instant::now() + FOLLOW);
                let doubted = self.seen_otherwise(&error);
                self.log.doubt(&doubted);
                return doubted.is_empty();
            }
        }
        true
    }

    /// What this process saw of the log itself, where it is not so any more: whatever becomes of the witnesses.
    fn seen_otherwise(&self, error: &NotMade) -> Vec<Doubted> {
        let told = self.told();
        let (doubt, size) = match (error, &told) {
            (NotMade::NotSigned(size), _) => (Doubt::NotSigned { size: *size }, *size),
            (NotMade::Shrunk(before, now), _) => (Doubt::Older { size: *now, witnessed: *before }, *before),
            (NotMade::Store(StoreError::Damaged("audit_nodes")), Some(told)) => {
                (Doubt::Rewritten { size: told.size }, told.size)
            }
            _ => return Vec::new(),
        };
        let unsigned = || Checkpoint { origin: self.row.origin.clone(), size, root: empty_root() };
        let checkpoint = told.filter(|told| told.size == size).unwrap_or_else(unsigned);
        vec![Doubted { doubt, witness: THIS_VAULT.into(), checkpoint }]
    }

    async fn try_make(&mut self, is_asked: bool) -> Result<(), NotMade> {
        let (at, every) = (self.log.clock.now(), self.log.checkpoints.every);
        let (mut from, mut damaged) = (String::new(), 0);
        loop {
            let (log, first) = (self.row.id.clone(), from.clone());
            let at_once = self.log.store.leaves_at_once();
            let look = move |tx: &mut Upkeep| tx.find_growth(&log, &first, at_once);
            let Growth { size, newest, moved, damaged: unread, last } =
                self.log.store.view_own("look what moved", DEADLINE, look).await?;
            let signed = newest.as_ref().map(|newest| self.signed(newest)).transpose()?;
            let before = self.size.max(signed.as_ref().map_or(0, |signed| signed.size));
            if size < before {
                // It was put back under this very process, or cut: the witnesses are asked again.
                return Err(NotMade::Shrunk(before, size));
            }
            self.size = size;
            let recent = newest.as_ref().filter(|newest| self.is_as_told(newest)).map(|of| of.created_at);
            let recent = recent.filter(|made| at < made.after(every) && *made <= at.after(every));
            if let Some(made) = recent.filter(|_| from.is_empty() && !is_asked) {
                self.tell(newest);
                self.looked_at = Some(made);
                return Ok(());
            }
            damaged += unread;
            let is_whole = last.is_none();
            from = last.unwrap_or_default();
            if moved.is_empty() && newest.as_ref().is_some_and(|newest| newest.size == size) {
                self.tell(newest);
                match is_whole {
                    true => break,
                    false => continue,
                }
            }
            let key = self.key().await?;
            let (log, origin) = (self.row.id.clone(), self.row.origin.clone());
            let grown = size + u64::try_from(moved.len()).unwrap_or(0);
            let told = self.told().into_iter().chain(signed).max_by_key(|of| of.size);
            let grow = move |tx: &mut Upkeep| {
                let sign = |checkpoint: &Checkpoint| key.sign(checkpoint);
                let signs: Option<Sign> = if is_whole { Some(&sign) } else { None };
                tx.grow_log((&log, &origin), size, &moved, told.as_ref(), (signs, at))
            };
            match self.log.store.upkeep_within("append to log", DEADLINE, grow).await? {
                // Another vault is at it.
                None => {
                    self.looked_at = Some(at);
                    return Ok(());
                }
                Some(Grown { newest }) => {
                    newest.as_ref().map(|newest| self.signed(newest)).transpose()?;
                    self.size = grown;
                    self.tell(newest);
                }
            }
            if is_whole {
                break;
            }
        }
        self.looked_at = Some(at);
        self.tell_damaged(damaged);
        Ok(())
    }

    /// Of how many chains nothing can be told any more: each is its org's harm, and nobody else's.
    fn tell_damaged(&mut self, chains: usize) {
        metrics::chains_damaged(chains);
        if std::mem::replace(&mut self.damaged, chains) < chains {
            tracing::error!(
                chains,
                "chains of the trail are damaged, and get no leaf: pawl audit verify says which"
            );
        }
    }

    /// What `stored` says, which this log's key signed: whoever writes the database puts no other word into the
    /// witnesses' mouths.
    fn signed(&self, stored: &StoredCheckpoint) -> Result<Checkpoint, NotMade> {
        let key = VerifierKey::parse(&self.row.public_key).ok();
        let signed = key.and_then(|key| key.verify(&stored.note).ok());
        signed.filter(|signed| signed.size == stored.size).ok_or(NotMade::NotSigned(stored.size))
    }

    /// What was told last.
    fn told(&self) -> Option<Checkpoint> {
        self.newest.borrow().as_ref().and_then(|told| Checkpoint::claimed(&told.note).ok())
    }

    /// Whether it was made when it was said to be: nobody makes an old one young, so that no new one is made.
    fn is_as_told(&self, newest: &StoredCheckpoint) -> bool {
        let told = self.newest.borrow();
        told.as_ref().is_none_or(|told| told.size != newest.size || told.created_at == newest.created_at)
    }

    /// Tells of a checkpoint that this log's key signed.
    fn tell(&self, newest: Option<StoredCheckpoint>) {
        let Some(newest) = newest else { return };
        self.newest.send_if_modified(|told| {
            let is_new = told.as_ref().is_none_or(|told| told.size < newest.size);
            if is_new {
                metrics::checkpoint(newest.size, newest.created_at);
                *told = Some(newest);
            }
            is_new
        });
    }

    /// The log's key. One that is open already stays so.
    async fn key(&mut self) -> Result<Arc<LogKey>, NotMade> {
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let (_, opened) = believed(&self.log, std::slice::from_ref(&self.row)).await?;
        let key = Arc::new(opened);
        self.key = Some(key.clone());
        Ok(key)
    }
}

#[derive(Debug, thiserror::Error)]
enum NotMade {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Shut(#[from] LogShut),
    #[error("the log had {0} leaves and has {1} now")]
    Shrunk(u64, u64),
    #[error("the checkpoint over {0} leaves in the database is none that the log's key signed")]
    NotSigned(u64),
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
async fn believed(log: &Log, logs: &[LogRow]) -> Result<(Known, LogKey), LogShut> {
    let held = log.ring.held();
    match believe(logs, &held.keyring) {
        Err(LogShut::Shut(OpenRefused::UnknownKey, key)) if held.may_learn(&key) => {
            believe(logs, &log.ring.seek(&key, &held).await.keyring)
        }
        done => done,
    }
}
