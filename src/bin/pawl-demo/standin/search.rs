//! A search: the ids of what is found, in the order that was asked for. By id it is a walk along a range;
//! by time, everything that fits is sorted.

use super::company::Company;
use super::domain::{ALL, Term};
use super::models::Model;
use super::refusal::Refusal;

/// By what a search is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// By `write_date`, with its hidden part, and backwards if so; and then, or else, by id.
    written: Option<bool>,
    backwards: bool,
}

impl Order {
    /// `id`, `write_date`, or the second and then the first, each with `asc` or `desc`.
    pub fn parse(text: &str, model: Model) -> Result<Self, Refusal> {
        let malformed = || {
            Refusal::user(format!(
                "Invalid \"order\" specified ({text}). A valid \"order\" specification is a \
                 comma-separated list of valid field names (optionally followed by asc/desc for the \
                 direction)"
            ))
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
                    let message = format!("Invalid field '{field}' on model '{}'", model.name());
                    return Err(Refusal::unforeseen("ValueError", message));
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
    terms: &[Term],
    archived: bool,
    order: Order,
    (offset, limit): (usize, usize),
) -> Vec<i64> {
    let bounds = terms.iter().map(Term::ids);
    let range = bounds.fold(ALL, |a, b| *a.start().max(b.start())..=*a.end().min(b.end()));
    let fits = |id: i64| {
        let found = company.find(model, id)?;
        let wanted =
            (archived || !found.is_archived()) && terms.iter().all(|term| term.holds(id, &found, company));
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
