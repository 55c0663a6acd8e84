//! The one who calls: verified, and the only source of a scope.

use std::sync::Arc;

use crate::access::action::Action;
use crate::access::permit::Permit;
use crate::access::policy::{Grant, Policy, Role};
use crate::access::scope::{Scope, UserScope};
use crate::clock::Moment;
use crate::ids::{ClientId, OrgId, UserId};

/// A caller whose token was verified.
#[derive(Clone)]
pub struct Caller {
    org: OrgId,
    user: UserId,
    client: ClientId,
    roles: Arc<[Role]>,
    expires_at: Moment,
    policy: Arc<Policy>,
}

/// No role of the caller grants the action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no role of this token grants {}", .0.as_str())]
pub struct Denied(pub Action);

impl Caller {
    pub(super) fn new(
        (org, user, client): (OrgId, UserId, ClientId),
        roles: Vec<Role>,
        expires_at: Moment,
        policy: Arc<Policy>,
    ) -> Self {
        Self { org, user, client, roles: roles.into(), expires_at, policy }
    }

    /// Whose rows this caller may touch with `action`, whatever they are: their own, or their org's. Grants with
    /// conditions do not count here.
    pub fn scope(&self, action: Action) -> Result<Scope, Denied> {
        self.permit_by(action, |grant| grant.when.are_none()).map(|permit| permit.scope())
    }

    /// What this caller may do with `action`: each connection is still to be judged by it.
    pub fn permit(&self, action: Action) -> Result<Permit, Denied> {
        self.permit_by(action, |_| true)
    }

    fn permit_by(&self, action: Action, counts: impl Fn(&Grant) -> bool) -> Result<Permit, Denied> {
        let grants = self.policy.grants(&self.roles, action).filter(|grant| counts(grant));
        let grants: Vec<Grant> = grants.cloned().collect();
        if grants.is_empty() { Err(Denied(action)) } else { Ok(Permit::new(action, self.own(), grants)) }
    }

    /// Where it is recorded that this caller was refused: reaches nothing but their own trail's end.
    pub fn own_trail(&self) -> Scope {
        self.own().into()
    }

    /// The caller's org: where their trail is.
    pub fn org(&self) -> &OrgId {
        &self.org
    }

    /// The user they act for.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The service that calls.
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// Their roles.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// When their token ends.
    pub fn expires_at(&self) -> Moment {
        self.expires_at
    }

    fn own(&self) -> UserScope {
        UserScope::new(self.org.clone(), self.user.clone())
    }
}
