//! The log grows and is signed here, on a thread of its own: nobody waits for it, and for no witness. Of several vaults
//! on one database one signs, whichever is first.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::vault::log::Log;
use crate::vault::log::session::{Ended, FOLLOW, Session};

/// A start waits for so long until the witnesses have said what they have.
const BEGIN_WITHIN: Duration = Duration::from_secs(5);

/// A log that is kept, until this is dropped: then what moved since is signed and told, once.
pub struct Keeper {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Begins to keep the log. Answers once the witnesses were asked, or did not answer in time: before that nothing
    /// is to be lent.
    pub fn start(log: Log) -> std::io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (begun, has_begun) = sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Whatever keeps the database or the log from being read: nothing is lent before witnesses were asked.
        log.switch.set_behind(!log.witnesses.is_empty() || !log.doubting.read().is_empty());
        let keep = move || {
            runtime.block_on(keep(Arc::new(log), begun, stopped));
            // Not for a disk that never answers.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("log".into()).spawn(keep)?;
        // Also where it ended, or is late: it says so itself.
        let _ = has_begun.recv_timeout(BEGIN_WITHIN);
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn keep(log: Arc<Log>, begun: SyncSender<()>, mut stop: oneshot::Receiver<()>) {
    let (mut is_said, mut is_first) = (false, true);
    loop {
        let ended = match Session::begin(log.clone(), is_first).await {
            Ok(session) => {
                (is_said, is_first) = (false, false);
                let _ = begun.try_send(());
                session.run(&mut stop).await
            }
            Err(error) => {
                if !std::mem::replace(&mut is_said, true) {
                    tracing::error!(%error, "the trail's log can't be read: no checkpoint is made");
                }
                tokio::select! {
                    _ = &mut stop => Ended::Stopped,
                    () = tokio::time::sleep(FOLLOW) => Ended::OtherLog,
                }
            }
        };
        if ended == Ended::Stopped {
            return;
        }
    }
}
