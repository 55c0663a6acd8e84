//! The one who calls: verified, and the only source of a scope.

use std::sync::Arc;

use crate::access::policy::{Action, Policy, Reach, Role};
use crate::access::scope::{Scope, UserScope};
use crate::clock::Moment;
use crate::credential::CredentialKind;
use crate::ids::{ClientId, OrgId, UserId};

/// A caller whose token was verified.
#[derive(Clone)]
pub struct Caller {
    org: OrgId,
    user: UserId,
    client: ClientId,
    roles: Vec<Role>,
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
        Self { org, user, client, roles, expires_at, policy }
    }

    /// Whose rows this caller may touch with `action`: their own, or their org's.
    pub fn scope(&self, action: Action) -> Result<Scope, Denied> {
        match self.policy.reach(&self.roles, action).ok_or(Denied(action))? {
            Reach::OwnUser => Ok(self.own().into()),
            Reach::OwnOrg => Ok(Scope::of_org(self.org.clone())),
        }
    }

    /// The same for what is done as one user, whatever the reach: to deposit and to borrow.
    pub fn user_scope(&self, action: Action) -> Result<UserScope, Denied> {
        self.policy.reach(&self.roles, action).map(|_| self.own()).ok_or(Denied(action))
    }

    /// Where it is recorded that this caller was refused: reaches nothing but their own trail's end.
    pub fn own_trail(&self) -> Scope {
        self.own().into()
    }

    /// The kinds of credential that this caller may borrow.
    pub fn lends(&self) -> Vec<CredentialKind> {
        self.policy.lends(&self.roles)
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
