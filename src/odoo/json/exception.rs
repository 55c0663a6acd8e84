//! What Odoo tells of an exception: `{"name", "message", "arguments", "context", "debug"}`, alone (JSON-2) or as
//! `data` of an error (JSON-RPC). Two of them are looked at; the traceback is read over, never taken.

use crate::odoo::json::JsonError;
use crate::odoo::json::reader::Reader;

/// Its class and what it says. Read to find the cause, and goes no further.
#[derive(Default)]
pub(in crate::odoo) struct Exception {
    /// `odoo.exceptions.AccessError`; nothing if it was not told.
    pub class: String,
    /// In the user's language; may quote anything.
    pub said: String,
}

impl Exception {
    /// Of the object that comes next.
    pub(in crate::odoo) fn read(reader: &mut Reader, depth: usize) -> Result<Self, JsonError> {
        let mut told = Self::default();
        reader.members(depth, |reader, name, depth| match name {
            "name" => reader.text().map(|class| told.class = class.into_owned()),
            "message" if reader.is_text() => reader.text().map(|said| told.said = said.into_owned()),
            _ => reader.skip(depth),
        })?;
        Ok(told)
    }

    /// Of the error whose `data` it is.
    pub(in crate::odoo) fn read_data(reader: &mut Reader, depth: usize) -> Result<Self, JsonError> {
        let mut told = Self::default();
        reader.members(depth, |reader, name, depth| match name {
            "data" if reader.is_object() => Self::read(reader, depth).map(|data| told = data),
            _ => reader.skip(depth),
        })?;
        Ok(told)
    }
}
