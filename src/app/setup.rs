//! What a start finds, holds against each other and, where it may, makes: the data directory, the
//! key, the issuer. A wrong or missing key ends here, before anything is served.

use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use crate::access::{IssuerKey, KeyTerm};
use crate::app::tls::TlsRefused;
use crate::audit::AuditEvent;
use crate::clock::{Clock, NoRandomness};
use crate::config::{Config, Database, KeySourceName};
#[cfg(feature = "aws")]
use crate::seal::AwsSource;
use crate::seal::{Binding, KeyFile, KeySource, Keyring, SealFailed};
use crate::store::{KeyRow, SealedIssuerKey, Store, StoreError, Tables, Upkeep};
use crate::vault::keys::{Keys, KeysRefused};
use crate::vault::{IssuerShut, LogRefused, begin_log};

/// Why the vault does not start. Names keys by fingerprint, never by value.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A directory or a socket.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// The master keys.
    #[error(transparent)]
    Keys(KeysRefused),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A policy, compiled in or read from a file.
    #[error("{0}")]
    Policy(String),
    /// Nothing was set up yet, and this mode makes nothing by itself.
    #[error("nothing is set up yet: run `pawl init` once (production makes no key by itself)")]
    NotSetUp,
    /// The certificate to listen with.
    #[error(transparent)]
    Certificate(#[from] TlsRefused),
    /// TLS itself.
    #[error("TLS can't be spoken: {0}")]
    Tls(#[from] rustls::Error),
    /// The issuer's key.
    #[error(transparent)]
    Issuer(#[from] IssuerShut),
    /// The trail's log.
    #[error(transparent)]
    Log(#[from] LogRefused),
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealFailed),
    /// The system gave no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl StartError {
    pub(super) fn cant_listen(listen: SocketAddr, source: std::io::Error) -> Self {
        Self::Io { what: format!("can't listen on {listen}"), source }
    }
}

impl From<KeysRefused> for StartError {
    fn from(refused: KeysRefused) -> Self {
        match refused {
            KeysRefused::NotSetUp => Self::NotSetUp,
            refused => Self::Keys(refused),
        }
    }
}

/// Whether what is missing may be made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// `pawl init`, and embedded mode at its first start.
    Make,
    /// Production's starts: use what is there, and bring its tables up to date where this program may.
    Use,
    /// Beside a running vault: use what is there as it is.
    Look,
}

/// Opens the database. An owner of PostgreSQL's tables, where one is named, brings them up to date
/// first; SQLite's belong to whoever serves.
pub(super) fn open_store(config: &Config, setup: Setup) -> Result<Store, StartError> {
    let makes_file = setup == Setup::Make || config.database.file().is_some_and(Path::exists);
    let tables = match (setup, &config.database) {
        (Setup::Look, _) => Tables::Check,
        (_, Database::Sqlite(_)) if makes_file => Tables::Migrate,
        (_, Database::Sqlite(_)) => Tables::Check,
        (_, Database::Postgres(_)) => {
            if let Some(owner) = &config.migrate_database {
                Store::migrate(owner)?;
            }
            Tables::Check
        }
    };
    Store::open(&config.database, tables, config.lease_caps, config.lanes).map_err(|error| match error {
        StoreError::NotSetUp => StartError::NotSetUp,
        error => error.into(),
    })
}

pub(super) fn make_dir(dir: &Path) -> Result<(), StartError> {
    let io = |source| StartError::Io { what: format!("the data directory {}", dir.display()), source };
    if !dir.exists() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
    }
    let found = std::fs::metadata(dir).map_err(io)?;
    let refuse = |rule: String| io(std::io::Error::new(std::io::ErrorKind::PermissionDenied, rule));
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(refuse(format!("it is open to others (mode {mode:03o}): chmod 700 it")));
    }
    // Root could use what somebody else made here beforehand, with a key that they know.
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(refuse("it belongs to another user: chown it".into()));
    }
    Ok(())
}

/// Where the keys are.
pub(super) fn key_source(config: &Config) -> Result<Arc<dyn KeySource>, StartError> {
    Ok(match &config.key_source {
        KeySourceName::File(path) => Arc::new(KeyFile::at(path)),
        #[cfg(feature = "aws")]
        KeySourceName::Aws(name) => Arc::new(AwsSource::open(name).map_err(KeysRefused::from)?),
    })
}

/// The ring, proven. In an empty database it is begun, where that may be done.
pub(super) fn open_ring(keys: &Keys, known: &[KeyRow], setup: Setup) -> Result<Keyring, StartError> {
    match (known, setup) {
        ([], Setup::Make) => Ok(keys.begin()?),
        ([], Setup::Use | Setup::Look) => Err(StartError::NotSetUp),
        (_, Setup::Look) => Ok(keys.hold()?),
        (_, Setup::Make | Setup::Use) => {
            let ring = keys.hold()?;
            keys.prove_later(&ring)?;
            Ok(ring)
        }
    }
}

/// The issuer's keys, opened; in an empty database the first is made and sealed.
pub(super) fn make_issuer(
    tx: &mut Upkeep,
    keyring: &Keyring,
    setup: Setup,
    clock: &Clock,
) -> Result<(), StartError> {
    if !tx.find_issuer_keys()?.is_empty() {
        return Ok(());
    }
    if setup != Setup::Make {
        return Err(StartError::NotSetUp);
    }
    let now = clock.now();
    let key = IssuerKey::generate(now)?;
    let sealed = keyring.seal(&Binding::issuer_key(key.id()), &key.seed())?;
    let term = KeyTerm::from_now(now);
    tx.insert_issuer_key(&SealedIssuerKey { id: key.id().clone(), sealed, term }, now)?;
    Ok(tx.append(&AuditEvent::of_vault("issuer.make", key.id().as_str(), now)?)?)
}

/// The log over the trail: begun where there is none yet, as after an upgrade, by whoever may do more than look.
pub(super) fn make_log(
    tx: &mut Upkeep,
    (keyring, host): (&Keyring, &str),
    setup: Setup,
    clock: &Clock,
) -> Result<(), StartError> {
    if setup != Setup::Look && tx.find_logs()?.is_empty() {
        begin_log(tx, keyring, host, clock.now())?;
    }
    Ok(())
}
