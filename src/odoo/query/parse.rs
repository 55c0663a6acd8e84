//! Domains and orders as somebody typed them, into what the policy lets be asked. Each name is judged by the model
//! that it lands on. What is refused is told by its position, never quoted.

use serde_json::Value as Json;

use crate::odoo::query::ask::AskRefused;
use crate::odoo::query::domain::{Condition, Domain, Operand, Operator, Piece};
use crate::odoo::query::order::{Direction, Order, Sorting};
use crate::odoo::readable::{Model, NotReadable, Readable};

/// Conditions and operators of one domain, with those inside it.
pub(super) const MOST_PIECES: usize = 100;
/// Domains inside domains.
const DEEPEST: usize = 4;
/// Fields of an order.
const MOST_SORTS: usize = 4;

/// Reads by a policy, and keeps what was wrong.
pub(super) struct Reading<'a> {
    readable: &'a Readable,
    pieces: usize,
    pub wrong: Vec<AskRefused>,
}

impl<'a> Reading<'a> {
    pub fn by(readable: &'a Readable) -> Self {
        Self { readable, pieces: 0, wrong: Vec::new() }
    }

    pub fn refuse(&mut self, at: impl Into<String>, rule: &'static str, detail: impl Into<String>) {
        self.wrong.push(AskRefused { field: at.into(), rule, detail: detail.into() });
    }

    /// A domain of `model`, in Odoo's notation; `None` when it was refused.
    pub fn domain(&mut self, at: &str, model: &Model, said: &Json) -> Option<Domain> {
        self.domain_below(at, model, said, 0)
    }

    fn domain_below(&mut self, at: &str, model: &Model, said: &Json, depth: usize) -> Option<Domain> {
        let Json::Array(items) = said else {
            self.refuse(at, "shape", "must be a list of conditions and of the operators &, | and !");
            return None;
        };
        self.pieces = self.pieces.saturating_add(items.len());
        if self.pieces > MOST_PIECES || depth > DEEPEST {
            let most = format!("must have at most {MOST_PIECES} conditions and operators, {DEEPEST} deep");
            self.refuse(at, "too_large", most);
            return None;
        }
        let before = self.wrong.len();
        let read = |(n, item)| self.piece(&format!("{at}[{n}]"), model, item, depth);
        let pieces: Vec<Option<Piece>> = items.iter().enumerate().map(read).collect();
        if self.wrong.len() > before {
            return None;
        }
        let domain = Domain::of_pieces(model, pieces.into_iter().collect::<Option<_>>()?);
        if domain.is_none() {
            self.refuse(at, "shape", "must have what each operator joins behind it");
        }
        domain
    }

    fn piece(&mut self, at: &str, model: &Model, said: &Json, depth: usize) -> Option<Piece> {
        match said {
            Json::String(joint) => match joint.as_str() {
                "&" => Some(Piece::Both),
                "|" => Some(Piece::Either),
                "!" => Some(Piece::Not),
                _ => {
                    self.refuse(at, "operator", "must be &, | or !, or a condition");
                    None
                }
            },
            Json::Array(condition) => match condition.as_slice() {
                [Json::String(path), Json::String(operator), value] => {
                    self.condition(at, model, (path, operator, value), depth).map(Piece::Is)
                }
                _ => {
                    self.refuse(at, "shape", "must be a field, an operator and a value");
                    None
                }
            },
            _ => {
                self.refuse(at, "shape", "must be a condition, or one of the operators &, | and !");
                None
            }
        }
    }

    fn condition(
        &mut self,
        at: &str,
        model: &Model,
        (path, operator, value): (&str, &str, &Json),
        depth: usize,
    ) -> Option<Condition> {
        let name = format!("{at}[0]");
        if model.condition_on(path).is_err() {
            self.refuse_name(name, path);
            return None;
        }
        let Some(operator) = Operator::ALL.iter().copied().find(|known| known.as_str() == operator) else {
            let all: Vec<&str> = Operator::ALL.iter().map(|known| known.as_str()).collect();
            self.refuse(format!("{at}[1]"), "operator", format!("must be one of {}", all.join(", ")));
            return None;
        };
        let place = format!("{at}[2]");
        let operand = match operator {
            Operator::Any | Operator::NotAny => {
                let of = model.refers_to(path).and_then(|other| self.readable.model(other).ok());
                let Some(of) = of else {
                    self.refuse(name, "readable", "must refer to a model that may be read");
                    return None;
                };
                Some(Operand::Domain(Box::new(self.domain_below(&place, &of, value, depth + 1)?)))
            }
            _ => operand(value),
        };
        let condition = operand.and_then(|operand| Condition::on(model, path, operator, operand).ok());
        if condition.is_none() {
            self.refuse(place, "operand", "must be a value that this operator compares this field with");
        }
        condition
    }

    fn refuse_name(&mut self, at: String, path: &str) {
        if path.contains('.') {
            self.refuse(at, "path", "must be a path that policies/odoo-readable.toml lists");
        } else {
            self.refuse(at, "readable", NOT_READABLE);
        }
    }

    /// The field of that name of `model`, to be read.
    pub fn field(&mut self, at: String, model: &Model, name: &str) {
        if model.field(name).is_err() {
            self.refuse_name(at, name);
        }
    }

    /// `name, other desc`, by fields of `model`.
    pub fn order(&mut self, model: &Model, said: &str) -> Option<Order> {
        let mut sorts: Vec<(&str, Direction)> = Vec::new();
        for term in said.split(',') {
            let words: Vec<&str> = term.split(' ').filter(|word| !word.is_empty()).collect();
            let sort = match words.as_slice() {
                [name] | [name, "asc"] => (*name, Direction::Ascending),
                [name, "desc"] => (*name, Direction::Descending),
                _ => {
                    self.refuse(
                        "order",
                        "shape",
                        "must be fields, each alone or with asc or desc, and commas",
                    );
                    return None;
                }
            };
            if sorts.iter().any(|(name, _)| *name == sort.0) || sorts.len() == MOST_SORTS {
                self.refuse("order", "too_large", format!("must be at most {MOST_SORTS} fields, each once"));
                return None;
            }
            sorts.push(sort);
        }
        match Sorting::by(model, &sorts) {
            Ok(sorting) => Some(Order::By(sorting)),
            Err(NotReadable(_)) => {
                self.refuse(
                    "order",
                    "readable",
                    "must name fields of the model that may be read and sorted by",
                );
                None
            }
        }
    }
}

/// What a name breaks that the policy lacks.
pub(super) const NOT_READABLE: &str =
    "must be one that policies/odoo-readable.toml, or this org's part of it, names";

fn operand(said: &Json) -> Option<Operand> {
    match said {
        Json::Bool(false) | Json::Null => Some(Operand::Empty),
        Json::Bool(true) => Some(Operand::Bool(true)),
        Json::Number(number) => number.as_i64().map(Operand::Int).or_else(|| match number.is_f64() {
            true => number.as_f64().map(Operand::Float),
            false => None,
        }),
        Json::String(text) => Some(Operand::Text(text.clone())),
        Json::Array(items) => several(items),
        Json::Object(_) => None,
    }
}

fn several(items: &[Json]) -> Option<Operand> {
    let each = items.iter();
    match items.first()? {
        Json::Bool(_) => each.map(Json::as_bool).collect::<Option<_>>().map(Operand::Bools),
        Json::Number(_) => each.map(Json::as_i64).collect::<Option<_>>().map(Operand::Ints),
        Json::String(_) => {
            each.map(|it| it.as_str().map(str::to_owned)).collect::<Option<_>>().map(Operand::Texts)
        }
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}
