//! The worker: borrow from the vault over its HTTP API, log in to Odoo once, read, write to a sink,
//! hand the lease back, whatever happened. No database of the vault's, no key, no way to say a write.
//!
//! The way of a run: `run` borrows; `hold` keeps the lease beside it; `pull` takes each part of the `plan`
//! through a `sweep`, a page at a time, into a `sink`.

mod borrow;
mod channel;
mod check;
mod client;
mod error;
mod hold;
mod identity;
mod job;
mod json_lines;
mod missing;
mod plan;
mod pull;
mod refusal;
mod run;
mod settings;
mod sink;
mod sqlite;
mod stamp;
mod step;
mod stop;
mod sweep;
mod token;
mod vault_url;

pub use borrow::Outcome;
pub use client::{Client, ClientKeyRefused};
pub use error::{SyncError, Verdict};
pub use identity::Identity;
pub use job::{Job, Patience, Summary, Target};
pub use refusal::{BorrowError, Refusal};
pub use run::Worker;
pub use settings::{Settings, SettingsRefused};
pub use sink::SinkError;
pub use step::Step;
pub use stop::{Stop, Stopper, stop_pair};
pub use sweep::{Count, Swept};
pub use vault_url::{VaultUrl, VaultUrlRefused};
