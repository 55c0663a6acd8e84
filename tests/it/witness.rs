//! A witness of checkpoints by HTTP, which does as it is told: keeps them, fails, hangs, leads elsewhere, never ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// How it behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes what is posted, and gives the last one back.
    Keeps,
    /// Gives back, and takes nothing: 507.
    TakesNothing,
    /// Says 500 to everything.
    Fails,
    /// Says nothing at all.
    Hangs,
    /// Leads elsewhere, to a place that would keep.
    Redirects,
    /// Has an answer without an end.
    Endless,
}

struct Held {
    manner: Manner,
    taken: Vec<String>,
    elsewhere: usize,
    asked: usize,
}

/// It, for as long as the test lasts.
#[derive(Clone)]
pub struct Witness {
    pub url: String,
    held: Arc<(Mutex<Held>, Condvar)>,
}

impl Witness {
    pub fn new(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/checkpoint", listener.local_addr().unwrap());
        let held = Held { manner, taken: Vec::new(), elsewhere: 0, asked: 0 };
        let witness = Self { url, held: Arc::new((Mutex::new(held), Condvar::new())) };
        let own = witness.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                std::thread::spawn(move || own.answer(stream));
            }
        });
        witness
    }

    pub fn behaves(&self, manner: Manner) {
        self.held.0.lock().unwrap().manner = manner;
        self.held.1.notify_all();
    }

    /// What it took, oldest first.
    pub fn taken(&self) -> Vec<String> {
        self.held.0.lock().unwrap().taken.clone()
    }

    /// Puts what it has to that, as who holds it may.
    pub fn has(&self, notes: &[String]) {
        self.held.0.lock().unwrap().taken = notes.to_vec();
    }

    /// How often it was called, and how often where it led to.
    pub fn calls(&self) -> (usize, usize) {
        let held = self.held.0.lock().unwrap();
        (held.asked, held.elsewhere)
    }

    fn answer(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some((head, body)) = request(&mut reader) {
            let mut held = self.held.0.lock().unwrap();
            held.asked += 1;
            held.elsewhere += usize::from(head.contains("/elsewhere "));
            while held.manner == Manner::Hangs {
                held = self.held.1.wait(held).unwrap();
            }
            let manner = held.manner;
            let is_post = head.starts_with("POST ");
            assert!(!is_post || head.to_lowercase().contains("content-type: text/plain"), "{head}");
            let (status, more, answer) = match manner {
                Manner::Fails => (500, "", String::new()),
                Manner::TakesNothing if is_post => (507, "", String::new()),
                Manner::Redirects => (307, "Location: /elsewhere\r\n", String::new()),
                _ if is_post => {
                    held.taken.push(body);
                    (204, "", String::new())
                }
                _ => match held.taken.last() {
                    Some(last) => (200, "", last.clone()),
                    None => (404, "", String::new()),
                },
            };
            drop(held);
            let mut stream = &stream;
            if manner == Manner::Endless {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                while stream.write_all(&[b'x'; 4096]).is_ok() {}
                return;
            }
            let length = answer.len();
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{more}\r\n");
            if stream.write_all(format!("{head}{answer}").as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}
