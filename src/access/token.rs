//! Our tokens: JWT by RFC 9068 (`at+jwt`), EdDSA, from one issuer, at most 15 minutes, clocks that differ by up
//! to 30 s allowed for. A verified token is remembered by its SHA-256 until it ends; an Ed25519 check costs as
//! much as the rest of a lend.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::access::caller::Caller;
use crate::access::issuer::Issuer;
use crate::access::jwt;
use crate::access::policy::{Policy, Role};
use crate::access::principal::{OPERATOR, Operator, Principal};
use crate::access::standing::{Known, Standing};
use crate::clock::{Clock, Moment, NoRandomness};
use crate::ids::{ClientId, OrgId, UserId};
use crate::secret::Secret;

/// The longest that a token may live.
pub const MAX_TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);
/// By how much another's clock may be ahead of ours or behind it.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// From its issue on no token is taken for longer: its life, and the leeway of who made it and of who takes it.
pub const LONGEST_TAKEN: Duration = Duration::from_secs(MAX_TOKEN_LIFE.as_secs() + 2 * LEEWAY.as_secs());

/// `typ` of an access token, RFC 9068 section 2.1.
const TYPE: &str = "at+jwt";
const AUDIENCE: &str = "pawl";
/// No token of ours comes near; longer ones are refused unread.
const MAX_TOKEN_BYTES: usize = 4096;

/// What a token says (RFC 9068 section 2.2, and `org` and `roles`). An operator's has no `org`, and its `sub` is
/// the client.
#[derive(Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<String>,
    client_id: String,
    roles: Vec<String>,
    iat: i64,
    #[serde(skip_serializing)]
    nbf: Option<i64>,
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
    /// It was taken back.
    #[error("the token was revoked")]
    Revoked,
}

impl TokenRefused {
    /// The stable name of the cause, for the trail.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Missing => "token-missing",
            Self::Invalid => "token-invalid",
            Self::Expired => "token-expired",
            Self::Revoked => "token-revoked",
        }
    }
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

/// For whom a token is.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Org and user; `None` for an operator.
    pub tenant: Option<(OrgId, UserId)>,
    /// The service that will call with it.
    pub client: ClientId,
    /// What it may do.
    pub roles: Vec<Role>,
}

/// A token that was made, and what its record says of it.
pub struct Issued {
    /// The token.
    pub token: Secret,
    /// Its `jti`, by which it can be revoked.
    pub id: String,
    /// When it ends.
    pub expires_at: Moment,
}

/// Mints and verifies tokens with the issuer's keys.
pub struct Tokens {
    issuer: String,
    policy: Arc<Policy>,
    clock: Clock,
}

impl Tokens {
    /// Those of the issuer named `issuer`.
    pub fn new(issuer: String, policy: Arc<Policy>, clock: Clock) -> Self {
        jwt::install();
        Self { issuer, policy, clock }
    }

    /// The issuer's name.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Mints a token. `life` is at most [`MAX_TOKEN_LIFE`].
    pub fn issue(&self, issuer: &Issuer, holder: &Holder, life: Duration) -> Result<Issued, NotIssued> {
        if life < Duration::from_secs(1) || life > MAX_TOKEN_LIFE {
            return Err(NotIssued::Life);
        }
        let now = self.clock.now();
        let key = issuer.signing(now).ok_or(NotIssued::NoKey)?;
        let (org, user) =
            holder.tenant.as_ref().map(|(org, user)| (org.to_string(), user.to_string())).unzip();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.into(),
            sub: user.unwrap_or_else(|| holder.client.to_string()),
            org,
            client_id: holder.client.to_string(),
            roles: holder.roles.iter().map(|role| role.as_str().to_owned()).collect(),
            iat: now.seconds(),
            nbf: None,
            exp: now.after(life).seconds(),
            jti: crate::clock::new_id("tok", now)?,
        };
        let token =
            jwt::sign(TYPE, key.id().as_str(), key.signing(), &claims).map_err(|_| NotIssued::NoKey)?;
        Ok(Issued { token, id: claims.jti, expires_at: moment(claims.exp) })
    }

    /// Whose `token` is, by the standing of this moment, if it was verified before: that costs next to nothing.
    pub fn recall(&self, token: &str, standing: &Standing) -> Option<Result<Principal, TokenRefused>> {
        if token.len() > MAX_TOKEN_BYTES {
            return Some(Err(TokenRefused::Invalid));
        }
        let known = standing.remembered.find(&digest(token))?;
        Some(judge(known, standing, self.clock.now()))
    }

    /// Whose `token` is, by the standing of this moment.
    pub fn verify(&self, token: &str, standing: &Standing) -> Result<Principal, TokenRefused> {
        if let Some(judged) = self.recall(token, standing) {
            return judged;
        }
        let now = self.clock.now();
        let known = self.verify_anew(token, &standing.issuer, now)?;
        standing.remembered.keep(digest(token), &known);
        judge(known, standing, now)
    }

    fn verify_anew(&self, token: &str, issuer: &Issuer, now: Moment) -> Result<Known, TokenRefused> {
        let invalid = TokenRefused::Invalid;
        let head = jwt::head(token).ok_or(invalid)?;
        if head.typ.as_deref() != Some(TYPE) {
            return Err(invalid);
        }
        let key = issuer.verifying(&head.kid.ok_or(invalid)?, now).ok_or(invalid)?;
        let claims: Claims = jwt::claims(token, key.key.verifying()).ok_or(invalid)?;
        if claims.iss != self.issuer || claims.aud != AUDIENCE {
            return Err(invalid);
        }
        let latest = now.after(LEEWAY);
        let ahead = |seconds: i64, by: Duration| moment(seconds) > latest.after(by);
        let life = claims.exp.saturating_sub(claims.iat);
        if ahead(claims.iat, Duration::ZERO)
            || claims.nbf.is_some_and(|from| ahead(from, Duration::ZERO))
            || ahead(claims.exp, MAX_TOKEN_LIFE)
            || u64::try_from(life).map_or(true, |life| life > MAX_TOKEN_LIFE.as_secs())
        {
            return Err(invalid);
        }
        let ends = moment(claims.exp).after(LEEWAY);
        if ends <= now {
            return Err(TokenRefused::Expired);
        }
        Ok(Known {
            principal: self.principal(&claims).ok_or(invalid)?,
            issued_at: moment(claims.iat),
            until: key.term.verifies_until.map_or(ends, |until| until.min(ends)),
            jti: claims.jti,
        })
    }

    fn principal(&self, claims: &Claims) -> Option<Principal> {
        let roles: Option<Vec<Role>> = claims.roles.iter().map(|name| Role::parse(name)).collect();
        let roles = roles.filter(|roles| !roles.is_empty())?;
        let client = ClientId::parse(&claims.client_id).ok()?;
        let (policy, ends) = (self.policy.clone(), moment(claims.exp));
        match &claims.org {
            Some(org) if roles.iter().all(|role| role.as_str() != OPERATOR) => {
                let tenant = (OrgId::parse(org).ok()?, UserId::parse(&claims.sub).ok()?, client);
                Some(Principal::Caller(Caller::new(tenant, roles, ends, policy)))
            }
            None if claims.sub == client.as_str() => {
                let [role] = <[Role; 1]>::try_from(roles).ok().filter(|[role]| role.as_str() == OPERATOR)?;
                Some(Principal::Operator(Operator::new(client, role, ends, policy)))
            }
            _ => None,
        }
    }
}

fn judge(known: Known, standing: &Standing, now: Moment) -> Result<Principal, TokenRefused> {
    if known.until <= now {
        return Err(TokenRefused::Expired);
    }
    if standing.has_revoked(&known) {
        return Err(TokenRefused::Revoked);
    }
    Ok(known.principal)
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Of seconds since 1970, as a token has them.
pub(super) fn moment(seconds: i64) -> Moment {
    Moment::from_micros(seconds.saturating_mul(1_000_000))
}
