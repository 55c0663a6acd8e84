//! The composition root: the only file that knows every part. Opens what is there, makes what may be
//! made, and serves.

mod freeze;
mod import;
mod log;
mod ops;
mod ready;
mod serving;
mod setup;
#[cfg(test)]
mod tests;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{App as Service, HttpServer, middleware, web};

use crate::access::{Holder, Limits, NotIssued, Policy, Role, Standing, Strains, Tokens};
use crate::audit::AuditEvent;
use crate::clock::{Clock, NoRandomness};
use crate::config::{Config, Mode, NO_PUBLIC_URL, Tls};
use crate::egress::{Guard, Own, Resolve};
use crate::http::{self, State, Surface};
use crate::ids::{ClientId, KeyId, OrgId, UserId};
use crate::metrics;
use crate::odoo::Readable;
use crate::seal::Keyring;
use crate::secret::Secret;
use crate::store::{Store, StoreError};
use crate::vault::keys::{Keys, Ring};
use crate::vault::{
    Doubting, HostTrail, Keeper, Log, Parts, Registry, Reserve, Untold, Vault, Watch, Witnesses, open_issuer,
    origin_host,
};

pub use freeze::{NotSwitched, Switched, look, switch};
pub use import::{ImportAsked, ImportEnded, ImportFailed, ImportStep};
pub use ready::{NotReady, ask_ready};
pub use serving::{Running, Serving, Signals};
pub use setup::{Setup, StartError};
pub use tls::{Certificate, SOON_DAYS, TlsRefused};

use ops::{Ops, bind};
use serving::{
    beat, follow, follow_expiry, follow_host, follow_reserve, follow_retention, follow_vault, look_again,
    tell_counts,
};
use setup::{key_source, make_dir, make_issuer, make_log, open_ring, open_store};
use tls::Shown;

/// Open requests finish within this when the process is told to stop.
const STOP_WITHIN_SECONDS: u64 = 10;
/// A client that has not sent the head of its request by then is cut off, or has not shaken hands.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// A connection that is kept open and says nothing more is closed.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Open at once, for each worker: what more come wait to be accepted.
const CONNECTIONS: usize = 2048;

/// What is opened: the parts from which a vault is put together.
pub struct App {
    config: Config,
    store: Store,
    keys: Keys,
    keyring: Keyring,
    tokens: Tokens,
    /// Who may call, and when that was read.
    standing: (Standing, Instant),
    policy: Arc<Policy>,
    clock: Clock,
    guard: Guard,
    readable: Arc<Readable>,
}

/// The master keys alone, for their own commands: they are there for when nothing else opens.
pub fn open_keys(config: &Config, clock: Clock) -> Result<Keys, StartError> {
    let store = open_store(config, Setup::Look)?;
    Ok(Keys::new(store, key_source(config)?, clock))
}

/// What roles may do, as the settings say.
pub fn policy(config: &Config) -> Result<Policy, StartError> {
    let read = match &config.policy_file {
        Some(file) => {
            Policy::read(file).map_err(|refused| (format!("PAWL_POLICY_FILE {}", file.display()), refused))
        }
        None => Policy::embedded().map_err(|refused| ("policies/access.toml".into(), refused)),
    };
    read.map_err(|(name, refused)| StartError::Policy(format!("{name}: {refused}")))
}

/// The register of services that may ask for tokens. It needs no key.
pub fn open_registry(config: &Config, clock: Clock) -> Result<Registry, StartError> {
    let store = open_store(config, Setup::Look)?;
    Ok(Registry::new(store, clock))
}

/// The trail, to be read and verified on the host. It needs no key.
pub fn open_trail(config: &Config, clock: Clock) -> Result<HostTrail, StartError> {
    let store = open_store(config, Setup::Look)?;
    Ok(HostTrail::new(store, clock))
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
        Self::open_under(policy(&config)?, config, clock, setup)
    }

    /// The same, under another policy than the one of the settings.
    pub fn open_under(
        policy: Policy,
        config: Config,
        clock: Clock,
        setup: Setup,
    ) -> Result<Self, StartError> {
        if setup != Setup::Look {
            make_dir(&config.data_dir)?;
        }
        let policy = Arc::new(policy);
        let readable = Arc::new(Readable::embedded().map_err(|e| StartError::Policy(e.to_string()))?);
        let store = open_store(&config, setup)?;
        let keys = Keys::new(store.clone(), key_source(&config)?, clock.clone());
        let keyring = open_ring(&keys, &store.find_keys()?, setup)?;
        store.upkeep("open issuer", |tx| make_issuer(tx, &keyring, setup, &clock))?;
        let host = origin_host(&config.issuer);
        store.upkeep("open log", |tx| make_log(tx, (&keyring, &host), setup, &clock))?;
        let (read_at, found) = (Instant::now(), store.find_standing()?);
        let issuer = Arc::new(open_issuer(&found.issuers, &keyring, clock.now())?);
        let standing = (Standing::new(issuer, &found.revocations, None), read_at);
        if setup != Setup::Look {
            // Of users who come back, their next request does it.
            while store.upkeep("drop old keys", |tx| tx.drop_old_keys(clock.now()))? {}
        }
        let tokens = Tokens::new(config.issuer.clone(), policy.clone(), clock.clone());
        let guard = config.guard();
        Ok(Self { config, store, keys, keyring, tokens, standing, policy, clock, readable, guard })
    }

    /// The same, with another way to look a user's hosts up than the system's.
    pub fn resolving(self, resolve: Resolve) -> Self {
        Self { guard: self.guard.resolving(resolve), ..self }
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
        let known = Role::parse(role).ok_or_else(|| NotIssued::UnknownRole(role.to_owned()))?;
        let tenant = Some((org.clone(), user.clone()));
        let holder = Holder { tenant, client: client.clone(), roles: vec![known] };
        let issued = self.tokens.issue(self.standing.0.issuer(), &holder, life)?;
        let event = AuditEvent::of_token("token.issue", &holder, &issued, (None, &[]), self.clock.now())?;
        self.store.upkeep("issue token", |tx| tx.append(&event))?;
        Ok(issued.token)
    }

    /// The master keys, to be listed and changed on the host.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The key that seals, for people.
    pub fn key(&self) -> &KeyId {
        self.keyring.current()
    }

    /// Binds the listener and starts to serve, on the actix system that runs now.
    pub fn serve(self, signals: Signals) -> Result<Serving, StartError> {
        metrics::started(self.clock.now());
        let shown = match &self.config.tls {
            Tls::Listener(files) => {
                Some(Arc::new(Shown::open(files, &self.config.issuer, self.clock.clone())?))
            }
            Tls::ProxyOnThisHost | Tls::Nobody => None,
        };
        let loaded = [("digest", self.policy.digest())];
        let loaded = AuditEvent::of_vault_with("policy.load", self.policy.name(), &loaded, self.clock.now())?;
        self.store.upkeep("record policy", |tx| tx.append(&loaded))?;
        let (listener, address) = bind(self.config.listen)?;
        let io = |source| StartError::cant_listen(address, source);
        let ops_listener = self.config.ops_listen.map(bind).transpose()?;
        let listeners = [Some(address), ops_listener.as_ref().map(|(_, address)| *address)];
        let listeners = listeners.into_iter().flatten();
        let ring = Ring::new(self.keys, self.keyring);
        actix_web::rt::spawn(follow(ring.clone(), self.config.key_refresh));
        let watch = Watch::new(self.store.clone(), ring.clone(), self.clock.clone(), self.standing);
        actix_web::rt::spawn(watch.clone().follow());
        let audiences = audiences(&self.config.issuer, shown.is_some(), address);
        let switch = freeze::open_host(&self.config).map_err(|source| StartError::Io {
            what: format!("the data directory {}", self.config.data_dir.display()),
            source,
        })?;
        let switch = Arc::new(switch);
        let reserve = Reserve::of(&self.config);
        reserve.look();
        let witnesses = Witnesses::new(&self.config.checkpoints);
        // Before anything is lent, the witnesses have said whether the database is the one that was.
        let keeper = Keeper::start(Log {
            store: self.store.clone(),
            ring: ring.clone(),
            clock: self.clock.clone(),
            switch: switch.clone(),
            checkpoints: self.config.checkpoints,
            witnesses: witnesses.clone(),
            doubting: Doubting::of(&self.config.data_dir),
        })
        .map_err(|source| StartError::Io { what: "the log's thread".into(), source })?;
        let surface = Surface {
            trusted_proxies: self.config.trusted_proxies,
            cors_origins: self.config.cors_origins,
            is_https: self.config.tls != Tls::Nobody,
        };
        let (limits, strains) =
            (Arc::new(Limits::new(self.config.rates, &self.clock)), Strains::new(self.clock.clone()));
        let vault = Vault::new(Parts {
            store: self.store,
            ring,
            guard: self.guard.without(listeners.map(Own::Listener).collect()),
            readable: self.readable,
            clock: self.clock.clone(),
            switch,
            limits: limits.clone(),
            untold: Untold::new(self.clock.clone(), reserve),
            witnesses,
        });
        let (tokens, clock) = (self.tokens, self.clock);
        let state =
            web::Data::new(State { vault, tokens, watch, audiences, limits, strains, surface, clock });
        actix_web::rt::spawn(follow_host(state.clone()));
        actix_web::rt::spawn(follow_vault(state.clone()));
        actix_web::rt::spawn(follow_retention(state.clone()));
        actix_web::rt::spawn(follow_expiry(state.clone()));
        actix_web::rt::spawn(follow_reserve(state.clone()));
        actix_web::rt::spawn(tell_counts(state.clone()));
        let stopping = state.clone();
        let ops = ops_listener.map(|(listener, address)| Ops::serve(listener, address, state.clone()));
        let ops = ops.transpose()?;
        let server = HttpServer::new(move || {
            actix_web::rt::spawn(beat());
            Service::new()
                .app_data(state.clone())
                .wrap(middleware::from_fn(http::screen))
                .wrap(middleware::from_fn(http::identify))
                .configure(http::routes)
        })
        .workers(WORKERS)
        .worker_max_blocking_threads(BLOCKING_THREADS)
        .max_connections(CONNECTIONS)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(STOP_WITHIN_SECONDS)
        .client_request_timeout(HEAD_WITHIN)
        .tls_handshake_timeout(HEAD_WITHIN)
        .on_connect(http::Line::keep)
        // Who closes their side has hung up: a read of theirs ends. What is not to end is in a task of its own.
        .h1_allow_half_closed(false)
        // A loan is sent in two pieces, of which the second would wait for the first to be acknowledged.
        .tcp_nodelay(true)
        .server_hostname("pawl");
        let server = match signals {
            Signals::Heed => server,
            Signals::Ignore => server.disable_signals(),
        };
        let server = match &shown {
            Some(shown) => server.listen_rustls_0_23(listener, shown.server_config()?),
            None => server.listen(listener),
        };
        let server = server.map_err(io)?.run();
        if signals == Signals::Heed {
            actix_web::rt::spawn(look_again(shown.clone()));
        }
        Ok(Serving { address, server, shown, ops, keeper, state: stopping })
    }
}

/// Whom an assertion may be for: the issuer, and the endpoint that it is sent to as callers know it.
fn audiences(issuer: &str, is_tls: bool, address: SocketAddr) -> Vec<String> {
    let scheme = if is_tls { "https" } else { "http" };
    let base = match issuer {
        NO_PUBLIC_URL => format!("{scheme}://{address}"),
        public_url => public_url.trim_end_matches('/').to_owned(),
    };
    vec![issuer.to_owned(), format!("{base}/v1/token")]
}

/// Async threads; the work of a request runs off them.
const WORKERS: usize = 2;
/// Threads for that work, for each: more than slow names of hosts under check can hold, whatever the machine.
const BLOCKING_THREADS: usize = 256;

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
