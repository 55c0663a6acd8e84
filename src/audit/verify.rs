//! Holds a chain against its own hashes, an event at a time: what it has seen is so many bytes, however long the
//! chain. The first event that is not as it was is named; what became of it is told by a look at all that follow.

use std::fmt;

use crate::audit::chain::{Hash, link};
use crate::ids::OrgId;

/// An event as it lies somewhere, of which nothing is believed.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The number that it says it has.
    pub seq: i64,
    /// Its bytes.
    pub event: &'a [u8],
    /// What it says is the hash of the one before.
    pub prev_hash: &'a [u8],
    /// What it says is its own.
    pub hash: &'a [u8],
}

impl Row<'_> {
    fn follows(&self, org: Option<&OrgId>, number: i64, head: &Hash) -> bool {
        self.prev_hash == head.as_bytes() && self.is_hash_of(org, number, head)
    }

    /// Whether its hash is that of its bytes as event `number` after `head`.
    fn is_hash_of(&self, org: Option<&OrgId>, number: i64, head: &Hash) -> bool {
        self.hash == link(org, number, head, self.event).as_bytes()
    }

    /// Whether it was made for that place, after whatever it names.
    fn was_made_for(&self, org: Option<&OrgId>, number: i64) -> bool {
        Hash::from_bytes(self.prev_hash).is_some_and(|head| self.is_hash_of(org, number, &head))
    }
}

/// What is wrong with a trail: each names the first event that it is true of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// This event is not what it was.
    Altered(i64),
    /// Events from the first to the second are gone.
    Dropped(i64, i64),
    /// In the place of the first stands the second.
    Reordered(i64, i64),
    /// After the second stands one that calls itself the first and never was there.
    Inserted(i64, i64),
    /// Nothing comes after the first, though the log speaks of the second.
    CutOff {
        /// The last that is there.
        last: i64,
        /// The last that there was.
        known: i64,
        /// Who says so.
        by: String,
    },
    /// Events of these numbers are whole among themselves, and not those that the log knows.
    Rewritten(i64, i64),
    /// Something else than an event.
    Other(String),
}

impl Wrong {
    /// As a sentence about the chain of `whose`.
    pub fn tell(&self, whose: &str) -> String {
        match self {
            Self::Altered(seq) => format!("altered: event {seq} of {whose}"),
            Self::Dropped(seq, last) if seq == last => format!("dropped: event {seq} of {whose}"),
            Self::Dropped(seq, last) => format!("dropped: events {seq} to {last} of {whose}"),
            Self::Reordered(one, other) => format!("reordered: events {one} and {other} of {whose}"),
            Self::Inserted(seq, after) => {
                format!("inserted: an event {seq} of {whose} that never was, after event {after}")
            }
            Self::CutOff { last, known, by } => {
                format!("cut off after event {last} of {whose}: {by} speaks of {known}")
            }
            Self::Rewritten(from, to) => format!(
                "rewritten: events {from} to {to} of {whose} are not those that the log knows, or one of \
                 them is not"
            ),
            Self::Other(what) => what.clone(),
        }
    }
}

/// How far a chain is whole.
#[derive(Clone, Debug)]
pub struct Chain {
    org: Option<OrgId>,
    first: i64,
    next: i64,
    head: Hash,
    /// The head before that, once an event was taken.
    before: Option<Hash>,
}

impl Chain {
    /// The chain of `org` (`None`: the vault's own) after event `seq`, whose hash was `head`: 0 and
    /// [`crate::audit::GENESIS`] from its beginning on.
    pub fn after(org: Option<OrgId>, seq: i64, head: Hash) -> Self {
        let next = seq.saturating_add(1);
        Self { org, first: next, next, head, before: None }
    }

    /// Takes the next event. `false`: it is not the one that comes next, and nothing is taken.
    pub fn take(&mut self, row: &Row) -> bool {
        if row.seq != self.next || !row.follows(self.org.as_ref(), self.next, &self.head) {
            return false;
        }
        let Some(hash) = Hash::from_bytes(row.hash) else { return false };
        self.before = Some(self.head);
        self.head = hash;
        self.next = self.next.saturating_add(1);
        true
    }

    /// The number of the last event that was taken.
    pub fn last(&self) -> i64 {
        self.next.saturating_sub(1)
    }

    /// How many were taken.
    pub fn count(&self) -> i64 {
        self.next.saturating_sub(self.first)
    }

    /// The hash of the last that was taken.
    pub fn head(&self) -> &Hash {
        &self.head
    }
}

/// Looks for what became of the event that should have come next.
pub struct Inquest {
    chain: Chain,
    found: Option<Owned>,
    /// Under which number the event that should have come stands elsewhere.
    stands_at: Option<i64>,
    comes_again: bool,
}

/// What stood in its place.
struct Owned {
    seq: i64,
    event: Vec<u8>,
    prev_hash: Vec<u8>,
    hash: Vec<u8>,
}

impl Owned {
    fn row(&self) -> Row<'_> {
        Row { seq: self.seq, event: &self.event, prev_hash: &self.prev_hash, hash: &self.hash }
    }
}

impl Inquest {
    /// `chain` is whole so far, and did not take `found`: `None` where that could not even be read.
    pub fn new(chain: Chain, found: Option<&Row>) -> Self {
        let found = found.map(|row| Owned {
            seq: row.seq,
            event: row.event.into(),
            prev_hash: row.prev_hash.into(),
            hash: row.hash.into(),
        });
        Self { chain, found, stands_at: None, comes_again: false }
    }

    /// Looks at one that comes later.
    pub fn look(&mut self, row: &Row) {
        let Chain { org, next, head, .. } = &self.chain;
        if self.stands_at.is_none() && row.follows(org.as_ref(), *next, head) {
            self.stands_at = Some(row.seq);
        }
        self.comes_again |= self
            .found
            .as_ref()
            .is_some_and(|found| (found.seq, &*found.hash, &*found.event) == (row.seq, row.hash, row.event));
    }

    /// What is wrong, once all that come later were looked at.
    pub fn end(self) -> Wrong {
        let Chain { org, first, next, head, before } = &self.chain;
        let (org, next, last) = (org.as_ref(), *next, self.chain.last());
        let Some(found) = &self.found else {
            return if self.stands_at == Some(next) {
                Wrong::Inserted(next, last)
            } else {
                Wrong::Altered(next)
            };
        };
        let (seq, row) = (found.seq, found.row());
        if row.follows(org, next, head) {
            // All but its number.
            return Wrong::Altered(next);
        }
        if before.is_some_and(|before| row.follows(org, last, &before)) {
            // The last one once more; or that one is forged, and this is it.
            return Wrong::Inserted(last, if row.hash == head.as_bytes() { last } else { last - 1 });
        }
        match (seq.cmp(&next), self.stands_at) {
            (std::cmp::Ordering::Less, _) => Wrong::Inserted(seq, last),
            (std::cmp::Ordering::Equal, Some(at)) if at == next => Wrong::Inserted(next, last),
            (std::cmp::Ordering::Equal, Some(at)) if row.was_made_for(org, at) => Wrong::Reordered(next, at),
            (std::cmp::Ordering::Equal, None)
                if row.was_made_for(org, next) && !row.is_hash_of(org, next, head) && next > *first =>
            {
                // Whole in itself, it follows another than the one that is there.
                Wrong::Altered(last)
            }
            (std::cmp::Ordering::Equal, _) => Wrong::Altered(next),
            (std::cmp::Ordering::Greater, Some(at)) if at == next => {
                if self.comes_again || !row.was_made_for(org, seq) {
                    Wrong::Inserted(seq, last)
                } else {
                    Wrong::Reordered(next, seq)
                }
            }
            (std::cmp::Ordering::Greater, Some(_)) => Wrong::Altered(next),
            (std::cmp::Ordering::Greater, None) => Wrong::Dropped(next, seq - 1),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tell("the chain"))
    }
}

#[cfg(test)]
mod tests;
