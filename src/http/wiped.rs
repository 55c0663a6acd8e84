//! An answer that holds a secret: its buffer is wiped once written, and only then may a forget that
//! waits for it answer.
//!
//! The server copies a body behind its head into a buffer that it keeps for as long as the connection, and
//! fills from the start again only after what was in it was sent. So the secret is followed, in a piece of its
//! own, by as many spaces as lie over all of it. JSON may end in white space.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use zeroize::Zeroizing;

use crate::vault::Passage;

/// A body of two pieces, of which the first is sent before the second is asked for.
pub(super) struct WipedBody {
    next: Next,
    length: usize,
    _passage: Passage,
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
    pub(super) fn new(bytes: Zeroizing<Vec<u8>>, passage: Passage) -> Self {
        let length = bytes.len();
        Self { next: Next::Secret(Bytes::from_owner(bytes)), length, _passage: passage }
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
                Poll::Ready(Some(Ok(bytes)))
            }
            // Nothing for the moment: so what there is is sent.
            Next::Wait => {
                this.next = Next::Spaces;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Next::Spaces => Poll::Ready(Some(Ok(Bytes::from(vec![b' '; this.spaces()])))),
            Next::End => Poll::Ready(None),
        }
    }
}
