//! What the process does to keep its memory to itself: no core dump, no reader beside root.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// The system would not let the process protect its memory.
#[derive(Debug, thiserror::Error)]
#[error("could not {what}: {source}")]
pub struct NotHardened {
    what: &'static str,
    source: rustix::io::Errno,
}

/// Sets the core limit to nothing and marks the process undumpable: no core file, and its memory
/// under `/proc` belongs to root. To be called before the first secret is read.
pub fn harden() -> Result<(), NotHardened> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(|source| NotHardened { what: "turn core dumps off", source })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|source| NotHardened { what: "make the process undumpable", source })
}
