//! XML-RPC (xmlrpc.com/spec.md) as Odoo speaks it, for answers from a server that a stranger chose:
//! capped in bytes, depth and length, no DTD, errors without content. Why it is our own:
//! `docs/decisions/0001-our-own-xml-rpc.md`.

mod dialect;
mod read;
mod scalar;
mod stream;
mod tag;
mod write;

pub use crate::odoo::caps::Caps;
use crate::odoo::decimal::Decimal;
pub(super) use dialect::{XmlRpc, ask_version, told_version};
pub use read::{Members, Reply, read_records, read_value};
pub use write::{Login, authenticate, execute, version};

/// A value as it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `<nil/>`
    Nil,
    /// `<boolean>`
    Bool(bool),
    /// `<int>`, `<i4>`, `<i8>`
    Int(i64),
    /// `<double>`, finite
    Double(Decimal),
    /// `<string>`, or no type at all
    Text(String),
    /// `<dateTime.iso8601>`, as written
    DateTime(String),
    /// `<base64>`, decoded
    Base64(Vec<u8>),
    /// `<array>`
    Array(Vec<Value>),
    /// `<struct>`, in the order it came, no name twice
    Struct(Vec<(String, Value)>),
}

/// A `<fault>`. Its text is read to find the cause and goes no further.
pub struct Fault {
    /// `faultCode`
    pub code: i64,
    /// `faultString`
    pub text: String,
}

/// Not XML-RPC, or more of it than is taken. Names a rule, never content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// It breaks the format.
    #[error("malformed XML-RPC: {0}")]
    Malformed(&'static str),
    /// It is over a cap.
    #[error("XML-RPC over a cap: {0}")]
    Limit(&'static str),
    /// A text to be sent holds a character that XML 1.0 has no way to write.
    #[error("a character that XML can't carry")]
    Unspeakable,
    /// A domain of one model with the fields of another: it could ask for what may not be read there.
    #[error("a domain of another model than the fields")]
    OtherModel,
}

/// Whether XML 1.0 can carry it (production 2, Char).
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
