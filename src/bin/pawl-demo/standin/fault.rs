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
    /// So many bytes of the body, and the rest when it is let go.
    Stalled(usize),
}

/// Sends an answer, as far as its fault lets it come; `until_let_go` waits in the middle of one.
pub fn send(
    stream: &mut TcpStream,
    answer: Answer,
    fault: Option<Fault>,
    until_let_go: impl FnOnce(),
) -> io::Result<()> {
    let (head, body) = (answer.head.into_bytes(), answer.body);
    match fault {
        None => {
            stream.write_all(&head)?;
            stream.write_all(&body)?;
        }
        Some(Fault::Instead(bytes)) => stream.write_all(&bytes)?,
        Some(Fault::BrokenOff(bytes)) => {
            stream.write_all(&head)?;
            stream.write_all(&body[..bytes.min(body.len())])?;
        }
        Some(Fault::Trickled(bytes)) => {
            stream.set_nodelay(true)?;
            for piece in [head, body].concat().chunks(bytes.max(1)) {
                stream.write_all(piece)?;
            }
        }
        Some(Fault::Stalled(bytes)) => {
            let (first, rest) = body.split_at(bytes.min(body.len()));
            stream.write_all(&head)?;
            stream.write_all(first)?;
            until_let_go();
            stream.write_all(rest)?;
        }
    }
    stream.shutdown(Shutdown::Write)
}
