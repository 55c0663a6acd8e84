//! What an event is, which denials get one of their own, how events chain, and the log over the chains: no database.

mod chain;
mod counted;
mod event;
mod export;
mod glance;
mod kept;
mod log_key;
mod members;
mod note;
mod pruning;
mod slots;
mod tree;
mod verify;
mod verify_begin;
mod verify_export;
mod verify_proof;

pub use chain::{GENESIS, Hash, leaf, link};
pub use counted::Counted;
pub use event::{Actor, AuditEvent, Call, OperatorActor, Outcome, Subject, Who};
pub use export::{
    COLUMNS, EXPORT, Head, Last, Leaf, Line, Since, WitnessedNote, bytes_of, csv_head, csv_line, hex_of,
    line_of, read_line,
};
pub use glance::Glance;
pub use kept::{Kept, KeptLeaf, NothingKept, split_notes};
pub use log_key::{LogKey, NotALogKey};
pub use members::{PRUNE, SCHEMA, member};
pub use note::{Checkpoint, MOST_NOTE_BYTES, NoteRefused, VerifierKey, VerifierKeyRefused, is_signature};
pub use pruning::pruned_at;
pub use slots::{DENIALS_A_MINUTE, Slot, Slots};
pub use tree::{
    Frontier, Node, Plan, empty_root, leaf_hash, node_hash, verify_consistency, verify_inclusion,
};
pub use verify::{Chain, Inquest, Row, Wrong};
pub use verify_begin::Held;
pub use verify_export::{Report, Unreadable, verify_export};
