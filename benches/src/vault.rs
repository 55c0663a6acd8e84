//! `target/release/pawl serve` as a process, in a folder of its own and on a free port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The host of every deposit; nothing here ever resolves or calls it.
const ODOO: &str = "https://acme.odoo.com";

/// The program `name` that was built beside this one.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::current_exe().unwrap().with_file_name(name);
    assert!(path.is_file(), "{} is missing: benches/README.md says how it is built", path.display());
    path
}

/// `name` with `settings` and nothing of the caller's own.
pub fn command(name: &str, dir: &Path, settings: &[(String, String)]) -> Command {
    let mut command = Command::new(program(name));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PAWL_")) {
        command.env_remove(name);
    }
    command.current_dir(dir).envs(settings.iter().map(|(name, value)| (name, value)));
    command
}

/// What a command prints, once it has ended well.
pub fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

pub struct Vault {
    pub address: String,
    settings: Vec<(String, String)>,
    child: Child,
    /// It goes on greeting; a closed pipe would end it.
    _stdout: BufReader<ChildStdout>,
    dir: TempDir,
}

impl Vault {
    /// With the database that `settings` name. Without any it is SQLite, which needs no `init`.
    pub fn start(dir: TempDir, settings: Vec<(String, String)>) -> Self {
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut child = command("pawl", dir.path(), &settings)
            .env("PAWL_LISTEN", "127.0.0.1:0")
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut greeting = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut greeting).unwrap();
        let url = greeting.split_whitespace().last().unwrap_or_default();
        let address = url.strip_prefix("http://").unwrap_or_else(|| panic!("pawl did not start")).to_owned();
        Self { address, settings, child, _stdout: stdout, dir }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn token(&self, role: &str) -> String {
        let issue = ["token", "issue", "--org", "acme", "--user", "ada", "--role", role];
        said(command("pawl", self.dir.path(), &self.settings).args(issue))
    }

    /// Deposits a password for `username` and answers the connection's id.
    pub fn deposit(&self, token: &str, username: &str) -> String {
        self.deposit_at(token, ODOO, ["acme", username, "bot-password-of-32-characters-00"])
    }

    /// The same for a database, user and password of another host.
    pub fn deposit_at(&self, token: &str, url: &str, bot: [&str; 3]) -> String {
        let [database, username, secret] = bot;
        let body = json!({
            "url": url, "database": database, "username": username,
            "credential": {"kind": "password", "secret": secret},
        });
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(&post("/v1/connections", token, &body)).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 201"), "{answer}");
        serde_json::from_str::<Value>(body).unwrap()["id"].as_str().unwrap().to_owned()
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn post(path: &str, token: &str, body: &Value) -> Vec<u8> {
    request(path, token, "Connection: close\r\n", body)
}

/// A request of a connection that stays open.
pub fn request(path: &str, token: &str, more: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nHost: pawl\r\nAuthorization: Bearer {token}\r\n{more}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
