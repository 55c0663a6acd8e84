//! One record of the trail: who did what to what, from where, how it ended, and nothing secret. `docs/audit.md` says
//! what each member holds; where OCSF has a name for it, it has that one.

use std::net::IpAddr;

use crate::access::{Action, Caller, Holder, Issued, Operator, Principal, Role, UserScope};
use crate::audit::members::{Members, member};
use crate::clock::{Moment, NoRandomness};
use crate::ids::{ClientId, ConnectionId, LeaseId, OrgId, RequestId, SourceId, TokenId, UserId};
use crate::telemetry::TraceId;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Done, and what it told: a loan came back unused, say.
    DoneWith(&'static str),
    /// Not done, with the stable name of the cause.
    Refused(&'static str),
}

/// What it was done to.
#[derive(Clone, Copy, Default)]
pub struct Subject<'a> {
    /// The connection.
    pub connection: Option<&'a ConnectionId>,
    /// What people call the connection.
    pub label: Option<&'a str>,
    /// The lease.
    pub lease: Option<&'a LeaseId>,
}

impl<'a> From<&'a ConnectionId> for Subject<'a> {
    fn from(connection: &'a ConnectionId) -> Self {
        Self { connection: Some(connection), ..Self::default() }
    }
}

impl<'a> From<&'a LeaseId> for Subject<'a> {
    fn from(lease: &'a LeaseId) -> Self {
        Self { lease: Some(lease), ..Self::default() }
    }
}

/// By which call it was done.
#[derive(Clone)]
pub struct Call {
    /// Its request.
    pub request: RequestId,
    /// Where it came from, as far as anybody can be believed.
    pub address: Option<IpAddr>,
    /// The trace that it is a piece of.
    pub trace: Option<TraceId>,
}

/// Who did it, by which call.
#[derive(Clone)]
pub struct Actor {
    /// The caller.
    pub caller: Caller,
    /// Their call.
    pub call: Call,
}

/// An operator, by which call.
#[derive(Clone)]
pub struct OperatorActor {
    /// The operator.
    pub operator: Operator,
    /// Their call.
    pub call: Call,
}

/// Whoever acts.
#[derive(Clone)]
pub enum Who {
    /// For a user of an org.
    Caller(Actor),
    /// For no org.
    Operator(OperatorActor),
}

impl Who {
    /// `principal`, by that call.
    pub fn new(principal: Principal, call: Call) -> Self {
        match principal {
            Principal::Caller(caller) => Self::Caller(Actor { caller, call }),
            Principal::Operator(operator) => Self::Operator(OperatorActor { operator, call }),
        }
    }
}

/// An event whose bytes are fixed: rendered once, stored and hashed as they are.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    org: Option<OrgId>,
    at: Moment,
    bytes: String,
}

impl AuditEvent {
    /// An event of a caller's doing, in the caller's org.
    pub fn of(
        actor: &Actor,
        action: Action,
        subject: Subject,
        outcome: Outcome,
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        Self::of_with(actor, action, (subject, &[]), outcome, now)
    }

    /// The same with more to tell of it.
    pub fn of_with(
        Actor { caller, call }: &Actor,
        action: Action,
        (subject, more): (Subject, &[(&'static str, &str)]),
        outcome: Outcome,
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, action.recorded(), outcome)?;
        if let Some(purpose) = action.purpose() {
            members.text("purpose", purpose);
        }
        members.who(caller.org(), caller.user(), caller.client());
        members.call(call);
        members.subject(subject);
        more.iter().for_each(|(name, value)| members.text(name, value));
        Ok(members.render(Some(caller.org().clone())))
    }

    /// What became of an action that took a while, by a name of its own.
    pub fn of_stage(
        Actor { caller, call }: &Actor,
        name: &'static str,
        (subject, more): (Subject, &[(&'static str, &str)]),
        outcome: Outcome,
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, name, outcome)?;
        members.who(caller.org(), caller.user(), caller.client());
        members.call(call);
        members.subject(subject);
        more.iter().for_each(|(name, value)| members.text(name, value));
        Ok(members.render(Some(caller.org().clone())))
    }

    /// A look at the org's own trail, and what was looked for.
    pub fn of_reading(
        Actor { caller, call }: &Actor,
        action: &'static str,
        more: &[(&'static str, &str)],
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, action, Outcome::Done)?;
        members.who(caller.org(), caller.user(), caller.client());
        members.call(call);
        more.iter().for_each(|(name, value)| members.text(name, value));
        Ok(members.render(Some(caller.org().clone())))
    }

    /// The end of a lease that was granted too late for its caller, who was told that there is none.
    pub fn unanswered(
        Actor { caller, call }: &Actor,
        subject: Subject,
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, "lease.unanswered", Outcome::Done)?;
        members.who(caller.org(), caller.user(), caller.client());
        members.call(call);
        members.subject(subject);
        Ok(members.render(Some(caller.org().clone())))
    }

    /// An event of an operator's doing, in the vault's own chain.
    pub fn of_operator(
        OperatorActor { operator, call }: &OperatorActor,
        action: &str,
        more: &[(&'static str, &str)],
        outcome: Outcome,
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, action, outcome)?;
        members.text(member::CLIENT, operator.client().as_str());
        members.call(call);
        more.iter().for_each(|(name, value)| members.text(name, value));
        Ok(members.render(None))
    }

    /// A token that was made, by the command line or for an assertion: in its org, an operator's in the vault's own
    /// chain. With it, by its `token_id`, what it did can be told from what another did, and it can be revoked.
    pub fn of_token(
        action: &'static str,
        holder: &Holder,
        issued: &Issued,
        (call, more): (Option<&Call>, &[(&'static str, &str)]),
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, action, Outcome::Done)?;
        let roles: Vec<&str> = holder.roles.iter().map(Role::as_str).collect();
        match &holder.tenant {
            Some((org, user)) => members.who(org, user, &holder.client),
            None => members.text(member::CLIENT, holder.client.as_str()),
        }
        if let Some(call) = call {
            members.call(call);
        }
        members.text("role", roles.join(" "));
        members.text("token_id", &issued.id);
        members.text("expires_at", issued.expires_at);
        more.iter().for_each(|(name, value)| members.text(name, value));
        Ok(members.render(holder.tenant.as_ref().map(|(org, _)| org.clone())))
    }

    /// A token that a registered client asked for and may not have, in the vault's own chain: it has no right in an org
    /// that it names.
    pub fn of_wish(
        client: &ClientId,
        (call, assertion): (&Call, &TokenId),
        cause: &'static str,
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, "token.exchange", Outcome::Refused(cause))?;
        members.text(member::CLIENT, client.as_str());
        members.call(call);
        members.text("assertion_id", assertion.as_str());
        Ok(members.render(None))
    }

    /// Something the vault did for itself in an org.
    pub fn of_vault_in(
        org: &OrgId,
        action: &'static str,
        subject: &str,
        more: &[(&'static str, &str)],
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, action, Outcome::Done)?;
        members.text(member::ORG, org.as_str());
        members.text(member::CLIENT, "pawl");
        members.text("subject", subject);
        more.iter().for_each(|(name, value)| members.text(name, value));
        Ok(members.render(Some(org.clone())))
    }

    /// Something the vault did for itself about a connection of a user's.
    pub fn of_vault_about(
        (org, user): (&OrgId, &UserId),
        action: &'static str,
        (connection, label): (&ConnectionId, Option<&str>),
        more: &[(&'static str, &str)],
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, action, Outcome::Done)?;
        members.text(member::ORG, org.as_str());
        members.text(member::USER, user.as_str());
        members.text(member::CLIENT, "pawl");
        members.subject(Subject { connection: Some(connection), label, lease: None });
        more.iter().for_each(|(name, value)| members.text(name, value));
        Ok(members.render(Some(org.clone())))
    }

    /// Something done by a command on the host, in the org that it is about.
    pub fn of_host(
        org: &OrgId,
        action: &'static str,
        subject: &str,
        more: &[(&'static str, &str)],
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, action, Outcome::Done)?;
        members.text(member::ORG, org.as_str());
        members.text(member::CLIENT, "cli");
        members.text("subject", subject);
        more.iter().for_each(|(name, value)| members.text(name, value));
        Ok(members.render(Some(org.clone())))
    }

    /// A row of another product's table, moved in on the host for somebody, in their org.
    pub fn imported(
        scope: &UserScope,
        (connection, label): (&ConnectionId, Option<&str>),
        (source, row): (&str, &SourceId),
        outcome: Outcome,
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, "connection.import", outcome)?;
        members.text(member::ORG, scope.org().as_str());
        members.text(member::USER, scope.user().as_str());
        members.text(member::CLIENT, "cli");
        members.subject(Subject { connection: Some(connection), label, lease: None });
        members.text("source", source);
        members.text("source_id", row.as_str());
        Ok(members.render(Some(scope.org().clone())))
    }

    /// A whole import, with how many rows there were of each kind, in the vault's own chain.
    pub fn import_run(
        org: &OrgId,
        source: &str,
        counts: &[(&'static str, u64)],
        outcome: Outcome,
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, "import.run", outcome)?;
        members.text("subject", source);
        members.text(member::ORG, org.as_str());
        for (name, count) in counts {
            members.text(name, count);
        }
        Ok(members.render(None))
    }

    /// Something the vault did for itself, in its own chain: made a key, made an issuer.
    pub fn of_vault(action: &'static str, subject: &str, now: Moment) -> Result<Self, NoRandomness> {
        Self::of_vault_with(action, subject, &[], now)
    }

    /// The same with more to tell of it.
    pub fn of_vault_with(
        action: &'static str,
        subject: &str,
        more: &[(&'static str, &str)],
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, action, Outcome::Done)?;
        members.text("subject", subject);
        more.iter().for_each(|(name, value)| members.text(name, value));
        Ok(members.render(None))
    }

    /// What was rendered.
    pub(super) fn rendered(org: Option<OrgId>, at: Moment, bytes: String) -> Self {
        Self { org, at, bytes }
    }

    /// Whose trail it belongs to; `None` for the vault's own.
    pub fn org(&self) -> Option<&OrgId> {
        self.org.as_ref()
    }

    /// When it was.
    pub fn at(&self) -> Moment {
        self.at
    }

    /// The canonical bytes: a JSON object, members sorted, no white space, texts alone.
    pub fn as_str(&self) -> &str {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::audit::{GENESIS, link};

    #[test]
    fn bytes_are_canonical_and_the_chain_tells_every_change() {
        let now = Moment::from_micros(1_700_000_000_000_001);
        let event = AuditEvent::of_vault("key.make", "k1", now).unwrap();
        let parsed: BTreeMap<String, String> = serde_json::from_str(event.as_str()).unwrap();
        assert_eq!(serde_json::to_string(&parsed).unwrap(), event.as_str());
        assert_eq!(parsed["time_dt"], "2023-11-14T22:13:20.000001Z");

        let hash = |org: Option<&OrgId>, seq, bytes: &str| link(org, seq, &GENESIS, bytes.as_bytes());
        let first = hash(None, 1, event.as_str());
        let other = OrgId::parse("o").unwrap();
        assert_ne!(first, hash(Some(&other), 1, event.as_str()));
        assert_ne!(first, hash(None, 2, event.as_str()));
        assert_ne!(first, hash(None, 1, &event.as_str().replace("k1", "k2")));
        assert_ne!(first, link(None, 1, &first, event.as_str().as_bytes()));
    }
}
