//! What can go wrong with an answer on its way.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};

use super::http::Answer;

/// Done to one answer.
pub enum Fault {
    /// Exactly these bytes in its place; with none, hangs up.
    Instead(Vec<u8>),
    /// The connection ends after so many bytes of the body.
    BrokenOff(usize),
    /// So many bytes at a time, each in a packet of its own.
    Trickled(usize),
}

/// Sends an answer, as far as its fault lets it come.
pub fn send(stream: &mut TcpStream, answer: Answer, fault: Option<Fault>) -> io::Result<()> {
    let (head, mut body) = (answer.head.into_bytes(), answer.body.into_bytes());
    let mut piece = usize::MAX;
    match fault {
        None => {}
        Some(Fault::Instead(bytes)) => {
            stream.write_all(&bytes)?;
            return stream.shutdown(Shutdown::Write);
        }
        Some(Fault::BrokenOff(bytes)) => body.truncate(bytes),
        Some(Fault::Trickled(bytes)) => {
            stream.set_nodelay(true)?;
            piece = bytes.max(1);
        }
    }
    for part in [head, body] {
        for piece in part.chunks(piece) {
            stream.write_all(piece)?;
        }
    }
    stream.shutdown(Shutdown::Write)
}
