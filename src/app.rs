//! The composition root: the only file that knows every part. Opens what is there, makes what may be
//! made, and serves.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App as Service, HttpServer, middleware, web};

use crate::access::{IssuerKey, NotIssued, Policy, PolicyRefused, Tokens};
use crate::audit::AuditEvent;
use crate::clock::{Clock, NoRandomness};
use crate::config::{Config, Mode};
use crate::http::{self, State};
use crate::ids::{ClientId, KeyId, OrgId, UserId};
use crate::odoo::Readable;
use crate::seal::{Binding, Fingerprint, KeyFile, KeyFileRefused, Keyring, OpenRefused, SealFailed};
use crate::secret::Secret;
use crate::store::{KeyRow, SealedIssuerKey, Store, StoreError, Upkeep};
use crate::vault::Vault;

/// Open requests finish within this when the process is told to stop.
const STOP_WITHIN_SECONDS: u64 = 10;

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
    /// The key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileRefused),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A policy compiled into this binary.
    #[error("{0}")]
    Policy(String),
    /// Nothing was set up yet, and this mode makes nothing by itself.
    #[error("nothing is set up yet: run `pawl init` once (production makes no key by itself)")]
    NotSetUp,
    /// The database has keys and the key file is gone.
    #[error("{0}; the database was sealed under the key with fingerprint {1}, so none is made in its place")]
    KeyFileGone(KeyFileRefused, Fingerprint),
    /// The key that the database was sealed under is not the one that is held.
    #[error("wrong key: the database was sealed under {id} with fingerprint {expected}; held: {held}")]
    WrongKey {
        /// The key's id.
        id: KeyId,
        /// Its fingerprint in the database.
        expected: Fingerprint,
        /// What the source holds, `id=fingerprint`, or `none`.
        held: String,
    },
    /// The issuer's key does not open.
    #[error("the issuer's key in the database does not open: {0}")]
    Issuer(OpenRefused),
    /// The issuer's key opened to something else.
    #[error("the issuer's key in the database is damaged")]
    IssuerDamaged,
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealFailed),
    /// The system gave no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl From<PolicyRefused> for StartError {
    fn from(refused: PolicyRefused) -> Self {
        Self::Policy(refused.to_string())
    }
}

/// Whether what is missing may be made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// `pawl init`, and embedded mode at its first start.
    Make,
    /// Everything else: use what is there.
    Use,
}

/// What is opened: the parts from which a vault is put together.
pub struct App {
    config: Config,
    store: Store,
    keyring: Keyring,
    tokens: Tokens,
    policy: Arc<Policy>,
    clock: Clock,
    models: Vec<String>,
}

impl App {
    /// Opens the vault as `config` says: in embedded mode it is set up if it was not.
    pub fn open(config: Config, clock: Clock) -> Result<Self, StartError> {
        let setup = match config.mode {
            Mode::Embedded => Setup::Make,
            Mode::Production => Setup::Use,
        };
        Self::open_with(config, clock, setup)
    }

    /// The same, told what may be made. A key and an issuer are made only into an empty database.
    pub fn open_with(config: Config, clock: Clock, setup: Setup) -> Result<Self, StartError> {
        make_dir(&config.data_dir)?;
        let is_new = !config.database.exists();
        if is_new && setup == Setup::Use {
            return Err(StartError::NotSetUp);
        }
        let policy = Arc::new(Policy::embedded()?);
        let models = Readable::embedded().map_err(|e| StartError::Policy(e.to_string()))?.model_names();
        let store = Store::open(&config.database)?;
        let known = store.upkeep("find keys", |tx| tx.find_keys())?;
        let file = open_key_file(&config, &known, setup)?;
        let keyring = store.upkeep("note keys", |tx| match_keys(tx, &config, known, file, setup, &clock))?;
        let keys = store.upkeep("open issuer", |tx| open_issuer(tx, &keyring, setup, &clock))?;
        let tokens = Tokens::new(config.issuer.clone(), keys, policy.clone(), clock.clone());
        Ok(Self { config, store, keyring, tokens, policy, clock, models })
    }

    /// Mints a token on the host. The record of it is durable before the token is handed out.
    pub fn issue_token(
        &self,
        (org, user, client): (&OrgId, &UserId, &ClientId),
        role: &str,
        life: Duration,
    ) -> Result<Secret, IssueError> {
        if !HOST_ROLES.contains(&role) {
            return Err(IssueError::Role(role.to_owned()));
        }
        let known = self.policy.role(role).ok_or_else(|| NotIssued::UnknownRole(role.to_owned()))?;
        let token = self.tokens.issue((org, user, client), &known, life)?;
        let now = self.clock.now();
        let event = AuditEvent::token_issued((org, user, client), role, now.after(life), now)?;
        self.store.upkeep("issue token", |tx| tx.append(&event))?;
        Ok(token)
    }

    /// The key that seals, for people.
    pub fn key(&self) -> &KeyId {
        self.keyring.current()
    }

    /// Binds the listener and starts to serve, on the actix system that runs now.
    pub fn serve(self, signals: Signals) -> Result<Serving, StartError> {
        let listen = self.config.listen;
        let io = |source| StartError::Io { what: format!("can't listen on {listen}"), source };
        let listener = TcpListener::bind(listen).map_err(io)?;
        let address = listener.local_addr().map_err(io)?;
        let vault =
            Vault::new(self.store, self.keyring, self.config.egress_allow, self.models, self.clock.clone());
        let state = web::Data::new(State { vault, tokens: self.tokens, clock: self.clock });
        let server = HttpServer::new(move || {
            Service::new()
                .app_data(state.clone())
                .wrap(middleware::from_fn(http::identify))
                .configure(http::routes)
        })
        .workers(WORKERS)
        .shutdown_timeout(STOP_WITHIN_SECONDS)
        .server_hostname("pawl");
        let server = match signals {
            Signals::Heed => server,
            Signals::Ignore => server.disable_signals(),
        };
        let server = server.listen(listener).map_err(io)?.run();
        Ok(Serving { address, server })
    }
}

/// Async threads; the work of a request runs off them.
const WORKERS: usize = 2;

/// The roles that a token from this host's command line may have.
const HOST_ROLES: &[&str] = &["backend", "worker", "owner", "auditor"];

/// A token that was not handed out.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A role that is not minted here.
    #[error("no token for the role {0} is minted here: take backend, worker, owner or auditor")]
    Role(String),
    /// As asked it can't be.
    #[error(transparent)]
    NotIssued(#[from] NotIssued),
    /// It could not be put on record.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Whether the server stops on SIGTERM and SIGINT by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// It does.
    Heed,
    /// Whoever started it stops it.
    Ignore,
}

/// A server that listens; to be awaited until it stops.
pub struct Serving {
    address: SocketAddr,
    server: actix_web::dev::Server,
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until it is told to stop; open requests finish, for ten seconds at most.
    pub async fn run(self) -> std::io::Result<()> {
        self.server.await
    }
}

/// A vault on a thread of its own, for the demo and the tests.
pub struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Opens and serves `config`; answers once it listens.
    pub fn start(app: App) -> Result<Self, StartError> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                match app.serve(Signals::Ignore) {
                    Ok(serving) => {
                        let _ = sender.send(Ok((serving.address, serving.server.handle())));
                        let _ = serving.run().await;
                    }
                    Err(error) => {
                        let _ = sender.send(Err(error));
                    }
                }
            });
        });
        let (address, handle) = receiver.recv().map_err(|_| StartError::Io {
            what: "the server's thread ended".into(),
            source: std::io::ErrorKind::BrokenPipe.into(),
        })??;
        Ok(Self { address, handle, thread: Some(thread) })
    }

    /// Where it listens, as a URL without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.handle.stop(true));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn make_dir(dir: &Path) -> Result<(), StartError> {
    let io = |source| StartError::Io { what: format!("the data directory {}", dir.display()), source };
    if !dir.exists() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
    }
    let mode = std::fs::metadata(dir).map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let rule = format!("it is open to others (mode {mode:03o}): chmod 700 it");
        return Err(io(std::io::Error::new(std::io::ErrorKind::PermissionDenied, rule)));
    }
    Ok(())
}

fn open_key_file(config: &Config, known: &[KeyRow], setup: Setup) -> Result<KeyFile, StartError> {
    match KeyFile::read(&config.key_file) {
        Err(missing @ KeyFileRefused::Missing(_)) => match (known.last(), setup) {
            (Some(row), _) => Err(StartError::KeyFileGone(missing, row.fingerprint.clone())),
            (None, Setup::Make) => Ok(KeyFile::create(&config.key_file)?),
            (None, Setup::Use) => Err(StartError::NotSetUp),
        },
        read => Ok(read?),
    }
}

/// Holds the keys of the source against those that the database knows. The one that seals must be
/// held; into an empty database the source's current one is noted.
fn match_keys(
    tx: &mut Upkeep,
    config: &Config,
    known: Vec<KeyRow>,
    file: KeyFile,
    setup: Setup,
    clock: &Clock,
) -> Result<Keyring, StartError> {
    let now = clock.now();
    let sealing = match known.into_iter().find(|row| row.state == "sealing") {
        Some(row) => row,
        None if setup == Setup::Use => return Err(StartError::NotSetUp),
        None => {
            let key = file.keys.get(file.current.as_str()).ok_or(SealFailed)?;
            let fingerprint = key.fingerprint();
            let source = format!("file:{}", config.key_file.display());
            tx.insert_sealing_key(&file.current, &fingerprint, &source, now)?;
            tx.append(&AuditEvent::of_vault("key.note", file.current.as_str(), now)?)?;
            KeyRow { id: file.current.clone(), fingerprint, state: "sealing".into() }
        }
    };
    let held = file.keys.get(sealing.id.as_str()).map(|key| key.fingerprint());
    if held.as_ref() != Some(&sealing.fingerprint) {
        let held: Vec<String> =
            file.keys.iter().map(|(id, key)| format!("{id}={}", key.fingerprint())).collect();
        return Err(StartError::WrongKey {
            id: sealing.id,
            expected: sealing.fingerprint,
            held: if held.is_empty() { "none".into() } else { held.join(", ") },
        });
    }
    Ok(Keyring::new(sealing.id, file.keys).ok_or(SealFailed)?)
}

/// The issuer's keys, opened; in an empty database the first is made and sealed.
fn open_issuer(
    tx: &mut Upkeep,
    keyring: &Keyring,
    setup: Setup,
    clock: &Clock,
) -> Result<Vec<IssuerKey>, StartError> {
    let stored = tx.find_issuer_keys()?;
    if stored.is_empty() {
        if setup == Setup::Use {
            return Err(StartError::NotSetUp);
        }
        let now = clock.now();
        let key = IssuerKey::generate(now)?;
        let sealed = keyring.seal(&Binding::issuer_key(key.id()), &key.seed())?;
        tx.insert_issuer_key(&SealedIssuerKey { id: key.id().clone(), sealed }, now)?;
        tx.append(&AuditEvent::of_vault("issuer.make", key.id().as_str(), now)?)?;
        return Ok(vec![key]);
    }
    stored
        .into_iter()
        .map(|row| {
            let seed =
                keyring.open(&Binding::issuer_key(&row.id), &row.sealed).map_err(StartError::Issuer)?;
            IssuerKey::from_seed(row.id, &seed).map_err(|_| StartError::IssuerDamaged)
        })
        .collect()
}
