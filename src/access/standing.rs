//! What decides over a token besides itself: the issuer's keys and what was revoked, as they were at one moment.
//! Never changed: a later moment has a standing of its own.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::access::issuer::Issuer;
use crate::access::principal::Principal;
use crate::access::recent::Recent;
use crate::clock::Moment;
use crate::ids::{ClientId, TokenId};

/// How many of the latest verified tokens are remembered at least, and half of how many at most.
const REMEMBERED: usize = 10_000;

/// What is not taken any more, though it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// One token.
    Token(TokenId),
    /// Everything of a client that was issued at that moment or before.
    Client(ClientId, Moment),
}

/// Everything that is revoked.
#[derive(Default)]
struct Revoked {
    tokens: HashSet<String>,
    clients: HashMap<String, Moment>,
}

/// The claims of a token that was verified, and nothing that opens anything.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) principal: Principal,
    pub(super) jti: String,
    pub(super) issued_at: Moment,
    /// It is taken until then, by its own end and by that of its key.
    pub(super) until: Moment,
}

/// Verified tokens, by their SHA-256. One set for as long as the issuer's keys are the same.
pub(super) struct Remembered(Mutex<Recent<[u8; 32], Option<Known>>>);

/// Who may call, as it was at one moment.
pub struct Standing {
    pub(super) issuer: Arc<Issuer>,
    pub(super) remembered: Arc<Remembered>,
    revoked: Revoked,
}

impl Standing {
    /// Of these keys and revocations. What was remembered by `before` still is, if its keys were these.
    pub fn new(issuer: Arc<Issuer>, revocations: &[Revocation], before: Option<&Self>) -> Self {
        let before = before.filter(|before| Arc::ptr_eq(&before.issuer, &issuer));
        let remembered = before.map_or_else(Default::default, |before| before.remembered.clone());
        let mut revoked = Revoked::default();
        for revocation in revocations {
            match revocation {
                Revocation::Token(jti) => drop(revoked.tokens.insert(jti.to_string())),
                Revocation::Client(client, at) => {
                    let latest = revoked.clients.entry(client.to_string()).or_insert(*at);
                    *latest = (*latest).max(*at);
                }
            }
        }
        Self { issuer, remembered, revoked }
    }

    /// The issuer's keys.
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// Whether a token that was verified is revoked.
    pub(super) fn has_revoked(&self, known: &Known) -> bool {
        let client = known.principal.client().as_str();
        self.revoked.tokens.contains(&known.jti)
            || self.revoked.clients.get(client).is_some_and(|until| known.issued_at <= *until)
    }
}

impl Default for Remembered {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(REMEMBERED)))
    }
}

impl Remembered {
    pub(super) fn find(&self, digest: &[u8; 32]) -> Option<Known> {
        // A poisoned map holds only whole entries.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).find(*digest)?.clone()
    }

    pub(super) fn keep(&self, digest: [u8; 32], known: &Known) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).of(digest) = Some(known.clone());
    }
}
