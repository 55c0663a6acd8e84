//! A whole number as JSON has them: 60 and 60.0 are one number there, and to some clients too.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A number without a fraction that fits into `T`.
pub struct Whole<T>(pub T);

/// Up to here a double stands for one whole number alone.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl<'de, T: FromStr> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Digits(PhantomData)).map(Self)
    }
}

struct Digits<T>(PhantomData<T>);

impl<T: FromStr> Visitor<'_> for Digits<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        let wrong = || E::invalid_value(Unexpected::Float(number), &self);
        if number.fract() != 0.0 || number.abs() > EXACT {
            return Err(wrong());
        }
        // Without the sign of a zero.
        format!("{:.0}", number + 0.0).parse().map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let read = |text: &str| serde_json::from_str::<Whole<u64>>(text).ok().map(|Whole(number)| number);
        for (text, number) in [("60", 60), ("60.0", 60), ("6e1", 60), ("-0.0", 0), ("-0", 0)] {
            assert_eq!(read(text), Some(number), "{text}");
        }
        for text in ["60.5", "-1", "-1.0", "1e16", "\"60\"", "true", "null", "[60]", "18446744073709551616"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
