//! A made-up company, the same for the same seed: invoices, credit notes and bills in three
//! currencies, and the partners on them, with the oddities that real books have.

use std::collections::BTreeMap;

use super::wire::{EMPTY, Value};

/// The fields of one record, without its id.
pub type Record = BTreeMap<&'static str, Value>;

/// What the stand-in holds, by model and id.
#[derive(Clone)]
pub struct Company {
    pub moves: BTreeMap<i64, Record>,
    pub partners: BTreeMap<i64, Record>,
}

const PARTNER_NAMES: &[&str] = &[
    "Dvořák & synové s.r.o.",
    "Straßenbau Müller GmbH",
    "株式会社さくら商事",
    "Łódź Trading <Sp. z o.o.>",
    "Ünal İnşaat A.Ş.",
    "Nordlys Økologi AS",
    "Čokoládovna \"Žlutý kůň\"",
    "Société Générale d'Été",
    "Ακρόπολις Α.Ε.",
    "Ivo Hana Trading 001 GmbH",
    "Café 🧾 & Söhne",
    "שלום בע״מ",
];

const COUNTRIES: &[(i64, &str)] =
    &[(57, "Germany"), (75, "France"), (233, "United States"), (56, "Czech Republic")];

/// Id, name, and how many hundredths one unit of it has: yen has none.
const CURRENCIES: &[(i64, &str, bool)] = &[(126, "EUR", true), (1, "USD", true), (25, "JPY", false)];

const FIRST_PARTNER: i64 = 16;
const FIRST_MOVE: i64 = 1;

impl Company {
    /// As in the demo: 420 entries, 60 partners.
    pub fn small(seed: u64) -> Self {
        Self::sized(seed, 420, 60)
    }

    /// A company with that many entries and partners.
    pub fn sized(seed: u64, moves: i64, partners: i64) -> Self {
        let mut dice = Dice(seed);
        let partners: BTreeMap<i64, Record> =
            (0..partners).map(|n| (FIRST_PARTNER + n, partner(n, &mut dice))).collect();
        let mut lines = 0;
        let moves = (0..moves)
            .map(|n| {
                let id = FIRST_PARTNER + dice.below(i64::try_from(partners.len()).unwrap_or(1));
                let name = partners.get(&id).and_then(|p| p["display_name"].as_text()).unwrap_or_default();
                (FIRST_MOVE + n, entry(n, Value::reference(id, name), &mut lines, &mut dice))
            })
            .collect();
        Self { moves, partners }
    }

    /// The records of a model, if there is such a model.
    pub fn model(&self, name: &str) -> Option<&BTreeMap<i64, Record>> {
        match name {
            "account.move" => Some(&self.moves),
            "res.partner" => Some(&self.partners),
            _ => None,
        }
    }
}

fn partner(n: i64, dice: &mut Dice) -> Record {
    let at = usize::try_from(n).unwrap_or(0);
    let base = PARTNER_NAMES[at % PARTNER_NAMES.len()];
    let round = n / i64::try_from(PARTNER_NAMES.len()).unwrap_or(1);
    let name = if round == 0 { base.to_owned() } else { format!("{base} {}", round + 1) };
    // An invoice address, whose own name Odoo leaves empty; and one put away.
    let (nameless, archived) = (n % 20 == 7, n % 15 == 4);
    let (country, country_name) = COUNTRIES[at % COUNTRIES.len()];
    let parent = (FIRST_PARTNER, PARTNER_NAMES[0]);
    let optional = |present: bool, text: String| if present { Value::Text(text) } else { EMPTY };
    let display = if nameless { format!("{}, Invoice", parent.1) } else { name.clone() };
    Record::from([
        ("name", optional(!nameless, name)),
        ("display_name", Value::Text(display)),
        ("type", Value::text(if nameless { "invoice" } else { "contact" })),
        ("email", optional(dice.below(4) > 0, format!("billing{n:03}@customer.example"))),
        ("phone", optional(dice.below(3) > 0, format!("+1 555 0{n:04}"))),
        ("street", Value::Text(format!("{} Main Street", n + 1))),
        ("street2", EMPTY),
        ("city", optional(dice.below(2) > 0, "Žďár nad Sázavou".into())),
        ("zip", Value::Text(format!("{:05}", 10_000 + n))),
        ("state_id", EMPTY),
        ("country_id", Value::reference(country, country_name)),
        ("vat", optional(dice.below(3) == 0, format!("CZ{:08}", 10_000_000 + n))),
        ("ref", optional(n % 2 == 1, format!("C{n:04}"))),
        ("website", EMPTY),
        ("is_company", Value::Bool(!nameless)),
        ("company_type", Value::text(if nameless { "person" } else { "company" })),
        ("parent_id", if nameless { Value::reference(parent.0, parent.1) } else { EMPTY }),
        ("commercial_partner_id", Value::reference(FIRST_PARTNER + n, base)),
        ("active", Value::Bool(!archived)),
        ("child_ids", Value::List(Vec::new())),
        ("category_id", Value::List(Vec::new())),
        ("company_id", EMPTY),
        ("customer_rank", Value::Int(1)),
        ("supplier_rank", Value::Int(n % 2)),
        ("credit_limit", Value::Float(0.0)),
        ("comment", optional(n % 9 == 3, "<p>pays &amp; pays <b>late</b></p>".into())),
        ("image_128", EMPTY),
        ("lang", Value::text("en_US")),
        ("tz", EMPTY),
        ("create_date", Value::text("2025-01-01 08:00:00")),
        ("write_date", Value::Text(moment(dice.below(300), n))),
    ])
}

fn entry(n: i64, partner: Value, lines: &mut i64, dice: &mut Dice) -> Record {
    let (move_type, prefix, sign) = match dice.below(10) {
        0 => ("out_refund", "RINV", -1.0),
        1..=2 => ("in_invoice", "BILL", -1.0),
        3 if n % 3 == 0 => ("in_refund", "RBILL", 1.0),
        _ => ("out_invoice", "INV", 1.0),
    };
    let state = match dice.below(20) {
        0 => "draft",
        1 => "cancel",
        _ => "posted",
    };
    let (currency, currency_name, has_cents) = CURRENCIES[usize::try_from(dice.below(3)).unwrap_or(0)];
    let unit = if has_cents { 100 } else { 1 };
    let untaxed = dice.below(900_000) + 1_000;
    let tax = untaxed * 21 / 100;
    let money = |amount: i64| Value::Float(ratio(amount, unit));
    let (payment_state, residual) = match dice.below(3) {
        _ if state != "posted" => ("not_paid", untaxed + tax),
        0 => ("paid", 0),
        1 => ("partial", (untaxed + tax) / 2),
        _ => ("not_paid", untaxed + tax),
    };
    let day = dice.below(300);
    let count = 1 + dice.below(6);
    let line_ids = (1..=count).map(|line| Value::Int(*lines + line)).collect();
    *lines += count;
    let optional = |present: bool, text: String| if present { Value::Text(text) } else { EMPTY };
    let name = optional(state == "posted", format!("{prefix}/2025/{:05}", n + 1));
    let narration = "<p>Thank you &amp; <b>regards</b> é 🧾</p>".to_owned();
    Record::from([
        ("name", name),
        ("state", Value::text(state)),
        ("move_type", Value::text(move_type)),
        ("partner_id", partner.clone()),
        ("commercial_partner_id", partner),
        ("invoice_date", optional(state != "draft", date(day))),
        ("invoice_date_due", optional(state != "draft", date(day + 30))),
        ("date", Value::Text(date(day))),
        ("amount_untaxed", money(untaxed)),
        ("amount_tax", money(tax)),
        ("amount_total", money(untaxed + tax)),
        ("amount_residual", money(residual)),
        ("amount_untaxed_signed", Value::Float(sign * ratio(untaxed, unit))),
        ("amount_tax_signed", Value::Float(sign * ratio(tax, unit))),
        ("amount_total_signed", Value::Float(sign * ratio(untaxed + tax, unit))),
        ("amount_total_in_currency_signed", Value::Float(sign * ratio(untaxed + tax, unit))),
        ("amount_residual_signed", Value::Float(sign * ratio(residual, unit))),
        ("currency_id", Value::reference(currency, currency_name)),
        ("company_currency_id", Value::reference(1, "USD")),
        ("invoice_currency_rate", Value::Float(1.0)),
        ("payment_state", Value::text(payment_state)),
        ("ref", optional(n % 3 == 0, format!("PO-{n:05}"))),
        ("payment_reference", optional(state == "posted", format!("{prefix}/2025/{:05}", n + 1))),
        ("invoice_line_ids", Value::List(line_ids)),
        ("line_ids", Value::List(Vec::new())),
        ("narration", optional(n % 7 == 0, narration)),
        ("invoice_origin", optional(n % 5 == 2, format!("S{n:05}"))),
        ("invoice_user_id", Value::reference(2, "Mitchell Admin")),
        ("invoice_payment_term_id", EMPTY),
        ("fiscal_position_id", EMPTY),
        ("journal_id", Value::reference(1, "Customer Invoices")),
        ("company_id", Value::reference(1, "My Company")),
        ("reversed_entry_id", EMPTY),
        ("posted_before", Value::Bool(state == "posted")),
        ("create_date", Value::text("2025-01-01 08:00:00")),
        ("write_date", Value::Text(moment(day, n))),
    ])
}

/// `amount` in units of which one is `unit` parts. Below 2^31, so an f64 holds it.
fn ratio(amount: i64, unit: i32) -> f64 {
    i32::try_from(amount).map(f64::from).unwrap_or_default() / f64::from(unit)
}

fn date(day: i64) -> String {
    let start = jiff::civil::date(2025, 1, 1);
    start.saturating_add(jiff::Span::new().days(day.clamp(0, 10_000))).to_string()
}

fn moment(day: i64, n: i64) -> String {
    format!("{} {:02}:{:02}:{:02}", date(day), 8 + n % 10, n % 60, (n * 7) % 60)
}

/// splitmix64 (Steele, Lea and Flood, 2014): enough to make books that look alive.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        i64::try_from((z ^ (z >> 31)) % bound).unwrap_or(0)
    }
}
