//! Which records a search finds: terms that must all hold, decided where they can be without making
//! the record.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use super::company::{Company, Found};
use super::models::Model;
use super::refusal::Refusal;
use super::time::{SECOND, second};
use super::wire::Value;

/// What must be true of a record.
pub enum Term {
    Is(Condition),
    Not(Box<Term>),
    Both(Box<Term>, Box<Term>),
    Either(Box<Term>, Box<Term>),
}

impl Term {
    /// Every term of a domain, in Odoo's prefix notation, which is read from its end; all must hold.
    pub fn parse_all(domain: &[Value], model: Model) -> Result<Vec<Self>, Refusal> {
        let mut terms: Vec<Self> = Vec::new();
        for item in domain.iter().rev() {
            let mut next = || {
                let missing = || Refusal::unforeseen("ValueError", "Domain() missing terms");
                terms.pop().map(Box::new).ok_or_else(missing)
            };
            let term = match item.as_text() {
                Some("!") => Self::Not(next()?),
                Some("&") => Self::Both(next()?, next()?),
                Some("|") => Self::Either(next()?, next()?),
                _ => Self::Is(Condition::parse(item, model)?),
            };
            terms.push(term);
        }
        Ok(terms)
    }

    /// Whether it says anything about being put away.
    pub fn is_about_active(&self) -> bool {
        match self {
            Self::Is(condition) => condition.field == "active",
            Self::Not(term) => term.is_about_active(),
            Self::Both(a, b) | Self::Either(a, b) => a.is_about_active() || b.is_about_active(),
        }
    }

    pub fn holds(&self, id: i64, found: &Found<'_>, company: &Company) -> bool {
        match self {
            Self::Is(condition) => condition.holds(id, found, company),
            Self::Not(term) => !term.holds(id, found, company),
            Self::Both(a, b) => a.holds(id, found, company) && b.holds(id, found, company),
            Self::Either(a, b) => a.holds(id, found, company) || b.holds(id, found, company),
        }
    }

    /// The ids that it can be true of.
    pub fn ids(&self) -> RangeInclusive<i64> {
        match self {
            Self::Is(condition) => condition.ids(),
            _ => ALL,
        }
    }
}

/// One comparison.
pub struct Condition {
    field: String,
    operator: String,
    value: Value,
    /// Of a moment: those that it is true of, in microseconds.
    moments: Option<RangeInclusive<i64>>,
}

const OPERATORS: &[&str] = &["=", "!=", "<", ">", "<=", ">=", "in", "not in", "like", "ilike"];
/// The only way into another model that the stand-in knows.
pub const MOVE_TYPE: &str = "move_id.move_type";

impl Condition {
    fn parse(from: &Value, model: Model) -> Result<Self, Refusal> {
        let wrong = |message: String| Err(Refusal::unforeseen("ValueError", message));
        let parts = from.as_list().unwrap_or_default();
        let [Value::Text(field), Value::Text(operator), value] = parts else {
            return wrong(format!("Domain() invalid item in domain: {}", from.python()));
        };
        let is_known = model.has(field) || (model == Model::Line && field == MOVE_TYPE);
        if !is_known {
            let told = format!("('{field}', '{operator}', {})", value.python());
            return wrong(format!("Invalid field {}.{field} in condition {told}", model.name()));
        }
        if !OPERATORS.contains(&operator.as_str()) {
            return wrong("Invalid operator in condition".into());
        }
        let mut moments = None;
        if let Value::Text(text) = value
            && field.ends_with("date")
        {
            let Some(at) = second(text) else {
                if text.ends_with('Z') {
                    return wrong(format!("expecting only datetimes with no timezone: '{text}'"));
                }
                return wrong(format!("Invalid isoformat string: '{text}'"));
            };
            moments = ["write_date", "create_date"].contains(&field.as_str()).then_some(at);
        }
        let moments = moments.and_then(|at| within(operator, at));
        Ok(Self { field: field.clone(), operator: operator.clone(), value: value.clone(), moments })
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

    fn holds(&self, id: i64, found: &Found<'_>, company: &Company) -> bool {
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
        let own = own.key();
        let listed = || self.value.as_list().unwrap_or_default().contains(&own);
        match self.operator.as_str() {
            "=" => own == self.value,
            "!=" => own != self.value,
            "in" => listed(),
            "not in" => !listed(),
            "like" => contains(&own, &self.value, str::to_owned),
            "ilike" => contains(&own, &self.value, str::to_lowercase),
            operator => matches!(
                (order(&own, &self.value), operator),
                (Some(Ordering::Less), "<" | "<=")
                    | (Some(Ordering::Greater), ">" | ">=")
                    | (Some(Ordering::Equal), "<=" | ">=")
            ),
        }
    }
}

pub const ALL: RangeInclusive<i64> = 0..=i64::MAX;

fn contains(own: &Value, part: &Value, fold: fn(&str) -> String) -> bool {
    own.as_text().zip(part.as_text()).is_some_and(|(own, part)| fold(own).contains(&fold(part)))
}

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
