//! The only door to the database. What goes through it is named, has a deadline and carries the
//! scope whose rows it may touch; inside there is only insert, find, append, and the ends of rows.

mod batch;
mod connections;
mod db;
mod error;
mod events;
mod lane;
mod leases;
mod open;
#[cfg(feature = "postgres")]
mod postgres;
mod schema;
mod scopes;
mod tx;
mod upkeep;

pub use connections::{NewConnection, StoredConnection};
pub use error::StoreError;
pub use events::StoredEvent;
pub use lane::{Granted, Held, LendAsk, LendRefused, Proof, SealedRow};
pub use leases::{EndLease, StoredLease};
pub use open::Tables;
pub use tx::{Store, Tx};
pub use upkeep::{KeyRow, SealedIssuerKey, Upkeep};
