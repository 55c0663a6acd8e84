//! What it saves that a verified token is remembered: the same lends, each under a token that the vault has not seen
//! before, and all under one.

use std::time::Instant;

use pawl::app::{App, Setup};
use pawl::clock::Clock;
use pawl::config::Config;
use pawl::ids::{ClientId, OrgId, UserId};
use serde_json::json;
use tokio::net::TcpStream;

use crate::load::ask;
use crate::vault::{Vault, program, request};
use crate::{cpu, table};

const CALLERS: usize = 16;
const ROUNDS: usize = 5;
/// Of one caller in one round.
const LENDS: usize = 100;

/// Lends a second, and the vault's CPU µs for each.
type Measured = [f64; 2];

pub fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let vault = Vault::start(program("pawl"), tempfile::tempdir().unwrap(), Vec::new());
    let backend = vault.token("backend");
    let mint = minter(&vault);
    let paths: Vec<String> = (0..CALLERS)
        .map(|n| format!("/v1/connections/{}/leases", vault.deposit(&backend, &format!("bot{n}"))))
        .collect();
    let body = json!({"purpose": "other"});
    let one = mint();
    let mut measured: [Vec<Measured>; 2] = Default::default();
    for round in 0..=ROUNDS {
        for (new, all) in [false, true].into_iter().zip(&mut measured) {
            let token = || if new { mint() } else { one.clone() };
            let of = |path: &String| (0..LENDS).map(|_| request(path, &token(), "", &body)).collect();
            let took = runtime.block_on(load(&vault, paths.iter().map(of).collect()));
            // the first round warms up
            if round > 0 {
                all.push(took);
            }
        }
    }
    let medians = measured.map(|all| [0, 1].map(|of| table::median(all.iter().map(|one| one[of]).collect())));
    let rows: Vec<Vec<String>> = ["remembered", "verified anew"]
        .iter()
        .zip(&medians)
        .map(|(name, [lends, cpu])| {
            let ratios = [lends / medians[0][0], cpu / medians[0][1]].map(|ratio| format!("{ratio:.2}"));
            let mut row = vec![(*name).to_owned(), format!("{lends:.0}"), format!("{cpu:.0}")];
            row.extend(ratios);
            row
        })
        .collect();
    println!("SQLite, {CALLERS} callers, {} lends a round, medians of {ROUNDS} rounds\n", CALLERS * LENDS);
    table::print(&["token", "lends/s", "CPU µs a lend", "lends/s by the first", "CPU by the first"], &rows);
}

/// Tokens from the vault's own issuer, as its command line mints them.
fn minter(vault: &Vault) -> impl Fn() -> String {
    let data = vault.dir().join("pawl-data").into_os_string();
    let config = Config::from("", [("PAWL_DATA_DIR".to_owned(), data)].into_iter()).unwrap();
    let app = App::open_with(config, Clock::system(), Setup::Look).unwrap();
    let (org, user) = (OrgId::parse("acme").unwrap(), UserId::parse("ada").unwrap());
    let client = ClientId::parse("bench").unwrap();
    let life = std::time::Duration::from_secs(900);
    move || app.issue_token((&org, &user, &client), "worker", life).unwrap().expose().to_owned()
}

async fn load(vault: &Vault, requests: Vec<Vec<Vec<u8>>>) -> Measured {
    let (begun, cpu) = (Instant::now(), cpu::of(vault.pid()));
    let tasks = requests.into_iter().map(|requests| {
        let address = vault.address.clone();
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut lends = 0.0;
            for request in requests {
                let answer = ask(&mut stream, &request).await;
                match &answer[..12] {
                    b"HTTP/1.1 201" => lends += 1.0,
                    // its record was not durable within 250 ms: a busy machine
                    b"HTTP/1.1 503" => {}
                    _ => panic!("{}", String::from_utf8_lossy(&answer)),
                }
            }
            lends
        })
    });
    let mut lends = 0.0;
    for task in tasks.collect::<Vec<_>>() {
        lends += task.await.unwrap();
    }
    [lends / begun.elapsed().as_secs_f64(), (crate::cpu::of(vault.pid()) - cpu) / lends]
}
