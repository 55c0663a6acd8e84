//! What `fields_get` tells of a model's fields.

use super::models::{Field, Model};
use super::wire::Value;

/// Of those fields, or of all; those attributes, or all that the stand-in knows. Fields come in the
/// model's order, attributes in that of their names.
pub fn describe(
    model: Model,
    is_there: impl Fn(&str) -> bool,
    only: Option<&[Value]>,
    attributes: Option<&[Value]>,
) -> Value {
    let listed = |list: Option<&[Value]>, name: &str| {
        list.is_none_or(|list| list.is_empty() || list.iter().any(|item| item.as_text() == Some(name)))
    };
    let fields = model.fields().iter().filter(|(name, _)| is_there(name) && listed(only, name));
    let described = fields.map(|field| {
        let known = attributes_of(field).into_iter().filter(|(name, _)| listed(attributes, name));
        (field.0.into(), Value::Struct(known.map(|(name, value)| (name.into(), value)).collect()))
    });
    Value::Struct(described.collect())
}

fn attributes_of((name, kind): &Field) -> Vec<(&'static str, Value)> {
    let (kind, relation) = kind.split_once(' ').unwrap_or((kind, ""));
    let to_many = kind.ends_with("2many");
    let computed = kind == "monetary" || READ_ONLY.contains(name);
    let mut attributes = vec![("readonly", Value::Bool(computed))];
    if !relation.is_empty() {
        attributes.push(("relation", Value::text(relation)));
    }
    attributes.extend([
        ("required", Value::Bool(REQUIRED.contains(name))),
        ("sortable", Value::Bool(!to_many)),
        ("store", Value::Bool(true)),
        ("string", Value::Text(label(name))),
        ("type", Value::text(kind)),
    ]);
    attributes
}

const READ_ONLY: &[&str] = &["state", "payment_state", "display_name", "create_date", "write_date"];
const REQUIRED: &[&str] = &["state", "move_type", "move_id", "journal_id"];

/// What people see; where Odoo has no name of its own for a field, the field's, made readable.
fn label(name: &str) -> String {
    let own = match name {
        "name" => "Number",
        "state" => "Status",
        "invoice_line_ids" => "Invoice lines",
        "amount_total" => "Total",
        "narration" => "Terms and Conditions",
        "write_date" => "Last Updated on",
        "create_date" => "Created on",
        _ => "",
    };
    if !own.is_empty() {
        return own.to_owned();
    }
    let words = name.trim_end_matches("_ids").trim_end_matches("_id").split('_');
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>())
    };
    words.filter_map(capital).collect::<Vec<_>>().join(" ")
}
