//! Injection: the vault itself asks a connection's Odoo, and its caller gets records and never the secret. That it
//! begins is on record before the secret is opened; how it ended comes after. A forget, a replace or a freeze ends what
//! is under way before it answers; so does a caller who hangs up.

mod call;
mod circuit;
mod echoes;
mod running;
mod scan;

use std::time::Duration;

use tokio::sync::oneshot;

use crate::access::{Action, Permit, UserScope};
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::egress::EgressError;
use crate::error::{Error, FieldError};
use crate::ids::ConnectionId;
use crate::metrics;
use crate::odoo::{Ask, AskRefused, Login, OdooError, ReadQuery};
use crate::secret::Secret;
use crate::store::{Injection, LendRefused, StoredConnection, Tx};
use crate::vault::freeze::frozen_meanwhile;
use crate::vault::inject::running::Turn;
use crate::vault::leave::{find_permitted, note_refusal};
use crate::vault::lend::{binding, proof};
use crate::vault::{DEADLINE, LEND_DEADLINE, Vault};

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

/// How the call ended.
enum Ended {
    Answered(Injected),
    Failed(OdooError),
    /// What came held the secret; and what it told of that one.
    Leaked(Login),
    /// By a forget, a replace or a freeze.
    Stopped,
    /// The caller hung up.
    Cancelled,
}

impl Ended {
    fn login(&self) -> Login {
        match self {
            Self::Answered(_) => Login::Taken,
            Self::Leaked(login) => *login,
            Self::Failed(cause) => Login::of(*cause),
            Self::Stopped | Self::Cancelled => Login::Unknown,
        }
    }

    /// Nothing of this is told if the secret was in it.
    fn unless(self, is_leaked: bool) -> Self {
        if is_leaked { Self::Leaked(self.login()) } else { self }
    }
}

impl Vault {
    /// Asks the Odoo of the caller's own connection `id`, and tells `caller` what came of it.
    pub async fn inject(&self, actor: &Actor, id: ConnectionId, ask: Ask, mut caller: Answer) {
        let begun = async {
            let ready = self.ready_to_inject(actor, &id, &ask).await?;
            let claim = self.logins.claim(&ready.found).await?;
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

    /// The secret, opened; that it is used is on record then.
    async fn open_to_inject(
        &self,
        actor: &Actor,
        ready: &Ready,
    ) -> Result<(StoredConnection, Secret), Error> {
        let at = self.clock.now();
        let model = ready.query.fields().model().name().to_owned();
        let method = ready.query.method().as_str();
        let begun = self.with_ring(async |held| {
            let (actor, owner, id) = (actor.clone(), ready.scope.clone(), ready.found.id.clone());
            let (permit, untold, keyring) = (ready.permit.clone(), self.untold.clone(), held.keyring.clone());
            let model = model.clone();
            let begin = move |tx: &mut Tx| {
                let connection = match find_permitted(tx, (&actor, &permit, &untold), &id, at)? {
                    Ok(connection) => connection,
                    Err(unmet) => return Ok(Err(LendRefused::Unmet(unmet))),
                };
                let found = match tx.find_frozen()?.is_frozen() {
                    true => Err(LendRefused::Frozen),
                    false => tx.find_sealed(&owner, &id, &proof(&keyring, &owner, &id))?,
                };
                let found = match found {
                    Ok(found) => tx.may_be_called(&found.destination)?.map(|()| found),
                    Err(refused) => Err(refused),
                };
                let found = found.and_then(|credential| match () {
                    () if !credential.kind.is_odoo() => Err(LendRefused::NotOdoo),
                    () if credential.auth_failed => Err(LendRefused::AuthFailed),
                    () => Ok(credential),
                });
                if let Err(LendRefused::UnknownKey(key)) = &found
                    && held.may_learn(key)
                {
                    return Err(Error::OldRing(key.clone()));
                }
                let subject = Subject { connection: Some(&id), label: None, lease: None };
                match &found {
                    Ok(_) => {
                        let more = [("model", model.as_str()), ("method", method)];
                        tx.append(&AuditEvent::of_with(
                            &actor,
                            Action::Inject,
                            (subject, &more),
                            Outcome::Done,
                            at,
                        )?)?;
                    }
                    Err(refused) => {
                        let why = (refused.cause(), at);
                        note_refusal(tx, (&actor, &untold), Action::Inject, subject, why)?;
                    }
                }
                Ok::<_, Error>(found.map(|credential| (keyring, connection, credential)))
            };
            let begun = self.store.run("begin inject", ready.scope.clone().into(), LEND_DEADLINE, begin);
            begun.await?.map_err(|refused| match refused {
                LendRefused::NotOdoo => {
                    Error::NotOdoo(FieldError::of_odoo_alone("id", "must be of a password or API key"))
                }
                refused => Error::of_lend(refused, at),
            })
        });
        let late = |_| Error::Unavailable("deadline".into());
        let (keyring, connection, credential) =
            tokio::time::timeout(LEND_DEADLINE, begun).await.map_err(late)??;
        // The host may have been frozen meanwhile.
        self.switch.refuse()?;
        let binding = binding(&ready.scope, &connection.id, &credential);
        let secret = keyring.open(&binding, &credential.sealed).map_err(|_| Error::DoesNotOpen)?;
        // Where it is sent is what it was sealed for.
        let (destination, revision) = (credential.destination, credential.revision);
        Ok((StoredConnection { destination, revision, ..connection }, secret))
    }

    /// Whether the host answers.
    fn note_host(&self, connection: &StoredConnection, ended: &Ended) {
        let (url, ..) = connection.destination.parts();
        match ended {
            Ended::Failed(cause) if call::is_dead(*cause) => {
                if self.circuits.failed(&connection.org, url, self.clock.now()) {
                    metrics::circuit_opened();
                }
            }
            // Nobody asked it.
            Ended::Failed(OdooError::Egress(EgressError::LookUpsFull)) => {}
            Ended::Answered(_) | Ended::Failed(_) | Ended::Leaked(_) => {
                self.circuits.answered(&connection.org, url);
            }
            Ended::Stopped | Ended::Cancelled => {}
        }
    }

    /// Answers, and puts on record how it ended: what was answered well after that, everything else before.
    async fn end_injection(
        &self,
        actor: &Actor,
        ready: &Ready,
        connection: StoredConnection,
        ended: Ended,
        caller: Answer,
    ) {
        let mut caller = Some(caller);
        let mut tell = |answer| match caller.take().map(|caller| caller.send(answer)) {
            Some(Err(_)) => Ended::Cancelled,
            _ => Ended::Stopped,
        };
        let (outcome, answer, counts) = match ended {
            Ended::Answered(injected) => {
                let counts = (injected.records, injected.body.len());
                match tell(Ok(injected)) {
                    Ended::Cancelled => (Outcome::Refused("cancelled"), None, (0, 0)),
                    _ => (Outcome::DoneWith("ok"), None, counts),
                }
            }
            Ended::Failed(cause) if cause.is_refusal() => {
                (Outcome::Refused("auth-failed"), Some(Error::AuthFailed), (0, 0))
            }
            Ended::Failed(cause) => {
                let (code, detail) = (cause.code(), cause.to_string());
                (Outcome::Refused("odoo-failed"), Some(Error::OdooFailed { code, detail }), (0, 0))
            }
            Ended::Leaked(_) => (Outcome::Refused("leak-stopped"), Some(Error::LeakStopped), (0, 0)),
            Ended::Stopped => {
                (Outcome::Refused("credential-replaced"), Some(Error::CredentialReplaced), (0, 0))
            }
            Ended::Cancelled => (Outcome::Refused("cancelled"), None, (0, 0)),
        };
        let end = End { outcome, counts: (counts.0, u64::try_from(counts.1).unwrap_or(u64::MAX)) };
        let kept = match self.keep_end(actor, ready, &connection, &answer, end).await {
            Err(Error::Unavailable(_)) => self.keep_end(actor, ready, &connection, &answer, end).await,
            kept => kept,
        };
        let (name, answer) = match kept {
            Ok(meanwhile) => (meanwhile.as_ref().map(cause_of), meanwhile.or(answer)),
            Err(error) => {
                tracing::error!(%error, connection = %connection.id, "how a read ended is not on record");
                (None, answer)
            }
        };
        metrics::injection(name.unwrap_or(end.name()), end.counts.0, end.counts.1);
        if let Some(error) = answer {
            drop(tell(Err(error)));
        }
    }

    /// Puts the end on record, with what it shows of the credential. What became of the connection meanwhile, where
    /// that is why it ended.
    async fn keep_end(
        &self,
        actor: &Actor,
        ready: &Ready,
        connection: &StoredConnection,
        answer: &Option<Error>,
        end: End,
    ) -> Result<Option<Error>, Error> {
        let (at, actor, connection) = (self.clock.now(), actor.clone(), connection.clone());
        let was_stopped = matches!(answer, Some(Error::CredentialReplaced));
        let was_refused = matches!(answer, Some(Error::AuthFailed));
        let code = if let Some(Error::OdooFailed { code, .. }) = answer { Some(*code) } else { None };
        let keep = move |tx: &mut Tx| {
            let now = tx.find_connection(&connection.id)?;
            let is_same = now.as_ref().is_some_and(|now| now.revision == connection.revision);
            let meanwhile = match &now {
                _ if !was_stopped => None,
                None => Some(Error::NotFound),
                Some(_) if is_same => Some(Error::Frozen),
                Some(_) => Some(Error::CredentialReplaced),
            };
            if was_refused && is_same {
                tx.mark_connection(&connection, Some("auth_failed"), at)?;
            }
            if was_refused || (end.name() == "ok" && !connection.was_taken) {
                tx.note_login(&connection, !was_refused)?;
            }
            let subject = Subject { connection: Some(&connection.id), label: None, lease: None };
            if end.name() == "leak-stopped" {
                let leak =
                    AuditEvent::of_stage(&actor, "inject.leak_stopped", (subject, &[]), Outcome::Done, at)?;
                tx.append_past_quota(&leak)?;
            }
            let (records, bytes) = (end.counts.0.to_string(), end.counts.1.to_string());
            let mut more = vec![("records", records.as_str()), ("bytes", bytes.as_str())];
            more.extend(code.map(|code| ("odoo", code)));
            let outcome = meanwhile.as_ref().map_or(end.outcome, |why| Outcome::Refused(cause_of(why)));
            let event = AuditEvent::of_stage(&actor, "inject.finished", (subject, &more), outcome, at)?;
            tx.append_past_quota(&event)?;
            Ok::<_, Error>(meanwhile)
        };
        self.store.run("end inject", ready.scope.clone().into(), DEADLINE, keep).await
    }
}

#[derive(Clone, Copy)]
struct End {
    outcome: Outcome,
    counts: (u64, u64),
}

impl End {
    fn name(self) -> &'static str {
        match self.outcome {
            Outcome::Done => "ok",
            Outcome::DoneWith(name) | Outcome::Refused(name) => name,
        }
    }
}

/// Why an injection was stopped, in the trail's words.
fn cause_of(meanwhile: &Error) -> &'static str {
    match meanwhile {
        Error::NotFound => "not-found",
        Error::Frozen => "frozen",
        _ => "credential-replaced",
    }
}

fn of_ask(refused: Vec<AskRefused>) -> Error {
    let wrong = |it: &AskRefused| FieldError::new(&it.field, it.rule, it.detail.clone());
    Error::Invalid(refused.iter().map(wrong).collect())
}

/// The latest moment at which a call that begins now ends.
const WITHIN: Duration = Duration::from_secs(60);
