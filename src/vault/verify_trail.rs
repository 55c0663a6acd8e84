//! Holds the stored trail against itself: every chain against its hashes, and the chains against the logs. All of it is
//! read as it was at one moment, a thousand rows at a time, whatever there is.

use std::collections::VecDeque;

use crate::audit::{
    Chain, GENESIS, Inquest, Kept, KeptLeaf, PRUNE, Report, Row, VerifierKey, Wrong, leaf, pruned_at,
};
use crate::ids::OrgId;
use crate::store::{Boundary, ChainOf, LogRow, RawEvent, StoreError, TrailView};
use crate::vault::host_trail::{Which, chain_of};
use crate::vault::verify_begun::verify_begun;
use crate::vault::verify_leaves::Leaves;
use crate::vault::verify_log::{STEP, verify_log};

/// Verifies the logs and the chains of `which`. `keys` and `kept` are what somebody else kept of the logs: every one
/// of them counts.
pub(super) fn verify_stored(
    view: &mut TrailView,
    which: &Which,
    (keys, kept): (&[VerifierKey], &Kept),
) -> Result<Report, StoreError> {
    let (mut report, logs) = (Report::default(), view.find_logs()?);
    for log in &logs {
        if let Some(wrong) = verify_log(view, log, (keys, kept), &mut report)? {
            report.wrong.push(wrong.tell(""));
        }
    }
    verify_begun(view, &logs, &mut report)?;
    let is_here = |origin: &str| logs.iter().any(|log| log.origin == origin);
    for key in keys.iter().filter(|key| !is_here(key.origin())) {
        let what = "a public key that was given is of a log that is not here";
        report.wrong.push(format!("another log: {what}: {}", key.origin()));
    }
    for origin in kept.origins().filter(|origin| !is_here(origin)) {
        let what = "a checkpoint that was given is of a log that is not here";
        report.wrong.push(format!("older than the checkpoint: {what}: {origin}"));
    }
    match which {
        Which::Vault => verify_one(view, (None, &logs, kept), &mut report)?,
        Which::Org(org) => verify_one(view, (Some(org), &logs, kept), &mut report)?,
        Which::All => {
            verify_one(view, (None, &logs, kept), &mut report)?;
            let mut last = String::new();
            while let Some(org) = view.log(|log| log.find_org_after(&last))? {
                match OrgId::parse(&org) {
                    Ok(of) => verify_one(view, (Some(&of), &logs, kept), &mut report)?,
                    Err(_) => {
                        report.wrong.push(format!("inserted: a chain of {org}, which is no org's name"))
                    }
                }
                last = org;
            }
        }
    }
    Ok(report)
}

fn verify_one(
    view: &mut TrailView,
    (org, logs, kept): (Option<&OrgId>, &[LogRow], &Kept),
    report: &mut Report,
) -> Result<(), StoreError> {
    report.chains += 1;
    let whose = org.map_or("the vault", OrgId::as_str);
    let of = chain_of(org);
    let boundary = match view.chain(&of, |chain| chain.find_boundary()) {
        Ok(Some(boundary)) => boundary,
        Ok(None) => {
            report.wrong.push(format!("dropped: the row of {whose} in audit_chains"));
            return Ok(());
        }
        Err(StoreError::Damaged(_)) => {
            report.wrong.push(format!("altered: the row of {whose} in audit_chains"));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let chain = Chain::after(org.cloned(), boundary.seq, boundary.hash);
    let leaves = logs.iter().map(|log| Leaves::of(&of, log)).collect();
    let mut told = VecDeque::new();
    for log in logs {
        let key = VerifierKey::parse(&log.public_key).ok();
        let of_log = key.map_or(Ok(Vec::new()), |key| kept.leaves(&key, org));
        match of_log {
            Ok(of_log) => told.extend(of_log),
            Err(wrong) => report.wrong.push(wrong.tell(whose)),
        }
    }
    told.make_contiguous().sort_by_key(|leaf: &KeptLeaf| leaf.seq);
    let covered = boundary.seq;
    let one = One { org, whose, of: &of, boundary, leaves, told, covered, pruned_at: None };
    if let Some(wrong) = one.verify(view, chain, report)? {
        report.wrong.push(wrong.tell(whose));
    }
    Ok(())
}

/// One chain, and who speaks of its events.
struct One<'a> {
    org: Option<&'a OrgId>,
    whose: &'a str,
    of: &'a ChainOf,
    boundary: Boundary,
    leaves: Vec<Leaves<'a>>,
    /// What answers that were kept say of it, in the order of its events.
    told: VecDeque<KeptLeaf>,
    /// Up to which event somebody spoke of it.
    covered: i64,
    /// When the pruning that the boundary is of was, as its record says.
    pruned_at: Option<String>,
}

impl One<'_> {
    fn verify(
        mut self,
        view: &mut TrailView,
        mut chain: Chain,
        report: &mut Report,
    ) -> Result<Option<Wrong>, StoreError> {
        if self.boundary.seq == 0 && self.boundary.hash != GENESIS {
            return Ok(Some(Wrong::Other(format!("altered: the row of {} in audit_chains", self.whose))));
        }
        if let Some(wrong) = self.hold_pruned(view, report)? {
            return Ok(Some(wrong));
        }
        if self.boundary.seq > 0
            && let Some(wrong) = self.hold(view, &chain)?
        {
            return Ok(Some(wrong));
        }
        loop {
            let rows = read(view, self.of, chain.last())?;
            if rows.is_empty() {
                break;
            }
            for (at, row) in rows.iter().enumerate() {
                if !chain.take(&raw(row)) {
                    report.events += chain.count();
                    return judge(view, self.of, chain, row, rows.get(at + 1..).unwrap_or_default())
                        .map(Some);
                }
                let Boundary { seq: pruned, hash, .. } = &self.boundary;
                if *pruned > 0 && self.pruned_at.is_none() {
                    self.pruned_at = pruned_at(&row.event, *pruned, hash);
                }
                if let Some(wrong) = self.hold(view, &chain)? {
                    report.events += chain.count();
                    return Ok(Some(wrong));
                }
            }
        }
        report.events += chain.count();
        report.uncovered += chain.last() - self.covered;
        let wrong = self.hold_end(view, &chain)?;
        if let Some(at) = self.pruned_at.filter(|_| wrong.is_none()) {
            let (last, whose) = (self.boundary.seq, self.whose);
            report
                .warnings
                .push(format!("events 1 to {last} of {whose} were let go of, as its {PRUNE} at {at} says"));
        }
        Ok(wrong)
    }

    /// Holds the leaves of events that were let go of against their nodes, by the hash that they name.
    fn hold_pruned(
        &mut self,
        view: &mut TrailView,
        report: &mut Report,
    ) -> Result<Option<Wrong>, StoreError> {
        let last = self.boundary.seq - 1;
        for of_log in &mut self.leaves {
            let mut nameless = 0;
            while let Some(found) = of_log.take_upto(view, last)? {
                if of_log.names_none(&found) {
                    nameless += 1;
                } else if !of_log.fits(&found, (&self.boundary.salt, self.org)) {
                    let made_of = (&self.boundary.salt, self.org);
                    return of_log.misplaced(view, &found, made_of, self.whose).map(Some);
                }
            }
            if nameless > 0 {
                report.warnings.push(format!(
                    "{nameless} leaves of the log {} speak of events of {} that an earlier version let go of, and name no hash: nothing can be held against them",
                    of_log.log.origin, self.whose
                ));
            }
        }
        while let Some(told) = self.told.pop_front_if(|told| told.seq <= last) {
            report.warnings.push(format!(
                "{} speaks of event {} of {}, which was let go of: nothing can be held against it",
                told.told(),
                told.seq,
                self.whose
            ));
        }
        Ok(None)
    }

    /// Holds against the last event of `chain` what is said of it.
    fn hold(&mut self, view: &mut TrailView, chain: &Chain) -> Result<Option<Wrong>, StoreError> {
        let (seq, head) = (chain.last(), chain.head());
        for of_log in &mut self.leaves {
            while let Some(found) = of_log.take_upto(view, seq)? {
                let made_of = (&self.boundary.salt, self.org);
                if !of_log.fits(&found, made_of) {
                    let right = leaf(made_of.0, self.org, seq, head);
                    if found.seq == seq && found.hash.as_deref() == Some(right.as_bytes()) {
                        return Ok(Some(of_log.altered(&found, self.whose)));
                    }
                    return of_log.misplaced(view, &found, made_of, self.whose).map(Some);
                }
                if found.seq != seq || found.head != head.as_bytes() {
                    return Ok(Some(Wrong::Rewritten(self.covered + 1, found.seq)));
                }
                self.covered = seq;
            }
        }
        while let Some(told) = self.told.pop_front_if(|told| told.seq <= seq) {
            if !told.is_of(self.org, head) {
                return Ok(Some(Wrong::Rewritten(self.covered + 1, told.seq)));
            }
        }
        Ok(None)
    }

    /// The chain ends with `chain`: nobody may speak of more.
    fn hold_end(&mut self, view: &mut TrailView, chain: &Chain) -> Result<Option<Wrong>, StoreError> {
        for of_log in &mut self.leaves {
            if let Some(found) = of_log.take_upto(view, i64::MAX)? {
                let made_of = (&self.boundary.salt, self.org);
                if found.hash.is_some() && !of_log.fits(&found, made_of) {
                    return of_log.misplaced(view, &found, made_of, self.whose).map(Some);
                }
                let (last, known) = (chain.last(), found.seq);
                return Ok(Some(Wrong::CutOff { last, known, by: of_log.told(view, found.idx)? }));
            }
        }
        if let Some(told) = self.told.pop_front() {
            return Ok(Some(Wrong::CutOff { last: chain.last(), known: told.seq, by: told.told() }));
        }
        if self.boundary.seq > 0 && self.pruned_at.is_none() {
            return Ok(Some(Wrong::Other(format!(
                "dropped: events up to {} of {}, of which no {PRUNE} is on record",
                self.boundary.seq, self.whose
            ))));
        }
        Ok(None)
    }
}

fn read(view: &mut TrailView, of: &ChainOf, after: i64) -> Result<Vec<RawEvent>, StoreError> {
    view.chain(of, |chain| chain.find_raw(after, i64::MAX, STEP))
}

fn raw(row: &RawEvent) -> Row<'_> {
    Row { seq: row.seq, event: &row.event, prev_hash: &row.prev_hash, hash: &row.hash }
}

/// What became of the event that should have come next: a look at all that follow.
fn judge(
    view: &mut TrailView,
    of: &ChainOf,
    chain: Chain,
    found: &RawEvent,
    rest: &[RawEvent],
) -> Result<Wrong, StoreError> {
    let mut inquest = Inquest::new(chain, Some(&raw(found)));
    rest.iter().for_each(|row| inquest.look(&raw(row)));
    let mut last = rest.last().unwrap_or(found).seq;
    loop {
        let rows = read(view, of, last)?;
        let Some(end) = rows.last() else { return Ok(inquest.end()) };
        last = end.seq;
        rows.iter().for_each(|row| inquest.look(&raw(row)));
    }
}
