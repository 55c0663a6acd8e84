//! Injection: the vault itself asks a connection's Odoo, and its caller gets records and never the secret. That it
//! begins is on record before the secret is opened; how it ended comes after. A forget, a replace or a freeze ends what
//! is under way before it answers; so does a caller who hangs up.

mod aside;
mod begin;
mod call;
mod circuit;
mod echoes;
mod end;
mod escapes;
mod injected;
mod room;
mod running;
mod scan;
mod search;
mod stands;
mod written;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::access::{Action, Permit, UserScope};
use crate::audit::Actor;
use crate::error::{Error, FieldError};
use crate::ids::ConnectionId;
use crate::odoo::{Ask, AskRefused, Login, ReadQuery, Readable};
use crate::store::{LendRefused, StoredConnection, Tx};
use crate::vault::inject::end::Ended;
use crate::vault::inject::running::Turn;
use crate::vault::{LEND_DEADLINE, Vault};

pub(super) use aside::Aside;
pub(super) use circuit::Circuits;
pub(super) use echoes::Echoes;
pub use injected::Injected;
pub(super) use room::Room;
pub(super) use running::Injections;

/// Who waits for the answer. Dropped at its other end, the injection ends.
pub type Answer = oneshot::Sender<Result<Injected, Error>>;

/// What may begin: everything but the record of it.
struct Ready {
    permit: Permit,
    scope: UserScope,
    found: StoredConnection,
    ask: Arc<Ask>,
    /// By what its org lets be read.
    query: ReadQuery,
    readable: Option<String>,
    turn: Turn,
}

impl Vault {
    /// Asks the Odoo of the caller's own connection `id`, and tells `caller` what came of it.
    pub async fn inject(&self, actor: &Actor, id: ConnectionId, ask: Ask, mut caller: Answer) {
        let begun = async {
            let ready = self.ready_to_inject(actor, &id, ask).await?;
            let claim = self.claim_login(actor, Action::Inject, &ready.found).await?;
            match self.open_to_inject(actor, &ready).await {
                Ok((begun, secret)) => Ok((ready.turn, claim, begun, secret)),
                Err(refused) => {
                    self.logins.settle(claim, Login::Unknown).await;
                    // What may be read became less meanwhile.
                    Err(self.record_unreadable(actor, &id, refused).await)
                }
            }
        };
        let (turn, claim, begun, secret) = match begun.await {
            Ok(begun) => begun,
            // Who is gone needs no answer.
            Err(refused) => return drop(caller.send(Err(refused))),
        };
        let ended = tokio::select! {
            biased;
            () = turn.stopped() => Ended::Stopped,
            () = self.falls(&begun) => Ended::Stopped,
            () = caller.closed() => Ended::Cancelled,
            ended = self.call(&begun.connection, secret, &begun.query) => ended,
        };
        self.note_host(&begun.connection, &ended);
        self.logins.settle(claim, ended.login()).await;
        self.end_injection(actor, (begun, &turn), ended, caller).await;
    }

    async fn ready_to_inject(&self, actor: &Actor, id: &ConnectionId, ask: Ask) -> Result<Ready, Error> {
        let permit = self.permit(actor, Action::Inject, id.into()).await?;
        let scope = permit.own().clone();
        // By the whole policy first: whether the question is one does not depend on whose connection it is.
        ask.judged_by(&self.readable).map_err(of_ask)?;
        let own = id.clone();
        let look = move |tx: &mut Tx| {
            let found = tx.find_connection(&own)?.ok_or(Error::NotFound)?;
            Ok::<_, Error>((found, tx.find_injection()?.readable))
        };
        let found = self.store.view("look before inject", scope.clone().into(), LEND_DEADLINE, look).await;
        let (found, readable) = self.found(actor, Action::Inject, id.into(), found).await?;
        if let Err(unmet) = permit.judge(&found.user, found.about()) {
            let refused = LendRefused::Unmet(unmet);
            return Err(self.record_refused(actor, Action::Inject, id.into(), refused).await);
        }
        let query = match narrowed(&self.readable, readable.as_deref(), &ask) {
            Ok(query) => query,
            Err(refused) => return Err(self.record_unreadable(actor, id, refused).await),
        };
        self.switch.refuse()?;
        let now = self.clock.now();
        let (url, ..) = found.destination.parts();
        let turn = self.injections.begin(id, &found.org, url).ok_or(Error::TooManyReads)?;
        self.circuits.pass(&found.org, url, now).map_err(|until| Error::HostDown { until, now })?;
        Ok(Ready { permit, scope, found, ask: Arc::new(ask), query, readable, turn })
    }

    /// A question that is one, of what the org does not let be read, is on record.
    async fn record_unreadable(&self, actor: &Actor, id: &ConnectionId, refused: Error) -> Error {
        match refused {
            Error::Invalid(_) => {
                let recorded = self.record_refusal(actor, Action::Inject, id.into(), "not-readable").await;
                recorded.err().unwrap_or(refused)
            }
            refused => refused,
        }
    }
}

/// The question, held against the part of `all` that the org lets be asked.
fn narrowed(all: &Readable, part: Option<&str>, ask: &Ask) -> Result<ReadQuery, Error> {
    match part {
        None => ask.judged_by(all).map_err(of_ask),
        Some(part) => {
            let part = serde_json::from_str(part).map_err(|_| Error::Damaged("org_settings"))?;
            ask.judged_by(&all.narrowed(&part)).map_err(of_ask)
        }
    }
}

fn of_ask(refused: Vec<AskRefused>) -> Error {
    let wrong = |it: &AskRefused| FieldError::new(&it.field, it.rule, it.detail.clone());
    Error::Invalid(refused.iter().map(wrong).collect())
}

/// The latest moment at which a call that begins now ends.
const WITHIN: Duration = Duration::from_secs(60);
