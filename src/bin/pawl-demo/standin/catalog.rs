//! What invoices refer to: partners, products, currencies and taxes, with the oddities of real ones.

use super::dice::Dice;
use super::time::{moment, shown};
use super::wire::{EMPTY, Value};

/// The id of the first partner.
pub const FIRST_PARTNER: i64 = 16;
/// How many products there are; their ids begin at 1.
pub const PRODUCTS: i64 = 50;

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

/// A partner, by how many come before it.
pub struct Partner {
    n: i64,
    base: &'static str,
    draws: [i64; 4],
    pub written: i64,
}

impl Partner {
    pub fn of(seed: u64, id: i64) -> Self {
        let n = id - FIRST_PARTNER;
        let base = nth(PARTNER_NAMES, n).copied().unwrap_or_default();
        let mut dice = Dice::of(seed, 2, id);
        let draws = [dice.below(4), dice.below(3), dice.below(2), dice.below(3)];
        Self { n, base, draws, written: moment(dice.below(300), n, dice.below(1_000_000)) }
    }

    fn is_nameless(&self) -> bool {
        self.n % 20 == 7
    }

    fn name(&self) -> String {
        let round = self.n / i64::try_from(PARTNER_NAMES.len()).unwrap_or(1);
        if round == 0 { self.base.to_owned() } else { format!("{} {}", self.base, round + 1) }
    }

    /// An invoice address has no name of its own.
    pub fn display(&self) -> String {
        if self.is_nameless() { format!("{}, Invoice", PARTNER_NAMES[0]) } else { self.name() }
    }

    pub fn reference(&self) -> Value {
        Value::reference(self.n + FIRST_PARTNER, self.display())
    }

    pub fn field(&self, name: &str) -> Value {
        let n = self.n;
        let either = |yes: bool, a: &str, b: &str| Value::text(if yes { a } else { b });
        match name {
            "name" => optional(!self.is_nameless(), || self.name()),
            "display_name" => Value::Text(self.display()),
            "type" => either(self.is_nameless(), "invoice", "contact"),
            "email" => optional(self.draws[0] > 0, || format!("billing{n:03}@customer.example")),
            "phone" => optional(self.draws[1] > 0, || format!("+1 555 0{n:04}")),
            "street" => Value::Text(format!("{} Main Street", n + 1)),
            "city" => optional(self.draws[2] > 0, || "Žďár nad Sázavou".into()),
            "zip" => Value::Text(format!("{:05}", 10_000 + n)),
            "country_id" => nth(COUNTRIES, n).map_or(EMPTY, |(id, name)| Value::reference(*id, *name)),
            "vat" => optional(self.draws[3] == 0, || format!("CZ{:08}", 10_000_000 + n)),
            "ref" => optional(n % 2 == 1, || format!("C{n:04}")),
            "is_company" => Value::Bool(!self.is_nameless()),
            "company_type" => either(self.is_nameless(), "person", "company"),
            "parent_id" if self.is_nameless() => Value::reference(FIRST_PARTNER, PARTNER_NAMES[0]),
            "commercial_partner_id" => Value::reference(FIRST_PARTNER + n, self.base),
            "active" => Value::Bool(n % 15 != 4),
            "child_ids" | "category_id" => Value::List(Vec::new()),
            "customer_rank" => Value::Int(1),
            "supplier_rank" => Value::Int(n % 2),
            "credit_limit" => Value::Float(0.0),
            "comment" => optional(n % 9 == 3, || "<p>pays &amp; pays <b>late</b></p>".into()),
            "lang" => Value::text("en_US"),
            "create_date" => Value::text("2025-01-01 08:00:00"),
            "write_date" => Value::Text(shown(self.written)),
            _ => EMPTY,
        }
    }
}

/// A product.
pub struct Product {
    id: i64,
    list_price: i64,
    pub written: i64,
}

impl Product {
    pub fn of(seed: u64, id: i64) -> Self {
        let mut dice = Dice::of(seed, 3, id);
        let list_price = 100 + dice.below(99_900);
        Self { id, list_price, written: moment(dice.below(300), id, dice.below(1_000_000)) }
    }

    /// Every sixth has no code.
    fn code(&self) -> Option<String> {
        let n = self.id - 1;
        (n % 6 != 0).then(|| format!("P{n:03}"))
    }

    pub fn display(&self) -> String {
        let name = format!("Product {:02}", self.id - 1);
        self.code().map_or(name.clone(), |code| format!("[{code}] {name}"))
    }

    pub fn field(&self, name: &str) -> Value {
        let n = self.id - 1;
        match name {
            "name" => Value::Text(format!("Product {n:02}")),
            "display_name" => Value::Text(self.display()),
            "default_code" => self.code().map_or(EMPTY, Value::Text),
            "list_price" => Value::Float(ratio(self.list_price, 100)),
            "standard_price" => Value::Float(ratio(self.list_price * (n % 3) / 4, 100)),
            "type" => Value::text(if n % 2 == 0 { "consu" } else { "service" }),
            "categ_id" => {
                if n % 5 == 3 {
                    Value::reference(1, "All / Saleable")
                } else {
                    EMPTY
                }
            }
            "uom_id" => Value::reference(1, "Units"),
            "barcode" => optional(n % 7 == 2, || format!("{:013}", 4_006_381_333_931 + n)),
            "active" => Value::Bool(n % 10 != 9),
            "product_tmpl_id" => Value::reference(self.id, self.display()),
            "taxes_id" => Value::List(vec![Value::Int(1)]),
            "create_date" => Value::text("2025-01-01 08:00:00"),
            "write_date" => Value::Text(shown(self.written)),
            _ => EMPTY,
        }
    }
}

/// A currency: yen has no cents.
pub struct Currency {
    pub id: i64,
    pub name: &'static str,
    symbol: &'static str,
    pub has_cents: bool,
    active: bool,
}

const fn currency(
    id: i64,
    name: &'static str,
    symbol: &'static str,
    has_cents: bool,
    active: bool,
) -> Currency {
    Currency { id, name, symbol, has_cents, active }
}

/// Lowest id first; invoices are in the three at [`INVOICED`].
pub const CURRENCIES: &[Currency] = &[
    currency(1, "USD", "$", true, true),
    currency(5, "CHF", "CHF", true, false),
    currency(25, "JPY", "¥", false, true),
    currency(126, "EUR", "€", true, true),
    currency(144, "GBP", "£", true, true),
];
/// Places in [`CURRENCIES`].
pub const INVOICED: [usize; 3] = [3, 0, 2];

impl Currency {
    pub fn of(id: i64) -> Option<&'static Self> {
        CURRENCIES.iter().find(|currency| currency.id == id)
    }

    pub fn field(&self, name: &str) -> Value {
        match name {
            "name" => Value::text(self.name),
            "symbol" => Value::text(self.symbol),
            "rounding" => Value::Float(if self.has_cents { 0.01 } else { 1.0 }),
            "decimal_places" => Value::Int(if self.has_cents { 2 } else { 0 }),
            "active" => Value::Bool(self.active),
            "create_date" | "write_date" => Value::Text(shown(FOUNDED)),
            _ => EMPTY,
        }
    }
}

/// A tax.
pub struct Tax {
    pub id: i64,
    pub name: &'static str,
    amount: f64,
    used_in: &'static str,
    active: bool,
}

/// In id order: sold and bought at the full rate, one put away, and one of nothing.
pub const TAXES: &[Tax] = &[
    Tax { id: 1, name: "21%", amount: 21.0, used_in: "sale", active: true },
    Tax { id: 2, name: "21%", amount: 21.0, used_in: "purchase", active: true },
    Tax { id: 3, name: "12% (old)", amount: 12.0, used_in: "sale", active: false },
    Tax { id: 4, name: "0% EX", amount: 0.0, used_in: "none", active: true },
];
/// Of the full rate, in percent.
pub const TAX_RATE: i64 = 21;

/// When the database was made. 2025-01-01 08:00:00.25.
pub const FOUNDED: i64 = 1_735_718_400_250_000;

impl Tax {
    pub fn of(id: i64) -> Option<&'static Self> {
        TAXES.iter().find(|tax| tax.id == id)
    }

    pub fn field(&self, name: &str) -> Value {
        match name {
            "name" => Value::text(self.name),
            "amount" => Value::Float(self.amount),
            "amount_type" => Value::text("percent"),
            "type_tax_use" => Value::text(self.used_in),
            "active" => Value::Bool(self.active),
            "sequence" => Value::Int(self.id),
            "company_id" => Value::reference(1, "My Company"),
            "country_id" => Value::reference(56, "Czech Republic"),
            "create_date" | "write_date" => Value::Text(shown(FOUNDED)),
            _ => EMPTY,
        }
    }
}

/// Odoo says `false` for a text that is not there.
pub fn optional(present: bool, text: impl FnOnce() -> String) -> Value {
    if present { Value::Text(text()) } else { EMPTY }
}

/// `amount` in units of which one is `unit` parts. Below 2^31, so an f64 holds it.
pub fn ratio(amount: i64, unit: i32) -> f64 {
    i32::try_from(amount).map(f64::from).unwrap_or_default() / f64::from(unit)
}

/// Round and round.
fn nth<T>(items: &[T], n: i64) -> Option<&T> {
    items.get(usize::try_from(n).ok()? % items.len())
}
