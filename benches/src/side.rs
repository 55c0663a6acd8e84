//! A server that `peer` measures: what it is asked, which processes it is, and what it left on record.

use std::process::Command;

use crate::aims::Aim;
use crate::cpu;
use crate::fastapi::FastApi;
use crate::hello::Hello;
use crate::kv::Kv;
use crate::load::{Round, Target};
use crate::postgres::Cluster;
use crate::vault::{Vault, said};

/// Rows of lends that were done, in a vault's database; the second names are those of vaults from before.
const LENT: &str = "SELECT count(*) FROM audit_events WHERE event LIKE '%\"lease.lend\"%'
    AND (event LIKE '%\"status\":\"Success\"%' OR event LIKE '%\"outcome\":\"done\"%')";

pub enum Server {
    Postgres(Vault, String),
    Sqlite(Vault),
    FastApi(FastApi),
    Kv(Kv),
    Hello(Hello),
}

pub struct Side {
    pub name: String,
    pub server: Server,
    /// What it is held to if it is Pawl, or Pawl beside it if it is not.
    pub aim: Aim,
    target: Target,
    pub lends: f64,
    refused: f64,
}

impl Side {
    pub fn pawl(name: String, server: Server, aim: Aim, callers: usize) -> Self {
        let (Server::Postgres(vault, _) | Server::Sqlite(vault)) = &server else { unreachable!() };
        let target = vault.target(callers);
        Self { name, server, aim, target, lends: 0.0, refused: 0.0 }
    }

    pub fn peer(name: &str, mut server: Server, aim: Aim) -> Self {
        let target = match &mut server {
            Server::FastApi(FastApi { target, .. })
            | Server::Kv(Kv { target, .. })
            | Server::Hello(Hello { target, .. }) => std::mem::take(target),
            Server::Postgres(..) | Server::Sqlite(_) => unreachable!(),
        };
        Self { name: name.to_owned(), server, aim, target, lends: 0.0, refused: 0.0 }
    }

    pub fn vault(&mut self) -> Option<&mut Vault> {
        match &mut self.server {
            Server::Postgres(vault, _) | Server::Sqlite(vault) => Some(vault),
            Server::FastApi(_) | Server::Kv(_) | Server::Hello(_) => None,
        }
    }

    fn pid(&self) -> u32 {
        match &self.server {
            Server::Postgres(vault, _) | Server::Sqlite(vault) => vault.pid(),
            Server::FastApi(peer) => peer.pid(),
            Server::Kv(peer) => peer.pid(),
            Server::Hello(peer) => peer.pid(),
        }
    }

    /// Its database on the server that all share.
    pub fn database(&self) -> Option<&str> {
        match &self.server {
            Server::Postgres(_, database) | Server::FastApi(FastApi { database, .. }) => Some(database),
            Server::Sqlite(_) | Server::Kv(_) | Server::Hello(_) => None,
        }
    }

    /// µs of its processes, and of the database server's where it uses that.
    pub fn cpu(&self, cluster: &Cluster) -> [f64; 2] {
        let server = self.database().map(|_| cpu::of_family(cluster.pid()));
        [cpu::of_family(self.pid()), server.unwrap_or_default()]
    }

    pub fn memory(&self) -> f64 {
        cpu::resident_of_family(self.pid())
    }

    pub async fn load(&mut self, callers: usize, long: std::time::Duration) -> Round {
        let round = self.target.load(callers, long).await;
        self.lends += round.lends();
        self.refused += f64::from(round.refused);
        round
    }

    /// Every answer is a row; a 503 may be one as well. Some peers have no rows.
    pub fn check(&self, cluster: &Cluster) {
        let recorded = match &self.server {
            Server::FastApi(peer) => cluster.run(&peer.database, "SELECT count(*) FROM audit_events"),
            Server::Postgres(_, database) => cluster.run(database, LENT),
            Server::Sqlite(vault) => {
                let file = vault.dir().join("pawl-data/pawl.db");
                let ask = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone())";
                said(Command::new("python3").args(["-c", ask]).arg(file).arg(LENT))
            }
            Server::Kv(_) | Server::Hello(_) => return,
        };
        let recorded: f64 = recorded.parse().unwrap();
        let (lends, refused) = (self.lends, self.refused);
        println!("{}: {lends} lends, {refused} answers of 503, {recorded} on record", self.name);
        assert!((lends..=lends + refused).contains(&recorded));
    }
}
