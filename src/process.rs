//! What the process asks of the system for itself: memory that nobody reads beside root, no core dump, and its files.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

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

/// Takes as many open files as the host lets it have: each connection is two, and what hosts begin with is for a shell.
pub fn open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
