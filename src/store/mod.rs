//! The only door to the database. What goes through it is named, has a deadline and carries the
//! scope whose rows it may touch; inside there is only insert, find, append, and the ends of rows.

#[cfg(feature = "postgres")]
mod arrays;
mod batch;
mod caps;
mod clients;
mod connections;
mod counted;
mod db;
mod error;
mod events;
mod expiry;
mod freeze;
mod hosts;
mod imports;
mod injection;
mod issuers;
mod keys;
mod lane;
mod leases;
mod lend;
mod log_view;
mod logins;
mod logs;
mod open;
#[cfg(feature = "postgres")]
mod policies;
#[cfg(feature = "postgres")]
mod postgres;
mod proofs;
mod repeats;
mod reseal;
mod reseal_runs;
mod retention;
mod schema;
mod scopes;
mod sealed;
mod standing;
mod still;
#[cfg(feature = "postgres")]
mod tables;
mod terms;
mod trail;
mod transact;
mod tree;
mod turn;
mod tx;
mod unanswered;
mod upkeep;
mod wait;

pub use clients::{Exchange, NotExchanged};
pub use connections::{NewConnection, StoredConnection};
pub use counted::Once;
pub use error::StoreError;
pub use expiry::{EXPIRY_DAYS, Expiring, ExpiryCursor, Told, expiry_days};
pub use freeze::Frozen;
pub use imports::{Entry, Imported};
pub use injection::Injection;
pub use issuers::SealedIssuerKey;
pub use keys::{KeyRow, KeyState, SealedUnder};
pub use leases::{EndLease, StoredLease};
pub use lend::{Granted, Held, LendAsk, LendRefused, SealedRow};
pub use log_view::{LogTable, RawCheckpoint, RawLeaf, RawNode, TrailView};
pub use logins::{LoginClaim, LoginEnd, LoginKey, host};
pub use logs::LogRow;
pub use open::Tables;
pub use proofs::{OrgLeaf, OrgProof, Witnessed};
pub use repeats::{Earlier, First, Kept, Repeat};
pub use reseal::{Placed, Resealed, ToReseal};
pub use reseal_runs::ResealRun;
pub use retention::{PastRetention, Retention};
pub use sealed::{NewCredential, Proof, SealedCredential};
pub use standing::{LOOKS, StoredStanding};
pub use trail::{Boundary, ChainOf, ChainView, Page, RawEvent, Sought, Stretch};
pub use tree::{Grown, Growth, Moved, Sign, StoredCheckpoint};
pub use tx::{Store, Tx};
pub use unanswered::Receipt;
pub use upkeep::Upkeep;
