//! Tokens that do not verify, counted by where they come from. After a burst an address is told to wait, each time for
//! longer, for as long as it goes on. Each is judged all the same, and a good one passes from anywhere: where its
//! address is told to wait, one that was not seen before waits for its turn in one line with all others of that kind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::access::recent::Recent;
use crate::clock::Clock;

/// So many at once are each told that they are not good.
const BURST: u32 = 50;
/// The room for one more comes back in this time.
const ONE_MORE: Duration = Duration::from_secs(1);
/// No wait is longer; and the next is half as long for each such time that went by since the last.
const LONGEST: Duration = Duration::from_secs(60);
/// So many of those in line are judged at once, and the next no sooner than after this time: at most 2,000 a second. A
/// refusal took 80 µs, 46 of them for the signature, which is others' time.
const AT_ONCE: usize = 10;
const TURN: Duration = Duration::from_millis(5);
/// The last 10,000 to 20,000 addresses are remembered, some 2 MB; those whom a flood of others pushes out begin anew.
const HALF_OF_ADDRESSES: usize = 10_000;

/// Who is counted as one: an IPv4 address, or the /64 of an IPv6 address, which is one customer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    V4(Ipv4Addr),
    V6([u8; 8]),
}

impl Place {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::V4(v4) => v4.fmt(f),
            Self::V6(prefix) => {
                let mut octets = [0; 16];
                octets.iter_mut().zip(prefix).for_each(|(octet, of_prefix)| *octet = *of_prefix);
                write!(f, "{}/64", Ipv6Addr::from(octets))
            }
        }
    }
}

/// For how long an address that sent too many bad tokens is answered no other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

/// The addresses from which bad tokens came.
pub struct Strains {
    places: Mutex<Recent<Place, Strain>>,
    turns: Arc<Semaphore>,
    clock: Clock,
}

impl Strains {
    /// Of nobody yet.
    pub fn new(clock: Clock) -> Self {
        let places = Mutex::new(Recent::new(HALF_OF_ADDRESSES));
        Self { places, turns: Arc::new(Semaphore::new(AT_ONCE)), clock }
    }

    /// To be called for each token, or assertion, that did not verify, and for no other. `Err`: the caller is told
    /// to wait, and not why the token was not taken.
    pub fn note_failed(&self, address: IpAddr) -> Result<(), RetryAfter> {
        let (place, now) = (Place::of(address), self.clock.elapsed());
        // A poisoned map holds only whole strains.
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let strain = places.of(place);
        let (waited, judged) = (strain.until, strain.note(now));
        let has_begun_to_wait = strain.until > waited;
        drop(places);
        if let (true, Err(RetryAfter(wait))) = (has_begun_to_wait, judged) {
            // Once a wait: a flood is no flood of lines.
            tracing::warn!(address = %place, seconds = wait.as_secs(), "too many tokens that do not verify");
        }
        judged
    }

    /// Whether what comes from there is told to wait, if it does not verify.
    pub fn is_waiting(&self, address: IpAddr) -> bool {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.find(Place::of(address)).is_some_and(|strain| self.clock.elapsed() < strain.until)
    }

    /// To be awaited, where [`Strains::is_waiting`], before what was not seen before is judged. The line is no longer
    /// than there are connections: each has one call at a time.
    pub async fn turn(&self) {
        // It is never closed.
        let Ok(turn) = self.turns.clone().acquire_owned().await else { return };
        tokio::spawn(async move {
            tokio::time::sleep(TURN).await;
            drop(turn);
        });
    }
}

/// What an address has on it. Times are since the clock's beginning.
#[derive(Default)]
struct Strain {
    /// When all the room of the burst will be back.
    clear_at: Duration,
    /// The last wait; zero before the first.
    wait: Duration,
    /// Until when it is, or was.
    until: Duration,
}

impl Strain {
    fn note(&mut self, now: Duration) -> Result<(), RetryAfter> {
        if now < self.until {
            return Err(RetryAfter(self.until - now));
        }
        let clear_at = self.clear_at.max(now) + ONE_MORE;
        if clear_at <= now + ONE_MORE * BURST {
            self.clear_at = clear_at;
            return Ok(());
        }
        let quiet = (now - self.until).as_secs() / LONGEST.as_secs();
        let halved = self.wait / 2_u32.saturating_pow(u32::try_from(quiet).unwrap_or(u32::MAX));
        self.wait = (halved * 2).clamp(ONE_MORE, LONGEST);
        self.until = now + self.wait;
        Err(RetryAfter(self.wait))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::clock::Moment;

    fn strains() -> (Clock, Strains) {
        let clock = Clock::held(Moment::parse("2026-11-24T12:00:00Z").unwrap());
        (clock.clone(), Strains::new(clock))
    }

    /// How many are judged before the first that has to wait, and for how many seconds.
    fn burst(strains: &Strains, from: &str) -> (u32, u64) {
        let mut judged = 0;
        loop {
            match strains.note_failed(from.parse().unwrap()) {
                Ok(()) => judged += 1,
                Err(RetryAfter(wait)) => return (judged, wait.as_secs()),
            }
        }
    }

    #[test]
    fn waits_double_while_it_goes_on_and_halve_when_it_stops() {
        let (clock, strains) = strains();
        let from = "192.0.2.1";
        let mut waits = Vec::new();
        let (mut judged, mut wait) = burst(&strains, from);
        assert_eq!((judged, wait), (50, 1));
        for _ in 0..8 {
            waits.push(wait);
            // within a wait nothing is judged, and it gets no longer
            assert_eq!(burst(&strains, from), (0, wait));
            let last = wait;
            clock.advance(Duration::from_secs(wait));
            (judged, wait) = burst(&strains, from);
            assert_eq!(u64::from(judged), last.min(50));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        for (quiet, expected) in [(60, 60), (120, 30), (180, 7)] {
            clock.advance(Duration::from_secs(wait + quiet));
            (_, wait) = burst(&strains, from);
            assert_eq!(wait, expected, "{quiet}");
        }
        clock.advance(Duration::from_secs(24 * 60 * 60));
        assert_eq!(burst(&strains, from), (50, 1));
    }

    /// Attack on P10.
    #[test]
    fn whoever_waits_is_judged_by_turns_and_takes_none_with_them() {
        let (_, strains) = strains();
        let timer = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _within = timer.enter();
        let come = |line: &mut Vec<BoxFuture<'_, ()>>| {
            line.iter_mut().map(|turn| turn.now_or_never().is_some()).collect::<Vec<_>>()
        };
        let mut line: Vec<_> = (0..=AT_ONCE).map(|_| strains.turn().boxed()).collect();
        assert_eq!(come(&mut line), [vec![true; AT_ONCE], vec![false]].concat());
        let mut hung_up = vec![strains.turn().boxed()];
        assert_eq!(come(&mut hung_up), [false]);
        drop(hung_up);
        timer.block_on(line.remove(AT_ONCE));
        assert!(strains.turns.available_permits() < AT_ONCE);
    }

    #[test]
    fn an_address_waits_as_long_as_it_was_told_and_no_other_does() {
        let (clock, strains) = strains();
        let [flooding, other] = ["192.0.2.1", "192.0.2.2"].map(|it| it.parse().unwrap());
        assert!(!strains.is_waiting(flooding));
        burst(&strains, "192.0.2.1");
        assert!(strains.is_waiting(flooding) && !strains.is_waiting(other));
        clock.advance(Duration::from_secs(1));
        assert!(!strains.is_waiting(flooding));
    }

    #[test]
    fn one_a_second_never_waits() {
        let (clock, strains) = strains();
        for _ in 0..1000 {
            assert_eq!(strains.note_failed("192.0.2.1".parse().unwrap()), Ok(()));
            clock.advance(Duration::from_secs(1));
        }
    }

    #[test]
    fn addresses_of_one_place_count_as_one() {
        let (_, strains) = strains();
        for (first, same, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
        ] {
            assert_eq!(burst(&strains, first), (50, 1));
            assert_eq!(burst(&strains, same), (0, 1), "{same}");
            assert_eq!(burst(&strains, other), (50, 1), "{other}");
        }
    }

    /// Attack on P10.
    #[test]
    fn a_hundred_thousand_addresses_are_not_remembered() {
        let (_, strains) = strains();
        for n in 0..100_000_u32 {
            assert_eq!(strains.note_failed(Ipv4Addr::from(n).into()), Ok(()));
        }
        assert!(strains.places.lock().unwrap().len() <= 20_000);
    }
}
