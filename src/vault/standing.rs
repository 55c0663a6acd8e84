//! Who may call, followed: the issuer's keys and what is revoked, looked at twice a second. A token is judged only
//! by what was so two seconds ago or later; while that can't be known, none is taken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::access::{Issuer, IssuerKey, Standing, Termed};
use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::ids::{IssuerKeyId, KeyId};
use crate::seal::{Binding, Keyring, OpenRefused};
use crate::store::{LOOKS, SealedIssuerKey, Store, StoredStanding};
use crate::vault::keys::Ring;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Older than that it decides nothing.
const GOOD_FOR: Duration = Duration::from_secs(2);
/// A look that takes longer hangs on a connection that nobody answers any more: it is passed by.
const HANGS: Duration = LOOK_WITHIN;
/// For so long a request waits for a fresh look: a lend is to be told 503 within 250 ms.
const LOOK_WITHIN: Duration = Duration::from_millis(150);

/// An issuer's key that is sealed and stays shut.
#[derive(Debug, thiserror::Error)]
pub enum IssuerShut {
    /// It does not open, or not with the keys held.
    #[error("the issuer's key in the database does not open: {0}")]
    Shut(OpenRefused, KeyId),
    /// It opened to something else.
    #[error("the issuer's key in the database is damaged")]
    Damaged,
}

/// The key of `row`, opened.
pub fn open_issuer_key(row: &SealedIssuerKey, ring: &Keyring) -> Result<Termed, IssuerShut> {
    let shut = |refused| IssuerShut::Shut(refused, row.sealed.key_id.clone());
    let seed = ring.open(&Binding::issuer_key(&row.id), &row.sealed).map_err(shut)?;
    let key = IssuerKey::from_seed(row.id.clone(), &seed).map_err(|_| IssuerShut::Damaged)?;
    Ok(Termed { key: Arc::new(key), term: row.term })
}

/// The standing as it was seen last, and who looks.
pub struct Watch {
    store: Store,
    ring: Arc<Ring>,
    clock: Clock,
    seen: RwLock<Seen>,
    flights: Mutex<Vec<Boarding>>,
    /// The last look failed, which was said.
    is_blind: AtomicBool,
}

/// A look that is under way.
struct Boarding {
    number: u64,
    begun: Instant,
    landed: watch::Receiver<()>,
}

struct Seen {
    standing: Arc<Standing>,
    at: Instant,
    /// Keys that stay shut, which was said.
    shut: Vec<IssuerKeyId>,
}

impl Watch {
    /// Follows what `store` says, from `standing`, which was so `at` that time.
    pub fn new(
        store: Store,
        ring: Arc<Ring>,
        clock: Clock,
        (standing, at): (Standing, Instant),
    ) -> Arc<Self> {
        let seen = Seen { standing: Arc::new(standing), at, shut: Vec::new() };
        Arc::new(Self {
            store,
            ring,
            clock,
            seen: RwLock::new(seen),
            flights: Mutex::default(),
            is_blind: AtomicBool::new(false),
        })
    }

    /// Looks again and again, for as long as the process lives.
    pub async fn follow(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await;
        }
    }

    /// The standing, two seconds old at most.
    pub async fn standing(self: &Arc<Self>) -> Result<Arc<Standing>, Error> {
        if let Some(recent) = self.recent() {
            return Ok(recent);
        }
        // Nobody waits where the last look failed. Whatever comes of this one: what counts is how old the standing
        // is then.
        if !self.is_blind.load(Ordering::SeqCst) {
            let _ = tokio::time::timeout(LOOK_WITHIN, self.look()).await;
        }
        self.recent().ok_or_else(|| Error::Unavailable("who may call could not be read".into()))
    }

    fn is_passed(&self, at: Instant) -> bool {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).at > at
    }

    fn recent(&self) -> Option<Arc<Standing>> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        (seen.at.elapsed() <= GOOD_FOR).then(|| seen.standing.clone())
    }

    /// Looks, or waits for the look that is under way, and no longer than one takes that is answered. It goes on when
    /// whoever asked has gone.
    async fn look(self: &Arc<Self>) {
        let mut landed = self.board();
        // Nothing is ever sent: the channel's end is what is waited for.
        let _ = tokio::time::timeout(HANGS, landed.changed()).await;
    }

    /// The newest look, unless it hangs: then another, if there may be one more.
    fn board(self: &Arc<Self>) -> watch::Receiver<()> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newest) = flights.last()
            && (newest.begun.elapsed() < HANGS || flights.len() >= LOOKS)
        {
            return newest.landed.clone();
        }
        let (landing, landed) = watch::channel(());
        let number = flights.last().map_or(0, |newest| newest.number + 1);
        flights.push(Boarding { number, begun: Instant::now(), landed: landed.clone() });
        let look = Flight { watch: self.clone(), number, _landing: landing };
        tokio::task::spawn_blocking(move || look.fly());
        landed
    }

    fn take(&self, found: &StoredStanding, at: Instant) -> Option<KeyId> {
        let now = self.clock.now();
        let before = self.seen.read().unwrap_or_else(PoisonError::into_inner).standing.clone();
        let (mut keys, mut shut, mut wanted) = (Vec::new(), Vec::new(), None);
        for row in found.issuers.iter().filter(|row| !row.term.is_over(now)) {
            match self.opened(&before, row) {
                Ok(key) => keys.push(key),
                Err(refused) => {
                    self.say(&row.id, &refused);
                    shut.push(row.id.clone());
                    if let IssuerShut::Shut(OpenRefused::UnknownKey, key) = refused {
                        wanted = Some(key);
                    }
                }
            }
        }
        let issuer = match before.issuer().is_same(&keys) {
            true => before.issuer().clone(),
            false => Arc::new(Issuer::new(keys)),
        };
        let standing = Arc::new(Standing::new(issuer, &found.revocations, Some(&before)));
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        // One that hung and came back at last has seen less than those that passed it.
        if at >= seen.at {
            *seen = Seen { standing, at, shut };
        }
        wanted
    }

    /// A key that is open already stays so.
    fn opened(&self, before: &Standing, row: &SealedIssuerKey) -> Result<Termed, IssuerShut> {
        match before.issuer().keys().iter().find(|known| known.key.id() == &row.id) {
            Some(known) => Ok(Termed { key: known.key.clone(), term: row.term }),
            None => open_issuer_key(row, &self.ring.held().keyring),
        }
    }

    fn say(&self, id: &IssuerKeyId, refused: &IssuerShut) {
        if !self.seen.read().unwrap_or_else(PoisonError::into_inner).shut.contains(id) {
            tracing::error!(issuer_key = %id, error = %refused, "tokens under this key are not taken");
        }
    }
}

/// One look. Whatever becomes of it, the next one can begin.
struct Flight {
    watch: Arc<Watch>,
    number: u64,
    _landing: watch::Sender<()>,
}

impl Flight {
    fn fly(self) {
        let at = Instant::now();
        match self.watch.store.find_standing() {
            Ok(found) => {
                if self.watch.is_blind.swap(false, Ordering::Relaxed) {
                    tracing::warn!("who may call can be read again");
                }
                let Some(key) = self.watch.take(&found, at) else { return };
                let (ring, held) = (self.watch.ring.clone(), self.watch.ring.held());
                if held.may_learn(&key) {
                    // The next look opens with what was learnt; no request waits for it.
                    tokio::spawn(async move { ring.seek(&key, &held).await });
                }
            }
            // One that hung says nothing of those that passed it.
            Err(_) if self.watch.is_passed(at) => {}
            Err(error) if !self.watch.is_blind.swap(true, Ordering::Relaxed) => {
                tracing::error!(%error, "who may call could not be read: in two seconds no token is taken");
            }
            Err(_) => {}
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut flights = self.watch.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|flight| flight.number != self.number);
    }
}

/// The keys of `rows` that are not over, opened; the first that stays shut is why there is no start.
pub fn open_issuer(rows: &[SealedIssuerKey], ring: &Keyring, now: Moment) -> Result<Issuer, IssuerShut> {
    let living = rows.iter().filter(|row| !row.term.is_over(now));
    Ok(Issuer::new(living.map(|row| open_issuer_key(row, ring)).collect::<Result<_, _>>()?))
}
