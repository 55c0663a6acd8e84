//! A store on loopback that answers what a test tells it to: what AWS answers and moto does not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// An action, and what was sent with it.
pub type Call = (String, Value);

pub struct Scripted {
    pub url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

/// A status, and the body.
pub type Reply = (u16, Value);

pub fn error(code: &str, message: &str) -> Reply {
    (400, json!({"__type": code, "message": message}))
}

pub fn missing() -> Reply {
    error("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

impl Scripted {
    pub fn start(answer: impl Fn(&str, &Value) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = calls.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let _ = serve(stream, &answer, &seen);
            }
        });
        Self { url, calls }
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub fn actions(&self) -> Vec<String> {
        self.calls().into_iter().map(|(action, _)| action).collect()
    }
}

fn serve(
    stream: TcpStream,
    answer: &impl Fn(&str, &Value) -> Reply,
    seen: &Mutex<Vec<Call>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut action, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
        match name.to_lowercase().as_str() {
            "x-amz-target" => action = value.strip_prefix("secretsmanager.").unwrap().to_owned(),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (status, reply) = answer(&action, &body);
    seen.lock().unwrap().push((action, body));
    let reply = reply.to_string();
    // Closed afterwards without a word, as a connection that was idle for long is.
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.1\r\n\
         Content-Length: {}\r\n\r\n",
        reply.len()
    );
    (&stream).write_all(head.as_bytes())?;
    (&stream).write_all(reply.as_bytes())
}
