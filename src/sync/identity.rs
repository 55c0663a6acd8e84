//! What the worker shows to the vault: the token it was given, or one that it gets itself and renews, for as
//! long as a run takes.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::secret::Secret;
use crate::sync::client::Client;
use crate::sync::token;

/// A token with less left than this is renewed before it is shown: longer than any call takes.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);

/// How the worker is known to the vault.
pub enum Identity {
    /// By a token that somebody minted for it.
    Token(Secret),
    /// As a registered client.
    Client(Client),
}

/// The tokens of one worker. Holds secrets: neither printed nor cloned.
pub(super) struct Tokens {
    client: Option<Client>,
    held: RefCell<Option<Rc<Held>>>,
    clock: Clock,
}

/// A token, and when it ends, if that is known.
pub(super) struct Held {
    pub(super) token: Secret,
    ends: Option<Moment>,
}

impl Tokens {
    pub(super) fn new(identity: Identity, clock: Clock) -> Self {
        let (client, held) = match identity {
            Identity::Token(token) => {
                let ends = token::ends_at(&token, clock.now());
                (None, Some(Rc::new(Held { token, ends })))
            }
            Identity::Client(client) => (Some(client), None),
        };
        Self { client, held: RefCell::new(held), clock }
    }

    /// When there will be no token any more; `None` when there is no telling, or never.
    pub(super) fn end(&self) -> Option<Moment> {
        match self.client {
            Some(_) => None,
            None => self.held.borrow().as_ref().and_then(|held| held.ends),
        }
    }

    /// The token to be shown now, unless another has to be asked for first.
    pub(super) fn current(&self) -> Option<Rc<Held>> {
        let held = self.held.borrow().clone()?;
        let lasts = |ends: Moment| self.clock.now().after(RENEWED_BEFORE) < ends;
        (self.client.is_none() || held.ends.is_some_and(lasts)).then_some(held)
    }

    /// The client that can ask for another, if there is one.
    pub(super) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// Takes a token that was asked for at `asked` and lives for so long from then.
    pub(super) fn take(&self, token: Secret, asked: Moment, living: Duration) -> Rc<Held> {
        let held = Rc::new(Held { token, ends: Some(asked.after(living)) });
        self.held.replace(Some(held.clone()));
        held
    }

    /// The vault does not take this one any more. Whether there may be another.
    pub(super) fn drop_refused(&self, refused: &Rc<Held>) -> bool {
        if self.client.is_some() && self.held.borrow().as_ref().is_some_and(|held| Rc::ptr_eq(held, refused))
        {
            self.held.replace(None);
        }
        self.client.is_some()
    }
}
