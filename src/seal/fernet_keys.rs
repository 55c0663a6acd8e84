//! The keys under which another product made its Fernet tokens, as a file holds them. They open, and never seal.

use std::path::Path;

use fernet::Fernet;
use zeroize::Zeroize;

use crate::seal::keyring::{Fingerprint, MasterKey, NO_CLOCK};
use crate::seal::private_file;
use crate::seal::source::SourceRefused;
use crate::secret::Secret;

/// Fernet keys, tried in their order: one, or a MultiFernet's.
pub struct FernetKeys(Vec<(Fernet, Fingerprint)>);

/// Why a token stays shut. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FernetRefused {
    /// No key of the file opens it, or it is no Fernet token.
    #[error("must be a Fernet token that a key of the file opens")]
    DoesNotOpen,
    /// What was in it is no text.
    #[error("must hold text in UTF-8")]
    NotText,
}

impl FernetRefused {
    /// The stable name of the rule.
    pub fn rule(self) -> &'static str {
        match self {
            Self::DoesNotOpen => "opens",
            Self::NotText => "utf8",
        }
    }
}

impl FernetKeys {
    /// Reads the file at `path`: keys as `Fernet.generate_key()` gives them, one a line or between commas, the
    /// newest first. Only its owner may be able to read it.
    pub fn read(path: &Path) -> Result<Self, SourceRefused> {
        let place = || format!("the key file {}", path.display());
        let form = |rule: &str| SourceRefused::Form { place: place(), rule: rule.to_owned() };
        let missing = || SourceRefused::Missing(format!("key file at {}", path.display()));
        let text = private_file::read(path)?.ok_or_else(missing)?;
        let text = std::str::from_utf8(&text).map_err(|_| form("it is not text"))?;
        let words = text.split([',', '\n', '\r']).map(str::trim).filter(|word| !word.is_empty());
        let keys = words.map(|word| {
            let key = MasterKey::parse(&Secret::new(word.to_owned())).ok()?;
            Some((Fernet::new(key.to_text().expose())?, key.fingerprint()))
        });
        let keys: Option<Vec<_>> = keys.collect();
        match keys {
            None => Err(form("it wants Fernet keys, 32 bytes in base64url, one a line or between commas")),
            Some(keys) if keys.is_empty() => Err(form("there is no key in it")),
            Some(keys) => Ok(Self(keys)),
        }
    }

    /// The keys' public names, in their order.
    pub fn fingerprints(&self) -> impl Iterator<Item = &Fingerprint> {
        self.0.iter().map(|(_, fingerprint)| fingerprint)
    }

    /// Opens a token with the first key that does, whatever its time. A database may show bytes as text: `\x`
    /// and hex digits.
    pub fn open(&self, token: &[u8]) -> Result<Secret, FernetRefused> {
        let token = token.trim_ascii();
        let bytes = token.strip_prefix(b"\\x").map(unhex);
        let token = match &bytes {
            Some(bytes) => bytes.as_deref().unwrap_or_default().trim_ascii(),
            None => token,
        };
        let token = std::str::from_utf8(token).map_err(|_| FernetRefused::DoesNotOpen)?;
        let opened = self.0.iter().find_map(|(key, _)| key.decrypt_at_time(token, None, NO_CLOCK).ok());
        String::from_utf8(opened.ok_or(FernetRefused::DoesNotOpen)?).map(Secret::new).map_err(|not_text| {
            not_text.into_bytes().zeroize();
            FernetRefused::NotText
        })
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}
