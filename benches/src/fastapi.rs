//! The stack that everybody writes first, `benches/peers/fastapi`, with its ORM and without, as processes on a
//! database of its own each.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::install;
use crate::load::Target;
use crate::postgres::Cluster;
use crate::vault::{SECRET, request, tried, until_it_listens};

/// The modules that hold an `app`, and after which the databases are named.
pub const SQLALCHEMY: &str = "app";
pub const ASYNCPG: &str = "raw";

pub struct FastApi {
    child: Child,
    pub database: String,
    pub target: Target,
}

impl FastApi {
    /// Two workers of uvicorn that serve `module`, with `rows` connections of Odoo.
    pub fn start(cluster: &Cluster, module: &str, rows: usize) -> Result<Self, String> {
        let here = install::peers().join("fastapi");
        let python = install::python("fastapi/requirements.txt", "bin/uvicorn")?.join("bin/python");
        let name = format!("peer_{module}");
        cluster.run("postgres", &format!("CREATE ROLE {name} LOGIN"));
        cluster.create(&name, &name);
        let database = cluster.sqlalchemy_address(&name, &name);
        let python = || {
            let mut command = Command::new(&python);
            command.current_dir(&here).env("PEER_DATABASE_URL", &database);
            command
        };
        let made = tried(python().args(["seed.py", &rows.to_string(), SECRET]))?;
        let made: Value = serde_json::from_str(&made).unwrap();
        let of = |name: &str| made[name].as_str().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut server = python();
        for name in ["PEER_PUBLIC_KEY", "PEER_FERNET_KEY"] {
            server.env(name, of(name));
        }
        let child = server
            .args(["-m", "uvicorn", &format!("{module}:app"), "--port", &address.port().to_string()])
            .args(["--workers", "2", "--loop", "uvloop", "--http", "httptools"])
            .args(["--no-access-log", "--log-level", "warning"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let lend = |n| {
            let path = format!("/v1/connections/conn_{n}/leases");
            request(&path, of("token"), "", &json!({"purpose": "other"}))
        };
        let requests = (0..rows).map(lend).collect();
        let target = Target { address: address.to_string(), requests, secret: SECRET.into() };
        let peer = Self { child, database: name, target };
        until_it_listens(&peer.target.address)?;
        Ok(peer)
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
