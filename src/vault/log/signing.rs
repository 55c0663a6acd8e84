//! The log grows by what moved, and is signed: over nothing that does not go on from what was told, and told of nothing
//! that its key did not sign.

use std::sync::Arc;
use std::time::Instant;

use crate::audit::{Checkpoint, LogKey, VerifierKey, empty_root};
use crate::clock::Moment;
use crate::metrics;
use crate::store::{Grown, Growth, Sign, StoreError, StoredCheckpoint, Upkeep};
use crate::vault::DEADLINE;
use crate::vault::log::begin::LogShut;
use crate::vault::log::doubt::{Doubt, Doubted, THIS_VAULT};
use crate::vault::log::session::{FOLLOW, Session, believed};

impl Session {
    pub(super) fn is_due(&self) -> bool {
        let (now, every) = (self.log.clock.now(), self.log.checkpoints.every);
        // A moment that is far ahead is of a clock that went back since.
        let is_time = |at: Moment| now >= at.after(every) || at > now.after(every);
        let is_full = metrics::events_durable().saturating_sub(self.counted) >= self.log.checkpoints.events;
        self.again_at.is_none_or(|at| Instant::now() >= at) && (is_full || self.looked_at.is_none_or(is_time))
    }

    /// Makes a checkpoint, if any chain moved; unless another vault made one just now and it is not the last.
    /// `false`: the log is not the one that it was.
    pub(super) async fn make(&mut self, is_last: bool) -> bool {
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
