//! Holds the stored trail against itself: the log's tree against the checkpoints that were signed, every chain against
//! its hashes, and the chains against the log. A thousand rows are in memory at a time, whatever there is.

use std::collections::{BTreeMap, VecDeque};

use crate::audit::{
    Chain, Checkpoint, Frontier, GENESIS, Hash, Inquest, Report, Row, VerifierKey, Wrong, leaf, newest_of,
};
use crate::ids::{LogId, OrgId};
use crate::store::{ChainOf, LogRow, RawCheckpoint, RawEvent, RawLeaf, Store, StoreError};

/// Rows that are read at once.
const STEP: i64 = 1_000;

/// Verifies the log, and each of `chains` with what it is called. `keys` and `notes` are verifier keys and checkpoints
/// that somebody else kept.
pub(super) fn verify_stored(
    store: &Store,
    chains: impl Iterator<Item = Result<(ChainOf, Option<OrgId>), StoreError>>,
    (keys, notes): (&[VerifierKey], &[String]),
) -> Result<Report, StoreError> {
    let (mut report, logs) = (Report::default(), store.find_logs()?);
    for log in &logs {
        if let Some(wrong) = verify_log(store, log, (keys, notes), &mut report)? {
            report.wrong.push(wrong.tell(""));
        }
    }
    for key in keys.iter().filter(|key| logs.iter().all(|log| log.origin != key.origin())) {
        let what = "a public key that was given is of a log that is not here";
        report.wrong.push(format!("another log: {what}: {}", key.origin()));
    }
    for note in notes {
        let origin = Checkpoint::claimed(note).map(|claimed| claimed.origin).unwrap_or_default();
        if !logs.iter().any(|log| log.origin == origin) {
            let what = "a checkpoint that was given is of a log that is not here";
            report.wrong.push(format!("older than the checkpoint: {what}: {origin}"));
        }
    }
    for chain in chains {
        let (of, org) = chain?;
        report.chains += 1;
        if let Some(wrong) = verify_chain(store, (&of, org.as_ref()), &logs, &mut report)? {
            report.wrong.push(wrong.tell(org.as_ref().map_or("the vault", OrgId::as_str)));
        }
    }
    Ok(report)
}

fn verify_log(
    store: &Store,
    log: &LogRow,
    (keys, notes): (&[VerifierKey], &[String]),
    report: &mut Report,
) -> Result<Option<Wrong>, StoreError> {
    let wrong = |what: String| Ok(Some(Wrong::Other(format!("the log {}: {what}", log.origin))));
    let Ok(own) = VerifierKey::parse(&log.public_key) else { return wrong("altered: its public key".into()) };
    let key = keys.iter().find(|key| key.origin() == log.origin).unwrap_or(&own);
    if *key != own {
        return wrong("its public key is not the one that was given".into());
    }
    let given = match newest_of(key, notes) {
        Ok(given) => given,
        Err(refused) => return Ok(Some(refused)),
    };
    // The tree of no leaves.
    let Some(mut frontier) = Frontier::of(0, |_| None) else { return Ok(None) };
    let (mut levels, mut signed) = (Levels::of(store, &log.id), Signed::of(store, &log.id));
    let mut given = given;
    loop {
        let size = frontier.size();
        while let Some(checkpoint) = signed.next_upto(size)? {
            if let Some(what) = judge(key, &checkpoint, &frontier.root()) {
                return wrong(format!("{what}: the checkpoint of size {}", checkpoint.size));
            }
        }
        if let Some(checkpoint) = given.take_if(|given| given.size == size)
            && checkpoint.root != frontier.root()
        {
            return wrong(format!(
                "rewritten: at {size} leaves the checkpoint that was given has another root"
            ));
        }
        let Some(leaf) = levels.take(0, size)? else { break };
        for (node, hash) in frontier.append(leaf).into_iter().skip(1) {
            if levels.take(node.level, node.idx)? != Some(hash) {
                let (level, idx) = (node.level, node.idx);
                return wrong(format!(
                    "altered or dropped: the hash of node {idx} of level {level}, or of a leaf under it"
                ));
            }
        }
    }
    let size = frontier.size();
    if let Some(beyond) = levels.beyond()? {
        return wrong(format!("dropped: leaf {size}, though there is leaf {beyond}"));
    }
    if let Some(checkpoint) = signed.next_upto(u64::MAX)? {
        return wrong(format!(
            "cut off after {size} leaves: the checkpoint of size {} is there",
            checkpoint.size
        ));
    }
    if let Some(given) = given {
        return wrong(format!(
            "older than the checkpoint: it has {size} leaves, the checkpoint speaks of {}",
            given.size
        ));
    }
    // Of one that nobody is named for, no chain would be held against it.
    let known = store.count_leaves(&log.id)?;
    if known < size {
        return wrong(format!("dropped: of {size} leaves {known} say whose they are"));
    }
    report.sizes.push(size);
    Ok(None)
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
    store: &'a Store,
    log: &'a LogId,
    read: BTreeMap<u32, VecDeque<(i64, Vec<u8>)>>,
}

impl<'a> Levels<'a> {
    fn of(store: &'a Store, log: &'a LogId) -> Self {
        Self { store, log, read: BTreeMap::new() }
    }

    /// The node of that number; `None` where it is not the next that is there, or is no hash.
    fn take(&mut self, level: u32, idx: u64) -> Result<Option<Hash>, StoreError> {
        let wanted = i64::try_from(idx).unwrap_or(i64::MAX);
        self.fill(level, wanted)?;
        let read = self.read.entry(level).or_default();
        let next = read.pop_front_if(|(idx, _)| *idx == wanted);
        Ok(next.and_then(|(_, hash)| Hash::from_bytes(&hash)))
    }

    /// A leaf that is there though the one before it is not.
    fn beyond(&mut self) -> Result<Option<i64>, StoreError> {
        Ok(self.read.get(&0).and_then(|read| read.front()).map(|(idx, _)| *idx))
    }

    fn fill(&mut self, level: u32, from: i64) -> Result<(), StoreError> {
        let read = self.read.entry(level).or_default();
        if read.is_empty() {
            let nodes =
                self.store.view_log("verify log", |tx| tx.find_level(self.log, level, (from, STEP)))?;
            read.extend(nodes.into_iter().map(|node| (node.idx, node.hash)));
        }
        Ok(())
    }
}

/// The checkpoints of a log, smallest first.
struct Signed<'a> {
    store: &'a Store,
    log: &'a LogId,
    last: i64,
    read: VecDeque<RawCheckpoint>,
}

impl<'a> Signed<'a> {
    fn of(store: &'a Store, log: &'a LogId) -> Self {
        Self { store, log, last: -1, read: VecDeque::new() }
    }

    /// The next one, of at most `size`.
    fn next_upto(&mut self, size: u64) -> Result<Option<RawCheckpoint>, StoreError> {
        if self.read.is_empty() {
            let last = self.last;
            let found = self
                .store
                .view_log("verify checkpoints", |tx| tx.find_checkpoints(self.log, (last, STEP)))?;
            self.last = found.last().map_or(self.last, |last| last.size);
            self.read.extend(found);
        }
        let most = i64::try_from(size).unwrap_or(i64::MAX);
        Ok(self.read.pop_front_if(|checkpoint| checkpoint.size <= most))
    }
}

fn verify_chain(
    store: &Store,
    (of, org): (&ChainOf, Option<&OrgId>),
    logs: &[LogRow],
    report: &mut Report,
) -> Result<Option<Wrong>, StoreError> {
    let boundary = store.view_chain("verify chain", of, |chain| chain.find_boundary())?;
    let whose = org.map_or("the vault", OrgId::as_str);
    let Some(boundary) = boundary else {
        return Ok(Some(Wrong::Other(format!("dropped: the row of {whose} in audit_chains"))));
    };
    let mut chain = Chain::after(org.cloned(), boundary.seq, boundary.hash);
    let mut leaves: Vec<Leaves> = logs.iter().map(|log| Leaves::of(store, of, log, boundary.seq)).collect();
    let salt = boundary.salt;
    let mut covered = boundary.seq;
    let mut hold = |chain: &Chain, covered: &mut i64| -> Result<Option<Wrong>, StoreError> {
        for of_log in &mut leaves {
            while let Some(found) = of_log.take_upto(chain.last())? {
                let right = leaf(&salt, org, found.seq, chain.head());
                if found.seq != chain.last() || found.hash.as_deref() != Some(right.as_bytes()) {
                    return Ok(Some(Wrong::Rewritten(*covered + 1, found.seq)));
                }
                *covered = found.seq;
            }
        }
        Ok(None)
    };
    if boundary.seq > 0
        && let Some(wrong) = hold(&chain, &mut covered)?
    {
        return Ok(Some(wrong));
    }
    if boundary.seq == 0 && boundary.hash != GENESIS {
        return Ok(Some(Wrong::Other(format!("altered: the row of {whose} in audit_chains"))));
    }
    loop {
        let rows = read(store, of, chain.last())?;
        if rows.is_empty() {
            break;
        }
        for (at, row) in rows.iter().enumerate() {
            if !chain.take(&raw(row)) {
                report.events += chain.count();
                return judge_chain(store, of, chain, row, &rows[at + 1..]).map(Some);
            }
            if let Some(wrong) = hold(&chain, &mut covered)? {
                report.events += chain.count();
                return Ok(Some(wrong));
            }
        }
    }
    report.events += chain.count();
    report.uncovered += chain.last() - covered;
    for of_log in &mut leaves {
        if let Some(found) = of_log.take_upto(i64::MAX)? {
            // One that came meanwhile speaks of an event that came too.
            if !read(store, of, chain.last())?.is_empty() {
                break;
            }
            return Ok(Some(Wrong::CutOff {
                last: chain.last(),
                known: found.seq,
                by: of_log.told(store, found.idx)?,
            }));
        }
    }
    Ok(None)
}

fn read(store: &Store, of: &ChainOf, after: i64) -> Result<Vec<RawEvent>, StoreError> {
    store.view_chain("verify chain", of, |chain| chain.find_raw(after, i64::MAX, STEP))
}

fn raw(row: &RawEvent) -> Row<'_> {
    Row { seq: row.seq, event: &row.event, prev_hash: &row.prev_hash, hash: &row.hash }
}

/// What became of the event that should have come next: a look at all that follow.
fn judge_chain(
    store: &Store,
    of: &ChainOf,
    chain: Chain,
    found: &RawEvent,
    rest: &[RawEvent],
) -> Result<Wrong, StoreError> {
    let mut inquest = Inquest::new(chain, Some(&raw(found)));
    rest.iter().for_each(|row| inquest.look(&raw(row)));
    let mut last = rest.last().unwrap_or(found).seq;
    loop {
        let rows = read(store, of, last)?;
        let Some(end) = rows.last() else { return Ok(inquest.end()) };
        last = end.seq;
        rows.iter().for_each(|row| inquest.look(&raw(row)));
    }
}

/// The leaves of a chain in one log, in the order of its events.
struct Leaves<'a> {
    store: &'a Store,
    of: &'a ChainOf,
    log: &'a LogRow,
    after: i64,
    read: VecDeque<RawLeaf>,
    is_end: bool,
}

impl<'a> Leaves<'a> {
    /// From event `seq` on, that one with them.
    fn of(store: &'a Store, of: &'a ChainOf, log: &'a LogRow, seq: i64) -> Self {
        Self { store, of, log, after: seq - 1, read: VecDeque::new(), is_end: false }
    }

    /// The next one, of event `seq` at most.
    fn take_upto(&mut self, seq: i64) -> Result<Option<RawLeaf>, StoreError> {
        // Looked for again only once there may be more: at the end of the chain.
        if self.read.is_empty() && (!self.is_end || seq == i64::MAX) {
            let (after, log) = (self.after, &self.log.id);
            let found = self
                .store
                .view_chain("verify leaves", self.of, |chain| chain.find_leaves(log, (after, STEP)))?;
            self.is_end = found.is_empty();
            self.after = found.last().map_or(self.after, |last| last.seq);
            self.read.extend(found);
        }
        Ok(self.read.pop_front_if(|leaf| leaf.seq <= seq))
    }

    /// Who speaks of the event of leaf `idx`.
    fn told(&self, store: &Store, idx: i64) -> Result<String, StoreError> {
        let over = store.view_log("verify checkpoints", |tx| tx.find_checkpoints(&self.log.id, (idx, 1)))?;
        Ok(match over.first() {
            Some(checkpoint) => format!("the checkpoint of size {}", checkpoint.size),
            None => format!("leaf {idx} of the log"),
        })
    }
}
