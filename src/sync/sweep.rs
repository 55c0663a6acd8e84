//! One way through the ids of a model. A *whole* sweep reads every record. A *changes* sweep reads what
//! was written since the last sweep began, then lists every id with its time, and so finds what is gone
//! and what became visible late. Both may be broken off and gone on with at any page.

use std::time::Duration;

use crate::clock::Moment;
use crate::sync::sink::Known;
use crate::sync::stamp::Stamp;

/// What is read on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Every record.
    Whole,
    /// What was written since then.
    Changed {
        /// The watermark, less the overlap.
        since: Stamp,
    },
    /// Every id and its `write_date`.
    Listed,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// On which way.
    pub pass: Pass,
    /// The highest id that is dealt with.
    pub last_id: i64,
}

/// A sweep of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The model.
    pub model: String,
    /// When it began, by this machine's clock.
    pub began_at: Moment,
    /// The newest `write_date` when it began, by Odoo's clock: the watermark once it is whole.
    pub newest: Option<Stamp>,
    /// How far it is.
    pub place: Place,
    /// What it did so far.
    pub count: Count,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Records read.
    pub read: u64,
    /// Of these, new or changed.
    pub changed: u64,
    /// Records that are gone.
    pub removed: u64,
}

/// What the pull of one model did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Records that are in the sink now.
    pub records: u64,
    /// What was done for that.
    pub count: Count,
}

/// How far behind the watermark the next sweep begins. A `write_date` is the time at which its
/// transaction began: what was written by one that took less than this long is read at once; by one
/// that took longer, it is found in the listing.
const OVERLAP: Duration = Duration::from_secs(3_600);
/// How often a model is swept whole: that heals what no `write_date` tells, such as the name of a
/// partner on an invoice that nobody touched.
const WHOLE_AFTER: Duration = Duration::from_secs(24 * 3_600);

impl Pass {
    /// The first pass of the next sweep of a model of which so much is `known`.
    pub fn first(known: &Known, now: Moment) -> Self {
        let is_recent = |at: Moment| at <= now && now.since(at) < WHOLE_AFTER;
        match (known.watermark, known.whole_at) {
            (Some(watermark), Some(at)) if is_recent(at) => {
                Self::Changed { since: watermark.before(OVERLAP) }
            }
            _ => Self::Whole,
        }
    }
}

impl Place {
    /// Before the first page.
    pub fn start(pass: Pass) -> Self {
        Self { pass, last_id: 0 }
    }

    /// After a page that ended with `last_id`.
    pub fn after(self, last_id: i64) -> Self {
        Self { last_id, ..self }
    }

    /// After the last page of this pass; nothing when it was the last pass.
    pub fn next_pass(self) -> Option<Self> {
        match self.pass {
            Pass::Changed { .. } => Some(Self::start(Pass::Listed)),
            Pass::Whole | Pass::Listed => None,
        }
    }
}

impl Count {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            read: self.read + other.read,
            changed: self.changed + other.changed,
            removed: self.removed + other.removed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_whole_at_first_and_once_a_day() {
        let (day, now) = (86_400_000_000, Moment::from_micros(1_000_000_000_000_000));
        let watermark = Stamp::parse("2026-11-23 17:19:00");
        let since = Stamp::parse("2026-11-23 16:19:00").unwrap();
        for (watermark, whole_ago, pass) in [
            (None, None, Pass::Whole),
            (watermark, None, Pass::Whole),
            (None, Some(0), Pass::Whole),
            (watermark, Some(0), Pass::Changed { since }),
            (watermark, Some(day - 1), Pass::Changed { since }),
            (watermark, Some(day), Pass::Whole),
            (watermark, Some(-1), Pass::Whole),
        ] {
            let whole_at = whole_ago.map(|ago| Moment::from_micros(now.micros() - ago));
            let known = Known { unfinished: None, watermark, whole_at };
            assert_eq!(Pass::first(&known, now), pass, "{watermark:?} {whole_ago:?}");
        }
    }
}
