//! What a caller may do with one action: whose rows, and of which connections. A row is theirs to act on when
//! one grant reaches its user and has its conditions met.

use crate::access::action::{Action, Reach};
use crate::access::conditions::{About, Unmet};
use crate::access::policy::Grant;
use crate::access::scope::{Scope, UserScope};
use crate::ids::UserId;

/// Leave for one action.
#[derive(Clone)]
pub struct Permit {
    action: Action,
    own: UserScope,
    grants: Vec<Grant>,
}

impl Permit {
    /// Of one grant at least.
    pub(super) fn new(action: Action, own: UserScope, grants: Vec<Grant>) -> Self {
        Self { action, own, grants }
    }

    /// For what.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The furthest that any grant reaches: what a transaction may touch. Its rows are still to be judged.
    pub fn scope(&self) -> Scope {
        match self.grants.iter().any(|grant| grant.reach == Reach::OwnOrg) {
            true => Scope::of_org(self.own.org().clone()),
            false => self.own.clone().into(),
        }
    }

    /// The caller's own rows.
    pub fn own(&self) -> &UserScope {
        &self.own
    }

    /// Whether it is leave to act on a connection of `user`'s, in the caller's org, that is so.
    pub fn judge(&self, user: &UserId, about: About) -> Result<(), Unmet> {
        let reaches = |grant: &&Grant| grant.reach == Reach::OwnOrg || user == self.own.user();
        let mut unmet = Unmet::Kind;
        for (n, grant) in self.grants.iter().filter(reaches).enumerate() {
            match grant.when.judge(about) {
                Ok(()) => return Ok(()),
                // The first grant that reaches them is the one that is told of.
                Err(cause) if n == 0 => unmet = cause,
                Err(_) => {}
            }
        }
        Err(unmet)
    }
}
