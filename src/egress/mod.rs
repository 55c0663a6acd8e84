//! Calls to addresses that a customer typed: public HTTPS hosts and nothing else, judged at each
//! connect, without redirects, within limits. The ground floor: it knows nothing of Odoo.

mod address;
mod client;
mod exceptions;
mod url;

pub use address::is_public;
pub use client::{Answered, Egress, EgressError, Limits, Resolve, tls_cause};
pub use exceptions::{ExceptionRefused, Exceptions};
pub use url::{OdooUrl, UrlRefused};
