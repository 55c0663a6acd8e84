//! What a read through the vault takes longer than the same login and read by the same client, of the same stand-in,
//! one after the other in turn.

use std::time::Instant;

use pawl::clock::Clock;
use pawl::credential::CredentialKind;
use pawl::egress::{Egress, Guard, Limits, OdooUrl};
use pawl::odoo::{Address, Ask, Credential, Odoo as Client, ReadQuery, Readable, Servers};
use pawl::secret::Secret;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::runtime::Builder;

use crate::load::ask;
use crate::pull::{BOT, Odoo};
use crate::table;
use crate::vault::{Vault, program, request};

const ROUNDS: usize = 200;
const WARM_UP: usize = 20;
const FIELDS: [&str; 4] = ["name", "move_type", "partner_id", "amount_total"];

pub fn run() {
    let odoo = Odoo::start();
    let settings = vec![("PAWL_EGRESS_ALLOW".to_owned(), "127.0.0.1".to_owned())];
    let vault = Vault::start(program("pawl"), tempfile::tempdir().unwrap(), settings);
    let id = vault.deposit_at(&vault.token("backend"), &odoo.url, BOT);
    let (path, worker) = (format!("/v1/connections/{id}/read"), vault.token("worker"));
    let servers = Servers::new(Clock::system());
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut rows = Vec::new();
    for records in [1, 100, 2_000] {
        let body =
            json!({"model": "account.move", "method": "search_read", "fields": FIELDS, "limit": records});
        let through = request(&path, &worker, "", &body);
        let query = query(records);
        let measured = runtime.block_on(async {
            let mut open = TcpStream::connect(&vault.address).await.unwrap();
            open.set_nodelay(true).unwrap();
            let mut took: [Vec<f64>; 3] = Default::default();
            for round in 0..WARM_UP + ROUNDS {
                let begun = Instant::now();
                assert_eq!(direct(&odoo.url, &query, &servers).await, records);
                let directly = begun.elapsed().as_secs_f64() * 1e3;
                let begun = Instant::now();
                let answer = ask(&mut open, &through).await;
                let injected = begun.elapsed().as_secs_f64() * 1e3;
                assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
                if round >= WARM_UP {
                    let all = [directly, injected, injected - directly];
                    took.iter_mut().zip(all).for_each(|(took, ms)| took.push(ms));
                }
            }
            took.map(table::median)
        });
        let cells = measured.map(|ms| format!("{ms:.2}"));
        rows.push([vec![records.to_string()], cells.to_vec()].concat());
    }
    println!("a login and one read; medians of {ROUNDS} of each in turn, in ms\n");
    table::print(&["records", "by the client", "through the vault", "added"], &rows);
}

fn query(records: u64) -> ReadQuery {
    let ask = Ask {
        model: "account.move".to_owned(),
        method: "search_read".to_owned(),
        fields: FIELDS.map(str::to_owned).to_vec(),
        limit: Some(records),
        ..Ask::default()
    };
    ask.judged_by(&Readable::embedded().unwrap()).unwrap()
}

/// As the vault does it: a client of its own for each read, to a server whose version is known.
async fn direct(url: &str, query: &ReadQuery, servers: &Servers) -> u64 {
    let guard = Guard::new("127.0.0.1".parse().unwrap());
    let url = OdooUrl::parse(url, &guard, None).unwrap();
    let egress = Egress::new(&guard, url, None, Limits::default()).unwrap();
    let [database, username, secret] = BOT.map(str::to_owned);
    let credential = Credential { kind: CredentialKind::Password, secret: Secret::new(secret) };
    let address = Address { database, username };
    let client = Client::login(egress, address, credential, servers).await;
    let client = client.map_err(|no| no.cause).unwrap();
    u64::try_from(client.fetch(query).await.unwrap().len()).unwrap()
}
