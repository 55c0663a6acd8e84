//! The pair that signs a log's checkpoints. Kept sealed in the database; the seed leaves only to be sealed.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use crate::audit::note::{Checkpoint, VerifierKey, is_name};
use crate::clock::{NoRandomness, fill_random};
use crate::secret::Secret;

/// The pair of one log.
pub struct LogKey {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
    verifier: VerifierKey,
}

/// The text is no seed, or the origin no name of a key.
#[derive(Debug, thiserror::Error)]
#[error("a log's key is damaged")]
pub struct NotALogKey;

impl LogKey {
    /// A fresh pair for the log of `origin`.
    pub fn generate(origin: &str) -> Result<Self, NoRandomness> {
        let mut seed = Zeroizing::new([0; 32]);
        fill_random(seed.as_mut())?;
        // A seed of 32 bytes is always one, and origins are made by us.
        Self::from_bytes(origin, seed).map_err(|NotALogKey| NoRandomness)
    }

    /// The pair that [`LogKey::seed`] was taken from.
    pub fn from_seed(origin: &str, seed: &Secret) -> Result<Self, NotALogKey> {
        // decode_slice wants room for its own estimate, which for 43 letters is a byte too many
        let mut room = Zeroizing::new([0; 36]);
        let length = URL_SAFE_NO_PAD.decode_slice(seed.expose(), room.as_mut()).map_err(|_| NotALogKey)?;
        let mut bytes = Zeroizing::new([0; 32]);
        if length != bytes.len() {
            return Err(NotALogKey);
        }
        bytes.copy_from_slice(room.get(..length).ok_or(NotALogKey)?);
        Self::from_bytes(origin, bytes)
    }

    fn from_bytes(origin: &str, seed: Zeroizing<[u8; 32]>) -> Result<Self, NotALogKey> {
        if !is_name(origin) {
            return Err(NotALogKey);
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map_err(|_| NotALogKey)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| NotALogKey)?;
        Ok(Self { pair, seed, verifier: VerifierKey::new(origin, public) })
    }

    /// The seed, base64url without padding, to be sealed.
    pub fn seed(&self) -> Secret {
        Secret::new(URL_SAFE_NO_PAD.encode(self.seed.as_ref()))
    }

    /// What its signatures are verified with.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The checkpoint as a note: its text, an empty line, `— origin base64(key id ‖ signature)`.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        self.sign_text(&checkpoint.text())
    }

    pub(super) fn sign_text(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let signed: Vec<u8> = self.verifier.id().iter().chain(signature.as_ref()).copied().collect();
        format!("{text}\n— {} {}\n", self.verifier.origin(), STANDARD.encode(signed))
    }
}
