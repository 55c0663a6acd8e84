//! Our tokens: JWT by RFC 9068 (`at+jwt`), EdDSA, from one issuer, at most 15 minutes.
//! A verified token is remembered by its SHA-256 until it ends; an Ed25519 check costs as much
//! as the rest of a lend.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::access::caller::Caller;
use crate::access::jwt;
use crate::access::policy::{Policy, Role};
use crate::clock::{Clock, Moment, NoRandomness, fill_random};
use crate::ids::{ClientId, IssuerKeyId, OrgId, UserId};
use crate::secret::Secret;

/// The longest that a token may live.
pub const MAX_TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);

/// `typ` of an access token, RFC 9068 section 2.1.
const TYPE: &str = "at+jwt";
const AUDIENCE: &str = "pawl";
/// How many verified tokens are remembered; more than that many live ones are verified each time.
const REMEMBERED: usize = 10_000;
/// No token of ours comes near; longer ones are refused unread.
const MAX_TOKEN_BYTES: usize = 4096;

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
}

/// What a token says (RFC 9068 section 2.2, and `org` and `roles`).
#[derive(Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    sub: String,
    org: String,
    client_id: String,
    roles: Vec<String>,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Why a token is not taken. The caller is told no more than that it isn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// There is none.
    #[error("no bearer token")]
    Missing,
    /// Not a token of ours: form, type, algorithm, signature, issuer, audience or claims.
    #[error("the token is not one of ours")]
    Invalid,
    /// Its time is over.
    #[error("the token has ended")]
    Expired,
}

/// A token that can't be made as asked.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// The policy has no such role.
    #[error("there is no role {0}")]
    UnknownRole(String),
    /// Longer than tokens may live.
    #[error("a token lives at least one second and at most 15 minutes")]
    Life,
    /// The issuer has no key, or it can't sign.
    #[error("the issuer has no key that signs")]
    NoKey,
    /// No randomness for its id.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Mints and verifies tokens with the issuer's keys.
pub struct Tokens {
    issuer: String,
    keys: Vec<IssuerKey>,
    policy: Arc<Policy>,
    clock: Clock,
    remembered: Mutex<HashMap<[u8; 32], Caller>>,
}

impl Tokens {
    /// An issuer named `issuer` whose newest key, the last of `keys`, signs.
    pub fn new(issuer: String, keys: Vec<IssuerKey>, policy: Arc<Policy>, clock: Clock) -> Self {
        jwt::install();
        Self { issuer, keys, policy, clock, remembered: Mutex::new(HashMap::new()) }
    }

    /// Mints a token. `life` is at most [`MAX_TOKEN_LIFE`].
    pub fn issue(
        &self,
        (org, user, client): (&OrgId, &UserId, &ClientId),
        role: &Role,
        life: Duration,
    ) -> Result<Secret, NotIssued> {
        if life < Duration::from_secs(1) || life > MAX_TOKEN_LIFE {
            return Err(NotIssued::Life);
        }
        let now = self.clock.now();
        let key = self.keys.last().ok_or(NotIssued::NoKey)?;
        let header =
            Header { typ: Some(TYPE.into()), kid: Some(key.id.to_string()), ..Header::new(Algorithm::EdDSA) };
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.into(),
            sub: user.to_string(),
            org: org.to_string(),
            client_id: client.to_string(),
            roles: vec![role.as_str().into()],
            iat: now.seconds(),
            exp: now.after(life).seconds(),
            jti: crate::clock::new_id("tok", now)?,
        };
        let signing = EncodingKey::from_ed_der(key.seed.as_ref());
        jsonwebtoken::encode(&header, &claims, &signing).map(Secret::new).map_err(|_| NotIssued::NoKey)
    }

    /// Who sent `token`.
    pub fn verify(&self, token: &str) -> Result<Caller, TokenRefused> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenRefused::Invalid);
        }
        let now = self.clock.now();
        let digest: [u8; 32] = Sha256::digest(token).into();
        // A poisoned map holds only whole entries: each insert is one call.
        let known = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        if let Some(caller) = known {
            return if now < caller.expires_at() { Ok(caller) } else { Err(TokenRefused::Expired) };
        }
        let caller = self.verify_anew(token, now)?;
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED {
            remembered.retain(|_, caller| now < caller.expires_at());
        }
        if remembered.len() < REMEMBERED {
            remembered.insert(digest, caller.clone());
        }
        Ok(caller)
    }

    fn verify_anew(&self, token: &str, now: Moment) -> Result<Caller, TokenRefused> {
        let invalid = TokenRefused::Invalid;
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid)?;
        if header.typ.as_deref() != Some(TYPE) {
            return Err(invalid);
        }
        let kid = header.kid.ok_or(invalid)?;
        let key = self.keys.iter().find(|key| key.id.as_str() == kid).ok_or(invalid)?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_audience(&[AUDIENCE]);
        rules.set_issuer(&[&self.issuer]);
        // exp is held against our clock below, without leeway.
        rules.validate_exp = false;
        let verifying = DecodingKey::from_ed_der(&key.public);
        let claims = jsonwebtoken::decode::<Claims>(token, &verifying, &rules).map_err(|_| invalid)?.claims;

        let longest = now.after(MAX_TOKEN_LIFE).seconds();
        if claims.exp <= now.seconds() {
            return Err(TokenRefused::Expired);
        }
        if claims.exp > longest || claims.iat > longest {
            return Err(invalid);
        }
        let roles: Option<Vec<Role>> = claims.roles.iter().map(|name| self.policy.role(name)).collect();
        Ok(Caller::new(
            (
                OrgId::parse(&claims.org).map_err(|_| invalid)?,
                UserId::parse(&claims.sub).map_err(|_| invalid)?,
                ClientId::parse(&claims.client_id).map_err(|_| invalid)?,
            ),
            roles.filter(|roles| !roles.is_empty()).ok_or(invalid)?,
            Moment::from_micros(claims.exp.saturating_mul(1_000_000)),
            self.policy.clone(),
        ))
    }
}
