//! Where the master keys are kept, as the setting names it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A source of master keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySourceName {
    /// `file:PATH`.
    File(PathBuf),
    /// `aws-secretsmanager:NAME`, the name as it was given.
    #[cfg(feature = "aws")]
    Aws(String),
}

impl KeySourceName {
    /// Reads the setting; else what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Self::File(PathBuf::from(path)));
        }
        #[cfg_attr(not(feature = "aws"), allow(unused_variables))]
        let Some(name) = text.strip_prefix("aws-secretsmanager:") else {
            return Err("must begin with file: or aws-secretsmanager:");
        };
        #[cfg(feature = "aws")]
        return crate::seal::AwsSource::judge(name).map(|()| Self::Aws(name.to_owned()));
        #[cfg(not(feature = "aws"))]
        return Err("names AWS Secrets Manager, which this binary was built without: \
                    cargo build --release --features aws");
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            #[cfg(feature = "aws")]
            Self::Aws(_) => None,
        }
    }
}

impl fmt::Display for KeySourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            #[cfg(feature = "aws")]
            Self::Aws(name) => write!(f, "aws-secretsmanager:{name}"),
        }
    }
}
