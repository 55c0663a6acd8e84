//! Secrets that are planted in a vault by every way there is, and lent and handed back by every way.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{deposit, pawl};
use crate::kept_open::{Client, Wire};

/// Secrets that are planted, each by the way it went.
#[derive(Default)]
pub struct Planted(pub Vec<(&'static str, String)>);

impl Planted {
    /// 40 characters, as an API key of Odoo's has: it fits into one block of a hash.
    pub fn plant(&mut self, way: &'static str) -> String {
        let secret = random();
        self.0.push((way, secret.clone()));
        secret
    }
}

pub fn random() -> String {
    let mut bytes = [0; 20];
    pawl::clock::fill_random(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of those who deposit and of those who borrow.
pub struct Tokens {
    pub backend: String,
    pub worker: String,
}

impl Tokens {
    pub fn of(dir: &Path, settings: &[(&str, &str)]) -> Self {
        let issue = |role| {
            let args = ["token", "issue", "--org", "acme", "--user", "ada", "--role", role];
            let out = pawl(dir, settings).args(args).output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).unwrap().trim().to_owned()
        };
        Self { backend: issue("backend"), worker: issue("worker") }
    }
}

/// A loan that the machine was too busy to write within 250 ms is asked for again: no secret was sent.
fn lent(client: &mut Client, tokens: &Tokens, id: &str, (status, loan): (u16, Value), secret: &str) -> Value {
    if status == 503 {
        let again = client.call(&lend(id), &tokens.worker, "", OTHER);
        return lent(client, tokens, id, again, secret);
    }
    assert_eq!((status, loan["credential"]["secret"].as_str()), (201, Some(secret)), "{loan}");
    loan
}

fn lend(id: &str) -> String {
    format!("POST /v1/connections/{id}/leases")
}

const OTHER: &str = r#"{"purpose":"other"}"#;

fn lend_and_hand_back(client: &mut Client, tokens: &Tokens, id: &str, secret: &str) {
    client.send(&lend(id), &tokens.worker, "", OTHER);
    hand_back(client, tokens, id, secret);
}

/// What was sent was a lend.
fn hand_back(client: &mut Client, tokens: &Tokens, id: &str, secret: &str) {
    let first = client.answer();
    let loan = lent(client, tokens, id, first, secret);
    let path = format!("POST /v1/leases/{}/return", loan["id"].as_str().unwrap());
    assert_eq!(client.call(&path, &tokens.worker, "", r#"{"outcome":"ok"}"#).0, 204);
}

/// Each way that a secret comes in or goes out by. The clients, whose connections are still open.
pub fn every_way<'a>(
    connect: &'a dyn Fn() -> Box<dyn Wire>,
    tokens: &Tokens,
    planted: &mut Planted,
) -> Vec<Client<'a>> {
    let mut clients: Vec<Client> = (0..4).map(|_| Client::new(connect)).collect();
    let [backend, worker, third, wrong] = &mut clients[..] else { panic!() };
    let Tokens { backend: token, .. } = tokens;
    let new = "POST /v1/connections";

    let first = planted.plant("deposit, lend, hand back");
    let (status, made) = backend.call(new, token, "", &deposit("bot", &first).to_string());
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    lend_and_hand_back(worker, tokens, &id, &first);

    let second = planted.plant("replace, lend again");
    let replace = format!("PUT /v1/connections/{id}/credential");
    assert_eq!(backend.call(&replace, token, "", &json!({"secret": second}).to_string()).0, 200);
    lend_and_hand_back(worker, tokens, &id, &second);

    let again = planted.plant("deposit by an Idempotency-Key, twice, and a lend so");
    let key = "Idempotency-Key: once\r\n";
    let body = deposit("again", &again).to_string();
    let (status, made) = third.call(new, token, key, &body);
    assert_eq!(status, 201, "{made}");
    assert_eq!(third.call(new, token, key, &body), (201, made.clone()));
    let made = made["id"].as_str().unwrap();
    for _ in 0..2 {
        let first = worker.call(&lend(made), &tokens.worker, "Idempotency-Key: l\r\n", OTHER);
        lent(worker, tokens, made, first, &again);
    }

    let long = planted.plant("one of 4,000 characters").repeat(100);
    let (status, made) = third.call(new, token, "", &deposit("long", &long).to_string());
    assert_eq!(status, 201, "{made}");
    lend_and_hand_back(worker, tokens, made["id"].as_str().unwrap(), &long);

    let mut refused = deposit("refused", &planted.plant("deposit that is refused (422)"));
    refused["url"] = "http://127.0.0.1".into();
    assert_eq!(backend.call(new, token, "", &refused.to_string()).0, 422);
    let cut = deposit("cut", &planted.plant("deposit that is no JSON (400)")).to_string();
    assert_eq!(wrong.call(new, token, "", &cut[..cut.len() - 1]).0, 400);
    let twice = deposit("again", &planted.plant("a second deposit of the same (409)"));
    assert_eq!(backend.call(new, token, "", &twice.to_string()).0, 409);
    let nobody = deposit("nobody", &planted.plant("deposit without a good token (401)"));
    assert_eq!(wrong.call(new, "x", "", &nobody.to_string()).0, 401);
    let lost = deposit("lost", &planted.plant("deposit to no route (404)"));
    assert_eq!(wrong.call("POST /v1/connection", token, "", &lost.to_string()).0, 404);
    let lease = deposit("lease", &planted.plant("deposit to a lease's route (422)"));
    assert_eq!(
        wrong.call(&format!("POST /v1/connections/{id}/leases"), &tokens.worker, "", &lease.to_string()).0,
        422
    );
    let put = deposit("put", &planted.plant("deposit by the wrong method (405)"));
    assert_eq!(wrong.call("PUT /v1/connections", token, "", &put.to_string()).0, 405);
    let elsewhere = json!({"secret": planted.plant("replace of what is not there (404)")});
    let path = "PUT /v1/connections/conn_01ARZ3NDEKTSV4RRFFQ69G5FAV/credential";
    assert_eq!(backend.call(path, token, "", &elsewhere.to_string()).0, 404);

    let many = planted.plant("64 connections at once");
    let (status, made) = third.call(new, token, "", &deposit("many", &many).to_string());
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap();
    let mut others: Vec<Client> = (0..64).map(|_| Client::new(connect)).collect();
    for other in &mut others {
        other.send(&lend(id), &tokens.worker, "", OTHER);
    }
    for other in &mut others {
        hand_back(other, tokens, id, &many);
    }

    // Nothing comes after these that would write over what they left.
    let mut last: Vec<Client> = (0..16).map(|_| Client::new(connect)).collect();
    for (n, one) in last.iter_mut().enumerate() {
        let body = deposit(&format!("bot {n}"), &planted.plant("the last of many deposits at once"));
        one.send(new, token, "", &body.to_string());
    }
    for one in &mut last {
        let (status, made) = one.answer();
        assert_eq!(status, 201, "{made}");
    }
    // The routes that keep their connections: each of these is over one of its own, and comes last on it.
    let lease = "lease_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let kept =
        [lend(id), format!("POST /v1/leases/{lease}/renew"), format!("POST /v1/leases/{lease}/return")];
    for (path, token) in kept.iter().flat_map(|path| [(path, ""), (path, "x")]) {
        let mut one = Client::new(connect);
        let body = deposit("astray", &planted.plant("deposit to a lease's route without a good token (401)"));
        assert_eq!(one.call(path, token, "", &body.to_string()).0, 401);
        last.push(one);
    }
    clients.extend(others.into_iter().chain(last));
    clients
}
