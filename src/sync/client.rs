//! The worker as a client that the vault knows: it signs assertions (RFC 7523) with a key that never leaves
//! this host, and each of them becomes one token. No bearer secret is kept anywhere.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use zeroize::Zeroizing;

use crate::clock::{Moment, NoRandomness, new_id};
use crate::ids::{ClientId, OrgId, UserId};
use crate::secret::Secret;

/// How long an assertion is good for, in seconds: the longest that the vault takes.
const LASTING: i64 = 60;
/// Larger than any file with one Ed25519 key in it.
const MAX_FILE: u64 = 16 * 1024;

/// A registered client's id and its private key. Neither printed nor cloned.
pub struct Client {
    id: ClientId,
    pair: Ed25519KeyPair,
    org: Option<OrgId>,
    user: Option<UserId>,
}

/// Why a file is no client's key. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKeyRefused {
    /// It can't be read.
    Unreadable(std::io::ErrorKind),
    /// Others can read or change it.
    Open,
    /// It holds something else.
    NotAKey,
}

impl fmt::Display for ClientKeyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(kind) => write!(f, "can't be read: {kind}"),
            Self::Open => f.write_str("can be read or changed by others: chmod 600 it"),
            Self::NotAKey => f.write_str(
                "holds no Ed25519 key in PEM (PRIVATE KEY, PKCS#8): make one with `pawl client keygen`",
            ),
        }
    }
}

impl Client {
    /// The client `id`, whose key lies in `file`. It acts for `org` and `user` where the vault lets it act
    /// for several.
    pub(super) fn read(
        id: ClientId,
        file: &Path,
        (org, user): (Option<OrgId>, Option<UserId>),
    ) -> Result<Self, ClientKeyRefused> {
        let unreadable = |e: std::io::Error| ClientKeyRefused::Unreadable(e.kind());
        let file = std::fs::File::open(file).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.permissions().mode() & 0o027 != 0 {
            return Err(ClientKeyRefused::Open);
        }
        let mut pem = Zeroizing::new(Vec::new());
        file.take(MAX_FILE).read_to_end(&mut pem).map_err(unreadable)?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| ClientKeyRefused::NotAKey)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der());
        Ok(Self { id, pair: pair.map_err(|_| ClientKeyRefused::NotAKey)?, org, user })
    }

    /// An assertion for `audience`, good once and for a minute: RFC 7523, section 3, with `org` and `user`.
    pub(super) fn assertion(&self, audience: &str, now: Moment) -> Result<Secret, NoRandomness> {
        let header = json!({"alg": "EdDSA", "typ": "client-authentication+jwt"});
        let mut claims = json!({
            "iss": self.id.as_str(), "sub": self.id.as_str(), "aud": audience, "jti": new_id("jti", now)?,
            "iat": now.seconds(), "exp": now.seconds().saturating_add(LASTING),
        });
        let whom =
            [("org", self.org.as_ref().map(OrgId::as_str)), ("user", self.user.as_ref().map(UserId::as_str))];
        for (name, value) in whom {
            if let (Some(value), Some(claims)) = (value, claims.as_object_mut()) {
                claims.insert(name.into(), value.into());
            }
        }
        let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        Ok(Secret::new(format!("{signed}.{signature}")))
    }
}
