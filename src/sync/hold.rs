//! Keeps a lease while the records are read: renews it, asks whether it is still open, and says when
//! the run has to stop. Once it says so, no page is written any more.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::ids::LeaseId;
use crate::sync::borrow::{LeaseState, VaultClient};
use crate::sync::error::SyncError;
use crate::sync::refusal::{BorrowError, Refusal};

/// How long a lease is asked for: the longest there is.
const LONGEST: Duration = Duration::from_secs(900);
/// The shortest there is.
const SHORTEST: Duration = Duration::from_secs(60);
/// How long before the end of lease and token the run stops, so that it can still hand back.
const HAND_BACK: Duration = Duration::from_secs(15);
/// How long an answer about the lease may take. With the time between two questions it stays below
/// the 30 s within which a run stops.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long a lease to ask for at `now`: no longer than the token can hand it back.
pub(super) fn wish(token_ends: Option<Moment>, now: Moment) -> Duration {
    let left = token_ends.map_or(LONGEST, |ends| ends.since(now));
    // The vault counts whole seconds.
    Duration::from_secs(left.clamp(SHORTEST, LONGEST).as_secs())
}

/// Whether the token still serves at `now`.
pub(super) fn check_token(token_ends: Option<Moment>, now: Moment) -> Result<(), SyncError> {
    match token_ends {
        Some(ends) if now.after(HAND_BACK) >= ends => Err(SyncError::TokenOver),
        _ => Ok(()),
    }
}

/// A lease in use.
pub(super) struct Hold<'a> {
    vault: &'a VaultClient,
    clock: &'a Clock,
    lease: LeaseId,
    token_ends: Option<Moment>,
    /// When the lease ends, by this clock, from before it was asked for: never later than by the vault's.
    ends: Cell<Moment>,
    /// How long it was asked for.
    lent_for: Cell<Duration>,
}

impl<'a> Hold<'a> {
    /// Of `lease`, which was asked for at `asked_at`, for so long.
    pub fn new(
        (vault, clock): (&'a VaultClient, &'a Clock),
        lease: LeaseId,
        (asked_at, lent_for): (Moment, Duration),
    ) -> Self {
        let ends = Cell::new(asked_at.after(lent_for));
        Self { vault, clock, lease, token_ends: vault.token_ends(), ends, lent_for: Cell::new(lent_for) }
    }

    /// Whether the lease is still to be used, as far as the clock can tell.
    pub fn check(&self) -> Result<(), SyncError> {
        let now = self.clock.now();
        check_token(self.token_ends, now)?;
        if now.after(HAND_BACK) >= self.ends.get() { Err(SyncError::LeaseOver) } else { Ok(()) }
    }

    /// How long until it is not.
    fn left(&self) -> Duration {
        let ends = self.token_ends.map_or(self.ends.get(), |ends| ends.min(self.ends.get()));
        ends.since(self.clock.now().after(HAND_BACK))
    }

    /// Waits until it is not, asking the vault every so often; and says why.
    pub async fn over(&self, ask_every: Duration) -> SyncError {
        loop {
            tokio::time::sleep(ask_every.min(self.left())).await;
            if let Err(over) = self.check() {
                return over;
            }
            let within = ANSWER_WITHIN.min(self.left());
            match tokio::time::timeout(within, self.ask_or_renew()).await {
                Ok(Ok(LeaseState::Open)) => {}
                Ok(Ok(LeaseState::Ended) | Err(BorrowError::Refused(Refusal::LeaseOver, _))) => {
                    return SyncError::LeaseOver;
                }
                Ok(Ok(LeaseState::Forgotten)) => return SyncError::Forgotten,
                Ok(Err(BorrowError::Refused(Refusal::Token, _))) => return SyncError::TokenOver,
                // No answer is no reason: a vault that does not answer has not ended it either.
                Ok(Err(BorrowError::Unreachable(_) | BorrowError::Unavailable(_))) | Err(_) => {}
                Ok(Err(error)) => return error.into(),
            }
        }
    }

    /// Renews the lease when less than half of it is left and there is more to be had.
    async fn ask_or_renew(&self) -> Result<LeaseState, BorrowError> {
        let now = self.clock.now();
        let (left, more) = (self.ends.get().since(now), wish(self.token_ends, now));
        if left >= self.lent_for.get() / 2 || more <= left {
            return self.vault.state(&self.lease).await;
        }
        self.vault.renew(&self.lease, more).await?;
        self.ends.set(now.after(more));
        self.lent_for.set(more);
        Ok(LeaseState::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::job::Patience;

    #[test]
    fn the_end_of_a_lease_is_known_within_half_a_minute() {
        assert!(Patience::default().ask_every + ANSWER_WITHIN < Duration::from_secs(30));
    }

    #[test]
    fn a_lease_is_asked_for_as_long_as_the_token_can_hand_it_back() {
        let now = Moment::from_micros(0);
        for (token_left, asked) in [
            (None, 900),
            (Some(5_000), 900),
            (Some(900), 900),
            (Some(899), 899),
            (Some(20), 60),
            (Some(0), 60),
        ] {
            let ends = token_left.map(|left| now.after(Duration::from_secs(left)));
            assert_eq!(wish(ends, now), Duration::from_secs(asked), "{token_left:?}");
        }
        for (token_left, serves) in [(None, true), (Some(16), true), (Some(15), false), (Some(0), false)] {
            let ends = token_left.map(|left| now.after(Duration::from_secs(left)));
            assert_eq!(check_token(ends, now).is_ok(), serves, "{token_left:?}");
        }
    }
}
