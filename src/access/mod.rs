//! Who calls and what they may do. A [`Caller`] comes only out of a verified token, a [`Scope`]
//! only out of a caller, and what a role may do only out of the policy: `policies/access.toml`, or a file in its place.

mod action;
mod assertion;
mod caller;
mod client;
mod conditions;
mod explain;
mod host;
mod issuer;
mod jwt;
mod limits;
mod permit;
mod policy;
mod policy_file;
mod principal;
mod recent;
mod scope;
mod standing;
mod strain;
mod token;

pub use action::{Action, Reach};
pub use assertion::{Asserted, Assertion, AssertionRefused};
pub use caller::{Caller, Denied};
pub use client::{Client, Wish, WishRefused};
pub use conditions::{About, Conditions, Unmet};
pub use explain::Explained;
pub use host::Host;
pub use issuer::{Issuer, IssuerKey, KeyTerm, NotASeed, Termed};
pub use limits::{Budget, Limits, MAX_RATE, Rates, Spent, Use};
pub use permit::Permit;
pub use policy::{Grant, Policy, ROLES, Role};
pub use policy_file::PolicyRefused;
pub use principal::{OPERATOR, Operator, Principal};
pub use scope::{Scope, UserScope};
pub use standing::{Revocation, Standing};
pub use strain::{RetryAfter, Strains};
pub use token::{
    Claims, Holder, Issued, LEEWAY, LONGEST_TAKEN, MAX_TOKEN_LIFE, NotIssued, TokenRefused, Tokens,
};
