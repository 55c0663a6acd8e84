//! Where the master keys themselves are: a file or a managed store. The database knows their ids and
//! fingerprints, a source the keys.

use std::collections::BTreeMap;

use crate::ids::KeyId;
use crate::seal::keyring::MasterKey;

/// What a source holds of the keys that were asked for.
#[derive(Default)]
pub struct Found {
    /// The keys, by id.
    pub keys: BTreeMap<String, MasterKey>,
    /// Keys that are there and can't be used, with the reason: each is its own trouble and no other's.
    pub unusable: Vec<(KeyId, SourceRefused)>,
    /// The key that seals in an empty database, if there is one; later the table `keys` says.
    pub first: Option<KeyId>,
}

impl Found {
    /// Answers with the reason if the key `id` is there and can't be used.
    pub fn refuse_unusable(&mut self, id: &KeyId) -> Result<(), SourceRefused> {
        match self.unusable.iter().position(|(unusable, _)| unusable == id) {
            Some(at) => Err(self.unusable.swap_remove(at).1),
            None => Ok(()),
        }
    }
}

/// A place where master keys are kept. Its calls block: from async code they are made on a thread of
/// their own.
pub trait KeySource: Send + Sync {
    /// As the table `keys` notes it and people read it: `file:PATH` or `aws-secretsmanager:NAME`.
    fn name(&self) -> String;

    /// Reads the keys `known` and, where the source can tell, any other that lies there. A key that is
    /// not there is left out. An error is one of the source as a whole.
    fn read(&self, known: &[KeyId]) -> Result<Found, SourceRefused>;

    /// Makes a fresh key `id`, durable when this answers. Never writes over one that is there:
    /// [`SourceRefused::Taken`].
    fn make(&self, id: &KeyId) -> Result<MasterKey, SourceRefused>;

    /// Destroys the key `id` for good, and answers once it can't be read any more. Also when it was
    /// destroyed already.
    fn destroy(&self, id: &KeyId) -> Result<(), SourceRefused>;
}

/// Why a source does not give, take or destroy a key. Names the place, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum SourceRefused {
    /// There is nothing at all.
    #[error("there is no {0}")]
    Missing(String),
    /// There is a key of that id already.
    #[error("there is a key {id} at {place} already")]
    Taken {
        /// The key.
        id: KeyId,
        /// The source.
        place: String,
    },
    /// What is there is no key, or can be read by others.
    #[error("{place}: {rule}")]
    Form {
        /// The file or the secret.
        place: String,
        /// What is wrong.
        rule: String,
    },
    /// It can't be reached, or does not let this process in.
    #[error("{place} can't be reached: {cause}")]
    Unreachable {
        /// The file or the store.
        place: String,
        /// The system's or the store's word, without any key.
        cause: String,
    },
}
