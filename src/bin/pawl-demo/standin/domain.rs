//! Which records a search finds, in which order: conditions that must all hold, decided where they can
//! be without making the record.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use super::company::{Company, Found};
use super::models::Model;
use super::time::{SECOND, second};
use super::wire::{EMPTY, Value};

/// One comparison.
pub struct Condition {
    field: String,
    operator: String,
    value: Value,
    /// Of a moment: those that it is true of, in microseconds.
    moments: Option<RangeInclusive<i64>>,
}

/// What is wrong with a domain, as Odoo says it.
pub type Wrong = String;

const OPERATORS: &[&str] = &["=", "!=", "<", ">", "<=", ">=", "in", "not in"];
/// The only way into another model that the stand-in knows.
pub const MOVE_TYPE: &str = "move_id.move_type";

impl Condition {
    pub fn parse(from: &Value, model: Model) -> Result<Self, Wrong> {
        let parts = from.as_list().unwrap_or_default();
        let [Value::Text(field), Value::Text(operator), value] = parts else {
            return Err("ValueError: Domain() invalid item in domain".into());
        };
        if !model.has(field) && !(model == Model::Line && field == MOVE_TYPE) {
            return Err(format!("ValueError: Invalid field {}.{field} in condition", model.name()));
        }
        if !OPERATORS.contains(&operator.as_str()) {
            return Err("ValueError: Invalid operator in condition".into());
        }
        let mut moments = None;
        if let Value::Text(text) = value
            && field.ends_with("date")
        {
            let at = second(text).ok_or_else(|| format!("ValueError: Invalid isoformat string: '{text}'"))?;
            moments = ["write_date", "create_date"].contains(&field.as_str()).then_some(at);
        }
        let moments = moments.and_then(|at| within(operator, at));
        Ok(Self { field: field.clone(), operator: operator.clone(), value: value.clone(), moments })
    }

    /// Whether it is about being put away.
    pub fn is_about_active(&self) -> bool {
        self.field == "active"
    }

    /// The ids that it can be true of.
    fn ids(&self) -> RangeInclusive<i64> {
        let ("id", Some(bound)) = (self.field.as_str(), self.value.as_int()) else { return ALL };
        match self.operator.as_str() {
            "=" => bound..=bound,
            "<" => 0..=bound - 1,
            "<=" => 0..=bound,
            ">" => bound.saturating_add(1)..=i64::MAX,
            ">=" => bound..=i64::MAX,
            _ => ALL,
        }
    }

    pub fn holds(&self, id: i64, found: &Found<'_>, company: &Company) -> bool {
        if let (Some(moments), "write_date") = (&self.moments, self.field.as_str()) {
            return moments.contains(&found.written());
        }
        let own = match self.field.as_str() {
            "id" => Value::Int(id),
            MOVE_TYPE => company.move_type(found),
            field => found.field(field),
        };
        if let Some(moments) = &self.moments {
            return own.as_text().and_then(second).is_some_and(|at| moments.contains(&at));
        }
        // A reference is compared by its id.
        let own = match own {
            Value::List(parts) if matches!(parts.as_slice(), [Value::Int(_), Value::Text(_)]) => {
                parts.into_iter().next().unwrap_or(EMPTY)
            }
            own => own,
        };
        let listed = || self.value.as_list().unwrap_or_default().contains(&own);
        match self.operator.as_str() {
            "=" => own == self.value,
            "!=" => own != self.value,
            "in" => listed(),
            "not in" => !listed(),
            operator => matches!(
                (order(&own, &self.value), operator),
                (Some(Ordering::Less), "<" | "<=")
                    | (Some(Ordering::Greater), ">" | ">=")
                    | (Some(Ordering::Equal), "<=" | ">=")
            ),
        }
    }
}

const ALL: RangeInclusive<i64> = 0..=i64::MAX;

/// A bound names a whole second: after it begins with the next.
fn within(operator: &str, at: i64) -> Option<RangeInclusive<i64>> {
    match operator {
        "=" => Some(at..=at + SECOND - 1),
        ">=" => Some(at..=i64::MAX),
        ">" => Some(at + SECOND..=i64::MAX),
        "<" => Some(i64::MIN..=at - 1),
        "<=" => Some(i64::MIN..=at + SECOND - 1),
        _ => None,
    }
}

fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// By what a search is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// By `write_date`, with its hidden part, and backwards if so; and then, or else, by id.
    written: Option<bool>,
    backwards: bool,
}

impl Order {
    /// `id`, `write_date`, or the second and then the first, each with `asc` or `desc`.
    pub fn parse(text: &str, model: Model) -> Result<Self, Wrong> {
        let malformed = || {
            format!(
                "Invalid \"order\" specified ({text}). A valid \"order\" specification is a \
                 comma-separated list of valid field names (optionally followed by asc/desc for the \
                 direction)"
            )
        };
        let mut order = Self::default();
        for (place, part) in text.split(',').map(str::trim).enumerate() {
            let (field, direction) = part.split_once(' ').unwrap_or((part, "asc"));
            let backwards = match direction.trim() {
                "asc" => false,
                "desc" => true,
                _ => return Err(malformed()),
            };
            match (place, field) {
                (_, "id") => order.backwards = backwards,
                (0, "write_date") => order.written = Some(backwards),
                (_, field) if !model.has(field) => {
                    return Err(format!("ValueError: Invalid field '{field}' on model '{}'", model.name()));
                }
                _ => return Err(malformed()),
            }
        }
        Ok(order)
    }
}

/// The ids of what is found, after `offset` of them, at most `limit`.
pub fn search(
    company: &Company,
    model: Model,
    conditions: &[Condition],
    archived: bool,
    order: Order,
    (offset, limit): (usize, usize),
) -> Vec<i64> {
    let bounds = conditions.iter().map(Condition::ids);
    let range = bounds.fold(ALL, |a, b| *a.start().max(b.start())..=*a.end().min(b.end()));
    let fits = |id: i64| {
        let found = company.find(model, id)?;
        let wanted = (archived || !found.is_archived())
            && conditions.iter().all(|condition| condition.holds(id, &found, company));
        wanted.then(|| (found.written(), id))
    };
    let ids = company.walk(model, range);
    let Some(written_backwards) = order.written else {
        let page = |ids: &mut dyn Iterator<Item = i64>| {
            ids.filter_map(fits).skip(offset).take(limit).map(|(_, id)| id).collect()
        };
        return if order.backwards { page(&mut ids.rev()) } else { page(&mut { ids }) };
    };
    let mut found: Vec<(i64, i64)> = ids.filter_map(fits).collect();
    found.sort_unstable_by(|a, b| {
        let by_id = if order.backwards { b.1.cmp(&a.1) } else { a.1.cmp(&b.1) };
        let by_time = if written_backwards { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) };
        by_time.then(by_id)
    });
    found.into_iter().skip(offset).take(limit).map(|(_, id)| id).collect()
}
