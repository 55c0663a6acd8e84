//! The API: reads requests into the vault's words, and its answers into JSON. Holds no rule of its
//! own beside the form of a request.

mod audit;
mod checks;
mod connections;
mod deposit_body;
mod docs_page;
mod extract;
mod leases;
mod object;
mod openapi;
mod ops;
mod problem;
mod request;
mod routes;
mod settings;
mod shapes;
mod whole;
mod wiped;

use crate::access::Tokens;
use crate::clock::Clock;
use crate::vault::Vault;

pub use openapi::document;
pub use ops::ops_routes;
pub use problem::Kind;
pub use request::identify;
pub use routes::routes;

/// What every handler reaches.
pub struct State {
    /// The vault.
    pub vault: Vault,
    /// Who calls.
    pub tokens: Tokens,
    /// What time it is.
    pub clock: Clock,
}
