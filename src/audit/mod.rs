//! What an event is, how events chain, and the log that stands over the chains: types and hashing, no database.

mod chain;
mod event;
mod log_key;
mod note;
mod tree;

pub use chain::{GENESIS, Hash, leaf, link};
pub use event::{Actor, AuditEvent, Call, OperatorActor, Outcome, SCHEMA, Subject, Who, member};
pub use log_key::{LogKey, NotALogKey};
pub use note::{Checkpoint, MOST_NOTE_BYTES, NoteRefused, VerifierKey, VerifierKeyRefused};
pub use tree::{
    Frontier, Node, Plan, empty_root, leaf_hash, node_hash, verify_consistency, verify_inclusion,
};
