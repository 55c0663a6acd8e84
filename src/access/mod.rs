//! Who calls and what they may do. A [`Caller`] comes only out of a verified token, a [`Scope`]
//! only out of a caller, and what a role may do only out of `policies/access.toml`.

mod caller;
mod host;
mod jwt;
mod limits;
mod policy;
mod recent;
mod scope;
mod strain;
mod token;

pub use caller::{Caller, Denied};
pub use host::Host;
pub use limits::{Budget, Limits, MAX_RATE, Rates, Spent, Use};
pub use policy::{Action, Policy, PolicyRefused, Role};
pub use scope::{Scope, UserScope};
pub use strain::{RetryAfter, Strains};
pub use token::{Claims, IssuerKey, MAX_TOKEN_LIFE, NotIssued, TokenRefused, Tokens};
