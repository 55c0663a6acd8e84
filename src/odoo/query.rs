//! A question to Odoo: made of the policy's own names and of plain values.

use crate::odoo::method::Method;
use crate::odoo::readable::{Fields, Model, NotReadable};

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `in`
    In,
    /// `not in`
    NotIn,
}

impl Operator {
    /// As Odoo writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::In => "in",
            Self::NotIn => "not in",
        }
    }
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Nothing there.
    Empty,
    /// True or false.
    Bool(bool),
    /// A number or an id.
    Int(i64),
    /// A text, date or datetime.
    Text(String),
    /// Numbers or ids.
    Ints(Vec<i64>),
    /// Texts.
    Texts(Vec<String>),
}

/// One condition on one readable field.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub(super) field: String,
    pub(super) operator: Operator,
    pub(super) operand: Operand,
}

/// Conditions that must all hold; without any, every record that the user may see.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    model: Model,
    conditions: Vec<Condition>,
}

impl Domain {
    /// Every record of `model`.
    pub fn all(model: &Model) -> Self {
        Self { model: model.clone(), conditions: Vec::new() }
    }

    /// And `field` must compare so. `field` is `id`, a readable field of the model or one of its paths.
    pub fn and(mut self, field: &str, operator: Operator, operand: Operand) -> Result<Self, NotReadable> {
        self.model.condition_on(field)?;
        self.conditions.push(Condition { field: field.to_owned(), operator, operand });
        Ok(self)
    }

    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    pub(super) fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

/// In which order. By id where pages follow each other: it is the only order that a paging can rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Lowest id first.
    IdAscending,
    /// Highest id first.
    IdDescending,
    /// The last one written first. For one record, never for pages: many share a second, and it is
    /// the hidden part of the time that Odoo sorts by.
    NewestFirst,
}

impl Order {
    /// As Odoo writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdAscending => "id asc",
            Self::IdDescending => "id desc",
            Self::NewestFirst => "write_date desc, id desc",
        }
    }
}

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
}
