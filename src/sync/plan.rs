//! What is pulled: a model is a row here. Which of its fields, and of which type, the readable policy
//! says; the sink makes its table from that.

use std::num::NonZeroU32;

use crate::odoo::{Domain, Fields, NotReadable, Operand, Operator, Order, ReadQuery, Readable};
use crate::sync::stamp::Stamp;
use crate::sync::sweep::{Pass, Place};

/// One model to pull.
struct Row {
    model: &'static str,
    /// A field and the values of it that are wanted; without, every record.
    only: Option<(&'static str, &'static [&'static str])>,
    /// Archived records too.
    archived: bool,
    /// Swept whole by every run.
    always_whole: bool,
}

/// Every state of them: what goes back to draft must not be lost.
const INVOICES: &[&str] = &["out_invoice", "out_refund", "in_invoice", "in_refund"];

/// Parents after what refers to them: the partner of the newest invoice is then there. Whole are the
/// small ones, and products: before Odoo 17 a change of a template does not move the `write_date` of
/// its variants.
const ROWS: &[Row] = &[
    Row { model: "account.move", only: Some(("move_type", INVOICES)), archived: false, always_whole: false },
    Row {
        model: "account.move.line",
        only: Some(("move_id.move_type", INVOICES)),
        archived: false,
        always_whole: false,
    },
    Row { model: "res.partner", only: None, archived: true, always_whole: false },
    Row { model: "product.product", only: None, archived: true, always_whole: true },
    Row { model: "res.currency", only: None, archived: true, always_whole: true },
    Row { model: "account.tax", only: None, archived: true, always_whole: true },
];

/// How many records a call asks for. Suits an Odoo worker's memory and time limits.
const PAGE: NonZeroU32 = count(1_000);
/// How many are asked for by their ids.
pub const AT_ONCE: NonZeroU32 = PAGE;
/// How many, when it is ids and times alone.
const LISTING: NonZeroU32 = count(5_000);

const fn count(records: u32) -> NonZeroU32 {
    match NonZeroU32::new(records) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}

/// The field by which a change is known.
const WRITTEN: &str = "write_date";

/// One model's part of the plan.
pub struct Part {
    domain: Domain,
    fields: Fields,
    written: Fields,
    archived: bool,
    /// Swept whole by every run.
    pub always_whole: bool,
}

/// All of it, in order.
pub fn plan(readable: &Readable) -> Result<Vec<Part>, NotReadable> {
    ROWS.iter()
        .map(|row| {
            let model = readable.model(row.model)?;
            let mut domain = Domain::all(&model);
            if let Some((field, values)) = row.only {
                let values = values.iter().map(|value| (*value).to_owned()).collect();
                domain = domain.and(field, Operator::In, Operand::Texts(values))?;
            }
            let (fields, written) = (model.all(), model.fields(&[WRITTEN])?);
            let (archived, always_whole) = (row.archived, row.always_whole);
            Ok(Part { domain, fields, written, archived, always_whole })
        })
        .collect()
}

impl Part {
    /// The model's name.
    pub fn model(&self) -> &str {
        self.fields.model().name()
    }

    /// What is read of it.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The last record written until `until`: its time alone.
    pub fn newest(&self, until: Stamp) -> Result<ReadQuery, NotReadable> {
        let domain = self.domain.clone().and(WRITTEN, Operator::LessOrEqual, text(until))?;
        Ok(self.query(domain, &self.written, Order::NewestFirst, NonZeroU32::MIN))
    }

    /// The page that follows `place`, lowest ids first. Paged by id: an offset would pass over records
    /// whenever one before it goes.
    pub fn page(&self, place: Place) -> Result<ReadQuery, NotReadable> {
        let mut domain = self.domain.clone().and("id", Operator::Greater, Operand::Int(place.last_id))?;
        if let Pass::Changed { since } = place.pass {
            domain = domain.and(WRITTEN, Operator::GreaterOrEqual, text(since))?;
        }
        let fields = if place.pass == Pass::Listed { &self.written } else { &self.fields };
        Ok(self.query(domain, fields, Order::IdAscending, page_size(place.pass)))
    }

    /// Those records, as far as they are there. By a search: `read` takes seconds for ids that are not.
    pub fn these(&self, ids: Vec<i64>) -> Result<ReadQuery, NotReadable> {
        let domain = self.domain.clone().and("id", Operator::In, Operand::Ints(ids))?;
        Ok(self.query(domain, &self.fields, Order::IdAscending, AT_ONCE))
    }

    /// Which of those are there: their times alone, which every record that is there can show.
    pub fn there(&self, ids: Vec<i64>) -> Result<ReadQuery, NotReadable> {
        let domain = self.domain.clone().and("id", Operator::In, Operand::Ints(ids))?;
        Ok(self.query(domain, &self.written, Order::IdAscending, AT_ONCE))
    }

    fn query(&self, domain: Domain, fields: &Fields, order: Order, limit: NonZeroU32) -> ReadQuery {
        let (fields, archived) = (fields.clone(), self.archived);
        ReadQuery::SearchRead { domain, fields, order, offset: 0, limit, archived }
    }
}

/// How many records a page of that pass asks for.
pub fn page_size(pass: Pass) -> NonZeroU32 {
    match pass {
        Pass::Whole | Pass::Changed { .. } => PAGE,
        Pass::Listed => LISTING,
    }
}

fn text(stamp: Stamp) -> Operand {
    Operand::Text(stamp.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_plan_is_readable() {
        let readable = Readable::embedded().unwrap();
        let plan = plan(&readable).unwrap();
        let models: Vec<&str> = plan.iter().map(Part::model).collect();
        assert_eq!(models, readable.model_names());
        let since = Stamp::parse("2026-11-23 17:19:00").unwrap();
        for part in plan {
            assert!(part.newest(since).is_ok() && part.these(vec![7]).is_ok());
            assert!(part.there(vec![7]).is_ok());
            for pass in [Pass::Whole, Pass::Changed { since }, Pass::Listed] {
                assert!(part.page(Place { pass, last_id: 7 }).is_ok());
            }
        }
    }
}
