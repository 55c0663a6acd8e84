//! Where the reader stands in an answer, and what it can pull next. What holds everywhere is checked
//! here: UTF-8, commas and colons in their places, the caps, and that no name comes twice.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::odoo::caps::Caps;
use crate::odoo::json::{CUT_OFF, JsonError, NOT_JSON, TWICE, WRONG_TYPE};

/// Reads one answer from its beginning to its end.
pub struct Reader<'a> {
    pub(super) answer: &'a str,
    /// Stands always at what has not been taken.
    pub(super) at: usize,
    pub(super) caps: Caps,
    /// Whether no text has to be looked through for control characters, as there are none at all.
    pub(super) is_plain: bool,
    /// How many values have begun.
    values: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of `answer`.
    pub fn begin(answer: &'a [u8], caps: &Caps) -> Result<Self, JsonError> {
        let answer = std::str::from_utf8(answer).map_err(|_| JsonError::Malformed("not UTF-8"))?;
        // without an early end, so that it runs many bytes at a time
        let is_plain = answer.bytes().fold(true, |plain, b| plain & (b >= b' '));
        Ok(Self { answer, at: 0, caps: *caps, is_plain, values: 0 })
    }

    /// There must be nothing more.
    pub fn end(mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(JsonError::Malformed("something after the answer")),
        }
    }

    /// The first byte of what comes next.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.answer.as_bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// A comma, colon or bracket.
    #[inline]
    pub(super) fn expect(&mut self, mark: u8) -> Result<(), JsonError> {
        match self.peek() {
            Some(found) if found == mark => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(NOT_JSON),
            None => Err(CUT_OFF),
        }
    }

    /// Whether another item follows a comma; if not, `close` was there.
    #[inline]
    pub(super) fn another(&mut self, close: u8) -> Result<bool, JsonError> {
        let found = self.peek().ok_or(CUT_OFF)?;
        self.at += 1;
        match found {
            b',' => Ok(true),
            found if found == close => Ok(false),
            _ => Err(NOT_JSON),
        }
    }

    /// Whether there is a first item; if not, `close` was there.
    #[inline]
    pub(super) fn any(&mut self, close: u8) -> Result<bool, JsonError> {
        let is_empty = self.peek().ok_or(CUT_OFF)? == close;
        if is_empty {
            self.at += 1;
        }
        Ok(!is_empty)
    }

    /// `true`, `false` or `null`.
    #[inline]
    pub(super) fn word(&mut self, word: &'static str) -> Result<(), JsonError> {
        let rest = self.answer.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(NOT_JSON);
        }
        self.at += word.len();
        Ok(())
    }

    /// Another value begins.
    #[inline]
    pub(super) fn count(&mut self) -> Result<(), JsonError> {
        if self.values >= self.caps.values {
            return Err(JsonError::Limit("values"));
        }
        self.values += 1;
        Ok(())
    }

    /// Whether the next name or text is `expected`, written plainly; then it is taken.
    #[inline]
    pub(super) fn takes(&mut self, expected: &str) -> bool {
        if self.peek() != Some(b'"') {
            return false;
        }
        let rest = self.answer.as_bytes().get(self.at + 1..).unwrap_or_default();
        let is_it = rest.starts_with(expected.as_bytes()) && rest.get(expected.len()) == Some(&b'"');
        if is_it {
            self.at += expected.len() + 2;
        }
        is_it
    }

    /// The members of an object: `take` reads the value of each, at the depth it is given.
    pub(in crate::odoo) fn members<E: From<JsonError>>(
        &mut self,
        depth: usize,
        mut take: impl FnMut(&mut Self, &str, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        if depth >= self.caps.depth {
            return Err(JsonError::Limit("depth").into());
        }
        if self.peek() != Some(b'{') {
            return Err(WRONG_TYPE.into());
        }
        self.count()?;
        self.at += 1;
        let mut names: BTreeSet<Cow<'a, str>> = BTreeSet::new();
        let mut more = self.any(b'}')?;
        while more {
            if names.len() >= self.caps.members {
                return Err(JsonError::Limit("members").into());
            }
            let name = self.text()?;
            self.expect(b':')?;
            take(self, &name, depth + 1)?;
            if !names.insert(name) {
                return Err(TWICE.into());
            }
            more = self.another(b'}')?;
        }
        Ok(())
    }

    /// The items of an array: `take` reads each, at the depth it is given.
    pub(in crate::odoo) fn items<E: From<JsonError>>(
        &mut self,
        depth: usize,
        mut take: impl FnMut(&mut Self, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        if depth >= self.caps.depth {
            return Err(JsonError::Limit("depth").into());
        }
        if self.peek() != Some(b'[') {
            return Err(WRONG_TYPE.into());
        }
        self.count()?;
        self.at += 1;
        let mut more = self.any(b']')?;
        while more {
            take(self, depth + 1)?;
            more = self.another(b']')?;
        }
        Ok(())
    }

    /// Any one value, read to its end and not kept.
    pub fn skip(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek().ok_or(CUT_OFF)? {
            b'{' => return self.members(depth, |reader, _, depth| reader.skip(depth)),
            b'[' => return self.items(depth, Self::skip),
            b'"' => drop(self.text()?),
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            b'-' | b'0'..=b'9' => drop(self.decimal()?),
            _ => return Err(NOT_JSON),
        }
        self.count()
    }

    /// Whether the next value is a text.
    pub(in crate::odoo) fn is_text(&mut self) -> bool {
        self.peek() == Some(b'"')
    }

    /// Whether the next value is an object.
    pub(in crate::odoo) fn is_object(&mut self) -> bool {
        self.peek() == Some(b'{')
    }

    /// Whether the next value is `false`; then it is taken, and any other is left.
    pub(in crate::odoo) fn takes_false(&mut self) -> Result<bool, JsonError> {
        let is_false = self.peek() == Some(b'f');
        if is_false {
            self.word("false")?;
        }
        Ok(is_false)
    }
}
