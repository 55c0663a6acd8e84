//! Holds an export against itself, and against what its log's key signed: a file is all that it takes, read twice, and
//! of that no more than a line is in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};

use crate::audit::export::{EXPORT, Head, Last, Line, bytes_of, read_line};
use crate::audit::kept::Kept;
use crate::audit::note::VerifierKey;
use crate::audit::verify::{Chain, Inquest, Row, Wrong};
use crate::audit::verify_begin::{Beginning, Held};
use crate::audit::verify_proof::{Given, Proof};
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
    /// Which events those are, of an export.
    pub held: Option<Held>,
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
    if head.first_seq < 1 {
        report.wrong.push("altered: the first line".into());
        return Ok(report);
    }
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
    let mut beginning = Beginning::of(&head);
    let wrong = walk(&mut lines, &mut chain, head.last_seq, |chain, event| {
        beginning.look(chain.last(), event);
        if told.contains(&chain.last()) {
            heads.insert(chain.last(), *chain.head());
        }
    })?;
    report.events = chain.count();
    let whose = org.as_ref().map_or("the vault", OrgId::as_str).to_owned();
    report.held = Some(Held { whose, first: head.first_seq, last: chain.last() });
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
    let judged = of
        .verify(&last, &known, &mut report)
        .and_then(|()| beginning.judge(&head.org, chain.last() - report.uncovered, kept.first_seq()));
    if let Err(wrong) = judged {
        report.wrong.push(wrong.tell(&head.org));
    }
    Ok(report)
}

/// Takes the events up to number `until`; what is wrong is told after a look at all.
fn walk<R: BufRead>(
    lines: &mut Lines<R>,
    chain: &mut Chain,
    until: i64,
    mut taken: impl FnMut(&Chain, &str),
) -> Result<Option<Wrong>, Unreadable> {
    loop {
        let cut = Wrong::CutOff { last: chain.last(), known: until, by: "its first line".into() };
        let Some(line) = lines.next()? else {
            return Ok((chain.last() < until).then_some(cut));
        };
        let text = line.as_deref();
        if let Some(event) = text.and_then(event_of) {
            if chain.last() < until && chain.take(&event.row()) {
                taken(chain, &event.event);
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
