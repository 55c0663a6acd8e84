//! An answer's body, unpacked as it comes and counted as it is unpacked: a bomb ends where the limit is.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::write::GzDecoder;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Response, header};
use tokio::time::{Instant, timeout_at};

use crate::egress::call::Tap;
use crate::egress::error::EgressError;
use crate::egress::wire::{Wire, cause};
use crate::pages::Pages;

/// What is still to be read of an answer.
pub struct Body {
    open: Option<Open>,
    overheard: Option<Overheard>,
}

struct Open {
    incoming: Incoming,
    coding: Coding,
    /// What may still come, packed and unpacked.
    left: usize,
    deadline: Instant,
    idle: Arc<Mutex<Option<Wire>>>,
    wire: Wire,
}

/// Told to who listens once no more is read, to its end or not.
struct Overheard {
    tap: Arc<dyn Tap>,
    taken: Pages,
}

impl Overheard {
    /// Takes what has come, once there is room.
    async fn take(&mut self, piece: &[u8]) -> Result<(), EgressError> {
        if !self.tap.room(piece.len()).await {
            return Err(EgressError::NoRoom);
        }
        self.taken.extend(piece).map_err(|error| failed(&error))
    }

    /// Tells it, and answers it: there is one copy.
    fn tell(&mut self) -> Bytes {
        let taken = std::mem::replace(&mut self.taken, Pages::of_at_most(0)).into_bytes();
        if !taken.is_empty() {
            self.tap.hear(taken.clone());
        }
        taken
    }
}

impl Drop for Overheard {
    fn drop(&mut self) {
        self.tell();
    }
}

enum Coding {
    Plain,
    Gzip(Box<Packed>),
}

/// One packing after another, each read by a reader of its own: so many, or much would be done for nothing.
struct Packed {
    reader: GzDecoder<Room>,
    more: usize,
    /// What came and is still packed.
    waiting: Bytes,
}

/// An answer is packed at once; who appends to a file packs several times.
const MOST_PACKINGS: usize = 16;

/// Takes so many bytes and no more.
struct Room {
    taken: Vec<u8>,
    left: usize,
}

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        self.taken.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Body {
    /// One that is not wanted.
    pub(super) fn unread() -> Self {
        Self { open: None, overheard: None }
    }

    pub(super) fn of(
        response: Response<Incoming>,
        max_bytes: usize,
        deadline: Instant,
        (idle, wire): (Arc<Mutex<Option<Wire>>>, Wire),
        tap: Option<Arc<dyn Tap>>,
    ) -> Result<Self, EgressError> {
        let mut codings = response.headers().get_all(header::CONTENT_ENCODING).iter();
        let coding = match (codings.next().map(|value| value.as_bytes()), codings.next()) {
            (None | Some(b"identity" | b""), None) => Coding::Plain,
            (Some(b"gzip" | b"x-gzip"), None) => {
                let room = Room { taken: Vec::new(), left: max_bytes };
                let (reader, more) = (GzDecoder::new(room), MOST_PACKINGS - 1);
                Coding::Gzip(Box::new(Packed { reader, more, waiting: Bytes::new() }))
            }
            // Nothing else was asked for.
            _ => return Err(EgressError::Broken),
        };
        let incoming = response.into_body();
        let overheard = tap.map(|tap| Overheard { tap, taken: Pages::of_at_most(max_bytes) });
        let open = Some(Open { incoming, coding, left: max_bytes, deadline, idle, wire });
        Ok(Self { open, overheard })
    }

    /// The next piece, unpacked; none at the end. What was read to its end leaves its connection to the next call.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, EgressError> {
        let Some(piece) = self.next().await? else { return Ok(None) };
        if let Some(overheard) = &mut self.overheard {
            overheard.take(&piece).await?;
        }
        Ok(Some(piece))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, EgressError> {
        while let Some(open) = &mut self.open {
            let unpacked = open.coding.unpacked().await?;
            if !unpacked.is_empty() {
                return Ok(Some(unpacked));
            }
            let frame = timeout_at(open.deadline, open.incoming.frame()).await;
            match frame.map_err(|_| EgressError::Timeout)? {
                Some(frame) => {
                    let frame = frame.map_err(|error| cause(&error))?;
                    let Ok(came) = frame.into_data() else { continue };
                    open.left = open.left.checked_sub(came.len()).ok_or(EgressError::TooLarge)?;
                    match &mut open.coding {
                        Coding::Plain if came.is_empty() => {}
                        Coding::Plain => return Ok(Some(came)),
                        Coding::Gzip(gzip) => gzip.waiting = came,
                    }
                }
                None => {
                    let last = open.coding.end()?;
                    if let Some(open) = self.open.take() {
                        *open.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(open.wire);
                    }
                    return Ok((!last.is_empty()).then_some(last));
                }
            }
        }
        Ok(None)
    }

    /// All of it.
    pub async fn whole(mut self) -> Result<Bytes, EgressError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.piece().await? {
            if self.overheard.is_none() {
                whole.extend_from_slice(&piece);
            }
        }
        Ok(self.overheard.as_mut().map_or_else(|| whole.into(), Overheard::tell))
    }
}

impl Coding {
    /// A piece of what came and is packed, empty after the last. Lets others go on between: a little can become very
    /// much, and no more of that is there at once.
    async fn unpacked(&mut self) -> Result<Bytes, EgressError> {
        let Self::Gzip(gzip) = self else { return Ok(Bytes::new()) };
        let mut there = 0;
        while there < A_PIECE && !gzip.waiting.is_empty() {
            let part = gzip.waiting.split_to(A_LITTLE.min(gzip.waiting.len()));
            there = gzip.unpack(&part).map_err(|error| failed(&error))?;
        }
        if there >= A_PIECE {
            tokio::task::yield_now().await;
        }
        Ok(gzip.taken())
    }

    fn end(&mut self) -> Result<Bytes, EgressError> {
        match self {
            Self::Plain => Ok(Bytes::new()),
            Self::Gzip(gzip) => gzip.end().map_err(|error| failed(&error)),
        }
    }
}

impl Packed {
    /// How much there is now to be taken.
    fn unpack(&mut self, mut packed: &[u8]) -> io::Result<usize> {
        while !packed.is_empty() {
            match self.reader.write(packed)? {
                // That one has ended, and the next begins here.
                0 => {
                    self.more = self.more.checked_sub(1).ok_or(io::ErrorKind::InvalidData)?;
                    self.reader.try_finish()?;
                    let room = self.reader.get_mut();
                    let room = Room { taken: std::mem::take(&mut room.taken), left: room.left };
                    self.reader = GzDecoder::new(room);
                }
                taken => packed = packed.get(taken..).unwrap_or_default(),
            }
        }
        Ok(self.reader.get_ref().taken.len())
    }

    fn taken(&mut self) -> Bytes {
        std::mem::take(&mut self.reader.get_mut().taken).into()
    }

    fn end(&mut self) -> io::Result<Bytes> {
        self.reader.try_finish()?;
        Ok(self.taken())
    }
}

/// At the most a thousand times as many bytes come of it.
const A_LITTLE: usize = 256;
const A_PIECE: usize = 64 * 1024;

fn failed(error: &io::Error) -> EgressError {
    match error.kind() {
        io::ErrorKind::StorageFull => EgressError::TooLarge,
        _ => EgressError::Broken,
    }
}
