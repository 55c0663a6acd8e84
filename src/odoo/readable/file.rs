//! The policy's file, and what makes it none.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::odoo::readable::{Field, Kind, Model, ModelInside, READ_WRITES, ReadableRefused};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) model: Vec<ModelInFile>,
    #[serde(default)]
    pub(super) check: Vec<ModelInFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelInFile {
    name: String,
    #[serde(default = "yes")]
    pulled: bool,
    fields: BTreeMap<String, Kind>,
    #[serde(default)]
    references: BTreeMap<String, String>,
    #[serde(default)]
    paths: Vec<String>,
}

fn yes() -> bool {
    true
}

pub(super) fn read(text: &str) -> Result<File, ReadableRefused> {
    toml::from_str(text).map_err(|e| ReadableRefused::Form(e.message().to_owned()))
}

pub(super) fn models(named: Vec<ModelInFile>) -> Result<Vec<Model>, ReadableRefused> {
    let (mut models, mut all_paths) = (Vec::new(), Vec::new());
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
        let (references, paths) = (model.references, BTreeMap::new());
        models.push(ModelInside { name: model.name, is_pulled: model.pulled, fields, references, paths });
        all_paths.push(model.paths);
    }
    for model in &models {
        let wrong = model.references.iter().find(|(name, to)| !is_reference(name, to, model, &models));
        if let Some((name, _)) = wrong {
            return Err(ReadableRefused::NotAReference(model.name.clone(), name.clone()));
        }
    }
    let lands = |model: &ModelInside, paths: Vec<String>| {
        let land = |path: String| match landing(&path, model, &models) {
            Some(kind) => Ok((path, kind)),
            None => Err(ReadableRefused::NotAPath(model.name.clone(), path)),
        };
        paths.into_iter().map(land).collect::<Result<BTreeMap<_, _>, _>>()
    };
    let whole = models.iter().zip(all_paths).map(|(model, paths)| {
        let paths = lands(model, paths)?;
        Ok(Model(Arc::new(ModelInside { paths, ..model.clone() })))
    });
    whole.collect()
}

fn is_name(text: &str, joint: u8) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == joint || b == b'_')
}

fn is_reference(name: &str, to: &str, model: &ModelInside, all: &[ModelInside]) -> bool {
    let refers = |f: &Field| f.name == name && matches!(f.kind, Kind::Many2one | Kind::X2many);
    model.fields.iter().any(refers) && all.iter().any(|other| other.name == to)
}

/// The type of what a path leads to: one step, from a reference to a readable field of the model that it leads to.
pub(super) fn landing(path: &str, model: &ModelInside, all: &[ModelInside]) -> Option<Kind> {
    let (reference, name) = path.split_once('.')?;
    let to = model.references.get(reference)?;
    let other = all.iter().find(|other| other.name == *to)?;
    other.fields.iter().find(|field| field.name == name).map(|field| field.kind)
}
