//! Brings checkpoints to one witness, the newest first and the ones between not at all: it stands over them. Asks it
//! before what it has, so that nothing of what it knows is written over by a database that knows less.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::metrics;
use crate::store::{StoreError, StoredCheckpoint};
use crate::vault::DEADLINE;
use crate::vault::log::Log;
use crate::vault::log::doubt::{Doubted, Judged, NotJudged, judge, sought};
use crate::vault::log::follows::Known;
use crate::vault::log::witnesses::{Contact, Telling};
use crate::witness::Gathered;

/// One that failed is tried again after this, then after twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// Who brings them to one witness.
pub(super) struct Courier {
    log: Arc<Log>,
    /// The log that is believed.
    known: Option<Arc<Known>>,
    of: Arc<Contact>,
    /// What it said and could not be held against the database yet.
    heard: Mutex<Option<Gathered>>,
    /// It has said what it has.
    is_asked: AtomicBool,
    /// How many leaves the newest that it has stands over.
    taken: AtomicU64,
    /// The last try failed, which was said.
    is_failing: AtomicBool,
}

impl Courier {
    pub(super) fn new(log: Arc<Log>, known: Option<Arc<Known>>, of: Arc<Contact>) -> Self {
        Self {
            log,
            known,
            of,
            heard: Mutex::default(),
            is_asked: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
        }
    }

    /// Asks the witness what it has, once. Answers why the database is doubted, if it is.
    pub(super) async fn ask(&self) -> Vec<Doubted> {
        match self.try_ask().await {
            Ok((Judged { size, doubted }, telling)) => {
                self.taken.store(size, Ordering::SeqCst);
                self.is_asked.store(true, Ordering::SeqCst);
                self.of.set_unjudged(false);
                self.succeeded(telling);
                doubted
            }
            Err(error) => {
                self.of.set_unjudged(matches!(error, NotJudged::Store(_)));
                self.failed(&error);
                Vec::new()
            }
        }
    }

    async fn try_ask(&self) -> Result<(Judged, Telling), NotJudged> {
        let known = self.known.as_deref();
        // What was said is not taken back by who falls silent since.
        let heard = self.heard().take();
        let gathered = match heard {
            Some(heard) => heard,
            None => self.of.reach()?.ask(&sought(known)).await?,
        };
        let judged = judge(&self.log.store, known, &self.of.name, &gathered).await;
        if let Err(NotJudged::Store(_)) = judged {
            *self.heard() = Some(gathered);
        }
        let judged = judged?;
        let noted = self.noted().await.unwrap_or_else(|error| {
            tracing::error!(witness = %self.of.name, %error, "what this witness took before can't be read");
            0
        });
        // What was printed nobody can be asked: the newest is printed again.
        if judged.size < noted && !self.of.is_stdout {
            // Or a file of this host's, where others have theirs.
            tracing::error!(witness = %self.of.name, noted, has = judged.size, "this witness has less than it took");
            return Ok((judged, Telling::Behind));
        }
        Ok((judged, Telling::Told))
    }

    /// Brings what is newest, for as long as there is a log to tell of.
    pub(super) async fn carry(self: Arc<Self>, mut newest: watch::Receiver<Option<StoredCheckpoint>>) {
        let mut pause = FIRST_PAUSE;
        loop {
            if !self.is_asked.load(Ordering::SeqCst) {
                let doubted = self.ask().await;
                let was_behind = self.log.switch.is_behind();
                self.log.doubt(&doubted);
                self.log.settle(self.known.as_deref());
                if was_behind && !self.log.switch.is_behind() {
                    tracing::warn!("no longer frozen: what the witnesses have was held against the database");
                }
            }
            let checkpoint = newest.borrow_and_update().clone();
            let is_done = match checkpoint {
                Some(checkpoint) => self.bring(&checkpoint).await,
                None => self.is_asked.load(Ordering::SeqCst),
            };
            if is_done {
                pause = FIRST_PAUSE;
                if newest.changed().await.is_err() {
                    return;
                }
            } else {
                if self.of.is_unjudged() {
                    pause = FIRST_PAUSE;
                }
                // A newer one does not make it answer sooner.
                tokio::time::sleep(pause).await;
                pause = LAST_PAUSE.min(pause * 2);
            }
        }
    }

    /// Brings `checkpoint`, unless the witness has it: whether it has it now.
    pub(super) async fn bring(&self, checkpoint: &StoredCheckpoint) -> bool {
        if !self.is_asked.load(Ordering::SeqCst) || self.log.switch.is_doubted() {
            return false;
        }
        let lacks = checkpoint.size.saturating_sub(self.taken.load(Ordering::SeqCst));
        metrics::witness_lacks(self.of.number, lacks);
        if lacks == 0 {
            return true;
        }
        match self.try_bring(checkpoint).await {
            Ok(()) => {
                self.taken.store(checkpoint.size, Ordering::SeqCst);
                metrics::witness_lacks(self.of.number, 0);
                self.succeeded(Telling::Told);
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    async fn try_bring(&self, checkpoint: &StoredCheckpoint) -> Result<(), NotJudged> {
        // Another vault may have brought it: that is the witness's to know, and not the database's.
        self.of.reach()?.give(&checkpoint.note).await?;
        let Some(log) = self.known.as_ref().map(|known| known.row.id.clone()) else { return Ok(()) };
        let (name, size, at) = (self.of.name.clone(), checkpoint.size, self.log.clock.now());
        let note = move |tx: &mut crate::store::Upkeep| tx.note_taken(&log, &name, size, at);
        Ok(self.log.store.upkeep_within("note witness", DEADLINE, note).await?)
    }

    /// How far the database knows the witness to be.
    async fn noted(&self) -> Result<u64, StoreError> {
        let Some(log) = self.known.as_ref().map(|known| known.row.id.clone()) else { return Ok(0) };
        let taken =
            self.log.store.view_own("find witnesses", DEADLINE, move |tx| tx.find_taken(&log)).await?;
        Ok(taken.into_iter().find(|(name, _)| *name == self.of.name).map_or(0, |(_, size)| size))
    }

    fn heard(&self) -> MutexGuard<'_, Option<Gathered>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn succeeded(&self, telling: Telling) {
        self.of.stands(telling);
        if self.is_failing.swap(false, Ordering::SeqCst) {
            tracing::warn!(witness = %self.of.name, "this witness answers again");
        }
    }

    fn failed(&self, error: &NotJudged) {
        metrics::witness_failed(self.of.number);
        let is_asked = self.is_asked.load(Ordering::SeqCst);
        match error {
            NotJudged::Witness(error) if is_asked && !error.is_silence() => self.of.stands(Telling::Behind),
            NotJudged::Witness(_) => self.of.stands(Telling::Silent),
            // Our own failing: it is as it was.
            NotJudged::Store(_) => {}
        }
        if !self.is_failing.swap(true, Ordering::SeqCst) {
            let what = match (is_asked, error) {
                (true, _) => "this witness takes no checkpoint",
                (false, NotJudged::Store(_)) => {
                    "frozen: what this witness has can't be held against the database; that is tried again"
                }
                (false, NotJudged::Witness(_)) => {
                    "this witness can't be asked what it has: whether the database was put back is not known by it"
                }
            };
            tracing::error!(witness = %self.of.name, %error, "{what}");
        }
    }
}
