//! A throwaway PostgreSQL, as the tests start it, without a line in its log for every statement.

use std::path::PathBuf;
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
        Some(Self { socket: line("SOCKET").replace('/', "%2F"), port: line("PORT"), dir })
    }

    fn address(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@{}:{}/{database}", self.socket, self.port)
    }

    /// A database with its two roles and tables, and the settings of a vault that keeps its rows there.
    pub fn database(&self, dir: &TempDir) -> Vec<(String, String)> {
        self.run("postgres", "CREATE ROLE pawl_migrate LOGIN CREATEROLE");
        self.run("postgres", "CREATE DATABASE pawl OWNER pawl_migrate");
        self.run("pawl", "ALTER SCHEMA public OWNER TO pawl_migrate");
        let keys = dir.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        let settings: Vec<(String, String)> = [
            ("PAWL_MODE", "production".to_owned()),
            ("PAWL_DATABASE_URL", self.address("pawl_app", "pawl")),
            ("PAWL_KEY_SOURCE", format!("file:{}/master.json", keys.display())),
            ("PAWL_KEY_FILE_APART", "yes".to_owned()),
            ("PAWL_TLS", "terminated-on-this-host".to_owned()),
            ("PAWL_OWN_ISSUER", "on".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        let migrate = self.address("pawl_migrate", "pawl");
        said(command("pawl", dir.path(), &settings).env("PAWL_MIGRATE_DATABASE_URL", migrate).arg("init"));
        settings
    }

    /// As PostgreSQL does by itself within a minute or so: plans made for empty tables are no good.
    pub fn analyze(&self) {
        self.run("pawl", "ANALYZE");
    }

    fn run(&self, database: &str, sql: &str) {
        let address = self.address("tester", database);
        said(Command::new(psql()).args(["-qX", "-v", "ON_ERROR_STOP=1", "-c", sql, &address]));
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
