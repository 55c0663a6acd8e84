//! Holds an export against itself, and against what its log's key signed: a file is all that it takes, read twice, and
//! of that no more than a line is in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};

use crate::audit::chain::{Hash, leaf};
use crate::audit::export::{EXPORT, Head, Last, Line, bytes_of, read_line};
use crate::audit::kept::{Kept, KeptLeaf};
use crate::audit::note::{Checkpoint, VerifierKey};
use crate::audit::tree::{verify_consistency, verify_inclusion};
use crate::audit::verify::{Chain, Inquest, Row, Wrong};
use crate::ids::OrgId;

/// A longer line is none of ours.
const MOST_LINE_BYTES: u64 = 1024 * 1024;

/// What came of verifying.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong, of whose chain: the first thing of each.
    pub wrong: Vec<String>,
    /// What could not be judged, and why.
    pub warnings: Vec<String>,
    /// How many chains there are.
    pub chains: u64,
    /// How many events are whole.
    pub events: i64,
    /// Of how many of them no leaf of the log speaks yet.
    pub uncovered: i64,
    /// How many leaves the newest checkpoint stands over, of each log.
    pub sizes: Vec<u64>,
}

/// An export that can't be verified as what it is.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("no export of a trail: {0}")]
    Else(&'static str),
}

/// Verifies what `open` opens, each time from its beginning. Without `keys` it is held against its own, which proves
/// nothing by itself; of them one must be its log's. `kept` is what somebody else kept of the log.
pub fn verify_export<R: BufRead>(
    open: impl Fn() -> io::Result<R>,
    keys: &[VerifierKey],
    kept: &Kept,
) -> Result<Report, Unreadable> {
    let mut report = Report { chains: 1, ..Report::default() };
    let Some(last) = last_line(open()?)? else { return Err(Unreadable::Else("it is empty")) };
    let last: Option<Last> = read_line(&last);
    let mut lines = Lines(open()?);
    let head = lines.next()?.unwrap_or_default();
    let Some(head) = head.as_deref().and_then(read_line::<Head>) else {
        if last.is_none() {
            return Err(Unreadable::Else("neither its first line nor its last is one of an export's"));
        }
        report.wrong.push("altered: the first line".into());
        return Ok(report);
    };
    if head.pawl_audit_export != EXPORT {
        return Err(Unreadable::Else("it is of another version of Pawl"));
    }
    let org = match head.org.as_str() {
        "" => None,
        org => Some(OrgId::parse(org).map_err(|_| Unreadable::Else("its org is none"))?),
    };
    let mut chain = Chain::after(org.clone(), head.first_seq.saturating_sub(1), head.prev_hash);
    let known = match Given::of(&head, org.as_ref(), keys, kept) {
        Ok(given) => given,
        Err(wrong) => {
            report.wrong.push(wrong.tell(&head.org));
            return Ok(report);
        }
    };
    let leaf_seq = last.as_ref().and_then(|last| last.leaf.as_ref()).map(|leaf| leaf.seq);
    // The hashes of the events that somebody speaks of.
    let told: BTreeSet<i64> = leaf_seq.into_iter().chain(known.leaves.iter().map(|leaf| leaf.seq)).collect();
    let mut heads = BTreeMap::new();
    if told.contains(&chain.last()) {
        heads.insert(chain.last(), head.prev_hash);
    }
    let wrong = walk(&mut lines, &mut chain, head.last_seq, |chain| {
        if told.contains(&chain.last()) {
            heads.insert(chain.last(), *chain.head());
        }
    })?;
    report.events = chain.count();
    if let Some(wrong) = wrong {
        report.wrong.push(wrong.tell(&head.org));
        return Ok(report);
    }
    let Some(last) = last else {
        report.wrong.push("broken off: the last line is missing or altered".into());
        return Ok(report);
    };
    report.uncovered = report.events;
    let of = Proof { head: &head, org: org.as_ref(), heads, last_seq: chain.last() };
    if let Err(wrong) = of.verify(&last, &known, &mut report) {
        report.wrong.push(wrong.tell(&head.org));
    }
    Ok(report)
}

/// Takes the events up to number `until`; what is wrong is told after a look at all.
fn walk<R: BufRead>(
    lines: &mut Lines<R>,
    chain: &mut Chain,
    until: i64,
    mut taken: impl FnMut(&Chain),
) -> Result<Option<Wrong>, Unreadable> {
    loop {
        let cut = Wrong::CutOff { last: chain.last(), known: until, by: "its first line".into() };
        let Some(line) = lines.next()? else {
            return Ok((chain.last() < until).then_some(cut));
        };
        let text = line.as_deref();
        if let Some(event) = text.and_then(event_of) {
            if chain.last() < until && chain.take(&event.row()) {
                taken(chain);
                continue;
            }
            if chain.last() >= until {
                return Ok(Some(Wrong::Inserted(event.seq, chain.last())));
            }
            return judge(lines, Inquest::new(chain.clone(), Some(&event.row()))).map(Some);
        }
        let is_last = text.is_some_and(|line| read_line::<Last>(line).is_some());
        if chain.last() >= until {
            let more = lines.next()?.is_some();
            return Ok(more.then(|| Wrong::Other("inserted: a line after the last event's".into())));
        }
        if is_last {
            return Ok(Some(cut));
        }
        return judge(lines, Inquest::new(chain.clone(), None)).map(Some);
    }
}

fn judge<R: BufRead>(lines: &mut Lines<R>, mut inquest: Inquest) -> Result<Wrong, Unreadable> {
    while let Some(line) = lines.next()? {
        if let Some(event) = line.as_deref().and_then(event_of) {
            inquest.look(&event.row());
        }
    }
    Ok(inquest.end())
}

struct Event<'a> {
    seq: i64,
    event: std::borrow::Cow<'a, str>,
    prev_hash: Vec<u8>,
    hash: Vec<u8>,
}

impl Event<'_> {
    fn row(&self) -> Row<'_> {
        let event = self.event.as_bytes();
        Row { seq: self.seq, event, prev_hash: &self.prev_hash, hash: &self.hash }
    }
}

fn event_of(line: &str) -> Option<Event<'_>> {
    let Line { seq, event, prev_hash, hash } = read_line(line)?;
    Some(Event { seq, event, prev_hash: bytes_of(&prev_hash)?, hash: bytes_of(&hash)? })
}

/// What was given to verify an export by.
struct Given {
    /// The key that is believed; none where the export has none, and none was given.
    key: Option<VerifierKey>,
    /// Its own is the one.
    is_own: bool,
    checkpoints: BTreeMap<u64, Hash>,
    leaves: Vec<KeptLeaf>,
    has_notes: bool,
    /// Something was given.
    is_proof_asked: bool,
}

impl Given {
    fn of(head: &Head, org: Option<&OrgId>, keys: &[VerifierKey], kept: &Kept) -> Result<Self, Wrong> {
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
        let (mut checkpoints, mut leaves) = (BTreeMap::new(), Vec::new());
        if let Some(key) = &own {
            checkpoints = kept.checkpoints(key)?;
            leaves = kept.leaves(key, org)?;
        }
        let (is_own, has_notes) = (keys.is_empty(), !kept.is_empty());
        Ok(Self { key: own, is_own, checkpoints, leaves, has_notes, is_proof_asked: !is_own || has_notes })
    }
}

struct Proof<'a> {
    head: &'a Head,
    org: Option<&'a OrgId>,
    /// Hashes of events that somebody speaks of, by their numbers.
    heads: BTreeMap<i64, Hash>,
    last_seq: i64,
}

impl Proof<'_> {
    fn verify(&self, last: &Last, given: &Given, report: &mut Report) -> Result<(), Wrong> {
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
        for (size, root) in &given.checkpoints {
            hold((*size, root), &known, report)?;
        }
        if given.checkpoints.is_empty() && given.has_notes {
            report.warnings.push("none of the checkpoints that were given is of this log".into());
        }
        self.hold_leaves(&given.leaves, report)
    }

    /// The export ends no earlier than the chain was known to, and says the same of the events that are known.
    fn hold_leaves(&self, leaves: &[KeptLeaf], report: &mut Report) -> Result<(), Wrong> {
        for known in leaves {
            if known.seq > self.last_seq {
                return Err(Wrong::CutOff { last: self.last_seq, known: known.seq, by: known.told() });
            }
            match self.heads.get(&known.seq) {
                Some(head) if known.is_of(self.org, head) => {}
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

fn hold((size, root): (u64, &Hash), known: &[Checkpoint], report: &mut Report) -> Result<(), Wrong> {
    let newest = known.iter().map(|known| known.size).max().unwrap_or(0);
    match known.iter().find(|known| known.size == size) {
        Some(same) if same.root == *root => Ok(()),
        Some(_) => Err(Wrong::Other(format!(
            "rewritten: at {size} leaves the checkpoint that was given has another root"
        ))),
        None if size > newest => Err(Wrong::Other(format!(
            "older than the checkpoint: this speaks of {newest} leaves, the checkpoint of {size}"
        ))),
        None => {
            report.warnings.push(format!(
                "the checkpoint of size {size} could not be compared: the export goes on from none of that size"
            ));
            Ok(())
        }
    }
}

/// Lines without their ends: `Some(None)` for one that is no text of ours.
struct Lines<R>(R);

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Option<Option<String>>> {
        let mut line = Vec::new();
        let read = io::Read::take(&mut self.0, MOST_LINE_BYTES).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok(Some(String::from_utf8(line).ok()))
    }
}

fn last_line<R: BufRead>(reader: R) -> io::Result<Option<String>> {
    let (mut lines, mut last) = (Lines(reader), None);
    while let Some(line) = lines.next()? {
        last = Some(line.unwrap_or_default());
    }
    Ok(last)
}
