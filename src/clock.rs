//! Time and randomness come in here and nowhere else, so that a test can hold the time.
//! Times are UTC microseconds; randomness is the system's alone.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in UTC, in microseconds since 1970. Written as RFC 3339 with six digits and `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// From microseconds since 1970, as the database keeps them.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, as tokens carry them.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This moment moved on by `duration`; the far end of time if it would overflow.
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// This moment moved back by `duration`.
    pub fn before(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// How long from `earlier` until this; zero when this is not later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// When the UTC day of this moment is over.
    pub fn next_midnight(self) -> Self {
        const DAY: i64 = 24 * 60 * 60 * 1_000_000;
        Self(self.0.saturating_sub(self.0.rem_euclid(DAY)).saturating_add(DAY))
    }

    /// Reads RFC 3339, for example `2026-11-24T15:00:00Z`; `None` if it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.parse().ok()?;
        Some(Self(at.as_microsecond()))
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => write!(f, "{at:.6}"),
            Err(_) => f.write_str("out of range"),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not RFC 3339"))
    }
}

/// Where the time comes from: the system, or a test that holds it.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { since: Instant },
    Held(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System { since: Instant::now() })
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn held(at: Moment) -> Self {
        Self(Source::Held(Arc::new(AtomicI64::new(at.micros()))))
    }

    /// Moves a held clock on; the system's clock takes no orders.
    pub fn advance(&self, by: Duration) {
        if let Source::Held(at) = &self.0 {
            let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            at.fetch_add(micros, Ordering::SeqCst);
        }
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Moment(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Source::Held(at) => Moment(at.load(Ordering::SeqCst)),
        }
    }

    /// How long it has been since a moment in the past that stays the same. Unlike [`Clock::now`] it is never set
    /// back or ahead: for what is measured, not dated.
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Source::System { since } => since.elapsed(),
            Source::Held(at) => Duration::from_micros(u64::try_from(at.load(Ordering::SeqCst)).unwrap_or(0)),
        }
    }
}

/// The system would give no randomness. Nothing can be sealed or named without it.
#[derive(Debug, thiserror::Error)]
#[error("the system's random source failed")]
pub struct NoRandomness;

/// Fills `buffer` from the system's random source.
pub fn fill_random(buffer: &mut [u8]) -> Result<(), NoRandomness> {
    getrandom::fill(buffer).map_err(|_| NoRandomness)
}

/// What a thread was given by the system and did not use yet: asked for at once, as each time costs a system call, and
/// wiped piece by piece as it is handed out. No process of ours goes on in a fork, where the same would come again.
struct Stock {
    bytes: [u8; STOCK_BYTES],
    left: usize,
}

/// For about a hundred names.
const STOCK_BYTES: usize = 1024;

thread_local! {
    static STOCK: RefCell<Stock> = const { RefCell::new(Stock { bytes: [0; STOCK_BYTES], left: 0 }) };
}

impl Stock {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], NoRandomness> {
        if self.left < N {
            // What is left of it if that fails is zero here and there.
            self.left = 0;
            fill_random(&mut self.bytes)?;
            self.left = STOCK_BYTES;
        }
        let from = self.left - N;
        let mut taken = [0; N];
        for (taken, kept) in taken.iter_mut().zip(self.bytes.iter_mut().skip(from)) {
            *taken = std::mem::take(kept);
        }
        self.left = from;
        Ok(taken)
    }
}

/// `N` random bytes, 1024 at most, to name something by: a request, a trace, a lease. Keys, salts and nonces are of
/// [`fill_random`].
pub fn random_name<const N: usize>() -> Result<[u8; N], NoRandomness> {
    const { assert!(N <= STOCK_BYTES) };
    STOCK.with_borrow_mut(Stock::take)
}

/// A new identifier `PREFIX_` + ULID: 26 letters that sort by time, 80 random bits.
pub fn new_id(prefix: &str, now: Moment) -> Result<String, NoRandomness> {
    let millis = u64::try_from(now.micros().div_euclid(1_000)).unwrap_or(0);
    let ulid = ulid::Ulid::from_parts(millis, u128::from_be_bytes(random_name()?));
    let mut id = String::with_capacity(prefix.len() + 1 + ulid::ULID_LEN);
    id.push_str(prefix);
    id.push('_');
    id.push_str(ulid.array_to_str(&mut [0; ulid::ULID_LEN]));
    Ok(id)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_names_are_of_the_same_randomness() {
        let many = || (0..1_000).map(|_| random_name::<10>().unwrap()).collect::<Vec<_>>();
        let elsewhere = std::thread::spawn(many);
        let named: Vec<_> = many().into_iter().chain(elsewhere.join().unwrap()).collect();
        assert_eq!(named.iter().collect::<HashSet<_>>().len(), named.len());
        // A name of one thread lies in no other, however it is cut.
        let pieces: HashSet<_> = named.iter().flat_map(|name| [&name[..5], &name[5..]]).collect();
        assert_eq!(pieces.len(), 2 * named.len());
    }

    #[test]
    fn what_was_handed_out_is_wiped() {
        let mut stock = Stock { bytes: [0; STOCK_BYTES], left: 0 };
        for taken in 1..=STOCK_BYTES / 16 {
            assert_ne!(stock.take::<16>().unwrap(), [0; 16]);
            assert_eq!(stock.left, STOCK_BYTES - 16 * taken);
            assert!(stock.bytes[stock.left..].iter().all(|byte| *byte == 0));
            assert!(stock.left < 16 || stock.bytes[..stock.left].iter().any(|byte| *byte != 0));
        }
    }
}
