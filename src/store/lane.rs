//! The lane: one thread with a connection of its own, which turns whatever lends have arrived into one
//! transaction and answers them when it is durable. No timer: while one batch is written, the next
//! gathers.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::lend::{Granted, LendAsk, answer};
use crate::store::open::Opener;
use crate::store::scopes::Scopes;
use crate::store::tx::{Store, Writers, transact};

/// How many lends one transaction takes at most.
const BATCH: usize = 64;
/// How many may wait. More than that many come in the time of a lend's deadline only when the database
/// stands still.
const WAITING: usize = 1024;

/// The way in. Dropped, it waits for the thread to end.
pub(super) struct Lane {
    way_in: Option<mpsc::Sender<Waiting>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Waiting {
    ask: LendAsk,
    reply: oneshot::Sender<Result<Granted, StoreError>>,
}

impl Store {
    /// Grants or refuses the ask. When this answers, the record of the answer is durable; when it fails,
    /// no secret may be sent, and whether a lease was granted is unknown.
    pub async fn lend(&self, ask: LendAsk, deadline: Duration) -> Result<Granted, StoreError> {
        let (reply, answer) = oneshot::channel();
        let way_in = self.lane.way_in.as_ref().ok_or(StoreError::Unavailable("the lane is closed"))?;
        way_in.try_send(Waiting { ask, reply }).map_err(|_| StoreError::Unavailable("too many wait"))?;
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::Unavailable("the lane broke off")),
            Err(_) => Err(StoreError::Unavailable("deadline")),
        }
    }
}

impl Lane {
    pub(super) fn open(opener: Opener, writers: Writers) -> Result<Self, StoreError> {
        let failed = |e: std::io::Error| StoreError::NoDatabase(e.to_string());
        let (way_in, arrived) = mpsc::channel(WAITING);
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(failed)?;
        let run = move || runtime.block_on(serve(opener, writers, arrived));
        let thread = std::thread::Builder::new().name("lane".into()).spawn(run).map_err(failed)?;
        Ok(Self { way_in: Some(way_in), thread: Some(thread) })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        drop(self.way_in.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(opener: Opener, writers: Writers, mut arrived: mpsc::Receiver<Waiting>) {
    let mut db = None;
    while let Some(first) = arrived.recv().await {
        // What arrives while another writes goes into the same batch.
        let _place = writers.place().await;
        let mut batch = vec![first];
        while batch.len() < BATCH {
            let Ok(next) = arrived.try_recv() else { break };
            batch.push(next);
        }
        // Nobody waits for it any more: they were told 503, so nothing is lent.
        batch.retain(|waiting| !waiting.reply.is_closed());
        if !batch.is_empty() {
            write(&opener, &mut db, batch);
        }
    }
}

fn write(opener: &Opener, db: &mut Option<Db>, batch: Vec<Waiting>) {
    let (asks, replies): (Vec<_>, Vec<_>) = batch.into_iter().map(|w| (w.ask, w.reply)).unzip();
    let answers = match lend(opener, db, &asks) {
        // One damaged row must not be everybody's refusal.
        Err(StoreError::Damaged(_)) if asks.len() > 1 => {
            asks.chunks(1).flat_map(|alone| to_each(lend(opener, db, alone), 1)).collect()
        }
        lent => to_each(lent, asks.len()),
    };
    for (reply, answer) in replies.into_iter().zip(answers) {
        let _ = reply.send(answer);
    }
}

/// An answer for each of `asks`; a failure is everybody's.
fn to_each(lent: Result<Vec<Granted>, StoreError>, asks: usize) -> Vec<Result<Granted, StoreError>> {
    match lent {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) => vec![error; asks].into_iter().map(Err).collect(),
    }
}

/// All asks in one transaction. A connection on which something failed is not used again.
fn lend(opener: &Opener, held: &mut Option<Db>, asks: &[LendAsk]) -> Result<Vec<Granted>, StoreError> {
    use diesel::r2d2::ManageConnection;
    let mut db = match held.take() {
        Some(db) => db,
        None => opener.connect().map_err(|_| StoreError::Unavailable("no connection"))?,
    };
    let scopes: Scopes = asks.iter().map(|ask| &ask.scope).collect();
    let answers = transact(&mut db, "lend", Access::Write, &scopes, |db| {
        asks.iter().map(|ask| answer(db, ask)).collect()
    })?;
    *held = Some(db);
    Ok(answers)
}
