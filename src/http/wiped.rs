//! An answer that holds a secret: its buffer is wiped once written, and only then may a forget that
//! waits for it answer.
//!
//! The server copies a body behind its head into a buffer that it keeps for as long as the connection, and
//! fills from the start again only after what was in it was sent. So the secret is followed, in a piece of its
//! own, by as many spaces as lie over all of it. JSON may end in white space. The system is told to put both into one
//! packet: a caller who waits for the second pays for a packet and for being woken once more.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::rt::spawn;
use bytes::Bytes;
use zeroize::Zeroizing;

use crate::http::Line;
use crate::vault::Passage;

/// A body of two pieces, of which the first is sent before the second is asked for.
pub(super) struct WipedBody {
    next: Next,
    length: usize,
    /// Until the body is with the server.
    sending: Option<Sending>,
}

/// What lasts until the system was given all of the answer.
struct Sending {
    line: Option<Line>,
    _passage: Passage,
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.let_go();
        }
    }
}

enum Next {
    Secret(Bytes),
    Wait,
    Spaces,
    End,
}

/// More than the head of an answer ever has.
const HEAD_BYTES: usize = 1024;

impl WipedBody {
    /// To be sent over `line`, if that is known.
    pub(super) fn new(bytes: Zeroizing<Vec<u8>>, line: Option<Line>, passage: Passage) -> Self {
        let length = bytes.len();
        let sending = Some(Sending { line, _passage: passage });
        Self { next: Next::Secret(Bytes::from_owner(bytes)), length, sending }
    }

    fn spaces(&self) -> usize {
        self.length + HEAD_BYTES
    }
}

impl MessageBody for WipedBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(u64::try_from(self.length + self.spaces()).unwrap_or(u64::MAX))
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context) -> Poll<Option<Result<Bytes, Infallible>>> {
        let this = self.get_mut();
        match std::mem::replace(&mut this.next, Next::End) {
            Next::Secret(bytes) => {
                this.next = Next::Wait;
                if let Some(line) = this.sending.as_ref().and_then(|sending| sending.line.as_ref()) {
                    line.hold();
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            // Nothing for the moment: so what there is is sent.
            Next::Wait => {
                this.next = Next::Spaces;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Next::Spaces => {
                // After the server, which is at work here, gave them to the system too.
                let sending = this.sending.take();
                drop(spawn(async move { drop(sending) }));
                Poll::Ready(Some(Ok(Bytes::from(vec![b' '; this.spaces()]))))
            }
            Next::End => Poll::Ready(None),
        }
    }
}
