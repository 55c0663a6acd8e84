//! Texts: borrowed from the answer where nothing in them is escaped.

use std::borrow::Cow;

use crate::odoo::json::reader::Reader;
use crate::odoo::json::{CUT_OFF, JsonError, NOT_JSON, WRONG_TYPE};

const BARE_CONTROL: JsonError = JsonError::Malformed("a bare control character in a text");
const NO_CHARACTER: JsonError = JsonError::Malformed("an escape that is no character");

impl<'a> Reader<'a> {
    /// A text.
    #[inline]
    pub(in crate::odoo) fn text(&mut self) -> Result<Cow<'a, str>, JsonError> {
        match self.peek() {
            Some(b'"') => self.at += 1,
            Some(_) => return Err(WRONG_TYPE),
            None => return Err(CUT_OFF),
        }
        let (plain, end) = self.plain()?;
        if end == b'"' {
            return Ok(Cow::Borrowed(plain));
        }
        self.escaped(plain).map(Cow::Owned)
    }

    /// What comes before the next quote or backslash, which is taken, and which of them it was.
    #[inline]
    fn plain(&mut self) -> Result<(&'a str, u8), JsonError> {
        let rest = self.answer.as_bytes().get(self.at..).unwrap_or_default();
        let length = memchr::memchr2(b'"', b'\\', rest).ok_or(CUT_OFF)?;
        if length > self.caps.text {
            return Err(JsonError::Limit("text"));
        }
        let plain = self.answer.get(self.at..self.at + length).ok_or(NOT_JSON)?;
        if !self.is_plain && plain.bytes().any(|b| b < b' ') {
            return Err(BARE_CONTROL);
        }
        self.at += length + 1;
        Ok((plain, rest.get(length).copied().unwrap_or_default()))
    }

    /// The rest of a text in which a backslash was just taken.
    #[cold]
    fn escaped(&mut self, before: &str) -> Result<String, JsonError> {
        let mut text = before.to_owned();
        loop {
            text.push(self.escape()?);
            let (plain, end) = self.plain()?;
            text.push_str(plain);
            if text.len() > self.caps.text {
                return Err(JsonError::Limit("text"));
            }
            if end == b'"' {
                return Ok(text);
            }
        }
    }

    /// The character that an escape stands for, whose backslash was taken.
    fn escape(&mut self) -> Result<char, JsonError> {
        let letter = *self.answer.as_bytes().get(self.at).ok_or(CUT_OFF)?;
        self.at += 1;
        Ok(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                let second = match first {
                    // a high surrogate, which is half a character
                    0xd800..=0xdbff => {
                        self.expect_here("\\u")?;
                        Some(self.unit()?)
                    }
                    _ => None,
                };
                let units = std::iter::once(first).chain(second);
                let mut decoded = char::decode_utf16(units);
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(character)), None) => character,
                    _ => return Err(NO_CHARACTER),
                }
            }
            _ => return Err(NOT_JSON),
        })
    }

    fn expect_here(&mut self, what: &str) -> Result<(), JsonError> {
        let rest = self.answer.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(what.as_bytes()) {
            return Err(NO_CHARACTER);
        }
        self.at += what.len();
        Ok(())
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u16, JsonError> {
        let digits = self.answer.as_bytes().get(self.at..self.at + 4).ok_or(CUT_OFF)?;
        let mut unit: u16 = 0;
        for digit in digits {
            let value = char::from(*digit).to_digit(16).and_then(|value| u16::try_from(value).ok());
            unit = unit * 16 + value.ok_or(NOT_JSON)?;
        }
        self.at += 4;
        Ok(unit)
    }
}
