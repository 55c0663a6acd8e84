//! Which database: a SQLite file, or a PostgreSQL server whose address is held against rules before
//! anything is connected to. The address may hold a password: it is a secret and is never printed.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use url::Url;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Where the rows lie.
#[derive(Clone)]
pub enum Database {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Arc<PostgresAddress>),
}

/// A `postgres://` address that broke no rule. Holds a secret: neither printed nor copied.
pub struct PostgresAddress {
    url: Secret,
    shown: String,
    server: String,
    /// The server is reached by a unix socket or by loopback: nothing crosses a network.
    is_local: bool,
    is_verified: bool,
}

/// Why a text names no database that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseRefused {
    /// Neither of the two forms.
    #[error("must be sqlite:PATH or postgres://USER@HOST/DATABASE")]
    Form,
    /// This binary has no PostgreSQL.
    #[error(
        "names PostgreSQL: this binary was built without it; rebuild with: \
         cargo build --release --features postgres"
    )]
    NotBuilt,
    /// A parameter that could undo what is checked here.
    #[error("has the parameter {0}, which is not taken; known are {known}", known = PARAMETERS.join(", "))]
    Parameter(String),
}

/// The parameters of a `postgres://` address that are taken. `hostaddr`, `service` and the like could
/// lead elsewhere than the host that is judged.
const PARAMETERS: &[&str] = &[
    "host",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "application_name",
    "connect_timeout",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "target_session_attrs",
];

/// What is asked for where the address says nothing of it: no wait for a server that went away without
/// a word, in seconds and, the last, in milliseconds.
const PATIENCE: &[(&str, &str)] = &[
    ("connect_timeout", "3"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "6000"),
];

impl Database {
    /// Takes `sqlite:PATH` or a `postgres://` address.
    pub fn parse(text: Secret) -> Result<Self, DatabaseRefused> {
        if let Some(path) = text.expose().strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
            return Ok(Self::Sqlite(path.into()));
        }
        PostgresAddress::parse(text).map(|address| Self::Postgres(Arc::new(address)))
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// Hosts and port of the servers that it may be on, over a network or loopback.
    pub fn servers(&self) -> Vec<(String, u16)> {
        let Self::Postgres(address) = self else { return Vec::new() };
        let Some((hosts, port)) = address.server.rsplit_once(':') else { return Vec::new() };
        let Ok(port) = port.parse() else { return Vec::new() };
        let hosts = hosts.split(',').filter(|host| !host.is_empty() && !host.starts_with('/'));
        hosts.map(|host| (host.trim_matches(['[', ']']).to_owned(), port)).collect()
    }
}

/// As people may see it: without a password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(address) => f.write_str(&address.shown),
        }
    }
}

impl PostgresAddress {
    fn parse(text: Secret) -> Result<Self, DatabaseRefused> {
        // In exactly these letters: libpq takes no others, and quotes what it does not take.
        if !["postgres://", "postgresql://"].iter().any(|scheme| text.expose().starts_with(scheme)) {
            return Err(DatabaseRefused::Form);
        }
        let form = |_| DatabaseRefused::Form;
        if !reads_alike(text.expose()) {
            return Err(DatabaseRefused::Form);
        }
        let mut url = Url::parse(text.expose()).map_err(form)?;
        if !cfg!(feature = "postgres") {
            return Err(DatabaseRefused::NotBuilt);
        }
        let database = url.path().trim_start_matches('/');
        if database.is_empty() || database.contains('/') || url.fragment().is_some() {
            return Err(DatabaseRefused::Form);
        }
        let mut hosts = Vec::new();
        if let Some(host) = url.host_str().filter(|host| !host.is_empty()) {
            hosts = listed(&percent_decode_str(host).decode_utf8_lossy());
        }
        let mut mode = None;
        for (name, value) in url.query_pairs() {
            match &*name {
                // Overrides the host before the path.
                "host" => hosts = listed(&value),
                "sslmode" => mode = Some(value.into_owned()),
                known if PARAMETERS.contains(&known) => {}
                other => {
                    let shown: String = other.chars().filter(|c| !c.is_control()).take(64).collect();
                    return Err(DatabaseRefused::Parameter(shown));
                }
            }
        }
        let is_local = hosts.iter().all(|host| is_local(host));
        let named = hosts.iter().map(|host| match host.starts_with('/') {
            true => host.clone(),
            false => host.to_ascii_lowercase(),
        });
        let server = format!("{}:{}", named.collect::<Vec<_>>().join(","), url.port().unwrap_or(5432));
        let is_verified = mode.as_deref() == Some("verify-full");
        let mut whole = Zeroizing::new(String::with_capacity(text.expose().len() + 128));
        whole.push_str(text.expose());
        for (name, value) in PATIENCE {
            if !url.query_pairs().any(|(given, _)| given == *name) {
                let joint = if whole.contains('?') { '&' } else { '?' };
                whole.push(joint);
                whole.push_str(&format!("{name}={value}"));
            }
        }
        let whole = Secret::new(std::mem::take(&mut *whole));
        // A non-special URL with a user and without a host can't have its password taken away.
        if url.password().is_some() && url.set_password(None).is_err() {
            return Err(DatabaseRefused::Form);
        }
        Ok(Self { url: whole, server, shown: url.into(), is_local, is_verified })
    }

    /// The address with everything that is in it, for the one call that connects.
    pub fn expose(&self) -> &str {
        self.url.expose()
    }

    /// Hosts, in small letters, and port alone, whoever connects and how: `db.internal:5432`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The variables of this process that would lead libpq elsewhere than an address says.
    pub fn surroundings() -> Vec<String> {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        names.filter(|name| leads_elsewhere(name)).collect()
    }

    /// Whether a password is in it.
    pub fn has_password(&self) -> bool {
        let authority = self.url.expose().split("://").nth(1).unwrap_or_default();
        let authority = authority.split(['/', '?']).next().unwrap_or_default();
        authority.split_once('@').is_some_and(|(user, _)| user.contains(':'))
    }

    /// Whether `message` quotes the password, as it is written in the address or as it is meant.
    pub fn is_quoted_in(&self, message: &str) -> bool {
        let authority = self.url.expose().split("://").nth(1).unwrap_or_default();
        let user = authority.split('@').next().unwrap_or_default();
        let Some((_, password)) = user.split_once(':') else { return false };
        let meant = Zeroizing::new(percent_decode_str(password).decode_utf8_lossy().into_owned());
        !password.is_empty() && (message.contains(password) || message.contains(meant.as_str()))
    }

    /// Whether what is said to the server can't be heard or changed on its way: it stays on this
    /// machine, or goes by TLS with the server's name verified.
    pub fn is_safe_on_its_way(&self) -> bool {
        self.is_local || self.is_verified
    }
}

/// Whether libpq reads the same out of the text as the judge here does. It takes the first `@` for the
/// end of the password where others take the last, strips nothing, and quotes an escape that it can't
/// read, which may stand in the password.
fn reads_alike(text: &str) -> bool {
    let authority = text.split("://").nth(1).unwrap_or_default();
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    authority.matches('@').count() <= 1
        && text.chars().all(|c| c.is_ascii_graphic() && c != '\\')
        && text.split('%').skip(1).all(is_escape)
}

fn is_escape(after: &str) -> bool {
    let digits = after.as_bytes().get(..2);
    digits.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit) && two != b"00")
}

/// Whether libpq takes part of an address from the environment variable of that name, past what is
/// judged here.
pub(super) fn leads_elsewhere(variable: &str) -> bool {
    ["PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE", "PGSERVICEFILE", "PGOPTIONS"]
        .contains(&variable)
}

/// A place for a host may name several, which libpq tries in turn.
fn listed(hosts: &str) -> Vec<String> {
    hosts.split(',').map(str::to_owned).collect()
}

/// A unix socket's directory, or this very host.
fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.starts_with('/') || host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Database, DatabaseRefused> {
        Database::parse(Secret::new(text.into()))
    }

    #[test]
    fn an_address_is_sqlite_or_postgres_and_nothing_else() {
        assert_eq!(parse("sqlite:/var/pawl.db").ok().and_then(|d| d.file().map(Into::into)), {
            Some(PathBuf::from("/var/pawl.db"))
        });
        for wrong in ["", "sqlite:", "mysql://u@h/d", "/var/pawl.db", "host=h dbname=d"] {
            assert_eq!(parse(wrong).err(), Some(DatabaseRefused::Form), "{wrong}");
        }
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_server_is_the_same_in_letters_of_any_size() {
        let server = |text| match parse(text) {
            Ok(Database::Postgres(address)) => address.server().to_owned(),
            _ => String::new(),
        };
        assert_eq!(server("postgres://u@DB.Internal/Shop?sslmode=verify-full"), "db.internal:5432");
        assert_eq!(server("postgres://u@d%42.internal:6/s?sslmode=verify-full"), "db.internal:6");
        assert_eq!(server("postgres://u@%2FRun%2Fpg/s"), "/Run/pg:5432");
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_password_is_not_shown_and_a_network_wants_verified_tls() {
        for (text, safe) in [
            ("postgres:///pawl", true),
            ("postgres://pawl_app:hunter2@localhost/pawl", true),
            ("postgresql://pawl_app:hunter2@127.0.0.1:5433/pawl", true),
            ("postgres://pawl_app:hunter2@[::1]/pawl?sslmode=disable", true),
            ("postgres://pawl_app:hunter2@%2Frun%2Fpostgresql/pawl", true),
            ("postgres://pawl_app:hunter2@x/pawl?host=/run/postgresql", true),
            ("postgres://pawl_app:hunter2@db.internal/pawl?sslmode=verify-full", true),
            ("postgres://pawl_app:hunter2@db.internal/pawl", false),
            ("postgres://pawl_app:hunter2@db.internal/pawl?sslmode=require", false),
            ("postgres://pawl_app:hunter2@db.internal/pawl?sslmode=verify-ca", false),
            ("postgres://pawl_app:hunter2@localhost/pawl?host=db.internal", false),
            ("postgres://pawl_app:hunter2@localhost/pawl?host=localhost,db.internal", false),
            ("postgres://pawl_app:hunter2@localhost.evil.example/pawl", false),
            ("postgres://pawl_app:hunter2@%2Frun%2Fpostgresql,db.evil.example/pawl", false),
            ("postgres://pawl_app:hunter2@%2Frun%2Fpostgresql%2Cdb.evil.example/pawl", false),
            ("postgres://pawl_app:hunter2@localhost,/pawl", false),
            ("postgres://pawl_app:hunter2@10.0.0.1/pawl", false),
        ] {
            let Ok(Database::Postgres(address)) = parse(text) else { panic!("{text}") };
            assert_eq!(address.is_safe_on_its_way(), safe, "{text}");
            assert!(!address.shown.contains("hunter2"), "{}", address.shown);
            assert!(address.expose().starts_with(text), "{text}");
            assert!(address.expose().contains("tcp_user_timeout=6000"), "{text}");
        }
        for (text, refused) in [
            ("postgres://u@h/d?hostaddr=10.0.0.1", DatabaseRefused::Parameter("hostaddr".into())),
            ("postgres://u@h/d?service=x", DatabaseRefused::Parameter("service".into())),
            ("postgres://u@h/d?password=hunter2", DatabaseRefused::Parameter("password".into())),
            ("postgres://u@h/", DatabaseRefused::Form),
            ("postgres://u@h", DatabaseRefused::Form),
            ("postgres://u@h/d/e", DatabaseRefused::Form),
            ("postgres://u:pa%ss@h/d", DatabaseRefused::Form),
            ("postgres://u@evil.example,x@localhost/d", DatabaseRefused::Form),
            ("postgres://u@localhost/d?host=/run\t", DatabaseRefused::Form),
            (" postgres://u@localhost/d", DatabaseRefused::Form),
            ("POSTGRES://u:hunter2@localhost/d", DatabaseRefused::Form),
            ("postgres:u:hunter2@localhost/d", DatabaseRefused::Form),
            ("postgres:/u:hunter2@localhost/d", DatabaseRefused::Form),
            ("postgres://u:pa%00ss@h/d", DatabaseRefused::Form),
        ] {
            assert_eq!(parse(text).err(), Some(refused), "{text}");
        }
    }
}
