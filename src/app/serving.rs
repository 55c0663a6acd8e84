//! A server that listens, and what a running vault looks after again and again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::app::ops::Ops;
use crate::app::setup::StartError;
use crate::app::tls::Shown;
use crate::clock::fill_random;
use crate::http::State;
use crate::vault::Keeper;
use crate::vault::keys::Ring;

/// How often the certificate's files are looked at; on SIGHUP at once.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often the file that freezes this host is looked for, and how often the database is asked about the vault.
const LOOK_FOR_FREEZE: Duration = Duration::from_millis(250);
const FOLLOW_VAULT: Duration = Duration::from_secs(1);
/// A vault that stops takes no longer to tell what it counted: what was not told by then is lost.
const TELL_WITHIN: Duration = Duration::from_secs(5);
/// How often the room on the disk is looked at, and whether the minute of what was counted is over.
const LOOK_AT_RESERVE: Duration = Duration::from_secs(1);
const LOOK_AT_COUNTS: Duration = Duration::from_millis(250);

/// Whether the server stops on SIGTERM and SIGINT by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// It does.
    Heed,
    /// Whoever started it stops it.
    Ignore,
}

/// A server that listens; to be awaited until it stops.
pub struct Serving {
    pub(super) address: SocketAddr,
    pub(super) shown: Option<Arc<Shown>>,
    pub(super) server: actix_web::dev::Server,
    pub(super) ops: Option<Ops>,
    pub(super) keeper: Keeper,
    pub(super) state: web::Data<State>,
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as a URL without a slash at its end.
    pub fn url(&self) -> String {
        let scheme = if self.shown.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where the ops listener listens, if there is one.
    pub fn ops_address(&self) -> Option<SocketAddr> {
        self.ops.as_ref().map(|ops| ops.address)
    }

    /// Runs until it is told to stop; open requests finish, for ten seconds at most. The ops listener
    /// answers until then.
    pub async fn run(self) -> std::io::Result<()> {
        let ops = self.ops.map(|ops| (ops.server.handle(), actix_web::rt::spawn(ops.server)));
        let ended = self.server.await;
        let _ = tokio::time::timeout(TELL_WITHIN, self.state.vault.tell_counts(true)).await;
        if let Some((handle, _)) = ops {
            handle.stop(false).await;
        }
        // Nothing is written any more: what was, is signed and told.
        let _ = actix_web::rt::task::spawn_blocking(|| drop(self.keeper)).await;
        ended
    }
}

/// A vault on a thread of its own, for the demo and the tests.
pub struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Opens and serves `config`; answers once it listens.
    pub fn start(app: App) -> Result<Self, StartError> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                match app.serve(Signals::Ignore) {
                    Ok(serving) => {
                        let _ = sender.send(Ok((serving.address, serving.server.handle())));
                        let _ = serving.run().await;
                    }
                    Err(error) => {
                        let _ = sender.send(Err(error));
                    }
                }
            });
        });
        let (address, handle) = receiver.recv().map_err(|_| StartError::Io {
            what: "the server's thread ended".into(),
            source: std::io::ErrorKind::BrokenPipe.into(),
        })??;
        Ok(Self { address, handle, thread: Some(thread) })
    }

    /// Where it listens, as a URL without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.handle.stop(true));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Looks at the certificate's files again and again, and at SIGHUP, which ends nobody.
pub(super) async fn look_again(shown: Option<Arc<Shown>>) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = hangup.recv() => {}
            _ = ticks.tick() => {}
        }
        let Some(shown) = shown.clone() else { continue };
        let _ = actix_web::rt::task::spawn_blocking(move || shown.look()).await;
    }
}

/// Reads the keys again and again. By up to a fifth earlier or later each time, so that many vaults don't
/// ask their source all at once.
pub(super) async fn follow(ring: Arc<Ring>, every: Duration) {
    loop {
        let mut dice = [0; 1];
        let tenths = fill_random(&mut dice).map_or(10, |()| 8 + u32::from(dice[0] % 5));
        tokio::time::sleep(every * tenths / 10).await;
        ring.refresh().await;
    }
}

/// Sooner than the deadline of any request.
const BEAT: Duration = Duration::from_millis(100);

/// Of a worker: goes off before any timer that a request sets. One that would be the next to go off takes a system call to
/// set, by which tokio wakes the thread that is at it (`runtime::time::Handle::reregister`).
pub(super) async fn beat() {
    let mut ticks = tokio::time::interval(BEAT);
    loop {
        ticks.tick().await;
    }
}

/// Looks for the file that freezes this host, again and again.
pub(super) async fn follow_host(state: web::Data<State>) {
    loop {
        state.vault.follow_host().await;
        tokio::time::sleep(LOOK_FOR_FREEZE).await;
    }
}

/// Lets go of events that are past their time, again and again, by the vault's clock.
pub(super) async fn follow_retention(state: web::Data<State>) {
    let mut looked_at = None;
    loop {
        tokio::time::sleep(FOLLOW_VAULT).await;
        looked_at = state.vault.follow_retention(looked_at).await;
    }
}

/// Tells of credentials that end soon, again and again.
pub(super) async fn follow_expiry(state: web::Data<State>) {
    let mut looked_at = None;
    loop {
        tokio::time::sleep(FOLLOW_VAULT).await;
        looked_at = state.vault.follow_expiry(looked_at).await;
    }
}

/// The same for the whole vault, and puts on record what became of the file.
pub(super) async fn follow_vault(state: web::Data<State>) {
    loop {
        state.vault.follow_vault().await;
        tokio::time::sleep(FOLLOW_VAULT).await;
    }
}

/// Looks at the room on the disk, again and again.
pub(super) async fn follow_reserve(state: web::Data<State>) {
    loop {
        tokio::time::sleep(LOOK_AT_RESERVE).await;
        state.vault.look_at_reserve().await;
    }
}

/// Tells what was counted, once its minute is over.
pub(super) async fn tell_counts(state: web::Data<State>) {
    loop {
        tokio::time::sleep(LOOK_AT_COUNTS).await;
        state.vault.tell_counts(false).await;
    }
}
