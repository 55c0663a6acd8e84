//! What an org lets be read of what may be: a part of the policy, never more.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::odoo::readable::file::landing;
use crate::odoo::readable::{Model, ModelInside, Readable};

/// Models and the fields of each that may be read.
pub type Narrowed = BTreeMap<String, Vec<String>>;

/// What an org names is no part of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotNarrower {
    /// The model.
    pub model: String,
    /// The position of its field, or `None` when it is the model itself.
    pub field: Option<usize>,
    /// The rule's stable name.
    pub rule: &'static str,
}

impl Readable {
    /// Whether `part` is a part of the policy: its models and fields alone, each once, no model without fields.
    pub fn takes(&self, part: &Narrowed) -> Result<(), Vec<NotNarrower>> {
        let mut wrong = Vec::new();
        for (name, fields) in part {
            let mut refuse = |field, rule| wrong.push(NotNarrower { model: name.clone(), field, rule });
            let Ok(model) = self.model(name) else {
                refuse(None, "readable");
                continue;
            };
            if fields.is_empty() {
                refuse(None, "not_empty");
            }
            for (n, field) in fields.iter().enumerate() {
                if model.field(field).is_err() {
                    refuse(Some(n), "readable");
                } else if fields.iter().take(n).any(|before| before == field) {
                    refuse(Some(n), "once");
                }
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Only what `part` names too: fields, and the references and paths whose every step is left. What a later
    /// policy does not name any more is not brought back.
    pub fn narrowed(&self, part: &Narrowed) -> Self {
        let mut models: Vec<ModelInside> = Vec::new();
        for Model(model) in &self.0 {
            let Some(names) = part.get(&model.name) else { continue };
            let mut left = (**model).clone();
            left.fields.retain(|field| names.contains(&field.name));
            if !left.fields.is_empty() {
                models.push(left);
            }
        }
        let whole = models.clone();
        for model in &mut models {
            let fields = model.fields.clone();
            model.references.retain(|name, to| {
                fields.iter().any(|field| field.name == *name) && whole.iter().any(|other| other.name == *to)
            });
            let mut paths = std::mem::take(&mut model.paths);
            paths.retain(|path, _| landing(path, model, &whole).is_some());
            model.paths = paths;
        }
        Self(models.into_iter().map(|model| Model(Arc::new(model))).collect())
    }
}
