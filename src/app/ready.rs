//! Whether a vault on this host is ready, asked of its ops listener: a health check for an image without curl.

use std::net::SocketAddr;
use std::time::Duration;

/// The vault itself answers within a second.
const WITHIN: Duration = Duration::from_secs(3);

/// It is not.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// There is no listener to ask.
    #[error("PAWL_OPS_LISTEN is not set: there is nothing to ask")]
    NoListener,
    /// Nobody answers, or too late.
    #[error("nobody answers on {0} (PAWL_OPS_LISTEN) within 3 s")]
    NoAnswer(SocketAddr),
    /// It says so.
    #[error("not ready: HTTP {0}")]
    Said(u16),
}

/// Asks once.
pub async fn ask_ready(ops_listen: Option<SocketAddr>) -> Result<(), NotReady> {
    let listen = ops_listen.ok_or(NotReady::NoListener)?;
    let no_answer = |_| NotReady::NoAnswer(listen);
    // Fails when it was chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(WITHIN)
        .build()
        .map_err(no_answer)?;
    let answer = client.get(format!("http://{listen}/readyz")).send().await.map_err(no_answer)?;
    match answer.status().as_u16() {
        200 => Ok(()),
        status => Err(NotReady::Said(status)),
    }
}
