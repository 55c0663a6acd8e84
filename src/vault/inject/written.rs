//! An answer as it is given out: `{"records":[{"id":…,"field":…},…]}`, written record by record.

use std::io::{self, Write};

use bytes::Bytes;

use crate::odoo::{ReadQuery, Record};
use crate::pages::Pages;
use crate::vault::inject::call::MAX_BYTES;

/// What is written so far, unless that is more than may be.
pub(super) struct Written {
    /// `,"name":` of each field. Names of the policy's need no escapes.
    names: Vec<Vec<u8>>,
    body: Option<Pages>,
    is_first: bool,
}

impl Written {
    pub(super) fn of(query: &ReadQuery) -> Self {
        let names =
            query.fields().iter().map(|field| format!(",\"{}\":", field.name()).into_bytes()).collect();
        let mut body = Pages::of_at_most(MAX_BYTES);
        let begun = body.extend(b"{\"records\":[").is_ok();
        Self { names, body: begun.then_some(body), is_first: true }
    }

    pub(super) fn add(&mut self, record: &Record) {
        let comma = if std::mem::take(&mut self.is_first) { "" } else { "," };
        if let Some(body) = &mut self.body
            && add(body, comma, &self.names, record).is_err()
        {
            self.body = None;
        }
    }

    /// All of it; `None` if it is larger than an answer may be.
    pub(super) fn end(self) -> Option<Bytes> {
        let mut body = self.body?;
        body.extend(b"]}").ok()?;
        Some(body.into_bytes())
    }
}

fn add(body: &mut Pages, comma: &str, names: &[Vec<u8>], record: &Record) -> io::Result<()> {
    write!(body, "{comma}{{\"id\":{}", record.id)?;
    for (name, cell) in names.iter().zip(&record.cells) {
        body.extend(name)?;
        serde_json::to_writer(&mut *body, cell)?;
    }
    body.extend(b"}")
}
