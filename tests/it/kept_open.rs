//! A client that keeps its connections open, whatever came over them.

use std::io::{Read, Write};

use serde_json::Value;

/// A connection, with TLS or without.
pub trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// A client that keeps its connection for as long as the test runs, however the vault feels about it.
pub struct Client<'a> {
    connect: &'a dyn Fn() -> Box<dyn Wire>,
    wire: Box<dyn Wire>,
    closed: Vec<Box<dyn Wire>>,
}

impl<'a> Client<'a> {
    pub fn new(connect: &'a dyn Fn() -> Box<dyn Wire>) -> Self {
        Self { connect, wire: connect(), closed: Vec::new() }
    }

    pub fn call(&mut self, request: &str, token: &str, more: &str, body: &str) -> (u16, Value) {
        self.send(request, token, more, body);
        self.answer()
    }

    pub fn send(&mut self, request: &str, token: &str, more: &str, body: &str) {
        let length = body.len();
        let bearer =
            if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let head = format!(
            "{request} HTTP/1.1\r\nHost: localhost\r\n{bearer}{more}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        self.wire.write_all(format!("{head}{body}").as_bytes()).unwrap();
        self.wire.flush().unwrap();
    }

    pub fn answer(&mut self) -> (u16, Value) {
        let (status, is_closed, json) = answer(&mut self.wire);
        if is_closed {
            // Held on to: what the vault keeps for it must be gone all the same.
            self.closed.push(std::mem::replace(&mut self.wire, (self.connect)()));
        }
        (status, json)
    }
}

fn answer(wire: &mut dyn Wire) -> (u16, bool, Value) {
    let mut got = Vec::new();
    loop {
        let mut some = [0; 4096];
        let n = wire.read(&mut some).unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&some[..n]);
        let text = String::from_utf8_lossy(&got);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if body.len() >= header("content-length:").map_or(0, |length| length.parse().unwrap()) {
            let is_closed = header("connection:") == Some("close");
            return (head[9..12].parse().unwrap(), is_closed, serde_json::from_str(body).unwrap_or_default());
        }
    }
}
