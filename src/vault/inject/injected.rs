//! An answer on its way to its caller, slice by slice. It keeps its read's place until it was taken. Who takes nothing of it
//! for a minute, or too long for all of it, is cut off as soon as another wants the place.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::Error;
use crate::vault::inject::end::Found;
use crate::vault::inject::room::Share;
use crate::vault::inject::running::Place;

/// The next is asked for when most of this is on its way.
const SLICE: usize = 16 * 1024;
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
const LASTS: Duration = Duration::from_secs(300);

/// An answer: `{"records":[…]}`.
pub struct Injected {
    length: usize,
    place: Arc<Place>,
}

/// What is still to be taken, by the process's own clock.
pub(super) struct Rest {
    bytes: Bytes,
    _room: Arc<Share>,
    begun: Duration,
    taken: Duration,
}

impl Injected {
    pub(super) fn new(place: Arc<Place>, found: Found) -> Self {
        let (length, now) = (found.body.len(), place.clock().elapsed());
        *place.rest() = Some(Rest { bytes: found.body, _room: found.room, begun: now, taken: now });
        Self { length, place }
    }

    /// How many bytes it has in all.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The next of it; `None` after the last. An error, where it was cut off: then there is no more.
    pub fn slice(&self) -> Option<Result<Bytes, Error>> {
        let (mut rest, now) = (self.place.rest(), self.place.clock().elapsed());
        match rest.as_mut().filter(|rest| !rest.is_over(now)) {
            Some(rest) if rest.bytes.is_empty() => None,
            Some(rest) => {
                rest.taken = now;
                Some(Ok(rest.bytes.split_to(SLICE.min(rest.bytes.len()))))
            }
            None => {
                *rest = None;
                Some(Err(Error::Unavailable("it was taken too slowly, and cut off".into())))
            }
        }
    }
}

impl Rest {
    pub(super) fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.taken) > TAKEN_WITHIN || now.saturating_sub(self.begun) > LASTS
    }
}
