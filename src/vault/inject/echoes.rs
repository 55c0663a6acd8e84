//! Listens to all that an Odoo answers during a read, what is given out and what never is, for the secret that it was
//! sent. Of a secret that answers hold anyway, and of one that stands in too much by chance, nothing is told by that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::credential::Destination;
use crate::egress::Tap;
use crate::secret::Secret;
use crate::vault::inject::scan::{LONG, Scan};

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

/// What is looked for, and whether it was heard.
pub(super) struct Echoes {
    scan: Scan,
    is_telling: bool,
    was_heard: AtomicBool,
}

impl Echoes {
    pub(super) fn of(secret: &Secret, to: &Destination) -> Arc<Self> {
        let (url, database, username) = to.parts();
        let is_said = |text: &&str| text.contains(secret.expose());
        let is_telling = secret.expose().len() >= LONG
            && !SAID_ANYWAY.iter().any(is_said)
            && ![url, database, username].iter().any(is_said);
        Arc::new(Self { scan: Scan::of(secret), is_telling, was_heard: AtomicBool::new(false) })
    }

    /// Whether any answer held it, or `given_out` does.
    pub(super) fn heard(&self, given_out: &[u8]) -> bool {
        self.was_heard.load(Ordering::SeqCst) || self.scan.finds(given_out)
    }
}

impl Tap for Echoes {
    fn hear(&self, part: &[u8]) {
        if self.is_telling && !self.was_heard.load(Ordering::SeqCst) && self.scan.finds(part) {
            self.was_heard.store(true, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hears(secret: &str, part: &str) -> bool {
        let [url, database, username] = ["https://acme.odoo.com", "acme-production", "bot@acme.example"]
            .map(|part| Some(part.to_owned()));
        let to = Destination { url, database, username };
        let echoes = Echoes::of(&Secret::new(secret.to_owned()), &to);
        echoes.hear(part.as_bytes());
        echoes.hear(b"{}");
        echoes.heard(b"{\"records\":[]}")
    }

    #[test]
    fn what_an_answer_holds_anyway_is_no_echo() {
        assert!(hears("correct horse", "x-asked-with: correct%20horse"));
        for (secret, part) in [
            ("result", "{\"jsonrpc\":\"2.0\",\"result\":1}"),
            ("password", "<input type=\"password\">"),
            ("Werkzeug", "server: Werkzeug/3.0.1"),
            ("application/json", "content-type: application/json"),
            ("production", "location: /web?db=acme-production"),
            ("bot@acme", "{\"login\":\"bot@acme.example\"}"),
            ("correct horse", "login: correct%20hors"),
        ] {
            assert!(!hears(secret, part), "{secret}");
        }
    }
}
