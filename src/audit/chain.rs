//! A chain per org: each event's hash covers the one before it, so none can be taken out or changed
//! without every later hash telling.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::audit::tree::leaf_hash;
use crate::ids::OrgId;

/// SHA-256 over an event and all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub(super) [u8; 32]);

/// What the first event of a chain follows.
pub const GENESIS: Hash = Hash([0; 32]);

impl Hash {
    /// As the database keeps it; `None` unless it is 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The hash of event number `seq` (from 1) of `org` (`None`: the vault's own chain):
///
/// ```text
/// SHA-256(part("pawl/v1/audit") ‖ part(org) ‖ seq as i64 big-endian ‖ previous hash ‖ part(event))
/// part(x) = length of x in bytes as u64 big-endian ‖ x
/// ```
pub fn link(org: Option<&OrgId>, seq: i64, previous: &Hash, event: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    part(&mut hasher, b"pawl/v1/audit");
    part(&mut hasher, org.map_or("", OrgId::as_str).as_bytes());
    hasher.update(seq.to_be_bytes());
    hasher.update(previous.0);
    part(&mut hasher, event);
    Hash(hasher.finalize().into())
}

/// The leaf of the log (RFC 6962) that says that the chain of `org` had `seq` events and the last had the hash `head`.
/// Without `salt`, which the org alone is told, nobody can tell whose it is:
///
/// ```text
/// leaf = SHA-256(0x00 ‖ SHA-256(part("pawl/v1/leaf") ‖ salt ‖ part(org) ‖ seq as i64 big-endian ‖ head))
/// ```
pub fn leaf(salt: &[u8; 32], org: Option<&OrgId>, seq: i64, head: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    part(&mut hasher, b"pawl/v1/leaf");
    hasher.update(salt);
    part(&mut hasher, org.map_or("", OrgId::as_str).as_bytes());
    hasher.update(seq.to_be_bytes());
    hasher.update(head.0);
    leaf_hash(&hasher.finalize())
}

fn part(hasher: &mut Sha256, bytes: &[u8]) {
    // usize is at most 64 bits on every target there is.
    hasher.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    hasher.update(bytes);
}
