//! The API: reads requests into the vault's words, and its answers into JSON. Holds no rule of its
//! own beside the form of a request.

mod admission;
mod audit;
mod audit_query;
mod checkpoint;
mod checks;
mod connections;
mod deposit_body;
mod docs_page;
mod extract;
mod form;
mod json;
mod keys;
mod leases;
mod line;
mod object;
mod openapi;
mod ops;
mod parameters;
mod problem;
mod question;
mod reads;
mod request;
mod routes;
mod settings;
mod shapes;
mod surface;
mod taken;
mod token;
mod whole;
mod wiped;

use std::sync::Arc;

use crate::access::{Limits, Strains, Tokens};
use crate::clock::Clock;
use crate::vault::{Vault, Watch};

pub use line::Line;
pub use openapi::document;
pub use ops::ops_routes;
pub use problem::Kind;
pub use request::identify;
pub use routes::routes;
pub use surface::{Surface, guarded, screen};

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
    /// How much each of them may ask.
    pub limits: Arc<Limits>,
    /// From where tokens came that were not good.
    pub strains: Strains,
    /// Who is in front.
    pub surface: Surface,
    /// What time it is.
    pub clock: Clock,
}
