//! How fast secrets are lent: to one caller that waits for each, and to 64 at once, on both databases.
//! Every lend is a durable audit record before its answer.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::postgres::Cluster;
use crate::vault::{Vault, request};
use crate::{cpu, table};

const CALLERS: [usize; 2] = [1, 64];
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(4);

/// A vault, its connections' requests, and what else it makes work.
struct Side {
    name: &'static str,
    vault: Vault,
    requests: Vec<Vec<u8>>,
    server: Option<u32>,
}

impl Side {
    fn new(name: &'static str, vault: Vault, server: Option<u32>) -> Self {
        let (backend, worker) = (vault.token("backend"), vault.token("worker"));
        let lend = |n| {
            let id = vault.deposit(&backend, &format!("bot{n}"));
            request(&format!("/v1/connections/{id}/leases"), &worker, "", &json!({"purpose": "other"}))
        };
        let requests = (0..CALLERS[1]).map(lend).collect();
        Self { name, vault, requests, server }
    }

    fn cpu(&self) -> [f64; 2] {
        [cpu::of(self.vault.pid()), self.server.map(cpu::of_family).unwrap_or_default()]
    }
}

/// One round: lends/s, p50 and p99 in µs, CPU µs a lend of the vault and of the database's server, and
/// how many of 10,000 asked were told to come again.
type Measured = [f64; 6];

pub fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cluster = Cluster::start();
    let mut sides = vec![Side::new("SQLite", Vault::start(tempfile::tempdir().unwrap(), Vec::new()), None)];
    if let Some(cluster) = &cluster {
        let dir = tempfile::tempdir().unwrap();
        let settings = cluster.database(&dir);
        sides.push(Side::new("PostgreSQL", Vault::start(dir, settings), Some(cluster.pid())));
    }
    let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); sides.len() * CALLERS.len()];
    for round in 0..=ROUNDS {
        for (at, all) in measured.iter_mut().enumerate() {
            let (side, callers) = (&sides[at / CALLERS.len()], CALLERS[at % CALLERS.len()]);
            let one = runtime.block_on(load(side, callers));
            // the first round warms up
            if round > 0 {
                all.push(one);
            }
        }
        if let (0, Some(cluster)) = (round, &cluster) {
            cluster.analyze();
        }
    }
    let rows: Vec<Vec<String>> = measured
        .iter()
        .enumerate()
        .map(|(at, all)| {
            let median = |column: usize| table::median(all.iter().map(|one| one[column]).collect());
            let (side, callers) = (&sides[at / CALLERS.len()], CALLERS[at % CALLERS.len()]);
            let first = table::median(measured[at % CALLERS.len()].iter().map(|one| one[0]).collect());
            let mut row = vec![side.name.to_owned(), callers.to_string()];
            row.extend([0, 1, 2, 3, 4, 5].map(median).map(|it| format!("{it:.0}")));
            row.push(format!("{:.2}", median(0) / first));
            row
        })
        .collect();
    println!("medians of {ROUNDS} rounds of {} s; times in µs\n", ROUND.as_secs());
    let head = [
        "database",
        "callers",
        "lends/s",
        "p50",
        "p99",
        "CPU a lend",
        "its server's",
        "503 of 10,000",
        "lends/s by SQLite's",
    ];
    table::print(&head, &rows);
}

async fn load(side: &Side, callers: usize) -> Measured {
    let before = side.cpu();
    let begun = Instant::now();
    let tasks = side
        .requests
        .iter()
        .take(callers)
        .map(|request| tokio::spawn(caller(side.vault.address.clone(), request.clone(), begun + ROUND)));
    let (mut took, mut refused) = (Vec::new(), 0);
    for task in tasks.collect::<Vec<_>>() {
        let (more, later) = task.await.unwrap();
        took.extend(more);
        refused += later;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let after = side.cpu();
    took.sort_by(f64::total_cmp);
    let lends = took.len() as f64;
    assert!(
        lends > 0.0,
        "{callers} callers of {}: none was lent anything, {refused} were told 503",
        side.name
    );
    let at = |part: f64| took[((lends - 1.0) * part) as usize];
    let cpu = [0, 1].map(|of| (after[of] - before[of]) / lends);
    let refused = f64::from(refused) * 1e4 / (lends + f64::from(refused));
    [lends / seconds, at(0.5), at(0.99), cpu[0], cpu[1], refused]
}

/// Lends again and again over one connection. Answers how many µs each took, and how many were
/// answered with 503: the database did not make it within the vault's 250 ms.
async fn caller(address: String, request: Vec<u8>, until: Instant) -> (Vec<f64>, u32) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut took, mut refused, mut answer) = (Vec::new(), 0, Vec::new());
    while Instant::now() < until {
        let begun = Instant::now();
        stream.write_all(&request).await.unwrap();
        read_answer(&mut stream, &mut answer).await;
        match &answer[..12] {
            b"HTTP/1.1 201" => took.push(begun.elapsed().as_secs_f64() * 1e6),
            b"HTTP/1.1 503" => refused += 1,
            _ => panic!("{}", String::from_utf8_lossy(&answer)),
        }
    }
    (took, refused)
}

/// One answer, head and body.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) {
    answer.clear();
    loop {
        assert_ne!(stream.read_buf(answer).await.unwrap(), 0, "the vault hung up");
        let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&answer[..head]).unwrap();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if answer.len() == head + 4 + length.parse::<usize>().unwrap() {
            return;
        }
    }
}
