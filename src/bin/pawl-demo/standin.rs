//! A stand-in for Odoo on loopback, shaped by recordings of a real one: HTTP/1.0, one answer a connection,
//! XML-RPC, JSON-RPC and JSON-2 with the same members in the same order. It holds a made-up company. What it
//! is taken for and what stands before it is in its [`Settings`].
#![allow(dead_code, reason = "the demo and the tests each use a part")]

#[path = "standin/books.rs"]
mod books;
#[path = "standin/call.rs"]
mod call;
#[path = "standin/catalog.rs"]
mod catalog;
#[path = "standin/company.rs"]
pub mod company;
#[path = "standin/dice.rs"]
mod dice;
#[path = "standin/domain.rs"]
mod domain;
#[path = "standin/echo.rs"]
mod echo;
#[path = "standin/entry.rs"]
mod entry;
#[path = "standin/fault.rs"]
mod fault;
#[path = "standin/fields.rs"]
mod fields;
#[path = "standin/front.rs"]
mod front;
#[path = "standin/gzip.rs"]
mod gzip;
#[path = "standin/http.rs"]
mod http;
#[path = "standin/json.rs"]
mod json;
#[path = "standin/json2.rs"]
mod json2;
#[path = "standin/line.rs"]
mod line;
#[path = "standin/models.rs"]
mod models;
#[path = "standin/outcome.rs"]
mod outcome;
#[path = "standin/refusal.rs"]
mod refusal;
#[path = "standin/routes.rs"]
mod routes;
#[path = "standin/rpc.rs"]
mod rpc;
#[path = "standin/search.rs"]
mod search;
#[path = "standin/seen.rs"]
pub mod seen;
#[path = "standin/server.rs"]
mod server;
#[path = "standin/settings.rs"]
pub mod settings;
#[path = "standin/time.rs"]
pub mod time;
#[path = "standin/user.rs"]
mod user;
#[path = "standin/wire.rs"]
pub mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use company::Company;
use fault::Fault;
pub use seen::Seen;
use server::{PATIENCE, Shared, State};
use settings::Settings;

/// The database that the bot is of.
pub const DATABASE: &str = "acme";
/// Among the others, one without Odoo's tables.
pub const UNINITIALISED: &str = "empty";
/// The bot's login, its password and its API key.
pub const LOGIN: &str = "bot@acme.example";
/// See [`LOGIN`].
pub const PASSWORD: &str = "Přísně-tajné & <heslo> 7295";
/// See [`LOGIN`].
pub const API_KEY: &str = "5f3c1f0a9b7e4d2c8a6b1e0d9c8b7a6f5e4d3c2b";

/// A stand-in that serves until it is dropped.
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl StandIn {
    /// Serves `company` on a free port of 127.0.0.1.
    pub fn start(company: Company) -> io::Result<Self> {
        Self::start_as(company, Settings::default())
    }

    /// The same, as another server than the one that was recorded.
    pub fn start_as(company: Company, settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Shared::new(State {
            company: Arc::new(company),
            clock: time::START,
            password: PASSWORD.into(),
            settings,
            paths: Vec::new(),
            seen: Vec::new(),
            asked: 0,
            faults: BTreeMap::new(),
            instead: BTreeMap::new(),
            hold: None,
            held: 0,
            latency: Duration::ZERO,
            workers: usize::MAX,
            at_work: 0,
            waiting: 0,
            stopped: false,
        });
        let serving = shared.clone();
        let thread = std::thread::spawn(move || serving.serve(&listener));
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every call so far that wanted a login, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// The path of each request so far, in order.
    pub fn paths(&self) -> Vec<String> {
        self.shared.lock().paths.clone()
    }

    /// How many requests there were that wanted a login, whoever answered them: so often a secret was shown.
    pub fn asked(&self) -> usize {
        self.shared.lock().asked
    }

    /// How often anyone tried to log in. JSON-2 has no login.
    pub fn logins(&self) -> usize {
        self.shared.lock().seen.iter().filter(|seen| seen.is_login()).count()
    }

    /// Makes another server of it, from the next request on.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.lock().settings);
    }

    /// The bot's password from now on.
    pub fn set_password(&self, password: &str) {
        self.shared.lock().password = password.into();
    }
}

/// What the books say, and when.
impl StandIn {
    /// The company as it is now.
    pub fn company(&self) -> Company {
        Company::clone(&self.shared.lock().company)
    }

    /// Changes the books, as the customer's people do: one transaction, begun and committed now. All
    /// that it writes bears the same time, and no other transaction's.
    pub fn edit(&self, change: impl FnOnce(&mut Company)) {
        let mut state = self.shared.lock();
        let started = state.tick();
        state.apply(started, change);
    }

    /// Begins a transaction: what is said to it bears the time of now, and is seen when it is committed.
    pub fn begin(&self) -> Transaction {
        let started = self.shared.lock().tick();
        Transaction { shared: self.shared.clone(), started, changes: Vec::new() }
    }

    /// The server's clock, in microseconds since 1970. It stands still; each transaction moves it by one.
    pub fn now(&self) -> i64 {
        self.shared.lock().clock
    }

    /// Moves the server's clock.
    pub fn advance(&self, by: Duration) {
        self.shared.lock().clock += i64::try_from(by.as_micros()).unwrap_or(0);
    }

    /// Sets the server's clock, back too, as an administrator might.
    pub fn set_clock(&self, micros: i64) {
        self.shared.lock().clock = micros;
    }
}

/// What goes wrong. The `n`th request is counted from now: 1 is the next. What is asked without a login is none of
/// them.
impl StandIn {
    /// Holds the answer to the `n`th request until [`StandIn::release`].
    pub fn hold(&self, n: usize) {
        let mut state = self.shared.lock();
        state.hold = Some(state.asked + n);
    }

    /// Waits until an answer is held. False if none was within a minute.
    pub fn wait_until_held(&self) -> bool {
        self.wait_until(|state| state.held > 0)
    }

    /// Waits until a request waits for a worker. False if none did within a minute.
    pub fn wait_until_waiting(&self) -> bool {
        self.wait_until(|state| state.waiting > 0 && state.at_work >= state.workers)
    }

    fn wait_until(&self, done: impl Fn(&State) -> bool) -> bool {
        let waited =
            self.shared.changed.wait_timeout_while(self.shared.lock(), PATIENCE, |state| !done(state));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Lets held answers go.
    pub fn release(&self) {
        self.shared.lock().hold = None;
        self.shared.changed.notify_all();
    }

    /// Answers the `n`th request with exactly these bytes; with none, hangs up.
    pub fn answer_raw(&self, n: usize, bytes: impl Into<Vec<u8>>) {
        self.fault(n, Fault::Instead(bytes.into()));
    }

    /// Answers what is asked there without a login with exactly these bytes, from now on.
    pub fn answer_before_login(&self, path: &'static str, bytes: impl Into<Vec<u8>>) {
        self.shared.lock().instead.insert(path, bytes.into());
    }

    /// Answers the `n`th request with an HTTP status, such as `502 BAD GATEWAY`, and a page about it.
    pub fn answer_status(&self, n: usize, status: &str) {
        let title = status.split_once(' ').map_or(status, |(_, title)| title);
        self.answer_raw(n, http::page(status, http::TEXT_FIRST, title, "Try again later.").whole());
    }

    /// Hangs up after `bytes` of the body of the `n`th answer.
    pub fn break_off(&self, n: usize, bytes: usize) {
        self.fault(n, Fault::BrokenOff(bytes));
    }

    /// Sends the `n`th answer `bytes` at a time, each in a packet of its own.
    pub fn trickle(&self, n: usize, bytes: usize) {
        self.fault(n, Fault::Trickled(bytes));
    }

    /// Holds the `n`th answer after `bytes` of its body until [`StandIn::release`].
    pub fn stall(&self, n: usize, bytes: usize) {
        self.fault(n, Fault::Stalled(bytes));
    }

    /// How long every answer takes from now on, beside what it takes anyway.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.lock().latency = latency;
    }

    /// How many requests it works at at once from now on; the others wait for their turn.
    pub fn set_workers(&self, workers: usize) {
        self.shared.lock().workers = workers.max(1);
        self.shared.changed.notify_all();
    }

    fn fault(&self, n: usize, fault: Fault) {
        let mut state = self.shared.lock();
        let number = state.asked + n;
        state.faults.insert(number, fault);
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

type Change = Box<dyn FnOnce(&mut Company) + Send>;

/// Changes that have begun and are not yet to be seen. Dropped, they never were.
pub struct Transaction {
    shared: Arc<Shared>,
    started: i64,
    changes: Vec<Change>,
}

impl Transaction {
    /// Says one more change, which is made to what the books say at the commit.
    pub fn edit(&mut self, change: impl FnOnce(&mut Company) + Send + 'static) {
        self.changes.push(Box::new(change));
    }

    /// Lets them be seen. They bear the time at which the transaction began.
    pub fn commit(self) {
        let mut state = self.shared.lock();
        for change in self.changes {
            state.apply(self.started, change);
        }
    }
}

impl State {
    /// The time of a transaction that begins now.
    fn tick(&mut self) -> i64 {
        self.clock += 1;
        self.clock - 1
    }

    fn apply(&mut self, started: i64, change: impl FnOnce(&mut Company)) {
        let company = Arc::make_mut(&mut self.company);
        company.begin(started);
        change(company);
    }
}
