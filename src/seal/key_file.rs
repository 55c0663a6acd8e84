//! The key file: `{"current": "k1", "keys": {"k1": "<Fernet key>"}}`, readable by its owner alone. It
//! is only ever replaced whole, by one writer at a time.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::ids::KeyId;
use crate::seal::keyring::MasterKey;
use crate::seal::private_file::{self, MAX_BYTES};
use crate::seal::source::{Found, KeySource, SourceRefused};
use crate::secret::Secret;

/// Master keys in a file of this machine.
pub struct KeyFile {
    path: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Format {
    current: String,
    keys: BTreeMap<String, Secret>,
}

impl KeyFile {
    /// The keys at `path`, which is looked at when they are asked for.
    pub fn at(path: &Path) -> Self {
        Self { path: path.into() }
    }

    fn form(&self, rule: impl Into<String>) -> SourceRefused {
        SourceRefused::Form { place: format!("the key file {}", self.path.display()), rule: rule.into() }
    }

    fn io(&self, error: &std::io::Error) -> SourceRefused {
        let place = format!("the key file {}", self.path.display());
        SourceRefused::Unreachable { place, cause: error.to_string() }
    }

    /// What is there, held against the rules; `None` if there is no file.
    fn load(&self) -> Result<Option<Format>, SourceRefused> {
        let Some(text) = private_file::read(&self.path)? else { return Ok(None) };
        let format: Format = serde_json::from_slice(&text).map_err(|_| {
            self.form("it is not a key file: it wants {\"current\": ID, \"keys\": {ID: KEY}}")
        })?;
        KeyId::parse(&format.current).map_err(|_| self.form("it is not a key file: current is no key id"))?;
        for id in format.keys.keys() {
            let rule = "it is not a key file: a key id is empty, too long or has control characters";
            KeyId::parse(id).map_err(|_| self.form(rule))?;
        }
        if !format.keys.contains_key(&format.current) {
            return Err(self.form("it is not a key file: current names a key that is not among the keys"));
        }
        Ok(Some(format))
    }

    /// Holds off every other writer until the answer is dropped. The directory is what is locked: the
    /// file itself is another one after each change.
    fn lock(&self) -> Result<File, SourceRefused> {
        let real = self.real();
        let dir = real.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = File::open(dir).map_err(|e| self.io(&e))?;
        flock(&dir, FlockOperation::LockExclusive).map_err(|e| self.io(&e.into()))?;
        Ok(dir)
    }

    /// The file itself, where the path is a link to it.
    fn real(&self) -> PathBuf {
        std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone())
    }

    /// Puts `format` in the place of what is there, durable and at once. Answers the file that was there.
    fn replace(&self, dir: &File, format: &Format) -> Result<Option<File>, SourceRefused> {
        let io = |error: std::io::Error| self.io(&error);
        let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES));
        text.push_str(&format!("{{\"current\": {}, \"keys\": {{", quoted(&format.current)));
        for (n, (id, key)) in format.keys.iter().enumerate() {
            text.push_str(if n == 0 { "" } else { ", " });
            text.push_str(&quoted(id));
            text.push_str(": \"");
            text.push_str(key.expose());
            text.push('"');
        }
        text.push_str("}}\n");
        if text.len() > MAX_BYTES {
            return Err(self.form("it would hold more than 64 KiB: retire keys first"));
        }
        let real = self.real();
        let old = OpenOptions::new().write(true).open(&real).ok();
        let fresh = real.with_extension("fresh");
        // One that broke off left it; what somebody else put there is not followed either.
        match std::fs::remove_file(&fresh) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(io(e)),
            _ => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(io)?;
        file.set_permissions(Permissions::from_mode(0o600)).map_err(io)?;
        if let Some(old) = &old {
            // Whoever changes it, it stays the vault's to read.
            let old = old.metadata().map_err(io)?;
            if file.metadata().map_err(io)?.uid() != old.uid() {
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid())).map_err(io)?;
            }
        }
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        std::fs::rename(&fresh, &real).map_err(io)?;
        dir.sync_all().map_err(io)?;
        Ok(old)
    }

    /// Writes over the bytes of a file that has no name any more, as far as the file system lets them be.
    fn wipe(&self, mut old: File) -> Result<(), SourceRefused> {
        let io = |error: std::io::Error| self.io(&error);
        let length = old.metadata().map_err(io)?.len();
        old.rewind().map_err(io)?;
        std::io::copy(&mut std::io::repeat(0).take(length), &mut old).map_err(io)?;
        old.sync_all().map_err(io)
    }
}

impl KeySource for KeyFile {
    fn name(&self) -> String {
        format!("file:{}", self.path.display())
    }

    fn read(&self, _known: &[KeyId]) -> Result<Found, SourceRefused> {
        let Some(format) = self.load()? else {
            return Err(SourceRefused::Missing(format!("key file at {}", self.path.display())));
        };
        let mut found = Found { first: KeyId::parse(&format.current).ok(), ..Found::default() };
        for (id, text) in format.keys {
            match (MasterKey::parse(&text), KeyId::parse(&id)) {
                (Ok(key), _) => {
                    found.keys.insert(id, key);
                }
                (Err(_), Ok(key_id)) => {
                    let rule = format!("it is not a key file: the key {id} is not 32 bytes in base64url");
                    found.unusable.push((key_id, self.form(rule)));
                }
                // Every id was parsed when the file was loaded.
                (Err(_), Err(_)) => {}
            }
        }
        Ok(found)
    }

    fn make(&self, id: &KeyId) -> Result<MasterKey, SourceRefused> {
        let dir = self.lock()?;
        let key = MasterKey::generate().map_err(|_| self.form("the system gives no randomness"))?;
        let mut format =
            self.load()?.unwrap_or_else(|| Format { current: id.to_string(), keys: BTreeMap::new() });
        if format.keys.contains_key(id.as_str()) {
            return Err(SourceRefused::Taken { id: id.clone(), place: self.name() });
        }
        format.keys.insert(id.to_string(), key.to_text());
        format.current = id.to_string();
        self.replace(&dir, &format).map(|_| key)
    }

    fn destroy(&self, id: &KeyId) -> Result<(), SourceRefused> {
        let dir = self.lock()?;
        let Some(mut format) = self.load()? else { return Ok(()) };
        if format.keys.remove(id.as_str()).is_none() {
            return Ok(());
        }
        if format.current == id.as_str() {
            // It is read only into an empty database.
            let rest = format.keys.keys().next_back();
            let last = || self.form(format!("{id} is its only key, which is never destroyed"));
            format.current = rest.ok_or_else(last)?.clone();
        }
        match self.replace(&dir, &format)? {
            Some(old) => self.wipe(old),
            None => Ok(()),
        }
    }
}

/// As JSON has it: an id may hold quotes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
