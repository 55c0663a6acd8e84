//! How many denials a minute are put on record one by one. A place is taken before it is known what becomes of the ask,
//! so that no crowd that comes at once has more of them; it is free again when nothing was put on record.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::ids::OrgId;

/// How many denials of an org (or in the vault's own chain) are put on record one by one in a minute.
pub const DENIALS_A_MINUTE: u32 = 60;
/// Of how many orgs it is known how many denials of the minute are on record; those of the rest are counted.
const MOST_ORGS: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

/// The places of this minute.
pub struct Slots {
    clock: Clock,
    minute: Mutex<Minute>,
}

#[derive(Default)]
struct Minute {
    /// Which, since the clock's beginning.
    number: u64,
    /// How many are taken; in the vault's own chain under `None`.
    taken: BTreeMap<Option<OrgId>, u32>,
}

impl Slots {
    /// All free.
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, minute: Mutex::default() })
    }

    /// A place in the chain of `org`, if one is free.
    pub fn take(self: &Arc<Self>, org: Option<&OrgId>) -> Option<Slot> {
        let org = org.cloned();
        let mut minute = self.minute();
        let taken = minute.taken.get(&org).copied();
        if taken.is_none() && minute.taken.len() >= MOST_ORGS || taken.unwrap_or(0) >= DENIALS_A_MINUTE {
            return None;
        }
        *minute.taken.entry(org.clone()).or_default() += 1;
        Some(Slot { of: self.clone(), org, minute: minute.number, is_used: AtomicBool::new(false) })
    }

    /// The minute that it is.
    fn minute(&self) -> MutexGuard<'_, Minute> {
        let number = self.clock.elapsed().as_secs() / MINUTE.as_secs();
        // A poisoned minute holds only whole counts.
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.number < number {
            minute.number = number;
            minute.taken.clear();
        }
        minute
    }
}

/// A place that is taken. Goes where the record is written, so that who hangs up meanwhile frees none that is used.
pub struct Slot {
    of: Arc<Slots>,
    org: Option<OrgId>,
    minute: u64,
    is_used: AtomicBool,
}

impl Slot {
    /// A denial is written in it. Whether that became durable may be known to nobody: the place stays taken.
    pub fn fill(&self) {
        self.is_used.store(true, Ordering::Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if *self.is_used.get_mut() {
            return;
        }
        let mut minute = self.of.minute();
        if minute.number != self.minute {
            return;
        }
        if let Some(taken) = minute.taken.get_mut(&self.org) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                minute.taken.remove(&self.org);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack on P10.
    #[test]
    fn who_comes_at_once_has_no_more_places_and_what_was_not_used_is_free_again() {
        let (clock, org) = (Clock::held(crate::clock::Moment::from_micros(0)), OrgId::parse("acme").unwrap());
        let slots = Slots::new(clock.clone());
        let take = || slots.take(Some(&org));
        let crowd: Vec<_> = (0..1000).filter_map(|_| take()).collect();
        assert_eq!(crowd.len(), 60);
        assert!(slots.take(None).is_some(), "another chain's");
        drop(crowd);
        let (used, unused) = (take().unwrap(), take().unwrap());
        used.fill();
        drop((used, unused));
        assert_eq!(std::iter::from_fn(take).map(std::mem::forget).count(), 59);
        clock.advance(MINUTE);
        assert_eq!(std::iter::from_fn(take).map(std::mem::forget).count(), 60);
    }
}
