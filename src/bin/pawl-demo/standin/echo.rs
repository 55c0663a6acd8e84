//! A server that sends the caller's own secret back, so that what must never pass can be seen to be caught.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::http::{Answer, TEXT_FIRST, answered, page};
use super::outcome::Outcome;
use super::refusal::Refusal;
use super::settings::{Coding, Echo, Place};

/// Stands for what is written in escapes once the answer is.
const STANDS_FOR_IT: &str = "what-you-told-me";

impl Echo {
    /// As a text of an answer.
    pub fn said(self, secret: &str) -> String {
        let each = |write: fn(u8) -> String| secret.bytes().map(write).collect::<String>();
        match self.coding {
            Coding::Raw => secret.to_owned(),
            Coding::Escaped => secret
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() {
                        c.into()
                    } else {
                        units(c, |unit| format!("\\u{unit:04x}"))
                    }
                })
                .collect(),
            Coding::Base64 => STANDARD.encode(secret),
            Coding::Hex => each(|byte| format!("{byte:02x}")),
            Coding::Percent => each(|byte| format!("%{byte:02X}")),
            Coding::Hidden => STANDS_FOR_IT.into(),
        }
    }

    /// What becomes of a result.
    pub fn spoil<'a>(
        self,
        secret: &str,
        result: Result<Outcome<'a>, Refusal>,
    ) -> Result<Outcome<'a>, Refusal> {
        match (self.place, result) {
            (Place::Fault, _) => Err(Refusal::unforeseen("ValueError", self.said(secret))),
            (Place::Value | Place::Gzip, Ok(Outcome::Records(mut records))) => {
                records.echo = Some(self.said(secret));
                Ok(Outcome::Records(records))
            }
            (_, result) => result,
        }
    }

    /// What becomes of an answer.
    pub fn wrap(self, secret: &str, answer: Answer) -> Answer {
        // A header has no room for more than a line of ASCII; on the wire one may stand there raw all the same.
        let mut answer = match self.place {
            Place::Value | Place::Fault | Place::Gzip => answer,
            Place::Header => answer.with(&format!("X-Asked-With: {}\r\n", self.said(secret))),
            Place::Page => page("502 Bad Gateway", TEXT_FIRST, "Bad Gateway", &self.said(secret)),
            Place::Redirect => {
                let to = format!("Location: /web/login?login={}\r\n", self.said(secret));
                answered("303 SEE OTHER", TEXT_FIRST, &to, String::new())
            }
        };
        if self.coding == Coding::Hidden {
            let as_json = |c: char| units(c, |unit| format!("\\u{unit:04x}"));
            let as_xml = |c: char| format!("&#x{:x};", u32::from(c));
            let is_json = answer.head.contains("application/json");
            let hidden: String = match is_json {
                true => secret.chars().map(as_json).collect(),
                false => secret.chars().map(as_xml).collect(),
            };
            let body = String::from_utf8_lossy(&answer.body).replace(STANDS_FOR_IT, &hidden);
            answer.set_body(body.into_bytes());
            answer.head = answer.head.replace(STANDS_FOR_IT, &hidden);
        }
        if self.place == Place::Gzip { answer.gzip() } else { answer }
    }
}

/// Each half of a character that JSON writes as two.
fn units(c: char, write: impl Fn(u16) -> String) -> String {
    c.encode_utf16(&mut [0; 2]).iter().map(|unit| write(*unit)).collect()
}
