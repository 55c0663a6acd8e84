//! Bad tokens at a rate, whether or not those before were answered: who floods does not wait.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 4;
/// At the most; more of them, rather than more at once.
const AT_ONCE: usize = 5;
const TURNS_A_SECOND: usize = 500;

/// Shows `token` so often a second until it is told to stop; adds to `failed` each answer, all of which refuse it.
pub fn pour(url: &str, token: &str, a_second: usize, stop: &AtomicBool, failed: &AtomicUsize) {
    let of_one = a_second / CONNECTIONS;
    let at_once = (of_one / TURNS_A_SECOND).clamp(1, AT_ONCE);
    let every = Duration::from_secs_f64(at_once as f64 / of_one as f64);
    let request =
        format!("GET /v1/connections HTTP/1.1\r\nHost: pawl\r\nAuthorization: Bearer {token}\r\n\r\n");
    let requests = request.repeat(at_once);
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| pour_over_one(url, (requests.as_bytes(), at_once, every), stop, failed));
        }
    });
}

fn pour_over_one(
    url: &str,
    (requests, at_once, every): (&[u8], usize, Duration),
    stop: &AtomicBool,
    failed: &AtomicUsize,
) {
    step_back();
    let mut out = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    let answers = out.try_clone().unwrap();
    let (mut sent, all) = (0, AtomicUsize::new(usize::MAX));
    std::thread::scope(|scope| {
        scope.spawn(|| count(answers, failed, &all));
        let begun = Instant::now();
        for turn in 1.. {
            let is_last = stop.load(Ordering::Relaxed);
            sent += at_once;
            if is_last {
                all.store(sent, Ordering::SeqCst);
            }
            out.write_all(requests).unwrap();
            if is_last {
                break;
            }
            std::thread::sleep((begun + every * turn).saturating_duration_since(Instant::now()));
        }
    });
}

/// Who attacks has a machine of their own: what they take of this one, they take last.
pub fn step_back() {
    // Of the thread that asks, on Linux.
    rustix::process::setpriority_process(None, 19).unwrap();
}

const STATUS: &[u8] = b"HTTP/1.1 ";
/// With its number behind.
const LINE: usize = STATUS.len() + 3;

/// Takes answers until there were `all` of them.
fn count(mut answers: TcpStream, failed: &AtomicUsize, all: &AtomicUsize) {
    step_back();
    let (mut some, mut got, mut counted) = (vec![0; 64 * 1024], Vec::new(), 0);
    while counted < all.load(Ordering::SeqCst) {
        let read = answers.read(&mut some).unwrap();
        assert!(read > 0, "hung up after {counted}");
        got.extend_from_slice(&some[..read]);
        let lines = got.windows(LINE).enumerate().filter(|(_, line)| line.starts_with(STATUS));
        let lines: Vec<usize> = lines.map(|(at, _)| at).collect();
        for at in &lines {
            let status = &got[at + STATUS.len()..at + LINE];
            assert!(status == b"401" || status == b"429", "{}", String::from_utf8_lossy(&got));
        }
        counted += lines.len();
        failed.fetch_add(lines.len(), Ordering::Relaxed);
        // What may be the beginning of a line is looked at again, and no line twice.
        let seen = lines.last().map_or(0, |at| at + LINE);
        got.drain(..seen.max(got.len().saturating_sub(LINE - 1)));
    }
}
