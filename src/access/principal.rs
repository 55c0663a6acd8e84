//! Whose token it is: a tenant's caller, or an operator, who acts for no org and reaches no tenant's data.

use std::sync::Arc;

use crate::access::action::Action;
use crate::access::caller::{Caller, Denied};
use crate::access::policy::{Policy, Role};
use crate::clock::Moment;
use crate::ids::ClientId;

/// The role that acts for no org.
pub const OPERATOR: &str = "operator";

/// Whoever a verified token is of.
#[derive(Clone)]
pub enum Principal {
    /// Acts for a user of an org.
    Caller(Caller),
    /// Acts for no org.
    Operator(Operator),
}

/// An operator whose token was verified.
#[derive(Clone)]
pub struct Operator {
    client: ClientId,
    roles: Vec<Role>,
    expires_at: Moment,
    policy: Arc<Policy>,
}

impl Principal {
    /// The service that calls.
    pub fn client(&self) -> &ClientId {
        match self {
            Self::Caller(caller) => caller.client(),
            Self::Operator(operator) => &operator.client,
        }
    }

    /// Its roles.
    pub fn roles(&self) -> &[Role] {
        match self {
            Self::Caller(caller) => caller.roles(),
            Self::Operator(operator) => &operator.roles,
        }
    }

    /// When the token ends.
    pub fn expires_at(&self) -> Moment {
        match self {
            Self::Caller(caller) => caller.expires_at(),
            Self::Operator(operator) => operator.expires_at,
        }
    }
}

impl Operator {
    pub(super) fn new(client: ClientId, role: Role, expires_at: Moment, policy: Arc<Policy>) -> Self {
        Self { client, roles: vec![role], expires_at, policy }
    }

    /// Whether the policy grants it `action`.
    pub fn may(&self, action: Action) -> Result<(), Denied> {
        self.policy.grants(&self.roles, action).next().map(|_| ()).ok_or(Denied(action))
    }

    /// The service that calls.
    pub fn client(&self) -> &ClientId {
        &self.client
    }
}
