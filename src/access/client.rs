//! A service that may ask for tokens, and what of its claims one becomes.

use std::collections::BTreeSet;

use crate::access::policy::Role;
use crate::access::principal::OPERATOR;
use crate::access::token::Holder;
use crate::client_key::PublicKey;
use crate::clock::Moment;
use crate::ids::{ClientId, OrgId, UserId};

/// A registered service.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its name, `client_id` of its tokens.
    pub id: ClientId,
    /// What its assertions are verified with.
    pub key: PublicKey,
    /// What it may do at most, by the names of roles.
    pub roles: Vec<String>,
    /// The orgs that it may act for; `None` for any. None at all for an operator.
    pub orgs: Option<Vec<OrgId>>,
    /// The one user that it acts for; without, its assertion says whom.
    pub user: Option<UserId>,
    /// Since when.
    pub created_at: Moment,
}

/// What a client asks to be.
#[derive(Default)]
pub struct Wish {
    /// The org, where it may act for several.
    pub org: Option<OrgId>,
    /// The user, where it may act for several.
    pub user: Option<UserId>,
    /// Some of its roles; `None` for all of them.
    pub roles: Option<Vec<String>>,
}

/// A wish that the client's registration does not grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WishRefused {
    /// It acts for several and names none.
    #[error("the assertion must name {0}: this client may act for several")]
    Unnamed(&'static str),
    /// It names what it may not act for.
    #[error("the assertion names {0} that this client may not have")]
    NotIts(&'static str),
    /// It was registered by a version that had roles which this one has not.
    #[error("not all of this client's roles are there any more")]
    NoRole,
}

impl Client {
    /// Whether it acts for no org.
    pub fn is_operator(&self) -> bool {
        self.roles.iter().any(|role| role == OPERATOR)
    }

    /// For whom a token may be.
    pub fn grant(&self, wish: Wish) -> Result<Holder, WishRefused> {
        let names = match wish.roles {
            None => &self.roles,
            Some(ref some) if !some.is_empty() && some.iter().all(|role| self.roles.contains(role)) => some,
            Some(_) => return Err(WishRefused::NotIts("roles")),
        };
        let roles: Option<BTreeSet<Role>> = names.iter().map(|name| Role::parse(name)).collect();
        let roles: Vec<Role> = roles.ok_or(WishRefused::NoRole)?.into_iter().collect();
        let tenant = match self.is_operator() {
            true if wish.org.is_some() => return Err(WishRefused::NotIts("an org")),
            true if wish.user.is_some() => return Err(WishRefused::NotIts("a user")),
            true => None,
            false => Some((self.org(wish.org)?, self.user(wish.user)?)),
        };
        Ok(Holder { tenant, client: self.id.clone(), roles })
    }

    fn org(&self, wish: Option<OrgId>) -> Result<OrgId, WishRefused> {
        match (self.orgs.as_deref(), wish) {
            (Some([only]), None) => Ok(only.clone()),
            (_, None) => Err(WishRefused::Unnamed("an org")),
            (None, Some(any)) => Ok(any),
            (Some(its), Some(org)) if its.contains(&org) => Ok(org),
            (Some(_), Some(_)) => Err(WishRefused::NotIts("an org")),
        }
    }

    fn user(&self, wish: Option<UserId>) -> Result<UserId, WishRefused> {
        match (&self.user, wish) {
            (Some(only), None) => Ok(only.clone()),
            (None, None) => Err(WishRefused::Unnamed("a user")),
            (None, Some(any)) => Ok(any),
            (Some(only), Some(user)) if *only == user => Ok(user),
            (Some(_), Some(_)) => Err(WishRefused::NotIts("a user")),
        }
    }
}
