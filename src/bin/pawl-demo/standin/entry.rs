//! An invoice, a credit note or a bill, and its lines: what is on it adds up, and every id tells where
//! it belongs, so that none has to be kept.

use super::catalog::{
    CURRENCIES, Currency, FIRST_PARTNER, INVOICED, PRODUCTS, Partner, Product, TAX_RATE, Tax, optional, ratio,
};
use super::dice::Dice;
use super::time::{date, moment, shown};
use super::wire::{EMPTY, Value};

/// How many ids of lines each entry has to itself: six invoice lines at most, then the last two.
pub const LINE_IDS: i64 = 8;
const TAX_LINE: i64 = 7;
const TERM_LINE: i64 = 8;

/// An entry; its id is one more than `n`.
pub struct Entry {
    seed: u64,
    n: i64,
    move_type: &'static str,
    prefix: &'static str,
    /// Of what the company gets by it.
    sign: i64,
    state: &'static str,
    currency: &'static Currency,
    partner: i64,
    day: i64,
    /// How many invoice lines.
    lines: i64,
    settled: i64,
    pub written: i64,
}

impl Entry {
    pub fn of(seed: u64, partners: i64, id: i64) -> Self {
        let n = id - 1;
        let mut dice = Dice::of(seed, 0, id);
        let (move_type, prefix, sign) = match dice.below(10) {
            0 => ("out_refund", "RINV", -1),
            1..=2 => ("in_invoice", "BILL", -1),
            3 if n % 3 == 0 => ("in_refund", "RBILL", 1),
            _ => ("out_invoice", "INV", 1),
        };
        let state = match dice.below(20) {
            0 => "draft",
            1 => "cancel",
            _ => "posted",
        };
        let currency = usize::try_from(dice.below(3)).ok().and_then(|n| CURRENCIES.get(*INVOICED.get(n)?));
        let currency = currency.unwrap_or(&CURRENCIES[0]);
        let partner = FIRST_PARTNER + dice.below(partners);
        let day = dice.below(300);
        let thrown = dice.below(6);
        // Every fiftieth has a section and a note.
        let lines = if n % 50 == 0 { 6 } else { 1 + thrown };
        let settled = dice.below(3);
        let written = moment(day, n, dice.below(1_000_000));
        Self { seed, n, move_type, prefix, sign, state, currency, partner, day, lines, settled, written }
    }

    fn unit(&self) -> i32 {
        if self.currency.has_cents { 100 } else { 1 }
    }

    fn money(&self, amount: i64) -> Value {
        Value::Float(ratio(amount, self.unit()))
    }

    fn number(&self) -> String {
        format!("{}/2025/{:05}", self.prefix, self.n + 1)
    }

    fn reference_text(&self) -> Option<String> {
        (self.n % 3 == 0).then(|| format!("PO-{:05}", self.n))
    }

    fn display(&self) -> String {
        let number = match self.state {
            "posted" => self.number(),
            _ => format!("Draft Invoice (* {})", self.n + 1),
        };
        self.reference_text().map_or(number.clone(), |text| format!("{number} ({text})"))
    }

    fn line_id(&self, place: i64) -> i64 {
        self.n * LINE_IDS + place
    }

    /// Untaxed and tax, in parts of the currency's unit.
    fn sums(&self) -> (i64, i64) {
        let amounts = (1..=self.lines).map(|place| Goods::of(self, place));
        amounts.fold((0, 0), |sum, goods| (sum.0 + goods.subtotal, sum.1 + goods.tax))
    }

    fn payment(&self) -> (&'static str, i64) {
        let (untaxed, tax) = self.sums();
        match self.settled {
            _ if self.state != "posted" => ("not_paid", untaxed + tax),
            0 => ("paid", 0),
            1 => ("partial", (untaxed + tax) / 2),
            _ => ("not_paid", untaxed + tax),
        }
    }

    fn partner(&self) -> Value {
        Partner::of(self.seed, self.partner).reference()
    }

    pub fn field(&self, name: &str) -> Value {
        let dated = self.state != "draft";
        let ids = |places: &mut dyn Iterator<Item = i64>| {
            Value::List(places.map(|place| Value::Int(self.line_id(place))).collect())
        };
        let total = |(untaxed, tax): (i64, i64)| untaxed + tax;
        match name {
            "name" | "payment_reference" => optional(self.state == "posted", || self.number()),
            "display_name" => Value::Text(self.display()),
            "state" => Value::text(self.state),
            "move_type" => Value::text(self.move_type),
            "partner_id" | "commercial_partner_id" => self.partner(),
            "invoice_date" => optional(dated, || date(self.day)),
            "invoice_date_due" => optional(dated, || date(self.day + 30)),
            "date" => Value::Text(date(self.day)),
            "amount_untaxed" => self.money(self.sums().0),
            "amount_tax" => self.money(self.sums().1),
            "amount_total" => self.money(total(self.sums())),
            "amount_residual" => self.money(self.payment().1),
            "amount_untaxed_signed" => self.money(self.sign * self.sums().0),
            "amount_tax_signed" => self.money(self.sign * self.sums().1),
            "amount_total_signed" | "amount_total_in_currency_signed" => {
                self.money(self.sign * total(self.sums()))
            }
            "amount_residual_signed" => self.money(self.sign * self.payment().1),
            "currency_id" => Value::reference(self.currency.id, self.currency.name),
            "company_currency_id" => Value::reference(1, "USD"),
            "invoice_currency_rate" => Value::Float(1.0),
            "payment_state" => Value::text(self.payment().0),
            "ref" => self.reference_text().map_or(EMPTY, Value::Text),
            "invoice_line_ids" => ids(&mut (1..=self.lines)),
            "line_ids" => ids(&mut (1..=self.lines).chain([TAX_LINE, TERM_LINE])),
            "narration" => optional(self.n % 7 == 0, || "<p>Thank you &amp; <b>regards</b> é 🧾</p>".into()),
            "invoice_origin" => optional(self.n % 5 == 2, || format!("S{:05}", self.n)),
            "invoice_user_id" => Value::reference(2, "Mitchell Admin"),
            "journal_id" => Value::reference(1, "Customer Invoices"),
            "company_id" => Value::reference(1, "My Company"),
            "posted_before" => Value::Bool(self.state == "posted"),
            "create_date" => Value::text("2025-01-01 08:00:00"),
            "write_date" => Value::Text(shown(self.written)),
            _ => EMPTY,
        }
    }
}

/// What an invoice line sells, in parts of the currency's unit; of a section or a note, nothing.
struct Goods {
    product: Option<i64>,
    /// In hundredths, as the price and the discount.
    quantity: i64,
    price: i64,
    discount: i64,
    subtotal: i64,
    tax: i64,
}

impl Goods {
    fn of(entry: &Entry, place: i64) -> Self {
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
    goods: Goods,
}

impl Line {
    pub fn of(seed: u64, partners: i64, id: i64) -> Option<Self> {
        let entry = Entry::of(seed, partners, Self::move_id(id));
        let place = 1 + (id - 1) % LINE_IDS;
        let is_there = place <= entry.lines || place >= TAX_LINE;
        is_there.then(|| Self { goods: Goods::of(&entry, place), entry, place })
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

    fn display_type(&self) -> &'static str {
        match (self.place, self.goods.product) {
            (TAX_LINE, _) => "tax",
            (TERM_LINE, _) => "payment_term",
            (_, Some(_)) => "product",
            (5, None) => "line_section",
            (_, None) => "line_note",
        }
    }

    fn name(&self) -> String {
        match (self.display_type(), self.goods.product) {
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
            _ => -self.entry.sign * self.goods.subtotal,
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
        let goods = &self.goods;
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
