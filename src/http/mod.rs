//! The API: reads requests into the vault's words, and its answers into JSON. Holds no rule of its
//! own beside the form of a request.

mod audit;
mod checks;
mod connections;
mod deposit_body;
mod docs_page;
mod extract;
mod form;
mod json;
mod keys;
mod leases;
mod object;
mod openapi;
mod ops;
mod problem;
mod request;
mod routes;
mod settings;
mod shapes;
mod token;
mod whole;
mod wiped;

use std::sync::Arc;

use crate::access::Tokens;
use crate::clock::Clock;
use crate::vault::{Vault, Watch};

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
    /// By what a token is judged now.
    pub watch: Arc<Watch>,
    /// Whom a client's assertion may be for.
    pub audiences: Vec<String>,
    /// What time it is.
    pub clock: Clock,
}
