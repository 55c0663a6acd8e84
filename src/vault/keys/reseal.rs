//! Put every sealed value under the key that seals, where it lies. Safe beside running vaults, beside
//! another reseal, and to be ended at any moment: what is done is done, the rest is found again.

use std::time::{Duration, Instant};

use crate::audit::AuditEvent;
use crate::clock::{Moment, NoRandomness};
use crate::ids::{ConnectionId, KeyId, LogId, ResealId};
use crate::seal::{Binding, Keyring, Sealed};
use crate::store::{KeyState, LogRow, Placed, ResealRun, Resealed, SealedIssuerKey, ToReseal};
use crate::vault::keys::{Keys, KeysRefused, again, sealing};
use crate::vault::lend::binding;

/// How far it has come.
#[derive(Clone, Copy)]
pub struct Progress {
    /// Values put under the key that seals, so far.
    pub moved: u64,
    /// Values that were under another key when it began.
    pub of: u64,
}

/// What was done.
pub struct Moved {
    /// The key that everything is under now, but for what stayed shut.
    pub key: KeyId,
    /// How many values were put under it.
    pub moved: u64,
    /// Connections whose credential does not open where it lies, or not with the keys held, in id order.
    pub shut: Vec<ConnectionId>,
    /// Issuer keys that don't open.
    pub shut_issuer_keys: Vec<String>,
    /// Logs of the trail whose key does not open.
    pub shut_logs: Vec<LogId>,
}

impl Moved {
    /// How many values stayed shut.
    pub fn shut(&self) -> usize {
        self.shut.len() + self.shut_issuer_keys.len() + self.shut_logs.len()
    }
}

/// How often a running reseal says how far it is.
const NOTED_EVERY: Duration = Duration::from_secs(1);
/// One that has not been heard of for so long was broken off.
const SILENT: Duration = Duration::from_secs(60);

/// How a reseal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It goes on.
    Running,
    /// All that opens is under the key.
    Done,
    /// It met an error, which stands in the log of who ran it.
    Failed,
    /// Nothing was heard of it for a minute: its process has ended. What was done is done.
    BrokenOff,
}

impl RunState {
    /// Every state there is.
    pub const ALL: &[Self] = &[Self::Running, Self::Done, Self::Failed, Self::BrokenOff];

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::BrokenOff => "broken_off",
        }
    }
}

impl ResealRun {
    fn state(&self, now: Moment) -> RunState {
        match self.ended {
            Some((_, true)) => RunState::Done,
            Some((_, false)) => RunState::Failed,
            None if self.updated_at.after(SILENT) > now => RunState::Running,
            None => RunState::BrokenOff,
        }
    }
}

impl Keys {
    /// Goes through every value that is under another key than the one that seals, and tells `show` after
    /// each batch. A value that does not open is stepped over and named.
    pub fn reseal(&self, show: impl FnMut(Progress)) -> Result<Moved, KeysRefused> {
        let run = self.fresh_run()?;
        self.store.upkeep("begin reseal", |tx| tx.insert_reseal(&run))?;
        self.run_reseal(run, show)
    }

    /// The reseal that is under way, wherever it runs; or a new one, which is to be run, on record with what
    /// `event` makes of it.
    pub fn begin_reseal(
        &self,
        event: impl FnOnce(&ResealRun) -> Result<AuditEvent, NoRandomness>,
    ) -> Result<(ResealRun, bool), KeysRefused> {
        let run = self.fresh_run()?;
        self.store.upkeep("begin reseal", |tx| {
            if let Some(last) = tx.find_last_reseal()?
                && last.state(run.started_at) == RunState::Running
            {
                return Ok((last, false));
            }
            tx.insert_reseal(&run)?;
            tx.append(&event(&run)?)?;
            Ok((run, true))
        })
    }

    /// The reseal that began last, and how it stands.
    pub fn last_reseal(&self) -> Result<Option<(ResealRun, RunState)>, KeysRefused> {
        let last = self.store.upkeep("find reseal", |tx| tx.find_last_reseal())?;
        Ok(last.map(|run| (run.clone(), run.state(self.clock.now()))))
    }

    fn fresh_run(&self) -> Result<ResealRun, KeysRefused> {
        let at = self.clock.now();
        let key = sealing(&self.store.find_keys()?)?.id.clone();
        let id = ResealId::new(at)?;
        Ok(ResealRun { id, key, started_at: at, updated_at: at, ended: None, total: 0, moved: 0, shut: 0 })
    }

    /// Runs what was begun, and notes how far it is.
    pub fn run_reseal(
        &self,
        mut run: ResealRun,
        mut show: impl FnMut(Progress),
    ) -> Result<Moved, KeysRefused> {
        let mut noted = Instant::now();
        let done = self.reseal_all(|progress, shut| {
            show(progress);
            let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            (run.total, run.moved) = (count(progress.of), count(progress.moved));
            run.shut = i64::try_from(shut).unwrap_or(i64::MAX);
            if noted.elapsed() >= NOTED_EVERY {
                noted = Instant::now();
                run.updated_at = self.clock.now();
                // Who watches sees it a little later.
                let _ = self.store.upkeep("note reseal", |tx| tx.update_reseal(&run));
            }
        });
        let at = self.clock.now();
        (run.updated_at, run.ended) = (at, Some((at, done.is_ok())));
        again(|| self.store.upkeep("end reseal", |tx| tx.update_reseal(&run)))?;
        done
    }

    fn reseal_all(&self, mut show: impl FnMut(Progress, usize)) -> Result<Moved, KeysRefused> {
        let ring = self.hold()?;
        let key = ring.current().clone();
        let known = self.known()?;
        let opening = known.iter().filter(|known| known.key.state == KeyState::Opening);
        let others: i64 = opening.map(|known| known.under.total()).sum();
        let mut done =
            Moved { key, moved: 0, shut: Vec::new(), shut_issuer_keys: Vec::new(), shut_logs: Vec::new() };
        let of = u64::try_from(others).unwrap_or(0);
        self.reseal_issuer_keys(&ring, &mut done)?;
        self.reseal_logs(&ring, &mut done)?;
        show(Progress { moved: done.moved, of }, done.shut());
        // What changed while a pass went by is met by the next one, under the key that seals already: the
        // last pass finds nothing but what stays shut.
        loop {
            let before = done.moved;
            done.shut.clear();
            let met = self.pass(&ring, &mut done, |done| {
                show(Progress { moved: done.moved, of }, done.shut());
            })?;
            if done.moved == before && met == done.shut.len() {
                break;
            }
        }
        let at = self.clock.now();
        let (moved, shut) = (done.moved.to_string(), done.shut().to_string());
        let told = [("moved", moved.as_str()), ("shut", shut.as_str())];
        let event = AuditEvent::of_vault_with("key.reseal", done.key.as_str(), &told, at)?;
        again(|| self.store.upkeep("record reseal", |tx| tx.append(&event)))?;
        Ok(done)
    }

    /// Once through the connections in id order. Answers how many it met.
    fn pass(
        &self,
        ring: &Keyring,
        done: &mut Moved,
        mut show: impl FnMut(&Moved),
    ) -> Result<usize, KeysRefused> {
        let (mut after, mut met, batch) = (None, 0, self.store.resealed_at_once());
        loop {
            let rows = again(|| {
                self.store.view_across_orgs("find to reseal", |tx| tx.find_to_reseal(after.as_ref(), batch))
            })?;
            let Some(last) = rows.last() else { return Ok(met) };
            after = Some(last.id.clone());
            met += rows.len();
            let mut resealed = Vec::with_capacity(rows.len());
            for ToReseal { id, placed } in rows {
                let sealed = placed.as_ref().map(|placed| seal_anew(ring, placed)).transpose()?.flatten();
                match placed.zip(sealed) {
                    Some((placed, sealed)) => resealed.push(Resealed { placed, sealed }),
                    None => done.shut.push(id),
                }
            }
            if resealed.is_empty() {
                continue;
            }
            let written = again(|| {
                self.store
                    .change_across_orgs("reseal", |tx| tx.reseal(ring.current(), &resealed, self.clock.now()))
            })?;
            done.moved += u64::try_from(written).unwrap_or(0);
            show(done);
        }
    }

    fn reseal_issuer_keys(&self, ring: &Keyring, done: &mut Moved) -> Result<(), KeysRefused> {
        let stored = self.store.upkeep("find issuers", |tx| tx.find_issuer_keys())?;
        for SealedIssuerKey { id, sealed: old, .. } in stored {
            if &old.key_id == ring.current() {
                continue;
            }
            let Ok(seed) = ring.open(&Binding::issuer_key(&id), &old) else {
                done.shut_issuer_keys.push(id.to_string());
                continue;
            };
            let new = ring.seal(&Binding::issuer_key(&id), &seed)?;
            again(|| {
                self.store.change_across_orgs("reseal issuer", |tx| {
                    tx.reseal_issuer_key(&id, (&old, &new), self.clock.now())
                })
            })?;
            done.moved += 1;
        }
        Ok(())
    }

    fn reseal_logs(&self, ring: &Keyring, done: &mut Moved) -> Result<(), KeysRefused> {
        for LogRow { id, origin, sealed: old, follows, .. } in self.store.find_logs()? {
            if &old.key_id == ring.current() {
                continue;
            }
            let place = Binding::audit_log(&id, &origin, &follows);
            let Ok(seed) = ring.open(&place, &old) else {
                done.shut_logs.push(id);
                continue;
            };
            let new = ring.seal(&place, &seed)?;
            again(|| {
                self.store
                    .change_across_orgs("reseal log", |tx| tx.reseal_log(&id, (&old, &new), self.clock.now()))
            })?;
            done.moved += 1;
        }
        Ok(())
    }
}

/// The same secret for the same place under the key that seals; `None` if it does not open there.
fn seal_anew(ring: &Keyring, placed: &Placed) -> Result<Option<Sealed>, KeysRefused> {
    let place = binding(&placed.owner, &placed.id, &placed.credential);
    match ring.open(&place, &placed.credential.sealed) {
        Ok(secret) => Ok(Some(ring.seal(&place, &secret)?)),
        Err(_) => Ok(None),
    }
}
