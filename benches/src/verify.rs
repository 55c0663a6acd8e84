//! How fast a trail of 1,000,000 events is verified and exported, and how much memory the vault takes to its export:
//! on SQLite, whose file is filled beside the vault.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use pawl::audit::{Chain, GENESIS, Row, link};
use pawl::ids::OrgId;

use crate::table;
use crate::vault::{Vault, command, program, said};

const EVENTS: i64 = 1_000_000;
const ROUNDS: usize = 3;

pub fn run() {
    let org = OrgId::parse("acme").unwrap();
    let in_memory: Vec<f64> = (0..ROUNDS).map(|_| verified(&org)).collect();
    println!("pure, in memory: {:.0} events/s verified\n", table::median(in_memory));

    let vault = Vault::start(program("pawl"), tempfile::tempdir().unwrap(), Vec::new());
    vault.deposit(&vault.token("backend"), "bot");
    let file = vault.dir().join("pawl-data/pawl.db");
    fill(&org, file.to_str().unwrap());
    let mut rows = Vec::new();
    for format in ["jsonl", "csv"] {
        let before = peak(vault.pid());
        let took: Vec<f64> = (0..ROUNDS).map(|_| exported(&vault, format)).collect();
        let seconds = table::median(took);
        #[allow(clippy::as_conversions, reason = "far below 2^53")]
        let a_second = EVENTS as f64 / seconds;
        rows.push(vec![
            format.to_owned(),
            format!("{a_second:.0}"),
            format!("{before:.1}"),
            format!("{:.1}", peak(vault.pid())),
        ]);
    }
    table::print(&["export", "rows a second", "VmHWM before, MiB", "after"], &rows);
    let begun = Instant::now();
    said(command(&program("pawl"), vault.dir(), &[]).args(["audit", "verify", "--org", "acme"]));
    println!("\n`pawl audit verify --org acme`: {:.1} s", begun.elapsed().as_secs_f64());
}

fn event(seq: i64) -> String {
    format!(
        "{{\"activity_name\":\"lease.lend\",\"actor.app_uid\":\"sync\",\"actor.user.org.uid\":\"acme\",\
         \"actor.user.uid\":\"ada\",\"api.request.uid\":\"req_01M8CEYK3W8STXMPXTBE118J22\",\
         \"connection.uid\":\"conn_01M8CEYK3W8STXMPXTBE118J22\",\"lease.uid\":\"lease_{seq:026}\",\
         \"metadata.uid\":\"evt_{seq:026}\",\"purpose\":\"sync\",\"schema\":\"1\",\"src_endpoint.ip\":\"10.0.0.1\",\
         \"status\":\"Success\",\"time_dt\":\"2026-11-24T12:00:00.000000Z\"}}"
    )
}

/// Events a second.
fn verified(org: &OrgId) -> f64 {
    const SOME: i64 = 200_000;
    let mut head = GENESIS;
    let rows: Vec<(String, [Vec<u8>; 2])> = (1..=SOME)
        .map(|seq| {
            let (event, before) = (event(seq), head);
            head = link(Some(org), seq, &head, event.as_bytes());
            (event, [before.as_bytes().to_vec(), head.as_bytes().to_vec()])
        })
        .collect();
    let (begun, mut chain) = (Instant::now(), Chain::after(Some(org.clone()), 0, GENESIS));
    for (seq, (event, [prev_hash, hash])) in (1..).zip(&rows) {
        assert!(chain.take(&Row { seq, event: event.as_bytes(), prev_hash, hash }));
    }
    f64::from(i32::try_from(SOME).unwrap()) / begun.elapsed().as_secs_f64()
}

/// Puts a whole chain in the place of the org's.
fn fill(org: &OrgId, file: &str) {
    const SCRIPT: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60)
for trigger in ('events_are_kept', 'events_follow', 'leaves_are_kept', 'nodes_are_kept', 'checkpoints_are_kept'):
    db.execute('DROP TRIGGER audit_' + trigger)
db.execute(\"DELETE FROM audit_events WHERE org_id = 'acme'\")
rows = (line.rstrip('\\n').split('\\t') for line in sys.stdin)
db.executemany(\"INSERT INTO audit_events VALUES ('acme', ?, ?, ?, ?)\",
    ((int(s), e, bytes.fromhex(p), bytes.fromhex(h)) for s, e, p, h in rows))
for table in ('leaves', 'nodes', 'checkpoints'):
    db.execute('DELETE FROM audit_' + table)
db.commit()
";
    let mut python =
        Command::new("python3").args(["-c", SCRIPT, file]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = std::io::BufWriter::new(python.stdin.take().unwrap());
    let mut head = GENESIS;
    for seq in 1..=EVENTS {
        let (event, before) = (event(seq), head);
        head = link(Some(org), seq, &head, event.as_bytes());
        writeln!(input, "{seq}\t{event}\t{before}\t{head}").unwrap();
    }
    drop(input);
    assert!(python.wait().unwrap().success());
}

/// Seconds.
fn exported(vault: &Vault, format: &str) -> f64 {
    let (token, begun) = (vault.token("auditor"), Instant::now());
    let mut stream = TcpStream::connect(&vault.address).unwrap();
    let head = format!(
        "GET /v1/audit/export?format={format} HTTP/1.1\r\nHost: pawl\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let (mut piece, mut total, mut end) = (vec![0; 1 << 16], 0, Vec::new());
    loop {
        let read = stream.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        total += read;
        end = piece[..read].to_vec();
    }
    assert!(end.ends_with(b"0\r\n\r\n") && total > 100_000_000, "{total} bytes: it broke off");
    begun.elapsed().as_secs_f64()
}

/// The most memory that the process had, in MiB.
fn peak(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
