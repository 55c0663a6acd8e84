//! Two servers of the same API that keep secrets by path, each as a process in a folder of its own: one value a
//! caller, read under the root token, whose rights nothing has to be looked up for.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::install;
use crate::load::Target;
use crate::vault::{SECRET, exchange, until_it_listens};

/// Tenths of a second until it takes what is written.
const PATIENCE: usize = 100;

pub struct Kv {
    child: Child,
    pub target: Target,
    _dir: TempDir,
}

impl Kv {
    /// RustyVault, on files. It has no audit.
    pub fn rusty_vault(rows: usize) -> Result<Self, String> {
        let program = install::rvault()?;
        Self::start(&program, include_str!("../peers/rvault/config.hcl"), rows)
    }

    /// OpenBao, on its own raft of one, with every read in its audit's file, which it does not flush.
    pub fn openbao(rows: usize) -> Result<Self, String> {
        let venv = install::python("openbao/requirements.txt", "bin/bao")?;
        // a script that becomes the program
        Self::start(&venv.join("bin/bao"), include_str!("../peers/openbao/config.hcl"), rows)
    }

    fn start(program: &Path, config: &str, rows: usize) -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        let [address, cluster] = free_addresses();
        let config = config.replace("DIR", &dir.path().display().to_string());
        let config = config.replace("ADDRESS", &address).replace("CLUSTER", &cluster);
        let file = dir.path().join("config.hcl");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(program)
            .arg("server")
            .arg(format!("--config={}", file.display()))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut kv = Self { child, target: Target::default(), _dir: dir };
        until_it_listens(&address)?;
        kv.target = filled(address, rows)?;
        Ok(kv)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Kv {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server at `address`, unsealed, with a secret for each caller.
fn filled(address: String, rows: usize) -> Result<Target, String> {
    let call = |verb: &str, path: &str, token: &str, body: &Value| -> Result<Value, String> {
        let body = body.to_string();
        let request = format!(
            "{verb} /v1/{path} HTTP/1.1\r\nHost: kv\r\n{}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            head(token),
            body.len()
        );
        let answer = exchange(&address, request.as_bytes());
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let is_done = answer.starts_with("HTTP/1.1 20");
        if is_done { Ok(serde_json::from_str(body).unwrap_or_default()) } else { Err(answer) }
    };
    let made = call("PUT", "sys/init", "", &json!({"secret_shares": 1, "secret_threshold": 1}))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (key, token) = (text(&made["keys"][0]), text(&made["root_token"]));
    call("PUT", "sys/unseal", "", &json!({"key": key}))?;
    // An election of one takes a moment, and one of the two has this path from the beginning.
    let write = |n: usize| call("POST", &format!("secret/bot{n}"), &token, &json!({"secret": SECRET}));
    for _ in 0..PATIENCE {
        let _ = call("POST", "sys/mounts/secret", &token, &json!({"type": "kv"}));
        if write(0).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let requests = (0..rows).map(|n| {
        write(n)?;
        Ok(format!("GET /v1/secret/bot{n} HTTP/1.1\r\nHost: kv\r\n{}\r\n", head(&token)).into_bytes())
    });
    let requests = requests.collect::<Result<_, String>>()?;
    Ok(Target { address, requests, secret: SECRET.to_owned() })
}

fn head(token: &str) -> String {
    if token.is_empty() { String::new() } else { format!("X-Vault-Token: {token}\r\n") }
}

fn free_addresses() -> [String; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().to_string())
}
