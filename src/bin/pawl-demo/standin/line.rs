//! A line of an entry: what was sold, a section or a note, the tax, or what is to be paid. Its id tells
//! where it belongs, so that none has to be kept; what the lines of an entry move comes to nothing.

use std::cell::OnceCell;

use super::catalog::{PRODUCTS, Product, TAX_RATE, Tax, ratio};
use super::dice::Dice;
use super::entry::Entry;
use super::wire::{EMPTY, Value};

/// How many ids of lines each entry has to itself: six invoice lines at most, then the last two.
pub const LINE_IDS: i64 = 8;
pub const TAX_LINE: i64 = 7;
pub const TERM_LINE: i64 = 8;

/// What an invoice line sells, in parts of the currency's unit; of a section or a note, nothing.
pub struct Goods {
    product: Option<i64>,
    /// In hundredths, as the price and the discount.
    quantity: i64,
    price: i64,
    discount: i64,
    pub subtotal: i64,
    pub tax: i64,
}

impl Goods {
    pub fn of(entry: &Entry, place: i64) -> Self {
        if (entry.n % 50 == 0 && place > 4) || place > entry.lines {
            return Self { product: None, quantity: 0, price: 0, discount: 0, subtotal: 0, tax: 0 };
        }
        let mut dice = Dice::of(entry.seed, 1, entry.line_id(place));
        let product = Some(1 + dice.below(PRODUCTS));
        let quantity = [100, 200, 300, 1_000, 50, 133][usize::try_from(dice.below(6)).unwrap_or(0)];
        let price = 100 + dice.below(99_900);
        let discount = if dice.below(4) == 0 { 3_333 } else { 0 };
        let parts = if entry.currency.has_cents { 1_000_000 } else { 100_000_000 };
        let subtotal = rounded(price * quantity * (10_000 - discount), parts);
        // The first is always taxed, so that there is always a tax line.
        let taxed = place == 1 || dice.below(2) == 0;
        let tax = if taxed { rounded(subtotal * TAX_RATE, 100) } else { 0 };
        Self { product, quantity, price, discount, subtotal, tax }
    }
}

fn rounded(amount: i64, parts: i64) -> i64 {
    (amount + parts / 2) / parts
}

/// A line of an entry.
pub struct Line {
    entry: Entry,
    place: i64,
    goods: OnceCell<Goods>,
}

impl Line {
    pub fn of(seed: u64, partners: i64, id: i64) -> Option<Self> {
        let entry = Entry::of(seed, partners, Self::move_id(id));
        let place = 1 + (id - 1) % LINE_IDS;
        let is_there = place <= entry.lines || place >= TAX_LINE;
        is_there.then(|| Self { goods: OnceCell::new(), entry, place })
    }

    /// Which entry a line with this id is on.
    pub fn move_id(id: i64) -> i64 {
        1 + (id - 1) / LINE_IDS
    }

    pub fn written(&self) -> i64 {
        self.entry.written
    }

    /// The id of the entry that it is on.
    pub fn entry_id(&self) -> i64 {
        self.entry.n + 1
    }

    pub fn move_type(&self) -> &'static str {
        self.entry.move_type
    }

    fn goods(&self) -> &Goods {
        self.goods.get_or_init(|| Goods::of(&self.entry, self.place))
    }

    fn display_type(&self) -> &'static str {
        match (self.place, self.goods().product) {
            (TAX_LINE, _) => "tax",
            (TERM_LINE, _) => "payment_term",
            (_, Some(_)) => "product",
            (5, None) => "line_section",
            (_, None) => "line_note",
        }
    }

    fn name(&self) -> String {
        match (self.display_type(), self.goods().product) {
            ("tax", _) => Tax::of(self.tax_id()).map_or("", |tax| tax.name).into(),
            ("payment_term", _) => match self.entry.reference_text() {
                Some(text) => format!("{text} - {}", self.entry.number()),
                None => self.entry.number(),
            },
            ("line_section", _) => "Section: services".into(),
            (_, Some(product)) => Product::of(self.entry.seed, product).display(),
            (_, None) => "A note line\nsecond line".into(),
        }
    }

    fn is_purchase(&self) -> bool {
        self.entry.move_type.starts_with("in_")
    }

    fn tax_id(&self) -> i64 {
        if self.is_purchase() { 2 } else { 1 }
    }

    /// What it moves, positive for debit.
    fn balance(&self) -> i64 {
        match self.place {
            TAX_LINE => -self.entry.sign * self.entry.sums().1,
            TERM_LINE => {
                let (untaxed, tax) = self.entry.sums();
                self.entry.sign * (untaxed + tax)
            }
            _ => -self.entry.sign * self.goods().subtotal,
        }
    }

    fn account(&self) -> Value {
        match (self.display_type(), self.is_purchase()) {
            ("line_section" | "line_note", _) => EMPTY,
            ("tax", false) => Value::reference(21, "251000 Tax Received"),
            ("tax", true) => Value::reference(8, "131000 Tax Paid"),
            ("payment_term", false) => Value::reference(5, "121000 Account Receivable"),
            ("payment_term", true) => Value::reference(15, "211000 Account Payable"),
            (_, false) => Value::reference(26, "400000 Product Sales"),
            (_, true) => Value::reference(33, "600000 Expenses"),
        }
    }

    pub fn field(&self, name: &str) -> Value {
        let goods = self.goods();
        match name {
            "move_id" => Value::reference(self.entry.n + 1, self.entry.display()),
            "name" => Value::Text(self.name()),
            "display_type" => Value::text(self.display_type()),
            "product_id" => goods
                .product
                .map_or(EMPTY, |id| Value::reference(id, Product::of(self.entry.seed, id).display())),
            "product_uom_id" => goods.product.map_or(EMPTY, |_| Value::reference(1, "Units")),
            "quantity" => Value::Float(ratio(goods.quantity, 100)),
            "price_unit" => Value::Float(ratio(goods.price, 100)),
            "discount" => Value::Float(ratio(goods.discount, 100)),
            "price_subtotal" => self.entry.money(goods.subtotal),
            "price_total" => self.entry.money(goods.subtotal + goods.tax),
            "tax_ids" if goods.tax > 0 => Value::List(vec![Value::Int(self.tax_id())]),
            "tax_ids" => Value::List(Vec::new()),
            "account_id" => self.account(),
            "debit" => self.entry.money(self.balance().max(0)),
            "credit" => self.entry.money((-self.balance()).max(0)),
            "balance" | "amount_currency" => self.entry.money(self.balance()),
            "sequence" => Value::Int(match self.place {
                TAX_LINE => 10_000,
                TERM_LINE => 12_000,
                _ => 100,
            }),
            "parent_state" => self.entry.field("state"),
            "currency_id" | "date" | "ref" | "partner_id" | "journal_id" | "company_id" | "create_date"
            | "write_date" => self.entry.field(name),
            _ => EMPTY,
        }
    }
}
