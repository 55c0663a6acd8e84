//! `policies/odoo-readable.toml`: the models and fields that may be read, and the only source of
//! their names.

mod file;
mod narrow;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

pub use narrow::{Narrowed, NotNarrower};

/// What type Odoo gives a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A text.
    Text,
    /// A text with markup.
    Html,
    /// One of a list of texts.
    Selection,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// An amount of money, as a number.
    Monetary,
    /// True or false.
    Boolean,
    /// `YYYY-MM-DD`.
    Date,
    /// `YYYY-MM-DD HH:MM:SS`, UTC.
    Datetime,
    /// Another record: its id and its name.
    Many2one,
    /// Other records: their ids.
    X2many,
}

/// One readable field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    name: String,
    kind: Kind,
}

impl Field {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// The policy.
pub struct Readable(Vec<Model>);

/// What a check alone may read besides. Nothing outside this room can name it, so no sync can ask for it.
pub(in crate::odoo) struct CheckOnly(Vec<Model>);

/// One readable model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model(Arc<ModelInside>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct ModelInside {
    name: String,
    /// Every sync pulls it, and a check looks for it.
    is_pulled: bool,
    fields: Vec<Field>,
    /// The readable model that a reference leads to.
    references: BTreeMap<String, String>,
    /// A reference, a dot and a field of the model that it leads to, with that field's type.
    paths: BTreeMap<String, Kind>,
}

/// Fields of one model, named for one call. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    model: Model,
    fields: Vec<Field>,
}

/// The policy does not let this be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} may not be read: policies/odoo-readable.toml does not name it")]
pub struct NotReadable(pub String);

/// The policy is not one.
#[derive(Debug, thiserror::Error)]
pub enum ReadableRefused {
    /// Not TOML of that form.
    #[error("policies/odoo-readable.toml: {0}")]
    Form(String),
    /// A model without fields: a call would name none.
    #[error("policies/odoo-readable.toml: {0} has no fields")]
    NoFields(String),
    /// A field whose read writes.
    #[error("policies/odoo-readable.toml: reading {1} of {0} writes")]
    ReadWrites(String, String),
    /// A name that could be more than a name.
    #[error("policies/odoo-readable.toml: {0} is no name of a model or field")]
    NotAName(String),
    /// A reference that is no field that refers to others, or leads to no model of the file.
    #[error("policies/odoo-readable.toml: {1} of {0} does not refer to a readable model")]
    NotAReference(String, String),
    /// A path that is not a reference of its model, a dot, and a readable field of what it refers to.
    #[error("policies/odoo-readable.toml: {1} of {0} is no reference, dot and readable field")]
    NotAPath(String, String),
}

/// Fields whose read commits a write, each seen on a running server.
const READ_WRITES: &[(&str, &str)] = &[("account.move.line", "parent_id")];

const TEXT: &str = include_str!("../../policies/odoo-readable.toml");

impl Readable {
    /// The policy compiled into this binary.
    pub fn embedded() -> Result<Self, ReadableRefused> {
        Self::parse(TEXT)
    }

    fn parse(text: &str) -> Result<Self, ReadableRefused> {
        Ok(Self(file::models(file::read(text)?.model)?))
    }

    /// The model of that name.
    pub fn model(&self, name: &str) -> Result<Model, NotReadable> {
        let found = self.0.iter().find(|model| model.name() == name).cloned();
        found.ok_or_else(|| NotReadable(name.to_owned()))
    }

    /// The names of the models that every sync pulls and a check looks for, in the file's order.
    pub fn model_names(&self) -> Vec<String> {
        self.0.iter().filter(|model| model.0.is_pulled).map(|model| model.name().to_owned()).collect()
    }

    /// The names of all models that may be read, in the file's order.
    pub fn all_names(&self) -> Vec<String> {
        self.0.iter().map(|model| model.name().to_owned()).collect()
    }
}

impl CheckOnly {
    /// The policy compiled into this binary.
    pub(in crate::odoo) fn embedded() -> Result<Self, ReadableRefused> {
        Ok(Self(file::models(file::read(TEXT)?.check)?))
    }

    /// The model of that name.
    pub(in crate::odoo) fn model(&self, name: &str) -> Result<Model, NotReadable> {
        let found = self.0.iter().find(|model| model.name() == name).cloned();
        found.ok_or_else(|| NotReadable(name.to_owned()))
    }
}

impl Model {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Every readable field of it.
    pub fn all(&self) -> Fields {
        Fields { model: self.clone(), fields: self.0.fields.clone() }
    }

    /// Those of its readable fields.
    pub fn fields(&self, names: &[&str]) -> Result<Fields, NotReadable> {
        let fields: Vec<Field> = names.iter().map(|name| self.field(name)).collect::<Result<_, _>>()?;
        if fields.is_empty() {
            return Err(NotReadable(format!("{} without fields", self.name())));
        }
        Ok(Fields { model: self.clone(), fields })
    }

    /// The type of what a condition may name: `id`, a readable field or one of the model's paths.
    pub(super) fn condition_on(&self, name: &str) -> Result<Kind, NotReadable> {
        if name == "id" {
            return Ok(Kind::Integer);
        }
        match self.0.paths.get(name) {
            Some(kind) => Ok(*kind),
            None => self.field(name).map(|field| field.kind),
        }
    }

    /// The name of the readable model that its reference `name` leads to.
    pub(super) fn refers_to(&self, name: &str) -> Option<&str> {
        self.0.references.get(name).map(String::as_str)
    }

    pub(super) fn field(&self, name: &str) -> Result<Field, NotReadable> {
        let found = self.0.fields.iter().find(|field| field.name == name).cloned();
        found.ok_or_else(|| NotReadable(format!("{}.{name}", self.name())))
    }
}

impl Fields {
    /// The model they are of.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Each of them, in the order of the call.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter()
    }
}

#[cfg(test)]
mod tests;
