//! Keeps a lease while the records are read: renews it, asks whether it is still open, and says when
//! the run has to stop. Once it says so, no page is written any more.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::clock::{Clock, Moment};
use crate::ids::LeaseId;
use crate::sync::borrow::{LeaseState, VaultClient};
use crate::sync::error::SyncError;
use crate::sync::job::Patience;
use crate::sync::refusal::{BorrowError, Refusal};

/// How long a lease is asked for: the longest there is.
const LONGEST: Duration = Duration::from_secs(900);
/// The shortest there is.
const SHORTEST: Duration = Duration::from_secs(60);
/// How long before the end of lease and token the run stops, so that it can still hand back.
const HAND_BACK: Duration = Duration::from_secs(15);

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

/// When something was asked: by the clock, which the vault shares, and by the timer, which nobody sets
/// back.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    clock: Moment,
    timer: Instant,
}

impl Asked {
    /// Now.
    pub fn at(clock: Moment) -> Self {
        Self { clock, timer: Instant::now() }
    }
}

/// A lease in use.
pub(super) struct Hold<'a> {
    vault: &'a VaultClient,
    clock: &'a Clock,
    patience: Patience,
    lease: LeaseId,
    token_ends: Option<Moment>,
    /// When it was asked for last. It ends so long after that, never later than by the vault's clock.
    lent_at: Cell<Asked>,
    /// How long it was asked for.
    lent_for: Cell<Duration>,
    /// When the last question was asked that was answered with "open".
    open_at: Cell<Instant>,
}

impl<'a> Hold<'a> {
    /// Of `lease`, which was asked for then, for so long.
    pub fn new(
        (vault, clock, patience): (&'a VaultClient, &'a Clock, Patience),
        lease: LeaseId,
        (asked, lent_for): (Asked, Duration),
    ) -> Self {
        Self {
            vault,
            clock,
            patience,
            lease,
            token_ends: vault.token_ends(),
            lent_at: Cell::new(asked),
            lent_for: Cell::new(lent_for),
            open_at: Cell::new(asked.timer),
        }
    }

    /// Whether the lease is still to be used, as far as clock and timer can tell.
    pub fn check(&self) -> Result<(), SyncError> {
        check_token(self.token_ends, self.clock.now())?;
        if self.lent_left() <= HAND_BACK {
            return Err(SyncError::LeaseOver);
        }
        if self.open_at.get().elapsed() >= self.patience.silent_for {
            Err(SyncError::VaultSilent)
        } else {
            Ok(())
        }
    }

    /// How long it is lent for from now on, by the one of clock and timer that says less.
    fn lent_left(&self) -> Duration {
        let (asked, lent_for) = (self.lent_at.get(), self.lent_for.get());
        let by_clock = asked.clock.after(lent_for).since(self.clock.now());
        by_clock.min(lent_for.saturating_sub(asked.timer.elapsed()))
    }

    /// How long until it is not to be used.
    fn left(&self) -> Duration {
        let lent = self.lent_left().saturating_sub(HAND_BACK);
        let silent = self.patience.silent_for.saturating_sub(self.open_at.get().elapsed());
        let now = self.clock.now().after(HAND_BACK);
        self.token_ends.map_or(lent, |ends| lent.min(ends.since(now))).min(silent)
    }

    /// Waits until it is not, asking the vault every so often; and says why. After no answer it asks
    /// again soon, until it has not heard for too long.
    pub async fn over(&self) -> SyncError {
        let mut pause = self.until_asked();
        loop {
            tokio::time::sleep(pause.min(self.left())).await;
            if let Err(over) = self.check() {
                return over;
            }
            let within = self.patience.answer_within.min(self.left());
            pause = match tokio::time::timeout(within, self.ask_or_renew()).await {
                Ok(Ok(LeaseState::Open)) => self.until_asked(),
                Ok(Ok(LeaseState::Ended) | Err(BorrowError::Refused(Refusal::LeaseOver, _))) => {
                    return SyncError::LeaseOver;
                }
                Ok(Ok(LeaseState::Forgotten)) => return SyncError::Forgotten,
                Ok(Err(BorrowError::Refused(Refusal::Token, _))) => return SyncError::TokenOver,
                // What stands between here and the vault answers in its own words: no answer either.
                Ok(Err(
                    BorrowError::Unreachable(_)
                    | BorrowError::Unavailable(_)
                    | BorrowError::NotAVault(_)
                    | BorrowError::Refused(Refusal::Other, _),
                ))
                | Err(_) => self.patience.ask_again,
                Ok(Err(error)) => return error.into(),
            }
        }
    }

    fn until_asked(&self) -> Duration {
        self.patience.ask_every.saturating_sub(self.open_at.get().elapsed())
    }

    /// Renews the lease when less than half of it is left and there is more to be had.
    async fn ask_or_renew(&self) -> Result<LeaseState, BorrowError> {
        let asked = Asked::at(self.clock.now());
        let (left, more) = (self.lent_left(), wish(self.token_ends, asked.clock));
        let state = if left >= self.lent_for.get() / 2 || more <= left {
            self.vault.state(&self.lease).await?
        } else {
            self.vault.renew(&self.lease, more).await?;
            self.lent_at.set(asked);
            self.lent_for.set(more);
            LeaseState::Open
        };
        if state == LeaseState::Open {
            self.open_at.set(asked.timer);
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::sync::identity::Identity;
    use crate::sync::vault_url::VaultUrl;

    #[test]
    fn a_run_ends_within_half_a_minute_of_the_last_open_lease() {
        let patience = Patience::default();
        assert!(patience.silent_for + patience.hand_back_within <= Duration::from_secs(30));
        let two_questions = patience.ask_every + patience.answer_within + patience.ask_again;
        assert!(two_questions < patience.silent_for, "one lost answer is no end");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_lengthen_a_lease() {
        let clock = Clock::held(Moment::from_micros(0));
        let url = VaultUrl::parse("http://127.0.0.1:7295").unwrap();
        let vault =
            VaultClient::new(url, None, Identity::Token(Secret::new("abc".into())), clock.clone()).unwrap();
        for (lent_for, is_over) in [(15, true), (900, false)] {
            let lease = LeaseId::parse("lease_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
            let asked = Asked::at(clock.now().after(Duration::from_secs(86_400)));
            let lent = (asked, Duration::from_secs(lent_for));
            let hold = Hold::new((&vault, &clock, Patience::default()), lease, lent);
            assert_eq!(matches!(hold.check(), Err(SyncError::LeaseOver)), is_over, "{lent_for}");
        }
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
