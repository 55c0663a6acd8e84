//! The worker: borrow from the vault over its HTTP API, log in to Odoo once, read, write to a sink,
//! hand the lease back, whatever happened. No database of the vault's, no key, no way to say a write.

mod borrow;
mod error;
mod plan;
mod pull;
mod run;
mod settings;
mod sqlite_sink;
mod step;
mod stop;
mod table;

pub use borrow::{BorrowError, Outcome, Refusal, VaultUrl, VaultUrlRefused};
pub use error::{SyncError, Verdict};
pub use run::{Job, Summary, Worker};
pub use settings::{Settings, SettingsRefused};
pub use sqlite_sink::{SinkError, Swept};
pub use step::Step;
pub use stop::{Stop, Stopper, stop_pair};
