//! The pairs that sign our tokens. They follow each other with an overlap: the next is known to every replica
//! before it signs, and the one before verifies until nothing that it signed can live.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use crate::access::token::LONGEST_TAKEN;
use crate::clock::{Moment, NoRandomness, fill_random};
use crate::ids::IssuerKeyId;
use crate::secret::Secret;

/// The pair that signs tokens. Kept sealed in the database; the seed leaves only to be sealed.
pub struct IssuerKey {
    id: IssuerKeyId,
    seed: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

/// The text is no issuer seed.
#[derive(Debug, thiserror::Error)]
#[error("an issuer key is damaged")]
pub struct NotASeed;

impl IssuerKey {
    /// A fresh pair.
    pub fn generate(now: Moment) -> Result<Self, NoRandomness> {
        let mut seed = Zeroizing::new([0; 32]);
        fill_random(seed.as_mut())?;
        let id = IssuerKeyId::new(now)?;
        // A seed of 32 bytes is always one; the error stands for ring's length check alone.
        Self::from_bytes(id, seed).map_err(|NotASeed| NoRandomness)
    }

    /// The pair that [`IssuerKey::seed`] was taken from.
    pub fn from_seed(id: IssuerKeyId, seed: &Secret) -> Result<Self, NotASeed> {
        let mut bytes = Zeroizing::new([0; 32]);
        // decode_slice wants room for its own estimate, which for 43 letters is a byte too many
        let mut room = Zeroizing::new([0; 36]);
        let length = URL_SAFE_NO_PAD.decode_slice(seed.expose(), room.as_mut()).map_err(|_| NotASeed)?;
        if length != bytes.len() {
            return Err(NotASeed);
        }
        bytes.copy_from_slice(room.get(..length).ok_or(NotASeed)?);
        Self::from_bytes(id, bytes)
    }

    fn from_bytes(id: IssuerKeyId, seed: Zeroizing<[u8; 32]>) -> Result<Self, NotASeed> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map_err(|_| NotASeed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| NotASeed)?;
        Ok(Self { id, seed, public })
    }

    /// Its `kid`.
    pub fn id(&self) -> &IssuerKeyId {
        &self.id
    }

    /// The seed, base64url without padding, to be sealed.
    pub fn seed(&self) -> Secret {
        Secret::new(URL_SAFE_NO_PAD.encode(self.seed.as_ref()))
    }

    pub(super) fn signing(&self) -> &[u8; 32] {
        &self.seed
    }

    pub(super) fn verifying(&self) -> &[u8; 32] {
        &self.public
    }
}

/// When an issuer key signs, and until when what it signed is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTerm {
    /// It signs from then on, if no later one does.
    pub signs_from: Moment,
    /// Nothing that it signed is taken from then on. `None` while no other follows it.
    pub verifies_until: Option<Moment>,
}

/// Every replica has heard of a key when it begins to sign.
const HEARD_OF: Duration = Duration::from_secs(10);
impl KeyTerm {
    /// Of a key that signs at once: the first, or one that follows a stolen one.
    pub fn from_now(now: Moment) -> Self {
        Self { signs_from: now, verifies_until: None }
    }

    /// Of a key that follows others.
    pub fn of_next(now: Moment) -> Self {
        Self::from_now(now.after(HEARD_OF))
    }

    /// Until when what others signed is taken once this one follows them.
    pub fn others_verify_until(self) -> Moment {
        self.signs_from.after(LONGEST_TAKEN)
    }

    /// Which of `terms` is that of the key which signs: the latest that has begun; before any has, the first.
    pub fn signing(terms: impl Iterator<Item = Self> + Clone, now: Moment) -> Option<Self> {
        let living = terms.filter(|term| !term.is_over(now));
        let begun = living.clone().filter(|term| term.signs_from <= now).max_by_key(|term| term.signs_from);
        begun.or_else(|| living.min_by_key(|term| term.signs_from))
    }

    /// Whether nothing that it signed is taken any more.
    pub fn is_over(self, now: Moment) -> bool {
        self.verifies_until.is_some_and(|until| until <= now)
    }
}

/// A key and its term.
#[derive(Clone)]
pub struct Termed {
    /// The key.
    pub key: Arc<IssuerKey>,
    /// Its term.
    pub term: KeyTerm,
}

/// The keys of one moment, oldest first.
pub struct Issuer(Vec<Termed>);

impl Issuer {
    /// Those of `keys`, oldest first.
    pub fn new(keys: Vec<Termed>) -> Self {
        Self(keys)
    }

    /// Them all.
    pub fn keys(&self) -> &[Termed] {
        &self.0
    }

    /// The key that signs now.
    pub(super) fn signing(&self, now: Moment) -> Option<&IssuerKey> {
        let term = KeyTerm::signing(self.0.iter().map(|of| of.term), now)?;
        self.0.iter().rev().find(|of| of.term == term).map(|of| &*of.key)
    }

    /// The key of that `kid`, while what it signed is taken.
    pub(super) fn verifying(&self, kid: &str, now: Moment) -> Option<&Termed> {
        self.0.iter().find(|of| of.key.id.as_str() == kid).filter(|of| !of.term.is_over(now))
    }

    /// Whether these are the same keys with the same terms.
    pub fn is_same(&self, keys: &[Termed]) -> bool {
        let same = |(one, other): (&Termed, &Termed)| one.key.id == other.key.id && one.term == other.term;
        self.0.len() == keys.len() && self.0.iter().zip(keys).all(same)
    }
}
