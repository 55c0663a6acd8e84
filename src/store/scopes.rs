//! Whose rows a transaction may touch, in the words of the database: a list, of which PostgreSQL's
//! row-level security lets rows through that one of its members covers.

use crate::access::{Scope, UserScope};
use crate::ids::OrgId;

/// A list of scopes. The vault's own rows are those of the org without a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scopes(Vec<(String, Option<String>)>);

impl Scopes {
    /// The vault's own rows.
    pub(super) fn vault() -> Self {
        Self(vec![(String::new(), None)])
    }

    /// The keys that sign tokens, to be followed by others; and the vault's own trail.
    pub(super) fn rotate() -> Self {
        Self(vec![(String::new(), Some("rotate".into()))])
    }

    /// The rows of one org.
    pub(super) fn of_org(org: &OrgId) -> Self {
        Self(vec![(org.to_string(), None)])
    }

    /// The orgs, for whom a place among the writers of this process is kept.
    pub(super) fn orgs(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(org, _)| org.as_str())
    }

    /// These and the rows of `org`.
    pub(super) fn and_org(mut self, org: &OrgId) -> Self {
        self.0.push((org.to_string(), None));
        self
    }
}

/// A role that a transaction becomes for a duty that crosses orgs; `policies/postgres/roles.sql` says what each
/// may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NarrowRole {
    /// Puts sealed values under another key, or counts them.
    Reseal,
    /// Ends open leases.
    Freeze,
    /// Puts the ends of chains into the log.
    Log,
    /// Lets go of events that are past their time.
    Prune,
    /// Looks for credentials that end soon.
    Expiry,
}

#[cfg(feature = "postgres")]
impl NarrowRole {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reseal => "pawl_reseal",
            Self::Freeze => "pawl_freeze",
            Self::Log => "pawl_log",
            Self::Prune => "pawl_prune",
            Self::Expiry => "pawl_expiry",
        }
    }
}

#[cfg(feature = "postgres")]
impl Scopes {
    /// As `policies/postgres/row-level-security.sql` reads it: `{"org": ["user", …], …}`. All of an org's users are the
    /// one without a name, which none has.
    pub(super) fn setting(&self) -> String {
        let mut users = std::collections::BTreeMap::<&str, Vec<&str>>::new();
        for (org, user) in &self.0 {
            users.entry(org).or_default().push(user.as_deref().unwrap_or_default());
        }
        serde_json::json!(users).to_string()
    }

    /// The locks of the orgs' chains with their orgs, in the order in which every transaction takes them.
    /// A lock is the first 8 bytes of SHA-256("pawl/v1/chain" ‖ org): two orgs that share one wait for
    /// each other, no more.
    pub(super) fn locks(&self) -> Vec<(i64, String)> {
        use sha2::{Digest, Sha256};
        let lock = |(org, _): &(String, _)| {
            let digest = Sha256::new().chain_update("pawl/v1/chain").chain_update(org).finalize();
            (i64::from_be_bytes(std::array::from_fn(|n| digest[n])), org.clone())
        };
        let mut locks: Vec<(i64, String)> = self.0.iter().map(lock).collect();
        locks.sort_unstable();
        locks.dedup();
        locks
    }
}

impl From<&Scope> for Scopes {
    fn from(scope: &Scope) -> Self {
        Self(vec![(scope.org().to_string(), scope.user().map(ToString::to_string))])
    }
}

impl<'a> FromIterator<&'a UserScope> for Scopes {
    fn from_iter<I: IntoIterator<Item = &'a UserScope>>(scopes: I) -> Self {
        let mut all: Vec<_> = scopes
            .into_iter()
            .map(|scope| (scope.org().to_string(), Some(scope.user().to_string())))
            .collect();
        all.sort_unstable();
        all.dedup();
        Self(all)
    }
}
