//! A text that is mostly short, such as a state, a date or a number: then it costs no allocation.

use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};

/// A text as a record holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Kept);

#[derive(Clone, PartialEq, Eq)]
enum Kept {
    Short { length: u8, bytes: [u8; Text::SHORT] },
    Long(Box<str>),
}

impl Text {
    /// As many bytes are kept in place.
    pub(super) const SHORT: usize = 22;

    /// A copy of `text`.
    #[inline]
    pub fn of(text: &str) -> Self {
        let mut bytes = [0; Self::SHORT];
        Self(match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Kept::Short { length, bytes }
            }
            _ => Kept::Long(text.into()),
        })
    }

    /// It.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kept::Short { length, bytes } => {
                let text = bytes.get(..usize::from(*length)).unwrap_or_default();
                // Nothing but a whole text was put there.
                std::str::from_utf8(text).unwrap_or_default()
            }
            Kept::Long(text) => text,
        }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::of(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        if text.len() > Self::SHORT { Self(Kept::Long(text.into())) } else { Self::of(&text) }
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        match text.0 {
            Kept::Long(text) => text.into(),
            Kept::Short { .. } => text.as_str().to_owned(),
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::of("")
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_is_what_it_was() {
        for length in 0..60 {
            for letter in ["a", "é", "🧾"] {
                let text = letter.repeat(length);
                assert_eq!(Text::of(&text).as_str(), text);
                assert_eq!(Text::from(text.clone()), Text::of(&text));
                assert_eq!(format!("{:?}", Text::of(&text)), format!("{text:?}"));
            }
        }
        assert_ne!(Text::of("a"), Text::of("a\0"));
        assert_eq!(size_of::<Text>(), 24);
    }
}
