//! XML-RPC as Odoo 19 reads and writes it: the same members, in the same order, on the same lines.

use std::borrow::{Borrow, Cow};
use std::fmt::Write as _;

use quick_xml::Reader;
use quick_xml::escape::{partial_escape, resolve_predefined_entity};
use quick_xml::events::Event;

/// A value on the wire. Odoo says `false` for an empty text, date or reference.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Struct(Vec<(Cow<'static, str>, Value)>),
}

/// What Odoo says for nothing.
pub const EMPTY: Value = Value::Bool(false);

impl Value {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A reference to another record: its id, and what people call it.
    pub fn reference(id: i64, name: impl Into<String>) -> Self {
        Self::List(vec![Self::Int(id), Self::text(name)])
    }

    /// A struct with these members, in this order.
    pub fn structure<const N: usize>(members: [(&'static str, Value); N]) -> Self {
        Self::Struct(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// A number, or what JSON-2 takes for one: its digits.
    pub fn as_number(&self) -> Option<i64> {
        self.as_int().or_else(|| self.as_text()?.parse().ok())
    }

    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// Of a reference, its id; of anything else, itself.
    pub fn key(self) -> Self {
        match self {
            Self::List(mut parts) if matches!(parts.as_slice(), [Self::Int(_), Self::Text(_)]) => {
                parts.swap_remove(0)
            }
            other => other,
        }
    }

    /// The first item of a list; of a reference, the id.
    pub fn first(&self) -> Option<&Value> {
        self.as_list().and_then(<[Value]>::first)
    }

    /// The names of a struct's members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let members: &[(Cow<'static, str>, Value)] = match self {
            Self::Struct(members) => members,
            _ => &[],
        };
        members.iter().map(|(name, _)| name.as_ref())
    }

    pub fn member(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Struct(members) => members.iter().find(|(n, _)| n == name).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// What was called, with what.
pub struct Request {
    pub method: String,
    pub params: Vec<Value>,
}

impl Request {
    /// Reads a `<methodCall>`; `None` if the text is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader::from_str(text);
        let (mut method, mut params) = (String::new(), Vec::new());
        loop {
            match reader.read_event().ok()? {
                Event::Start(tag) => match tag.name().0 {
                    "methodName" => method = content(&mut reader)?,
                    "value" => params.push(value(&mut reader, 0)?),
                    _ => {}
                },
                Event::Eof => break,
                _ => {}
            }
        }
        (!method.is_empty()).then_some(Self { method, params })
    }
}

const MAX_DEPTH: u8 = 16;

/// The rest of a `<value>` that has begun.
fn value(reader: &mut Reader<&[u8]>, depth: u8) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut bare = String::new();
    let mut typed = None;
    loop {
        match reader.read_event().ok()? {
            Event::Text(text) => bare.push_str(&text.xml10_content()),
            Event::GeneralRef(name) => bare.push_str(&resolve(&name)?),
            Event::Empty(tag) if tag.name().0 == "string" => typed = Some(Value::text("")),
            Event::Start(tag) => {
                typed = Some(match tag.name().0 {
                    "string" => Value::Text(content(reader)?),
                    "int" | "i4" | "i8" => Value::Int(content(reader)?.trim().parse().ok()?),
                    "double" => Value::Float(content(reader)?.trim().parse().ok()?),
                    "boolean" => Value::Bool(content(reader)?.trim() == "1"),
                    "array" => list(reader, depth)?,
                    "struct" => members(reader, depth)?,
                    _ => return None,
                });
            }
            Event::End(tag) if tag.name().0 == "value" => return Some(typed.unwrap_or(Value::Text(bare))),
            Event::Eof => return None,
            _ => {}
        }
    }
}

fn list(reader: &mut Reader<&[u8]>, depth: u8) -> Option<Value> {
    let mut items = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) if tag.name().0 == "value" => items.push(value(reader, depth + 1)?),
            Event::End(tag) if tag.name().0 == "array" => return Some(Value::List(items)),
            Event::Eof => return None,
            _ => {}
        }
    }
}

fn members(reader: &mut Reader<&[u8]>, depth: u8) -> Option<Value> {
    let (mut members, mut name) = (Vec::new(), String::new());
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) if tag.name().0 == "name" => name = content(reader)?,
            Event::Start(tag) if tag.name().0 == "value" => {
                members.push((std::mem::take(&mut name).into(), value(reader, depth + 1)?));
            }
            Event::End(tag) if tag.name().0 == "struct" => return Some(Value::Struct(members)),
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// The text up to the end of the element that has begun.
fn content(reader: &mut Reader<&[u8]>) -> Option<String> {
    let mut text = String::new();
    loop {
        match reader.read_event().ok()? {
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(name) => text.push_str(&resolve(&name)?),
            Event::End(_) => return Some(text),
            _ => return None,
        }
    }
}

fn resolve(name: &str) -> Option<String> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).map(String::from);
    }
    resolve_predefined_entity(name).map(str::to_owned)
}

/// An answer that carries what `write` writes.
pub fn answer(write: impl FnOnce(&mut String)) -> String {
    let mut out = String::from("<?xml version=\"1.0\"?>\n<methodResponse>\n<params>\n<param>\n");
    write(&mut out);
    out.push_str("</param>\n</params>\n\n</methodResponse>\n");
    out
}

/// A refusal, which Odoo sends with HTTP 200.
pub fn fault(code: i64, text: &str) -> String {
    let mut out = String::from("<?xml version=\"1.0\"?>\n<methodResponse>\n<fault>\n");
    let fault = Value::structure([("faultCode", Value::Int(code)), ("faultString", Value::text(text))]);
    write(&mut out, &fault);
    out.push_str("</fault>\n\n</methodResponse>\n");
    out
}

/// Without the control characters that XML has no way to say: Odoo drops them.
fn sayable(text: &str) -> Cow<'_, str> {
    let unsayable = |c: char| c < ' ' && !['\t', '\n', '\r'].contains(&c);
    if text.contains(unsayable) { text.replace(unsayable, "").into() } else { text.into() }
}

/// Writes a value.
pub fn write(out: &mut String, value: &Value) {
    // Writing into a String never fails.
    let _ = match value {
        Value::Bool(yes) => write!(out, "<value><boolean>{}</boolean>", u8::from(*yes)),
        Value::Int(int) => write!(out, "<value><int>{int}</int>"),
        // As Python writes it: 3625.0, never 3625.
        Value::Float(float) => write!(out, "<value><double>{float:?}</double>"),
        Value::Text(text) => {
            out.push_str("<value><string>");
            out.push_str(&partial_escape(sayable(text)));
            out.push_str("</string>");
            Ok(())
        }
        Value::List(items) => return write_list(out, items.iter()),
        Value::Struct(members) => {
            out.push_str("<value><struct>\n");
            for (name, value) in members {
                out.push_str("<member>\n<name>");
                out.push_str(&partial_escape(name.as_ref()));
                out.push_str("</name>\n");
                write(out, value);
                out.push_str("</member>\n");
            }
            out.push_str("</struct>");
            Ok(())
        }
    };
    out.push_str("</value>\n");
}

/// Writes a list of what may be made as it is written.
pub fn write_list(out: &mut String, items: impl Iterator<Item = impl Borrow<Value>>) {
    out.push_str("<value><array><data>\n");
    items.for_each(|item| write(out, item.borrow()));
    out.push_str("</data></array></value>\n");
}
