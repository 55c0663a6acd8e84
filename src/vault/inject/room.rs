//! Room for what Odoos answer, counted in bytes for the whole process: an answer that may be large is read on only once
//! there is room for all of it. Those who wait stand in the order they came in; an org has its part of all and no more,
//! and the last is for orgs that have none. Small answers need none of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::ids::OrgId;
use crate::vault::inject::running::Injections;

/// What is counted in: a permit each.
const UNIT: usize = 64 * 1024;
/// So much of what comes to a read needs no room: of all reads at once it is 16 MiB.
const SMALL: usize = 256 * 1024;
/// What a read needs that may be large: its answer, and what came before that.
const ONE: usize = 10 * 1024 * 1024;
const OF_ORG: usize = 2 * ONE;
const OPEN_TO_ALL: usize = 6 * ONE;
const FOR_WHO_HAS_NONE: usize = 2 * ONE;

/// Who waited for so long is told.
const WITHIN: Duration = Duration::from_secs(20);
/// How often those are looked for who don't take what they have.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(in crate::vault) struct Room {
    open: Arc<Semaphore>,
    last: Arc<Semaphore>,
    /// Those that somebody waits for or holds.
    orgs: Mutex<BTreeMap<String, Weak<Semaphore>>>,
    injections: Injections,
}

/// What one read holds of it, until the last of it drops this.
pub(super) struct Share {
    room: Arc<Room>,
    of_org: Arc<Semaphore>,
    held: Mutex<Held>,
    waits: AtomicBool,
}

#[derive(Default)]
struct Held {
    /// What came of answers.
    bytes: usize,
    of_org: Option<OwnedSemaphorePermit>,
    of_all: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(in crate::vault) fn new(injections: Injections) -> Arc<Self> {
        let [open, last] =
            [OPEN_TO_ALL, FOR_WHO_HAS_NONE].map(|bytes| Arc::new(Semaphore::new(bytes / UNIT)));
        Arc::new(Self { open, last, orgs: Mutex::default(), injections })
    }

    /// What a read of `org` will hold: nothing yet.
    pub(super) fn share(self: &Arc<Self>, org: &OrgId) -> Arc<Share> {
        let (room, of_org) = (self.clone(), self.of(org));
        Arc::new(Share { room, of_org, held: Mutex::default(), waits: AtomicBool::new(false) })
    }

    fn of(&self, org: &OrgId) -> Arc<Semaphore> {
        let mut orgs = self.orgs.lock().unwrap_or_else(PoisonError::into_inner);
        orgs.retain(|_, of_org| of_org.strong_count() > 0);
        if let Some(of_org) = orgs.get(org.as_str()).and_then(Weak::upgrade) {
            return of_org;
        }
        let of_org = Arc::new(Semaphore::new(OF_ORG / UNIT));
        orgs.insert(org.to_string(), Arc::downgrade(&of_org));
        of_org
    }
}

impl Share {
    /// Whether there is room for so many bytes more of answers, waited for.
    pub(super) async fn grow(&self, bytes: usize) -> bool {
        {
            let mut held = self.held();
            held.bytes = held.bytes.saturating_add(bytes);
            if held.bytes <= SMALL || held.of_all.is_some() {
                return true;
            }
        }
        self.waits.store(true, Ordering::SeqCst);
        let (clock, mut place) = (self.room.injections.clock(), pin!(self.place()));
        let begun = clock.elapsed();
        let is_there = loop {
            match timeout(LOOK_EVERY, &mut place).await {
                Ok(is_there) => break is_there,
                Err(_) if clock.elapsed().saturating_sub(begun) >= WITHIN => break false,
                Err(_) => self.room.injections.cut_off(),
            }
        };
        self.waits.store(false, Ordering::SeqCst);
        is_there
    }

    /// Whether it stands and waits, so that its call is late by that.
    pub(super) fn waits(&self) -> bool {
        self.waits.load(Ordering::SeqCst)
    }

    /// No more comes. What is written of it has at most twice its bytes: each may have to be escaped.
    pub(super) fn all_came(&self) {
        let bytes = self.held().bytes;
        self.shrink(bytes.saturating_mul(2));
    }

    /// No more than so many bytes are left of it: the rest is others'.
    pub(super) fn shrink(&self, bytes: usize) {
        let left = if bytes <= SMALL { 0 } else { bytes.div_ceil(UNIT) };
        let mut held = self.held();
        let Held { of_org, of_all, .. } = &mut *held;
        for permit in [of_org, of_all].into_iter().flatten() {
            let over = permit.num_permits().saturating_sub(left);
            drop(permit.split(over));
        }
    }

    /// First the org's, so that of each those alone wait for the rest that may have it.
    async fn place(&self) -> bool {
        let Some(of_org) = of(&self.of_org).await else { return false };
        let has_none = self.of_org.available_permits() + ONE / UNIT == OF_ORG / UNIT;
        let of_all = match has_none {
            true => either(of(&self.room.open), of(&self.room.last)).await,
            false => of(&self.room.open).await,
        };
        let is_there = of_all.is_some();
        let mut held = self.held();
        (held.of_org, held.of_all) = (Some(of_org), of_all);
        is_there
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for one. Closed by nobody.
async fn of(some: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    some.clone().acquire_many_owned(u32::try_from(ONE / UNIT).ok()?).await.ok()
}

async fn either<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        it = one => it,
        it = other => it,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::clock::{Clock, Moment};

    fn room() -> Arc<Room> {
        Room::new(Injections::new(Clock::held(Moment::from_micros(0))))
    }

    fn org(n: usize) -> OrgId {
        OrgId::parse(&format!("o{n}")).unwrap()
    }

    type Waits = Pin<Box<dyn Future<Output = bool>>>;

    fn waits(share: &Arc<Share>) -> Waits {
        let share = share.clone();
        Box::pin(async move { share.place().await })
    }

    fn has(waits: &mut Waits) -> bool {
        waits.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(true)
    }

    /// With the place that is there at once, or without.
    fn asks(room: &Arc<Room>, n: usize) -> (Arc<Share>, bool) {
        let share = room.share(&org(n));
        let is_there = has(&mut waits(&share));
        (share, is_there)
    }

    fn free(room: &Room) -> usize {
        room.open.available_permits() + room.last.available_permits()
    }

    /// Attack on P4.
    #[test]
    fn an_org_has_its_part_of_the_room_and_the_last_is_for_who_has_none() {
        let room = room();
        let of_three: Vec<_> = (0..9).map(|n| asks(&room, n / 3)).collect();
        let places: Vec<bool> = of_three.iter().map(|(_, is_there)| *is_there).collect();
        assert_eq!(places, [true, true, false].repeat(3), "two of an org");
        let of_others: Vec<_> = [3, 3, 4, 5].map(|n| asks(&room, n)).into();
        let places: Vec<bool> = of_others.iter().map(|(_, is_there)| *is_there).collect();
        assert_eq!(places, [true, false, true, false], "one each of the last, and no more than there is");
        assert_eq!(free(&room), 0);
        drop((of_three, of_others));
        assert_eq!(free(&room), (OPEN_TO_ALL + FOR_WHO_HAS_NONE) / UNIT);
        drop(asks(&room, 9));
        assert_eq!(room.orgs.lock().unwrap().len(), 1, "nobody is remembered");
    }

    /// Attack on P4.
    #[test]
    fn who_waits_for_room_gets_it_in_turn_and_what_is_not_needed_is_free_at_once() {
        let room = room();
        let mut held: Vec<Arc<Share>> = (0..8).map(|n| asks(&room, n).0).collect();
        let [late, acme, other] = [room.share(&org(0)), room.share(&org(8)), room.share(&org(9))];
        let [mut late, mut first, mut second] = [&late, &acme, &other].map(waits);
        assert!(![&mut late, &mut first, &mut second].into_iter().any(has));
        // Found small, after all: the rest of its place is not another whole one yet.
        held[7].shrink(SMALL + 1);
        assert!(!has(&mut second) && !has(&mut first) && !has(&mut late));
        held.pop();
        assert!(!has(&mut second), "who came later");
        assert!(has(&mut late) || has(&mut first));
        held.truncate(6);
        held.truncate(4);
        assert!(has(&mut second));
        // Who gives up leaves the place to the next.
        drop((late, first, second));
        let places = [10, 11].map(|n| asks(&room, n));
        assert!(places.iter().all(|(_, is_there)| *is_there));
    }

    #[test]
    fn what_is_small_needs_no_room() {
        let room = room();
        let held: Vec<_> = (0..8).map(|n| asks(&room, n)).collect();
        assert!(held.iter().all(|(_, is_there)| *is_there) && free(&room) == 0);
        let share = room.share(&org(9));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        assert!(runtime.block_on(async { share.grow(SMALL - 1).await && share.grow(1).await }));
        share.all_came();
        assert!(share.held().of_all.is_none() && !share.waits());
    }
}
