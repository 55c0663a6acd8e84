//! Master keys through their life: found and proven at a start, followed while the vault runs, changed,
//! left, destroyed. The database says what each may do; the source alone has them.

mod issuer;
mod reseal;
mod retire;
mod ring;
mod rotate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::AuditEvent;
use crate::clock::{Clock, Moment, NoRandomness};
use crate::ids::KeyId;
use crate::seal::{
    Binding, Fingerprint, Found, KeySource, Keyring, MasterKey, SealFailed, Sealed, SourceRefused,
};
use crate::secret::Secret;
use crate::store::{KeyRow, KeyState, SealedUnder, Store, StoreError, Upkeep};

pub use issuer::Following;
pub use reseal::{Moved, Progress, RunState};
pub use retire::{Retire, RetireRefused};
pub use ring::{Held, Ring};
pub use rotate::Made;

/// The master keys of one database, and where they are kept. Its calls block.
#[derive(Clone)]
pub struct Keys {
    store: Store,
    source: Arc<dyn KeySource>,
    clock: Clock,
}

/// Why keys are not used or not changed. Names them by id and fingerprint, never by value.
#[derive(Debug, thiserror::Error)]
pub enum KeysRefused {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceRefused),
    /// No key was ever noted.
    #[error("nothing is set up yet: run `pawl init` once (production makes no key by itself)")]
    NotSetUp,
    /// The database has keys and the source has none.
    #[error(
        "{cause}; the database was sealed under {id} with fingerprint {expected}, so none is made in its place"
    )]
    Gone {
        /// What the source said.
        cause: SourceRefused,
        /// The key that seals.
        id: KeyId,
        /// Its fingerprint in the database.
        expected: Fingerprint,
    },
    /// The key that seals is not the one that is held.
    #[error("wrong key: the database was sealed under {id} with fingerprint {expected}; held: {held}")]
    WrongKey {
        /// The key's id.
        id: KeyId,
        /// Its fingerprint in the database.
        expected: Fingerprint,
        /// What the source holds, `id=fingerprint`, or `none`.
        held: String,
    },
    /// The key has the fingerprint of the one that seals, and does not open what was sealed with that.
    #[error(
        "wrong key: {id} with fingerprint {fingerprint} is held, and does not open its canary in the database"
    )]
    Canary {
        /// The key's id.
        id: KeyId,
        /// Its fingerprint.
        fingerprint: Fingerprint,
    },
    /// Another rotation was faster.
    #[error("another rotation made {0} meanwhile: it seals now, and nothing else was changed")]
    Rotated(KeyId),
    /// The source gave another key back than it was given.
    #[error("{place} does not give {id} back as it was made: nothing was changed in the database")]
    NotKept {
        /// The key.
        id: KeyId,
        /// The source.
        place: String,
    },
    /// A key was not retired.
    #[error(transparent)]
    Retire(#[from] RetireRefused),
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealFailed),
    /// The system gave no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// A key and how much is under it.
pub struct Known {
    /// What the database knows.
    pub key: KeyRow,
    /// How much is sealed under it.
    pub under: SealedUnder,
    /// Whether that very key is held, by whom it was asked of.
    pub is_held: bool,
}

impl Keys {
    /// The keys of `store`, kept in `source`.
    pub fn new(store: Store, source: Arc<dyn KeySource>, clock: Clock) -> Self {
        Self { store, source, clock }
    }

    /// Where they are kept.
    pub fn source(&self) -> &dyn KeySource {
        &*self.source
    }

    /// The ring as database and source have it now. The key that seals is held and proven, or there is no
    /// ring; another key that is not held costs what is sealed under it alone.
    pub fn hold(&self) -> Result<Keyring, KeysRefused> {
        match self.hold_once() {
            // It was rotated and retired between the two looks.
            Err(KeysRefused::WrongKey { id, .. }) if sealing(&self.store.find_keys()?)?.id != id => {
                self.hold_once()
            }
            held => held,
        }
    }

    fn hold_once(&self) -> Result<Keyring, KeysRefused> {
        let rows = self.store.find_keys()?;
        let sealing = sealing(&rows)?;
        let opens: Vec<&KeyRow> = rows.iter().filter(|row| row.state != KeyState::Retired).collect();
        let ids: Vec<KeyId> = opens.iter().map(|row| row.id.clone()).collect();
        let mut found = self.source.read(&ids).map_err(|refused| match refused {
            cause @ SourceRefused::Missing(_) => {
                let (id, expected) = (sealing.id.clone(), sealing.fingerprint.clone());
                KeysRefused::Gone { cause, id, expected }
            }
            refused => refused.into(),
        })?;
        take_sealing(&mut found, sealing)?;
        let mut keys = BTreeMap::new();
        for row in opens {
            match found.keys.remove(row.id.as_str()) {
                Some(key) if key.fingerprint() == row.fingerprint => {
                    keys.insert(row.id.to_string(), key);
                }
                Some(_) => tracing::error!(key = %row.id, "the source holds another key under this name"),
                None => tracing::error!(key = %row.id, "the source does not hold this key"),
            }
        }
        let mut ring = Keyring::new(sealing.id.clone(), keys).ok_or(SealFailed)?;
        for row in &rows {
            if opens_canary(&ring, row) {
                continue;
            }
            if row.id == sealing.id {
                let (id, fingerprint) = (row.id.clone(), row.fingerprint.clone());
                return Err(KeysRefused::Canary { id, fingerprint });
            }
            tracing::error!(key = %row.id, "this key does not open its canary: it opens nothing");
            ring.take_out(&row.id);
        }
        Ok(ring)
    }

    /// The first ring of an empty database: the source's key, or a fresh one where there is none.
    pub fn begin(&self) -> Result<Keyring, KeysRefused> {
        let first = KeyId::parse("k1").map_err(|_| SealFailed)?;
        let found = match self.source.read(&[]) {
            Err(SourceRefused::Missing(_)) => Found::default(),
            found => found?,
        };
        if found.first.is_none() {
            match self.source.make(&first) {
                // Another init was faster.
                Ok(_) | Err(SourceRefused::Taken { .. }) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        let mut found = self.source.read(&[first])?;
        let id = found.first.take().ok_or(SealFailed)?;
        found.refuse_unusable(&id)?;
        let key = found.keys.remove(id.as_str()).ok_or(SealFailed)?;
        let row = self.row(&id, key)?;
        self.store.upkeep("note keys", |tx| {
            if tx.find_keys()?.is_empty() {
                tx.insert_sealing_key(&row)?;
                tx.append(&AuditEvent::of_vault("key.note", row.id.as_str(), row.created_at)?)?;
            }
            Ok::<_, KeysRefused>(())
        })?;
        self.hold()
    }

    /// Keeps a canary of the key that seals, where an earlier version noted it without one.
    pub fn prove_later(&self, ring: &Keyring) -> Result<(), KeysRefused> {
        let id = ring.current();
        if self.store.find_keys()?.iter().any(|row| &row.id == id && row.canary.is_some()) {
            return Ok(());
        }
        let canary = canary(ring, self.clock.now())?;
        Ok(self.store.upkeep("keep canary", |tx| tx.keep_canary(id, &canary))?)
    }

    /// Every key there ever was, oldest first, and whether the source holds it.
    pub fn list(&self) -> Result<Vec<Known>, KeysRefused> {
        let mut known = self.known()?;
        let ids: Vec<KeyId> = known.iter().map(|known| known.key.id.clone()).collect();
        let found = match self.source.read(&ids) {
            Err(SourceRefused::Missing(_)) => Found::default(),
            found => found?,
        };
        for Known { key, is_held, .. } in &mut known {
            let held = found.keys.get(key.id.as_str());
            *is_held = held.is_some_and(|held| held.fingerprint() == key.fingerprint);
        }
        Ok(known)
    }

    /// The same without asking the source: none is held, as far as this can tell.
    pub fn known(&self) -> Result<Vec<Known>, KeysRefused> {
        let rows = self.store.find_keys()?;
        let count = |tx: &mut Upkeep| {
            let known = rows
                .into_iter()
                .map(|key| Ok(Known { under: tx.count_sealed(&key.id)?, key, is_held: false }));
            known.collect()
        };
        Ok(self.store.view_across_orgs("count sealed", count)?)
    }

    /// `key` as the database will know it, which seals.
    fn row(&self, id: &KeyId, key: MasterKey) -> Result<KeyRow, KeysRefused> {
        let (fingerprint, created_at) = (key.fingerprint(), self.clock.now());
        let ring = Keyring::new(id.clone(), BTreeMap::from([(id.to_string(), key)])).ok_or(SealFailed)?;
        Ok(KeyRow {
            id: id.clone(),
            fingerprint,
            source: self.source.name(),
            state: KeyState::Sealing,
            created_at,
            canary: Some(canary(&ring, created_at)?),
            last_left_at: None,
        })
    }
}

/// What is in a canary is nobody's secret: when it was sealed.
fn canary(ring: &Keyring, now: Moment) -> Result<String, SealFailed> {
    Ok(ring.seal(&Binding::canary(ring.current()), &Secret::new(now.to_string()))?.token)
}

/// Also where there is none, or no such key to try it with.
fn opens_canary(ring: &Keyring, row: &KeyRow) -> bool {
    let Some(token) = row.canary.clone().filter(|_| ring.holds(&row.id)) else { return true };
    ring.prove(&Binding::canary(&row.id), &Sealed { token, key_id: row.id.clone() }).is_ok()
}

fn sealing(rows: &[KeyRow]) -> Result<&KeyRow, KeysRefused> {
    rows.iter().find(|row| row.state == KeyState::Sealing).ok_or(KeysRefused::NotSetUp)
}

/// Refuses a source that does not hold the key that seals, as the database knows it.
fn take_sealing(found: &mut Found, sealing: &KeyRow) -> Result<(), KeysRefused> {
    found.refuse_unusable(&sealing.id)?;
    for (id, refused) in &found.unusable {
        tracing::error!(key = %id, error = %refused, "a key can't be used");
    }
    let held = found.keys.get(sealing.id.as_str()).map(MasterKey::fingerprint);
    if held.as_ref() == Some(&sealing.fingerprint) {
        return Ok(());
    }
    let held: Vec<String> =
        found.keys.iter().map(|(id, key)| format!("{id}={}", key.fingerprint())).collect();
    Err(KeysRefused::WrongKey {
        id: sealing.id.clone(),
        expected: sealing.fingerprint.clone(),
        held: if held.is_empty() { "none".into() } else { held.join(", ") },
    })
}

/// How often a transaction is tried, and the pause between: together longer than a failover takes.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// What the database can't do now it may do in a moment: another writer holds it, or it changes servers.
fn again<T>(mut work: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut left = TRIES;
    loop {
        match work() {
            Err(StoreError::Unavailable(_)) if left > 1 => {
                left -= 1;
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}
