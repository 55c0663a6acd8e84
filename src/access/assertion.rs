//! A client's assertion (RFC 7523, `private_key_jwt`): a JWT that it signed with its own key, good for a minute
//! and for one token.

use serde::Deserialize;

use crate::access::client::{Client, Wish};
use crate::access::jwt;
use crate::access::token::{LEEWAY, moment};
use crate::clock::Moment;
use crate::ids::{ClientId, OrgId, TokenId, UserId};
use crate::secret::Secret;

/// How far ahead its end may lie, beside the leeway.
const MAX_LIFE: std::time::Duration = std::time::Duration::from_secs(60);
/// `typ` of an assertion, where it has one. Never an access token's.
const TYPES: &[&str] = &["JWT", "client-authentication+jwt"];
/// Longer ones are refused unread.
const MAX_BYTES: usize = 4096;
/// Verified with where no such client is: what that costs is the same.
const NOBODY: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e,
    0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

/// An assertion that nobody has vouched for yet.
pub struct Assertion {
    text: Secret,
    client: ClientId,
}

/// What a verified assertion says.
pub struct Asserted {
    /// Its own name: it is taken once.
    pub jti: TokenId,
    /// It would be taken until then.
    pub until: Moment,
    /// Whom the token is to be of.
    pub wish: Wish,
}

/// Why an assertion is not taken: for the log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionRefused {
    /// No JWT that a client signs with Ed25519.
    #[error("the assertion has another form")]
    Form,
    /// No such client.
    #[error("no such client is registered")]
    UnknownClient,
    /// Not signed with the client's key, or without claims that are needed.
    #[error("the client's key did not sign it, or a claim is missing or of another type")]
    Signature,
    /// Not by the client about itself.
    #[error("iss and sub are not both the client")]
    Subject,
    /// For somebody else.
    #[error("aud names somebody else")]
    Audience,
    /// Over, not there yet, or for longer than a minute.
    #[error("its time is over, or not there yet, or longer than 60 seconds")]
    Time,
    /// Its name or a wish is no such text.
    #[error("jti, org or user is no such text")]
    Text,
    /// Taken before.
    #[error("it was exchanged before")]
    Replayed,
}

impl AssertionRefused {
    /// The stable name of the cause, for the trail.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Form => "assertion-form",
            Self::UnknownClient => "assertion-unknown-client",
            Self::Signature => "assertion-signature",
            Self::Subject => "assertion-subject",
            Self::Audience => "assertion-audience",
            Self::Time => "assertion-time",
            Self::Text => "assertion-text",
            Self::Replayed => "assertion-replayed",
        }
    }
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

#[derive(Deserialize)]
struct AssertedClaims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    iat: Option<i64>,
    nbf: Option<i64>,
    jti: String,
    org: Option<String>,
    user: Option<String>,
    roles: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    List([String; 1]),
}

impl Assertion {
    /// Reads who says that it is theirs.
    pub fn read(text: &str) -> Result<Self, AssertionRefused> {
        let form = AssertionRefused::Form;
        if text.len() > MAX_BYTES {
            return Err(form);
        }
        let typ = jwt::head(text).ok_or(form)?.typ;
        if typ.is_some_and(|typ| TYPES.iter().all(|known| !typ.eq_ignore_ascii_case(known))) {
            return Err(form);
        }
        let issuer: Issuer = jwt::unverified(text).ok_or(form)?;
        let client = ClientId::parse(&issuer.iss).map_err(|_| form)?;
        Ok(Self { text: Secret::new(text.to_owned()), client })
    }

    /// Whose key is to be asked.
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// What it says, if `client`, who was found by [`Assertion::client`], signed it for one of `audiences` just now.
    pub fn verify(
        &self,
        client: Option<&Client>,
        audiences: &[String],
        now: Moment,
    ) -> Result<Asserted, AssertionRefused> {
        let key = client.map_or(&NOBODY, |client| client.key.as_bytes());
        let claims: Option<AssertedClaims> = jwt::claims(self.text.expose(), key);
        let client = client.ok_or(AssertionRefused::UnknownClient)?;
        let claims = claims.ok_or(AssertionRefused::Signature)?;
        if claims.iss != client.id.as_str() || claims.sub != client.id.as_str() {
            return Err(AssertionRefused::Subject);
        }
        let (Audience::One(audience) | Audience::List([audience])) = &claims.aud;
        if !audiences.contains(audience) {
            return Err(AssertionRefused::Audience);
        }
        let until = moment(claims.exp).after(LEEWAY);
        let latest = now.after(LEEWAY);
        let early = |at: Option<i64>| at.is_some_and(|at| moment(at) > latest);
        let too_long = moment(claims.exp) > latest.after(MAX_LIFE);
        if until <= now || too_long || early(claims.iat) || early(claims.nbf) {
            return Err(AssertionRefused::Time);
        }
        let text = |_| AssertionRefused::Text;
        Ok(Asserted {
            jti: TokenId::parse(&claims.jti).map_err(text)?,
            until,
            wish: Wish {
                org: claims.org.as_deref().map(OrgId::parse).transpose().map_err(text)?,
                user: claims.user.as_deref().map(UserId::parse).transpose().map_err(text)?,
                roles: claims.roles,
            },
        })
    }
}
