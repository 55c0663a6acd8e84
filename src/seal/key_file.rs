//! The key file: `{"current": "k1", "keys": {"k1": "<Fernet key>"}}`, readable by its owner alone.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::clock::NoRandomness;
use crate::ids::KeyId;
use crate::seal::keyring::MasterKey;
use crate::secret::Secret;

/// The keys that a file holds.
pub struct KeyFile {
    /// The key that seals in an empty database; later the table `keys` says.
    pub current: KeyId,
    /// Every key, by id.
    pub keys: BTreeMap<String, MasterKey>,
}

/// Why a key file is not used. Names the file, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileRefused {
    /// There is none.
    #[error("there is no key file at {0}")]
    Missing(PathBuf),
    /// Group or others may read it.
    #[error("the key file {path} can be read by others (mode {mode:03o}): chmod 600 it")]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not the format above.
    #[error("the key file {path} is not a key file: {rule}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        rule: &'static str,
    },
    /// It can't be read or written.
    #[error("the key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// No key could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Format {
    current: String,
    keys: BTreeMap<String, Secret>,
}

impl KeyFile {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, KeyFileRefused> {
        let io = |source| KeyFileRefused::Io { path: path.into(), source };
        let form = |rule| KeyFileRefused::Form { path: path.into(), rule };
        let mut file = File::open(path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => KeyFileRefused::Missing(path.into()),
            _ => io(e),
        })?;
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileRefused::Open { path: path.into(), mode });
        }
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_BYTES));
        Read::by_ref(&mut file).take(MAX_BYTES_READ).read_to_end(&mut text).map_err(io)?;
        let format: Format = serde_json::from_slice(&text)
            .map_err(|_| form("it wants {\"current\": ID, \"keys\": {ID: KEY}}"))?;
        let current = KeyId::parse(&format.current).map_err(|_| form("current is no key id"))?;
        let mut keys = BTreeMap::new();
        for (id, key) in format.keys {
            KeyId::parse(&id).map_err(|_| form("a key id is empty, too long or has control characters"))?;
            keys.insert(id, MasterKey::parse(&key).map_err(|_| form("a key is not 32 bytes in base64url"))?);
        }
        if !keys.contains_key(current.as_str()) {
            return Err(form("current names a key that is not among the keys"));
        }
        Ok(Self { current, keys })
    }

    /// Makes a file with one fresh key `k1`. Never writes over one that is there.
    pub fn create(path: &Path) -> Result<Self, KeyFileRefused> {
        let io = |source| KeyFileRefused::Io { path: path.into(), source };
        let key = MasterKey::generate()?.to_text();
        let text =
            Zeroizing::new(format!("{{\"current\": \"k1\", \"keys\": {{\"k1\": \"{}\"}}}}\n", key.expose()));
        let fresh = path.with_extension("fresh");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(io)?;
        file.set_permissions(Permissions::from_mode(0o600)).map_err(io)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        // A link, unlike a rename, fails when the name is taken.
        let linked = std::fs::hard_link(&fresh, path);
        std::fs::remove_file(&fresh).map_err(io)?;
        linked.map_err(io)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
        Self::read(path)
    }
}

const MAX_BYTES: usize = 64 * 1024;
const MAX_BYTES_READ: u64 = 64 * 1024;
