//! Make the next key, which seals from then on. What lies under earlier keys stays there and opens.

use crate::audit::AuditEvent;
use crate::ids::KeyId;
use crate::seal::{MasterKey, SourceRefused};
use crate::store::KeyRow;
use crate::vault::keys::{Keys, KeysRefused, again};

/// Where a key that seals from now on comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was made for this.
    Now,
    /// It lay in the source already: an earlier rotation broke off, or somebody put it there.
    Found,
}

impl Made {
    fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Found => "found",
        }
    }
}

impl Keys {
    /// Makes a key in the source, durable there before the database hears of it, and lets it seal. A
    /// rotation that broke off between the two is gone on with: the key that it left is taken.
    pub fn rotate(&self) -> Result<(KeyRow, Made), KeysRefused> {
        // Nothing is changed beside a source that does not hold what it should.
        self.hold()?;
        let known = self.store.find_keys()?;
        let id = next(&known)?;
        let (fresh, made) = match self.source.make(&id) {
            Ok(key) => (Some(key), Made::Now),
            Err(SourceRefused::Taken { .. }) => (None, Made::Found),
            Err(refused) => return Err(refused.into()),
        };
        let kept = self.read_back(&id)?;
        if fresh.is_some_and(|fresh| fresh.fingerprint() != kept.fingerprint()) {
            return Err(KeysRefused::NotKept { id, place: self.source.name() });
        }
        let row = self.row(&id, kept)?;
        let told = [("fingerprint", row.fingerprint.as_str()), ("made", made.as_str())];
        let event = AuditEvent::of_vault_with("key.rotate", row.id.as_str(), &told, row.created_at)?;
        // Deposits that seal under the old key are waited for, and may be many.
        let is_new = again(|| {
            self.store.upkeep("rotate keys", |tx| {
                if tx.find_keys()?.iter().any(|known| known.id == row.id) {
                    return Ok(false);
                }
                tx.insert_sealing_key(&row)?;
                tx.append(&event).map(|()| true)
            })
        })?;
        if is_new { Ok((row, made)) } else { Err(KeysRefused::Rotated(row.id)) }
    }

    fn read_back(&self, id: &KeyId) -> Result<MasterKey, KeysRefused> {
        let mut found = self.source.read(std::slice::from_ref(id))?;
        found.refuse_unusable(id)?;
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
