//! What a log says of one chain, leaf by leaf, in the order of the chain's events.

use std::collections::VecDeque;

use crate::audit::{GENESIS, Hash, Wrong, leaf};
use crate::ids::OrgId;
use crate::store::{ChainOf, LogRow, RawLeaf, StoreError, TrailView};
use crate::vault::verify_log::STEP;

/// The leaves of a chain in one log, in the order of its events.
pub(super) struct Leaves<'a> {
    of: &'a ChainOf,
    pub(super) log: &'a LogRow,
    /// Event and number of the last that was read.
    after: (i64, i64),
    read: VecDeque<RawLeaf>,
    is_end: bool,
    /// One named the hash of its event: so does each after it.
    has_named: bool,
    /// The node of one is made of what it names.
    has_fitted: bool,
}

impl<'a> Leaves<'a> {
    pub(super) fn of(of: &'a ChainOf, log: &'a LogRow) -> Self {
        Self {
            of,
            log,
            after: (i64::MIN, i64::MIN),
            read: VecDeque::new(),
            is_end: false,
            has_named: false,
            has_fitted: false,
        }
    }

    /// Whether it is from before leaves named the hashes of events, and of one that was gone by then.
    pub(super) fn names_none(&mut self, found: &RawLeaf) -> bool {
        self.has_named |= found.head != GENESIS.as_bytes();
        !self.has_named
    }

    /// The next one, of event `seq` at most.
    pub(super) fn take_upto(
        &mut self,
        view: &mut TrailView,
        seq: i64,
    ) -> Result<Option<RawLeaf>, StoreError> {
        if self.read.is_empty() && !self.is_end {
            let (after, log) = (self.after, &self.log.id);
            let found = view.chain(self.of, |chain| chain.find_leaves(log, (after, STEP)))?;
            self.is_end = found.is_empty();
            self.after = found.last().map_or(self.after, |last| (last.seq, last.idx));
            self.read.extend(found);
        }
        Ok(self.read.pop_front_if(|leaf| leaf.seq <= seq))
    }

    /// Whether its node is made of what it names.
    pub(super) fn fits(&mut self, found: &RawLeaf, (salt, org): (&[u8; 32], Option<&OrgId>)) -> bool {
        let right = Hash::from_bytes(&found.head).map(|head| leaf(salt, org, found.seq, &head));
        let fits = right.is_some_and(|right| found.hash.as_deref() == Some(right.as_bytes()));
        self.has_fitted |= fits;
        fits
    }

    /// What was altered where a leaf names what its node is not made of: its row, or the salt where none of the chain's fits.
    pub(super) fn misplaced(
        &mut self,
        view: &mut TrailView,
        found: &RawLeaf,
        made_of: (&[u8; 32], Option<&OrgId>),
        whose: &str,
    ) -> Result<Wrong, StoreError> {
        let mut others = 0;
        while !self.has_fitted
            && found.hash.is_some()
            && let Some(other) = self.take_upto(view, i64::MAX)?
        {
            others += 1;
            self.fits(&other, made_of);
        }
        if self.has_fitted || others == 0 {
            return Ok(self.altered(found, whose));
        }
        Ok(Wrong::Other(format!(
            "altered: the salt of {whose} in audit_chains, or what each of its leaves of the log {} names",
            self.log.origin
        )))
    }

    pub(super) fn altered(&self, found: &RawLeaf, whose: &str) -> Wrong {
        let RawLeaf { idx, seq, .. } = found;
        Wrong::Other(format!(
            "altered: leaf {idx} of the log {}, or that it is of event {seq} of {whose}",
            self.log.origin
        ))
    }

    /// Who speaks of the event of leaf `idx`.
    pub(super) fn told(&self, view: &mut TrailView, idx: i64) -> Result<String, StoreError> {
        let over = view.log(|log| log.find_checkpoints(&self.log.id, (idx, 1)))?;
        Ok(match over.first() {
            Some(checkpoint) => format!("the checkpoint of size {}", checkpoint.size),
            None => format!("leaf {idx} of the log"),
        })
    }
}
