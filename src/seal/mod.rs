//! Opens and seals, pure: no database, no network, no clock that matters. Every stored secret goes
//! through here and is bound to the place where it is stored.

#[cfg(feature = "aws")]
mod aws;
mod binding;
mod fernet_keys;
mod key_file;
mod keyring;
mod mark;
mod private_file;
mod source;

#[cfg(feature = "aws")]
pub use aws::{AwsSource, Patience};
pub use binding::Binding;
pub use fernet_keys::{FernetKeys, FernetRefused};
pub use key_file::KeyFile;
pub use keyring::{Fingerprint, Keyring, MasterKey, NotAKey, OpenRefused, SealFailed, Sealed};
pub use mark::{Mark, Said};
pub use source::{Found, KeySource, SourceRefused};
