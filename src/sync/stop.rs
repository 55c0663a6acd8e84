//! The wish to stop: raised once, seen at every wait.

use tokio::sync::watch;

/// Raises the wish.
pub struct Stopper(watch::Sender<bool>);

/// Sees it.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

/// Both ends.
pub fn stop_pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// From now on every [`Stop`] says so.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether to stop.
    pub fn is_raised(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is time to stop; for ever if nobody can say so any more.
    pub async fn raised(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
