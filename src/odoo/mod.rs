//! The read-only client. There is no way to say a write: methods are an enum of two, models and
//! fields come from `policies/odoo-readable.toml`, and the function that writes a call takes nothing
//! else. The login record that Odoo itself makes is the one exception, once a run.

mod caps;
mod client;
mod decimal;
mod diagnose;
mod dialect;
mod exchange;
mod fault;
mod finding;
mod foresight;
pub mod json;
mod json2;
pub mod jsonrpc;
mod method;
mod probe;
mod query;
mod readable;
mod record;
mod rights;
mod servers;
mod text;
mod version;
pub mod xmlrpc;

pub use caps::Caps;
pub use client::{Address, Credential, NotLoggedIn, Odoo, Unread};
pub use decimal::Decimal;
pub use diagnose::{CHECK_WITHIN, Diagnosis, Found, Login, Subject, diagnose};
pub use dialect::DialectName;
pub use fault::OdooError;
pub use finding::{Code, Finding, Severity};
pub use method::Method;
pub use query::{
    Ask, AskRefused, Condition, Direction, Domain, Operand, Operator, Order, ReadQuery, Sorting,
};
pub use readable::{
    Field, Fields, Kind, Model, Narrowed, NotNarrower, NotReadable, Readable, ReadableRefused,
};
pub use record::{Cell, Record};
pub use servers::{Server, Servers};
pub use text::Text;
pub use version::Version;
