//! One turn of the lane: a batch of lends as one transaction, answered when it is durable. It waits for no org that
//! another holds, no ask is another's failure, and it is rolled back when one's time is over before the commit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::config::LeaseCaps;
use crate::ids::LeaseId;
use crate::metrics;
use crate::store::batch::Batch;
use crate::store::caps::Counted;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::lane::{AGAIN, LEND, Waiting};
use crate::store::lend::{Granted, LendAsk, SealedRow, answer};
use crate::store::open::{Complain, Opener};
use crate::store::scopes::Scopes;
use crate::store::transact::Outcome;
use crate::store::unanswered::{Late, Receipt, Unanswered};

/// After so long a batch takes no more of them, however many wait: over a slow network each costs
/// several ways there and back, and those in it have a deadline.
const BUDGET: Duration = Duration::from_millis(80);
/// How long a turn is taken to last at most: an ask that has more time left is always begun.
const PACE: Duration = Duration::from_millis(100);
/// How soon a lease that could not be ended is tried again.
const LATER: Duration = Duration::from_millis(250);
/// What the transaction that ends such leases is called.
const UNANSWERED: &str = "end unanswered";

/// What the thread keeps from one transaction to the next.
pub(super) struct Known {
    opener: Opener,
    held: Option<Db>,
    caps: LeaseCaps,
    counted: Counted,
    /// How long a turn lasts of late, and the commit in it.
    turn: Duration,
    flush: Duration,
    committing: Arc<Mutex<Vec<Answer>>>,
    unanswered: Arc<Unanswered>,
}

/// What is sent once it is durable.
pub(super) struct Answer {
    span: tracing::Span,
    reply: oneshot::Sender<Result<Granted, StoreError>>,
    granted: Granted,
}

impl Answer {
    /// From here on a lease that does not reach who asked for it is ended, unless somebody has it already.
    fn of((waiting, granted): (Waiting, Granted), unanswered: &Arc<Unanswered>) -> Self {
        let Waiting { ask, asked, span, reply, .. } = waiting;
        let granted = granted.map(|row| {
            let receipt = Receipt::of(*ask, asked, &row, unanswered);
            SealedRow { receipt, ..row }
        });
        Self { span, reply, granted }
    }
}

/// What a batch did not come to.
#[derive(Default)]
pub(super) struct Left {
    /// To be tried at once, in this order.
    pub(super) first: Vec<Waiting>,
    /// Of orgs that somebody else holds: after everybody else.
    pub(super) last: Vec<Waiting>,
    /// Whether anything was answered.
    pub(super) moved: bool,
}

impl Known {
    pub(super) fn new(
        opener: Opener,
        caps: LeaseCaps,
        committing: Arc<Mutex<Vec<Answer>>>,
        unanswered: Arc<Unanswered>,
    ) -> Self {
        let (counted, turn, flush) = (Counted::default(), Duration::ZERO, Duration::ZERO);
        Self { opener, held: None, caps, counted, turn, flush, committing, unanswered }
    }

    /// How long the next turn is likely to last.
    pub(super) fn pace(&self) -> Duration {
        self.turn
    }

    /// Ends what nobody heard of, and then one transaction. What it answers is durable; a connection on which something
    /// failed is not used again.
    pub(super) fn write(&mut self, batch: Vec<Waiting>) -> Left {
        let entered = Instant::now();
        self.end_unanswered();
        if batch.is_empty() {
            return Left::default();
        }
        let left = self.turn_of(batch, Instant::now());
        self.turn = recent(self.turn, entered.elapsed());
        left
    }

    fn turn_of(&mut self, batch: Vec<Waiting>, entered: Instant) -> Left {
        let ended = |outcome: Outcome| metrics::transaction(LEND, outcome.name(), entered.elapsed());
        let asks: Vec<&LendAsk> = batch.iter().map(|waiting| &*waiting.ask).collect();
        let held = self.held.take();
        let begin = |db: &mut Db| Batch::begin(db, &asks, self.caps, &self.counted);
        let (mut db, (mut lends, taken)) = match begin_on(&self.opener, held, begin) {
            Ok(begun) => begun,
            Err(NotBegun { db, error }) => {
                ended(Outcome::Failed);
                return match db {
                    Some(db) => apart(*db, batch, Left::default(), &error),
                    None => tell(batch, &error),
                };
            }
        };
        let begun = Instant::now();
        let mut left = Left::default();
        let is_taken =
            |(_, waiting): &(usize, Waiting)| taken.iter().any(|org| org == waiting.ask.scope.org().as_str());
        let (last, batch): (Vec<_>, Vec<_>) = batch.into_iter().enumerate().partition(is_taken);
        left.last = last.into_iter().map(|(_, waiting)| waiting).collect();
        if batch.is_empty() {
            let _ = db.rollback();
            self.held = Some(db);
            return left;
        }
        let (mut answers, mut recorded) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        let mut asks = batch.into_iter();
        while let Some((at, waiting)) = asks.next() {
            if begun.elapsed() > BUDGET {
                left.first.push(waiting);
            } else if waiting.is_worth(self.flush) {
                let before = lends.appended();
                match waiting.span.in_scope(|| answer(&mut db, &mut lends, at, &waiting.ask)) {
                    Ok(granted) => {
                        recorded.extend((lends.appended() > before).then_some(waiting.asked));
                        answers.push((waiting, granted));
                    }
                    // One of those before it may be to blame, whose lease was written only now.
                    Err(error) if lends.is_refused() => {
                        ended(Outcome::RolledBack);
                        let before = answers.into_iter().map(|(waiting, _)| waiting).chain([waiting]);
                        let batch = before.chain(asks.map(|(_, waiting)| waiting)).collect();
                        return apart(db, batch, left, &error);
                    }
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
            let batch = answers.into_iter().map(|(waiting, _)| waiting).collect();
            return apart(db, batch, left, &error);
        }
        let learnt = lends.learnt();
        // Nobody may have been left to answer while the database was waited for.
        if answers.iter().all(|(waiting, _)| waiting.reply.is_closed()) {
            let _ = db.rollback();
            ended(Outcome::RolledBack);
            self.held = Some(db);
            return left;
        }
        let last_moment = Instant::now() + self.flush;
        if answers.iter().any(|(waiting, _)| waiting.deadline <= last_moment) {
            let _ = db.rollback();
            ended(Outcome::RolledBack);
            self.held = Some(db);
            return too_late(answers, last_moment, left);
        }
        let size = answers.len();
        let answers = answers.into_iter().map(|answer| Answer::of(answer, &self.unanswered)).collect();
        let (committed, answers) = self.commit(&mut db, answers);
        if let Err(error) = committed {
            let _ = db.rollback();
            ended(Outcome::Failed);
            // Whether they were granted is unknown: their receipts see to it that they are ended.
            answers.into_iter().for_each(|answer| drop(answer.reply.send(Err(error.clone()))));
            return Left { moved: true, ..left };
        }
        ended(Outcome::Committed);
        self.counted.learn(learnt);
        recorded.into_iter().for_each(|asked| metrics::event_durable(asked.elapsed()));
        for Answer { span, reply, granted } in answers {
            span.record("batch", size);
            let _ = reply.send(Ok(granted));
        }
        self.held = Some(db);
        Left { moved: true, ..left }
    }

    /// Commits while the answers lie where whoever replaces a thread that hangs finds them.
    fn commit(&mut self, db: &mut Db, answers: Vec<Answer>) -> (Result<(), StoreError>, Vec<Answer>) {
        let committing = || self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        *committing() = answers;
        let begun = Instant::now();
        let committed = db.commit();
        let answers = std::mem::take(&mut *committing());
        self.flush = recent(self.flush, begun.elapsed());
        (committed.map_err(StoreError::from), answers)
    }

    /// Ends leases that nobody heard of, in a transaction of their own.
    fn end_unanswered(&mut self) {
        let late = self.unanswered.due();
        if late.is_empty() {
            return;
        }
        let entered = Instant::now();
        match self.end_all(&late) {
            Ok((taken, ended)) => {
                ended.iter().for_each(|_| metrics::event_durable(entered.elapsed()));
                self.unanswered.forget(&ended);
                metrics::transaction(UNANSWERED, Outcome::Committed.name(), entered.elapsed());
                let held = late.into_iter().filter(|late| taken.iter().any(|org| org == late.org()));
                self.unanswered.put_back(held.collect(), AGAIN, false);
            }
            Err(error) => {
                metrics::transaction(UNANSWERED, Outcome::Failed.name(), entered.elapsed());
                tracing::warn!(%error, "leases that nobody heard of were not ended yet");
                self.unanswered.put_back(late, LATER, true);
            }
        }
    }

    /// All of them but those of the orgs that it answers, which somebody else holds. And which had to be.
    fn end_all(&mut self, late: &[Late]) -> Result<(Vec<String>, Vec<LeaseId>), StoreError> {
        let scopes: Scopes = late.iter().collect();
        let begin = |db: &mut Db| Ok(db.begin_where_free(&scopes)?);
        let begun = begin_on(&self.opener, self.held.take(), begin);
        let (mut db, taken) = begun.map_err(|NotBegun { error, .. }| error)?;
        let mut ended = Vec::new();
        for late in late.iter().filter(|late| taken.iter().all(|org| org != late.org())) {
            match late.end(&mut db) {
                Ok(is_ended) => ended.extend(is_ended.then(|| late.lease().clone())),
                Err(error) => {
                    let _ = db.rollback();
                    return Err(error);
                }
            }
        }
        if let Err(error) = db.commit() {
            let _ = db.rollback();
            return Err(error.into());
        }
        self.held = Some(db);
        Ok((taken, ended))
    }
}

/// What takes so long on average, of late.
fn recent(before: Duration, took: Duration) -> Duration {
    (before * 7 + took.min(PACE)) / 8
}

/// The time of some is over: they are told, and the others are tried again at once.
fn too_late(answers: Vec<(Waiting, Granted)>, last_moment: Instant, mut left: Left) -> Left {
    let waiting = answers.into_iter().map(|(waiting, _)| waiting);
    let (late, mut again): (Vec<_>, Vec<_>) = waiting.partition(|waiting| waiting.deadline <= last_moment);
    again.append(&mut left.first);
    let Left { moved, .. } = tell(late, &StoreError::Unavailable("deadline"));
    Left { first: again, moved, ..left }
}

/// The database did not take a batch: whose fault it is shows when each is tried by itself, on a connection
/// of its own.
fn apart(mut db: Db, mut batch: Vec<Waiting>, mut left: Left, error: &StoreError) -> Left {
    let _ = db.rollback();
    if batch.len() == 1 {
        let Left { moved, .. } = tell(batch, error);
        return Left { moved, ..left };
    }
    batch.iter_mut().for_each(|waiting| waiting.alone = true);
    batch.append(&mut left.first);
    Left { first: batch, moved: true, ..left }
}

/// A transaction that did not begin, and the connection on which it did not, if one could be had.
struct NotBegun {
    db: Option<Box<Db>>,
    error: StoreError,
}

/// A transaction that `begin` began. A connection that was held may have been lost since: then on a fresh one.
fn begin_on<T>(
    opener: &Opener,
    held: Option<Db>,
    begin: impl Fn(&mut Db) -> Result<T, StoreError>,
) -> Result<(Db, T), NotBegun> {
    use diesel::r2d2::{HandleError, ManageConnection};
    if let Some(mut db) = held {
        match begin(&mut db) {
            Ok(begun) => return Ok((db, begun)),
            Err(error @ StoreError::Damaged(_)) => return Err(NotBegun { db: Some(Box::new(db)), error }),
            Err(_) => {}
        }
    }
    let mut db = opener.connect().map_err(|error| {
        Complain.handle_error(error);
        NotBegun { db: None, error: StoreError::Unavailable("no connection") }
    })?;
    match begin(&mut db) {
        Ok(begun) => Ok((db, begun)),
        Err(error) => Err(NotBegun { db: Some(Box::new(db)), error }),
    }
}

/// The same to all: it is about the database, not about one of them.
fn tell(batch: Vec<Waiting>, error: &StoreError) -> Left {
    batch.into_iter().for_each(|waiting| drop(waiting.reply.send(Err(error.clone()))));
    Left { moved: true, ..Left::default() }
}
