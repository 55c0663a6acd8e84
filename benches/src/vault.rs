//! `target/release/pawl serve` as a process, in a folder of its own and on a free port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::load::Target;

/// The host of every deposit; nothing here ever resolves or calls it.
const ODOO: &str = "https://acme.odoo.com";

/// How long a peer may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is deposited, and has to come back.
pub const SECRET: &str = "bot-password-of-32-characters-00";

/// The program `name` that was built beside this one.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::current_exe().unwrap().with_file_name(name);
    assert!(path.is_file(), "{} is missing: benches/README.md says how it is built", path.display());
    path
}

/// The vaults to measure: `BENCH_PAWL`, paths with a colon between them, or what was built beside this.
pub fn programs() -> Vec<PathBuf> {
    match std::env::var_os("BENCH_PAWL") {
        Some(paths) => std::env::split_paths(&paths).collect(),
        None => vec![program("pawl")],
    }
}

/// `program` with `settings` and nothing of the caller's own.
pub fn command(program: &Path, dir: &Path, settings: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PAWL_")) {
        command.env_remove(name);
    }
    command.current_dir(dir).envs(settings.iter().map(|(name, value)| (name, value)));
    command
}

/// Leases pile up here as they never would: the caps are out of the way, of a vault that has any.
fn without_caps(program: &Path, dir: &Path, settings: &[(String, String)]) -> Vec<(String, String)> {
    let caps = ["PAWL_MAX_OPEN_LEASES_PER_ORG", "PAWL_MAX_OPEN_LEASES_PER_CONNECTION"];
    let help = said(command(program, dir, settings).args(["serve", "--help"]));
    let known = caps.into_iter().filter(|cap| help.contains(cap));
    let known = known.map(|cap| (cap.to_owned(), "1000000".to_owned()));
    settings.iter().cloned().chain(known).collect()
}

/// What a command prints, once it has ended well.
pub fn said(command: &mut Command) -> String {
    tried(command).unwrap_or_else(|why| panic!("{why}"))
}

/// The same of one that may fail, with why it did.
pub fn tried(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
}

/// One request that says `Connection: close`, and all of its answer.
pub fn exchange(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// Waits for a server that does not say by itself that it is there.
pub fn until_it_listens(address: &str) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > until {
            return Err(format!("nothing listens at {address} after {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

pub struct Vault {
    pub address: String,
    program: PathBuf,
    settings: Vec<(String, String)>,
    child: Child,
    /// It goes on greeting; a closed pipe would end it.
    _stdout: BufReader<ChildStdout>,
    dir: TempDir,
}

impl Vault {
    /// `program` with the database that `settings` name. Without any it is SQLite, which needs no `init`.
    pub fn start(program: PathBuf, dir: TempDir, settings: Vec<(String, String)>) -> Self {
        let settings = without_caps(&program, dir.path(), &settings);
        let (address, child, _stdout) = serve(&program, dir.path(), &settings);
        Self { address, program, settings, child, _stdout, dir }
    }

    /// Ends it and starts it again on what it left. Answers the seconds from there to its first 200 of
    /// `/readyz`.
    pub fn start_again(&mut self) -> f64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let begun = Instant::now();
        (self.address, self.child, self._stdout) = serve(&self.program, self.dir.path(), &self.settings);
        let ask = b"GET /readyz HTTP/1.1\r\nHost: pawl\r\nConnection: close\r\n\r\n";
        let answer = exchange(&self.address, ask);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        begun.elapsed().as_secs_f64()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn token(&self, role: &str) -> String {
        let issue = ["token", "issue", "--org", "acme", "--user", "ada", "--role", role];
        said(command(&self.program, self.dir.path(), &self.settings).args(issue))
    }

    /// Deposits a password for `username` and answers the connection's id.
    pub fn deposit(&self, token: &str, username: &str) -> String {
        self.deposit_at(token, ODOO, ["acme", username, SECRET])
    }

    /// `callers` connections of Odoo, and the request that lends each.
    pub fn target(&self, callers: usize) -> Target {
        let (backend, worker) = (self.token("backend"), self.token("worker"));
        let lend = |n| {
            let id = self.deposit(&backend, &format!("bot{n}"));
            request(&format!("/v1/connections/{id}/leases"), &worker, "", &json!({"purpose": "other"}))
        };
        let requests = (0..callers).map(lend).collect();
        Target { address: self.address.clone(), requests, secret: SECRET.to_owned() }
    }

    /// The same for a database, user and password of another host.
    pub fn deposit_at(&self, token: &str, url: &str, bot: [&str; 3]) -> String {
        let [database, username, secret] = bot;
        let body = json!({
            "url": url, "database": database, "username": username,
            "credential": {"kind": "password", "secret": secret},
        });
        let answer = exchange(&self.address, &post("/v1/connections", token, &body));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 201"), "{answer}");
        serde_json::from_str::<Value>(body).unwrap()["id"].as_str().unwrap().to_owned()
    }
}

/// `program serve` on a free port, with its address.
fn serve(
    program: &Path,
    dir: &Path,
    settings: &[(String, String)],
) -> (String, Child, BufReader<ChildStdout>) {
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut command_line = command(program, dir, settings);
    // One caller asks for more than any backend does. Vaults from before there were limits take no such setting.
    if said(command(program, dir, &[]).args(["serve", "--help"])).contains("PAWL_WRITES_PER_SECOND") {
        command_line.env("PAWL_WRITES_PER_SECOND", "1000000");
    }
    let mut child = command_line
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
    (address, child, stdout)
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
