//! Where the master keys are kept, as the setting names it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A source of master keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySourceName {
    /// `file:PATH`.
    File(PathBuf),
}

impl KeySourceName {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
        }
    }
}

impl fmt::Display for KeySourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}
