//! The stack that everybody writes first, `benches/peers/fastapi`, as processes on a database of its own.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::load::Target;
use crate::postgres::Cluster;
use crate::vault::{SECRET, request, said};

/// The name of its database.
pub const DATABASE: &str = "peer";

const PATIENCE: Duration = Duration::from_secs(30);

pub struct FastApi {
    child: Child,
    pub target: Target,
}

impl FastApi {
    /// Two workers of uvicorn, with `rows` connections of Odoo.
    pub fn start(cluster: &Cluster, rows: usize) -> Self {
        let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/fastapi"));
        let venv = venv(here);
        cluster.run("postgres", "CREATE ROLE peer LOGIN");
        cluster.create(DATABASE, "peer");
        let database = cluster.sqlalchemy_address("peer", DATABASE);
        let seed = ["seed.py", &rows.to_string(), SECRET];
        let python = || Command::new(venv.join("bin/python"));
        let made = said(python().current_dir(here).env("PEER_DATABASE_URL", &database).args(seed));
        let made: Value = serde_json::from_str(&made).unwrap();
        let of = |name: &str| made[name].as_str().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (port, mut server) = (address.port().to_string(), python());
        server.current_dir(here).env("PEER_DATABASE_URL", &database);
        for name in ["PEER_PUBLIC_KEY", "PEER_FERNET_KEY"] {
            server.env(name, of(name));
        }
        let uvicorn =
            ["-m", "uvicorn", "app:app", "--workers", "2", "--loop", "uvloop", "--http", "httptools"];
        let child = server
            .args(uvicorn)
            .args(["--no-access-log", "--log-level", "warning", "--port", &port])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let lend = |n| {
            let path = format!("/v1/connections/conn_{n}/leases");
            request(&path, of("token"), "", &json!({"purpose": "other"}))
        };
        let requests = (0..rows).map(lend).collect();
        let peer =
            Self { child, target: Target { address: address.to_string(), requests, secret: SECRET.into() } };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "the peer did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        peer
    }

    /// The process that the workers are children of.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for FastApi {
    fn drop(&mut self) {
        // Told to stop, it takes its workers along.
        let _ = Command::new("kill").arg(self.pid().to_string()).status();
        let _ = self.child.wait();
    }
}

/// Python with what the peer needs and nothing else, made once, under `target/`.
fn venv(here: &Path) -> PathBuf {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peer-venv");
    if !venv.join("bin/uvicorn").is_file() {
        said(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        let install = ["-m", "pip", "install", "-q", "-r", "requirements.txt"];
        said(Command::new(venv.join("bin/python")).current_dir(here).args(install));
    }
    venv
}
