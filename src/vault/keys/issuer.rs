//! The keys that sign tokens, followed by the next. The ones before are never opened for it: it is what to do when
//! one is stolen, or the master key that it lies under is lost.

use crate::access::{IssuerKey, KeyTerm};
use crate::audit::AuditEvent;
use crate::clock::Moment;
use crate::ids::IssuerKeyId;
use crate::seal::Binding;
use crate::store::{SealedIssuerKey, StoreError, Upkeep};
use crate::vault::keys::{Keys, KeysRefused, again};

/// How the next key follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Following {
    /// Every replica knows it before it signs, and what was signed before is taken for as long as it lives.
    Overlapping,
    /// Nothing that was signed before is taken any more.
    AtOnce,
}

impl Keys {
    /// The keys that sign tokens, oldest first.
    pub fn list_issuer(&self) -> Result<Vec<(IssuerKeyId, KeyTerm)>, KeysRefused> {
        let found = self.store.find_standing()?.issuers;
        Ok(found.into_iter().map(|row| (row.id, row.term)).collect())
    }

    /// Makes the next key. Keys of which nothing is taken any more go.
    pub fn rotate_issuer(&self, following: Following) -> Result<(IssuerKeyId, KeyTerm), KeysRefused> {
        let ring = self.hold()?;
        let now = self.clock.now();
        let key = IssuerKey::generate(now)?;
        let (term, until) = match following {
            Following::AtOnce => (KeyTerm::from_now(now), None),
            Following::Overlapping => {
                let term = KeyTerm::of_next(now);
                (term, Some(term.others_verify_until()))
            }
        };
        let sealed = ring.seal(&Binding::issuer_key(key.id()), &key.seed())?;
        let row = SealedIssuerKey { id: key.id().clone(), sealed, term };
        let told = [("signs_from", term.signs_from.to_string())];
        let event = event("issuer.rotate", &row.id, &told, now)?;
        again(|| {
            self.store.rotate_issuer("rotate issuer", |tx| {
                for other in tx.find_issuer_keys()? {
                    leave(tx, &other, until, now)?;
                }
                tx.insert_issuer_key(&row, now)?;
                tx.append(&event)
            })
        })?;
        Ok((row.id, term))
    }
}

/// A key that is followed: it ends then, if it would go on for longer; it goes if it is over, or has to end now.
fn leave(
    tx: &mut Upkeep,
    key: &SealedIssuerKey,
    until: Option<Moment>,
    now: Moment,
) -> Result<(), StoreError> {
    let no_randomness = |_| StoreError::Unavailable("no randomness");
    let Some(until) = until.filter(|_| !key.term.is_over(now)) else {
        tx.drop_issuer_key(key, now)?;
        return tx.append(&event("issuer.drop", &key.id, &[], now).map_err(no_randomness)?);
    };
    if key.term.verifies_until.is_some_and(|earlier| earlier <= until) {
        return Ok(());
    }
    tx.end_issuer_key(&key.id, until)?;
    let told = [("verifies_until", until.to_string())];
    tx.append(&event("issuer.end", &key.id, &told, now).map_err(no_randomness)?)
}

fn event(
    action: &'static str,
    id: &IssuerKeyId,
    told: &[(&'static str, String)],
    now: Moment,
) -> Result<AuditEvent, crate::clock::NoRandomness> {
    let told: Vec<_> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
    AuditEvent::of_vault_with(action, id.as_str(), &told, now)
}
