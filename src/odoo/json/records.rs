//! An array of objects as typed records. The records of one answer have the same members in the same order:
//! each name is first held against the one that stood in its place before.

use std::borrow::Cow;

use crate::odoo::caps::Caps;
use crate::odoo::json::reader::Reader;
use crate::odoo::json::{CUT_OFF, JsonError, NOT_JSON, TWICE, WRONG_TYPE};
use crate::odoo::readable::{Fields, Kind};
use crate::odoo::record::{Cell, Record, as_xml_carries};

/// Reads an answer that is nothing but records of `fields`, and hands on each as soon as it is whole.
pub fn read_records(
    answer: &[u8],
    caps: &Caps,
    fields: &Fields,
    take: &mut dyn FnMut(Record),
) -> Result<(), JsonError> {
    let mut reader = Reader::begin(answer, caps)?;
    records(&mut reader, 0, fields, take)?;
    reader.end()
}

/// The same for a value within an answer.
pub(in crate::odoo) fn records(
    reader: &mut Reader,
    depth: usize,
    fields: &Fields,
    take: &mut dyn FnMut(Record),
) -> Result<(), JsonError> {
    let mut shape = Shape::of(fields);
    reader.items(depth, |reader, _| {
        take(shape.record(reader)?);
        Ok(())
    })
}

/// What the members of a record are, and in which order they come.
struct Shape<'f> {
    /// The id, then the fields in the order of the call.
    slots: Vec<Slot<'f>>,
    /// By the place in a record, which slot the member there is for.
    order: Vec<usize>,
    /// By slot, whether the record that is read has had it.
    had: Vec<bool>,
}

#[derive(Clone, Copy)]
enum Slot<'f> {
    Id,
    Field(&'f str, Kind),
}

impl Slot<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Id => "id",
            Self::Field(name, _) => name,
        }
    }
}

impl<'f> Shape<'f> {
    fn of(fields: &'f Fields) -> Self {
        let fields = fields.iter().map(|field| Slot::Field(field.name(), field.kind()));
        let slots: Vec<Slot> = std::iter::once(Slot::Id).chain(fields).collect();
        Self { had: vec![false; slots.len()], slots, order: Vec::new() }
    }

    /// Each member must be there once, of its type, and nothing else.
    fn record(&mut self, reader: &mut Reader) -> Result<Record, JsonError> {
        reader.count()?;
        reader.expect(b'{')?;
        self.had.fill(false);
        let fields = self.slots.iter().skip(1);
        let mut cells: Vec<Cell> = fields.map(|_| Cell::Empty).collect();
        let (mut id, mut place) = (0, 0);
        let mut more = reader.any(b'}')?;
        while more {
            let slot = self.slot(reader, place)?;
            reader.expect(b':')?;
            reader.count()?;
            match (self.slots.get(slot), slot.checked_sub(1).and_then(|at| cells.get_mut(at))) {
                (Some(Slot::Field(_, kind)), Some(empty)) => fill(empty, reader, *kind)?,
                _ => id = reader.int()?,
            }
            place += 1;
            more = reader.another(b'}')?;
        }
        // None twice and none unknown, so that as many are all.
        if place != self.slots.len() {
            return Err(JsonError::Malformed("a record without all its members"));
        }
        if id <= 0 {
            return Err(JsonError::Malformed("an id that is none"));
        }
        Ok(Record { id, cells })
    }

    /// Which slot the member at `place` is for. Takes its name.
    fn slot(&mut self, reader: &mut Reader, place: usize) -> Result<usize, JsonError> {
        let expected = self.order.get(place).copied();
        let is_expected = expected
            .and_then(|slot| self.slots.get(slot))
            .is_some_and(|expected| reader.takes(expected.name()));
        let slot = match expected {
            Some(slot) if is_expected => slot,
            _ => {
                let name = reader.text()?;
                let slot = self.slots.iter().position(|slot| slot.name() == name);
                let slot = slot.ok_or(JsonError::Malformed("a member that was not asked for"))?;
                match self.order.get_mut(place) {
                    Some(before) => *before = slot,
                    None => self.order.push(slot),
                }
                slot
            }
        };
        match self.had.get_mut(slot) {
            Some(had) if !*had => *had = true,
            _ => return Err(TWICE),
        }
        Ok(slot)
    }
}

/// A value, read as what a field of that kind can hold, and made where it stays.
#[inline]
fn fill(empty: &mut Cell, reader: &mut Reader, kind: Kind) -> Result<(), JsonError> {
    let first = reader.peek().ok_or(CUT_OFF)?;
    *empty = match (kind, first) {
        (Kind::Boolean, b't') => {
            reader.word("true")?;
            Cell::Bool(true)
        }
        (Kind::Boolean, b'f') => {
            reader.word("false")?;
            Cell::Bool(false)
        }
        (Kind::Boolean, _) => return Err(WRONG_TYPE),
        (_, b'f') => return reader.word("false"),
        (_, b'n') => return reader.word("null"),
        (Kind::Text | Kind::Html | Kind::Selection | Kind::Date | Kind::Datetime, b'"') => {
            Cell::Text(as_xml_carries(reader.text()?))
        }
        (Kind::Integer, b'-' | b'0'..=b'9') => Cell::Int(reader.int()?),
        (Kind::Float | Kind::Monetary, b'-' | b'0'..=b'9') => Cell::Number(reader.decimal()?),
        (Kind::Many2one, b'[') => {
            let (id, name) = reference(reader)?;
            Cell::Ref { id, name: as_xml_carries(name) }
        }
        (Kind::X2many, b'[') => Cell::Ids(ids(reader)?),
        _ => return Err(WRONG_TYPE),
    };
    Ok(())
}

/// An id and a name; `false` for the name of a record without one.
fn reference<'a>(reader: &mut Reader<'a>) -> Result<(i64, Cow<'a, str>), JsonError> {
    reader.at += 1;
    reader.count()?;
    let id = reader.int()?;
    reader.expect(b',')?;
    reader.count()?;
    let name = match reader.takes_false()? {
        true => Cow::Borrowed(""),
        false => reader.text()?,
    };
    match reader.another(b']')? {
        false => Ok((id, name)),
        true => Err(NOT_JSON),
    }
}

fn ids(reader: &mut Reader) -> Result<Vec<i64>, JsonError> {
    reader.at += 1;
    let mut ids = Vec::new();
    let mut more = reader.any(b']')?;
    while more {
        reader.count()?;
        ids.push(reader.int()?);
        more = reader.another(b']')?;
    }
    Ok(ids)
}
