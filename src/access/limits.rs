//! How much one caller may ask in a while: reads and writes apart, by the token bucket of `governor`. Whoever stays
//! below the rate is never told no; whoever was quiet has two seconds' worth at once.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use sha2::{Digest, Sha256};

use crate::access::principal::Principal;
use crate::access::recent::Recent;
use crate::clock::Clock;
use crate::ids::ClientId;

/// How many a second one caller may go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Calls that change nothing.
    pub reads: NonZeroU32,
    /// All others.
    pub writes: NonZeroU32,
}

/// The largest rate that can be set.
pub const MAX_RATE: u32 = 1_000_000;
/// A bucket holds what its rate gives in so many seconds.
const WINDOW_SECONDS: u32 = 2;
/// Buckets of the last 10,000 to 20,000 callers are kept. A caller whose bucket was forgotten has a full one: nobody
/// is told no because there are many.
const HALF_OF_CALLERS: usize = 10_000;

/// Whether a call changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It does not.
    Read,
    /// It may.
    Write,
}

impl Use {
    /// The name of its bucket.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Write => "writes",
        }
    }
}

/// What one caller has left of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Which bucket.
    pub of: Use,
    /// How many calls it holds when it is full.
    pub holds: u32,
    /// From empty to full, in seconds.
    pub window: u32,
    /// How many calls are left.
    pub left: u32,
    /// In how many seconds it is full again, rounded up.
    pub full_in: u32,
}

/// A bucket was empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// What it is like.
    pub budget: Budget,
    /// When the next call has room.
    pub wait: Duration,
}

/// The buckets of every caller.
pub struct Limits {
    reads: Buckets,
    writes: Buckets,
}

impl Limits {
    /// Full buckets for all.
    pub fn new(rates: Rates, clock: &Clock) -> Self {
        let buckets = |of, rate| Buckets::new(of, rate, clock.clone());
        Self { reads: buckets(Use::Read, rates.reads), writes: buckets(Use::Write, rates.writes) }
    }

    /// Takes one call of `principal`'s out of their bucket. A caller is an org, a user and a client, an operator a
    /// client alone: what one asks takes nothing from another.
    pub fn spend(&self, principal: &Principal, of: Use) -> Result<Budget, Spent> {
        let (org, user) = match principal {
            Principal::Caller(caller) => (caller.org().as_str(), caller.user().as_str()),
            Principal::Operator(_) => ("", ""),
        };
        self.take(key_of([org, user, principal.client().as_str()]), of)
    }

    /// The same for a token that a client asks for: its own bucket, since it may name whom it acts for.
    pub fn spend_on_token(&self, client: &ClientId) -> Result<Budget, Spent> {
        self.take(key_of(["", "", client.as_str()]), Use::Write)
    }

    fn take(&self, key: Key, of: Use) -> Result<Budget, Spent> {
        match of {
            Use::Read => self.reads.spend(key),
            Use::Write => self.writes.spend(key),
        }
    }
}

/// As long for long names as for short ones.
type Key = [u8; 32];

/// None of the names has control characters, so the parts can't be taken for others.
fn key_of(parts: [&str; 3]) -> Key {
    Sha256::digest(parts.join("\0")).into()
}

struct Buckets {
    of: Use,
    rate: u32,
    limiter: RateLimiter<Key, States, Steady, StateInformationMiddleware>,
}

impl Buckets {
    fn new(of: Use, rate: NonZeroU32, clock: Clock) -> Self {
        let holds = rate.saturating_mul(NonZeroU32::MIN.saturating_add(WINDOW_SECONDS - 1));
        let quota = Quota::per_second(rate).allow_burst(holds);
        let states = States(Mutex::new(Recent::new(HALF_OF_CALLERS)));
        Self { of, rate: rate.get(), limiter: RateLimiter::new(quota, states, Steady(clock)) }
    }

    fn spend(&self, key: Key) -> Result<Budget, Spent> {
        match self.limiter.check_key(&key) {
            Ok(state) => Ok(self.budget(state.remaining_burst_capacity())),
            Err(not_until) => {
                let wait = not_until.wait_time_from(governor::clock::Clock::now(self.limiter.clock()));
                Err(Spent { budget: self.budget(0), wait })
            }
        }
    }

    fn budget(&self, left: u32) -> Budget {
        let holds = self.rate.saturating_mul(WINDOW_SECONDS);
        let full_in = holds.saturating_sub(left).div_ceil(self.rate);
        Budget { of: self.of, holds, window: WINDOW_SECONDS, left, full_in }
    }
}

/// `governor`'s time is ours, so that a test can hold it.
#[derive(Clone)]
struct Steady(Clock);

impl governor::clock::Clock for Steady {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

/// When each bucket will be full: `governor`'s one number for a bucket.
struct States(Mutex<Recent<Key, Option<Nanos>>>);

impl StateStore for States {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // A poisoned map holds only whole numbers.
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.of(*key);
        let (decision, next) = decide(*state)?;
        *state = Some(next);
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;

    fn buckets(rate: u32) -> (Clock, Buckets) {
        let clock = Clock::held(Moment::parse("2026-11-24T12:00:00Z").unwrap());
        (clock.clone(), Buckets::new(Use::Write, rate.try_into().unwrap(), clock))
    }

    #[test]
    fn a_bucket_holds_two_seconds_worth_and_fills_as_time_goes() {
        let (clock, buckets) = buckets(3);
        let (ada, bob) = (key_of(["acme", "ada", "svc"]), key_of(["acme", "bob", "svc"]));
        let left: Vec<_> = (0..6).map(|_| buckets.spend(ada).unwrap().left).collect();
        assert_eq!(left, [5, 4, 3, 2, 1, 0]);
        let spent = buckets.spend(ada).unwrap_err();
        assert_eq!((spent.budget.left, spent.budget.full_in, spent.budget.holds), (0, 2, 6));
        assert!(spent.wait > Duration::ZERO && spent.wait <= Duration::from_millis(334), "{:?}", spent.wait);
        assert_eq!(buckets.spend(bob).unwrap().left, 5);
        clock.advance(spent.wait + Duration::from_micros(1));
        assert_eq!(buckets.spend(ada).unwrap().left, 0);
        assert!(buckets.spend(ada).is_err());
        clock.advance(Duration::from_secs(3600));
        assert_eq!(buckets.spend(ada).unwrap().left, 5);
    }

    #[test]
    fn the_highest_and_the_lowest_rate_can_be_counted() {
        for rate in [1, MAX_RATE] {
            let (clock, buckets) = buckets(rate);
            let key = key_of(["acme", "ada", "svc"]);
            let mut spent = 0;
            while buckets.spend(key).is_ok() {
                spent += 1;
            }
            assert_eq!(spent, 2 * rate);
            clock.advance(Duration::from_secs(1));
            assert_eq!(buckets.spend(key).unwrap().left, rate - 1);
        }
    }
}
