//! An invoice, a credit note or a bill. Its amounts are the sums of its lines.

use std::cell::OnceCell;

use super::catalog::{CURRENCIES, Currency, FIRST_PARTNER, INVOICED, Partner, optional, ratio};
use super::dice::Dice;
use super::line::{Goods, LINE_IDS, TAX_LINE, TERM_LINE};
use super::time::{date, moment, shown};
use super::wire::{EMPTY, Value};

/// An entry; its id is one more than `n`.
pub struct Entry {
    pub seed: u64,
    pub n: i64,
    pub move_type: &'static str,
    prefix: &'static str,
    /// Of what the company gets by it.
    pub sign: i64,
    state: &'static str,
    pub currency: &'static Currency,
    partner: i64,
    day: i64,
    /// How many invoice lines.
    pub lines: i64,
    settled: i64,
    sums: OnceCell<(i64, i64)>,
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
        let sums = OnceCell::new();
        Self {
            sums,
            seed,
            n,
            move_type,
            prefix,
            sign,
            state,
            currency,
            partner,
            day,
            lines,
            settled,
            written,
        }
    }

    fn unit(&self) -> i32 {
        if self.currency.has_cents { 100 } else { 1 }
    }

    pub fn money(&self, amount: i64) -> Value {
        Value::Float(ratio(amount, self.unit()))
    }

    pub fn number(&self) -> String {
        format!("{}/2025/{:05}", self.prefix, self.n + 1)
    }

    pub fn reference_text(&self) -> Option<String> {
        (self.n % 3 == 0).then(|| format!("PO-{:05}", self.n))
    }

    pub fn display(&self) -> String {
        let number = match self.state {
            "posted" => self.number(),
            _ => format!("Draft Invoice (* {})", self.n + 1),
        };
        self.reference_text().map_or(number.clone(), |text| format!("{number} ({text})"))
    }

    pub fn line_id(&self, place: i64) -> i64 {
        self.n * LINE_IDS + place
    }

    /// Untaxed and tax, in parts of the currency's unit.
    pub fn sums(&self) -> (i64, i64) {
        *self.sums.get_or_init(|| {
            let amounts = (1..=self.lines).map(|place| Goods::of(self, place));
            amounts.fold((0, 0), |sum, goods| (sum.0 + goods.subtotal, sum.1 + goods.tax))
        })
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
