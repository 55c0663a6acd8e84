//! The policy as people read it: a line for each action that a role has.

use crate::access::action::Action;
use crate::access::conditions::Conditions;
use crate::access::policy::{Policy, ROLES};
use crate::credential::CredentialKind;

/// One line: who, what, how far, of which connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The role.
    pub role: &'static str,
    /// The action.
    pub action: &'static str,
    /// `own_user`, `own_org` or `vault`.
    pub reach: &'static str,
    /// `kind password or api_key; …`, or nothing.
    pub when: String,
}

impl Policy {
    /// What every role may do, or one of them alone: roles in their order, actions in theirs.
    pub fn explain(&self, only: Option<&str>) -> Vec<Explained> {
        let mut lines = Vec::new();
        for role in ROLES.iter().filter(|role| only.is_none_or(|only| only == **role)) {
            for action in Action::ALL {
                for grant in self.grants_of(role).iter().filter(|grant| grant.action == *action) {
                    let (reach, when) = (grant.reach.as_str(), told(&grant.when));
                    lines.push(Explained { role, action: action.as_str(), reach, when });
                }
            }
        }
        lines
    }
}

fn told(when: &Conditions) -> String {
    let kinds =
        when.kinds.as_ref().map(|kinds| kinds.iter().map(|kind| CredentialKind::as_str(*kind)).collect());
    let all = [("kind", kinds), ("environment", when.environments.clone()), ("state", when.states.clone())];
    let named = all
        .into_iter()
        .filter_map(|(what, names): (_, Option<Vec<&str>>)| Some(format!("{what} {}", names?.join(" or "))));
    named.collect::<Vec<_>>().join("; ")
}
