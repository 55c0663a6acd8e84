//! How a read ends: what its caller is told, and what is on record of it.

use std::sync::Arc;

use bytes::Bytes;

use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::egress::EgressError;
use crate::error::Error;
use crate::metrics;
use crate::odoo::{Login, OdooError};
use crate::store::{StoredConnection, Tx};
use crate::vault::inject::begin::Begun;
use crate::vault::inject::room::Share;
use crate::vault::inject::running::Turn;
use crate::vault::inject::stands::fallen;
use crate::vault::inject::{Answer, Injected, call};
use crate::vault::{DEADLINE, Vault};

/// What is given out, with the room that it takes.
pub(super) struct Found {
    pub(super) body: Bytes,
    pub(super) room: Arc<Share>,
}

/// How the call ended.
pub(super) enum Ended {
    /// With so many records.
    Answered(Found, u64),
    Failed(OdooError),
    /// What came held the secret; and what it told of that one.
    Leaked(Login),
    /// By a forget, a replace, a freeze or another setting of its org's.
    Stopped,
    /// It can't be seen whether the read still stands.
    Unseen,
    /// The caller hung up.
    Cancelled,
}

impl Ended {
    pub(super) fn login(&self) -> Login {
        match self {
            Self::Answered(..) => Login::Taken,
            Self::Leaked(login) => *login,
            Self::Failed(cause) => Login::of(*cause),
            Self::Stopped | Self::Unseen | Self::Cancelled => Login::Unknown,
        }
    }

    /// Nothing of this is told if the secret was in it.
    pub(super) fn unless(self, is_leaked: bool) -> Self {
        if is_leaked { Self::Leaked(self.login()) } else { self }
    }
}

impl Vault {
    /// Whether the host answers.
    pub(super) fn note_host(&self, connection: &StoredConnection, ended: &Ended) {
        let (url, ..) = connection.destination.parts();
        match ended {
            Ended::Failed(cause) if call::is_dead(*cause) => {
                if self.circuits.failed(&connection.org, url, self.clock.now()) {
                    metrics::circuit_opened();
                }
            }
            // Nobody asked it.
            Ended::Failed(OdooError::Egress(EgressError::LookUpsFull)) => {}
            Ended::Answered(..) | Ended::Failed(_) | Ended::Leaked(_) => {
                self.circuits.answered(&connection.org, url);
            }
            Ended::Stopped | Ended::Unseen | Ended::Cancelled => {}
        }
    }

    /// Answers, and puts on record how it ended: what was answered well after that, everything else before.
    pub(super) async fn end_injection(
        &self,
        actor: &Actor,
        (begun, turn): (Begun, &Turn),
        ended: Ended,
        caller: Answer,
    ) {
        let ended = match ended {
            // What was taken away since the last look, also by another replica, is not told any more.
            Ended::Answered(found, records) => match self.stands(&begun).await {
                Ok(true) => Ended::Answered(found, records),
                Ok(false) => Ended::Stopped,
                Err(_) => Ended::Unseen,
            },
            ended => ended,
        };
        let mut caller = Some(caller);
        let mut tell = |answer| caller.take().is_some_and(|caller| caller.send(answer).is_ok());
        let (outcome, answer, counts) = match ended {
            Ended::Answered(found, records) => {
                let counts = (records, u64::try_from(found.body.len()).unwrap_or(u64::MAX));
                match tell(Ok(Injected::new(turn.place(), found))) {
                    true => (Outcome::DoneWith("ok"), None, counts),
                    false => (Outcome::Refused("cancelled"), None, (0, 0)),
                }
            }
            Ended::Failed(cause) if cause.is_refusal() => {
                (Outcome::Refused("auth-failed"), Some(Error::AuthFailed), (0, 0))
            }
            Ended::Failed(OdooError::Egress(EgressError::NoRoom)) => {
                (Outcome::Refused("too-many-reads"), Some(Error::TooManyReads), (0, 0))
            }
            Ended::Failed(cause) => {
                let (code, detail) = (cause.code(), cause.to_string());
                (Outcome::Refused("odoo-failed"), Some(Error::OdooFailed { code, detail }), (0, 0))
            }
            Ended::Leaked(_) => (Outcome::Refused("leak-stopped"), Some(Error::LeakStopped), (0, 0)),
            Ended::Stopped => {
                (Outcome::Refused("credential-replaced"), Some(Error::CredentialReplaced), (0, 0))
            }
            Ended::Unseen => {
                let unseen = Error::Unavailable("whether it may still be read can't be seen".into());
                (Outcome::Refused("unavailable"), Some(unseen), (0, 0))
            }
            Ended::Cancelled => (Outcome::Refused("cancelled"), None, (0, 0)),
        };
        let end = End { outcome, counts };
        let kept = match self.keep_end(actor, &begun, &answer, end).await {
            Err(Error::Unavailable(_)) => self.keep_end(actor, &begun, &answer, end).await,
            kept => kept,
        };
        let (name, answer) = match kept {
            Ok(meanwhile) => (meanwhile.as_ref().map(cause_of), meanwhile.or(answer)),
            Err(error) => {
                tracing::error!(%error, connection = %begun.connection.id, "how a read ended is not on record");
                (None, answer)
            }
        };
        metrics::injection(name.unwrap_or(end.name()), end.counts.0, end.counts.1);
        if let Some(error) = answer {
            tell(Err(error));
        }
    }

    /// Puts the end on record, with what it shows of the credential. What became of the connection meanwhile, where
    /// that is why it ended.
    async fn keep_end(
        &self,
        actor: &Actor,
        begun: &Begun,
        answer: &Option<Error>,
        end: End,
    ) -> Result<Option<Error>, Error> {
        let (at, actor, connection) = (self.clock.now(), actor.clone(), begun.connection.clone());
        let (readable, is_frozen_here) = (begun.readable.clone(), self.switch.is_frozen());
        let was_stopped = matches!(answer, Some(Error::CredentialReplaced));
        let was_refused = matches!(answer, Some(Error::AuthFailed));
        let code = if let Some(Error::OdooFailed { code, .. }) = answer { Some(*code) } else { None };
        let keep = move |tx: &mut Tx| {
            let meanwhile = match was_stopped {
                true => {
                    let why = fallen(tx, &connection, readable.as_deref())?;
                    // What stopped it and is not there any more is on record by itself.
                    let here = if is_frozen_here { Error::Frozen } else { Error::Unavailable(OVER.into()) };
                    Some(why.unwrap_or(here))
                }
                false => None,
            };
            if was_refused {
                tx.mark_connection(&connection, Some("auth_failed"), at)?;
            }
            if was_refused || (end.name() == "ok" && !connection.was_taken) {
                tx.note_login(&connection, !was_refused)?;
            }
            let subject = Subject { connection: Some(&connection.id), label: None, lease: None };
            if end.name() == "leak-stopped" {
                tx.mark_leaked(&connection)?;
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
        self.store.run("end inject", begun.scope.clone().into(), DEADLINE, keep).await
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
        Error::HostNotAllowed => "host-not-allowed",
        Error::Unavailable(_) => "settings-changed",
        _ => "credential-replaced",
    }
}

const OVER: &str = "the read was ended by what is over by now: ask again";
