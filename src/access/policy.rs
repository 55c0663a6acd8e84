//! `policies/access.toml`, parsed once: role × reach → actions. Code names actions; the file grants.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::credential::CredentialKind;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What can be done to the vault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in the policy and in the trail.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

actions! {
    /// Seal a credential and keep it.
    Deposit = "connection.deposit",
    /// List connections.
    ListConnections = "connection.list",
    /// Show one connection, without its secret.
    ShowConnection = "connection.show",
    /// Change a connection's label and sync interval.
    UpdateConnection = "connection.update",
    /// Change which environment a connection is.
    ChangeEnvironment = "connection.environment",
    /// Log in to a connection's Odoo and tell what is wrong.
    Check = "connection.check",
    /// Replace a connection's credential.
    Replace = "connection.replace",
    /// Forget a connection and its credential.
    Forget = "connection.forget",
    /// Borrow a credential, opened.
    Lend = "lease.lend",
    /// List open leases.
    ListLeases = "lease.list",
    /// Show one lease, open or ended.
    ShowLease = "lease.show",
    /// Have a lease last longer.
    RenewLease = "lease.renew",
    /// Hand a lease back.
    ReturnLease = "lease.return",
    /// Read the org's trail.
    ReadAudit = "audit.read",
    /// Show the org's settings.
    ReadSettings = "settings.read",
    /// Freeze the org.
    Freeze = "settings.freeze",
    /// Let the org lend again.
    Unfreeze = "settings.unfreeze",
    /// List the master keys, by name alone: an operator's.
    ListKeys = "keys.list",
    /// Put every sealed value under the key that seals: an operator's.
    Reseal = "keys.reseal",
    /// See how far a reseal is: an operator's.
    WatchReseal = "keys.watch",
}

/// A named set of grants; the names are the file's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Role(String);

impl Role {
    /// Its name in tokens and in the policy.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How far a grant goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    OwnUser,
    OwnOrg,
}

/// The policy says something that this vault does not know.
#[derive(Debug, thiserror::Error)]
pub enum PolicyRefused {
    /// Not TOML, or a member that no role has.
    #[error("policies/access.toml: {0}")]
    Form(String),
    /// No such action.
    #[error("policies/access.toml: role {role} names the action {action}, which does not exist")]
    UnknownAction {
        /// The role.
        role: String,
        /// The text that is no action.
        action: String,
    },
    /// No such kind of credential.
    #[error("policies/access.toml: role {role} lends the kind {kind}, which does not exist")]
    UnknownKind {
        /// The role.
        role: String,
        /// The text that is no kind.
        kind: String,
    },
}

/// What every role may do.
pub struct Policy(BTreeMap<Role, Grants>);

#[derive(Default)]
struct Grants {
    reaches: Vec<(Action, Reach)>,
    lends: Vec<CredentialKind>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleInFile {
    #[serde(default)]
    own_user: Vec<String>,
    #[serde(default)]
    own_org: Vec<String>,
    #[serde(default)]
    lends: Vec<String>,
}

impl Policy {
    /// The policy compiled into this binary.
    pub fn embedded() -> Result<Self, PolicyRefused> {
        Self::parse(include_str!("../../policies/access.toml"))
    }

    /// The policy that `text` states, in the form of `policies/access.toml`.
    pub fn parse(text: &str) -> Result<Self, PolicyRefused> {
        let file: BTreeMap<String, RoleInFile> =
            toml::from_str(text).map_err(|e| PolicyRefused::Form(e.message().to_owned()))?;
        let mut roles = BTreeMap::new();
        for (name, role) in file {
            let mut grants = Grants::default();
            for text in role.lends {
                let kind = CredentialKind::parse(&text);
                let kind =
                    kind.ok_or_else(|| PolicyRefused::UnknownKind { role: name.clone(), kind: text })?;
                grants.lends.push(kind);
            }
            for (texts, reach) in [(role.own_user, Reach::OwnUser), (role.own_org, Reach::OwnOrg)] {
                for text in texts {
                    let action = Action::ALL.iter().copied().find(|a| a.as_str() == text);
                    let action = action
                        .ok_or_else(|| PolicyRefused::UnknownAction { role: name.clone(), action: text })?;
                    grants.reaches.push((action, reach));
                }
            }
            roles.insert(Role(name), grants);
        }
        Ok(Self(roles))
    }

    /// The role of that name, if the policy has it.
    pub fn role(&self, name: &str) -> Option<Role> {
        self.0.keys().find(|role| role.0 == name).cloned()
    }

    /// The roles that grant the action of that name, in the order of their names.
    pub fn roles_that_may(&self, action: &str) -> Vec<Role> {
        let grants =
            self.0.iter().filter(|(_, grants)| grants.reaches.iter().any(|(a, _)| a.as_str() == action));
        grants.map(|(role, _)| role.clone()).collect()
    }

    /// The furthest that any of `roles` reaches with `action`.
    pub(super) fn reach(&self, roles: &[Role], action: Action) -> Option<Reach> {
        let reaches: Vec<Reach> = self
            .grants(roles)
            .flat_map(|grants| &grants.reaches)
            .filter(|(granted, _)| *granted == action)
            .map(|(_, reach)| *reach)
            .collect();
        match reaches.contains(&Reach::OwnOrg) {
            true => Some(Reach::OwnOrg),
            false => reaches.first().copied(),
        }
    }

    /// The kinds of credential that `roles` may borrow.
    pub(super) fn lends(&self, roles: &[Role]) -> Vec<CredentialKind> {
        self.grants(roles).flat_map(|grants| grants.lends.clone()).collect()
    }

    fn grants<'a>(&'a self, roles: &'a [Role]) -> impl Iterator<Item = &'a Grants> {
        roles.iter().filter_map(|role| self.0.get(role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_grants_and_nothing_else_does() {
        let policy = Policy::embedded().unwrap();
        let roles = |name: &str| vec![policy.role(name).unwrap()];
        assert_eq!(policy.reach(&roles("backend"), Action::Deposit), Some(Reach::OwnUser));
        assert_eq!(policy.reach(&roles("backend"), Action::Lend), None);
        assert_eq!(policy.reach(&roles("owner"), Action::Lend), None);
        assert_eq!(policy.reach(&roles("owner"), Action::Forget), Some(Reach::OwnOrg));
        assert_eq!(policy.reach(&roles("backend"), Action::ChangeEnvironment), None);
        let of_operator = |a: &&Action| policy.reach(&roles("operator"), **a).is_some();
        let granted: Vec<Action> = Action::ALL.iter().filter(of_operator).copied().collect();
        assert_eq!(granted, [Action::ListKeys, Action::Reseal, Action::WatchReseal]);
        assert!(policy.role("root").is_none());
    }

    #[test]
    fn an_action_that_does_not_exist_is_refused_by_name() {
        let refused = Policy::parse("[x]\nown_user = [\"connection.steal\"]").err().unwrap();
        assert!(refused.to_string().contains("connection.steal"));
        assert!(Policy::parse("[x]\nanything = []").is_err());
    }

    #[test]
    fn a_kind_that_does_not_exist_is_refused_by_name_and_none_is_lent_unasked() {
        for (lends, unknown) in [("passwords", "passwords"), ("Generic", "Generic"), ("", "kind ,")] {
            let refused = Policy::parse(&format!("[x]\nlends = [\"generic\", \"{lends}\"]")).err().unwrap();
            let said = refused.to_string();
            assert!(said.contains("role x") && said.contains(unknown), "{said}");
        }
        let policy = Policy::embedded().unwrap();
        let lends = |name: &str| policy.lends(&[policy.role(name).unwrap()]);
        assert_eq!(lends("worker"), [CredentialKind::Password, CredentialKind::ApiKey]);
        for role in ["backend", "owner", "auditor", "operator"] {
            assert_eq!(lends(role), [], "{role}");
        }
        let all = format!("[x]\nlends = {:?}", CredentialKind::NAMES);
        let all = Policy::parse(&all).unwrap();
        assert_eq!(all.lends(&[all.role("x").unwrap()]), CredentialKind::ALL);
    }
}
