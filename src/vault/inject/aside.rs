//! What takes a processor for long is done aside, on threads that no other call waits for: one at a time for an org, so
//! that who has large answers come holds up themselves, and few in all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ids::OrgId;

/// Of all orgs at once; each may take several times the largest answer in memory.
const MOST: usize = 2;

pub(in crate::vault) struct Aside {
    places: Arc<Semaphore>,
    /// Those that somebody waits for or holds.
    orgs: Mutex<BTreeMap<String, Weak<Semaphore>>>,
    /// No more of them than places: each thread keeps of the heap what its largest work took.
    threads: Option<Runtime>,
}

impl Default for Aside {
    fn default() -> Self {
        // Without a driver there is nothing to fail; else they are those of all.
        let threads =
            Builder::new_current_thread().thread_name("aside").max_blocking_threads(MOST).build().ok();
        Self { places: Arc::new(Semaphore::new(MOST)), orgs: Mutex::default(), threads }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl Aside {
    /// Does `work` for `org` when it is its turn. Its place is free again when it is done, also when nobody waits for it
    /// any more. `None` if it broke off.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        org: &OrgId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let place = self.place(org).await?;
        let work = move || {
            let done = work();
            drop(place);
            done
        };
        let done = match &self.threads {
            Some(threads) => threads.spawn_blocking(work),
            None => tokio::task::spawn_blocking(work),
        };
        done.await.ok()
    }

    async fn place(&self, org: &OrgId) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = self.of(org).acquire_owned().await.ok()?;
        // Closed by nobody; and of each org one at the most waits here.
        Some([own, self.places.clone().acquire_owned().await.ok()?])
    }

    fn of(&self, org: &OrgId) -> Arc<Semaphore> {
        let mut orgs = self.orgs.lock().unwrap_or_else(PoisonError::into_inner);
        orgs.retain(|_, place| place.strong_count() > 0);
        if let Some(place) = orgs.get(org.as_str()).and_then(Weak::upgrade) {
            return place;
        }
        let place = Arc::new(Semaphore::new(1));
        orgs.insert(org.to_string(), Arc::downgrade(&place));
        place
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;

    type Waits<'a> = Pin<Box<dyn Future<Output = Option<[OwnedSemaphorePermit; 2]>> + 'a>>;

    fn wait<'a>(aside: &'a Aside, org: &'a OrgId) -> Waits<'a> {
        Box::pin(aside.place(org))
    }

    fn got(waits: &mut Waits) -> Option<[OwnedSemaphorePermit; 2]> {
        match waits.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(place) => Some(place.unwrap()),
            std::task::Poll::Pending => None,
        }
    }

    /// Attack on P4.
    #[test]
    fn an_org_with_many_large_answers_holds_up_its_own() {
        let (aside, [acme, other, third]) =
            (Aside::default(), ["a", "b", "c"].map(|o| OrgId::parse(o).unwrap()));
        let mut of_acme: Vec<Waits> = (0..16).map(|_| wait(&aside, &acme)).collect();
        let first = got(&mut of_acme[0]).unwrap();
        assert!(of_acme[1..].iter_mut().all(|waits| got(waits).is_none()), "one at a time");
        let second = got(&mut wait(&aside, &other)).unwrap();
        let mut last = wait(&aside, &third);
        assert!(got(&mut last).is_none(), "few in all");
        drop(first);
        // The others of acme's came first, and one of them waits no longer than its turn.
        let next = of_acme[1..].iter_mut().find_map(got);
        let last = got(&mut last);
        assert!(next.is_none() && last.is_some(), "who waited for a place gets it before acme's next");
        drop(second);
        assert!(of_acme[1..].iter_mut().any(|waits| got(waits).is_some()));
        drop((of_acme, last));
        assert!(aside.of(&acme).available_permits() == 1 && aside.orgs.lock().unwrap().len() == 1);
    }
}
