//! What is asked in one call of a host, what comes back, and within which limits.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use url::Url;
use zeroize::Zeroizing;

use crate::egress::body::Body;
use crate::egress::url::OdooUrl;
use crate::secret::Secret;

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To look the host up and to connect, TLS included.
    pub connect: Duration,
    /// From then on until the answer begins.
    pub first_byte: Duration,
    /// For a whole call.
    pub total: Duration,
    /// The largest head of an answer.
    pub max_head_bytes: usize,
    /// The largest answer, unpacked.
    pub max_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(90),
            total: Duration::from_secs(120),
            max_head_bytes: 32 * 1024,
            max_bytes: 64 * 1024 * 1024,
        }
    }
}

/// One call. Holds secrets: neither printed nor cloned.
pub struct Ask<'a> {
    /// The path, from `/` on, with its query.
    pub path: &'a str,
    /// The body and its media type, posted; without, it is a GET. The buffer is wiped once sent.
    pub body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
    /// The media types that an answer may have. Of another, no body is read.
    pub accepts: &'static [&'static str],
    /// The API key to show.
    pub bearer: Option<&'a Secret>,
    /// What else stands in the head, by names in lower case.
    pub headers: &'a [(&'static str, &'a str)],
}

/// Is told all that comes back: the head of each answer, and what came of its body, unpacked, also of one that nobody
/// wants.
pub trait Tap: Send + Sync {
    /// Whether there is room to keep so many bytes more, waited for: no more of an answer is taken before.
    fn room(&self, bytes: usize) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;

    /// One part of an answer, whole. It is not waited for, so it is quick: what takes long is done later.
    fn hear(&self, part: Bytes);
}

/// What the head of the last answer of an [`Egress`](crate::egress::Egress) said, also to who does not hold that one any
/// more.
#[derive(Clone, Debug, Default)]
pub struct Hearing(Arc<Mutex<Heard>>);

impl Hearing {
    /// The last answer's.
    pub fn last(&self) -> Heard {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn hear(&self, heard: Heard) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = heard;
    }
}

/// What the head of the last answer said beside its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Where it would lead, if it was a redirect.
    pub redirect: Option<Redirect>,
    /// When the server says that it was, as it says it (`Date`).
    pub date: Option<String>,
}

/// What was answered with HTTP 200.
pub struct Answered {
    /// Its `Content-Type`, lower case, without parameters.
    pub media: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What was answered, whatever the status, as far as it was read: its head.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Its `Content-Type`, lower case, without parameters.
    pub media: String,
    /// Where it would lead, if it is a redirect.
    pub redirect: Option<Redirect>,
    /// When the server says that it is, as it says it (`Date`).
    pub date: Option<String>,
    /// The rest of it.
    pub body: Body,
}

/// Where a redirect would lead. It was the server that said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The host, and the port if it says one.
    pub host: String,
    /// The path, without the query.
    pub path: String,
}

impl Redirect {
    pub(super) fn of(url: &OdooUrl, to: &str) -> Option<Self> {
        let to = Url::parse(url.as_str()).ok()?.join(to).ok()?;
        let host = to.host_str().filter(|host| host.len() <= MAX_HOST)?;
        if !matches!(to.scheme(), "http" | "https") {
            return None;
        }
        let host = to.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let path: String = to.path().chars().take(MAX_PATH).collect();
        Some(Self { host, path })
    }
}

/// A name that is longer is none, and words.
const MAX_HOST: usize = 253;

/// So much of a redirect's path is told.
const MAX_PATH: usize = 128;

/// What the server wrote of its own: the reason and the headers, a line each.
pub(super) fn head(response: &Response<Incoming>) -> Vec<u8> {
    let reason = response.extensions().get::<ReasonPhrase>();
    let mut head = reason.map(|reason| reason.as_bytes().to_vec()).unwrap_or_default();
    for (name, value) in response.headers() {
        for part in [b"\n", name.as_str().as_bytes(), b": ", value.as_bytes()] {
            head.extend_from_slice(part);
        }
    }
    head
}
