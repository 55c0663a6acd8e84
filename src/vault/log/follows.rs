//! Which log is believed: the newest, where its seed opens as the key of just that log with just that past. What it
//! goes on from is sealed with its seed, so nobody who only writes the database makes one, or another past for it.

use serde::{Deserialize, Serialize};

use crate::audit::{Checkpoint, Hash, LogKey, VerifierKey};
use crate::seal::Keyring;
use crate::store::LogRow;
use crate::vault::log::begin::{LogShut, open_log};

/// What a log goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Follows {
    /// The verifier keys of the logs before it, oldest first.
    logs: Vec<String>,
    /// What witnesses had when a restore was accepted.
    accepted: Vec<Past>,
}

/// A checkpoint that a restore was accepted against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Past {
    origin: String,
    size: u64,
    root: Hash,
}

impl Follows {
    /// Reads the text in a log's row: nothing, for the first one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { Some(Self::default()) } else { serde_json::from_str(text).ok() }
    }

    /// The text. Texts and numbers always render.
    pub(super) fn text(&self) -> String {
        if *self == Self::default() { String::new() } else { serde_json::to_string(self).unwrap_or_default() }
    }

    /// Whether a restore was accepted against that checkpoint, or a later one of its log.
    pub(super) fn is_accepted(&self, claimed: &Checkpoint) -> bool {
        self.accepted
            .iter()
            .filter(|past| past.origin == claimed.origin)
            .any(|past| past.size > claimed.size || (past.size == claimed.size && past.root == claimed.root))
    }

    /// The verifier key of the log of `origin`, if it is one of those before.
    pub(super) fn key_of(&self, origin: &str) -> Option<VerifierKey> {
        self.logs.iter().filter_map(|key| VerifierKey::parse(key).ok()).find(|key| key.origin() == origin)
    }
}

/// The log that is believed, and what it goes on from.
#[derive(Clone)]
pub(super) struct Known {
    /// Its row.
    pub(super) row: LogRow,
    /// The key that its checkpoints are verified with.
    pub(super) key: VerifierKey,
    /// What it goes on from.
    pub(super) follows: Follows,
    /// The rows of the logs before it that are here.
    pub(super) before: Vec<LogRow>,
}

impl Known {
    fn of(row: &LogRow, key: &LogKey, rows: &[LogRow]) -> Result<Self, LogShut> {
        let follows = Follows::parse(&row.follows).ok_or(LogShut::Damaged)?;
        let before = rows.iter().filter(|of| follows.key_of(&of.origin).is_some()).cloned().collect();
        Ok(Self { row: row.clone(), key: key.verifier().clone(), follows, before })
    }

    /// What verifies the checkpoints of it and of those before it.
    pub(super) fn keys(&self) -> impl Iterator<Item = VerifierKey> {
        let before = self.follows.logs.iter().filter_map(|key| VerifierKey::parse(key).ok());
        before.chain([self.key.clone()])
    }

    /// What a log that begins now goes on from, with `accepted`.
    pub(super) fn followed<'a>(
        known: Option<&Self>,
        accepted: impl Iterator<Item = &'a Checkpoint>,
    ) -> Follows {
        let mut follows = known.map(|known| known.follows.clone()).unwrap_or_default();
        follows.logs.extend(known.map(|known| known.key.to_string()));
        follows.accepted.extend(accepted.map(|of| Past {
            origin: of.origin.clone(),
            size: of.size,
            root: of.root,
        }));
        follows
    }
}

/// The newest of `rows` and its key, opened by `ring`. An older one is not believed in its place.
pub(super) fn believe(rows: &[LogRow], ring: &Keyring) -> Result<(Known, LogKey), LogShut> {
    let row = rows.last().ok_or(LogShut::Damaged)?;
    let key = open_log(row, ring)?;
    Ok((Known::of(row, &key, rows)?, key))
}

/// The newest of `rows` that is believed, with what is wrong with those after it.
pub(super) fn newest_believed(rows: &[LogRow], ring: &Keyring) -> (Option<Known>, Option<LogShut>) {
    let mut shut = None;
    for end in (1..=rows.len()).rev() {
        match believe(rows.get(..end).unwrap_or_default(), ring) {
            Ok((known, _)) => return (Some(known), shut),
            Err(refused) => shut = shut.or(Some(refused)),
        }
    }
    (None, shut)
}

/// A log of this database by its origin; `None`: a stranger's, or one whose row is gone.
pub(super) fn find<'a>(known: Option<&'a Known>, origin: &str) -> Option<&'a LogRow> {
    let known = known?;
    std::iter::once(&known.row).chain(&known.before).find(|row| row.origin == origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::leaf_hash;

    fn checkpoint(origin: &str, size: u64, of: &str) -> Checkpoint {
        Checkpoint { origin: origin.into(), size, root: leaf_hash(of.as_bytes()) }
    }

    #[test]
    fn what_was_accepted_is_no_more_than_that() {
        let accepted = [checkpoint("a", 10, "ten"), checkpoint("b", 3, "three")];
        let follows = Known::followed(None, accepted.iter());
        for (claimed, is_accepted) in [
            (checkpoint("a", 10, "ten"), true),
            (checkpoint("a", 9, "whatever"), true),
            (checkpoint("a", 10, "another"), false),
            (checkpoint("a", 11, "ten"), false),
            (checkpoint("b", 4, "three"), false),
            (checkpoint("c", 1, "ten"), false),
        ] {
            assert_eq!(follows.is_accepted(&claimed), is_accepted, "{claimed:?}");
        }
        assert_eq!(Follows::parse(&follows.text()), Some(follows));
        assert_eq!((Follows::default().text().as_str(), Follows::parse("{}")), ("", None));
    }
}
