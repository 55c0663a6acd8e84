//! An assertion that a service signed, exchanged for a token: on record, and used up, before the token leaves.

use crate::access::{
    Assertion, AssertionRefused, Client, Holder, Issued, MAX_TOKEN_LIFE, NotIssued, Spent, Standing, Tokens,
    WishRefused,
};
use crate::audit::{AuditEvent, Call};
use crate::clock::{Moment, NoRandomness};
use crate::error::Error;
use crate::ids::{ClientId, TokenId};
use crate::secret::Secret;
use crate::store::{Exchange, NotExchanged};
use crate::vault::{DEADLINE, Vault};

/// A token that was asked for and is not given.
#[derive(Debug, thiserror::Error)]
pub enum NotGiven {
    /// The assertion; why is for the log alone.
    #[error(transparent)]
    Client(#[from] AssertionRefused),
    /// The client is who it says, and asks for what it may not have.
    #[error(transparent)]
    Wish(#[from] WishRefused),
    /// The client asks more than one may.
    #[error("this client is past its limit of {}", .0.budget.of.as_str())]
    Spent(Spent),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] Error),
}

/// By what assertions are judged and tokens made.
pub struct Mint<'a> {
    /// The issuer.
    pub tokens: &'a Tokens,
    /// Its keys.
    pub standing: &'a Standing,
    /// Whom an assertion may be for.
    pub audiences: &'a [String],
    /// Takes the call out of what its caller may ask.
    pub charge: &'a dyn Fn(&ClientId) -> Result<(), Spent>,
}

impl Vault {
    /// Exchanges `assertion` for a token of [`MAX_TOKEN_LIFE`].
    pub async fn exchange(
        &self,
        mint: Mint<'_>,
        (assertion, client_id): (&str, Option<&str>),
        call: &Call,
    ) -> Result<Secret, NotGiven> {
        let assertion = Assertion::read(assertion)?;
        // RFC 7521 section 4.2: it may be sent too, and then says the same.
        if client_id.is_some_and(|id| id != assertion.client().as_str()) {
            return Err(AssertionRefused::Subject.into());
        }
        let client = self.find_client(assertion.client().clone()).await?;
        let at = self.clock.now();
        let asserted = assertion.verify(client.as_ref(), mint.audiences, at)?;
        // Verified: so it is there.
        let client = client.ok_or(AssertionRefused::UnknownClient)?;
        (mint.charge)(&client.id).map_err(NotGiven::Spent)?;
        let (jti, until) = (asserted.jti, asserted.until);
        let holder = match client.grant(asserted.wish) {
            Ok(holder) => holder,
            Err(refused) => {
                let slot = self.untold.slot(None);
                let event =
                    slot.as_ref().map(|_| AuditEvent::of_wish(&client.id, (call, &jti), REGISTRATION, at));
                let (event, id) = (event.transpose().map_err(Error::from)?, client.id.clone());
                let is_counted = event.is_none();
                self.use_up(Exchange { client, jti, until, event, slot, at }).await?;
                if is_counted {
                    self.untold.count_denied_client(&id, "token.exchange", REGISTRATION);
                }
                return Err(refused.into());
            }
        };
        let issued =
            mint.tokens.issue(mint.standing.issuer(), &holder, MAX_TOKEN_LIFE).map_err(unavailable)?;
        let event = exchanged(&holder, &issued, (&jti, call), at).map_err(Error::from)?;
        self.use_up(Exchange { client, jti, until, event: Some(event), slot: None, at }).await?;
        Ok(issued.token)
    }

    async fn use_up(&self, exchange: Exchange) -> Result<(), NotGiven> {
        match self.store.exchange(exchange, DEADLINE).await.map_err(Error::from)? {
            Ok(()) => Ok(()),
            Err(NotExchanged::Replayed) => Err(AssertionRefused::Replayed.into()),
            Err(NotExchanged::Gone) => Err(AssertionRefused::UnknownClient.into()),
        }
    }

    /// Nobody knows yet who asks: such looks are few at once, so that a crowd of strangers waits for itself alone.
    async fn find_client(&self, id: ClientId) -> Result<Option<Client>, Error> {
        let turn = tokio::time::timeout(DEADLINE, self.strangers.acquire()).await;
        let _turn = turn.map_err(|_| Error::Unavailable("too many ask for tokens".into()))?;
        Ok(self.store.find_client(id, DEADLINE).await?)
    }
}

/// What the trail calls a wish for what the client may not have.
const REGISTRATION: &str = "registration";

fn exchanged(
    holder: &Holder,
    issued: &Issued,
    (assertion, call): (&TokenId, &Call),
    at: Moment,
) -> Result<AuditEvent, NoRandomness> {
    let more = [("assertion_id", assertion.as_str())];
    AuditEvent::of_token("token.exchange", holder, issued, (Some(call), &more), at)
}

fn unavailable(refused: NotIssued) -> Error {
    Error::Unavailable(refused.to_string())
}
