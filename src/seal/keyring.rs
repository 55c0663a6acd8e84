//! The keys that open, the one that seals, and the formula.
//!
//! ```text
//! row_key = HKDF-SHA256(ikm = the master key's 32 bytes, no salt, L = 32, info = the binding)
//! sealed  = Fernet(base64url(row_key)).encrypt(secret as UTF-8)
//! ```
//!
//! Fernet: <https://github.com/fernet/spec/blob/master/Spec.md>. HKDF: RFC 5869.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use fernet::Fernet;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::clock::{NoRandomness, fill_random};
use crate::ids::KeyId;
use crate::memory::{LockedBytes, on_clean_stack};
use crate::metrics;
use crate::seal::binding::Binding;
use crate::secret::Secret;

/// 32 bytes that every row key is derived from. They stay where they were first put, in a page that is not
/// swapped out, and are wiped when dropped.
pub struct MasterKey(LockedBytes);

const KEY_BYTES: usize = 32;

/// The text is no Fernet key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Fernet key: 32 bytes in base64url are wanted")]
pub struct NotAKey;

impl MasterKey {
    /// A fresh one from the system's randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut key = LockedBytes::zeroed(KEY_BYTES);
        fill_random(key.expose_mut())?;
        Ok(Self(key))
    }

    /// Reads a Fernet key: 32 bytes in base64url with padding.
    pub fn parse(text: &Secret) -> Result<Self, NotAKey> {
        on_clean_stack(|| {
            let bytes = Zeroizing::new(URL_SAFE.decode(text.expose()).map_err(|_| NotAKey)?);
            let mut key = LockedBytes::zeroed(KEY_BYTES);
            if bytes.len() != KEY_BYTES {
                return Err(NotAKey);
            }
            key.expose_mut().copy_from_slice(&bytes);
            Ok(Self(key))
        })
    }

    /// As a Fernet key, to be kept in the key's source.
    pub fn to_text(&self) -> Secret {
        on_clean_stack(|| Secret::new(URL_SAFE.encode(self.0.expose())))
    }

    /// Names the key without telling it: the first 8 bytes, in hex, of
    /// HKDF-SHA256(key, info `pawl/v1/fingerprint`).
    pub fn fingerprint(&self) -> Fingerprint {
        on_clean_stack(|| {
            let okm = self.derive(b"pawl/v1/fingerprint");
            Fingerprint(okm.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
        })
    }

    /// Leaves key material on the stack: to be called on one that is cleaned.
    pub(super) fn derive(&self, info: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut okm = Zeroizing::new([0; 32]);
        let derived = Hkdf::<Sha256>::new(None, self.0.expose()).expand(info, okm.as_mut());
        // RFC 5869 allows 255 × 32 bytes; 32 always fit.
        debug_assert!(derived.is_ok());
        okm
    }

    fn row(&self, binding: &Binding) -> Option<Fernet> {
        let row_key = self.derive(&binding.info());
        Fernet::new(&Zeroizing::new(URL_SAFE.encode(row_key.as_ref())))
    }
}

/// A key's public name, 16 hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// As the database keeps it.
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A sealed value: a standard Fernet token, and the key it was sealed under. Not secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The Fernet token.
    pub token: String,
    /// Which master key opens it.
    pub key_id: KeyId,
}

/// Why a sealed value stays shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenRefused {
    /// The ring does not hold the key that the value names.
    #[error("the value names a key that is not held")]
    UnknownKey,
    /// The value was not sealed for this place, or was changed.
    #[error("the value does not open where it lies")]
    DoesNotOpen,
}

impl OpenRefused {
    fn name(self) -> &'static str {
        match self {
            Self::UnknownKey => "key-not-held",
            Self::DoesNotOpen => "does-not-open",
        }
    }
}

/// Sealing failed; nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value could not be sealed")]
pub struct SealFailed;

/// The keys held, of which one seals.
pub struct Keyring {
    current: KeyId,
    keys: BTreeMap<String, MasterKey>,
}

impl Keyring {
    /// A ring of `keys` in which `current` seals; `None` when it is not among them.
    pub fn new(current: KeyId, keys: BTreeMap<String, MasterKey>) -> Option<Self> {
        keys.contains_key(current.as_str()).then_some(Self { current, keys })
    }

    /// The key that seals.
    pub fn current(&self) -> &KeyId {
        &self.current
    }

    /// Whether it holds the key of that name.
    pub fn holds(&self, id: &KeyId) -> bool {
        self.keys.contains_key(id.as_str())
    }

    /// Takes a key out; never the one that seals.
    pub fn take_out(&mut self, id: &KeyId) {
        if *id != self.current {
            self.keys.remove(id.as_str());
        }
    }

    /// Every key, with its id.
    pub(super) fn held(&self) -> impl Iterator<Item = (KeyId, &MasterKey)> {
        self.keys.iter().filter_map(|(id, key)| Some((KeyId::parse(id).ok()?, key)))
    }

    /// Seals `secret` for the place that `binding` names.
    pub fn seal(&self, binding: &Binding, secret: &Secret) -> Result<Sealed, SealFailed> {
        let key = self.keys.get(self.current.as_str()).ok_or(SealFailed)?;
        on_clean_stack(|| {
            let row = key.row(binding).ok_or(SealFailed)?;
            Ok(Sealed { token: row.encrypt(secret.expose().as_bytes()), key_id: self.current.clone() })
        })
    }

    /// Opens `sealed` if it was sealed for the place that `binding` names, with the key it names
    /// and no other.
    pub fn open(&self, binding: &Binding, sealed: &Sealed) -> Result<Secret, OpenRefused> {
        on_clean_stack(|| self.try_open(binding, sealed))
            .inspect_err(|refused| metrics::not_opened(refused.name()))
    }

    fn try_open(&self, binding: &Binding, sealed: &Sealed) -> Result<Secret, OpenRefused> {
        let key = self.keys.get(sealed.key_id.as_str()).ok_or(OpenRefused::UnknownKey)?;
        let row = key.row(binding).ok_or(OpenRefused::DoesNotOpen)?;
        let bytes =
            row.decrypt_at_time(&sealed.token, None, NO_CLOCK).map_err(|_| OpenRefused::DoesNotOpen)?;
        String::from_utf8(bytes).map(Secret::new).map_err(|not_text| {
            not_text.into_bytes().zeroize();
            OpenRefused::DoesNotOpen
        })
    }
}

impl Keyring {
    /// Whether `sealed` opens at the place that `binding` names. What was opened to find out is
    /// wiped at once.
    pub fn prove(&self, binding: &Binding, sealed: &Sealed) -> Result<(), OpenRefused> {
        self.open(binding, sealed).map(drop)
    }
}

/// A stored secret has no clock. The crate refuses tokens dated more than 60 s ahead of the time it
/// is given, so it is given the latest that it can add to.
pub(super) const NO_CLOCK: u64 = u64::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IssuerKeyId;

    fn ring(id: &str) -> Keyring {
        let keys = BTreeMap::from([(id.to_owned(), MasterKey::generate().unwrap())]);
        Keyring::new(KeyId::parse(id).unwrap(), keys).unwrap()
    }

    #[test]
    fn opens_where_it_was_sealed_and_nowhere_else() {
        let ring = ring("k1");
        let here = IssuerKeyId::new(crate::clock::Moment::from_micros(0)).unwrap();
        let there = IssuerKeyId::new(crate::clock::Moment::from_micros(0)).unwrap();
        let sealed = ring.seal(&Binding::issuer_key(&here), &Secret::new("é".into())).unwrap();
        assert_eq!(ring.open(&Binding::issuer_key(&here), &sealed).ok().unwrap().expose(), "é");
        assert_eq!(ring.open(&Binding::issuer_key(&there), &sealed).err(), Some(OpenRefused::DoesNotOpen));
    }

    #[test]
    fn opens_by_the_named_key_and_never_by_trial() {
        let (one, other) = (ring("k1"), ring("k2"));
        let id = IssuerKeyId::new(crate::clock::Moment::from_micros(0)).unwrap();
        let sealed = one.seal(&Binding::issuer_key(&id), &Secret::new("x".into())).unwrap();
        assert_eq!(other.open(&Binding::issuer_key(&id), &sealed).err(), Some(OpenRefused::UnknownKey));
        let renamed = Sealed { key_id: KeyId::parse("k2").unwrap(), ..sealed };
        assert_eq!(other.open(&Binding::issuer_key(&id), &renamed).err(), Some(OpenRefused::DoesNotOpen));
    }

    #[test]
    fn a_token_from_the_future_still_opens() {
        let ring = ring("k1");
        let id = IssuerKeyId::new(crate::clock::Moment::from_micros(0)).unwrap();
        let binding = Binding::issuer_key(&id);
        let row = ring.keys["k1"].row(&binding).unwrap();
        let token = row.encrypt_at_time(b"later", 4_000_000_000);
        let sealed = Sealed { token, key_id: KeyId::parse("k1").unwrap() };
        assert_eq!(ring.open(&binding, &sealed).ok().unwrap().expose(), "later");
    }

    #[test]
    fn a_damaged_token_is_an_error_and_never_a_panic() {
        let ring = ring("k1");
        let id = IssuerKeyId::new(crate::clock::Moment::from_micros(0)).unwrap();
        let binding = Binding::issuer_key(&id);
        let whole = ring.seal(&binding, &Secret::new("a secret".into())).unwrap();
        // without its padding a token is still the same token
        for cut in 0..whole.token.trim_end_matches('=').len() {
            let sealed = Sealed { token: whole.token[..cut].into(), ..whole.clone() };
            assert_eq!(ring.open(&binding, &sealed).err(), Some(OpenRefused::DoesNotOpen), "cut at {cut}");
        }
    }

    #[test]
    fn a_fingerprint_names_and_does_not_tell() {
        let key = MasterKey::parse(&Secret::new(URL_SAFE.encode([7; 32]))).ok().unwrap();
        assert_eq!(key.fingerprint().as_str().len(), 16);
        assert_eq!(key.fingerprint(), key.fingerprint());
        assert!(!key.to_text().expose().contains(key.fingerprint().as_str()));
        for wrong in ["", "c2hvcnQ=", "not base64!"] {
            assert_eq!(MasterKey::parse(&Secret::new(wrong.into())).err(), Some(NotAKey));
        }
    }
}
