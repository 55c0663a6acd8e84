//! How JSON, XML and URLs write what they can't write plainly, undone.

/// One way to escape: what an escape begins with, and how one is read.
#[derive(Clone, Copy)]
pub(super) struct Escape {
    mark: u8,
    read: fn(&[u8]) -> Option<(Escaped, usize)>,
}

/// Each of them.
pub(super) static ALL: [Escape; 3] =
    [Escape { mark: b'\\', read: json }, Escape { mark: b'&', read: xml }, Escape { mark: b'%', read: url }];

/// None is longer.
const LONGEST: usize = 12;

enum Escaped {
    Byte(u8),
    Char(char),
}

/// Where the first of `escapes` may begin.
pub(super) fn find(escapes: &[Escape], bytes: &[u8]) -> Option<usize> {
    match escapes {
        [one] => memchr::memchr(one.mark, bytes),
        [one, other, third] => memchr::memchr3(one.mark, other.mark, third.mark, bytes),
        _ => bytes.iter().position(|byte| escapes.iter().any(|escape| escape.mark == *byte)),
    }
}

/// Puts what `bytes` are without `escapes`, once, behind `plain`, and answers how many it took: all of them, unless more
/// are to come and the last may be the beginning of one. No escape is shorter than what it stands for.
pub(super) fn undo(escapes: &[Escape], bytes: &[u8], has_more: bool, plain: &mut Vec<u8>) -> usize {
    let mut rest = bytes;
    while let Some(at) = find(escapes, rest) {
        let (before, from) = rest.split_at(at);
        plain.extend_from_slice(before);
        if has_more && from.len() < LONGEST {
            return bytes.len() - from.len();
        }
        let of_it = escapes.iter().find(|it| from.first() == Some(&it.mark));
        let length = match of_it.and_then(|escape| (escape.read)(from)) {
            Some((Escaped::Byte(byte), length)) => {
                plain.push(byte);
                length
            }
            Some((Escaped::Char(c), length)) => {
                plain.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                length
            }
            None => {
                plain.extend(from.first());
                1
            }
        };
        rest = from.get(length..).unwrap_or_default();
    }
    plain.extend_from_slice(rest);
    bytes.len()
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
