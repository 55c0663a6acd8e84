//! Numbers: whole ones of 64 bits, and others as the text they are.

use crate::odoo::decimal::Decimal;
use crate::odoo::json::reader::Reader;
use crate::odoo::json::{CUT_OFF, JsonError, NOT_JSON, WRONG_TYPE};

const NOT_WHOLE: JsonError = JsonError::Malformed("a number that is no whole one of 64 bits");

impl Reader<'_> {
    /// A whole number.
    #[inline]
    pub(in crate::odoo) fn int(&mut self) -> Result<i64, JsonError> {
        let is_negative = self.peek() == Some(b'-');
        let rest = self.answer.as_bytes().get(self.at + usize::from(is_negative)..).unwrap_or_default();
        let (mut value, mut length): (i64, usize) = (0, 0);
        while let Some(digit @ b'0'..=b'9') = rest.get(length) {
            let digit = i64::from(*digit - b'0');
            let grown = value.checked_mul(10);
            // Downwards, so that the smallest fits too.
            value = grown.and_then(|value| value.checked_sub(digit)).ok_or(NOT_WHOLE)?;
            length += 1;
        }
        match (rest.first(), rest.get(length)) {
            (None, _) => return Err(CUT_OFF),
            (_, _) if length == 0 => return Err(WRONG_TYPE),
            (_, Some(b'.' | b'e' | b'E')) => return Err(NOT_WHOLE),
            (Some(b'0'), _) if length > 1 => return Err(NOT_JSON),
            _ => {}
        }
        self.at += usize::from(is_negative) + length;
        if is_negative { Ok(value) } else { value.checked_neg().ok_or(NOT_WHOLE) }
    }

    /// Any number, to its last digit.
    #[inline]
    pub(in crate::odoo) fn decimal(&mut self) -> Result<Decimal, JsonError> {
        self.peek();
        let rest = self.answer.as_bytes().get(self.at..).unwrap_or_default();
        let digits = |from: usize| {
            let rest = rest.get(from..).unwrap_or_default();
            rest.iter().take_while(|b| b.is_ascii_digit()).count()
        };
        let mut length = usize::from(rest.first() == Some(&b'-'));
        let whole = digits(length);
        if whole == 0 || whole > 1 && rest.get(length) == Some(&b'0') {
            return Err(NOT_JSON);
        }
        length += whole;
        if rest.get(length) == Some(&b'.') {
            let fraction = digits(length + 1);
            if fraction == 0 {
                return Err(NOT_JSON);
            }
            length += 1 + fraction;
        }
        let has_exponent = matches!(rest.get(length), Some(b'e' | b'E'));
        if has_exponent {
            length += 1 + usize::from(matches!(rest.get(length + 1), Some(b'+' | b'-')));
            let power = digits(length);
            if power == 0 {
                return Err(NOT_JSON);
            }
            length += power;
        }
        if length > self.caps.number {
            return Err(JsonError::Limit("number"));
        }
        let spelt = self.answer.get(self.at..self.at + length).ok_or(NOT_JSON)?;
        let number = Decimal::of_json(spelt, has_exponent)
            .ok_or(JsonError::Malformed("a number beyond all bounds"))?;
        self.at += length;
        Ok(number)
    }
}
