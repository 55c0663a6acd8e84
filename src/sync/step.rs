//! What a run tells of itself while it runs, for whoever shows it.

use crate::clock::Moment;
use crate::odoo::{DialectName, Version};
use crate::sync::refusal::BorrowError;
use crate::sync::sweep::Swept;

/// What a run tells of itself while it runs.
pub enum Step<'a> {
    /// A run that died goes on.
    Continued,
    /// Another run holds the connection.
    Waiting {
        /// At the latest until then.
        until: Moment,
    },
    /// The credential is borrowed.
    Borrowed,
    /// Odoo took it.
    LoggedIn {
        /// Which Odoo it is.
        version: Version,
        /// What is spoken with it.
        dialect: DialectName,
    },
    /// So many records of a model are in the sink.
    Pulling {
        /// The model.
        model: &'a str,
        /// How many.
        records: u64,
    },
    /// A call failed for a cause that passes, and is made again.
    Retrying {
        /// The model.
        model: &'a str,
        /// The cause's stable name.
        cause: &'static str,
    },
    /// A model is in the sink, whole.
    Pulled {
        /// The model.
        model: &'a str,
        /// What that did.
        swept: &'a Swept,
    },
    /// The lease could not be handed back; it ends by itself.
    NotHandedBack(&'a BorrowError),
}
