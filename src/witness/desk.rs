//! One thread for what may hang: a file's disk, standard output. Whoever comes while it hangs is told that it is late,
//! and no second thread is begun.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::{Mutex, oneshot};

use crate::witness::{WITHIN, WitnessFailed};

type Work = Box<dyn FnOnce() + Send>;

/// It. The thread ends with the last who may come, once it has done what it is at.
#[derive(Clone)]
pub struct Desk {
    way_in: SyncSender<Work>,
    /// Held by whoever's work is being done.
    turn: Arc<Mutex<()>>,
}

impl Desk {
    pub(super) fn open() -> Result<Self, WitnessFailed> {
        let (way_in, arrived) = sync_channel::<Work>(1);
        let serve = move || arrived.into_iter().for_each(|work| work());
        let begun = std::thread::Builder::new().name("witness".into()).spawn(serve);
        begun.map_err(|error| WitnessFailed::Io(error.to_string()))?;
        Ok(Self { way_in, turn: Arc::default() })
    }

    /// Does `work`, once what was asked before is done.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, WitnessFailed> {
        self.ask_within(WITHIN, work).await
    }

    async fn ask_within<T: Send + 'static>(
        &self,
        bound: Duration,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, WitnessFailed> {
        let asked = async {
            let turn = self.turn.clone().lock_owned().await;
            let (reply, answer) = oneshot::channel();
            let work = move || {
                let done = work();
                drop(turn);
                let _ = reply.send(done);
            };
            let broke_off = || WitnessFailed::Io("the work broke off".into());
            self.way_in.try_send(Box::new(work)).map_err(|_| broke_off())?;
            let done = answer.await.map_err(|_| broke_off())?;
            done.map_err(|error| WitnessFailed::Io(error.to_string()))
        };
        tokio::time::timeout(bound, asked).await.unwrap_or(Err(WitnessFailed::Late))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack on P10.
    #[test]
    fn one_that_hangs_gathers_no_threads() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (desk, soon) = (Desk::open().unwrap(), Duration::from_millis(1));
        let (go_on, hangs) = std::sync::mpsc::channel::<()>();
        let first = runtime.block_on(desk.ask_within(soon, move || Ok(hangs.recv().is_ok())));
        assert_eq!(first, Err(WitnessFailed::Late));
        for _ in 0..20 {
            assert_eq!(runtime.block_on(desk.ask_within(soon, || Ok(()))), Err(WitnessFailed::Late));
        }
        go_on.send(()).unwrap();
        let name = || Ok(std::thread::current().name().map(str::to_owned));
        assert_eq!(runtime.block_on(desk.ask(name)), Ok(Some("witness".into())));
    }
}
