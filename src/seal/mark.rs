//! What a request is recognized by when it comes again. A plain hash of a body that holds a password
//! would let whoever has the database guess it; this takes the master key.
//!
//! ```text
//! mark = HMAC-SHA256(HKDF-SHA256(ikm = the master key's 32 bytes, no salt, L = 32, info = "pawl/v1/repeat"),
//!                    part(x1) ‖ part(x2) ‖ …)
//! part(x) = length of x in bytes as u64 big-endian ‖ x
//! ```

use hmac::digest::CtOutput;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::ids::KeyId;
use crate::memory::on_clean_stack;
use crate::seal::keyring::{Keyring, MasterKey};

/// What a request said, part by part. Holds its secret, if it had one: wiped with the request.
pub struct Said(Vec<Zeroizing<Vec<u8>>>);

impl Said {
    /// These parts, in this order.
    pub fn of(parts: &[&[u8]]) -> Self {
        Self(parts.iter().map(|part| Zeroizing::new(part.to_vec())).collect())
    }
}

/// A request's mark under one master key. Not secret.
pub struct Mark {
    key_id: KeyId,
    mac: CtOutput<Hmac<Sha256>>,
}

impl Mark {
    /// The master key it was made with.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Its 32 bytes, to be kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.mac.clone().into_bytes().to_vec()
    }

    /// Whether `kept`, made with the key of that name, is this mark. Takes the same time whatever differs.
    pub fn is(&self, key_id: &str, kept: &[u8]) -> bool {
        let kept: Option<[u8; 32]> = kept.try_into().ok();
        self.key_id.as_str() == key_id && kept.is_some_and(|kept| self.mac == CtOutput::new(kept.into()))
    }
}

impl Keyring {
    /// The marks of what was said under every key held, the one that seals first.
    pub fn marks(&self, said: &Said) -> Vec<Mark> {
        // The hash keeps the end of what it was given: of a body that holds a secret.
        let mark = |(id, key): (KeyId, &MasterKey)| {
            Some(Mark { key_id: id, mac: on_clean_stack(|| key.mark(&said.0))? })
        };
        let mut marks: Vec<Mark> = self.held().filter_map(mark).collect();
        marks.sort_by_key(|mark| mark.key_id != *self.current());
        marks
    }
}

impl MasterKey {
    fn mark(&self, parts: &[Zeroizing<Vec<u8>>]) -> Option<CtOutput<Hmac<Sha256>>> {
        // An HMAC key may be of any length; 32 bytes always fit.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.derive(b"pawl/v1/repeat").as_ref()).ok()?;
        for part in parts {
            // usize is at most 64 bits on every target there is.
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        Some(mac.finalize())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_mark_tells_every_part_and_needs_its_key() {
        let key = |id: &str| (id.to_owned(), MasterKey::generate().unwrap());
        let keys = BTreeMap::from([key("k1"), key("k2"), key("k3")]);
        let ring = Keyring::new(KeyId::parse("k2").unwrap(), keys).unwrap();
        let marks = ring.marks(&Said::of(&[b"ab", b"c"]));
        let ids: Vec<&str> = marks.iter().map(|mark| mark.key_id().as_str()).collect();
        assert_eq!(ids, ["k2", "k1", "k3"]);
        let kept = ring.marks(&Said::of(&[b"ab", b"c"]))[0].to_bytes();
        assert!(marks[0].is("k2", &kept));
        assert!(!marks[0].is("k1", &kept) && !marks[1].is("k2", &kept) && !marks[1].is("k1", &kept));
        assert!(!marks[0].is("k2", &kept[..31]));
        for other in [&[b"a".as_slice(), b"bc"], &[b"abc".as_slice(), b""]] {
            assert!(!ring.marks(&Said::of(other))[0].is("k2", &kept));
        }
    }
}
