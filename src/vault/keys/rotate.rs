//! Make the next key, which seals from then on. What lies under earlier keys stays there and opens.

use crate::audit::AuditEvent;
use crate::ids::KeyId;
use crate::seal::{MasterKey, SourceRefused};
use crate::store::KeyRow;
use crate::vault::keys::{Keys, KeysRefused};

impl Keys {
    /// Makes a key in the source, durable there before the database hears of it, and lets it seal. A
    /// rotation that broke off between the two is gone on with: the key that it left is taken.
    pub fn rotate(&self) -> Result<KeyRow, KeysRefused> {
        // Nothing is changed beside a source that does not hold what it should.
        self.hold()?;
        let known = self.store.find_keys()?;
        let id = next(&known)?;
        let made = match self.source.make(&id) {
            Ok(key) => Some(key),
            Err(SourceRefused::Taken { .. }) => None,
            Err(refused) => return Err(refused.into()),
        };
        let kept = self.read_back(&id)?;
        if made.is_some_and(|made| made.fingerprint() != kept.fingerprint()) {
            return Err(KeysRefused::NotKept { id, place: self.source.name() });
        }
        let row = self.row(&id, kept)?;
        let event = AuditEvent::of_vault("key.rotate", row.id.as_str(), row.created_at)?;
        self.store.upkeep("rotate keys", |tx| {
            if tx.find_keys()?.iter().any(|known| known.id == row.id) {
                return Err(KeysRefused::Rotated(row.id.clone()));
            }
            tx.insert_sealing_key(&row)?;
            Ok(tx.append(&event)?)
        })?;
        Ok(row)
    }

    fn read_back(&self, id: &KeyId) -> Result<MasterKey, KeysRefused> {
        let mut found = self.source.read(std::slice::from_ref(id))?;
        if let Some(at) = found.unusable.iter().position(|(unusable, _)| unusable == id) {
            return Err(found.unusable.swap_remove(at).1.into());
        }
        let gone = || KeysRefused::NotKept { id: id.clone(), place: self.source.name() };
        found.keys.remove(id.as_str()).ok_or_else(gone)
    }
}

/// `k` and the next number, past every number and as many keys as there were.
fn next(known: &[KeyRow]) -> Result<KeyId, KeysRefused> {
    let numbers = known.iter().filter_map(|row| row.id.as_str().strip_prefix('k')?.parse::<usize>().ok());
    let last = numbers.max().unwrap_or(0).max(known.len());
    KeyId::parse(&format!("k{}", last.saturating_add(1))).map_err(|_| crate::seal::SealFailed.into())
}
