//! Calls to addresses that a customer typed: public HTTPS hosts and nothing else, looked up once and judged,
//! without redirects, within limits. The ground floor: it knows nothing of Odoo.

mod allowed;
mod body;
mod call;
mod client;
mod error;
mod exceptions;
mod guard;
mod host;
mod nat64;
mod places;
mod ports;
mod proxy;
mod resolve;
mod tls;
mod url;
mod wire;

pub use allowed::{AllowedHosts, NotAList};
pub use body::Body;
pub use call::{Answer, Answered, Ask, Heard, Hearing, Limits, Redirect, Tap};
pub use client::Egress;
pub use error::EgressError;
pub use exceptions::{ExceptionRefused, Exceptions};
pub use guard::{Guard, Own};
pub use nat64::{Nat64, Nat64Refused};
pub use places::is_public;
pub use ports::{Ports, PortsRefused};
pub use proxy::{Proxy, ProxyRefused};
pub use resolve::Resolve;
pub use tls::tls_cause;
pub use url::{OdooUrl, UrlRefused};
