//! What proves an export: that its log's key signed for its last leaf, and goes on from what somebody else kept.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::chain::{Hash, leaf};
use crate::audit::export::{Head, Last};
use crate::audit::kept::{Kept, KeptLeaf};
use crate::audit::note::{Checkpoint, VerifierKey};
use crate::audit::tree::{verify_consistency, verify_inclusion};
use crate::audit::verify::Wrong;
use crate::audit::verify_export::Report;
use crate::ids::OrgId;

/// What was given to verify an export by.
pub(super) struct Given {
    /// The key that is believed; none where the export has none, and none was given.
    key: Option<VerifierKey>,
    /// Its own is the one.
    is_own: bool,
    checkpoints: BTreeMap<u64, Hash>,
    pub(super) leaves: Vec<KeptLeaf>,
    /// Which of the checkpoints, by their sizes, are proven by which others.
    pairs: Vec<(u64, u64)>,
    has_notes: bool,
    /// Something was given.
    is_proof_asked: bool,
}

impl Given {
    pub(super) fn of(
        head: &Head,
        org: Option<&OrgId>,
        keys: &[VerifierKey],
        kept: &Kept,
    ) -> Result<Self, Wrong> {
        let other = |what: &str| Wrong::Other(what.into());
        let own = head.public_key.as_deref().map(VerifierKey::parse).transpose();
        let own = own.map_err(|_| other("altered: the first line's public key"))?;
        // Every key that was given for this log; those of other logs say nothing of it.
        let of_log = |own: &VerifierKey| keys.iter().filter(|key| key.origin() == own.origin()).count();
        let is_same = own.as_ref().is_some_and(|own| {
            of_log(own) > 0 && keys.iter().all(|key| key == own || key.origin() != own.origin())
        });
        if !keys.is_empty() && own.is_some() && !is_same {
            return Err(other("the public key of the first line is not the one that was given"));
        }
        let (mut checkpoints, mut leaves, mut pairs) = (BTreeMap::new(), Vec::new(), Vec::new());
        if let Some(key) = &own {
            checkpoints = kept.checkpoints(key)?;
            leaves = kept.leaves(key, org)?;
            pairs = kept.pairs(key)?;
        }
        let (is_own, has_notes) = (keys.is_empty(), !kept.is_empty());
        Ok(Self {
            key: own,
            is_own,
            checkpoints,
            leaves,
            pairs,
            has_notes,
            is_proof_asked: !is_own || has_notes,
        })
    }
}

/// An export as it was read, to be held against what proves it.
pub(super) struct Proof<'a> {
    pub(super) head: &'a Head,
    pub(super) org: Option<&'a OrgId>,
    /// Hashes of events that somebody speaks of, by their numbers.
    pub(super) heads: BTreeMap<i64, Hash>,
    pub(super) last_seq: i64,
}

impl Proof<'_> {
    pub(super) fn verify(&self, last: &Last, given: &Given, report: &mut Report) -> Result<(), Wrong> {
        let other = |what: String| Wrong::Other(what);
        let Some(note) = &last.checkpoint else {
            if given.is_proof_asked {
                return Err(other("not proven: its last line has no checkpoint".into()));
            }
            report.warnings.push("no checkpoint was made yet: the chain is held against itself alone".into());
            return Ok(());
        };
        if given.is_proof_asked && last.leaf.is_none() {
            return Err(other("not proven: its last line has no leaf of this org".into()));
        }
        let Some(key) = &given.key else {
            return Err(other("altered: the first line has no public key".into()));
        };
        if given.is_own {
            report.warnings.push(
                "no --key was given: the export's own proves nothing, for whoever forged it made it too"
                    .into(),
            );
        }
        let checkpoint = key.verify(note).map_err(|refused| other(format!("the checkpoint: {refused}")))?;
        report.sizes.push(checkpoint.size);
        self.verify_leaf(last, (&checkpoint, given.is_proof_asked), report)?;
        let mut known = vec![checkpoint.clone()];
        if let Some(witnessed) = &last.witnessed {
            let older = key.verify(&witnessed.checkpoint);
            let older = older.map_err(|refused| other(format!("the witnessed checkpoint: {refused}")))?;
            let (old, new) = ((older.size, &older.root), (checkpoint.size, &checkpoint.root));
            if !verify_consistency(old.0, new.0, old.1, new.1, &witnessed.consistency) {
                let what = "the checkpoint does not go on from the witnessed one";
                return Err(other(format!("rewritten: {what}, of size {}", older.size)));
            }
            known.push(older);
        }
        if given.checkpoints.is_empty() && given.has_notes {
            return Err(other("not proven: none of the checkpoints that were given is of this log".into()));
        }
        let mut compared = BTreeSet::new();
        for (size, root) in &given.checkpoints {
            let is_compared = is_same((*size, root), &known)?;
            let is_proven = last.since.as_ref().filter(|since| since.size == *size).map(|since| {
                verify_consistency(*size, checkpoint.size, root, &checkpoint.root, &since.consistency)
            });
            if is_proven == Some(false) {
                let what = "the checkpoint does not go on from the one that was given";
                return Err(other(format!("rewritten: {what}, of size {size}")));
            }
            if is_compared || is_proven.is_some() {
                compared.insert(*size);
            }
        }
        self.hold_leaves(&given.leaves, &mut compared, report)?;
        for (old, new) in &given.pairs {
            if compared.contains(new) {
                compared.insert(*old);
            }
        }
        match given.checkpoints.keys().find(|size| !compared.contains(size)) {
            Some(size) => Err(other(format!(
                "not proven: the checkpoint of size {size} that was given can be compared with nothing here: the \
                 export goes on from none of that size. Export it with since_size={size}, or give the whole answer \
                 of GET /v1/audit/checkpoint that it came in"
            ))),
            None => Ok(()),
        }
    }

    /// The export ends no earlier than the chain was known to, and says the same of the events that are known. The
    /// checkpoints that speak of those are `compared` by that.
    fn hold_leaves(
        &self,
        leaves: &[KeptLeaf],
        compared: &mut BTreeSet<u64>,
        report: &mut Report,
    ) -> Result<(), Wrong> {
        for known in leaves {
            if known.seq > self.last_seq {
                return Err(Wrong::CutOff { last: self.last_seq, known: known.seq, by: known.told() });
            }
            match self.heads.get(&known.seq) {
                Some(head) if known.is_of(self.org, head) => {
                    compared.insert(known.size);
                }
                Some(_) => return Err(Wrong::Rewritten(self.head.first_seq.min(known.seq), known.seq)),
                None => report.warnings.push(format!(
                    "an answer that was kept speaks of event {}, which comes before this export",
                    known.seq
                )),
            }
        }
        Ok(())
    }

    fn verify_leaf(
        &self,
        last: &Last,
        (checkpoint, is_proof_asked): (&Checkpoint, bool),
        report: &mut Report,
    ) -> Result<(), Wrong> {
        let other = |what: &str| Err(Wrong::Other(what.into()));
        let Some(of_org) = &last.leaf else {
            report.warnings.push("the log speaks of no event of this org yet".into());
            return Ok(());
        };
        let (size, root) = (checkpoint.size, &checkpoint.root);
        if !verify_inclusion(&of_org.hash, of_org.index, size, &last.inclusion, root) {
            return other("altered: the last line's leaf is not in the log");
        }
        if of_org.seq > self.last_seq {
            let by = format!("the checkpoint of size {size}");
            return Err(Wrong::CutOff { last: self.last_seq, known: of_org.seq, by });
        }
        let Some(head) = self.heads.get(&of_org.seq) else {
            if is_proof_asked && self.last_seq >= self.head.first_seq {
                return Err(Wrong::Other(format!(
                    "not proven: the log speaks of events up to {} alone, and of none that is here",
                    of_org.seq
                )));
            }
            report.warnings.push(format!("the log speaks of events up to {} alone", of_org.seq));
            return Ok(());
        };
        let Some(salt) = &self.head.salt else { return other("altered: the first line has no salt") };
        if leaf(&salt.0, self.org, of_org.seq, head) != of_org.hash {
            return Err(Wrong::Rewritten(self.head.first_seq.min(of_org.seq), of_org.seq));
        }
        report.uncovered = self.last_seq - of_org.seq;
        Ok(())
    }
}

/// Whether the export speaks of just that checkpoint; `false` where it speaks of none of its size.
fn is_same((size, root): (u64, &Hash), known: &[Checkpoint]) -> Result<bool, Wrong> {
    let newest = known.iter().map(|known| known.size).max().unwrap_or(0);
    match known.iter().find(|known| known.size == size) {
        Some(same) if same.root == *root => Ok(true),
        Some(_) => Err(Wrong::Other(format!(
            "rewritten: at {size} leaves the checkpoint that was given has another root"
        ))),
        None if size > newest => Err(Wrong::Other(format!(
            "older than the checkpoint: this speaks of {newest} leaves, the checkpoint of {size}"
        ))),
        None => Ok(false),
    }
}
