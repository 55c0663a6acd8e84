//! A secret in memory: wiped when dropped, never cloned, printed or serialized.
//! Every place that looks inside says `expose`, so one search finds them all.

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// An Odoo password, an API key, a token: text that must not leave by accident.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; the caller keeps no copy.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}
