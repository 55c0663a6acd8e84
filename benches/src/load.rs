//! Callers that ask again and again over connections that stay open, one request each; every answer is read
//! whole and must hold the secret that was deposited.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server that lends, and what each caller sends it.
#[derive(Default)]
pub struct Target {
    pub address: String,
    pub requests: Vec<Vec<u8>>,
    pub secret: String,
}

/// What a round came to.
#[derive(Default)]
pub struct Round {
    /// Seconds that it lasted.
    pub seconds: f64,
    /// What each lend took, in µs, sorted.
    pub took: Vec<f64>,
    /// How many were answered with 503: the database did not make it within the vault's 250 ms.
    pub refused: u32,
    /// The callers' connections, still open.
    pub open: Vec<TcpStream>,
}

impl Round {
    pub fn lends(&self) -> f64 {
        f64::from(u32::try_from(self.took.len()).unwrap())
    }

    /// What the part `of` all lends took no longer than, in µs.
    pub fn within(&self, of: f64) -> f64 {
        self.took[((self.lends() - 1.0) * of) as usize]
    }
}

impl Target {
    /// `callers` at once, for `long`.
    pub async fn load(&self, callers: usize, long: Duration) -> Round {
        let begun = Instant::now();
        let tasks = self.requests.iter().take(callers).map(|request| {
            tokio::spawn(caller(self.address.clone(), request.clone(), self.secret.clone(), begun + long))
        });
        let mut round = Round::default();
        for task in tasks.collect::<Vec<_>>() {
            let (took, refused, stream) = task.await.unwrap();
            round.took.extend(took);
            round.refused += refused;
            round.open.push(stream);
        }
        round.seconds = begun.elapsed().as_secs_f64();
        round.took.sort_by(f64::total_cmp);
        assert!(!round.took.is_empty(), "nothing was lent, {} were told 503", round.refused);
        round
    }
}

async fn caller(
    address: String,
    request: Vec<u8>,
    secret: String,
    until: Instant,
) -> (Vec<f64>, u32, TcpStream) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut took, mut refused, mut answer) = (Vec::new(), 0, Vec::new());
    let secret = format!("\"{secret}\"");
    while Instant::now() < until {
        let begun = Instant::now();
        stream.write_all(&request).await.unwrap();
        read_answer(&mut stream, &mut answer).await;
        match &answer[..12] {
            b"HTTP/1.1 201" | b"HTTP/1.1 200" => took.push(begun.elapsed().as_secs_f64() * 1e6),
            b"HTTP/1.1 503" => {
                refused += 1;
                continue;
            }
            _ => panic!("{}", String::from_utf8_lossy(&answer)),
        }
        let is_right = answer.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(is_right, "another secret: {}", String::from_utf8_lossy(&answer));
    }
    (took, refused, stream)
}

/// Sends one request and reads all of its answer.
pub async fn ask(stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    stream.write_all(request).await.unwrap();
    read_answer(stream, &mut answer).await;
    answer
}

/// One answer, head and body.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) {
    answer.clear();
    loop {
        assert_ne!(stream.read_buf(answer).await.unwrap(), 0, "the server hung up");
        let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&answer[..head]).unwrap();
        let headers = text.lines().filter_map(|line| line.split_once(": "));
        let mut lengths = headers.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let (_, length) = lengths.next().unwrap();
        if answer.len() == head + 4 + length.parse::<usize>().unwrap() {
            return;
        }
    }
}
