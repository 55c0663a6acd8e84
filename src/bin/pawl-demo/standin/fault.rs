//! What can go wrong with an answer on its way.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};

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
pub fn send(stream: &mut TcpStream, mut answer: Vec<u8>, fault: Option<Fault>) -> io::Result<()> {
    let mut piece = answer.len();
    match fault {
        None => {}
        Some(Fault::Instead(bytes)) => {
            piece = bytes.len();
            answer = bytes;
        }
        Some(Fault::BrokenOff(bytes)) => {
            let head = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
            answer.truncate(head + bytes);
        }
        Some(Fault::Trickled(bytes)) => {
            stream.set_nodelay(true)?;
            piece = bytes;
        }
    }
    for piece in answer.chunks(piece.max(1)) {
        stream.write_all(piece)?;
    }
    stream.shutdown(Shutdown::Write)
}
