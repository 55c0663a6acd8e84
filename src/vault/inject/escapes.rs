//! How JSON, XML and URLs write what they can't write plainly, undone.

use zeroize::Zeroizing;

/// One way to escape: what an escape begins with, and how one is read.
#[derive(Clone, Copy)]
pub(super) struct Escape {
    mark: u8,
    read: fn(&[u8]) -> Option<(Escaped, usize)>,
}

impl Escape {
    /// Each of them.
    pub(super) const ALL: [Self; 3] =
        [Self { mark: b'\\', read: json }, Self { mark: b'&', read: xml }, Self { mark: b'%', read: url }];

    /// Whether there may be any in there.
    pub(super) fn is_in(self, bytes: &[u8]) -> bool {
        memchr::memchr(self.mark, bytes).is_some()
    }

    /// What `bytes` are without this one, once.
    pub(super) fn undone(self, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
        unescaped(bytes, |rest| memchr::memchr(self.mark, rest), self.read)
    }

    /// What they are without any, once.
    pub(super) fn all_undone(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
        let [json, xml, url] = Self::ALL;
        let find = |rest: &[u8]| memchr::memchr3(json.mark, xml.mark, url.mark, rest);
        unescaped(bytes, find, |from| {
            let of_it = Self::ALL.iter().find(|it| from.first() == Some(&it.mark))?;
            (of_it.read)(from)
        })
    }
}

enum Escaped {
    Byte(u8),
    Char(char),
}

fn unescaped(
    bytes: &[u8],
    find: impl Fn(&[u8]) -> Option<usize>,
    read: impl Fn(&[u8]) -> Option<(Escaped, usize)>,
) -> Zeroizing<Vec<u8>> {
    // No escape is shorter than what it stands for.
    let mut plain = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut rest = bytes;
    while let Some(at) = find(rest) {
        let (before, from) = rest.split_at(at);
        plain.extend_from_slice(before);
        let length = match read(from) {
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
