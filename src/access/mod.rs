//! Who calls and what they may do. A [`Caller`] comes only out of a verified token, a [`Scope`]
//! only out of a caller, and what a role may do only out of `policies/access.toml`.

mod assertion;
mod caller;
mod client;
mod host;
mod issuer;
mod jwt;
mod policy;
mod principal;
mod scope;
mod standing;
mod token;

pub use assertion::{Asserted, Assertion, AssertionRefused};
pub use caller::{Caller, Denied};
pub use client::{Client, Wish, WishRefused};
pub use host::Host;
pub use issuer::{Issuer, IssuerKey, KeyTerm, NotASeed, Termed};
pub use policy::{Action, Policy, PolicyRefused, Role};
pub use principal::{OPERATOR, Operator, Principal};
pub use scope::{Scope, UserScope};
pub use standing::{Revocation, Standing};
pub use token::{Claims, Holder, Issued, LEEWAY, MAX_TOKEN_LIFE, NotIssued, TokenRefused, Tokens};
