//! How a name becomes addresses: the system's way, or another that is passed in where the program is put together.
//! A look-up can't be called off, and whose it is may have a name server that never answers: it keeps its place until
//! it has ended, of which there are so many, and so many an org.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::egress::error::EgressError;

/// Look-ups under way at once, each on a thread of its own.
const MOST: usize = 32;
/// The same for one org.
const MOST_OF_ORG: usize = 4;

/// A way to look names up. No answer is an empty one.
#[derive(Clone)]
pub struct Resolve {
    ask: Arc<LookUp>,
    places: Arc<Places>,
}

type LookUp = dyn Fn(String) -> Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send>> + Send + Sync;

impl Resolve {
    /// The system's resolver.
    pub fn system() -> Self {
        Self::through(async |name: String| match tokio::net::lookup_host((name, 0)).await {
            Ok(found) => found.map(|address| address.ip()).collect(),
            Err(_) => Vec::new(),
        })
    }

    /// Whatever `answer` says of a name, which has no dot at its end.
    pub fn by(answer: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        Self::through(move |name| {
            let found = answer(name.trim_end_matches('.'));
            async move { found }
        })
    }

    /// Whatever comes of `ask`, such as a name server of one's own. A name that is whole ends with a dot.
    pub fn through<F>(ask: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Vec<IpAddr>> + Send + 'static,
    {
        let places = Places { all: Arc::new(Semaphore::new(MOST)), orgs: Mutex::default() };
        Self { ask: Arc::new(move |name| Box::pin(ask(name))), places: Arc::new(places) }
    }

    /// Every address that `name` has, for `org`; [`EgressError::LookUpsFull`] where there is no place for it until
    /// `until`.
    pub(super) async fn find(
        &self,
        name: &str,
        org: Option<&str>,
        until: Instant,
    ) -> Result<Vec<IpAddr>, EgressError> {
        let place = timeout_at(until, self.places.take(org.unwrap_or_default())).await;
        let place = place.ok().flatten().ok_or(EgressError::LookUpsFull)?;
        let asked = (self.ask)(name.to_owned());
        // A task of its own: who waits no longer leaves it its place.
        let asked = tokio::spawn(async move {
            let found = asked.await;
            drop(place);
            found
        });
        Ok(asked.await.unwrap_or_default())
    }
}

struct Places {
    all: Arc<Semaphore>,
    /// Of the orgs that wait for one or hold one.
    orgs: Mutex<BTreeMap<String, Weak<Semaphore>>>,
}

impl Places {
    /// The org's own first: who waits for that keeps no other org from one.
    async fn take(&self, org: &str) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = self.of(org).acquire_owned().await.ok()?;
        let one = self.all.clone().acquire_owned().await.ok()?;
        Some([own, one])
    }

    fn of(&self, org: &str) -> Arc<Semaphore> {
        let mut orgs = self.orgs.lock().unwrap_or_else(PoisonError::into_inner);
        orgs.retain(|_, places| places.strong_count() > 0);
        if let Some(places) = orgs.get(org).and_then(Weak::upgrade) {
            return places;
        }
        let places = Arc::new(Semaphore::new(MOST_OF_ORG));
        orgs.insert(org.to_owned(), Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;

    /// What `name` is found to be for `org` at once; `None` while it is looked up.
    async fn find(resolve: &Resolve, name: &str, org: &str) -> Option<Result<Vec<IpAddr>, EgressError>> {
        let within = if name.starts_with("slow") { Duration::ZERO } else { Duration::from_secs(60) };
        timeout(within, resolve.find(name, Some(org), Instant::now())).await.ok()
    }

    /// Every name has one address, those that begin with `slow` once there is a permit for each.
    fn resolving() -> (Resolve, Arc<Semaphore>) {
        let ends = Arc::new(Semaphore::new(0));
        let waits = ends.clone();
        let resolve = Resolve::through(move |name: String| {
            let waits = waits.clone();
            async move {
                if name.starts_with("slow") {
                    waits.acquire().await.unwrap().forget();
                }
                vec![IpAddr::from([1, 1, 1, 1])]
            }
        });
        (resolve, ends)
    }

    fn run(work: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
    }

    /// Attack on P7.
    #[test]
    fn look_ups_that_never_end_keep_their_own_places_alone() {
        run(async {
            let (resolve, _ends) = resolving();
            let full = Some(Err(EgressError::LookUpsFull));
            for n in 0..4 {
                assert_eq!(find(&resolve, "slow.", "evil").await, None, "{n}");
            }
            assert_eq!(find(&resolve, "slow.", "evil").await, full);
            assert_eq!(find(&resolve, "good.", "evil").await, full, "its own trouble");
            for _ in 0..40 {
                assert!(find(&resolve, "good.", "acme").await.unwrap().is_ok(), "another org's go on");
            }
            for n in 0..28 {
                assert_eq!(find(&resolve, "slow.", &format!("evil{}", n / 4)).await, None, "{n}");
            }
            assert_eq!(find(&resolve, "good.", "acme").await, full, "so many threads and no more");
        });
    }

    #[test]
    fn a_place_is_left_by_what_has_ended_though_nobody_waits_for_it() {
        run(async {
            let (resolve, ends) = resolving();
            for _ in 0..4 {
                assert_eq!(find(&resolve, "slow.", "acme").await, None);
            }
            assert_eq!(find(&resolve, "good.", "acme").await, Some(Err(EgressError::LookUpsFull)));
            ends.add_permits(4);
            let waiting = resolve.find("good.", Some("acme"), Instant::now() + Duration::from_secs(60));
            assert_eq!(waiting.await.unwrap().len(), 1);
            while resolve.places.all.available_permits() < MOST {
                yield_now().await;
            }
            drop(resolve.places.of("other"));
            assert_eq!(
                resolve.places.orgs.lock().unwrap().len(),
                1,
                "who asks for nothing is not remembered"
            );
        });
    }
}
