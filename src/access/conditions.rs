//! Of which connections a grant is: by kind, environment and state. What is not named does not matter.

use crate::credential::CredentialKind;

/// What a connection has to be; `None`: anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Of one of these kinds.
    pub kinds: Option<Vec<CredentialKind>>,
    /// In one of these environments.
    pub environments: Option<Vec<&'static str>>,
    /// In one of these states.
    pub states: Option<Vec<&'static str>>,
}

/// What a connection is.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The kind of its credential.
    pub kind: CredentialKind,
    /// `production`, `staging` or `development`.
    pub environment: &'a str,
    /// `active` or `auth_failed`.
    pub state: &'a str,
}

/// The condition that no grant has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// Not of this kind.
    #[error("no role of this token may do that with this kind of credential")]
    Kind,
    /// Not in this environment.
    #[error("no role of this token may do that in this connection's environment")]
    Environment,
    /// Not in this state.
    #[error("no role of this token may do that in this connection's state")]
    State,
}

impl Unmet {
    /// The stable name of the cause, for the trail.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Kind => "kind-not-allowed",
            Self::Environment => "environment-not-allowed",
            Self::State => "state-not-allowed",
        }
    }
}

impl Conditions {
    /// Whether there are none.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn judge(&self, about: About) -> Result<(), Unmet> {
        let among = |names: &Option<Vec<&'static str>>, name: &str| {
            names.as_ref().is_none_or(|names| names.contains(&name))
        };
        if !self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&about.kind)) {
            return Err(Unmet::Kind);
        }
        if !among(&self.environments, about.environment) {
            return Err(Unmet::Environment);
        }
        if !among(&self.states, about.state) {
            return Err(Unmet::State);
        }
        Ok(())
    }
}
