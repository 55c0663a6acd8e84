//! A question to Odoo: made of the policy's own names and of plain values.

mod ask;
mod domain;
mod order;
mod parse;

use crate::odoo::method::Method;
use crate::odoo::readable::Fields;

pub use ask::{Ask, AskRefused};
pub(super) use domain::Part;
pub use domain::{Condition, Domain, Operand, Operator};
pub use order::{Direction, Order, Sorting};

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadQuery {
    /// The records that a domain finds.
    SearchRead {
        /// Which records.
        domain: Domain,
        /// Which of their fields.
        fields: Fields,
        /// In which order.
        order: Order,
        /// How many to pass over.
        offset: u32,
        /// How many at most; must not be 0, which Odoo takes for no limit.
        limit: std::num::NonZeroU32,
        /// Archived ones too.
        archived: bool,
    },
    /// The records with these ids; missing ones are left out in silence.
    Read {
        /// Which records.
        ids: Vec<i64>,
        /// Which of their fields.
        fields: Fields,
    },
}

impl ReadQuery {
    /// What it calls.
    pub fn method(&self) -> Method {
        match self {
            Self::SearchRead { .. } => Method::SearchRead,
            Self::Read { .. } => Method::Read,
        }
    }

    /// Which fields of which model.
    pub fn fields(&self) -> &Fields {
        match self {
            Self::SearchRead { fields, .. } | Self::Read { fields, .. } => fields,
        }
    }

    /// How many records an answer to it may hold.
    pub fn most(&self) -> usize {
        match self {
            Self::SearchRead { limit, .. } => usize::try_from(limit.get()).unwrap_or(usize::MAX),
            Self::Read { ids, .. } => ids.len(),
        }
    }

    /// Whether domain and order are of the model that the fields are of: one of another could ask for what may not
    /// be read here. Nothing else is written into a call.
    pub(super) fn is_of_one_model(&self) -> bool {
        match self {
            Self::SearchRead { domain, fields, order, .. } => {
                domain.model() == fields.model() && order.is_of(fields.model())
            }
            Self::Read { .. } => true,
        }
    }
}
