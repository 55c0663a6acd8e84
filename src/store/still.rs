//! Whether the database takes anything: somebody saw it stand still, and nothing has become durable since. A change
//! that has waited for as long as a lend may is not waited for then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// As long as a lend may wait.
const PATIENCE: Duration = Duration::from_millis(240);

/// Seen by all who wait.
pub(super) struct Motion(watch::Sender<Seen>);

#[derive(Default)]
struct Seen {
    is_still: bool,
    /// When something last became durable.
    moved: Option<Instant>,
}

impl Motion {
    pub(super) fn new() -> Self {
        Self(watch::Sender::default())
    }

    /// Something became durable.
    pub(super) fn moved(&self) {
        self.0.send_if_modified(|seen| {
            seen.moved = Some(Instant::now());
            std::mem::replace(&mut seen.is_still, false)
        });
    }

    /// Somebody waited since `asked` for as long as they may, and nothing came of it. That the database stands still it
    /// shows where nothing of others' became durable since: it may be a queue of their own that they stood in.
    pub(super) fn stood_still(&self, asked: Instant) {
        self.0.send_if_modified(|seen| {
            let has_moved = seen.moved.is_some_and(|moved| moved > asked);
            !has_moved && !std::mem::replace(&mut seen.is_still, true)
        });
    }

    /// Answers once who has waited since `asked` need not wait any longer.
    pub(super) async fn is_still(&self, asked: Instant) {
        sleep_until(asked + PATIENCE).await;
        // The sender is this one's own, and outlives it.
        let _ = self.0.subscribe().wait_for(|seen| seen.is_still).await;
    }
}

/// Until when something is worth doing: to its time, or until who asked has given up.
pub(super) struct Until {
    pub(super) asked: Instant,
    pub(super) at: Instant,
    is_given_up: AtomicBool,
}

impl Until {
    pub(super) fn new(deadline: Duration) -> Self {
        let asked = Instant::now();
        Self { asked, at: asked + deadline, is_given_up: AtomicBool::new(false) }
    }

    pub(super) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_given_up.load(Ordering::SeqCst) || Instant::now() >= self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_waited_for(motion: &Motion, asked: Instant) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let waiting = async {
            tokio::select! {
                biased;
                () = motion.is_still(asked) => false,
                () = tokio::task::yield_now() => true,
            }
        };
        runtime.block_on(waiting)
    }

    #[test]
    fn a_change_is_waited_for_while_the_database_moves_or_it_has_not_waited_long() {
        let (motion, now) = (Motion::new(), Instant::now());
        let long_ago = now.checked_sub(PATIENCE).unwrap();
        assert!(is_waited_for(&motion, long_ago));
        motion.stood_still(now);
        assert!(!is_waited_for(&motion, long_ago));
        assert!(is_waited_for(&motion, now + PATIENCE));
        motion.moved();
        assert!(is_waited_for(&motion, long_ago));
    }

    /// Attack on P10.
    #[test]
    fn one_orgs_queue_makes_no_other_orgs_change_wait_for_less() {
        let (motion, now) = (Motion::new(), Instant::now());
        let long_ago = now.checked_sub(PATIENCE).unwrap();
        motion.moved();
        motion.stood_still(long_ago);
        assert!(is_waited_for(&motion, long_ago), "something was committed while they waited");
        motion.stood_still(now + PATIENCE);
        assert!(!is_waited_for(&motion, long_ago));
    }
}
