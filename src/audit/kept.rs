//! What somebody kept of a log to verify a trail by: signed notes, and the answers of `GET /v1/audit/checkpoint`, which
//! say of an org's chain how far it had come. Nothing of it is believed before it was held against a key.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::audit::chain::{Hash, leaf};
use crate::audit::export::{Leaf, WitnessedNote};
use crate::audit::note::{Checkpoint, NoteRefused, VerifierKey};
use crate::audit::tree::{verify_consistency, verify_inclusion};
use crate::audit::verify::Wrong;
use crate::ids::OrgId;

/// Notes and answers that were kept.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    notes: Vec<String>,
    answers: Vec<Answer>,
    first_seq: Option<i64>,
}

/// The text is neither notes nor answers.
#[derive(Clone, Debug, thiserror::Error)]
#[error("neither signed notes nor an answer of GET /v1/audit/checkpoint: {0}")]
pub struct NothingKept(String);

/// An answer; members that a later version adds are passed over.
#[derive(Clone, Debug, Deserialize)]
struct Answer {
    checkpoint: String,
    org: String,
    salt: Option<Hash>,
    leaf: Option<Leaf>,
    inclusion: Vec<Hash>,
    witnessed: Option<WitnessedNote>,
}

/// What an answer says of a chain: its event `seq` had a hash of which that leaf was made.
#[derive(Clone, Debug)]
pub struct KeptLeaf {
    salt: [u8; 32],
    /// The event's number.
    pub seq: i64,
    /// How many leaves the answer's checkpoint stands over.
    pub(super) size: u64,
    hash: Hash,
}

impl KeptLeaf {
    /// Whether `head` is the hash of that event.
    pub fn is_of(&self, org: Option<&OrgId>, head: &Hash) -> bool {
        leaf(&self.salt, org, self.seq, head) == self.hash
    }

    /// Who speaks of that event.
    pub fn told(&self) -> String {
        "an answer that was kept".into()
    }
}

impl Kept {
    /// Notes alone.
    pub fn notes(notes: Vec<String>) -> Self {
        Self { notes, ..Self::default() }
    }

    /// An export may begin as late as with event `seq`: those before are had already, or were not asked for.
    pub fn expect_from(&mut self, seq: Option<i64>) {
        self.first_seq = seq;
    }

    /// The event with which an export may begin at the latest; none: the chain's first.
    pub fn first_seq(&self) -> Option<i64> {
        self.first_seq
    }

    /// Adds what a file says: one or more notes, or answers one after the other.
    pub fn add(&mut self, text: &str) -> Result<(), NothingKept> {
        if !text.trim_start().starts_with('{') {
            let notes = split_notes(text);
            if notes.is_empty() {
                return Err(NothingKept("it is empty".into()));
            }
            self.notes.extend(notes);
            return Ok(());
        }
        for answer in serde_json::Deserializer::from_str(text).into_iter::<Answer>() {
            // Where and what is wrong, without what stands there.
            let answer = answer.map_err(|e| NothingKept(format!("line {}", e.line())))?;
            self.notes.push(answer.checkpoint.clone());
            self.notes.extend(answer.witnessed.iter().map(|of| of.checkpoint.clone()));
            self.answers.push(answer);
        }
        Ok(())
    }

    /// Whether nobody spoke of a log.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// The origins of logs that are spoken of; empty for what is no note.
    pub fn origins(&self) -> impl Iterator<Item = String> {
        let origin = |note: &String| Checkpoint::claimed(note).map(|of| of.origin).unwrap_or_default();
        self.notes.iter().map(origin)
    }

    /// Every checkpoint of the log of `key`, by its size: two of one size are one.
    pub fn checkpoints(&self, key: &VerifierKey) -> Result<BTreeMap<u64, Hash>, Wrong> {
        let refused = |refused: NoteRefused| Wrong::Other(format!("a checkpoint that was given: {refused}"));
        let mut found = BTreeMap::new();
        for note in &self.notes {
            if Checkpoint::claimed(note).map_err(refused)?.origin != key.origin() {
                continue;
            }
            let Checkpoint { size, root, .. } = key.verify(note).map_err(refused)?;
            if found.insert(size, root).is_some_and(|before| before != root) {
                let what = "two checkpoints that were given have the same size and another root";
                return Err(Wrong::Other(format!("{what}: {size}")));
            }
        }
        Ok(found)
    }

    /// Sizes of checkpoints of the log of `key` of which the second goes on from the first, as the answers prove; those
    /// of the longest log first.
    pub(super) fn pairs(&self, key: &VerifierKey) -> Result<Vec<(u64, u64)>, Wrong> {
        let mut pairs = Vec::new();
        for answer in &self.answers {
            let Some(of) = &answer.witnessed else { continue };
            let (Ok(old), Ok(new)) = (key.verify(&of.checkpoint), key.verify(&answer.checkpoint)) else {
                continue;
            };
            if !verify_consistency(old.size, new.size, &old.root, &new.root, &of.consistency) {
                let what = "an answer that was given: its checkpoint does not go on from its witnessed one";
                return Err(Wrong::Other(what.into()));
            }
            pairs.push((old.size, new.size));
        }
        pairs.sort_by_key(|(_, new)| std::cmp::Reverse(*new));
        Ok(pairs)
    }

    /// What the answers say of the chain of `org`, by the log of `key`, in the order of its events.
    pub fn leaves(&self, key: &VerifierKey, org: Option<&OrgId>) -> Result<Vec<KeptLeaf>, Wrong> {
        let mut leaves = Vec::new();
        for answer in self.answers.iter().filter(|answer| org.is_some_and(|org| org.as_str() == answer.org)) {
            let Ok(checkpoint) = key.verify(&answer.checkpoint) else { continue };
            let (Some(of), Some(salt)) = (&answer.leaf, answer.salt) else { continue };
            if !verify_inclusion(&of.hash, of.index, checkpoint.size, &answer.inclusion, &checkpoint.root) {
                return Err(Wrong::Other("an answer that was given: its leaf is not in its log".into()));
            }
            leaves.push(KeptLeaf { salt: salt.0, seq: of.seq, size: checkpoint.size, hash: of.hash });
        }
        leaves.sort_by_key(|leaf| leaf.seq);
        Ok(leaves)
    }
}

/// Several notes in one text: each begins after the signatures of the one before.
pub fn split_notes(text: &str) -> Vec<String> {
    let (mut notes, mut note, mut is_signed) = (Vec::new(), String::new(), false);
    for line in text.split_inclusive('\n') {
        let is_signature = line.starts_with('\u{2014}');
        if is_signed && !is_signature {
            notes.push(std::mem::take(&mut note));
            is_signed = false;
        }
        if note.is_empty() && line.trim().is_empty() {
            continue;
        }
        is_signed |= is_signature;
        note.push_str(line);
    }
    if !note.is_empty() {
        notes.push(note);
    }
    notes
}
