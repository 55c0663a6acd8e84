//! What the company's books hold before anyone touches them: any record, made when it is asked for out
//! of the seed and its id. A hundred thousand invoices take no room.

use std::ops::RangeInclusive;

use super::catalog::{CURRENCIES, Currency, FIRST_PARTNER, FOUNDED, PRODUCTS, Partner, Product, TAXES, Tax};
use super::entry::Entry;
use super::line::{LINE_IDS, Line};
use super::models::Model;
use super::user::{self, API_KEYS, ApiKey, GROUPS, Group, UID};
use super::wire::{EMPTY, Value};

/// How much there is, and out of which seed.
#[derive(Clone, Copy)]
pub struct Books {
    pub seed: u64,
    pub moves: i64,
    pub partners: i64,
}

/// A record as it was made, of which any field can be had.
pub enum Made {
    Move(Entry),
    Line(Line),
    Partner(Partner),
    Product(Product),
    Currency(&'static Currency),
    Tax(&'static Tax),
    User,
    Group(&'static Group),
    Access,
    ApiKey(&'static ApiKey),
}

impl Books {
    /// Where the ids of a model lie; not every one need be there.
    pub fn ids(&self, model: Model) -> RangeInclusive<i64> {
        match model {
            Model::Move => 1..=self.moves,
            Model::Line => 1..=self.moves * LINE_IDS,
            Model::Partner => FIRST_PARTNER..=FIRST_PARTNER + self.partners - 1,
            Model::Product => 1..=PRODUCTS,
            Model::Currency => 1..=CURRENCIES.last().map_or(0, |last| last.id),
            Model::Tax => 1..=TAXES.last().map_or(0, |last| last.id),
            Model::User => UID..=UID,
            Model::Group => 1..=GROUPS.last().map_or(0, |last| last.0),
            Model::Access => 1..=1,
            Model::ApiKey => 1..=API_KEYS.last().map_or(0, |last| last.0),
        }
    }

    pub fn find(&self, model: Model, id: i64) -> Option<Made> {
        if !self.ids(model).contains(&id) {
            return None;
        }
        match model {
            Model::Move => Some(Made::Move(Entry::of(self.seed, self.partners, id))),
            Model::Line => Line::of(self.seed, self.partners, id).map(Made::Line),
            Model::Partner => Some(Made::Partner(Partner::of(self.seed, id))),
            Model::Product => Some(Made::Product(Product::of(self.seed, id))),
            Model::Currency => Currency::of(id).map(Made::Currency),
            Model::Tax => Tax::of(id).map(Made::Tax),
            Model::User => Some(Made::User),
            Model::Group => GROUPS.iter().find(|group| group.0 == id).map(Made::Group),
            Model::Access => Some(Made::Access),
            Model::ApiKey => API_KEYS.iter().find(|key| key.0 == id).map(Made::ApiKey),
        }
    }
}

impl Made {
    pub fn field(&self, name: &str) -> Value {
        match self {
            Self::Move(entry) => entry.field(name),
            Self::Line(line) => line.field(name),
            Self::Partner(partner) => partner.field(name),
            Self::Product(product) => product.field(name),
            Self::Currency(currency) => currency.field(name),
            Self::Tax(tax) => tax.field(name),
            Self::User => user::field(name),
            Self::Group(group) => user::group_field(group, name),
            Self::Access => Value::text("access_account_move"),
            Self::ApiKey(key) => user::api_key_field(key, name),
        }
    }

    /// When it was written, in microseconds.
    pub fn written(&self) -> i64 {
        match self {
            Self::Move(entry) => entry.written,
            Self::Line(line) => line.written(),
            Self::Partner(partner) => partner.written,
            Self::Product(product) => product.written,
            Self::Currency(_) | Self::Tax(_) | Self::User => FOUNDED,
            Self::Group(_) | Self::Access | Self::ApiKey(_) => FOUNDED,
        }
    }

    /// Whether it is put away.
    pub fn is_archived(&self) -> bool {
        let has_no_such_field =
            matches!(self, Self::Move(_) | Self::Line(_) | Self::Group(_) | Self::Access | Self::ApiKey(_));
        !has_no_such_field && self.field("active") == EMPTY
    }
}
