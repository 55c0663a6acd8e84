//! One record of the trail: who did what to what, how it ended, and nothing secret.

use std::collections::BTreeMap;

use crate::access::{Action, Caller, Holder, Issued, Operator, Principal, Role, UserScope};
use crate::clock::{Moment, NoRandomness};
use crate::ids::{ClientId, ConnectionId, EventId, LeaseId, OrgId, RequestId, SourceId, UserId};

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
    /// The lease.
    pub lease: Option<&'a LeaseId>,
}

/// Who did it, by which request.
#[derive(Clone)]
pub struct Actor {
    /// The caller.
    pub caller: Caller,
    /// Their request.
    pub request: RequestId,
}

/// An operator, by which request.
#[derive(Clone)]
pub struct OperatorActor {
    /// The operator.
    pub operator: Operator,
    /// Their request.
    pub request: RequestId,
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
    /// `principal`, by that request.
    pub fn new(principal: Principal, request: RequestId) -> Self {
        match principal {
            Principal::Caller(caller) => Self::Caller(Actor { caller, request }),
            Principal::Operator(operator) => Self::Operator(OperatorActor { operator, request }),
        }
    }
}

/// An event whose bytes are fixed: rendered once, stored and hashed as they are.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    org: Option<OrgId>,
    bytes: String,
}

impl AuditEvent {
    /// An event of a caller's doing, in the caller's org.
    pub fn of(
        Actor { caller, request }: &Actor,
        action: Action,
        subject: Subject,
        outcome: Outcome,
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, action.recorded(), outcome)?;
        if let Some(purpose) = action.purpose() {
            members.text("purpose", purpose);
        }
        members.who(caller.org(), caller.user(), caller.client());
        members.text("request_id", request.as_str());
        if let Some(connection) = subject.connection {
            members.text("connection_id", connection.as_str());
        }
        if let Some(lease) = subject.lease {
            members.text("lease_id", lease.as_str());
        }
        Ok(members.render(Some(caller.org().clone())))
    }

    /// An event of an operator's doing, in the vault's own chain.
    pub fn of_operator(
        OperatorActor { operator, request }: &OperatorActor,
        action: &str,
        more: &[(&'static str, &str)],
        outcome: Outcome,
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, action, outcome)?;
        members.text("client_id", operator.client().as_str());
        members.text("request_id", request.as_str());
        more.iter().for_each(|(name, value)| members.text(name, value));
        Ok(members.render(None))
    }

    /// A token that was made, by the command line or for an assertion: in its org, an operator's in the vault's own
    /// chain. With it, by its `token_id`, what it did can be told from what another did, and it can be revoked.
    pub fn of_token(
        action: &'static str,
        holder: &Holder,
        issued: &Issued,
        more: &[(&'static str, &str)],
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, action, Outcome::Done)?;
        let roles: Vec<&str> = holder.roles.iter().map(Role::as_str).collect();
        match &holder.tenant {
            Some((org, user)) => members.who(org, user, &holder.client),
            None => members.text("client_id", holder.client.as_str()),
        }
        members.text("role", &roles.join(" "));
        members.text("token_id", &issued.id);
        members.text("expires_at", &issued.expires_at.to_string());
        more.iter().for_each(|(name, value)| members.text(name, value));
        Ok(members.render(holder.tenant.as_ref().map(|(org, _)| org.clone())))
    }

    /// The same as the vault's own, in the org that it is about.
    pub fn of_host(
        org: &OrgId,
        action: &'static str,
        subject: &str,
        more: &[(&'static str, &str)],
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, action, Outcome::Done)?;
        members.text("org", org.as_str());
        members.text("client_id", "cli");
        members.text("subject", subject);
        more.iter().for_each(|(name, value)| members.text(name, value));
        Ok(members.render(Some(org.clone())))
    }

    /// A row of another product's table, moved in on the host for somebody, in their org.
    pub fn imported(
        scope: &UserScope,
        connection: &ConnectionId,
        (source, row): (&str, &SourceId),
        outcome: Outcome,
        now: Moment,
    ) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, "connection.import", outcome)?;
        members.text("org", scope.org().as_str());
        members.text("user", scope.user().as_str());
        members.text("client_id", "cli");
        members.text("connection_id", connection.as_str());
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
        members.text("org", org.as_str());
        for (name, count) in counts {
            members.text(name, &count.to_string());
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

    /// Whose trail it belongs to; `None` for the vault's own.
    pub fn org(&self) -> Option<&OrgId> {
        self.org.as_ref()
    }

    /// The canonical bytes: a JSON object, members sorted, no white space, texts alone.
    pub fn as_str(&self) -> &str {
        &self.bytes
    }
}

struct Members(BTreeMap<&'static str, String>);

impl Members {
    fn new(now: Moment, action: &str, outcome: Outcome) -> Result<Self, NoRandomness> {
        let mut members = Self(BTreeMap::new());
        members.text("id", EventId::new(now)?.as_str());
        members.text("at", &now.to_string());
        members.text("action", action);
        match outcome {
            Outcome::Done => members.text("outcome", "done"),
            Outcome::DoneWith(result) => {
                members.text("outcome", "done");
                members.text("result", result);
            }
            Outcome::Refused(cause) => {
                members.text("outcome", "refused");
                members.text("cause", cause);
            }
        }
        Ok(members)
    }

    fn who(&mut self, org: &OrgId, user: &UserId, client: &ClientId) {
        self.text("org", org.as_str());
        self.text("user", user.as_str());
        self.text("client_id", client.as_str());
    }

    fn text(&mut self, name: &'static str, value: &str) {
        self.0.insert(name, value.to_owned());
    }

    fn render(self, org: Option<OrgId>) -> AuditEvent {
        // Texts under texts always render.
        let bytes = serde_json::to_string(&self.0).unwrap_or_default();
        AuditEvent { org, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{GENESIS, link};

    #[test]
    fn bytes_are_canonical_and_the_chain_tells_every_change() {
        let now = Moment::from_micros(1_700_000_000_000_001);
        let event = AuditEvent::of_vault("key.make", "k1", now).unwrap();
        let parsed: BTreeMap<String, String> = serde_json::from_str(event.as_str()).unwrap();
        assert_eq!(serde_json::to_string(&parsed).unwrap(), event.as_str());
        assert_eq!(parsed["at"], "2023-11-14T22:13:20.000001Z");

        let hash = |org: Option<&OrgId>, seq, bytes: &str| link(org, seq, &GENESIS, bytes.as_bytes());
        let first = hash(None, 1, event.as_str());
        let other = OrgId::parse("o").unwrap();
        assert_ne!(first, hash(Some(&other), 1, event.as_str()));
        assert_ne!(first, hash(None, 2, event.as_str()));
        assert_ne!(first, hash(None, 1, &event.as_str().replace("k1", "k2")));
        assert_ne!(first, link(None, 1, &first, event.as_str().as_bytes()));
    }
}
