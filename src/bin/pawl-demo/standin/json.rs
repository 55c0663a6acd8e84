//! JSON as Odoo reads and writes it: Python's spacing, members in the order that the records have.

use std::borrow::Borrow;

use super::wire::{EMPTY, Value};

impl Value {
    /// As text.
    pub fn json(&self) -> String {
        let mut out = String::new();
        write(&mut out, self);
        out
    }

    /// As Python would show it, near enough for a message.
    pub fn python(&self) -> String {
        match self {
            Self::Text(text) => format!("'{text}'"),
            other => other.json(),
        }
    }

    /// Of what came as JSON; Odoo takes `null` for nothing.
    pub fn of_json(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => EMPTY,
            serde_json::Value::Bool(yes) => Self::Bool(*yes),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(int) => Self::Int(int),
                None => Self::Float(number.as_f64().unwrap_or_default()),
            },
            serde_json::Value::String(text) => Self::text(text),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::of_json).collect()),
            serde_json::Value::Object(members) => Self::Struct(
                members.iter().map(|(name, value)| (name.clone().into(), Self::of_json(value))).collect(),
            ),
        }
    }
}

/// Writes a value.
pub fn write(out: &mut String, value: &Value) {
    match value {
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Int(int) => out.push_str(&int.to_string()),
        // As Python writes it: 3625.0, never 3625.
        Value::Float(float) => out.push_str(&format!("{float:?}")),
        Value::Text(text) => string(out, text),
        Value::List(items) => write_list(out, items.iter()),
        Value::Struct(members) => {
            out.push('{');
            for (n, (name, value)) in members.iter().enumerate() {
                out.push_str(if n == 0 { "" } else { ", " });
                string(out, name);
                out.push_str(": ");
                write(out, value);
            }
            out.push('}');
        }
    }
}

/// Writes a list of what may be made as it is written.
pub fn write_list(out: &mut String, items: impl Iterator<Item = impl Borrow<Value>>) {
    out.push('[');
    for (n, item) in items.enumerate() {
        out.push_str(if n == 0 { "" } else { ", " });
        write(out, item.borrow());
    }
    out.push(']');
}

fn string(out: &mut String, text: &str) {
    // A text is always sayable.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}
