//! Holds an export against itself, and against what its log's key signed: a file is all that it takes, read twice, and
//! of that no more than a line is in memory.

use std::io::{self, BufRead};

use crate::audit::chain::{Hash, leaf};
use crate::audit::export::{EXPORT, Head, Last, Line, bytes_of, read_line};
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

/// Verifies what `open` opens, each time from its beginning. Without `key` it is held against its own, which proves
/// nothing by itself. `notes` are checkpoints that somebody else kept.
pub fn verify_export<R: BufRead>(
    open: impl Fn() -> io::Result<R>,
    key: Option<&VerifierKey>,
    notes: &[String],
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
    let leaf_seq = last.as_ref().and_then(|last| last.leaf.as_ref()).map(|leaf| leaf.seq);
    let mut leaf_head = (leaf_seq == Some(chain.last())).then_some(head.prev_hash);
    let wrong = walk(&mut lines, &mut chain, head.last_seq, |chain| {
        if leaf_seq == Some(chain.last()) {
            leaf_head = Some(*chain.head());
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
    let of = Proof { head: &head, org: org.as_ref(), leaf_head, last_seq: chain.last() };
    if let Err(wrong) = of.verify(&last, key, notes, &mut report) {
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

struct Proof<'a> {
    head: &'a Head,
    org: Option<&'a OrgId>,
    leaf_head: Option<Hash>,
    last_seq: i64,
}

impl Proof<'_> {
    fn verify(
        &self,
        last: &Last,
        key: Option<&VerifierKey>,
        notes: &[String],
        report: &mut Report,
    ) -> Result<(), Wrong> {
        let other = |what: String| Wrong::Other(what);
        let Some(note) = &last.checkpoint else {
            if key.is_some() || !notes.is_empty() {
                return Err(other("not proven: its last line has no checkpoint".into()));
            }
            report.warnings.push("no checkpoint was made yet: the chain is held against itself alone".into());
            return Ok(());
        };
        let own = self.head.public_key.as_deref().map(VerifierKey::parse);
        let own = match own {
            Some(Ok(own)) => Some(own),
            Some(Err(_)) => return Err(other("altered: the first line's public key".into())),
            None => None,
        };
        let is_proof_asked = key.is_some() || !notes.is_empty();
        if is_proof_asked && last.leaf.is_none() {
            return Err(other("not proven: its last line has no leaf of this org".into()));
        }
        let key = match (key, &own) {
            (Some(key), own) if own.as_ref() != Some(key) => {
                return Err(other("the public key of the first line is not the one that was given".into()));
            }
            (Some(key), _) => key,
            (None, Some(own)) => {
                report.warnings.push(
                    "no --key was given: the export's own proves nothing, for whoever forged it made it too"
                        .into(),
                );
                own
            }
            (None, None) => return Err(other("altered: the first line has no public key".into())),
        };
        let checkpoint = key.verify(note).map_err(|refused| other(format!("the checkpoint: {refused}")))?;
        report.sizes.push(checkpoint.size);
        self.verify_leaf(last, &checkpoint, report)?;
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
        match newest_of(key, notes)? {
            Some(given) => hold(&given, &known, report),
            None if notes.is_empty() => Ok(()),
            None => {
                report.warnings.push("none of the checkpoints that were given is of this log".into());
                Ok(())
            }
        }
    }

    fn verify_leaf(&self, last: &Last, checkpoint: &Checkpoint, report: &mut Report) -> Result<(), Wrong> {
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
        let Some(head) = &self.leaf_head else {
            report.warnings.push(format!("the log speaks of events up to {} alone", of_org.seq));
            return Ok(());
        };
        let Some(salt) = &self.head.salt else { return other("altered: the first line has no salt") };
        if leaf(&salt.0, self.org, of_org.seq, head) != of_org.hash {
            return Err(Wrong::Rewritten(self.head.first_seq, of_org.seq));
        }
        report.uncovered = self.last_seq - of_org.seq;
        Ok(())
    }
}

/// The newest of the notes that are this log's.
pub fn newest_of(key: &VerifierKey, notes: &[String]) -> Result<Option<Checkpoint>, Wrong> {
    let mut newest: Option<Checkpoint> = None;
    for note in notes {
        let claimed = Checkpoint::claimed(note);
        let claimed =
            claimed.map_err(|refused| Wrong::Other(format!("a checkpoint that was given: {refused}")))?;
        if claimed.origin != key.origin() {
            continue;
        }
        let checkpoint = key.verify(note);
        let checkpoint =
            checkpoint.map_err(|refused| Wrong::Other(format!("a checkpoint that was given: {refused}")))?;
        if newest.as_ref().is_none_or(|newest| newest.size < checkpoint.size) {
            newest = Some(checkpoint);
        }
    }
    Ok(newest)
}

fn hold(given: &Checkpoint, known: &[Checkpoint], report: &mut Report) -> Result<(), Wrong> {
    let newest = known.iter().map(|known| known.size).max().unwrap_or(0);
    match known.iter().find(|known| known.size == given.size) {
        Some(same) if same.root == given.root => Ok(()),
        Some(_) => Err(Wrong::Other(format!(
            "rewritten: at {} leaves the checkpoint that was given has another root",
            given.size
        ))),
        None if given.size > newest => Err(Wrong::Other(format!(
            "older than the checkpoint: this speaks of {newest} leaves, the checkpoint of {}",
            given.size
        ))),
        None => {
            report.warnings.push(format!(
                "the checkpoint of size {} could not be compared: the export goes on from none of that size",
                given.size
            ));
            Ok(())
        }
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
