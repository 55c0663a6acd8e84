//! A throwaway PostgreSQL, as the tests start it, without a line in its log for every statement.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::vault::{command, said};

pub struct Cluster {
    dir: TempDir,
    socket: String,
    port: String,
}

impl Cluster {
    /// None, with a word about it, where PostgreSQL is not installed.
    pub fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let started = script("start", &dir).arg("--log_statement=none").output().unwrap();
        if !started.status.success() {
            eprintln!("without PostgreSQL: {}", String::from_utf8_lossy(&started.stderr));
            return None;
        }
        let told = String::from_utf8(started.stdout).unwrap();
        let line = |name: &str| {
            let name = format!("TEST_POSTGRES_{name}=");
            told.lines().find_map(|line| line.strip_prefix(&name)).unwrap().to_owned()
        };
        let cluster = Self { socket: line("SOCKET").replace('/', "%2F"), port: line("PORT"), dir };
        cluster.run("postgres", "CREATE ROLE pawl_migrate LOGIN CREATEROLE");
        Some(cluster)
    }

    pub fn address(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@{}:{}/{database}", self.socket, self.port)
    }

    /// The database `name` with its roles and tables, and the settings of a vault of `program` that keeps
    /// its rows there.
    pub fn database(&self, name: &str, program: &Path, dir: &TempDir) -> Vec<(String, String)> {
        self.create(name, "pawl_migrate");
        let keys = dir.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        let settings: Vec<(String, String)> = [
            ("PAWL_MODE", "production".to_owned()),
            ("PAWL_DATABASE_URL", self.address("pawl_app", name)),
            ("PAWL_KEY_SOURCE", format!("file:{}/master.json", keys.display())),
            ("PAWL_KEY_FILE_APART", "yes".to_owned()),
            ("PAWL_TLS", "terminated-on-this-host".to_owned()),
            ("PAWL_OWN_ISSUER", "on".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        let migrate = self.address("pawl_migrate", name);
        said(command(program, dir.path(), &settings).env("PAWL_MIGRATE_DATABASE_URL", migrate).arg("init"));
        settings
    }

    /// The same as SQLAlchemy writes it.
    pub fn sqlalchemy_address(&self, role: &str, database: &str) -> String {
        format!("postgresql+asyncpg://{role}@/{database}?host={}&port={}", self.socket, self.port)
    }

    /// An empty database that `owner` may make tables in.
    pub fn create(&self, name: &str, owner: &str) {
        self.run("postgres", &format!("CREATE DATABASE {name} OWNER {owner}"));
        self.run(name, &format!("ALTER SCHEMA public OWNER TO {owner}"));
    }

    /// As PostgreSQL does by itself within a minute or so: plans made for empty tables are no good.
    pub fn analyze(&self, database: &str) {
        self.run(database, "ANALYZE");
    }

    /// What `sql` says there, as the superuser: past row-level security.
    pub fn run(&self, database: &str, sql: &str) -> String {
        let address = self.address("tester", database);
        said(Command::new(psql()).args(["-qXAt", "-v", "ON_ERROR_STOP=1", "-c", sql, &address]))
    }

    /// The process that all others of the server are children of.
    pub fn pid(&self) -> u32 {
        let file = std::fs::read_to_string(self.dir.path().join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = script("stop", &self.dir).status();
    }
}

fn script(verb: &str, dir: &TempDir) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/postgres/cluster"));
    command.arg(verb).arg(dir.path());
    command
}

/// Debian keeps it out of the path, under the version.
fn psql() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let there = versions.map(|version| version.path().join("bin/psql")).find(|path| path.is_file());
    there.unwrap_or_else(|| "psql".into())
}
