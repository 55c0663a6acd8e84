//! What is pulled: a model is a row here. Which of its fields, and of which type, the readable policy
//! says; the sink makes its table from that.

use std::num::NonZeroU32;

use crate::odoo::{Domain, Fields, NotReadable, Operand, Operator, Order, ReadQuery, Readable};

/// One model to pull.
struct Row {
    model: &'static str,
    /// A field and the values of it that are wanted; without, every record.
    only: Option<(&'static str, &'static [&'static str])>,
    /// Archived records too.
    archived: bool,
}

/// Parents after what refers to them: the partner of the newest invoice is then there.
const ROWS: &[Row] = &[
    Row {
        model: "account.move",
        // Every state: what goes back to draft must not be lost.
        only: Some(("move_type", &["out_invoice", "out_refund", "in_invoice", "in_refund"])),
        archived: false,
    },
    Row { model: "res.partner", only: None, archived: true },
];

/// How many records a call asks for. Suits an Odoo worker's memory and time limits.
const PAGE: NonZeroU32 = match NonZeroU32::new(1_000) {
    Some(page) => page,
    None => NonZeroU32::MIN,
};

/// One model's part of the plan.
pub struct Pull {
    domain: Domain,
    fields: Fields,
    archived: bool,
}

/// All of it, in order.
pub fn plan(readable: &Readable) -> Result<Vec<Pull>, NotReadable> {
    ROWS.iter()
        .map(|row| {
            let model = readable.model(row.model)?;
            let mut domain = Domain::all(&model);
            if let Some((field, values)) = row.only {
                let values = values.iter().map(|value| (*value).to_owned()).collect();
                domain = domain.and(field, Operator::In, Operand::Texts(values))?;
            }
            Ok(Pull { domain, fields: model.all(), archived: row.archived })
        })
        .collect()
}

impl Pull {
    /// The model's name.
    pub fn model(&self) -> &str {
        self.fields.model().name()
    }

    /// What is read of it.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The page after the record `last`, lowest ids first. Paged by id: an offset would pass over
    /// records whenever one before it goes.
    pub fn page_after(&self, last: i64) -> Result<ReadQuery, NotReadable> {
        Ok(ReadQuery::SearchRead {
            domain: self.domain.clone().and("id", Operator::Greater, Operand::Int(last))?,
            fields: self.fields.clone(),
            order: Order::IdAscending,
            offset: 0,
            limit: PAGE,
            archived: self.archived,
        })
    }

    /// Whether a page of so many records is the last.
    pub fn is_last(records: usize) -> bool {
        u32::try_from(records).is_ok_and(|records| records < PAGE.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_plan_is_readable() {
        let plan = plan(&Readable::embedded().unwrap()).unwrap();
        let models: Vec<&str> = plan.iter().map(Pull::model).collect();
        assert_eq!(models, ["account.move", "res.partner"]);
        assert!(plan.iter().all(|pull| pull.page_after(7).is_ok()));
    }
}
