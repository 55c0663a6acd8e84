//! Looks for a credential in what is about to be given out: as it is, in Base64 at each of the three ways that it can
//! lie there, in hex, and as JSON, XML and URLs write it, also one in the other. One that is shorter than eight bytes
//! stands by chance in too much; of those only a whole value is found.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// From so many bytes on a secret is looked for inside of values too.
pub(super) const LONG: usize = 8;
/// How often what was unescaped is unescaped again: a value of JSON that holds JSON, XML or a URL.
const DEPTH: usize = 2;

/// What is looked for. Wiped when dropped.
pub(super) struct Scan(Vec<Zeroizing<Vec<u8>>>);

impl Scan {
    pub(super) fn of(secret: &Secret) -> Self {
        let text = secret.expose().as_bytes();
        if text.len() < LONG {
            let whole = serde_json::to_vec(secret.expose()).unwrap_or_default();
            return Self(vec![Zeroizing::new(whole)]);
        }
        let mut all = vec![Zeroizing::new(text.to_vec())];
        all.push(hex(text, b"0123456789abcdef"));
        all.push(hex(text, b"0123456789ABCDEF"));
        for before in 0..3 {
            all.push(base64(text, before, &STANDARD_NO_PAD));
            all.push(base64(text, before, &URL_SAFE_NO_PAD));
        }
        if text.contains(&b' ') {
            // As forms write it.
            all.push(Zeroizing::new(text.iter().map(|b| if *b == b' ' { b'+' } else { *b }).collect()));
        }
        Self(all)
    }

    /// Whether it is in there.
    pub(super) fn finds(&self, bytes: &[u8]) -> bool {
        self.finds_below(bytes, DEPTH)
    }

    fn finds_below(&self, bytes: &[u8], depth: usize) -> bool {
        let is_here = |wanted: &Zeroizing<Vec<u8>>| memmem::find(bytes, wanted).is_some();
        if self.0.iter().any(is_here) {
            return true;
        }
        let escapes: [(u8, Unescape); 3] = [(b'\\', json), (b'&', xml), (b'%', url)];
        depth > 0
            && escapes.iter().any(|(mark, unescape)| {
                memchr::memchr(*mark, bytes).is_some()
                    && self.finds_below(&unescaped(bytes, *mark, *unescape), depth - 1)
            })
    }
}

fn hex(text: &[u8], digits: &[u8; 16]) -> Zeroizing<Vec<u8>> {
    let digit = |nibble: u8| digits.get(usize::from(nibble)).copied().unwrap_or_default();
    Zeroizing::new(text.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}

/// The letters that are the secret's alone when `before` bytes, counted modulo three, stand before it: those that it
/// shares with what is before and behind are left out.
fn base64(text: &[u8], before: usize, engine: &impl Engine) -> Zeroizing<Vec<u8>> {
    let mut padded = Zeroizing::new(vec![0; before]);
    padded.extend_from_slice(text);
    let whole = Zeroizing::new(engine.encode(&*padded).into_bytes());
    let shared_first = (before * 8).div_ceil(6);
    let own_last = padded.len() * 8 / 6;
    Zeroizing::new(whole.get(shared_first..own_last).unwrap_or_default().to_vec())
}

/// What the escape at the beginning of a text stands for, and how long it is; `None` when it is none.
type Unescape = fn(&[u8]) -> Option<(Escaped, usize)>;

enum Escaped {
    Byte(u8),
    Char(char),
}

fn unescaped(bytes: &[u8], mark: u8, unescape: Unescape) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(mark, rest) {
        let (before, from) = rest.split_at(at);
        plain.extend_from_slice(before);
        let length = match unescape(from) {
            Some((Escaped::Byte(byte), length)) => {
                plain.push(byte);
                length
            }
            Some((Escaped::Char(c), length)) => {
                plain.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                length
            }
            None => {
                plain.push(mark);
                1
            }
        };
        rest = from.get(length..).unwrap_or_default();
    }
    plain.extend_from_slice(rest);
    plain
}

fn json(from: &[u8]) -> Option<(Escaped, usize)> {
    let byte = match from.get(1)? {
        b'u' => return json_unicode(from),
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        other @ (b'"' | b'\\' | b'/' | b'\'') => *other,
        _ => return None,
    };
    Some((Escaped::Byte(byte), 2))
}

fn json_unicode(from: &[u8]) -> Option<(Escaped, usize)> {
    let unit = |at: usize| number(from.get(at..at + 4)?, 16);
    let first = unit(2)?;
    if let Some(c) = char::from_u32(first) {
        return Some((Escaped::Char(c), 6));
    }
    let second = if from.get(6..8)? == b"\\u" { unit(8)? } else { return None };
    let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    Some((Escaped::Char(char::decode_utf16(pair).next()?.ok()?), 12))
}

fn xml(from: &[u8]) -> Option<(Escaped, usize)> {
    let end = memchr::memchr(b';', from.get(..12).unwrap_or(from))?;
    let c = match from.get(1..end)? {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(number(digits, 16)?)?,
        [b'#', digits @ ..] => char::from_u32(number(digits, 10)?)?,
        _ => return None,
    };
    Some((Escaped::Char(c), end + 1))
}

fn url(from: &[u8]) -> Option<(Escaped, usize)> {
    let byte = u8::try_from(number(from.get(1..3)?, 16)?).ok()?;
    Some((Escaped::Byte(byte), 3))
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u32::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: &[&str] = &[
        "correct horse",
        "a&b<c>\"d'e\\f/g",
        "p\u{e4}ss w\u{f6}rd 🧾%",
        "0123456789abcdef0123456789abcdef01234567",
    ];

    /// How something between an Odoo and us might write it.
    fn spoken(secret: &str) -> Vec<Vec<u8>> {
        let percent = |b: &u8, all: bool, upper: bool| match b {
            b if b.is_ascii_alphanumeric() && !all => vec![*b],
            b if upper => format!("%{b:02X}").into_bytes(),
            b => format!("%{b:02x}").into_bytes(),
        };
        let mut all: Vec<Vec<u8>> = vec![secret.into(), serde_json::to_vec(secret).unwrap()];
        all.push(serde_json::to_vec(&serde_json::to_string(secret).unwrap()).unwrap());
        all.push(secret.encode_utf16().flat_map(|unit| format!("\\u{unit:04x}").into_bytes()).collect());
        all.push(secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").into());
        all.push(secret.chars().flat_map(|c| format!("&#{};", u32::from(c)).into_bytes()).collect());
        all.push(secret.chars().flat_map(|c| format!("&#x{:X};", u32::from(c)).into_bytes()).collect());
        for (every, upper) in [(false, false), (false, true), (true, false), (true, true)] {
            all.push(secret.bytes().flat_map(|b| percent(&b, every, upper)).collect());
        }
        all.push(secret.bytes().flat_map(|b| format!("{b:02x}").into_bytes()).collect());
        all.push(secret.bytes().flat_map(|b| format!("{b:02X}").into_bytes()).collect());
        for before in 0..3 {
            for after in 0..3 {
                let within = [&b"xyz"[..before], secret.as_bytes(), &b"uvw"[..after]].concat();
                all.push(base64::engine::general_purpose::STANDARD.encode(&within).into());
                all.push(base64::engine::general_purpose::URL_SAFE.encode(&within).into());
            }
        }
        all
    }

    /// Attack on P1.
    #[test]
    fn a_secret_is_found_however_it_is_written_and_wherever_it_stands() {
        for secret in SECRETS {
            let scan = Scan::of(&Secret::new((*secret).to_owned()));
            for spoken in spoken(secret) {
                for before in ["", "\"", "a%", "\\\\", "&amp", "{\"records\":[{\"id\":1,\"name\":\"\\n&lt;"] {
                    let text = [before.as_bytes(), &spoken, b"\"}]}"].concat();
                    assert!(scan.finds(&text), "{secret}: {}", String::from_utf8_lossy(&text));
                }
            }
            let mut other = secret.to_string();
            other.pop();
            for harmless in
                [other.as_str(), "{\"records\":[{\"id\":1,\"name\":\"Azure & <b>\\u00e9 100%\"}]}", ""]
            {
                assert!(!scan.finds(harmless.as_bytes()), "{secret}: {harmless}");
            }
        }
    }

    #[test]
    fn a_short_one_is_found_as_a_whole_value_alone() {
        let scan = Scan::of(&Secret::new("admin".to_owned()));
        assert!(scan.finds(br#"{"name":"admin"}"#));
        assert!(!scan.finds(br#"{"name":"administration"}"#));
        assert!(!scan.finds(br#"{"name":"the admin"}"#));
    }
}
