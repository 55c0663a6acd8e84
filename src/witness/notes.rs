//! What of a witness's words is believed: of a log that is known the largest checkpoint that its key signed, wherever it
//! stands; of one that is not, only what is signed in its own name. Everything else is noise, however much there is.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use crate::audit::{Checkpoint, MOST_NOTE_BYTES, VerifierKey, is_signature};
use crate::ids::LogId;

/// So many roots of one size, each signed, are held against the database: two are a fork already.
const MOST_FORKS: usize = 64;
/// So many logs that are not known may be told of: more are not ours.
const MOST_LOGS: usize = 1000;

/// What a witness is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sought {
    /// What verifies checkpoints of the logs that are known.
    pub keys: Vec<VerifierKey>,
}

/// What a witness has of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Of each log that is known the largest checkpoint that was verified; more than one only where two of that size
    /// differ.
    pub verified: Vec<Checkpoint>,
    /// Of each log that is not known here the largest, which nobody here can verify.
    pub unknown: Vec<Checkpoint>,
    /// There were notes that say to be of logs that are known, and none was verified.
    pub is_forged: bool,
    /// It has more, which was not listened to.
    pub is_partial: bool,
}

impl Gathered {
    /// Whether nothing was there that is believed.
    pub fn is_nothing(&self) -> bool {
        self.verified.is_empty() && self.unknown.is_empty()
    }
}

/// Reads `text` note by note, however long it has become. What is no note is stepped over.
pub(super) fn gather(text: impl BufRead, sought: &Sought) -> io::Result<Gathered> {
    let (verified, unknown) = (BTreeMap::new(), BTreeMap::new());
    let mut gathering = Gathering { sought, verified, unknown, is_claimed: false };
    read(text, |text, signature| gathering.add(&format!("{text}\n{signature}")))?;
    Ok(gathering.end())
}

struct Gathering<'a> {
    sought: &'a Sought,
    /// Of each origin that is known the largest that were verified.
    verified: BTreeMap<String, Vec<Checkpoint>>,
    unknown: BTreeMap<String, Checkpoint>,
    /// There were notes that say to be of logs that are known.
    is_claimed: bool,
}

impl Gathering<'_> {
    /// Each claim is verified as it comes, unless it is smaller than one that was: no number of others pushes a true one out.
    fn add(&mut self, note: &str) {
        let Ok(claimed) = Checkpoint::claimed(note) else { return };
        let mut keys = self.sought.keys.iter().filter(|key| key.origin() == claimed.origin).peekable();
        if keys.peek().is_some() {
            self.is_claimed = true;
            let largest = self.verified.entry(claimed.origin.clone()).or_default();
            if largest.contains(&claimed) || largest.first().is_some_and(|first| first.size > claimed.size) {
                return;
            }
            let Some(checkpoint) = keys.find_map(|key| key.verify(note).ok()) else { return };
            if largest.first().is_some_and(|first| first.size < checkpoint.size) {
                largest.clear();
            }
            if largest.len() < MOST_FORKS {
                largest.push(checkpoint);
            }
        } else if is_ours(&claimed.origin) && Checkpoint::is_signed_by_its_own(note) {
            let known = self.unknown.get(&claimed.origin);
            let is_larger = known.is_some_and(|known| known.size < claimed.size);
            if is_larger || (known.is_none() && self.unknown.len() < MOST_LOGS) {
                self.unknown.insert(claimed.origin.clone(), claimed);
            }
        }
    }

    fn end(self) -> Gathered {
        let verified: Vec<Checkpoint> = self.verified.into_values().flatten().collect();
        let is_forged = self.is_claimed && verified.is_empty();
        Gathered { verified, unknown: self.unknown.into_values().collect(), is_forged, is_partial: false }
    }
}

/// As every vault names its logs.
fn is_ours(origin: &str) -> bool {
    origin.rsplit_once("/audit/").is_some_and(|(_, id)| LogId::parse(id).is_ok())
}

/// Tells of each text with each signature under it by itself: whatever else somebody wrote there, a true one counts.
fn read(mut text: impl BufRead, mut take: impl FnMut(&str, &str)) -> io::Result<()> {
    let (mut signed, mut block, mut is_signed) = (String::new(), String::new(), false);
    while let Some(line) = next_line(&mut text)? {
        if block.is_empty() && is_signature(line.trim_end_matches('\n')) {
            is_signed = true;
            take(&signed, &line);
            continue;
        }
        // Behind signatures whatever is none begins something else, an empty line between them or not.
        if std::mem::take(&mut is_signed) {
            signed.clear();
        }
        if line != "\n" {
            block.push_str(&line);
            if block.len() > MOST_NOTE_BYTES {
                block.clear();
            }
        } else if !block.is_empty() {
            // It may be what the next lines sign.
            signed = std::mem::take(&mut block);
        }
    }
    Ok(())
}

/// The next line with its end; one that is too long for a note, or is no text, as none of it.
fn next_line(text: &mut impl BufRead) -> io::Result<Option<String>> {
    let most = u64::try_from(MOST_NOTE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    if text.by_ref().take(most).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8(bytes).unwrap_or_else(|_| "?\n".into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{LogKey, leaf_hash};

    const OURS: &str = "pawl/audit/log_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const OTHER: &str = "pawl/audit/log_01ARZ3NDEKTSV4RRFFQ69G5FAW";

    fn checkpoint(origin: &str, size: u64) -> Checkpoint {
        Checkpoint { origin: origin.into(), size, root: leaf_hash(&size.to_be_bytes()) }
    }

    fn heard(key: &LogKey, text: &str) -> Gathered {
        let sought = Sought { keys: vec![key.verifier().clone()] };
        gather(text.as_bytes(), &sought).unwrap()
    }

    /// Attack on P4.
    #[test]
    fn the_largest_that_was_verified_counts_wherever_it_stands() {
        let (key, liar) = (LogKey::generate(OURS).unwrap(), LogKey::generate(OURS).unwrap());
        let good = |size| key.sign(&checkpoint(OURS, size));
        let bad = |size| liar.sign(&checkpoint(OURS, size));
        let signature = |note: String| note.split_once("\n\n").unwrap().1.to_owned();
        // By nobody known; as if by the same key; cut off; more than a note has; more than is held.
        let nobodys = |count: usize| "— a/1 AAAAAAA=\n".repeat(count);
        let (wrong, long) = (signature(good(6)), nobodys(MOST_NOTE_BYTES / 8));
        let signatures = [&signature(bad(5)), &wrong, wrong.trim_end(), &nobodys(1), &nobodys(101), &long];
        let words = ["a/1\n9", "a/1\n9\nxx\n\n— a/1 AAAA", "— a/1 \n", "\n\n\n", "\u{fffd}\0\n", ""];
        for (word, behind) in words.iter().chain(&signatures).flat_map(|word| [(word, ""), (word, "\n")]) {
            let text = format!(
                "{}{behind}{word}\n\n{}{behind}{word}\n\n{}{behind}{word}",
                good(2),
                good(7),
                good(3)
            );
            let told = heard(&key, &text);
            assert_eq!(
                (told.verified.as_slice(), told.is_forged),
                ([checkpoint(OURS, 7)].as_slice(), false),
                "{word}"
            );
        }
        let told = heard(&key, &format!("{}\n{}\n{}", bad(9), good(4), bad(8)));
        assert_eq!((told.verified, told.is_forged), (vec![checkpoint(OURS, 4)], false));
        // However many claim more.
        let crowd: String = (0..200).map(|n| format!("{}\n", bad(1_000_000 + n))).collect();
        let told = heard(&key, &format!("{crowd}{}\n{crowd}", good(4)));
        assert_eq!((told.verified, told.is_forged), (vec![checkpoint(OURS, 4)], false));
        let told = heard(&key, &bad(9));
        assert!(told.is_forged && told.is_nothing());
        // Two roots over as many leaves, both signed: each is held against the database.
        let fork = Checkpoint { root: leaf_hash(b"fork"), ..checkpoint(OURS, 7) };
        let told = heard(&key, &format!("{}\n{}", good(7), key.sign(&fork)));
        assert_eq!(told.verified.len(), 2);
    }

    /// Attack on P4.
    #[test]
    fn what_nobody_signed_in_its_name_is_of_no_log() {
        let (key, other) = (LogKey::generate(OURS).unwrap(), LogKey::generate(OTHER).unwrap());
        let signed = other.sign(&checkpoint(OTHER, 3));
        assert_eq!(heard(&key, &signed).unknown, [checkpoint(OTHER, 3)]);
        let mine = key.sign(&checkpoint(OURS, 3));
        let (_, signature) = mine.split_once("\n\n").unwrap();
        let (text, own) = signed.split_once("\n\n").unwrap();
        let short = own.rsplit_once(' ').map(|(name, _)| format!("{name} AAAAAAAA\n")).unwrap();
        for note in [
            format!("{text}\n\n{signature}"),
            format!("{text}\n\n{short}"),
            format!("{text}\n"),
            LogKey::generate("evil/1").unwrap().sign(&checkpoint("evil/1", 3)),
        ] {
            assert_eq!(heard(&key, &note), Gathered::default(), "{note}");
        }
    }

    #[test]
    fn however_much_there_is_so_much_is_held() {
        let key = LogKey::generate(OURS).unwrap();
        let text: String = (0..200).map(|size| format!("{}\n", key.sign(&checkpoint(OURS, size)))).collect();
        let long = "x".repeat(3 * MOST_NOTE_BYTES);
        let told = heard(&key, &format!("{text}{long}\n\n{}", key.sign(&checkpoint(OURS, 200))));
        assert_eq!(told.verified, [checkpoint(OURS, 200)]);
    }
}
