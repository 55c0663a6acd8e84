//! The Merkle tree of a log (RFC 6962, RFC 9162): what its nodes hash, which of them a root or a proof is made of,
//! and how a proof is verified. Whole subtrees never change, so they are what is kept.

use sha2::{Digest, Sha256};

use crate::audit::chain::Hash;

/// `SHA-256(0x00 ‖ data)`.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
}

/// `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of a tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// A whole subtree of `2^level` leaves, number `idx` of its level: node `idx` of level 0 is leaf `idx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Its height.
    pub level: u32,
    /// Its number, from 0.
    pub idx: u64,
}

/// Which whole subtrees some hashes are made of: they are looked up first, then the hashes are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan(Vec<Vec<Node>>);

impl Plan {
    /// The root of the first `size` leaves: one hash, none for an empty tree.
    pub fn root(size: u64) -> Self {
        Self(if size == 0 { Vec::new() } else { vec![cover(0, size)] })
    }

    /// The inclusion proof of leaf `index` in the tree of `size` (RFC 9162 section 2.1.3.1); empty where there is no
    /// such leaf.
    pub fn inclusion(index: u64, size: u64) -> Self {
        let mut proof = Vec::new();
        let (mut begin, mut end) = if index < size { (0, size) } else { (0, 0) };
        while end - begin > 1 {
            let middle = begin + left_of(end - begin);
            if index < middle {
                proof.push(cover(middle, end));
                end = middle;
            } else {
                proof.push(cover(begin, middle));
                begin = middle;
            }
        }
        proof.reverse();
        Self(proof)
    }

    /// The consistency proof from `old` leaves to `new` (RFC 9162 section 2.1.4.1); empty where they are as many, or
    /// there were none.
    pub fn consistency(old: u64, new: u64) -> Self {
        let mut proof = Vec::new();
        if old == 0 || old >= new {
            return Self(proof);
        }
        let (mut begin, mut end, mut is_whole) = (0, new, true);
        while end != old {
            let middle = begin + left_of(end - begin);
            if old <= middle {
                proof.push(cover(middle, end));
                end = middle;
            } else {
                proof.push(cover(begin, middle));
                begin = middle;
                is_whole = false;
            }
        }
        if !is_whole {
            proof.push(cover(begin, end));
        }
        proof.reverse();
        Self(proof)
    }

    /// The subtrees that are to be looked up.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        self.0.iter().flatten().copied()
    }

    /// The hashes, from what was looked up; `None` if one is not there.
    pub fn hashes(&self, found: impl Fn(Node) -> Option<Hash>) -> Option<Vec<Hash>> {
        self.0
            .iter()
            .map(|nodes| fold(nodes.iter().map(|node| found(*node)).collect::<Option<_>>()?))
            .collect()
    }
}

/// The leaves of the left side of a tree of `size` > 1: the largest power of two below it.
fn left_of(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The whole subtrees that the leaves from `begin` to before `end` are made of, left to right. `begin` is where the
/// recursion of RFC 6962 puts it: each subtree begins at a multiple of its size.
fn cover(mut begin: u64, end: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    while begin < end {
        let level = (end - begin).ilog2();
        nodes.push(Node { level, idx: begin >> level });
        begin += 1 << level;
    }
    nodes
}

/// One hash over neighbours, each at most as large as the one before.
fn fold(hashes: Vec<Hash>) -> Option<Hash> {
    hashes.into_iter().rev().reduce(|right, left| node_hash(&left, &right))
}

/// The right edge of a tree: what is needed to append to it.
#[derive(Clone, Debug)]
pub struct Frontier {
    size: u64,
    edge: Vec<(Node, Hash)>,
}

impl Frontier {
    /// That of the tree of `size`, from [`Plan::root`]'s nodes; `None` if one is not there.
    pub fn of(size: u64, found: impl Fn(Node) -> Option<Hash>) -> Option<Self> {
        let edge =
            cover(0, size).into_iter().map(|node| Some((node, found(node)?))).collect::<Option<_>>()?;
        Some(Self { size, edge })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf. Answers the subtrees that are whole from now on, the leaf first.
    pub fn append(&mut self, leaf: Hash) -> Vec<(Node, Hash)> {
        let mut node = (Node { level: 0, idx: self.size }, leaf);
        let mut whole = vec![node];
        while let Some((left, hash)) = self.edge.pop_if(|(left, _)| left.level == node.0.level) {
            node = (Node { level: left.level + 1, idx: left.idx >> 1 }, node_hash(&hash, &node.1));
            whole.push(node);
        }
        self.edge.push(node);
        self.size += 1;
        whole
    }

    /// The root.
    pub fn root(&self) -> Hash {
        fold(self.edge.iter().map(|(_, hash)| *hash).collect()).unwrap_or_else(empty_root)
    }
}

/// Whether `proof` shows that `leaf` is number `index` of the tree of `size` with that root (RFC 9162 section
/// 2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `new` leaves begins with the tree of `old` (RFC 9162 section 2.1.4.2). Every
/// tree begins with the empty one, and with itself: the proof of that is empty.
pub fn verify_consistency(old: u64, new: u64, old_root: &Hash, new_root: &Hash, proof: &[Hash]) -> bool {
    if old > new {
        return false;
    }
    if old == new || old == 0 {
        let is_same = if old == new { old_root == new_root } else { *old_root == empty_root() };
        return is_same && proof.is_empty() && (new != 0 || *new_root == empty_root());
    }
    // The tree of a power of two is a whole subtree of the new one, and begins its own proof.
    let mut path = old.is_power_of_two().then_some(old_root).into_iter().chain(proof);
    let (Some(first), false) = (path.next(), proof.is_empty()) else { return false };
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let (mut of_old, mut of_new) = (*first, *first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (of_old, of_new) = (node_hash(sibling, &of_old), node_hash(sibling, &of_new));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            of_new = node_hash(&of_new, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && of_old == *old_root && of_new == *new_root
}

#[cfg(test)]
mod tests;
