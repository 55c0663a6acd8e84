//! JSON (RFC 8259) as Odoo speaks it, for answers from a server that a stranger chose: pulled value by
//! value out of the bytes, capped in depth, length and number, no name twice, errors without content.
//! Records are built straight from it; there is no tree.

mod exception;
mod number;
mod reader;
mod records;
mod text;
mod write;

pub(in crate::odoo) use exception::Exception;
pub use reader::Reader;
pub use records::read_records;
pub(in crate::odoo) use records::records;
pub(in crate::odoo) use write::Writer;

/// Not JSON, or more of it than is taken. Names a rule, never content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It breaks the format, or is not what was asked for.
    #[error("malformed JSON: {0}")]
    Malformed(&'static str),
    /// It is over a cap.
    #[error("JSON over a cap: {0}")]
    Limit(&'static str),
}

const NOT_JSON: JsonError = JsonError::Malformed("not JSON");
const CUT_OFF: JsonError = JsonError::Malformed("it ends too early");
const WRONG_TYPE: JsonError = JsonError::Malformed("a value of another type");
const TWICE: JsonError = JsonError::Malformed("a member twice");

#[cfg(test)]
mod tests;
