//! Put every sealed value under the key that seals, where it lies. Safe beside running vaults, beside
//! another reseal, and to be ended at any moment: what is done is done, the rest is found again.

use crate::audit::AuditEvent;
use crate::ids::{ConnectionId, KeyId};
use crate::seal::{Binding, Keyring, Sealed};
use crate::store::{KeyState, Placed, Resealed, SealedIssuerKey, ToReseal};
use crate::vault::keys::{Keys, KeysRefused, again};
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
}

impl Keys {
    /// Goes through every value that is under another key than the one that seals, and tells `show` after
    /// each batch. A value that does not open is stepped over and named.
    pub fn reseal(&self, mut show: impl FnMut(Progress)) -> Result<Moved, KeysRefused> {
        let ring = self.hold()?;
        let key = ring.current().clone();
        let others: i64 = self
            .list()?
            .iter()
            .filter(|listed| listed.key.state == KeyState::Opening)
            .map(|listed| listed.under.total())
            .sum();
        let mut done = Moved { key, moved: 0, shut: Vec::new(), shut_issuer_keys: Vec::new() };
        let of = u64::try_from(others).unwrap_or(0);
        self.reseal_issuer_keys(&ring, &mut done)?;
        show(Progress { moved: done.moved, of });
        // What changed while a pass went by is met by the next one, under the key that seals already: the
        // last pass finds nothing but what stays shut.
        loop {
            let before = done.moved;
            done.shut.clear();
            let met = self.pass(&ring, &mut done, |moved| show(Progress { moved, of }))?;
            if done.moved == before && met == done.shut.len() {
                break;
            }
        }
        let at = self.clock.now();
        let (moved, shut) =
            (done.moved.to_string(), (done.shut.len() + done.shut_issuer_keys.len()).to_string());
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
        mut show: impl FnMut(u64),
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
            show(done.moved);
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
}

/// The same secret for the same place under the key that seals; `None` if it does not open there.
fn seal_anew(ring: &Keyring, placed: &Placed) -> Result<Option<Sealed>, KeysRefused> {
    let place = binding(&placed.owner, &placed.id, &placed.credential);
    match ring.open(&place, &placed.credential.sealed) {
        Ok(secret) => Ok(Some(ring.seal(&place, &secret)?)),
        Err(_) => Ok(None),
    }
}
