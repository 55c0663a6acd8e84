//! What an export is made of. As lines of JSON it can be verified by whoever has it: each event stands there as the
//! text that was hashed. As CSV it is for spreadsheets, where no cell is taken for a formula.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::audit::chain::Hash;
use crate::audit::members::member;

/// The version of an export's lines.
pub const EXPORT: &str = "1";

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// [`EXPORT`].
    pub pawl_audit_export: String,
    /// Whose chain.
    pub org: String,
    /// The number of the first event.
    pub first_seq: i64,
    /// The number of the last event: one less where there is none.
    pub last_seq: i64,
    /// The hash of the event before the first: zeros where there was none.
    pub prev_hash: Hash,
    /// With it the org's leaf can be told from others' (hex).
    pub salt: Option<Hash>,
    /// The log's verifier key. It proves nothing by itself: have it from elsewhere too.
    pub public_key: Option<String>,
}

/// A line for each event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line<'a> {
    /// Its number.
    pub seq: i64,
    /// The text whose bytes are hashed: a JSON object.
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    /// Of the event before.
    #[serde(borrow)]
    pub prev_hash: Cow<'a, str>,
    /// Its own.
    #[serde(borrow)]
    pub hash: Cow<'a, str>,
}

/// The last line: without it the export broke off.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Last {
    /// A signed note over the whole log; `null` before the first one.
    pub checkpoint: Option<String>,
    /// The org's leaf under it.
    pub leaf: Option<Leaf>,
    /// That the checkpoint's root holds the leaf.
    pub inclusion: Vec<Hash>,
    /// The newest checkpoint that a witness has taken.
    pub witnessed: Option<WitnessedNote>,
    /// That the checkpoint goes on from one of that size; only where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
}

/// What a checkpoint that somebody kept is compared by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Since {
    /// How many leaves it stands over.
    pub size: u64,
    /// That the newest checkpoint goes on from it.
    pub consistency: Vec<Hash>,
}

/// An org's leaf of the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// Its number in the log, from 0.
    pub index: u64,
    /// The number of the event that was the chain's last.
    pub seq: i64,
    /// Its hash.
    pub hash: Hash,
}

/// A checkpoint that a witness has.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessedNote {
    /// The signed note.
    pub checkpoint: String,
    /// That the newest checkpoint goes on from it.
    pub consistency: Vec<Hash>,
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = bytes_of(&text).and_then(|bytes| Hash::from_bytes(&bytes));
        hash.ok_or_else(|| serde::de::Error::custom("no hash"))
    }
}

/// Lower-case hex.
pub fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads lower-case hex.
pub fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some((digit(*high)? << 4) | digit(*low)?),
        _ => None,
    };
    hex.as_bytes().chunks(2).map(pair).collect()
}

/// One line of JSON.
pub fn line_of(value: &impl Serialize) -> String {
    // Texts and numbers under texts always render.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

/// Reads a line as it was written, to the byte: two texts that say the same are not the same here.
pub fn read_line<'a, T: Serialize + Deserialize<'a>>(line: &'a str) -> Option<T> {
    let value: T = serde_json::from_str(line).ok()?;
    (serde_json::to_string(&value).ok()? == line).then_some(value)
}

/// The members that have a column, in their order; between `seq` and `hash`, `other`.
pub const COLUMNS: &[&str] = &[
    member::TIME,
    member::ACTION,
    member::STATUS,
    member::DETAIL,
    member::ORG,
    member::USER,
    member::CLIENT,
    member::ADDRESS,
    member::CONNECTION,
    member::LABEL,
    member::LEASE,
    "purpose",
    "subject",
    "filter",
    member::REQUEST,
    member::TRACE,
    member::UID,
    member::SCHEMA,
];

/// The first line of a CSV.
pub fn csv_head() -> String {
    format!("seq,{},hash,other\r\n", COLUMNS.join(","))
}

/// An event as a line of CSV (RFC 4180). What is no event stands under `other` as it is.
pub fn csv_line(seq: i64, event: &str, hash: &str) -> String {
    let members: Result<BTreeMap<String, serde_json::Value>, _> = serde_json::from_str(event);
    let (mut members, rest) = members.map_or((BTreeMap::new(), Some(event)), |members| (members, None));
    let mut line = seq.to_string();
    for column in COLUMNS {
        line.push(',');
        match members.remove(*column) {
            Some(serde_json::Value::String(text)) => add_cell(&mut line, &text),
            Some(other) => add_cell(&mut line, &other.to_string()),
            None => {}
        }
    }
    line.push(',');
    line.push_str(hash);
    line.push(',');
    match rest {
        Some(rest) => add_cell(&mut line, rest),
        None if members.is_empty() => {}
        None => add_cell(&mut line, &serde_json::to_string(&members).unwrap_or_default()),
    }
    line.push_str("\r\n");
    line
}

/// What a spreadsheet would take for a formula has an apostrophe before it: at the beginning of a cell, and behind
/// whatever it may take for the end of one, as some take a semicolon or a tab.
fn add_cell(line: &mut String, text: &str) {
    let is_quoted = text.contains([',', ';', '"', '\t', '\r', '\n']);
    if is_quoted {
        line.push('"');
    }
    if text.starts_with(['\t', '\r']) {
        line.push('\'');
    }
    let mut is_begin = true;
    for letter in text.chars() {
        match letter {
            '=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}' if is_begin => {
                line.push('\'');
                is_begin = false;
            }
            ',' | ';' | '\t' | '\r' | '\n' => is_begin = true,
            // What stands before a formula and does not hide it.
            ' ' | '"' => {}
            _ => is_begin = false,
        }
        if letter == '"' {
            line.push('"');
        }
        line.push(letter);
    }
    if is_quoted {
        line.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_breaks_out() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@a", "'@a"),
            ("\t=1", "\"'\t'=1\""),
            ("\r=1", "\"'\r'=1\""),
            ("a;=1", "\"a;'=1\""),
            ("a; +1", "\"a; '+1\""),
            ("a;\"@b", "\"a;\"\"'@b\""),
            ("a\n-1", "\"a\n'-1\""),
            ("a\t=1", "\"a\t'=1\""),
            (" =1", " '=1"),
            ("a-b=c", "a-b=c"),
            ("a;b", "\"a;b\""),
            ("=a,b", "\"'=a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\nb", "\"a\nb\""),
            ("plain", "plain"),
        ] {
            let mut line = String::new();
            add_cell(&mut line, text);
            assert_eq!(line, cell);
        }
        let line =
            csv_line(7, r#"{"zz":"=x","activity_name":"=cmd|' /C calc'!A0","status":"Success"}"#, "ab");
        assert!(line.starts_with("7,,'=cmd|' /C calc'!A0,Success,"), "{line}");
        assert!(line.ends_with(",ab,\"{\"\"zz\"\":\"\"=x\"\"}\"\r\n"), "{line}");
        assert!(csv_line(7, "=broken", "ab").ends_with(",ab,'=broken\r\n"));
    }

    #[test]
    fn a_line_is_read_to_the_byte() {
        let line = line_of(&Line {
            seq: 1,
            event: "{\"a\":\"é\\n\"}".into(),
            prev_hash: "00".into(),
            hash: "ff".into(),
        });
        let read: Line = read_line(line.trim_end()).unwrap();
        assert_eq!(read.event, "{\"a\":\"é\\n\"}");
        for other in [
            line.replace("1,", "1 ,"),
            line.replace('é', "\\u00e9"),
            line.replace("\"ff\"}", "\"ff\",\"x\":1}"),
        ] {
            assert!(read_line::<Line>(other.trim_end()).is_none(), "{other}");
        }
        assert_eq!(bytes_of("0aff"), Some(vec![10, 255]));
        assert_eq!((bytes_of("0A"), bytes_of("0")), (None, None));
    }
}
