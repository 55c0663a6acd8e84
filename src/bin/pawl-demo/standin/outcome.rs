//! What a call comes to: a value, or records that are made one by one as they are written, so that a page
//! of thousands takes the room of its text alone.

use super::company::Company;
use super::json;
use super::models::Model;
use super::wire::{self, Value};

/// See above.
pub enum Outcome<'a> {
    Value(Value),
    Records(Records<'a>),
}

impl From<Value> for Outcome<'_> {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

/// Records with some of their fields.
pub struct Records<'a> {
    pub company: &'a Company,
    pub model: Model,
    pub ids: Vec<i64>,
    pub fields: Vec<&'static str>,
    /// Without the names of references.
    pub bare: bool,
    /// What stands in the first field of each instead.
    pub echo: Option<String>,
}

impl Records<'_> {
    /// Each record: the id, then the fields as they were asked for. One that does not exist is left out
    /// in silence.
    fn iter(&self) -> impl Iterator<Item = Value> {
        self.ids.iter().filter_map(|id| {
            let found = self.company.find(self.model, *id)?;
            let mut members = Vec::with_capacity(self.fields.len() + 1);
            members.push(("id".into(), Value::Int(*id)));
            members.extend(self.fields.iter().map(|field| {
                let value = found.field(field);
                ((*field).into(), if self.bare { value.key() } else { value })
            }));
            if let (Some(echo), Some((_, first))) = (&self.echo, members.get_mut(1)) {
                *first = Value::text(echo);
            }
            Some(Value::Struct(members))
        })
    }
}

impl Outcome<'_> {
    /// A whole answer of XML-RPC.
    pub fn xml(&self) -> String {
        match self {
            Self::Value(value) => wire::answer(|out| wire::write(out, value)),
            Self::Records(records) => wire::answer(|out| wire::write_list(out, records.iter())),
        }
    }

    /// As JSON.
    pub fn json(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Value(value) => json::write(&mut out, value),
            Self::Records(records) => json::write_list(&mut out, records.iter()),
        }
        out
    }
}
