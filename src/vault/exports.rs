//! How many exports are open, and who has had the time for theirs: they leave their place to others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::error::Error;
use crate::ids::OrgId;

/// So many pieces are read at once: most of the pool is left to others.
const READERS: usize = 2;
/// So many exports of an org are open at once, and of all orgs.
const OPEN_OF_ORG: usize = 2;
const OPEN: usize = 32;
/// Of an export something is taken within that, and all of it within this, or it is cut off.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
const LASTS: Duration = Duration::from_secs(15 * 60);

/// Exports that are open, and how many may be.
#[derive(Clone)]
pub(super) struct Exports {
    clock: Clock,
    open: Arc<Mutex<Open>>,
    readers: Arc<Semaphore>,
}

#[derive(Default)]
struct Open {
    next: u64,
    of: BTreeMap<u64, Slot>,
}

/// One that is open.
struct Slot {
    org: OrgId,
    /// When it began, by a clock that is never set back.
    since: Duration,
    /// When something of it was last taken.
    taken: Duration,
}

impl Slot {
    /// Whether whoever takes it has had the time for it.
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.since) > LASTS || now.saturating_sub(self.taken) > TAKEN_WITHIN
    }
}

impl Exports {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, open: Arc::default(), readers: Arc::new(Semaphore::new(READERS)) }
    }

    /// A place, if there is one. Who has had the time for theirs leave them to others.
    pub(super) fn place(&self, org: &OrgId) -> Result<Place, Error> {
        let (mut open, now) = (self.open(), self.clock.elapsed());
        open.of.retain(|_, slot| !slot.is_over(now));
        let of_org = open.of.values().filter(|slot| slot.org == *org).count();
        if of_org >= OPEN_OF_ORG || open.of.len() >= OPEN {
            return Err(Error::TooManyExports);
        }
        let number = open.next;
        open.next += 1;
        open.of.insert(number, Slot { org: org.clone(), since: now, taken: now });
        Ok(Place { of: self.clone(), number, is_open: Arc::default() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the open ones, for as long as somebody takes it.
pub(super) struct Place {
    of: Exports,
    number: u64,
    is_open: Arc<()>,
}

/// An export, seen by who does not take it.
pub struct Watched {
    of: Exports,
    number: u64,
    is_open: Weak<()>,
}

impl Watched {
    /// Whether somebody still has it.
    pub fn is_open(&self) -> bool {
        self.is_open.strong_count() > 0
    }

    /// Whether whoever takes it has had the time for it.
    pub fn is_over(&self) -> bool {
        let (open, now) = (self.of.open(), self.of.clock.elapsed());
        open.of.get(&self.number).is_none_or(|slot| slot.is_over(now))
    }
}

impl Place {
    /// It, to look at while somebody takes it.
    pub(super) fn watched(&self) -> Watched {
        Watched { of: self.of.clone(), number: self.number, is_open: Arc::downgrade(&self.is_open) }
    }

    /// Whose turn it is to read a piece.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.of.readers.clone().acquire_owned().await.ok()
    }

    /// Notes that something was taken, by who still has the time for more.
    pub(super) fn note_taken(&self) -> Result<(), Error> {
        let (mut open, now) = (self.of.open(), self.of.clock.elapsed());
        match open.of.get_mut(&self.number).filter(|slot| !slot.is_over(now)) {
            Some(slot) => {
                slot.taken = now;
                Ok(())
            }
            None => {
                open.of.remove(&self.number);
                Err(Error::Unavailable("it was taken too slowly, and cut off".into()))
            }
        }
    }

    /// Notes that it was not the reader who was waited for.
    pub(super) fn note_given(&self) {
        let (mut open, now) = (self.of.open(), self.of.clock.elapsed());
        if let Some(slot) = open.of.get_mut(&self.number) {
            slot.taken = now;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.open().of.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;

    fn org(name: &str) -> OrgId {
        OrgId::parse(name).unwrap()
    }

    /// Attack on P10.
    #[test]
    fn who_had_the_time_for_theirs_leave_their_place() {
        let clock = Clock::held(Moment::from_micros(0));
        let exports = Exports::new(clock.clone());
        let of = |name: &str| exports.place(&org(name));
        let slow: Vec<Place> = (0..OPEN).map(|n| of(&format!("org{}", n / OPEN_OF_ORG)).unwrap()).collect();
        assert!(of("org0").is_err() && of("other").is_err());
        clock.advance(TAKEN_WITHIN);
        slow[0].note_taken().unwrap();
        slow[1].note_given();
        assert!(of("other").is_err());
        clock.advance(Duration::from_secs(1));
        // The first two of one org went on; all others took nothing.
        assert!(of("org0").is_err());
        let other = of("other").unwrap();
        assert!(slow[2..].iter().all(|place| place.note_taken().is_err()));
        drop(slow);
        // Who was cut off takes nobody's place along.
        assert_eq!(exports.open().of.len(), 1);
        for _ in 0..15 {
            clock.advance(Duration::from_secs(59));
            other.note_taken().unwrap();
        }
        clock.advance(Duration::from_secs(30));
        assert!(other.note_taken().is_err(), "it lasted too long");
        drop(of("other").unwrap());
        assert!(exports.open().of.is_empty());
    }
}
