//! Looks for a credential in what came from an Odoo: as it is, in Base64 and in hex, however those are broken up, one in
//! the other, and as JSON, XML and URLs write it. One that is shorter than eight bytes stands by chance in too much; of
//! those only a whole value is found.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::vault::inject::search::Search;

/// From so many bytes on a secret is looked for inside of texts.
const LONG: usize = 8;

/// What is looked for. Wiped when dropped.
pub(super) enum Scan {
    Within(Wanted),
    Whole(Vec<Wiped>),
}

pub(super) type Wiped = Zeroizing<Vec<u8>>;

/// What stands for a long one.
pub(super) struct Wanted {
    /// In what came as it is.
    pub(super) plain: Vec<Wiped>,
    /// Among its hex digits, in lower case and without all else.
    pub(super) hex: Vec<Wiped>,
    /// Among its letters of Base64, in the standard's alphabet and without all else.
    pub(super) base64: Vec<Wiped>,
}

impl Scan {
    pub(super) fn of(secret: &Secret) -> Self {
        let text = secret.expose().as_bytes();
        match text.len() < LONG {
            true => Self::Whole(whole(text)),
            false => Self::Within(Wanted::of(text)),
        }
    }

    /// Whether it stands anywhere in `bytes`; a short one is not looked for. Takes long where those are many.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        let mut search = self.search();
        search.look(bytes);
        search.found()
    }

    /// To look for it in what comes piece by piece.
    pub(super) fn search(&self) -> Search<'_> {
        match self {
            Self::Within(wanted) => Search::of(Some(wanted)),
            Self::Whole(_) => Search::of(None),
        }
    }

    /// Whether `value`, all of it, is a short one.
    pub(super) fn is(&self, value: &str) -> bool {
        let value = value.trim().as_bytes();
        match self {
            Self::Within(_) => false,
            Self::Whole(all) => all.iter().any(|wanted| value.eq_ignore_ascii_case(wanted)),
        }
    }
}

/// Short enough that letters of the other case are no other secret.
fn whole(text: &[u8]) -> Vec<Wiped> {
    let in_base64 =
        [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD].map(|engine| written(text, engine));
    [Zeroizing::new(text.to_vec()), hex(text, LOWER)].into_iter().chain(in_base64).collect()
}

impl Wanted {
    fn of(text: &[u8]) -> Self {
        let mut plain = vec![Zeroizing::new(text.to_vec())];
        if text.contains(&b' ') {
            // As forms write it.
            plain.push(Zeroizing::new(text.iter().map(|b| if *b == b' ' { b'+' } else { *b }).collect()));
        }
        let mut inner = vec![Zeroizing::new(text.to_vec()), hex(text, LOWER), hex(text, UPPER)];
        inner.push(written(text, &STANDARD_NO_PAD));
        inner.push(written(text, &URL_SAFE_NO_PAD));
        inner.dedup();
        let hex = inner.iter().map(|inner| hex(inner, LOWER)).collect();
        let base64 = inner.iter().flat_map(|inner| (0..3).map(|before| base64(inner, before))).collect();
        Self { plain, hex, base64 }
    }
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn hex(text: &[u8], digits: &[u8; 16]) -> Wiped {
    let digit = |nibble: u8| digits.get(usize::from(nibble)).copied().unwrap_or_default();
    Zeroizing::new(text.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}

fn written(text: &[u8], engine: &impl Engine) -> Wiped {
    Zeroizing::new(engine.encode(text).into_bytes())
}

/// The letters that are the secret's alone when `before` bytes, counted modulo three, stand before it: those that it
/// shares with what is before and behind are left out.
fn base64(text: &[u8], before: usize) -> Wiped {
    let mut padded = Zeroizing::new(vec![0; before]);
    padded.extend_from_slice(text);
    let whole = written(&padded, &STANDARD_NO_PAD);
    let shared_first = (before * 8).div_ceil(6);
    let own_last = padded.len() * 8 / 6;
    Zeroizing::new(whole.get(shared_first..own_last).unwrap_or_default().to_vec())
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
        let in_hex = |form: fn(usize, u8) -> String| -> Vec<u8> {
            secret.bytes().enumerate().flat_map(|(n, b)| form(n, b).into_bytes()).collect()
        };
        let (lower, upper) = (in_hex(|_, b| format!("{b:02x}")), in_hex(|_, b| format!("{b:02X}")));
        all.push(in_hex(|n, b| if n % 2 == 0 { format!("{b:02x}") } else { format!("{b:02X}") }));
        all.push(in_hex(|_, b| format!("{b:02X}:")));
        all.push(in_hex(|_, b| format!("0x{b:02x}, ")));
        all.push(in_hex(|_, b| format!("\\x{b:02x}")));
        all.push(in_hex(|n, b| format!("{b:02x}{}", if n % 4 == 3 { "\r\n" } else { " " })));
        all.extend([&lower, &upper].map(|it| STANDARD.encode(it).into()));
        all.push(STANDARD.encode([b"x", &lower[..]].concat()).into());
        all.push(STANDARD.encode(STANDARD.encode(secret)).into());
        all.push(STANDARD.encode(secret).bytes().flat_map(|b| format!("{b:02x}").into_bytes()).collect());
        let lines = |line_end: &str| {
            let whole = STANDARD.encode([b"before it", secret.as_bytes(), b"behind"].concat());
            let lines: Vec<&str> =
                whole.as_bytes().chunks(7).map(|it| std::str::from_utf8(it).unwrap()).collect();
            lines.join(line_end)
        };
        all.extend(["\n", "\r\n", "\n\t ", "\\n", "\\r\\n", "&#10;"].map(|line_end| lines(line_end).into()));
        all.extend([lower, upper]);
        for before in 0..3 {
            for after in 0..3 {
                let within = [&b"xyz"[..before], secret.as_bytes(), &b"uvw"[..after]].concat();
                all.push(STANDARD.encode(&within).into());
                all.push(URL_SAFE.encode(&within).into());
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
                    assert!(scan.is_in(&text), "{secret}: {}", String::from_utf8_lossy(&text));
                }
            }
            let mut other = secret.to_string();
            other.pop();
            for harmless in
                [other.as_str(), "{\"records\":[{\"id\":1,\"name\":\"Azure & <b>\\u00e9 100%\"}]}", ""]
            {
                assert!(!scan.is_in(harmless.as_bytes()), "{secret}: {harmless}");
            }
        }
    }

    #[test]
    fn a_short_one_is_found_as_a_whole_value_alone() {
        let scan = Scan::of(&Secret::new("admin".to_owned()));
        for it in ["admin", " admin\n", "Admin", "YWRtaW4=", "YWRtaW4", "61646d696e", "61646D696E"] {
            assert!(scan.is(it), "{it}");
        }
        for other in ["administration", "the admin", "", "admi"] {
            assert!(!scan.is(other), "{other}");
        }
        assert!(!scan.is_in(br#"{"name":"admin"}"#));
    }
}
