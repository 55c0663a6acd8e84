//! A record as it was read: its id, and a typed cell for each field that the call named.

use std::borrow::Cow;

use serde::ser::{Serialize, Serializer};

use crate::odoo::decimal::Decimal;
use crate::odoo::fault::OdooError;
use crate::odoo::readable::{Fields, Kind};
use crate::odoo::text::Text;
use crate::odoo::xmlrpc::{Value, XmlError};

/// One value of one field.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing there (Odoo's `false` for all but booleans).
    Empty,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number or an amount, to its last digit.
    Number(Decimal),
    /// A text, selection, date or datetime.
    Text(Text),
    /// Another record.
    Ref {
        /// Its id.
        id: i64,
        /// Its name as Odoo shows it.
        name: Text,
    },
    /// Other records.
    Ids(Vec<i64>),
}

/// `null` for nothing, a number of its exact text, `[id, "name"]` for a reference, `[id, …]` for several.
impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Empty => serializer.serialize_unit(),
            Self::Bool(it) => it.serialize(serializer),
            Self::Int(it) => it.serialize(serializer),
            Self::Number(it) => it.serialize(serializer),
            Self::Text(it) => it.serialize(serializer),
            Self::Ref { id, name } => (id, name).serialize(serializer),
            Self::Ids(ids) => ids.serialize(serializer),
        }
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: i64,
    /// A cell for each field of the call, in its order.
    pub cells: Vec<Cell>,
}

impl Record {
    /// Takes `members`, as they come, for the `fields` that were asked: each must be there once, of its
    /// type, and nothing beside `id`.
    pub fn of<'a>(
        members: impl IntoIterator<Item = Result<(Cow<'a, str>, Value), XmlError>>,
        fields: &Fields,
    ) -> Result<Self, OdooError> {
        let mut id = None;
        let mut cells: Vec<Option<Cell>> = fields.iter().map(|_| None).collect();
        for member in members {
            let (name, value) = member?;
            if name == "id" {
                match (id, value) {
                    (None, Value::Int(it)) if it > 0 => id = Some(it),
                    _ => return Err(OdooError::Malformed),
                }
                continue;
            }
            let mut asked = fields.iter().zip(&mut cells);
            match asked.find(|(field, _)| field.name() == name) {
                Some((field, empty @ None)) => *empty = Some(cell(field.kind(), value)?),
                _ => return Err(OdooError::Malformed),
            }
        }
        let cells: Option<Vec<Cell>> = cells.into_iter().collect();
        Ok(Self { id: id.ok_or(OdooError::Malformed)?, cells: cells.ok_or(OdooError::Malformed)? })
    }
}

fn cell(kind: Kind, value: Value) -> Result<Cell, OdooError> {
    match (kind, value) {
        (Kind::Boolean, Value::Bool(it)) => Ok(Cell::Bool(it)),
        (Kind::Boolean, _) => Err(OdooError::Malformed),
        (_, Value::Bool(false) | Value::Nil) => Ok(Cell::Empty),
        (
            Kind::Text | Kind::Html | Kind::Selection | Kind::Date | Kind::Datetime,
            Value::Text(it) | Value::DateTime(it),
        ) => Ok(Cell::Text(it.into())),
        (Kind::Integer, Value::Int(it)) => Ok(Cell::Int(it)),
        (Kind::Float | Kind::Monetary, Value::Double(it)) => Ok(Cell::Number(it)),
        (Kind::Float | Kind::Monetary, Value::Int(it)) => Ok(Cell::Number(it.into())),
        (Kind::Many2one, Value::Array(pair)) => match <[Value; 2]>::try_from(pair) {
            Ok([Value::Int(id), Value::Text(name)]) => Ok(Cell::Ref { id, name: name.into() }),
            // a record without a name
            Ok([Value::Int(id), Value::Bool(false)]) => Ok(Cell::Ref { id, name: Text::default() }),
            _ => Err(OdooError::Malformed),
        },
        (Kind::X2many, Value::Array(ids)) => ids
            .into_iter()
            .map(|id| if let Value::Int(id) = id { Ok(id) } else { Err(OdooError::Malformed) })
            .collect::<Result<_, _>>()
            .map(Cell::Ids),
        _ => Err(OdooError::Malformed),
    }
}

/// A text as XML could carry it, so that a record is the same whichever way it came: without the control
/// characters that Odoo's XML-RPC leaves out, and with `\n` for each line end, as XML readers have it.
#[inline]
pub(super) fn as_xml_carries(text: Cow<'_, str>) -> Text {
    match text {
        // In JSON those are escaped or not there.
        Cow::Borrowed(text) => Text::of(text),
        Cow::Owned(text) => cleaned(text),
    }
}

fn cleaned(text: String) -> Text {
    let is_control = |c: char| c < ' ';
    if !text.contains(is_control) {
        return text.into();
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.replace(|c| is_control(c) && c != '\n' && c != '\t', "").into()
}
