//! Where secrets lie while they are in use: keys in pages that are never swapped out, and, where the system
//! lets the process, every page; what a computation leaves on its stack is written over before anything else
//! is called. What is freed is wiped by the allocator, which each program names.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::sys::mman::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};
use zeroize::{Zeroize, Zeroizing};

/// What the system lets the process keep out of swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// All of its memory, now and later.
    Everything,
    /// The pages that keys lie in.
    Keys,
    /// Nothing.
    Nothing,
}

impl Locked {
    /// For people: what may be swapped out on a machine with these `swaps`, and what to do about it.
    pub fn told(self, swaps: &[String]) -> String {
        let advice = format!("turn swap off ({}), or lift the limit on locked memory", swaps.join(", "));
        match self {
            Self::Everything => "all of it locked, never in swap".into(),
            Self::Keys | Self::Nothing if swaps.is_empty() => "no swap on this machine".into(),
            Self::Keys => format!("keys locked, but secrets may be swapped out: {advice}"),
            Self::Nothing => format!("nothing locked, keys and secrets may be swapped out: {advice}"),
        }
    }
}

static EVERYTHING: AtomicBool = AtomicBool::new(false);

/// Keeps as much out of swap as the limits allow; pages are locked as they are first used, so that the
/// process grows no larger by it. To be called before the first secret is read.
pub fn lock() -> Locked {
    let limit = raised_limit();
    if (limit.is_none() || may_lock_at_will()) && mlockall(on_first_use()).is_ok() {
        EVERYTHING.store(true, Ordering::Relaxed);
        return Locked::Everything;
    }
    if LockedBytes::zeroed(1).is_locked { Locked::Keys } else { Locked::Nothing }
}

/// With any other limit than none a later mapping, such as a thread's stack, could fail; and address space
/// counts, not memory in use.
fn raised_limit() -> Option<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Memlock);
    let _ = setrlimit(Resource::Memlock, Rlimit { current: maximum, maximum });
    maximum
}

fn may_lock_at_will() -> bool {
    capabilities(None).is_ok_and(|held| held.effective.contains(CapabilitySet::IPC_LOCK))
}

/// `MCL_ONFAULT`, which the crate has no name for.
fn on_first_use() -> MlockAllFlags {
    const ON_FAULT: i32 = 4;
    MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | MlockAllFlags::from_bits_retain(ON_FAULT)
}

/// What was locked and is free again: keys are read anew every few minutes, and the limit is not for new
/// pages each time.
static FREE: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// Bytes that are never swapped out, where the limits allow it, and wiped when dropped. They don't move.
pub struct LockedBytes {
    bytes: Zeroizing<Box<[u8]>>,
    is_locked: bool,
}

impl LockedBytes {
    /// Room to be filled.
    pub fn zeroed(length: usize) -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = free.iter().position(|bytes| bytes.len() == length) {
            return Self { bytes: Zeroizing::new(free.swap_remove(at)), is_locked: true };
        }
        drop(free);
        let bytes = Zeroizing::new(vec![0; length].into_boxed_slice());
        let is_locked = EVERYTHING.load(Ordering::Relaxed) || {
            let locked = region::lock(bytes.as_ptr(), bytes.len());
            // For good: a page is locked once, however many keys share it, and would be unlocked for all.
            locked.map(std::mem::forget).is_ok()
        };
        if !is_locked && !swaps().is_empty() {
            tracing::warn!(
                "a key lies in memory that may be swapped out: the limit on locked memory is reached"
            );
        }
        Self { bytes, is_locked }
    }

    /// What is in it.
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// To fill it.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for LockedBytes {
    fn drop(&mut self) {
        if self.is_locked {
            let mut bytes = std::mem::take(&mut *self.bytes);
            bytes.zeroize();
            FREE.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        }
    }
}

/// How deep the computations under keys get, with room to spare; in a test build they get deeper.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 64 * 1024 } else { 16 * 1024 };

/// Does `work`, then writes over the part of the stack that it used.
#[inline(never)]
pub fn on_clean_stack<T>(work: impl FnOnce() -> T) -> T {
    let done = apart(work);
    write_over();
    done
}

#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn write_over() {
    black_box([0_u8; STACK_BYTES]);
}

/// The swap that is on, by name; where the system does not tell, there may be some.
pub fn swaps() -> Vec<String> {
    let Ok(table) = std::fs::read_to_string("/proc/swaps") else {
        return vec!["which /proc/swaps does not tell here".to_owned()];
    };
    table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_complained_of_where_something_may_get_there() {
        let (none, one) = (Vec::new(), vec!["/dev/sda2".to_owned()]);
        for locked in [Locked::Everything, Locked::Keys, Locked::Nothing] {
            assert!(!locked.told(&none).contains("turn swap off"));
            assert_eq!(locked.told(&one).contains("turn swap off (/dev/sda2)"), locked != Locked::Everything);
        }
    }

    #[test]
    fn what_was_computed_is_still_there_after_the_stack_was_cleaned() {
        assert_eq!(on_clean_stack(|| [7_u8; 64].iter().map(|n| u32::from(*n)).sum::<u32>()), 448);
        let mut room = LockedBytes::zeroed(77);
        room.expose_mut().copy_from_slice(&[9; 77]);
        assert_eq!(room.expose(), [9; 77]);
        let (place, is_locked) = (room.expose().as_ptr(), room.is_locked);
        drop(room);
        let again = LockedBytes::zeroed(77);
        assert_eq!(again.expose(), [0; 77]);
        assert_eq!(again.expose().as_ptr() == place, is_locked, "what was locked is used again");
    }
}
