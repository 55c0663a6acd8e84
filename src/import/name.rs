//! What a source is called in the ledger, for as long as that is kept: the same table has to have the same name
//! at every import. It holds no credentials.

use std::fmt;

/// A source's name: 1 to 512 bytes without control characters, and no login in an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceName(String);

/// Why a text is no such name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a source's name is 1 to 512 bytes, without control characters and without a login or password=, for it stays in the \
     trail: give one with --source"
)]
pub struct NameRefused;

impl SourceName {
    /// Takes 1 to 512 bytes without control characters, `://…@` and `password=`.
    pub fn parse(text: &str) -> Result<Self, NameRefused> {
        let is_line = (1..=512).contains(&text.len()) && !text.chars().any(char::is_control);
        let has_login = text.split_once("://").is_some_and(|(_, address)| address.contains('@'));
        let fits = is_line && !has_login && !text.to_ascii_lowercase().contains("password=");
        if fits { Ok(Self(text.to_owned())) } else { Err(NameRefused) }
    }

    /// As text, as the ledger and the trail keep it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
