//! Ed25519 from ring under `jsonwebtoken`, whose own back ends would bring a second TLS provider or
//! an RSA crate with an open advisory. Nothing but EdDSA is signed or verified.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use signature::{Error, Signer, Verifier};

use crate::secret::Secret;

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory, verifier_factory, key_utils: KeyUtils::new_unimplemented() };

/// Makes ring the one provider of this process; to be called before the first token.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Refused only when one is installed already, which `Once` rules out.
        let _ = PROVIDER.install_default();
    });
}

/// Signs `claims` with the seed of a pair.
pub(super) fn sign(typ: &str, kid: &str, seed: &[u8; 32], claims: &impl Serialize) -> Result<Secret> {
    let header = Header { typ: Some(typ.into()), kid: Some(kid.into()), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(seed)).map(Secret::new)
}

/// What stands before the claims, which nobody has vouched for yet; `None` if it is another algorithm's, or asks
/// for what we don't do (`crit`, RFC 7515 section 4.1.11). A key that it names or brings is never heeded.
pub(super) fn head(token: &str) -> Option<Header> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    (header.alg == Algorithm::EdDSA && header.crit.is_none()).then_some(header)
}

/// The claims, if the pair of that public key signed them by EdDSA. What they say is the caller's to judge.
pub(super) fn claims<T: DeserializeOwned>(token: &str, public: &[u8; 32]) -> Option<T> {
    head(token)?;
    let mut rules = Validation::new(Algorithm::EdDSA);
    (rules.validate_exp, rules.validate_aud) = (false, false);
    rules.required_spec_claims.clear();
    Some(jsonwebtoken::decode(token, &DecodingKey::from_ed_der(public), &rules).ok()?.claims)
}

/// The claims as they are, for whom to ask for the key that they are signed with. Nobody vouches for them.
pub(super) fn unverified<T: DeserializeOwned>(token: &str) -> Option<T> {
    jsonwebtoken::dangerous::insecure_decode(token).ok().map(|data| data.claims)
}

fn signer_factory(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    only_eddsa(algorithm)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(key.as_bytes()).map_err(|_| ErrorKind::InvalidEddsaKey)?;
    Ok(Box::new(EdSigner(pair)))
}

fn verifier_factory(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    only_eddsa(algorithm)?;
    Ok(Box::new(EdVerifier(UnparsedPublicKey::new(&ED25519, key.try_get_as_bytes()?.to_vec()))))
}

fn only_eddsa(algorithm: &Algorithm) -> Result<()> {
    if *algorithm == Algorithm::EdDSA { Ok(()) } else { Err(ErrorKind::InvalidAlgorithm.into()) }
}

struct EdSigner(Ed25519KeyPair);

impl Signer<Vec<u8>> for EdSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for EdSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct EdVerifier(UnparsedPublicKey<Vec<u8>>);

impl Verifier<Vec<u8>> for EdVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        self.0.verify(message, signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for EdVerifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}
