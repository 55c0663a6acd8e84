//! Injection: the vault itself asks a connection's Odoo, and its caller gets records and never the secret. That it
//! begins is on record before the secret is opened; how it ended comes after. A forget, a replace or a freeze ends what
//! is under way before it answers; so does a caller who hangs up.

mod begin;
mod call;
mod circuit;
mod echoes;
mod end;
mod running;
mod scan;

use std::time::Duration;

use tokio::sync::oneshot;

use crate::access::{Action, Permit, UserScope};
use crate::audit::Actor;
use crate::error::{Error, FieldError};
use crate::ids::ConnectionId;
use crate::odoo::{Ask, AskRefused, Login, ReadQuery};
use crate::store::{Injection, StoredConnection, Tx};
use crate::vault::freeze::frozen_meanwhile;
use crate::vault::inject::end::Ended;
use crate::vault::inject::running::Turn;
use crate::vault::{LEND_DEADLINE, Vault};

pub(super) use circuit::Circuits;
pub(super) use running::Injections;

/// An answer.
#[derive(Debug)]
pub struct Injected {
    /// `{"records":[…]}`.
    pub body: Vec<u8>,
    /// How many there are.
    pub records: u64,
}

/// Who waits for the answer. Dropped at its other end, the injection ends.
pub type Answer = oneshot::Sender<Result<Injected, Error>>;

/// What may begin: everything but the record of it.
struct Ready {
    permit: Permit,
    scope: UserScope,
    found: StoredConnection,
    query: ReadQuery,
    turn: Turn,
}

impl Vault {
    /// Asks the Odoo of the caller's own connection `id`, and tells `caller` what came of it.
    pub async fn inject(&self, actor: &Actor, id: ConnectionId, ask: Ask, mut caller: Answer) {
        let begun = async {
            let ready = self.ready_to_inject(actor, &id, &ask).await?;
            let claim = self.logins.claim(&ready.found.org, ready.found.destination.parts()).await?;
            match self.open_to_inject(actor, &ready).await {
                Ok(opened) => Ok((ready, claim, opened)),
                Err(refused) => {
                    self.logins.settle(claim, Login::Unknown).await;
                    Err(refused)
                }
            }
        };
        let (ready, claim, (connection, secret)) = match begun.await {
            Ok(begun) => begun,
            // Who is gone needs no answer.
            Err(refused) => return drop(caller.send(Err(refused))),
        };
        let scope = ready.scope.clone().into();
        let ended = tokio::select! {
            biased;
            () = ready.turn.stopped() => Ended::Stopped,
            () = frozen_meanwhile(&self.store, &scope, &self.switch) => Ended::Stopped,
            () = caller.closed() => Ended::Cancelled,
            ended = self.call(&connection, secret, &ready.query) => ended,
        };
        self.note_host(&connection, &ended);
        self.logins.settle(claim, ended.login()).await;
        self.end_injection(actor, &ready, connection, ended, caller).await;
    }

    async fn ready_to_inject(&self, actor: &Actor, id: &ConnectionId, ask: &Ask) -> Result<Ready, Error> {
        let permit = self.permit(actor, Action::Inject).await?;
        let scope = permit.own().clone();
        // By the whole policy first: whether the question is one does not depend on whose connection it is.
        ask.judged_by(&self.readable).map_err(of_ask)?;
        let own = id.clone();
        let look = move |tx: &mut Tx| {
            let found = tx.find_connection(&own)?.ok_or(Error::NotFound)?;
            Ok::<_, Error>((found, tx.find_injection()?))
        };
        let (found, set) =
            self.store.view("look before inject", scope.clone().into(), LEND_DEADLINE, look).await?;
        if let Err(unmet) = permit.judge(&found.user, found.about()) {
            return Err(self.record_unmet(actor, Action::Inject, Some(id), unmet).await);
        }
        let query = self.narrowed(ask, &set)?;
        self.switch.refuse()?;
        let now = self.clock.now();
        let (url, ..) = found.destination.parts();
        let turn = self.injections.begin(id, &found.org, url).ok_or(Error::TooManyReads)?;
        self.circuits.pass(&found.org, url, now).map_err(|until| Error::HostDown { until, now })?;
        Ok(Ready { permit, scope, found, query, turn })
    }

    /// The question, held against what the org lets be asked.
    fn narrowed(&self, ask: &Ask, set: &Injection) -> Result<ReadQuery, Error> {
        match &set.readable {
            None => ask.judged_by(&self.readable).map_err(of_ask),
            Some(part) => {
                let part = serde_json::from_str(part).map_err(|_| Error::Damaged("org_settings"))?;
                ask.judged_by(&self.readable.narrowed(&part)).map_err(of_ask)
            }
        }
    }
}

fn of_ask(refused: Vec<AskRefused>) -> Error {
    let wrong = |it: &AskRefused| FieldError::new(&it.field, it.rule, it.detail.clone());
    Error::Invalid(refused.iter().map(wrong).collect())
}

/// The latest moment at which a call that begins now ends.
const WITHIN: Duration = Duration::from_secs(60);
