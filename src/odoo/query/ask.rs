//! A question as a caller puts it, by names; and what the policy makes of it.

use std::num::NonZeroU32;

use serde_json::Value as Json;

use crate::odoo::method::Method;
use crate::odoo::query::ReadQuery;
use crate::odoo::query::domain::Domain;
use crate::odoo::query::order::Order;
use crate::odoo::query::parse::{NOT_READABLE, Reading};
use crate::odoo::readable::{Fields, Model, Readable};

/// Records of one answer.
const MOST: u32 = 2_000;
/// Fields of one question; no model has as many that may be read.
const MOST_FIELDS: usize = 100;
/// When the caller names no number.
const DEFAULT: NonZeroU32 = match NonZeroU32::new(100) {
    Some(default) => default,
    None => NonZeroU32::MIN,
};
/// Records to pass over. Odoo counts them one by one.
const FARTHEST: u32 = 10_000_000;

/// A question as it came. Nothing in it is known to be readable.
#[derive(Debug, Default)]
pub struct Ask {
    /// The model.
    pub model: String,
    /// `search_read` or `read`.
    pub method: String,
    /// Its fields.
    pub fields: Vec<String>,
    /// Of `search_read`: which records, in Odoo's notation; all when absent.
    pub domain: Option<Json>,
    /// Of `search_read`: `name, other desc`; by id when absent.
    pub order: Option<String>,
    /// Of `search_read`: how many records to pass over.
    pub offset: Option<u64>,
    /// Of `search_read`: how many at most, 1 to 2,000; 100 when absent.
    pub limit: Option<u64>,
    /// Of `read`: the records.
    pub ids: Option<Vec<i64>>,
}

/// One thing that can't be asked. Names a member or a position in it, never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskRefused {
    /// Where: `domain[2][0]`.
    pub field: String,
    /// The rule's stable name.
    pub rule: &'static str,
    /// The rule.
    pub detail: String,
}

impl Ask {
    /// The call that it is, if `readable` lets all of it be asked; else everything that was wrong.
    pub fn judged_by(&self, readable: &Readable) -> Result<ReadQuery, Vec<AskRefused>> {
        let mut reading = Reading::by(readable);
        let method = Method::ALL.iter().copied().find(|known| known.as_str() == self.method);
        if method.is_none() {
            reading.refuse("method", "one_of", "must be search_read or read");
        }
        let model = readable.model(&self.model).ok();
        if model.is_none() {
            reading.refuse("model", "readable", NOT_READABLE);
        }
        let (Some(method), Some(model)) = (method, model) else { return Err(reading.wrong) };
        let fields = self.fields(&mut reading, &model);
        let query = match method {
            Method::SearchRead => self.search(&mut reading, &model, fields),
            Method::Read => self.read(&mut reading, fields),
        };
        match query {
            Some(query) if reading.wrong.is_empty() => Ok(query),
            _ => Err(reading.wrong),
        }
    }

    /// `id` comes with every record, asked for or not; a call that names nothing else would name no field, which
    /// Odoo takes for all.
    fn fields(&self, reading: &mut Reading, model: &Model) -> Option<Fields> {
        if self.fields.len() > MOST_FIELDS {
            reading.refuse("fields", "max_items", "must name at most 100 fields");
            return None;
        }
        let mut names: Vec<&str> = Vec::new();
        for (n, name) in self.fields.iter().enumerate() {
            if names.contains(&name.as_str()) {
                reading.refuse(format!("fields[{n}]"), "once", "must be named once");
            } else if name != "id" {
                reading.field(format!("fields[{n}]"), model, name);
                names.push(name);
            }
        }
        if names.is_empty() {
            reading.refuse("fields", "not_empty", "must name a field beside id");
        }
        model.fields(&names).ok()
    }

    fn search(&self, reading: &mut Reading, model: &Model, fields: Option<Fields>) -> Option<ReadQuery> {
        if self.ids.is_some() {
            reading.refuse("ids", "method", "is for read: a search_read takes a domain");
        }
        let domain = match &self.domain {
            None => Some(Domain::all(model)),
            Some(said) => reading.domain("domain", model, said),
        };
        let order = match &self.order {
            None => Some(Order::IdAscending),
            Some(said) => reading.order(model, said),
        };
        let offset = self.offset.map_or(Some(0), |offset| in_range(offset, FARTHEST));
        if offset.is_none() {
            reading.refuse("offset", "range", format!("must be from 0 to {FARTHEST}"));
        }
        let limit = match self.limit {
            None => Some(DEFAULT),
            Some(limit) => in_range(limit, MOST).and_then(NonZeroU32::new),
        };
        if limit.is_none() {
            reading.refuse("limit", "range", format!("must be from 1 to {MOST}"));
        }
        Some(ReadQuery::SearchRead {
            domain: domain?,
            fields: fields?,
            order: order?,
            offset: offset?,
            limit: limit?,
            archived: false,
        })
    }

    fn read(&self, reading: &mut Reading, fields: Option<Fields>) -> Option<ReadQuery> {
        let of_search = [
            ("domain", self.domain.is_some()),
            ("order", self.order.is_some()),
            ("offset", self.offset.is_some()),
            ("limit", self.limit.is_some()),
        ];
        for (member, _) in of_search.iter().filter(|(_, is_there)| *is_there) {
            reading.refuse(*member, "method", "is for search_read: a read takes ids");
        }
        let ids = self.ids.clone().unwrap_or_default();
        if ids.is_empty() || ids.len() > usize::try_from(MOST).unwrap_or(usize::MAX) {
            reading.refuse("ids", "range", format!("must be 1 to {MOST} ids"));
        }
        if let Some(n) = ids.iter().position(|id| *id < 1) {
            reading.refuse(format!("ids[{n}]"), "range", "must be 1 or more");
        }
        Some(ReadQuery::Read { ids, fields: fields? })
    }
}

fn in_range(number: u64, most: u32) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| *number <= most)
}
