//! The lane: one thread with a connection of its own, which turns whatever lends have arrived into one
//! transaction and answers them when it is durable. While one batch is written, the next gathers. A
//! batch waits for no org that another holds, and ends before those in it would be told 503.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::config::LeaseCaps;
use crate::metrics;
use crate::store::batch::Batch;
use crate::store::caps::Counted;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::lend::{Granted, LendAsk, answer};
use crate::store::open::{Complain, Opener};
use crate::store::scopes::Scopes;
use crate::store::transact::Outcome;
use crate::store::tx::{Store, Writers};

/// How many lends one transaction takes at most.
const BATCH: usize = 64;
/// After so long a batch takes no more of them, however many wait: over a slow network each costs
/// several ways there and back, and those in it have a deadline.
const BUDGET: Duration = Duration::from_millis(80);
/// What is left of a lend's deadline for committing and answering it. With less it is not begun.
const LAST_CALL: Duration = Duration::from_millis(25);
/// How many may wait. More than that many come in the time of a lend's deadline only when the database
/// stands still.
const WAITING: usize = 1024;
/// How soon the lends of an org that somebody else holds are tried again.
const AGAIN: Duration = Duration::from_millis(4);
/// A batch that takes longer hangs on a connection that nobody answers any more.
const STUCK: Duration = Duration::from_secs(5);
/// What its transactions are called.
const LEND: &str = "lend";

/// The way in, to a thread that is replaced when it hangs.
pub(super) struct Lane {
    opener: Opener,
    writers: Writers,
    caps: LeaseCaps,
    thread: Mutex<Thread>,
}

struct Thread {
    way_in: mpsc::Sender<Waiting>,
    pulse: Arc<Pulse>,
}

/// What a thread of the lane shows of itself.
struct Pulse {
    started: Instant,
    /// Milliseconds from `started` to the beginning of the batch at hand; 0 between batches.
    since: AtomicU64,
    ended: AtomicBool,
}

struct Waiting {
    ask: LendAsk,
    asked: Instant,
    deadline: Instant,
    /// The ask's, or the request's where nobody listens to more.
    span: tracing::Span,
    /// Whether it was in a batch that the database did not take: then it is tried by itself.
    alone: bool,
    reply: oneshot::Sender<Result<Granted, StoreError>>,
}

impl Waiting {
    /// Whether there is somebody to answer, and the time for it.
    fn is_worth_it(&self) -> bool {
        !self.reply.is_closed() && Instant::now() + LAST_CALL < self.deadline
    }
}

impl Store {
    /// Grants or refuses the ask. When this answers, the record of the answer is durable; when it fails,
    /// no secret may be sent, and whether a lease was granted is unknown.
    pub async fn lend(&self, ask: LendAsk, deadline: Duration) -> Result<Granted, StoreError> {
        let (reply, answer) = oneshot::channel();
        let span = tracing::debug_span!("store", transaction = LEND, batch = tracing::field::Empty);
        let (asked, span) = (Instant::now(), span.or_current());
        let waiting = Waiting { ask, asked, deadline: asked + deadline, span, alone: false, reply };
        self.lane.way_in()?.try_send(waiting).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Unavailable("too many lends wait"),
            mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable("the lane has ended"),
        })?;
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::Unavailable("the lane broke off")),
            Err(_) => Err(StoreError::Unavailable("deadline")),
        }
    }
}

impl Lane {
    pub(super) fn open(opener: Opener, writers: Writers, caps: LeaseCaps) -> Result<Self, StoreError> {
        let thread = Mutex::new(Thread::start(opener.clone(), writers.clone(), caps)?);
        Ok(Self { opener, writers, caps, thread })
    }

    /// Whether lends are answered.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.thread.lock().unwrap_or_else(PoisonError::into_inner).pulse.is_well() {
            true => Ok(()),
            false => Err(StoreError::Unavailable("the lane stands still")),
        }
    }

    /// The way to a thread that moves: one that hangs is left behind, and another takes its place.
    fn way_in(&self) -> Result<mpsc::Sender<Waiting>, StoreError> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if !thread.pulse.is_well() {
            tracing::error!("the lane stood still: another takes its place");
            *thread = Thread::start(self.opener.clone(), self.writers.clone(), self.caps)?;
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

    fn end(&self) {
        self.since.store(0, Ordering::SeqCst);
    }
}

impl Thread {
    fn start(opener: Opener, writers: Writers, caps: LeaseCaps) -> Result<Self, StoreError> {
        let failed = |e: std::io::Error| StoreError::NoDatabase(e.to_string());
        let (way_in, arrived) = mpsc::channel(WAITING);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let (since, ended) = (AtomicU64::new(0), AtomicBool::new(false));
        let pulse = Arc::new(Pulse { started: Instant::now(), since, ended });
        let shown = pulse.clone();
        // Ends when the last way in is dropped. Nobody waits for it: it could be hanging.
        let run = move || {
            runtime.block_on(serve(Known::new(opener, caps), writers, arrived, &shown));
            shown.ended.store(true, Ordering::SeqCst);
        };
        std::thread::Builder::new().name("lane".into()).spawn(run).map_err(failed)?;
        Ok(Self { way_in, pulse })
    }
}

/// What the thread keeps from one transaction to the next.
struct Known {
    opener: Opener,
    held: Option<Db>,
    caps: LeaseCaps,
    counted: Counted,
}

impl Known {
    fn new(opener: Opener, caps: LeaseCaps) -> Self {
        Self { opener, held: None, caps, counted: Counted::default() }
    }
}

async fn serve(mut known: Known, writers: Writers, mut arrived: mpsc::Receiver<Waiting>, pulse: &Pulse) {
    let mut waiting = VecDeque::new();
    let mut patience = Duration::MAX;
    loop {
        match tokio::time::timeout(patience, arrived.recv()).await {
            Ok(Some(next)) => waiting.push_back(next),
            Ok(None) => return,
            Err(_) => {}
        }
        let _place = writers.place_of_lane().await;
        // What arrived while another wrote goes into the same batch.
        while let Ok(next) = arrived.try_recv() {
            waiting.push_back(next);
        }
        waiting.retain(Waiting::is_worth_it);
        let batch: Vec<Waiting> = waiting.drain(..batch_size(&waiting)).collect();
        pulse.begin();
        // A panic is one batch's failure and never everybody's: its callers are told 503.
        let written = catch_unwind(AssertUnwindSafe(|| write(&mut known, batch)));
        pulse.end();
        let Left { first, last, moved } = written.unwrap_or_default();
        first.into_iter().rev().for_each(|again| waiting.push_front(again));
        waiting.extend(last);
        patience = match (waiting.is_empty(), moved) {
            (true, _) => Duration::MAX,
            (false, true) => Duration::ZERO,
            (false, false) => AGAIN,
        };
    }
}

/// How many go into the next batch.
fn batch_size(waiting: &VecDeque<Waiting>) -> usize {
    let together = waiting.iter().take(BATCH).take_while(|waiting| !waiting.alone).count();
    together.max(waiting.len().min(1))
}

/// What a batch did not come to.
#[derive(Default)]
struct Left {
    /// To be tried at once, in this order.
    first: Vec<Waiting>,
    /// Of orgs that somebody else holds: after everybody else.
    last: Vec<Waiting>,
    /// Whether anything was answered.
    moved: bool,
}

/// One transaction. What it answers is durable; a connection on which something failed is not used
/// again.
fn write(known: &mut Known, batch: Vec<Waiting>) -> Left {
    let Known { opener, held, caps, counted } = known;
    if batch.is_empty() {
        return Left::default();
    }
    let entered = Instant::now();
    let ended = |outcome: Outcome| metrics::transaction(LEND, outcome.name(), entered.elapsed());
    let scopes: Scopes = batch.iter().map(|waiting| &waiting.ask.scope).collect();
    let (mut db, taken) = match begin(opener, held.take(), &scopes) {
        Ok(begun) => begun,
        Err(error) => {
            ended(Outcome::Failed);
            return tell(batch.into_iter().map(|waiting| waiting.reply), &error);
        }
    };
    let begun = Instant::now();
    let mut left = Left::default();
    let is_taken = |waiting: &Waiting| taken.iter().any(|org| org == waiting.ask.scope.org().as_str());
    let (last, batch): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_taken);
    left.last = last;
    if batch.is_empty() {
        let _ = db.rollback();
        *held = Some(db);
        return left;
    }
    let asks: Vec<&LendAsk> = batch.iter().map(|waiting| &waiting.ask).collect();
    let mut lends = match Batch::of(&mut db, &asks, *caps, counted) {
        Ok(lends) => lends,
        Err(error) => {
            ended(Outcome::RolledBack);
            return apart(db, batch, left, &error);
        }
    };
    let mut answers = Vec::new();
    let mut asks = batch.into_iter().enumerate();
    while let Some((at, waiting)) = asks.next() {
        if begun.elapsed() > BUDGET {
            left.first.push(waiting);
        } else if waiting.is_worth_it() {
            match waiting.span.in_scope(|| answer(&mut db, &mut lends, at, &waiting.ask)) {
                Ok(granted) => answers.push((waiting, granted)),
                // It fails for itself; those before it were not answered yet, and go on with the rest.
                Err(error) => {
                    let _ = db.rollback();
                    ended(Outcome::RolledBack);
                    let _ = waiting.reply.send(Err(error));
                    let before = answers.into_iter().map(|(waiting, _)| waiting);
                    let first = before.chain(asks.map(|(_, waiting)| waiting)).collect();
                    return Left { first, moved: true, ..left };
                }
            }
        }
    }
    if let Err(error) = lends.write(&mut db) {
        ended(Outcome::RolledBack);
        return apart(db, answers.into_iter().map(|(waiting, _)| waiting).collect(), left, &error);
    }
    // Nobody may have been left to answer while the database was waited for.
    if answers.iter().all(|(waiting, _)| waiting.reply.is_closed()) {
        let _ = db.rollback();
        ended(Outcome::RolledBack);
        *held = Some(db);
        return left;
    }
    if let Err(error) = db.commit() {
        let _ = db.rollback();
        ended(Outcome::Failed);
        return tell(answers.into_iter().map(|(waiting, _)| waiting.reply), &error.into());
    }
    ended(Outcome::Committed);
    let learnt = lends.learnt();
    counted.learn(learnt);
    let size = answers.len();
    for (waiting, granted) in answers {
        metrics::event_durable(waiting.asked.elapsed());
        waiting.span.record("batch", size);
        let _ = waiting.reply.send(Ok(granted));
    }
    *held = Some(db);
    Left { moved: true, ..left }
}

/// The database did not take a batch: whose fault it is shows when each is tried by itself, on a connection
/// of its own.
fn apart(mut db: Db, mut batch: Vec<Waiting>, mut left: Left, error: &StoreError) -> Left {
    let _ = db.rollback();
    if batch.len() == 1 {
        tell(batch.into_iter().map(|waiting| waiting.reply), error);
        return Left { moved: true, ..left };
    }
    batch.iter_mut().for_each(|waiting| waiting.alone = true);
    batch.append(&mut left.first);
    Left { first: batch, moved: true, ..left }
}

/// A transaction on `scopes`, and the orgs whose chains it did not get. A connection that was held may
/// have been lost since: then a fresh one.
fn begin(opener: &Opener, held: Option<Db>, scopes: &Scopes) -> Result<(Db, Vec<String>), StoreError> {
    use diesel::r2d2::{HandleError, ManageConnection};
    if let Some(mut db) = held
        && let Ok(taken) = db.begin_where_free(scopes)
    {
        return Ok((db, taken));
    }
    let mut db = opener.connect().map_err(|error| {
        Complain.handle_error(error);
        StoreError::Unavailable("no connection")
    })?;
    let taken = db.begin_where_free(scopes)?;
    Ok((db, taken))
}

/// The same to all: it is about the database, not about one of them.
fn tell(
    replies: impl Iterator<Item = oneshot::Sender<Result<Granted, StoreError>>>,
    error: &StoreError,
) -> Left {
    replies.for_each(|reply| drop(reply.send(Err(error.clone()))));
    Left { moved: true, ..Left::default() }
}
