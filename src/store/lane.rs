//! The lane: threads with a connection of their own, which turn whatever lends have arrived into one
//! transaction and answer them when it is durable. While one batch is written, the next gathers. Lends of one
//! org all go to the same thread.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::config::LeaseCaps;
use crate::store::error::StoreError;
use crate::store::lend::{Granted, LendAsk};
use crate::store::open::Opener;
use crate::store::turn::{Answer, Known, Left};
use crate::store::tx::{Store, Writers};
use crate::store::unanswered::Unanswered;

/// How many lends one transaction takes at most.
pub(super) const BATCH: usize = 64;
/// What is left of a lend's deadline for committing and answering it. With less it is not begun.
const LAST_CALL: Duration = Duration::from_millis(25);
/// How many may wait. More than that many come in the time of a lend's deadline only when the database
/// stands still.
const WAITING: usize = 1024;
/// How soon the lends of an org that somebody else holds are tried again.
pub(super) const AGAIN: Duration = Duration::from_millis(2);
/// A batch that takes longer hangs on a connection that nobody answers any more.
const STUCK: Duration = Duration::from_secs(5);
/// So many that hang are left behind; while they all do, nothing is lent.
const LEFT_BEHIND: usize = 4;
/// What its transactions are called.
pub(super) const LEND: &str = "lend";

/// The ways in, to threads that are replaced when they hang.
pub(super) struct Lane {
    opener: Opener,
    writers: Writers,
    caps: LeaseCaps,
    threads: Vec<Mutex<Thread>>,
    hashing: RandomState,
    /// Held by every thread that lives.
    living: Arc<()>,
}

struct Thread {
    way_in: mpsc::Sender<Waiting>,
    pulse: Arc<Pulse>,
    unanswered: Arc<Unanswered>,
}

/// What a thread of the lane shows of itself.
struct Pulse {
    started: Instant,
    /// Milliseconds from `started` to the beginning of the batch at hand; 0 between batches.
    since: AtomicU64,
    ended: AtomicBool,
    /// What it is committing.
    committing: Arc<Mutex<Vec<Answer>>>,
}

/// An ask, and who waits for its answer.
pub(super) struct Waiting {
    pub(super) ask: Box<LendAsk>,
    pub(super) asked: Instant,
    pub(super) deadline: Instant,
    /// The ask's, or the request's where nobody listens to more.
    pub(super) span: tracing::Span,
    /// Whether it was in a batch that the database did not take: then it is tried by itself.
    pub(super) alone: bool,
    pub(super) reply: oneshot::Sender<Result<Granted, StoreError>>,
}

impl Waiting {
    /// Whether there is somebody to answer, and the time for what takes so long.
    pub(super) fn is_worth(&self, takes: Duration) -> bool {
        !self.reply.is_closed() && Instant::now() + takes.max(LAST_CALL) < self.deadline
    }
}

impl Store {
    /// Grants or refuses the ask. When this answers, the record of the answer is durable; when it fails,
    /// no secret may be sent, and a lease that was granted all the same is ended by the lane.
    pub fn lend(
        &self,
        ask: LendAsk,
        deadline: Duration,
    ) -> impl Future<Output = Result<Granted, StoreError>> + '_ {
        // At once: a future that held the ask would be twice as large.
        let (asked, handed_in) = (tokio::time::Instant::now(), self.hand_in(ask, deadline));
        async move {
            match tokio::time::timeout(deadline, handed_in?).await {
                Ok(Ok(answer)) => {
                    if answer.is_ok() {
                        self.motion.moved();
                    }
                    answer
                }
                Ok(Err(_)) => Err(StoreError::Unavailable("the lane broke off")),
                Err(_) => {
                    self.motion.stood_still(asked);
                    Err(StoreError::Unavailable("deadline"))
                }
            }
        }
    }

    fn hand_in(
        &self,
        ask: LendAsk,
        deadline: Duration,
    ) -> Result<oneshot::Receiver<Result<Granted, StoreError>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let span = tracing::debug_span!("store", transaction = LEND, batch = tracing::field::Empty);
        let (ask, asked, span) = (Box::new(ask), Instant::now(), span.or_current());
        let way_in = self.lane.way_in(ask.scope.org().as_str())?;
        let waiting = Waiting { ask, asked, deadline: asked + deadline, span, alone: false, reply };
        way_in.try_send(waiting).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Unavailable("too many lends wait"),
            mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable("the lane has ended"),
        })?;
        Ok(answer)
    }
}

impl Lane {
    pub(super) fn open(
        opener: Opener,
        writers: Writers,
        caps: LeaseCaps,
        lanes: usize,
    ) -> Result<Self, StoreError> {
        let many = if opener.has_one_writer() { 1 } else { lanes.max(1) };
        let living = Arc::new(());
        let start = || {
            let (opener, writers) = (opener.clone(), writers.clone());
            let thread = Thread::start(opener, writers, caps, Arc::default(), living.clone())?;
            Ok::<_, StoreError>(Mutex::new(thread))
        };
        let threads = (0..many).map(|_| start()).collect::<Result<_, _>>()?;
        Ok(Self { opener, writers, caps, threads, hashing: RandomState::new(), living })
    }

    /// Whether lends are answered.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let is_well =
            |thread: &Mutex<Thread>| thread.lock().unwrap_or_else(PoisonError::into_inner).pulse.is_well();
        match self.threads.iter().all(is_well) {
            true => Ok(()),
            false => Err(StoreError::Unavailable("the lane stands still")),
        }
    }

    /// The way to the org's thread, which moves: one that hangs is left behind, and another takes its place.
    fn way_in(&self, org: &str) -> Result<mpsc::Sender<Waiting>, StoreError> {
        let many = u64::try_from(self.threads.len()).unwrap_or(1);
        let at = usize::try_from(self.hashing.hash_one(org) % many).unwrap_or(0);
        let thread = self.threads.get(at).ok_or(StoreError::Unavailable("the lane has ended"))?;
        let mut thread = thread.lock().unwrap_or_else(PoisonError::into_inner);
        if !thread.pulse.is_well() {
            // Besides this lane's own.
            let living = Arc::strong_count(&self.living).saturating_sub(1);
            if living >= self.threads.len() + LEFT_BEHIND {
                return Err(StoreError::Unavailable("the lane stands still"));
            }
            tracing::error!("the lane stood still: another takes its place");
            let (opener, writers) = (self.opener.clone(), self.writers.clone());
            let next =
                Thread::start(opener, writers, self.caps, thread.unanswered.clone(), self.living.clone())?;
            let hung = std::mem::replace(&mut *thread, next);
            hung.pulse.give_up();
        }
        Ok(thread.way_in.clone())
    }
}

impl Pulse {
    fn is_well(&self) -> bool {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let since = self.since.load(Ordering::SeqCst);
        let busy = if since == 0 { 0 } else { now.saturating_sub(since) };
        !self.ended.load(Ordering::SeqCst) && u128::from(busy) < STUCK.as_millis()
    }

    fn begin(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(now.max(1), Ordering::SeqCst);
    }

    /// Whether what it was committing came to be is unknown: the next turn ends it, if it did.
    fn give_up(&self) {
        let committing = std::mem::take(&mut *self.committing.lock().unwrap_or_else(PoisonError::into_inner));
        drop(committing);
    }

    fn end(&self) {
        self.since.store(0, Ordering::SeqCst);
    }
}

impl Thread {
    fn start(
        opener: Opener,
        writers: Writers,
        caps: LeaseCaps,
        unanswered: Arc<Unanswered>,
        living: Arc<()>,
    ) -> Result<Self, StoreError> {
        let failed = |e: std::io::Error| StoreError::NoDatabase(e.to_string());
        let (way_in, arrived) = mpsc::channel(WAITING);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let (since, ended, committing) = (AtomicU64::new(0), AtomicBool::new(false), Arc::default());
        let pulse = Arc::new(Pulse { started: Instant::now(), since, ended, committing });
        let (shown, noted) = (pulse.clone(), unanswered.clone());
        // Ends when the last way in is dropped. Nobody waits for it: it could be hanging.
        let run = move || {
            let known = Known::new(opener, caps, shown.committing.clone(), noted.clone());
            runtime.block_on(serve(known, writers, arrived, &shown, &noted));
            shown.ended.store(true, Ordering::SeqCst);
            drop(living);
        };
        std::thread::Builder::new().name("lane".into()).spawn(run).map_err(failed)?;
        Ok(Self { way_in, pulse, unanswered })
    }
}

async fn serve(
    mut known: Known,
    writers: Writers,
    mut arrived: mpsc::Receiver<Waiting>,
    pulse: &Pulse,
    unanswered: &Unanswered,
) {
    let mut waiting = VecDeque::new();
    let mut patience = Duration::MAX;
    loop {
        tokio::select! {
            biased;
            next = arrived.recv() => match next {
                Some(next) => waiting.push_back(next),
                None => return,
            },
            () = unanswered.noted() => {}
            () = tokio::time::sleep(patience) => {}
        }
        // One that waits for its place without end stands still too.
        pulse.begin();
        let _place = writers.place_of_lane().await;
        // What arrived while another wrote goes into the same batch.
        while let Ok(next) = arrived.try_recv() {
            waiting.push_back(next);
        }
        waiting.retain(|waiting| waiting.is_worth(known.pace()));
        let batch: Vec<Waiting> = waiting.drain(..batch_size(&waiting)).collect();
        // A panic is one batch's failure and never everybody's: its callers are told 503. Who asks again for what
        // nobody heard of comes after its end.
        let written = catch_unwind(AssertUnwindSafe(|| known.write(batch)));
        if written.is_err() {
            pulse.give_up();
        }
        pulse.end();
        let Left { first, last, moved } = written.unwrap_or_default();
        first.into_iter().rev().for_each(|again| waiting.push_front(again));
        waiting.extend(last);
        patience = match (waiting.is_empty(), moved) {
            (true, _) => Duration::MAX,
            (false, true) => Duration::ZERO,
            (false, false) => AGAIN,
        };
        patience = patience.min(unanswered.patience());
    }
}

/// How many go into the next batch.
fn batch_size(waiting: &VecDeque<Waiting>) -> usize {
    let together = waiting.iter().take(BATCH).take_while(|waiting| !waiting.alone).count();
    together.max(waiting.len().min(1))
}
