//! Holds a log's stored tree against the checkpoints that were signed, and those that somebody else kept.

use std::collections::{BTreeMap, VecDeque};

use crate::audit::{Frontier, Hash, Kept, Report, VerifierKey, Wrong};
use crate::ids::LogId;
use crate::store::{LogRow, RawCheckpoint, StoreError, TrailView};

/// Rows that are read at once.
pub(super) const STEP: i64 = 1_000;

/// Verifies the tree of `log`. Every key and every checkpoint of it that was given has to fit.
pub(super) fn verify_log(
    view: &mut TrailView,
    log: &LogRow,
    (keys, kept): (&[VerifierKey], &Kept),
    report: &mut Report,
) -> Result<Option<Wrong>, StoreError> {
    let wrong = |what: String| Ok(Some(Wrong::Other(format!("the log {}: {what}", log.origin))));
    let Ok(key) = VerifierKey::parse(&log.public_key) else { return wrong("altered: its public key".into()) };
    if key.origin() != log.origin {
        return wrong("altered: its public key is another log's".into());
    }
    if keys.iter().any(|given| given.origin() == log.origin && *given != key) {
        return wrong("its public key is not the one that was given".into());
    }
    let mut given = match kept.checkpoints(&key) {
        Ok(given) => given,
        Err(refused) => return Ok(Some(refused)),
    };
    // The tree of no leaves.
    let Some(mut frontier) = Frontier::of(0, |_| None) else { return Ok(None) };
    let (mut levels, mut signed) = (Levels::of(&log.id), Signed::of(&log.id));
    loop {
        let size = frontier.size();
        while let Some(checkpoint) = signed.next_upto(view, size)? {
            if let Some(what) = judge(&key, &checkpoint, &frontier.root()) {
                return wrong(format!("{what}: the checkpoint of size {}", checkpoint.size));
            }
        }
        if given.remove(&size).is_some_and(|root| root != frontier.root()) {
            return wrong(format!(
                "rewritten: at {size} leaves the checkpoint that was given has another root"
            ));
        }
        let Some(leaf) = levels.take(view, 0, size)? else { break };
        for (node, hash) in frontier.append(leaf).into_iter().skip(1) {
            if levels.take(view, node.level, node.idx)? != Some(hash) {
                let (level, idx) = (node.level, node.idx);
                return wrong(format!(
                    "altered or dropped: the hash of node {idx} of level {level}, or of a leaf under it"
                ));
            }
        }
    }
    let size = frontier.size();
    if let Some(beyond) = levels.beyond() {
        return wrong(format!("dropped: leaf {size}, though there is leaf {beyond}"));
    }
    if let Some(checkpoint) = signed.next_upto(view, u64::MAX)? {
        return wrong(format!(
            "cut off after {size} leaves: the checkpoint of size {} is there",
            checkpoint.size
        ));
    }
    if let Some((witness, taken)) = view.find_most_taken(&log.id)?
        && u64::try_from(taken).is_ok_and(|taken| taken > size)
    {
        return wrong(format!("cut off after {size} leaves: a witness has taken {taken}: {witness}"));
    }
    if let Some(newest) = given.keys().next_back() {
        return wrong(format!(
            "older than the checkpoint: it has {size} leaves, the checkpoint speaks of {newest}"
        ));
    }
    if let Some(what) = find_beyond(view, log, size)? {
        return wrong(what);
    }
    // Of one that nobody is named for, no chain would be held against it.
    let known = view.log(|of| of.count_leaves(&log.id))?;
    if known != size {
        return wrong(format!("dropped: of {size} leaves {known} say whose they are"));
    }
    report.sizes.push(size);
    Ok(None)
}

/// What is there of the tree and has no place in one of `size` leaves. The next checkpoint would find it in its way.
fn find_beyond(view: &mut TrailView, log: &LogRow, size: u64) -> Result<Option<String>, StoreError> {
    view.log(|of| {
        let Some((lowest, highest)) = of.find_levels(&log.id)? else { return Ok(None) };
        let top = size.checked_ilog2().map_or(0, i64::from);
        let outside = [Some(lowest).filter(|level| *level < 0), Some(highest).filter(|level| *level > top)];
        for level in (0..=top).chain(outside.into_iter().flatten()) {
            // So many are whole.
            let whole = u32::try_from(level).ok().and_then(|level| size.checked_shr(level)).unwrap_or(0);
            let whole = i64::try_from(whole).unwrap_or(i64::MAX);
            let first = of.find_level(&log.id, level, (i64::MIN, 1))?;
            let beyond = of.find_level(&log.id, level, (whole, 1))?;
            let first = first.first().filter(|node| node.idx < 0);
            if let Some(idx) = first.or(beyond.first()).map(|node| node.idx) {
                return Ok(Some(format!(
                    "inserted: node {idx} of level {level}, which {size} leaves do not make"
                )));
            }
        }
        Ok(None)
    })
}

fn judge(key: &VerifierKey, stored: &RawCheckpoint, root: &Hash) -> Option<&'static str> {
    let Ok(signed) = key.verify(&stored.note) else { return Some("altered") };
    if u64::try_from(stored.size) != Ok(signed.size) || stored.root != signed.root.as_bytes() {
        return Some("altered");
    }
    (signed.root != *root).then_some("the log's leaves are not those that were signed")
}

/// The nodes of a log, each level in its order.
struct Levels<'a> {
    log: &'a LogId,
    read: BTreeMap<u32, VecDeque<(i64, Vec<u8>)>>,
}

impl<'a> Levels<'a> {
    fn of(log: &'a LogId) -> Self {
        Self { log, read: BTreeMap::new() }
    }

    /// The node of that number; `None` where it is not the next that is there, or is no hash.
    fn take(&mut self, view: &mut TrailView, level: u32, idx: u64) -> Result<Option<Hash>, StoreError> {
        let wanted = i64::try_from(idx).unwrap_or(i64::MAX);
        let read = self.read.entry(level).or_default();
        if read.is_empty() {
            let nodes = view.log(|log| log.find_level(self.log, level.into(), (wanted, STEP)))?;
            read.extend(nodes.into_iter().map(|node| (node.idx, node.hash)));
        }
        let next = read.pop_front_if(|(idx, _)| *idx == wanted);
        Ok(next.and_then(|(_, hash)| Hash::from_bytes(&hash)))
    }

    /// A leaf that is there though the one before it is not.
    fn beyond(&self) -> Option<i64> {
        self.read.get(&0).and_then(|read| read.front()).map(|(idx, _)| *idx)
    }
}

/// The checkpoints of a log, smallest first.
struct Signed<'a> {
    log: &'a LogId,
    last: i64,
    read: VecDeque<RawCheckpoint>,
    is_end: bool,
}

impl<'a> Signed<'a> {
    fn of(log: &'a LogId) -> Self {
        Self { log, last: i64::MIN, read: VecDeque::new(), is_end: false }
    }

    /// The next one, of at most `size`.
    fn next_upto(&mut self, view: &mut TrailView, size: u64) -> Result<Option<RawCheckpoint>, StoreError> {
        if self.read.is_empty() && !self.is_end {
            let last = self.last;
            let found = view.log(|log| log.find_checkpoints(self.log, (last, STEP)))?;
            self.last = found.last().map_or(self.last, |last| last.size);
            self.is_end = found.is_empty();
            self.read.extend(found);
        }
        let most = i64::try_from(size).unwrap_or(i64::MAX);
        Ok(self.read.pop_front_if(|checkpoint| checkpoint.size <= most))
    }
}
