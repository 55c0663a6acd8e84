//! The worker: borrow from the vault over its HTTP API, log in to Odoo once, read, write to a sink,
//! hand the lease back, whatever happened. No database of the vault's, no key, no way to say a write.

mod borrow;
mod error;
mod plan;
mod pull;
mod refusal;
mod run;
mod settings;
mod sqlite_sink;
mod step;
mod stop;
mod sweep;
mod table;
mod vault_url;

pub use borrow::Outcome;
pub use error::{SyncError, Verdict};
pub use refusal::{BorrowError, Refusal};
pub use run::{Job, Summary, Worker};
pub use settings::{Settings, SettingsRefused};
pub use sqlite_sink::SinkError;
pub use step::Step;
pub use stop::{Stop, Stopper, stop_pair};
pub use sweep::Swept;
pub use vault_url::{VaultUrl, VaultUrlRefused};
