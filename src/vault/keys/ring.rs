//! The ring of a running vault: read again on a timer, and at once when a row names a key that is not
//! held or may not seal any more. One reading at a time, whoever waits for it; while the source does not
//! answer the ring stays as it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Moment;
use crate::ids::KeyId;
use crate::metrics;
use crate::seal::Keyring;
use crate::vault::keys::{Keys, KeysRefused};

/// For so long a key that was not found is not looked for again.
const NOT_THERE: Duration = Duration::from_secs(60);
/// For so long nobody but the timer asks a source that failed.
const FAILED: Duration = Duration::from_secs(5);

/// The ring as it is at one moment.
#[derive(Clone)]
pub struct Held {
    /// The keys.
    pub keyring: Arc<Keyring>,
    /// Grows with each reading.
    reading: u64,
    /// Keys that were looked for and not found of late.
    missing: Arc<BTreeMap<String, Moment>>,
}

impl Held {
    /// Whether a key that is not held may be found by a fresh reading.
    pub fn may_learn(&self, key: &KeyId) -> bool {
        !self.missing.contains_key(key.as_str())
    }

    /// The keys that a fresh reading will not find, for a while.
    pub fn missing(&self) -> Vec<KeyId> {
        self.missing.keys().filter_map(|id| KeyId::parse(id).ok()).collect()
    }
}

/// The ring, followed.
pub struct Ring {
    keys: Keys,
    now: RwLock<Now>,
    flight: Mutex<Option<watch::Receiver<()>>>,
}

struct Now {
    held: Held,
    failed_at: Option<Moment>,
    /// How many readings were begun, and which was the last that succeeded.
    begun: u64,
    good: u64,
}

impl Ring {
    /// Follows `keys` from `keyring`, which was read just now.
    pub fn new(keys: Keys, keyring: Keyring) -> Arc<Self> {
        let held = Held { keyring: Arc::new(keyring), reading: 1, missing: Arc::default() };
        metrics::keyring_read(keys.clock.now());
        metrics::keys_stale(false);
        Arc::new(Self {
            keys,
            now: RwLock::new(Now { held, failed_at: None, begun: 0, good: 0 }),
            flight: Mutex::default(),
        })
    }

    /// The ring as it is now.
    pub fn held(&self) -> Held {
        let now = self.keys.clock.now();
        let mut held = self.now.read().unwrap_or_else(PoisonError::into_inner).held.clone();
        if held.missing.values().any(|until| *until <= now) {
            Arc::make_mut(&mut held.missing).retain(|_, until| *until > now);
        }
        held
    }

    /// The keys that it follows.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether the last reading failed: the ring is as it was before.
    pub fn is_stale(&self) -> bool {
        self.now.read().unwrap_or_else(PoisonError::into_inner).failed_at.is_some()
    }

    /// A ring that is fresher than `held`, which met `key` and could not open or not seal with it. Only a
    /// reading that began after that, and succeeded, says that there is no such key.
    pub async fn seek(self: &Arc<Self>, key: &KeyId, held: &Held) -> Held {
        let before = self.count(|now| now.begun);
        if self.held().reading != held.reading || self.failed_of_late() {
            return self.held();
        }
        // One that is under way may have looked too early.
        while self.count(|now| now.begun) == before {
            self.refresh().await;
        }
        if !self.held().keyring.holds(key) && self.count(|now| now.good) > before {
            let at = self.keys.clock.now();
            let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
            let missing = Arc::make_mut(&mut now.held.missing);
            missing.retain(|_, until| *until > at);
            missing.entry(key.to_string()).or_insert_with(|| at.after(NOT_THERE));
        }
        self.held()
    }

    fn count(&self, of: impl Fn(&Now) -> u64) -> u64 {
        of(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the ring again, or waits for whoever is at it.
    pub async fn refresh(self: &Arc<Self>) {
        let (mut landed, flight) = self.board();
        if let Some(flight) = flight {
            // By itself, not as part of a request that may be given up.
            tokio::task::spawn_blocking(move || flight.fly());
        }
        // Nothing is ever sent: the channel's end is what is waited for.
        let _ = landed.changed().await;
    }

    /// The reading that is under way; or a new one, which whoever got it starts.
    fn board(self: &Arc<Self>) -> (watch::Receiver<()>, Option<Flight>) {
        let mut flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(landed) = &*flight {
            return (landed.clone(), None);
        }
        let (landing, landed) = watch::channel(());
        *flight = Some(landed.clone());
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        now.begun += 1;
        let (ring, number) = (self.clone(), now.begun);
        (landed, Some(Flight { ring, number, has_landed: false, _landing: landing }))
    }

    fn failed_of_late(&self) -> bool {
        let failed_at = self.now.read().unwrap_or_else(PoisonError::into_inner).failed_at;
        failed_at.is_some_and(|at| at.after(FAILED) > self.keys.clock.now())
    }

    fn take(&self, number: u64, read: Result<Keyring, KeysRefused>) {
        let at = self.keys.clock.now();
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        now.held.reading += 1;
        metrics::keys_stale(read.is_err());
        match read {
            Ok(keyring) => {
                now.held.keyring = Arc::new(keyring);
                (now.failed_at, now.good) = (None, number);
                metrics::keyring_read(at);
            }
            Err(refused) => {
                now.failed_at = Some(at);
                drop(now);
                say(&refused);
            }
        }
    }
}

/// One reading. Whatever becomes of it, the next one can begin.
struct Flight {
    ring: Arc<Ring>,
    number: u64,
    has_landed: bool,
    _landing: watch::Sender<()>,
}

impl Flight {
    fn fly(mut self) {
        let read = self.ring.keys.hold();
        self.ring.take(self.number, read);
        self.has_landed = true;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.has_landed {
            let mut now = self.ring.now.write().unwrap_or_else(PoisonError::into_inner);
            now.failed_at = Some(self.ring.keys.clock.now());
            metrics::keys_stale(true);
        }
        *self.ring.flight.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn say(refused: &KeysRefused) {
    tracing::error!(error = %refused, "the keys could not be read again: the ring stays as it was");
}
