//! A stand-in for Odoo 19 on loopback, shaped by recordings of a real one: HTTP/1.0, one answer a
//! connection, XML-RPC with the same members on the same lines. It holds a made-up company.
#![allow(dead_code, reason = "the demo and the tests each use a part")]

#[path = "standin/books.rs"]
mod books;
#[path = "standin/catalog.rs"]
mod catalog;
#[path = "standin/company.rs"]
pub mod company;
#[path = "standin/dice.rs"]
mod dice;
#[path = "standin/domain.rs"]
mod domain;
#[path = "standin/entry.rs"]
mod entry;
#[path = "standin/models.rs"]
mod models;
#[path = "standin/rpc.rs"]
mod rpc;
#[path = "standin/time.rs"]
pub mod time;
#[path = "standin/wire.rs"]
pub mod wire;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use company::Company;
use wire::{Request, Value};

/// The one database.
pub const DATABASE: &str = "acme";
/// The bot's login, its password and its API key.
pub const LOGIN: &str = "bot@acme.example";
/// See [`LOGIN`].
pub const PASSWORD: &str = "Přísně-tajné & <heslo> 7295";
/// See [`LOGIN`].
pub const API_KEY: &str = "5f3c1f0a9b7e4d2c8a6b1e0d9c8b7a6f5e4d3c2b";

/// One call that was made; never its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `authenticate`, `search_read`, ….
    pub method: String,
    /// The model, or nothing for a login.
    pub model: String,
    /// How many fields it named.
    pub fields: usize,
}

/// A stand-in that serves until it is dropped.
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    company: Company,
    password: String,
    seen: Vec<Seen>,
    answered: usize,
    hold: Option<usize>,
    held: usize,
    raw: Vec<(usize, Vec<u8>)>,
    stopped: bool,
}

impl StandIn {
    /// Serves `company` on a free port of 127.0.0.1.
    pub fn start(company: Company) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let state = State {
            company,
            password: PASSWORD.into(),
            seen: Vec::new(),
            answered: 0,
            hold: None,
            held: 0,
            raw: Vec::new(),
            stopped: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let serving = shared.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.lock().stopped {
                    return;
                }
                let shared = serving.clone();
                if let Ok(stream) = stream {
                    std::thread::spawn(move || {
                        // A client that went away in the middle is no concern of a server.
                        let _ = shared.exchange(stream);
                    });
                }
            }
        });
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every call so far, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// How often anyone tried to log in.
    pub fn logins(&self) -> usize {
        self.shared.lock().seen.iter().filter(|seen| seen.method == "authenticate").count()
    }

    /// The company as it is now.
    pub fn company(&self) -> Company {
        self.shared.lock().company.clone()
    }

    /// Changes the books, as the customer's people do.
    pub fn edit(&self, change: impl FnOnce(&mut Company)) {
        change(&mut self.shared.lock().company);
    }

    /// The bot's password from now on.
    pub fn set_password(&self, password: &str) {
        self.shared.lock().password = password.into();
    }

    /// Holds the answer to the `n`th request from now (1 is the next) until [`StandIn::release`].
    pub fn hold(&self, n: usize) {
        let mut state = self.shared.lock();
        state.hold = Some(state.answered + n);
    }

    /// Waits until an answer is held. False if none was within a minute.
    pub fn wait_until_held(&self) -> bool {
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, PATIENCE, |state| state.held == 0);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Lets held answers go.
    pub fn release(&self) {
        self.shared.lock().hold = None;
        self.shared.changed.notify_all();
    }

    /// Answers the `n`th request from now with exactly these bytes; with none, hangs up.
    pub fn answer_raw(&self, n: usize, bytes: impl Into<Vec<u8>>) {
        let mut state = self.shared.lock();
        let at = state.answered + n;
        state.raw.push((at, bytes.into()));
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.stopped = true;
            state.hold = None;
        }
        self.shared.changed.notify_all();
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
const MAX_REQUEST: usize = 1 << 20;

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let (head, body) = read_request(&mut stream)?;
        let answer = self.answer(&head, &body);
        stream.write_all(&answer)?;
        stream.shutdown(std::net::Shutdown::Write)
    }

    /// What to answer, once it may be answered.
    fn answer(&self, head: &str, body: &str) -> Vec<u8> {
        let mut state = self.lock();
        state.answered += 1;
        let number = state.answered;
        let answer = state.answer(head, body);
        if state.hold == Some(number) {
            state.held += 1;
            self.changed.notify_all();
            let waiting = self.changed.wait_while(state, |state| state.hold == Some(number));
            state = waiting.unwrap_or_else(PoisonError::into_inner);
            state.held -= 1;
        }
        let raw = state.raw.iter().position(|(at, _)| *at == number);
        raw.map_or(answer, |at| state.raw.remove(at).1)
    }
}

impl State {
    fn answer(&mut self, head: &str, body: &str) -> Vec<u8> {
        let mut line = head.split(' ');
        let (method, path) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        let Some(service) = path.strip_prefix("/xmlrpc/2/") else {
            let why = "The requested URL was not found on the server.";
            return page("404 NOT FOUND", "", "Not Found", why);
        };
        if method != "POST" {
            let why = "The method is not allowed for the requested URL.";
            return page("405 METHOD NOT ALLOWED", "Allow: OPTIONS, POST\r\n", "Method Not Allowed", why);
        }
        let Some(request) = Request::parse(body) else {
            return success(&rpc::unforeseen("xml.parsers.expat.ExpatError: no element found"));
        };
        let text = |n: usize| request.params.get(n).and_then(Value::as_text).unwrap_or_default().to_owned();
        let (seen, answer) = match (service, request.method.as_str()) {
            ("common", "authenticate") => {
                let seen = Seen { method: "authenticate".into(), model: String::new(), fields: 0 };
                (seen, rpc::authenticate(&request.params, &self.password))
            }
            ("object", "execute_kw") => {
                let named = request.params.get(6).and_then(|kwargs| kwargs.member("fields"));
                let fields = named.and_then(Value::as_list).map_or(0, <[Value]>::len);
                let seen = Seen { method: text(4), model: text(3), fields };
                (seen, rpc::execute(&self.company, &request.params, &self.password))
            }
            (other, method) if !["common", "object"].contains(&other) => {
                let seen = Seen { method: method.to_owned(), model: String::new(), fields: 0 };
                (seen, rpc::unforeseen(&format!("KeyError: '{other}'")))
            }
            (_, other) => {
                let seen = Seen { method: other.to_owned(), model: String::new(), fields: 0 };
                (seen, rpc::unforeseen(&format!("Exception: Method not found: {other}")))
            }
        };
        self.seen.push(seen);
        success(&answer)
    }
}

const SERVER: &str = "Server: Werkzeug/2.2.2 Python/3.11.2\r\nDate: Mon, 23 Nov 2026 16:49:23 GMT\r\n";

/// Odoo answers 200 to faults too, but for them it leaves one header out.
fn success(xml: &str) -> Vec<u8> {
    let nosniff = if xml.contains("\n<fault>\n") { "" } else { "X-Content-Type-Options: nosniff\r\n" };
    format!(
        "HTTP/1.0 200 OK\r\n{SERVER}Content-Type: text/xml; charset=utf-8\r\nContent-Length: {}\r\n\
         {nosniff}Connection: close\r\n\r\n{xml}",
        xml.len()
    )
    .into_bytes()
}

fn page(status: &str, header: &str, title: &str, why: &str) -> Vec<u8> {
    let code = status.split(' ').next().unwrap_or_default();
    let body = format!(
        "<!doctype html>\n<html lang=en>\n<title>{code} {title}</title>\n<h1>{title}</h1>\n<p>{why}</p>\n"
    );
    format!(
        "HTTP/1.0 {status}\r\n{SERVER}Content-Type: text/html; charset=utf-8\r\n{header}Content-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn read_request(stream: &mut TcpStream) -> io::Result<(String, String)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let read = stream.read(&mut chunk)?;
        if read == 0 || bytes.len() > MAX_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(&chunk[..read]);
    };
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let head = String::from_utf8(bytes[..end].to_vec()).map_err(|_| invalid())?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let length = length.unwrap_or(0).min(MAX_REQUEST);
    let mut body = bytes.split_off(end);
    while body.len() < length {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err(invalid());
        }
        body.extend_from_slice(&chunk[..read]);
    }
    Ok((head, String::from_utf8(body).map_err(|_| invalid())?))
}
