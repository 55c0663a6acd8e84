//! `policies/odoo-readable.toml`: the models and fields that may be read, and the only source of
//! their names.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

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

#[derive(Debug, PartialEq, Eq)]
struct ModelInside {
    name: String,
    fields: Vec<Field>,
    paths: Vec<String>,
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
    /// A path that is not a reference of its model, a dot, and a readable field.
    #[error("policies/odoo-readable.toml: {1} of {0} is no reference, dot and readable field")]
    NotAPath(String, String),
}

/// Fields whose read commits a write, each seen on a running server.
const READ_WRITES: &[(&str, &str)] = &[("account.move.line", "parent_id")];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    model: Vec<ModelInFile>,
    #[serde(default)]
    check: Vec<ModelInFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelInFile {
    name: String,
    fields: BTreeMap<String, Kind>,
    #[serde(default)]
    paths: Vec<String>,
}

impl Readable {
    /// The policy compiled into this binary.
    pub fn embedded() -> Result<Self, ReadableRefused> {
        Self::parse(include_str!("../../policies/odoo-readable.toml"))
    }

    fn parse(text: &str) -> Result<Self, ReadableRefused> {
        Ok(Self(models(file(text)?.model)?))
    }

    /// The model of that name.
    pub fn model(&self, name: &str) -> Result<Model, NotReadable> {
        let found = self.0.iter().find(|model| model.name() == name).cloned();
        found.ok_or_else(|| NotReadable(name.to_owned()))
    }

    /// The names of all models, in the file's order.
    pub fn model_names(&self) -> Vec<String> {
        self.0.iter().map(|model| model.name().to_owned()).collect()
    }
}

impl CheckOnly {
    /// The policy compiled into this binary.
    pub(in crate::odoo) fn embedded() -> Result<Self, ReadableRefused> {
        Ok(Self(models(file(include_str!("../../policies/odoo-readable.toml"))?.check)?))
    }

    /// The model of that name.
    pub(in crate::odoo) fn model(&self, name: &str) -> Result<Model, NotReadable> {
        let found = self.0.iter().find(|model| model.name() == name).cloned();
        found.ok_or_else(|| NotReadable(name.to_owned()))
    }
}

fn file(text: &str) -> Result<File, ReadableRefused> {
    toml::from_str(text).map_err(|e| ReadableRefused::Form(e.message().to_owned()))
}

fn models(named: Vec<ModelInFile>) -> Result<Vec<Model>, ReadableRefused> {
    let mut models = Vec::new();
    for model in named {
        if !is_name(&model.name, b'.') {
            return Err(ReadableRefused::NotAName(model.name));
        }
        if model.fields.is_empty() {
            return Err(ReadableRefused::NoFields(model.name));
        }
        let mut fields = Vec::new();
        for (name, kind) in model.fields {
            if !is_name(&name, b'_') {
                return Err(ReadableRefused::NotAName(name));
            }
            if READ_WRITES.contains(&(model.name.as_str(), name.as_str())) {
                return Err(ReadableRefused::ReadWrites(model.name, name));
            }
            fields.push(Field { name, kind });
        }
        models.push(ModelInside { name: model.name, fields, paths: model.paths });
    }
    for model in &models {
        if let Some(path) = model.paths.iter().find(|path| !is_path(path, model, &models)) {
            return Err(ReadableRefused::NotAPath(model.name.clone(), path.clone()));
        }
    }
    Ok(models.into_iter().map(|model| Model(Arc::new(model))).collect())
}

fn is_name(text: &str, joint: u8) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == joint || b == b'_')
}

/// One step, from a reference that may be read to a field that some model lets be read, and to none
/// that has the name of one whose read writes.
fn is_path(path: &str, model: &ModelInside, all: &[ModelInside]) -> bool {
    let Some((reference, field)) = path.split_once('.') else { return false };
    let refers = |f: &Field| f.name == reference && f.kind == Kind::Many2one;
    let is_readable = all.iter().flat_map(|m| &m.fields).any(|f| f.name == field);
    let writes = READ_WRITES.iter().any(|(_, name)| *name == field);
    model.fields.iter().any(refers) && is_readable && !writes
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

    /// Whether a condition may name it: `id`, a readable field or one of the model's paths.
    pub(super) fn condition_on(&self, name: &str) -> Result<(), NotReadable> {
        if name == "id" || self.0.paths.iter().any(|path| path == name) {
            return Ok(());
        }
        self.field(name).map(drop)
    }

    fn field(&self, name: &str) -> Result<Field, NotReadable> {
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
mod tests {
    use super::*;

    /// Attack on P6.
    #[test]
    fn nothing_is_readable_but_what_the_file_names() {
        let readable = Readable::embedded().unwrap();
        assert_eq!(
            readable.model_names(),
            [
                "account.move",
                "account.move.line",
                "res.partner",
                "product.product",
                "res.currency",
                "account.tax"
            ]
        );
        for check_alone in ["res.users", "res.groups", "ir.model.access"] {
            assert!(readable.model(check_alone).is_err());
            assert!(CheckOnly::embedded().unwrap().model(check_alone).is_ok());
        }
        let lines = readable.model("account.move.line").unwrap();
        assert!(lines.fields(&["parent_id"]).is_err());
        assert!(lines.fields(&["move_id.move_type"]).is_err(), "a path is for conditions alone");
        assert!(lines.condition_on("move_id.move_type").is_ok());
        for path in ["move_id.state", "move_id", "id", "move_id.move_type.x", "parent_id", "parent_id.id"] {
            assert_eq!(lines.condition_on(path).is_ok(), matches!(path, "move_id" | "id"), "{path}");
        }
        let moves = readable.model("account.move").unwrap();
        assert!(moves.fields(&["name", "write_date"]).is_ok());
        assert!(moves.fields(&["name", "access_token"]).is_err());
        assert!(moves.fields(&[]).is_err());
    }

    /// Attack on P6.
    #[test]
    fn a_policy_that_would_write_or_name_nothing_is_refused() {
        let line = |field: &str| {
            format!("[[model]]\nname = \"account.move.line\"\n[model.fields]\n{field} = \"many2one\"")
        };
        assert!(Readable::parse(&line("move_id")).is_ok());
        assert!(matches!(Readable::parse(&line("parent_id")), Err(ReadableRefused::ReadWrites(..))));
        let path = |path: &str| {
            format!(
                "[[model]]\nname = \"a\"\npaths = [\"{path}\"]\n[model.fields]\nr = \"many2one\"\nt = \"text\""
            )
        };
        assert!(Readable::parse(&path("r.t")).is_ok());
        let of_partner = path("r.parent_id").replace("t = \"text\"", "parent_id = \"many2one\"");
        assert!(matches!(Readable::parse(&of_partner), Err(ReadableRefused::NotAPath(..))));
        for wrong in ["r", "r.", ".t", "r.x", "t.r", "x.t", "r.r.t", "r.parent_id", "r.t,x", "r. t", ""] {
            assert!(matches!(Readable::parse(&path(wrong)), Err(ReadableRefused::NotAPath(..))), "{wrong}");
        }
        for wrong in [
            "[[model]]\nname = \"a\"\n[model.fields]",
            "[[model]]\nname = \"a'); write(\"\n[model.fields]\nx = \"text\"",
            "[[model]]\nname = \"a\"\n[model.fields]\n\"x,y\" = \"text\"",
            "[[model]]\nname = \"a\"\n[model.fields]\nx = \"binary\"",
            "[[model]]\nname = \"a\"\nmethods = [\"write\"]\n[model.fields]\nx = \"text\"",
            "nothing",
        ] {
            assert!(Readable::parse(wrong).is_err(), "{wrong}");
        }
    }
}
