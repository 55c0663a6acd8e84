//! In which order: by fields of the model itself, as the policy names them. By a reference it would be by what the
//! other model is ordered by, which nobody asked the policy for.

use crate::odoo::readable::{Kind, Model, NotReadable};

/// In which order. By id where pages follow each other: it is the only order that a paging can rely on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Lowest id first.
    IdAscending,
    /// Highest id first.
    IdDescending,
    /// The last one written first. For one record, never for pages: many share a second, and it is
    /// the hidden part of the time that Odoo sorts by.
    NewestFirst,
    /// By fields.
    By(Sorting),
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Lowest first.
    Ascending,
    /// Highest first.
    Descending,
}

/// Fields of one model to sort by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sorting {
    model: Model,
    text: String,
}

impl Sorting {
    /// By those fields of `model`, the first one first; without any, by id.
    pub fn by(model: &Model, fields: &[(&str, Direction)]) -> Result<Self, NotReadable> {
        let mut terms = Vec::new();
        for (name, direction) in fields {
            let sorts = match *name {
                "id" => true,
                name => model.field(name)?.kind().is_scalar(),
            };
            if !sorts {
                return Err(NotReadable(format!("the order of {}.{name}", model.name())));
            }
            let way = if *direction == Direction::Ascending { "asc" } else { "desc" };
            terms.push(format!("{name} {way}"));
        }
        if terms.is_empty() {
            terms.push("id asc".to_owned());
        }
        Ok(Self { model: model.clone(), text: terms.join(", ") })
    }
}

impl Kind {
    fn is_scalar(self) -> bool {
        !matches!(self, Self::Html | Self::Many2one | Self::X2many)
    }
}

impl Order {
    /// As Odoo writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::IdAscending => "id asc",
            Self::IdDescending => "id desc",
            Self::NewestFirst => "write_date desc, id desc",
            Self::By(sorting) => &sorting.text,
        }
    }

    pub(super) fn is_of(&self, model: &Model) -> bool {
        match self {
            Self::IdAscending | Self::IdDescending | Self::NewestFirst => true,
            Self::By(sorting) => sorting.model == *model,
        }
    }
}
