//! The API: reads requests into the vault's words, and its answers into JSON. Holds no rule of its
//! own beside the form of a request.

mod admission;
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
mod shapes;
mod surface;
mod whole;
mod wiped;

use crate::access::{Limits, Strains, Tokens};
use crate::clock::Clock;
use crate::vault::Vault;

pub use admission::{ProxyRefused, TrustedProxies};
pub use openapi::document;
pub use ops::ops_routes;
pub use problem::Kind;
pub use request::identify;
pub use routes::routes;
pub use surface::{OriginRefused, Origins, Surface, guarded, screen};

/// What every handler reaches.
pub struct State {
    /// The vault.
    pub vault: Vault,
    /// Who calls.
    pub tokens: Tokens,
    /// How much each of them may ask.
    pub limits: Limits,
    /// From where tokens came that were not good.
    pub strains: Strains,
    /// Who is in front.
    pub surface: Surface,
    /// What time it is.
    pub clock: Clock,
}
