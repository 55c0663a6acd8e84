//! A service's own key, by which it asks for tokens: an Ed25519 pair whose private half never leaves the
//! service's machine. In files it is what `openssl genpkey -algorithm ed25519` makes.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::clock::{NoRandomness, fill_random};
use crate::secret::Secret;

/// PKCS#8 (RFC 8410 section 7) and SubjectPublicKeyInfo (section 4) before the 32 bytes of either half.
const PRIVATE_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// The private half.
pub struct ClientKey {
    seed: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

impl ClientKey {
    /// A fresh pair.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut seed = Zeroizing::new([0; 32]);
        fill_random(seed.as_mut())?;
        // A seed of 32 bytes is always one; the error stands for ring's length check alone.
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map_err(|_| NoRandomness)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| NoRandomness)?;
        Ok(Self { seed, public: PublicKey(public) })
    }

    /// The private half as PKCS#8 in PEM, for a file of the service's own.
    pub fn to_pem(&self) -> Secret {
        let mut der = Zeroizing::new([0; 48]);
        let (prefix, seed) = der.split_at_mut(PRIVATE_PREFIX.len());
        prefix.copy_from_slice(&PRIVATE_PREFIX);
        seed.copy_from_slice(self.seed.as_ref());
        let text = Zeroizing::new(STANDARD.encode(der.as_ref()));
        Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", *text))
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
}

/// The public half.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// The text is no public key that may be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPublicKey {
    /// Not what `pawl client keygen` prints.
    #[error("is no Ed25519 public key in PEM (-----BEGIN PUBLIC KEY-----)")]
    Form,
    /// A point that everybody can sign for.
    #[error("is a key that anybody could sign for")]
    Weak,
}

impl PublicKey {
    /// Reads SubjectPublicKeyInfo in PEM.
    pub fn from_pem(pem: &[u8]) -> Result<Self, NotAPublicKey> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| NotAPublicKey::Form)?;
        let key = der.strip_prefix(&PUBLIC_PREFIX).ok_or(NotAPublicKey::Form)?;
        Self::from_bytes(key.try_into().map_err(|_| NotAPublicKey::Form)?)
    }

    /// Reads what [`PublicKey::to_text`] wrote.
    pub fn from_text(text: &str) -> Result<Self, NotAPublicKey> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotAPublicKey::Form)?;
        Self::from_bytes(bytes.try_into().map_err(|_| NotAPublicKey::Form)?)
    }

    fn from_bytes(key: [u8; 32]) -> Result<Self, NotAPublicKey> {
        if is_weak(&key) { Err(NotAPublicKey::Weak) } else { Ok(Self(key)) }
    }

    /// As the database keeps it: the 32 bytes in base64url without padding, `x` of a JWK.
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// SubjectPublicKeyInfo in PEM.
    pub fn to_pem(&self) -> String {
        let der = [PUBLIC_PREFIX.as_slice(), self.0.as_slice()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// Names it: the first 8 bytes, in hex, of its SHA-256.
    pub fn fingerprint(&self) -> String {
        Sha256::digest(self.0).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

/// The two y of the points of order 8, little-endian; those of order 1, 2 and 4 are 1, p - 1 and 0.
const OF_ORDER_EIGHT: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// Whether the point is of small order, for which one signature fits every message, or its y (255 bits
/// below the sign of x) is not below p = 2^255 - 19, as RFC 8032 section 5.1.3 asks. Ring takes both.
fn is_weak(key: &[u8; 32]) -> bool {
    let mut y = *key;
    y[31] &= 0x7f;
    let is_high = y[31] == 0x7f && y[1..31].iter().all(|byte| *byte == 0xff) && y[0] >= 0xec;
    let is_low = y[1..].iter().all(|byte| *byte == 0) && y[0] <= 1;
    is_high || is_low || OF_ORDER_EIGHT.contains(&y)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack on P5.
    #[test]
    fn a_key_that_anybody_could_sign_for_is_refused() {
        let mut p = [0xff; 32];
        (p[0], p[31]) = (0xed, 0x7f);
        let with = |first: u8, mut key: [u8; 32]| {
            key[0] = first;
            key
        };
        let weak = [with(0, [0; 32]), with(1, [0; 32]), with(0xec, p), p, with(0xee, p), with(0xff, p)];
        for key in weak.into_iter().chain(OF_ORDER_EIGHT) {
            for sign in [0, 0x80] {
                let mut key = key;
                key[31] |= sign;
                assert_eq!(PublicKey::from_bytes(key), Err(NotAPublicKey::Weak), "{key:02x?}");
            }
        }
        assert!(PublicKey::from_bytes(with(0xeb, p)).is_ok());
        assert!(PublicKey::from_bytes(with(2, [0; 32])).is_ok());
    }

    #[test]
    fn what_is_written_is_read() {
        let key = ClientKey::generate().unwrap();
        let public = key.public();
        assert_eq!(PublicKey::from_pem(public.to_pem().as_bytes()).as_ref(), Ok(public));
        assert_eq!(PublicKey::from_text(&public.to_text()).as_ref(), Ok(public));
        assert_eq!(PublicKey::from_pem(key.to_pem().expose().as_bytes()), Err(NotAPublicKey::Form));
    }
}
