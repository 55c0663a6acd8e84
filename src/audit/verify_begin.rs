//! Whether an export begins where its chain does: with event 1, or behind what an `audit.prune` in it says was let go
//! of. One that begins later is a stretch, which is whole only for who expects one.

use std::fmt;

use crate::audit::chain::Hash;
use crate::audit::export::Head;
use crate::audit::members::PRUNE;
use crate::audit::pruning::pruned_at;
use crate::audit::verify::Wrong;

/// Which events an export holds, as far as they are whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The org; the vault.
    pub whose: String,
    /// The number of the first.
    pub first: i64,
    /// The number of the last: less than the first where there is none.
    pub last: i64,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whose, first, last } = self;
        match last.cmp(first) {
            std::cmp::Ordering::Less => write!(f, "no event of {whose}"),
            std::cmp::Ordering::Equal => write!(f, "event {first} of {whose}"),
            std::cmp::Ordering::Greater => write!(f, "events {first} to {last} of {whose}"),
        }
    }
}

/// Where an export begins, and what it says of the events before.
pub(super) struct Beginning {
    first: i64,
    before: Hash,
    /// The number of the event that says that those before were let go of.
    pruning: Option<i64>,
}

impl Beginning {
    pub(super) fn of(head: &Head) -> Self {
        Self { first: head.first_seq, before: head.prev_hash, pruning: None }
    }

    /// Looks at an event of it that is whole.
    pub(super) fn look(&mut self, seq: i64, event: &str) {
        let last = self.first.saturating_sub(1);
        if last > 0 && self.pruning.is_none() && pruned_at(event.as_bytes(), last, &self.before).is_some() {
            self.pruning = Some(seq);
        }
    }

    /// `covered` is the last event that the log speaks for: behind it anybody can write one. It was to begin with event
    /// `expected` or an earlier one.
    pub(super) fn judge(&self, whose: &str, covered: i64, expected: Option<i64>) -> Result<(), Wrong> {
        let Self { first, pruning, .. } = self;
        let last = first.saturating_sub(1);
        if *first == 1 || pruning.is_some_and(|seq| seq <= covered) {
            return Ok(());
        }
        let why = match (expected, pruning) {
            (Some(expected), _) if *first <= expected => return Ok(()),
            (Some(expected), _) => format!("it was to begin with {expected} at the latest"),
            (None, Some(seq)) => format!(
                "the {PRUNE} of them, event {seq}, is past the last leaf: export it again after the next checkpoint"
            ),
            (None, None) => format!(
                "it has no {PRUNE} of them: if it was asked for from a time on, give --first-seq with the first event \
                 that you do not have from elsewhere"
            ),
        };
        Err(Wrong::Other(format!("cut short: events up to {last} of {whose} are not here, and {why}")))
    }
}
