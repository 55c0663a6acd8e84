//! Listens to all that an Odoo answers during a read or a check, what is given out and what never is, for the secret that
//! it was sent. Of a secret that answers hold anyway, and of one that stands in too much by chance, nothing is told by that.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::credential::Destination;
use crate::odoo::{Cell, Record};
use crate::secret::Secret;
use crate::vault::inject::scan::Scan;
use crate::vault::inject::search::Search;

/// The words of every answer: a password that is one of them is no echo where it stands.
const SAID_ANYWAY: &[&str] = &[
    "application/json; charset=utf-8",
    "text/html; charset=utf-8",
    "text/xml; charset=utf-8",
    "content-type content-length content-encoding transfer-encoding connection keep-alive set-cookie session_id",
    "strict-transport-security x-content-type-options HttpOnly SameSite Werkzeug Python",
    "methodResponse dateTime.iso8601 faultCode faultString <params><param><value><array><data> boolean",
    "server_version_info server_version protocol_version version_info",
    "password Password database Database username Username Internal Server Error Bad Gateway Odoo Server Error",
];

/// What is looked for, and what was heard and not looked through yet.
pub(in crate::vault) struct Echoes {
    scan: Scan,
    is_telling: bool,
    heard: Mutex<Vec<Bytes>>,
}

impl Echoes {
    /// Of `secret`, which is sent `to` there in a call that has its answer say `words`.
    pub(super) fn of<'a>(
        secret: &Secret,
        to: &Destination,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let (url, database, username) = to.parts();
        let is_said = |text: &str| text.contains(secret.expose());
        let is_telling = !SAID_ANYWAY.iter().copied().any(is_said)
            && ![url, database, username].into_iter().any(is_said)
            && !words.into_iter().any(is_said);
        Self { scan: Scan::of(secret), is_telling, heard: Mutex::default() }
    }

    /// Whether it stands in the name of a host, whose letters are small.
    pub(in crate::vault) fn in_hosts(secret: &Secret, to: &Destination) -> impl Fn(&str) -> bool + use<> {
        let small = Secret::new(secret.expose().to_lowercase());
        let all = [Self::of(secret, to, []), Self::of(&small, to, [])];
        move |host| all.iter().any(|echoes| echoes.is_telling && echoes.scan.is_in(host.as_bytes()))
    }

    /// Keeps `part` to be looked through.
    pub(super) fn hear(&self, part: Bytes) {
        if self.is_telling {
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(part);
        }
    }

    /// Whether any answer that came since this was last asked held it. Takes long.
    pub(super) fn were_heard(&self) -> bool {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        heard.into_iter().any(|part| self.scan.is_in(&part))
    }

    /// To look for it in what Odoo has in records.
    pub(super) fn in_records(&self) -> InRecords<'_> {
        InRecords { scan: &self.scan, search: self.scan.search(), is_one: false }
    }
}

/// Looks through records, one after another: their values, as these were sent. What names them is ours.
pub(super) struct InRecords<'e> {
    scan: &'e Scan,
    search: Search<'e>,
    is_one: bool,
}

impl InRecords<'_> {
    /// The next of them. Takes long where that is large.
    pub(super) fn look(&mut self, record: &Record) {
        // A line each. Into memory, of numbers and texts: nothing that fails.
        let _ = serde_json::to_writer(&mut self.search, &record.id);
        for cell in &record.cells {
            self.is_one |= self.is(cell);
            let _ = self.search.write_all(b"\n");
            let _ = serde_json::to_writer(&mut self.search, cell);
        }
        let _ = self.search.write_all(b"\n");
    }

    /// Whether it was in any.
    pub(super) fn found(self) -> bool {
        self.is_one || self.search.found()
    }

    fn is(&self, cell: &Cell) -> bool {
        match cell {
            Cell::Text(text) | Cell::Ref { name: text, .. } => self.scan.is(text),
            Cell::Empty | Cell::Bool(_) | Cell::Int(_) | Cell::Number(_) | Cell::Ids(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(secret: &str) -> Echoes {
        let [url, database, username] = ["https://acme.odoo.com", "acme-production", "bot@acme.example"]
            .map(|part| Some(part.to_owned()));
        let to = Destination { url, database, username };
        Echoes::of(&Secret::new(secret.to_owned()), &to, ["res.partner", "invoice_date"])
    }

    #[test]
    fn what_an_answer_holds_anyway_is_no_echo() {
        let hears = |secret: &str, part: &'static str| {
            let echoes = of(secret);
            echoes.hear(Bytes::from_static(part.as_bytes()));
            echoes.hear(Bytes::from_static(b"{}"));
            echoes.were_heard()
        };
        assert!(hears("correct horse", "x-asked-with: correct%20horse"));
        for (secret, part) in [
            ("result", "{\"jsonrpc\":\"2.0\",\"result\":1}"),
            ("password", "<input type=\"password\">"),
            ("Werkzeug", "server: Werkzeug/3.0.1"),
            ("application/json", "content-type: application/json"),
            ("production", "location: /web?db=acme-production"),
            ("bot@acme", "{\"login\":\"bot@acme.example\"}"),
            ("invoice_date", "[{\"id\":1,\"invoice_date\":false}]"),
            ("correct horse", "login: correct%20hors"),
        ] {
            assert!(!hears(secret, part), "{secret}");
        }
    }

    /// Attack on P1.
    #[test]
    fn in_records_it_is_found_in_what_odoo_sent_and_not_in_what_we_call_it() {
        let text = |text: &str| Cell::Text(text.into());
        let named = |name: &str| Cell::Ref { id: 7, name: name.into() };
        for (secret, cell, is_leaked) in [
            ("records", text("all"), false),
            ("records", text("records"), true),
            ("records", named("records"), true),
            ("records", text("cmVjb3Jkcw=="), true),
            ("records", text("on records"), false),
            ("invoice_date", text("2026"), false),
            ("invoice_date", text("my invoice_date"), true),
            ("bot@acme", text("bot@acme.example"), true),
            ("31415926", Cell::Ids(vec![5, 31_415_926]), true),
            ("correct \"horse\"", text("a correct \"horse\" it is"), true),
            ("correct \"horse\"", named("correct%20%22horse%22"), true),
        ] {
            let echoes = of(secret);
            let mut records = echoes.in_records();
            records.look(&Record { id: 1, cells: vec![Cell::Empty, cell.clone()] });
            records.look(&Record { id: 2, cells: vec![Cell::Empty, Cell::Empty] });
            assert_eq!(records.found(), is_leaked, "{secret}: {cell:?}");
        }
    }
}
