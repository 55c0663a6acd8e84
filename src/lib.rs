//! Pawl keeps the credentials that a product holds for its customers' Odoo.
//!
//! The way of a request, one way down:
//!
//! ```text
//! http ──▶ access ──▶ vault ──▶ seal      opens and seals, pure
//!                       │  ├──▶ store     the only door to the database
//!                       │  └──▶ audit     what an event is, how events chain, and the log over the chains
//!                       ├─────▶ witness   who else is told what that log said
//!                       └─────▶ odoo ──▶ egress ──▶ the customer's Odoo
//! import ──▶ another product's table of Fernet tokens, whose rows the vault takes in
//! sync ──▶ the vault's HTTP API; odoo ──▶ egress ──▶ the customer's Odoo ──▶ sink
//! ```
//!
//! No query without a scope: what [`access::Scope`] and [`store::Tx`] show of the compiler, `policies/postgres/`
//! says again to the database.
//!
//! Every room may name ids, the clock, secrets and the memory they lie in, bytes that grow, what a credential is, a client's key, and
//! tell the log and the metrics.

pub mod access;
pub mod app;
pub mod audit;
pub mod client_key;
pub mod clock;
pub mod config;
pub mod credential;
pub mod egress;
pub mod error;
pub mod http;
pub mod ids;
pub mod import;
pub mod memory;
pub mod metrics;
pub mod odoo;
pub mod pages;
pub mod process;
pub mod seal;
pub mod secret;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod vault;
pub mod witness;
