//! A log's tree as it is stored: leaves, whole subtrees, checkpoints. It only grows, in transactions that hold the
//! vault's own chain; who appends to it, sees of every chain how far it has come and no event.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use crate::audit::{Checkpoint, Frontier, Hash, Node, Plan, leaf};
use crate::clock::Moment;
use crate::ids::{LogId, OrgId};
use crate::store::db::{Db, each};
use crate::store::error::StoreError;
use crate::store::schema::{audit_checkpoints, audit_leaves, audit_nodes};
use crate::store::scopes::NarrowRole;
use crate::store::tx::Store;
use crate::store::upkeep::Upkeep;

/// A checkpoint, as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// How many leaves the log had.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// When it was made.
    pub created_at: Moment,
}

/// A chain whose end the log does not have yet.
pub struct Moved {
    /// `None`: the vault's own.
    org: Option<OrgId>,
    salt: [u8; 32],
    seq: i64,
    head: Hash,
}

impl Moved {
    fn of(row: &MovedRow) -> Option<Self> {
        let org = (!row.org_id.is_empty()).then(|| OrgId::parse(&row.org_id)).transpose().ok()?;
        let (salt, head) = (row.salt.as_slice().try_into().ok()?, Hash::from_bytes(&row.hash)?);
        Some(Self { org, salt, seq: row.seq, head })
    }
}

/// What became of a log that grew.
pub struct Grown {
    /// Its newest checkpoint.
    pub newest: Option<StoredCheckpoint>,
}

/// What was found of a log that is to grow.
pub struct Growth {
    /// How many leaves it has.
    pub size: u64,
    /// Its newest checkpoint.
    pub newest: Option<StoredCheckpoint>,
    /// Chains that moved, in order of their orgs, and no more than were asked for.
    pub moved: Vec<Moved>,
    /// How many more did, of which a row is damaged: nothing can be said of those, and all of the others.
    pub damaged: usize,
    /// Whose chain was looked at last; `None` where there are no more.
    pub last: Option<String>,
}

/// Signs a checkpoint: answers the note.
pub type Sign<'a> = &'a dyn Fn(&Checkpoint) -> String;

#[derive(QueryableByName)]
struct MovedRow {
    #[diesel(sql_type = Text)]
    org_id: String,
    #[diesel(sql_type = Binary)]
    salt: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
}

/// A look into an index for each chain, whatever the planner thinks of the tables.
const MOVED_ON_SQLITE: &str = "
    SELECT c.org_id, c.salt, e.seq, e.hash FROM audit_chains AS c CROSS JOIN audit_events AS e
    WHERE c.org_id >= ? AND e.org_id = c.org_id
        AND e.seq = (SELECT max(seq) FROM audit_events WHERE org_id = c.org_id)
        AND e.seq > coalesce((SELECT max(seq) FROM audit_leaves WHERE org_id = c.org_id AND log_id = ?), 0)
    ORDER BY c.org_id LIMIT ?";
#[cfg(feature = "postgres")]
const MOVED_ON_POSTGRES: &str = "
    SELECT c.org_id, c.salt, e.seq, e.hash FROM audit_chains AS c
    CROSS JOIN LATERAL (SELECT seq, hash FROM audit_events WHERE org_id = c.org_id ORDER BY seq DESC LIMIT 1) AS e
    WHERE c.org_id >= $1
        AND e.seq > coalesce((SELECT max(seq) FROM audit_leaves WHERE org_id = c.org_id AND log_id = $2), 0)
    ORDER BY c.org_id LIMIT $3";

impl Store {
    /// How many chains one transaction takes into a log: on SQLite nobody else writes meanwhile, so that it has to be
    /// short enough for a lend to wait for it.
    pub fn leaves_at_once(&self) -> i64 {
        if self.has_one_writer() { 100 } else { 1000 }
    }
}

impl Upkeep<'_> {
    /// How far the log has come, and at most `limit` chains from `from` on in order of their orgs that are past it.
    pub fn find_growth(&mut self, log: &LogId, from: &str, limit: i64) -> Result<Growth, StoreError> {
        self.enter(NarrowRole::Log)?;
        // In this order: what another vault signs between the two is over no more leaves than are found.
        let newest = find_newest(self.db, log)?;
        let size = find_size(self.db, log)?;
        let text = match self.db {
            Db::Sqlite(_) => MOVED_ON_SQLITE,
            #[cfg(feature = "postgres")]
            Db::Postgres(_) => MOVED_ON_POSTGRES,
        };
        let rows: Vec<MovedRow> = each!(self.db, db => {
            let moved = diesel::sql_query(text).bind::<Text, _>(from).bind::<Text, _>(log.as_str());
            moved.bind::<BigInt, _>(limit).load(db)?
        });
        let moved: Vec<Moved> = rows.iter().filter_map(Moved::of).collect();
        let is_whole = i64::try_from(rows.len()).is_ok_and(|found| found < limit);
        let last = rows.last().filter(|_| !is_whole).map(|row| row.org_id.clone());
        Ok(Growth { size, newest, damaged: rows.len() - moved.len(), moved, last })
    }

    /// Appends a leaf for each of `moved` to a log that has `size` of them, and where it is told who signs a
    /// checkpoint, if the last one is not of this size already. `None`: another vault was faster, and nothing
    /// was done. Nothing is signed over a tree that does not go on from `told`, the last checkpoint that was known.
    pub fn grow_log(
        &mut self,
        (log, origin): (&LogId, &str),
        size: u64,
        moved: &[Moved],
        told: Option<&Checkpoint>,
        (sign, at): (Option<Sign>, Moment),
    ) -> Result<Option<Grown>, StoreError> {
        self.enter(NarrowRole::Log)?;
        if let Some(told) = told
            && self.find_root(log, told.size)? != Some(told.root)
        {
            return Err(StoreError::Damaged("audit_nodes"));
        }
        if find_size(self.db, log)? != size {
            return Ok(None);
        }
        let nodes = find_nodes(self.db, log, Plan::root(size).nodes())?;
        let frontier = Frontier::of(size, |node| nodes.get(&node).copied());
        let mut frontier = frontier.ok_or(StoreError::Damaged("audit_nodes"))?;
        let (mut leaves, mut whole) = (Vec::with_capacity(moved.len()), Vec::new());
        for chain in moved {
            leaves.push(NewLeaf {
                log_id: log.to_string(),
                idx: to_number(frontier.size())?,
                org_id: chain.org.as_ref().map_or("", OrgId::as_str).to_owned(),
                seq: chain.seq,
                head: chain.head.as_bytes().to_vec(),
            });
            for (node, hash) in frontier.append(leaf(&chain.salt, chain.org.as_ref(), chain.seq, &chain.head))
            {
                whole.push(NewNode::of(log, node, &hash)?);
            }
        }
        insert(self.db, leaves, whole)?;
        let newest = find_newest(self.db, log)?;
        let Some(sign) = sign.filter(|_| newest.as_ref().is_none_or(|of| of.size != frontier.size())) else {
            return Ok(Some(Grown { newest }));
        };
        let root = frontier.root();
        let note = sign(&Checkpoint { origin: origin.to_owned(), size: frontier.size(), root });
        diesel::insert_into(audit_checkpoints::table)
            .values((
                audit_checkpoints::log_id.eq(log.as_str()),
                audit_checkpoints::size.eq(to_number(frontier.size())?),
                audit_checkpoints::root.eq(root.as_bytes()),
                audit_checkpoints::note.eq(&note),
                audit_checkpoints::created_at.eq(at.micros()),
            ))
            .execute(self.db)?;
        let newest = StoredCheckpoint { size: frontier.size(), note, created_at: at };
        Ok(Some(Grown { newest: Some(newest) }))
    }

    /// How many leaves the log has.
    pub fn find_log_size(&mut self, log: &LogId) -> Result<u64, StoreError> {
        find_size(self.db, log)
    }

    /// The log's newest checkpoint.
    pub fn find_newest_checkpoint(&mut self, log: &LogId) -> Result<Option<StoredCheckpoint>, StoreError> {
        find_newest(self.db, log)
    }

    /// The root over the log's first `size` leaves; `None` where its nodes are not there.
    pub fn find_root(&mut self, log: &LogId, size: u64) -> Result<Option<Hash>, StoreError> {
        let plan = Plan::root(size);
        let nodes = find_nodes(self.db, log, plan.nodes())?;
        let root = plan.hashes(|node| nodes.get(&node).copied());
        Ok(root.map(|root| root.first().copied().unwrap_or_else(crate::audit::empty_root)))
    }
}

#[derive(Insertable)]
#[diesel(table_name = audit_leaves)]
struct NewLeaf {
    log_id: String,
    idx: i64,
    org_id: String,
    seq: i64,
    head: Vec<u8>,
}

#[derive(Insertable)]
#[diesel(table_name = audit_nodes)]
struct NewNode {
    log_id: String,
    level: i64,
    idx: i64,
    hash: Vec<u8>,
}

impl NewNode {
    fn of(log: &LogId, node: Node, hash: &Hash) -> Result<Self, StoreError> {
        let (level, idx) = (i64::from(node.level), to_number(node.idx)?);
        Ok(Self { log_id: log.to_string(), level, idx, hash: hash.as_bytes().to_vec() })
    }
}

/// PostgreSQL takes them in one statement; SQLite is the faster with one it remembers.
fn insert(db: &mut Db, leaves: Vec<NewLeaf>, nodes: Vec<NewNode>) -> Result<(), StoreError> {
    if leaves.is_empty() {
        return Ok(());
    }
    match db {
        Db::Sqlite(db) => {
            for leaf in leaves {
                diesel::insert_into(audit_leaves::table).values(leaf).execute(db)?;
            }
            for node in nodes {
                diesel::insert_into(audit_nodes::table).values(node).execute(db)?;
            }
        }
        #[cfg(feature = "postgres")]
        Db::Postgres(db) => {
            diesel::insert_into(audit_leaves::table).values(leaves).execute(db)?;
            diesel::insert_into(audit_nodes::table).values(nodes).execute(db)?;
        }
    }
    Ok(())
}

/// Every leaf is a node of level 0.
fn find_size(db: &mut Db, log: &LogId) -> Result<u64, StoreError> {
    let last: Option<i64> = audit_nodes::table
        .filter(audit_nodes::log_id.eq(log.as_str()))
        .filter(audit_nodes::level.eq(0))
        .order(audit_nodes::idx.desc())
        .select(audit_nodes::idx)
        .first(db)
        .optional()
        .map_err(of_nodes)?;
    Ok(last.map(from_number).transpose()?.map_or(0, |last| last + 1))
}

/// A row that can't even be read is damaged as well: that one of the log is, is told from one of a chain.
fn of_nodes(error: diesel::result::Error) -> StoreError {
    match StoreError::from(error) {
        StoreError::Damaged(_) => StoreError::Damaged("audit_nodes"),
        error => error,
    }
}

pub(super) fn find_newest(db: &mut Db, log: &LogId) -> Result<Option<StoredCheckpoint>, StoreError> {
    let row: Option<(i64, String, i64)> = audit_checkpoints::table
        .filter(audit_checkpoints::log_id.eq(log.as_str()))
        .order(audit_checkpoints::size.desc())
        .select((audit_checkpoints::size, audit_checkpoints::note, audit_checkpoints::created_at))
        .first(db)
        .optional()?;
    row.map(|(size, note, at)| {
        Ok(StoredCheckpoint { size: from_number(size)?, note, created_at: Moment::from_micros(at) })
    })
    .transpose()
}

/// Those of `wanted` that are there: a level at a time, of which a proof asks a handful.
pub(super) fn find_nodes(
    db: &mut Db,
    log: &LogId,
    wanted: impl Iterator<Item = Node>,
) -> Result<BTreeMap<Node, Hash>, StoreError> {
    let mut levels: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    for node in wanted {
        levels.entry(node.level).or_default().push(to_number(node.idx)?);
    }
    let mut found = BTreeMap::new();
    for (level, idx) in levels {
        let rows: Vec<(i64, Vec<u8>)> = audit_nodes::table
            .filter(audit_nodes::log_id.eq(log.as_str()))
            .filter(audit_nodes::level.eq(i64::from(level)))
            .filter(audit_nodes::idx.eq_any(idx))
            .select((audit_nodes::idx, audit_nodes::hash))
            .load(db)
            .map_err(of_nodes)?;
        for (idx, hash) in rows {
            let hash = Hash::from_bytes(&hash).ok_or(StoreError::Damaged("audit_nodes"))?;
            found.insert(Node { level, idx: from_number(idx)? }, hash);
        }
    }
    Ok(found)
}

pub(super) fn from_number(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Damaged("the log"))
}

pub(super) fn to_number(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Damaged("the log"))
}
