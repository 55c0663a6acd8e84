//! Whose rows a call may touch. Can be made only in this room, so that no query can be written
//! without a caller who was allowed it.

use crate::ids::{OrgId, UserId};

/// One user of one org: what sealing and lending need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserScope {
    org: OrgId,
    user: UserId,
}

impl UserScope {
    pub(super) fn new(org: OrgId, user: UserId) -> Self {
        Self { org, user }
    }

    /// Whose a stored row is: for the store alone, which puts it under another key where it lies. It
    /// gives nobody the row.
    pub(crate) fn of_row(org: OrgId, user: UserId) -> Self {
        Self { org, user }
    }

    /// The org.
    pub fn org(&self) -> &OrgId {
        &self.org
    }

    /// The user.
    pub fn user(&self) -> &UserId {
        &self.user
    }
}

/// Whose rows: one user's, or a whole org's. It comes out of a caller, for an action that they may do:
///
/// ```
/// use pawl::access::{Action, Caller, Denied, Scope};
///
/// fn whose(caller: &Caller) -> Result<Scope, Denied> {
///     let scope = caller.scope(Action::ShowConnection)?;
///     Ok(scope)
/// }
/// ```
///
/// One who may not do it gives none, and nobody gets past the question:
///
/// ```compile_fail,E0308
/// use pawl::access::{Action, Caller, Scope};
///
/// fn whose(caller: &Caller) -> Scope {
///     caller.scope(Action::ShowConnection)
/// }
/// ```
///
/// Outside this room a scope can't be put together from an org that stood in a request,
///
/// ```compile_fail,E0451
/// use pawl::access::Scope;
/// use pawl::ids::OrgId;
///
/// fn whose(org: OrgId) -> Scope {
///     Scope { org, user: None }
/// }
/// ```
///
/// nor be asked for by its name,
///
/// ```compile_fail,E0624
/// use pawl::access::Scope;
/// use pawl::ids::OrgId;
///
/// fn whose(org: OrgId) -> Scope {
///     Scope::of_org(org)
/// }
/// ```
///
/// nor one user's be widened to their org's; what a scope does not reach, it does not give:
///
/// ```
/// use pawl::access::{Scope, UserScope};
/// use pawl::ids::UserId;
///
/// fn theirs(scope: &Scope, user: &UserId) -> Option<UserScope> {
///     scope.of_user(user)
/// }
/// ```
///
/// ```compile_fail,E0616
/// use pawl::access::Scope;
///
/// fn widened(mut scope: Scope) -> Scope {
///     scope.user = None;
///     scope
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    org: OrgId,
    user: Option<UserId>,
}

impl Scope {
    pub(super) fn of_org(org: OrgId) -> Self {
        Self { org, user: None }
    }

    /// The org that every row must have.
    pub fn org(&self) -> &OrgId {
        &self.org
    }

    /// The user that every row must have; `None` for the whole org.
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// What both of two scopes of one caller reach.
    pub fn narrower(self, other: Self) -> Self {
        if other.user.is_some() { other } else { self }
    }

    /// The part of this scope that is `user`'s; `None` if it does not reach them.
    pub fn of_user(&self, user: &UserId) -> Option<UserScope> {
        let covers = self.user.as_ref().is_none_or(|only| only == user);
        covers.then(|| UserScope { org: self.org.clone(), user: user.clone() })
    }
}

impl From<UserScope> for Scope {
    fn from(scope: UserScope) -> Self {
        Self { org: scope.org, user: Some(scope.user) }
    }
}
