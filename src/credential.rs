//! What a credential is, by a closed list, and where it may be sent. Parsed once, where a request or a row
//! comes in: past this file the type is the proof.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What an Odoo may be to its customer.
pub const ENVIRONMENTS: &[&str] = &["production", "staging", "development"];
/// How a credential may stand: `auth_failed` once Odoo has refused it.
pub const STATES: &[&str] = &["active", "auth_failed"];

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a credential is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum CredentialKind {
            $($(#[$doc])* $name,)*
        }

        impl CredentialKind {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];
            /// Their names, in the same order.
            pub const NAMES: &[&str] = &[$($text),*];

            /// Its name in the API, in the database and in the policy.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

kinds! {
    /// A user's password in Odoo.
    Password = "password",
    /// A user's API key in Odoo.
    ApiKey = "api_key",
    /// What gets the next access token of some service.
    OauthToken = "oauth_token",
    /// What opens a tunnel: a line, or a file of JSON or PEM.
    Tunnel = "tunnel",
    /// The key of a subscription.
    Subscription = "subscription",
    /// Whatever else has to be kept.
    Generic = "generic",
}

/// What the user of a credential may do in its Odoo, by the last check that could tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rights {
    /// Nobody has looked, or it could not be told.
    #[default]
    Unknown,
    /// Read, as far as reading shows it.
    Reader,
    /// More than that.
    Writer,
}

impl Rights {
    /// All of them.
    pub const NAMES: &[&str] = &["unknown", "reader", "writer"];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Reader => "reader",
            Self::Writer => "writer",
        }
    }
}

impl CredentialKind {
    /// The kind of that name, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    /// Whether it logs in to an Odoo: then it has all parts of a [`Destination`], no two are for the same
    /// one, and it can be checked and synced with.
    pub fn is_odoo(self) -> bool {
        match self {
            Self::Password | Self::ApiKey => true,
            Self::OauthToken | Self::Tunnel | Self::Subscription | Self::Generic => false,
        }
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for CredentialKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CredentialKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("no kind of credential"))
    }
}

/// Where a credential may be sent. Odoo's have every part; of others any may be absent, and none is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The address.
    pub url: Option<String>,
    /// The database there.
    pub database: Option<String>,
    /// The login there.
    pub username: Option<String>,
}

impl Destination {
    /// Url, database and username, as they are bound: an absent part is empty.
    pub fn parts(&self) -> (&str, &str, &str) {
        fn part(part: &Option<String>) -> &str {
            part.as_deref().unwrap_or_default()
        }
        (part(&self.url), part(&self.database), part(&self.username))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_what_it_is_called_and_nothing_else_is_one() {
        for (kind, name) in CredentialKind::ALL.iter().zip(CredentialKind::NAMES) {
            assert_eq!(CredentialKind::parse(name), Some(*kind));
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{name}\""));
        }
        for wrong in ["", "Password", "passwords", "api-key", "password\0"] {
            assert_eq!(CredentialKind::parse(wrong), None, "{wrong}");
        }
        assert_eq!(CredentialKind::ALL.iter().filter(|kind| kind.is_odoo()).count(), 2);
    }
}
