//! JSON, written: into a buffer that is wiped, and that does not move once a secret is in it unless the old one
//! is wiped first. Of a query both dialects say the same parts, each in one function.

use zeroize::Zeroizing;

use crate::odoo::query::{Domain, Operand, Part, ReadQuery};
use crate::odoo::readable::Fields;

/// A call being written.
pub(in crate::odoo) struct Writer {
    json: Zeroizing<Vec<u8>>,
    /// Whether a comma is due before the next item.
    comma: bool,
}

impl Writer {
    /// With room for texts of so many bytes.
    pub(in crate::odoo) fn with_room(texts: usize) -> Self {
        // A byte takes at most six (`\u0001`).
        Self { json: Zeroizing::new(Vec::with_capacity(2048 + 6 * texts)), comma: false }
    }

    pub(in crate::odoo) fn end(self) -> Zeroizing<Vec<u8>> {
        self.json
    }

    fn put(&mut self, text: &str) {
        let needed = self.json.len() + text.len();
        if needed > self.json.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed * 2));
            larger.extend_from_slice(&self.json);
            self.json = larger;
        }
        self.json.extend_from_slice(text.as_bytes());
    }

    fn item(&mut self, text: &str) {
        if self.comma {
            self.put(", ");
        }
        self.put(text);
        self.comma = true;
    }

    fn within(&mut self, open: &str, close: &str, inside: impl FnOnce(&mut Self)) {
        self.item(open);
        self.comma = false;
        inside(self);
        self.put(close);
        self.comma = true;
    }

    pub(in crate::odoo) fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.within("{", "}", members);
    }

    pub(in crate::odoo) fn array(&mut self, items: impl FnOnce(&mut Self)) {
        self.within("[", "]", items);
    }

    pub(in crate::odoo) fn member(&mut self, name: &'static str, value: impl FnOnce(&mut Self)) {
        self.text(name);
        self.put(": ");
        self.comma = false;
        value(self);
    }

    pub(in crate::odoo) fn int(&mut self, int: i64) {
        self.item(&int.to_string());
    }

    pub(in crate::odoo) fn bool(&mut self, it: bool) {
        self.item(if it { "true" } else { "false" });
    }

    pub(in crate::odoo) fn text(&mut self, text: &str) {
        self.item("\"");
        let mut plain = 0;
        for (at, c) in text.char_indices() {
            if c >= ' ' && c != '"' && c != '\\' {
                continue;
            }
            self.put(text.get(plain..at).unwrap_or_default());
            self.put(&format!("\\u{:04x}", u32::from(c)));
            plain = at + c.len_utf8();
        }
        self.put(text.get(plain..).unwrap_or_default());
        self.put("\"");
    }

    /// `[["state", "=", "posted"], …]`, with `&`, `|` and `!` before what they join.
    pub(in crate::odoo) fn domain(&mut self, domain: &Domain) {
        self.array(|json| {
            for part in domain.parts() {
                match part {
                    Part::Joint(joint) => json.text(joint),
                    Part::Is(condition) => json.array(|json| {
                        json.text(&condition.field);
                        json.text(condition.operator.as_str());
                        json.operand(&condition.operand);
                    }),
                }
            }
        });
    }

    fn operand(&mut self, operand: &Operand) {
        match operand {
            Operand::Empty => self.bool(false),
            Operand::Bool(it) => self.bool(*it),
            Operand::Int(it) => self.int(*it),
            Operand::Float(it) => self.item(&format!("{it:?}")),
            Operand::Text(it) => self.text(it),
            Operand::Bools(all) => self.array(|json| all.iter().for_each(|it| json.bool(*it))),
            Operand::Ints(all) => self.ids(all),
            Operand::Texts(all) => self.array(|json| all.iter().for_each(|it| json.text(it))),
            Operand::Domain(domain) => self.domain(domain),
        }
    }

    pub(in crate::odoo) fn ids(&mut self, ids: &[i64]) {
        self.array(|json| ids.iter().for_each(|id| json.int(*id)));
    }

    /// The members that every read has: its fields, its page, and our context.
    pub(in crate::odoo) fn rest_of(&mut self, query: &ReadQuery) {
        self.member("fields", |json| json.fields(query.fields()));
        let archived = match query {
            ReadQuery::SearchRead { order, offset, limit, archived, .. } => {
                self.member("limit", |json| json.int(limit.get().into()));
                self.member("offset", |json| json.int((*offset).into()));
                self.member("order", |json| json.text(order.as_str()));
                *archived
            }
            ReadQuery::Read { .. } => false,
        };
        self.member("context", |json| {
            json.object(|json| {
                if archived {
                    json.member("active_test", |json| json.bool(false));
                }
                json.member("lang", |json| json.text("en_US"));
            });
        });
    }

    fn fields(&mut self, fields: &Fields) {
        self.array(|json| fields.iter().for_each(|field| json.text(field.name())));
    }
}
