//! What the vault is told: embedded defaults, under `pawl.toml`, under `PAWL_*`.
//! Every name is in one table; a name that is not is refused. Nothing here holds a secret.

mod database;
mod key_source;
mod origins;
mod proxies;
mod read;
mod tls;
mod witnesses;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::access::Rates;
use crate::egress::{Exceptions, Guard, Nat64, Own, Ports, Proxy};
use crate::telemetry::{LogFormat, OtlpEndpoint};

pub use database::{Database, DatabaseRefused, PostgresAddress};
pub use key_source::KeySourceName;
pub use origins::{OriginRefused, Origins};
pub use proxies::{ProxyRefused, TrustedProxies};
use read::{Settings, file_settings};
pub use read::{environment_settings, secret};
pub use tls::{Tls, TlsFiles};
pub use witnesses::{Witness, WitnessRefused, Witnesses};

/// How many threads lend on a server, as measured (`benches/README.md`). SQLite has one writer, and one thread for it.
pub const LANES: usize = 2;

/// Every setting of the vault: its name in `pawl.toml`, and what it is for.
/// In the environment the name is `PAWL_` and upper case.
pub const VAULT_SETTINGS: &[(&str, &str)] = &[
    ("mode", "embedded (default) or production"),
    ("data_dir", "where the embedded database and key file lie (./pawl-data)"),
    ("listen", "IP and port to listen on (127.0.0.1:7295)"),
    ("ops_listen", "IP and port on loopback for /metrics, /livez and /readyz, in plain http (none)"),
    ("database_url", "sqlite:PATH (the default is pawl.db in the data directory) or postgres://…"),
    ("database_url_file", "the file that holds the database's address"),
    ("migrate_database_url", "the same database as the role that may change its tables (PostgreSQL)"),
    ("migrate_database_url_file", "the file that holds that address"),
    ("key_source", "file:PATH (master.json in the data directory) or aws-secretsmanager:NAME (feature aws)"),
    ("key_refresh_seconds", "how often the keys are read again from their source: 1 to 86400 (300)"),
    ("key_file_apart", "yes: the key file is on other storage than the database and its backups"),
    ("policy_file", "a file that says what roles may do, in the place of policies/access.toml (none)"),
    ("egress_allow", "comma-separated [ORG@]host|cidr[:port] that may be private or plain http"),
    ("egress_ports", "comma-separated ports at which public hosts are called (443)"),
    (
        "egress_nat64",
        "comma-separated prefixes at which a NAT64 leads to IPv4: judged by the address in it (none)",
    ),
    (
        "egress_proxy",
        "http://[USER:PASSWORD@]HOST:PORT: the proxy by which alone customers' hosts are called (none)",
    ),
    ("egress_proxy_file", "the file that holds that address"),
    ("max_open_leases_per_org", "how many leases of an org may be out at once: 1 to 1000000 (1000)"),
    ("max_open_leases_per_connection", "how many of a connection: 1 to 1000000 (100)"),
    ("events_per_day", "how many events an org's trail takes in a UTC day: 1 to 1000000000 (1000000)"),
    (
        "audit_reserve_mib",
        "with less free where SQLite's file lies, only lends and changes are recorded: MiB, 0 for never (256)",
    ),
    ("log", "what to log (warn,pawl=info)"),
    ("log_format", "text (default) or json: an object a line"),
    ("otlp_endpoint", "a collector to send spans to by OTLP over HTTP, https or on loopback (none)"),
    ("tls", "terminated-on-this-host: a proxy on this host speaks TLS for us"),
    ("tls_cert", "the certificate to listen with, PEM, with its chain; read again when it changes"),
    ("tls_key", "its private key, PEM"),
    ("public_url", "the issuer of our tokens (urn:pawl)"),
    ("own_issuer", "on: `pawl token issue` may mint tokens in production"),
    ("reads_per_second", "how many GETs one caller may go on with: 1 to 1000000 (1000)"),
    ("writes_per_second", "how many other calls: 1 to 1000000 (500)"),
    ("trusted_proxies", "comma-separated addresses or CIDRs whose X-Forwarded-For counts (none)"),
    (
        "audit_witnesses",
        "comma-separated file:PATH, stdout, https://…: who else knows what the trail says (none)",
    ),
    ("checkpoint_seconds", "how often they are told: 1 to 86400 (60)"),
    ("checkpoint_events", "and after so many events of this vault: 1 to 1000000 (10000)"),
    ("cors_origins", "comma-separated origins whose pages may call: https, or http on loopback (none)"),
];

/// Every setting of the worker, which shares the prefix.
pub const WORKER_SETTINGS: &[(&str, &str)] = &[
    ("url", "where the vault listens (http://127.0.0.1:7295)"),
    ("token", "the bearer token, or token_file"),
    ("token_file", "the file that holds the bearer token"),
    ("client_id", "instead of a token: the name of a registered client, which gets its tokens itself"),
    ("client_key_file", "its private key, as `pawl client keygen` makes it"),
    ("org", "the org that it acts for, if it may act for several"),
    ("user", "the user that it acts for, if it may act for several"),
    ("ca", "the file of certificates (PEM) that alone vouch for the vault; without, the system's"),
    ("egress_allow", "comma-separated host|cidr[:port] that may be private or plain http"),
    ("egress_ports", "comma-separated ports at which public hosts are called (443)"),
    (
        "egress_nat64",
        "comma-separated prefixes at which a NAT64 leads to IPv4: judged by the address in it (none)",
    ),
    (
        "egress_proxy",
        "http://[USER:PASSWORD@]HOST:PORT: the proxy by which alone customers' hosts are called (none)",
    ),
    ("egress_proxy_file", "the file that holds that address"),
    ("log", "what to log"),
    ("log_format", "text (default) or json: an object a line"),
];

/// The issuer's name where nobody said how callers reach the vault.
pub const NO_PUBLIC_URL: &str = "urn:pawl";

const PREFIX: &str = "PAWL_";

/// How strict the vault is with its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For one machine and for trying it: SQLite in the data directory, loopback only.
    Embedded,
    /// Everything else: makes nothing by itself and refuses what is not safe.
    Production,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Production => "production",
        })
    }
}

/// How many leases may be open at once, and how much may be told of an org in a day.
#[derive(Clone, Copy, Debug)]
pub struct LeaseCaps {
    /// Of one org.
    pub of_org: i64,
    /// Of one connection.
    pub of_connection: i64,
    /// Events in an org's trail, of a UTC day.
    pub events_per_day: i64,
}

/// When the log over the trail is told of, and to whom.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// So often, where anything happened.
    pub every: Duration,
    /// And after so many events of this vault.
    pub events: u64,
    /// To these.
    pub witnesses: Witnesses,
}

/// What is in force. The addresses of databases may hold passwords, so it is never printed.
#[derive(Clone)]
pub struct Config {
    /// Embedded or production.
    pub mode: Mode,
    /// The data directory, mode 0700.
    pub data_dir: PathBuf,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where operations are answered, on loopback.
    pub ops_listen: Option<SocketAddr>,
    /// The database, as the role that keeps rows in it.
    pub database: Database,
    /// The same database as the role that may change its tables; without, PostgreSQL's are only checked.
    pub migrate_database: Option<Database>,
    /// Where the master keys are.
    pub key_source: KeySourceName,
    /// How often they are read again; one vault a little earlier than another.
    pub key_refresh: Duration,
    /// The operator says that the key file does not share the database's fate.
    pub key_file_apart: bool,
    /// What roles may do, in the place of the policy that is compiled in.
    pub policy_file: Option<PathBuf>,
    /// Hosts that may be private or plain http.
    pub egress_allow: Exceptions,
    /// The ports of public hosts that are called.
    pub egress_ports: Ports,
    /// Where a NAT64 leads to IPv4.
    pub egress_nat64: Nat64,
    /// The proxy that leads to them.
    pub egress_proxy: Option<Proxy>,
    /// How many leases may be out at once.
    pub lease_caps: LeaseCaps,
    /// How many threads lend on a server. No setting names it.
    pub lanes: usize,
    /// With fewer bytes free than that, only lends and changes are put on record; 0 for never.
    pub audit_reserve: u64,
    /// The log filter.
    pub log: String,
    /// What its lines look like.
    pub log_format: LogFormat,
    /// Where spans go.
    pub otlp_endpoint: Option<OtlpEndpoint>,
    /// Who speaks TLS.
    pub tls: Tls,
    /// `iss` of our tokens.
    pub issuer: String,
    /// `pawl token issue` may mint in production.
    pub own_issuer: bool,
    /// How much one caller may ask.
    pub rates: Rates,
    /// Whose word of a client's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// Whose pages may call.
    pub cors_origins: Origins,
    /// When and to whom the trail's log is told of.
    pub checkpoints: Checkpoints,
}

/// Everything that is wrong with the settings, each named, so that one start shows all of it.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigRefused(pub Vec<String>);

impl Config {
    /// Reads `pawl.toml` in the working directory, if there is one, and the environment.
    pub fn load() -> Result<Self, ConfigRefused> {
        let file = match std::fs::read_to_string("pawl.toml") {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(ConfigRefused(vec![format!("pawl.toml can't be read: {e}")])),
        };
        Self::from(&file, std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v))))
    }

    /// The configuration that `file` (the text of a `pawl.toml`) and `environment` make.
    pub fn from(
        file: &str,
        environment: impl Iterator<Item = (String, std::ffi::OsString)>,
    ) -> Result<Self, ConfigRefused> {
        let mut wrong = Vec::new();
        let mut given = file_settings(file, &mut wrong);
        let environment: Vec<_> = environment.collect();
        let leads_elsewhere: Vec<String> = environment
            .iter()
            .map(|(name, _)| name)
            .filter(|name| database::leads_elsewhere(name))
            .cloned()
            .collect();
        given.extend(environment_settings(
            environment.into_iter(),
            VAULT_SETTINGS,
            WORKER_SETTINGS,
            &mut wrong,
        ));
        let mut settings = Settings { given, wrong };

        let mode = settings.choice(
            "mode",
            &[("embedded", Mode::Embedded), ("production", Mode::Production)],
            Mode::Embedded,
        );
        let data_dir = PathBuf::from(settings.text("data_dir").unwrap_or_else(|| "pawl-data".into()));
        let listen = settings.address("listen").unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7295)));
        let ops_listen = settings.address("ops_listen");
        let database =
            settings.database("database_url").unwrap_or_else(|| Database::Sqlite(data_dir.join("pawl.db")));
        let migrate_database = settings.database("migrate_database_url");
        let key_source =
            settings.key_source().unwrap_or_else(|| KeySourceName::File(data_dir.join("master.json")));
        let key_refresh = settings.seconds("key_refresh_seconds").unwrap_or(Duration::from_secs(300));
        let config = Self {
            mode,
            listen,
            ops_listen,
            database,
            migrate_database,
            key_source,
            key_refresh,
            key_file_apart: settings.choice("key_file_apart", &[("yes", true), ("no", false)], false),
            policy_file: settings.text("policy_file").map(PathBuf::from),
            egress_allow: settings.parsed("egress_allow"),
            egress_ports: settings.parsed("egress_ports"),
            egress_nat64: settings.parsed("egress_nat64"),
            egress_proxy: settings.egress_proxy(),
            lease_caps: LeaseCaps {
                of_org: settings.cap("max_open_leases_per_org").unwrap_or(1000),
                of_connection: settings.cap("max_open_leases_per_connection").unwrap_or(100),
                events_per_day: settings.count("events_per_day", 1..=1_000_000_000).unwrap_or(1_000_000),
            },
            lanes: LANES,
            audit_reserve: settings.audit_reserve(),
            log: settings.text("log").unwrap_or_else(|| "warn,pawl=info".into()),
            log_format: settings.choice("log_format", LogFormat::NAMES, LogFormat::Text),
            otlp_endpoint: settings.otlp_endpoint(),
            tls: settings.tls(),
            issuer: settings.text("public_url").unwrap_or_else(|| NO_PUBLIC_URL.into()),
            own_issuer: settings.choice("own_issuer", &[("on", true), ("off", false)], false),
            rates: settings.rates(),
            trusted_proxies: settings.parsed("trusted_proxies"),
            cors_origins: settings.parsed("cors_origins"),
            checkpoints: Checkpoints {
                every: settings.seconds("checkpoint_seconds").unwrap_or(Duration::from_secs(60)),
                events: settings.cap("checkpoint_events").map_or(10_000, i64::unsigned_abs),
                witnesses: settings.parsed("audit_witnesses"),
            },
            data_dir,
        };
        let mut wrong = settings.wrong;
        if let Database::Postgres(_) = config.database {
            wrong.extend(leads_elsewhere.iter().map(|name| {
                format!("{name} is set, and PostgreSQL's library would heed it: put all of the address into PAWL_DATABASE_URL")
            }));
        }
        wrong.extend(config.refusals());
        if wrong.is_empty() { Ok(config) } else { Err(ConfigRefused(wrong)) }
    }

    /// What every URL of a user's is held against: never the database's own server.
    pub fn guard(&self) -> Guard {
        let databases = [Some(&self.database), self.migrate_database.as_ref()];
        let servers = databases.into_iter().flatten().flat_map(Database::servers);
        let own = servers.map(|(host, port)| Own::Server(host, port)).collect();
        let guard = Guard::new(self.egress_allow.clone()).with_ports(self.egress_ports.clone());
        let guard = guard.with_nat64(self.egress_nat64.clone());
        guard.without(own).through(self.egress_proxy.clone())
    }

    /// Whether `pawl token issue` may mint here.
    pub fn may_issue_tokens(&self) -> bool {
        self.mode == Mode::Embedded || self.own_issuer
    }

    /// What this mode does not stand for, one sentence each.
    fn refusals(&self) -> Vec<String> {
        let mut wrong = match self.mode {
            Mode::Embedded => self.embedded_refusals(),
            Mode::Production => self.production_refusals(),
        };
        let both = (&self.database, &self.migrate_database);
        if !matches!(both, (_, None) | (Database::Postgres(_), Some(Database::Postgres(_)))) {
            wrong.push(
                "PAWL_MIGRATE_DATABASE_URL is for PostgreSQL, beside a PAWL_DATABASE_URL that names it too"
                    .into(),
            );
        }
        let listeners = [Some(self.listen), self.ops_listen].into_iter().flatten();
        let listeners = listeners.map(|at| (at.ip().to_string(), at.port()));
        let databases = [Some(&self.database), self.migrate_database.as_ref()].into_iter().flatten();
        for (host, port) in listeners.chain(databases.flat_map(Database::servers)) {
            // Without the port it may be meant for another program there; ours is not reached either way.
            if self.egress_allow.names_door(&host, port) {
                wrong.push(format!("PAWL_EGRESS_ALLOW names {host}:{port}, a door of the vault's own"));
            }
        }
        if let Some(ops) = self.ops_listen.filter(|ops| !ops.ip().is_loopback()) {
            wrong.push(format!(
                "PAWL_OPS_LISTEN is {ops}: it asks nobody who they are, so it must be loopback"
            ));
        }
        wrong
    }

    fn embedded_refusals(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.listen.ip().is_loopback() {
            wrong.push(format!(
                "PAWL_LISTEN is {}: embedded mode listens on loopback only; set PAWL_MODE=production",
                self.listen
            ));
        }
        match &self.database {
            Database::Sqlite(file) if lies_in(file, &self.data_dir) => {}
            Database::Sqlite(_) => wrong.push(
                "PAWL_DATABASE_URL lies outside the data directory: embedded mode keeps its database there; \
                 set PAWL_MODE=production"
                    .into(),
            ),
            Database::Postgres(_) => wrong.push(
                "PAWL_DATABASE_URL names PostgreSQL: embedded mode keeps its rows in SQLite; \
                 set PAWL_MODE=production"
                    .into(),
            ),
        }
        wrong
    }

    fn production_refusals(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let named = [("PAWL_DATABASE_URL", Some(&self.database))];
        let named = named.into_iter().chain([("PAWL_MIGRATE_DATABASE_URL", self.migrate_database.as_ref())]);
        for (name, database) in named {
            if let Some(Database::Postgres(address)) = database
                && !address.is_safe_on_its_way()
            {
                wrong.push(format!(
                    "{name} reaches PostgreSQL over a network without sslmode=verify-full: what it reads and \
                     writes could be heard or changed"
                ));
            }
        }
        if let Some(file) = self.key_source.file() {
            if lies_in(file, &self.data_dir) {
                wrong.push(
                    "PAWL_KEY_SOURCE: the key file lies in the data directory, beside what it opens".into(),
                );
            }
            if !self.key_file_apart {
                wrong.push(
                    "PAWL_KEY_FILE_APART: say yes when the key file is on other storage than the database and \
                     its backups"
                        .into(),
                );
            }
        }
        match self.tls {
            Tls::Listener(_) => {}
            Tls::Nobody => wrong.push(
                "PAWL_TLS_CERT and PAWL_TLS_KEY: nobody speaks TLS; name a certificate and its key, or set \
                 PAWL_TLS=terminated-on-this-host when a proxy beside Pawl does"
                    .into(),
            ),
            Tls::ProxyOnThisHost if self.listen.ip().is_loopback() => {}
            Tls::ProxyOnThisHost => wrong.push(format!(
                "PAWL_LISTEN is {}: with PAWL_TLS=terminated-on-this-host it must be loopback",
                self.listen
            )),
        }
        if self.egress_allow.covers_local() {
            wrong.push("PAWL_EGRESS_ALLOW has an exception for loopback or link-local addresses".into());
        }
        if self.egress_allow.any_without_org() {
            wrong.push("PAWL_EGRESS_ALLOW has an exception without its org: write ORG@host".into());
        }
        wrong
    }
}

/// Whether `path` lies in `dir`, links and `..` followed as far as either exists.
fn lies_in(path: &Path, dir: &Path) -> bool {
    real(path).starts_with(real(dir))
}

fn real(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.into()).components() {
        match part {
            std::path::Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
        if let Ok(followed) = std::fs::canonicalize(&plain) {
            plain = followed;
        }
    }
    plain
}
