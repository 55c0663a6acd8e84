//! An endpoint that checkpoints are posted to, and that gives the newest back, or more of them. It is asked nothing else, follows
//! nowhere, and is cut off when it is slow or says too much.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use futures_util::StreamExt;
use reqwest::header::CONTENT_TYPE;
use url::Url;

use crate::audit::MOST_NOTE_BYTES;
use crate::witness::notes::{Gathered, Sought, gather};
use crate::witness::{WITHIN, WitnessFailed};

/// An endpoint.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    url: Url,
}

impl Http {
    pub(super) fn new(url: Url) -> Result<Self, WitnessFailed> {
        // Fails when it was chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .referer(false)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(WITHIN)
            .resolve("localhost", SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
            .build()
            .map_err(|_| WitnessFailed::Io("no TLS root certificates on this machine".into()))?;
        Ok(Self { client, url })
    }

    /// Posts the note; any 2xx says that it was taken.
    pub(super) async fn give(&self, note: &str) -> Result<(), WitnessFailed> {
        let post = self.client.post(self.url.clone()).header(CONTENT_TYPE, "text/plain; charset=utf-8");
        let answer = post.body(note.to_owned()).send().await.map_err(|error| failed(&error))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(WitnessFailed::Status(status.as_u16())),
        }
    }

    /// Gets what it has of what is `sought`; 404 says that there is nothing. What is there and says nothing that is
    /// believed is not written over.
    pub(super) async fn ask(&self, sought: &Sought) -> Result<Gathered, WitnessFailed> {
        let answer = self.client.get(self.url.clone()).send().await.map_err(|error| failed(&error))?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Ok(Gathered::default()),
            status => return Err(WitnessFailed::Status(status)),
        }
        let (mut body, mut pieces, mut is_partial) = (Vec::new(), answer.bytes_stream(), false);
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece.map_err(|error| failed(&error))?);
            if body.len() > MOST_NOTE_BYTES {
                is_partial = true;
                break;
            }
        }
        let gathered =
            gather(body.as_slice(), sought).map_err(|error| WitnessFailed::Io(error.to_string()))?;
        match (gathered.is_nothing(), is_partial) {
            (true, true) => Err(WitnessFailed::TooLong),
            (true, false) => Err(WitnessFailed::NotBelieved),
            (false, _) => Ok(Gathered { is_partial, ..gathered }),
        }
    }
}

fn failed(error: &reqwest::Error) -> WitnessFailed {
    if error.is_timeout() { WitnessFailed::Late } else { WitnessFailed::Away }
}
