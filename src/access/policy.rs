//! `policies/access.toml`, or a file in its place, parsed once: role × action × reach, with conditions. Nothing in
//! the code grants anything.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::access::action::{Action, Reach};
use crate::access::conditions::Conditions;
use crate::access::policy_file::{self, PolicyRefused};

/// Every role there is.
pub const ROLES: &[&str] = &["backend", "worker", "fleet", "owner", "auditor", "operator"];

/// A named set of grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Role(&'static str);

impl Role {
    /// The role of that name.
    pub fn parse(name: &str) -> Option<Self> {
        ROLES.iter().find(|known| **known == name).map(|known| Self(known))
    }

    /// Its name in tokens and in the policy.
    pub fn as_str(&self) -> &'static str {
        self.0
    }
}

/// One line of the policy: what, how far, of which connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What.
    pub action: Action,
    /// How far.
    pub reach: Reach,
    /// Of which connections.
    pub when: Conditions,
}

/// What every role may do.
pub struct Policy {
    roles: BTreeMap<Role, Vec<Grant>>,
    name: String,
    digest: String,
}

impl Policy {
    /// The policy compiled into this binary.
    pub fn embedded() -> Result<Self, PolicyRefused> {
        Self::parse(include_str!("../../policies/access.toml"))
    }

    /// The policy of a file: a regular one, of at most 64 KiB, that others can't change.
    pub fn read(file: &Path) -> Result<Self, PolicyRefused> {
        let policy = Self::parse(&policy_file::text_of(file)?)?;
        Ok(Self { name: file.display().to_string(), ..policy })
    }

    /// The policy that `text` states, in the form of `policies/access.toml`.
    pub fn parse(text: &str) -> Result<Self, PolicyRefused> {
        let roles =
            policy_file::parse(text)?.into_iter().map(|(role, grants)| (Role(role), grants)).collect();
        let digest = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { roles, name: "embedded".into(), digest })
    }

    /// Where it came from: `embedded`, or the file's path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Hex SHA-256 of its text.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The roles that grant the action, in the order of their names.
    pub fn roles_that_may(&self, action: Action) -> Vec<Role> {
        let grants = self.roles.iter().filter(|(_, grants)| grants.iter().any(|g| g.action == action));
        grants.map(|(role, _)| *role).collect()
    }

    /// What `role` grants, in the order of the file.
    pub fn grants_of(&self, role: &str) -> &[Grant] {
        let found = self.roles.iter().find(|(known, _)| known.as_str() == role);
        found.map_or(&[], |(_, grants)| grants)
    }

    /// What any of `roles` grants of `action`.
    pub(super) fn grants<'a>(&'a self, roles: &'a [Role], action: Action) -> impl Iterator<Item = &'a Grant> {
        let grants = roles.iter().flat_map(|role| self.grants_of(role.as_str()));
        grants.filter(move |grant| grant.action == action)
    }
}
