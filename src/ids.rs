//! A type for every identifier, checked once at the edge: past this file the type is the proof.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::{Moment, NoRandomness, new_id};

/// Why a text is no such identifier. Never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdRefused {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// Longer than [`MAX_TEXT_BYTES`].
    #[error("must be at most 128 bytes")]
    TooLong,
    /// A control character.
    #[error("must not contain control characters")]
    Control,
    /// A character that is not visible ASCII.
    #[error("must be visible ASCII characters alone")]
    NotVisible,
    /// Not the prefix and 26 letters that this identifier has.
    #[error("must be the prefix and 26 letters or digits, as this service gave it out")]
    Malformed,
}

impl IdRefused {
    /// The stable name of the rule, for machines.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Empty => "not_empty",
            Self::TooLong => "max_bytes",
            Self::Control => "no_control_characters",
            Self::NotVisible => "visible_ascii",
            Self::Malformed => "id_format",
        }
    }
}

/// The longest org, user, client and run name, in bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 128;

// Shared, not copied: a request hands them on to whatever is done in it.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes 1 to 128 bytes without control characters.
            pub fn parse(text: &str) -> Result<Self, IdRefused> {
                if text.is_empty() {
                    return Err(IdRefused::Empty);
                }
                if text.len() > MAX_TEXT_BYTES {
                    return Err(IdRefused::TooLong);
                }
                if text.chars().any(char::is_control) {
                    return Err(IdRefused::Control);
                }
                Ok(Self(text.into()))
            }
        }

        text_of!($name);
    };
}

macro_rules! made_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// A fresh one, sortable by `now`.
            pub fn new(now: Moment) -> Result<Self, NoRandomness> {
                new_id($prefix, now).map(|id| Self(id.into()))
            }

            /// Takes the prefix, `_` and 26 upper-case letters or digits.
            pub fn parse(text: &str) -> Result<Self, IdRefused> {
                let ulid = text.strip_prefix(concat!($prefix, "_")).ok_or(IdRefused::Malformed)?;
                let plain = ulid.len() == 26
                    && ulid.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
                if plain { Ok(Self(text.into())) } else { Err(IdRefused::Malformed) }
            }
        }

        text_of!($name);
    };
}

macro_rules! text_of {
    ($name:ident) => {
        impl $name {
            /// As text, as the API and the database write it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(
    /// A customer of the product that uses this vault.
    OrgId
);
text_id!(
    /// A person in an org, as the product names them.
    UserId
);
text_id!(
    /// The service that calls.
    ClientId
);
text_id!(
    /// One run of a worker: asking again with it gives the same lease back.
    RunId
);
text_id!(
    /// A row of another product's table, as that names it: its id there, as text.
    SourceId
);
text_id!(
    /// A master key: `k1`, `k2`, ….
    KeyId
);
made_id!(
    /// One reseal: every sealed value put under the key that seals.
    ResealId,
    "reseal"
);
made_id!(
    /// One Odoo database of one user.
    ConnectionId, "conn"
);
made_id!(
    /// One loan of one credential.
    LeaseId, "lease"
);
made_id!(
    /// One record of the trail.
    EventId, "evt"
);
made_id!(
    /// One HTTP request.
    RequestId, "req"
);
made_id!(
    /// A key that signs tokens (`kid`).
    IssuerKeyId, "iss"
);
made_id!(
    /// A log that stands over all chains.
    LogId, "log"
);

macro_rules! visible_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Takes 1 to 128 visible ASCII characters.
            pub fn parse(text: &str) -> Result<Self, IdRefused> {
                match text.len() {
                    0 => Err(IdRefused::Empty),
                    1..=MAX_TEXT_BYTES if text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                        Ok(Self(text.to_owned()))
                    }
                    1..=MAX_TEXT_BYTES => Err(IdRefused::NotVisible),
                    _ => Err(IdRefused::TooLong),
                }
            }
        }

        text_of!($name);
    };
}

visible_id!(
    /// A client's name for one request, by which it may send it again.
    IdempotencyKey
);
visible_id!(
    /// What names one token or one assertion (`jti`).
    TokenId
);

/// How often a credential has been replaced, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision(i64);

impl Revision {
    /// The revision that a deposit makes.
    pub const FIRST: Self = Self(1);

    /// The one after this.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// As the database keeps it.
    pub fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// As a number.
    pub fn number(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_what_they_gave_out_and_nothing_else() {
        let made = ConnectionId::new(Moment::from_micros(1_700_000_000_000_000)).unwrap();
        assert_eq!(ConnectionId::parse(made.as_str()), Ok(made.clone()));
        for wrong in ["", "conn_", "lease_01ARZ3NDEKTSV4RRFFQ69G5FAV", "conn_01arz3ndektsv4rrffq69g5fav"] {
            assert_eq!(ConnectionId::parse(wrong), Err(IdRefused::Malformed), "{wrong}");
        }
        assert_eq!(OrgId::parse(""), Err(IdRefused::Empty));
        assert_eq!(OrgId::parse(&"é".repeat(65)), Err(IdRefused::TooLong));
        assert_eq!(OrgId::parse("a\u{7}"), Err(IdRefused::Control));
        assert!(IdempotencyKey::parse(&"~".repeat(128)).is_ok());
        assert_eq!(IdempotencyKey::parse("a b"), Err(IdRefused::NotVisible));
    }
}
