//! A number as Odoo wrote it: its decimal text, to the last digit. What is finite and only that; where
//! other spellings came in (`+1`, `.5`, `007`), it is spelt as JSON spells it (RFC 8259, section 6).

use std::fmt;

use serde::{Serialize, Serializer, ser};

use crate::odoo::text::Text;

/// A finite number in decimal.
#[derive(Clone, PartialEq, Eq)]
pub struct Decimal(Text);

/// A number without an exponent is finite if it has no more digits than this: f64 ends at 1.8e308.
const SURELY_FINITE: usize = 300;

impl Decimal {
    /// The number that `text` spells: optional sign, digits with or without a point, optional exponent.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, magnitude) = match text.as_bytes().first()? {
            b'-' => ("-", text.get(1..)?),
            b'+' => ("", text.get(1..)?),
            _ => ("", text),
        };
        let (digits, exponent) = match magnitude.find(['e', 'E']) {
            Some(at) => (magnitude.get(..at)?, magnitude.get(at + 1..)?),
            None => (magnitude, ""),
        };
        let has_exponent = digits.len() < magnitude.len();
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let is_number =
            all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
        let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if !is_number || has_exponent && (power.is_empty() || !all_digits(power)) {
            return None;
        }
        if (has_exponent || digits.len() > SURELY_FINITE) && !text.parse().is_ok_and(f64::is_finite) {
            return None;
        }
        let has_point = whole.len() < digits.len();
        let is_plain_whole = whole.len() == 1 || !whole.is_empty() && !whole.starts_with('0');
        let is_json = !text.starts_with('+') && is_plain_whole && (!has_point || !fraction.is_empty());
        if is_json {
            return Some(Self(Text::of(text)));
        }
        let whole = whole.trim_start_matches('0');
        let mut spelt = String::with_capacity(text.len() + 2);
        spelt.push_str(sign);
        spelt.push_str(if whole.is_empty() { "0" } else { whole });
        if has_point {
            spelt.push('.');
            spelt.push_str(if fraction.is_empty() { "0" } else { fraction });
        }
        if has_exponent {
            spelt.push('e');
            spelt.push_str(exponent);
        }
        Some(Self(Text::from(spelt)))
    }

    /// The number that `text` spells, which is JSON's grammar's: seen to by whoever read it.
    #[inline]
    pub(super) fn of_json(text: &str, has_exponent: bool) -> Option<Self> {
        let is_surely_finite = !has_exponent && text.len() <= SURELY_FINITE;
        let is_finite = is_surely_finite || text.parse().is_ok_and(f64::is_finite);
        is_finite.then(|| Self(Text::of(text)))
    }

    /// Its text, which is JSON's.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The nearest of the numbers that an IEEE 754 double can be.
    pub fn as_f64(&self) -> f64 {
        self.as_str().parse().unwrap_or_default()
    }
}

impl From<i64> for Decimal {
    fn from(whole: i64) -> Self {
        Self(Text::from(whole.to_string()))
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// As a number of its exact text; by serde_json alone.
impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = serde_json::value::RawValue::from_string(self.as_str().to_owned());
        raw.map_err(|_| ser::Error::custom("not a number of JSON's"))?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_text_or_is_spelt_as_json_spells_it() {
        for (text, spelt) in [
            ("0", "0"),
            ("-0.0", "-0.0"),
            ("3846.0", "3846.0"),
            ("3846.10", "3846.10"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("-2.2250738585072014e-308", "-2.2250738585072014e-308"),
            (
                "123456789012345678901234567890.123456789012345678901",
                "123456789012345678901234567890.123456789012345678901",
            ),
            ("1e+16", "1e+16"),
            ("1E5", "1E5"),
            ("+1.5", "1.5"),
            (".5", "0.5"),
            ("-.5", "-0.5"),
            ("5.", "5.0"),
            ("007", "7"),
            ("-000.50", "-0.50"),
            ("+.5E-3", "0.5e-3"),
        ] {
            let number = Decimal::parse(text).unwrap();
            assert_eq!(number.as_str(), spelt);
            assert_eq!(number.as_f64(), text.parse::<f64>().unwrap(), "{text}");
            assert_eq!(serde_json::to_string(&number).unwrap(), spelt);
            assert!(serde_json::from_str::<serde_json::Value>(spelt).is_ok(), "{spelt}");
        }
        let long = "9".repeat(400);
        for none in [
            "", "-", "+", ".", "-.", "e5", "1e", "1e+", "1.e", "inf", "NaN", "1e999", "0x1", "1 ", " 1",
            "1,5", "--1", "1.2.3", "1e5.0", &long, "١",
        ] {
            assert_eq!(Decimal::parse(none), None, "{none}");
        }
    }
}
