//! What an event is and how events chain: types and hashing, no database.

mod chain;
mod counted;
mod event;

pub use chain::{GENESIS, Hash, link};
pub use counted::Counted;
pub use event::{Actor, AuditEvent, Call, OperatorActor, Outcome, SCHEMA, Subject, Who, member};
