//! What an org is told of the log: its own last leaf, the proof that the newest checkpoint holds it, and that the
//! newest checkpoint goes on from one that a witness has. Of others' leaves it sees hashes alone.

use diesel::prelude::*;

use crate::audit::{Hash, Node, Plan, Since};
use crate::ids::LogId;
use crate::store::error::StoreError;
use crate::store::logs::find_logs;
use crate::store::schema::{audit_chains, audit_checkpoints, audit_leaves, audit_witnesses};
use crate::store::tree::{find_newest, find_nodes, from_number, to_number};
use crate::store::tx::Tx;

/// The newest checkpoint, and what it says of one org.
#[derive(Clone, Debug)]
pub struct OrgProof {
    /// The verifier key of the log.
    pub public_key: String,
    /// How many leaves the checkpoint stands over.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// The org's last leaf under it; none while no event of the org's is in the log.
    pub leaf: Option<OrgLeaf>,
    /// The newest checkpoint that a witness has taken.
    pub witnessed: Option<Witnessed>,
    /// That the checkpoint goes on from one of the size that was asked for, where it is no less.
    pub since: Option<Since>,
}

/// An org's last leaf.
#[derive(Clone, Debug)]
pub struct OrgLeaf {
    /// What keeps others from telling whose leaves these are.
    pub salt: [u8; 32],
    /// The leaf's number in the log, from 0.
    pub index: u64,
    /// The number of the event that was the chain's last.
    pub seq: i64,
    /// The leaf's hash.
    pub hash: Hash,
    /// That the checkpoint's root holds it (RFC 9162 section 2.1.3).
    pub inclusion: Vec<Hash>,
}

/// A checkpoint that a witness has.
#[derive(Clone, Debug)]
pub struct Witnessed {
    /// How many leaves it stands over.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// That the newest checkpoint goes on from it (RFC 9162 section 2.1.4).
    pub consistency: Vec<Hash>,
}

impl Tx<'_> {
    /// The newest checkpoint of the log in use, and its proofs for the scope's org; `None` before the first.
    pub fn find_proof(&mut self) -> Result<Option<OrgProof>, StoreError> {
        self.find_proof_from(None, None)
    }

    /// The same by the first leaf of event `seq` or a later one, where there is one; with the proof that it goes on from
    /// a checkpoint of size `since`.
    pub(super) fn find_proof_from(
        &mut self,
        seq: Option<i64>,
        since: Option<u64>,
    ) -> Result<Option<OrgProof>, StoreError> {
        let Some(log) = find_logs(self.db)?.pop() else { return Ok(None) };
        let Some(newest) = find_newest(self.db, &log.id)? else { return Ok(None) };
        let leaf = self.find_leaf(&log.id, newest.size, seq)?;
        let witnessed = self.find_witnessed(&log.id, newest.size)?;
        let since = since.filter(|since| *since <= newest.size);
        let since = since.map(|size| {
            let consistency = self.find_consistency(&log.id, size, newest.size)?;
            Ok::<_, StoreError>(Since { size, consistency })
        });
        let since = since.transpose()?;
        let (size, note) = (newest.size, newest.note);
        Ok(Some(OrgProof { public_key: log.public_key, size, note, leaf, witnessed, since }))
    }

    fn find_leaf(
        &mut self,
        log: &LogId,
        size: u64,
        from: Option<i64>,
    ) -> Result<Option<OrgLeaf>, StoreError> {
        let org = self.scope.org().as_str();
        // Of no leaves that no checkpoint stands over yet.
        let below = to_number(size)?;
        let of_org = || {
            audit_leaves::table
                .filter(audit_leaves::org_id.eq(org))
                .filter(audit_leaves::log_id.eq(log.as_str()))
                .filter(audit_leaves::idx.lt(below))
                .select((audit_leaves::idx, audit_leaves::seq))
        };
        let mut row: Option<(i64, i64)> = None;
        if let Some(from) = from {
            let next = of_org().filter(audit_leaves::seq.ge(from)).order(audit_leaves::seq.asc());
            row = next.first(self.db).optional()?;
        }
        if row.is_none() {
            row = of_org().order(audit_leaves::seq.desc()).first(self.db).optional()?;
        }
        let Some((index, seq)) = row else { return Ok(None) };
        let index = from_number(index)?;
        let salt: Vec<u8> = audit_chains::table.find(org).select(audit_chains::salt).first(self.db)?;
        let salt = salt.try_into().map_err(|_| StoreError::Damaged("audit_chains"))?;
        let (plan, own) = (Plan::inclusion(index, size), Node { level: 0, idx: index });
        let nodes = find_nodes(self.db, log, plan.nodes().chain([own]))?;
        let inclusion = plan.hashes(|node| nodes.get(&node).copied());
        let (Some(hash), Some(inclusion)) = (nodes.get(&own).copied(), inclusion) else {
            return Err(StoreError::Damaged("audit_nodes"));
        };
        Ok(Some(OrgLeaf { salt, index, seq, hash, inclusion }))
    }

    fn find_witnessed(&mut self, log: &LogId, size: u64) -> Result<Option<Witnessed>, StoreError> {
        let row: Option<(i64, String)> = audit_witnesses::table
            .inner_join(
                audit_checkpoints::table.on(audit_checkpoints::log_id
                    .eq(audit_witnesses::log_id)
                    .and(audit_checkpoints::size.eq(audit_witnesses::size))),
            )
            .filter(audit_witnesses::log_id.eq(log.as_str()))
            .filter(audit_witnesses::size.le(to_number(size)?))
            .order(audit_witnesses::size.desc())
            .select((audit_checkpoints::size, audit_checkpoints::note))
            .first(self.db)
            .optional()?;
        let Some((old, note)) = row else { return Ok(None) };
        let old = from_number(old)?;
        let consistency = self.find_consistency(log, old, size)?;
        Ok(Some(Witnessed { size: old, note, consistency }))
    }

    fn find_consistency(&mut self, log: &LogId, old: u64, size: u64) -> Result<Vec<Hash>, StoreError> {
        let plan = Plan::consistency(old, size);
        let nodes = find_nodes(self.db, log, plan.nodes())?;
        plan.hashes(|node| nodes.get(&node).copied()).ok_or(StoreError::Damaged("audit_nodes"))
    }
}
