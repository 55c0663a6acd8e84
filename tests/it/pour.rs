//! Bad tokens at a rate, whether or not those before were answered: who floods does not wait.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

const CONNECTIONS: usize = 500;
/// Sent over each and not answered yet, at the most. One is judged at a time; more would wait within TCP.
const AT_ONCE: usize = 16;
const TURN: Duration = Duration::from_millis(2);

/// What became of a flood.
#[derive(Default)]
pub struct Poured {
    /// Answered, and refused.
    pub failed: AtomicUsize,
    /// Not sent: each connection had as many to be answered as it may.
    pub held_back: AtomicUsize,
}

/// Shows `token` so often a second, until it is told to stop.
pub fn pour(url: &str, token: &str, a_second: usize, stop: &AtomicBool, poured: &Poured) {
    step_back();
    let request =
        format!("GET /v1/connections HTTP/1.1\r\nHost: pawl\r\nAuthorization: Bearer {token}\r\n\r\n");
    let address = url.strip_prefix("http://").unwrap();
    let mut all: Vec<Connection> = (0..CONNECTIONS).map(|_| Connection::to(address)).collect();
    let (begun, mut sent) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = (begun.elapsed().as_secs_f64() * a_second as f64) as usize;
        for n in sent..due {
            if !all[n % CONNECTIONS].send(request.as_bytes()) {
                poured.held_back.fetch_add(1, Ordering::Relaxed);
            }
        }
        sent = due;
        take(&mut all, &poured.failed);
    }
    while all.iter().any(|one| one.unanswered > 0) {
        take(&mut all, &poured.failed);
    }
}

/// Takes the answers that are there, or come within a turn.
fn take(all: &mut [Connection], failed: &AtomicUsize) {
    let until = Timespec::try_from(TURN).unwrap();
    let mut waited: Vec<_> = all.iter().map(|one| PollFd::new(&one.stream, PollFlags::IN)).collect();
    poll(&mut waited, Some(&until)).unwrap();
    let ready: Vec<bool> = waited.iter().map(|one| !one.revents().is_empty()).collect();
    for (one, _) in all.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
        failed.fetch_add(one.count(), Ordering::Relaxed);
    }
}

/// Who attacks has a machine of their own: what they take of this one, they take last.
pub fn step_back() {
    // Of the thread that asks, on Linux.
    rustix::process::setpriority_process(None, 19).unwrap();
}

const STATUS: &[u8] = b"HTTP/1.1 ";
/// With its number behind.
const LINE: usize = STATUS.len() + 3;

struct Connection {
    stream: TcpStream,
    got: Vec<u8>,
    unanswered: usize,
}

impl Connection {
    fn to(address: &str) -> Self {
        Self { stream: TcpStream::connect(address).unwrap(), got: Vec::new(), unanswered: 0 }
    }

    /// Whether it could be sent.
    fn send(&mut self, request: &[u8]) -> bool {
        if self.unanswered == AT_ONCE {
            return false;
        }
        self.unanswered += 1;
        self.stream.write_all(request).unwrap();
        true
    }

    /// How many answers have come.
    fn count(&mut self) -> usize {
        let mut some = [0; 16 * 1024];
        let read = self.stream.read(&mut some).unwrap();
        assert!(read > 0, "hung up, with {} to be answered", self.unanswered);
        self.got.extend_from_slice(&some[..read]);
        let lines = self.got.windows(LINE).enumerate().filter(|(_, line)| line.starts_with(STATUS));
        let lines: Vec<usize> = lines.map(|(at, _)| at).collect();
        for at in &lines {
            let status = &self.got[at + STATUS.len()..at + LINE];
            assert!(status == b"401" || status == b"429", "{}", String::from_utf8_lossy(&self.got));
        }
        self.unanswered -= lines.len();
        // What may be the beginning of a line is looked at again, and no line twice.
        let seen = lines.last().map_or(0, |at| at + LINE);
        self.got.drain(..seen.max(self.got.len().saturating_sub(LINE - 1)));
        lines.len()
    }
}
