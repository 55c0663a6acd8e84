//! The side that serves: a thread a connection, as many at work at once as there are workers, and what
//! is to go wrong with the answer.

use std::collections::BTreeMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::company::Company;
use super::fault::{Fault, send};
use super::http;
use super::routes::{self, Server};
use super::seen::Seen;
use super::settings::Settings;

/// What the threads share.
pub struct Shared {
    state: Mutex<State>,
    pub changed: Condvar,
}

/// Everything that can change while it serves.
pub struct State {
    pub company: Arc<Company>,
    /// The server's clock, in microseconds.
    pub clock: i64,
    pub password: String,
    pub settings: Settings,
    /// The path of each request, in order.
    pub paths: Vec<String>,
    pub seen: Vec<Seen>,
    /// How many requests came.
    pub asked: usize,
    /// By the number of the request.
    pub faults: BTreeMap<usize, Fault>,
    /// By the path of what is asked without a login.
    pub instead: BTreeMap<&'static str, Vec<u8>>,
    pub hold: Option<usize>,
    pub held: usize,
    pub latency: Duration,
    /// How many may be at work at once, and how many are.
    pub workers: usize,
    pub at_work: usize,
    /// How many wait for a worker.
    pub waiting: usize,
    pub stopped: bool,
}

/// How long a client may take to say what it wants.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl Shared {
    pub fn new(state: State) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves until it is stopped and then woken.
    pub fn serve(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.lock().stopped {
                return;
            }
            let shared = self.clone();
            if let Ok(stream) = stream {
                std::thread::spawn(move || {
                    let _worker = Worker::free(&shared);
                    // A client that went away in the middle is no concern of a server.
                    let _ = shared.exchange(stream);
                });
            }
        }
    }

    fn exchange(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let incoming = http::read(&mut stream)?;
        let (number, company, password, settings) = {
            let mut state = self.lock();
            // Who asks without a login asks on the way to a call, or has asked before: calls are what is counted.
            let is_counted = !routes::needs_no_login(&incoming);
            state.asked += usize::from(is_counted);
            state.paths.push(incoming.path.clone());
            let number = if is_counted { state.asked } else { 0 };
            (number, state.company.clone(), state.password.clone(), state.settings.clone())
        };
        let server = Server { company: &company, password: &password, settings: &settings };
        let routes::Done { seen, answer } = routes::answer(&incoming, server);
        let seen = seen.filter(|_| number > 0);
        // A snapshot that is held on to would have to be copied by the next change.
        drop(company);
        let fault = match number {
            0 => self.lock().instead.get(incoming.path.as_str()).cloned().map(Fault::Instead),
            _ => None,
        };
        let fault = self.until_let_go(number, seen).or(fault);
        send(&mut stream, answer, fault, || {
            let mut state = self.lock();
            state.hold = Some(number);
            drop(self.while_held(state, number));
        })
    }

    /// Waits as long as this answer is to wait. What is to go wrong with it.
    fn until_let_go(&self, number: usize, seen: Option<Seen>) -> Option<Fault> {
        let mut state = self.lock();
        state.seen.extend(seen);
        if !state.latency.is_zero() {
            let latency = state.latency;
            let waited = self.changed.wait_timeout_while(state, latency, |state| !state.stopped);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.hold == Some(number) {
            state = self.while_held(state, number);
        }
        state.faults.remove(&number)
    }

    fn while_held<'a>(&'a self, mut state: MutexGuard<'a, State>, number: usize) -> MutexGuard<'a, State> {
        state.held += 1;
        self.changed.notify_all();
        let is_held = |state: &mut State| state.hold == Some(number) && !state.stopped;
        let waited = self.changed.wait_while(state, is_held);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.held -= 1;
        state
    }
}

/// One of the workers, busy until it is dropped.
struct Worker<'a>(&'a Shared);

impl<'a> Worker<'a> {
    fn free(shared: &'a Shared) -> Self {
        let mut state = shared.lock();
        state.waiting += 1;
        shared.changed.notify_all();
        let all_busy = |state: &mut State| state.at_work >= state.workers && !state.stopped;
        let waited = shared.changed.wait_while(state, all_busy);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state.at_work += 1;
        Self(shared)
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.0.lock().at_work -= 1;
        self.0.changed.notify_all();
    }
}
