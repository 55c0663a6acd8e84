//! An answer that holds a secret: its buffer is wiped once written, and only then may a forget that
//! waits for it answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use zeroize::Zeroizing;

use crate::vault::Passage;

/// A body of one piece.
pub(super) struct WipedBody {
    bytes: Option<Bytes>,
    length: u64,
    _passage: Passage,
}

impl WipedBody {
    pub(super) fn new(bytes: Zeroizing<Vec<u8>>, passage: Passage) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { bytes: Some(Bytes::from_owner(bytes)), length, _passage: passage }
    }
}

impl MessageBody for WipedBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(self.get_mut().bytes.take().map(Ok))
    }
}
