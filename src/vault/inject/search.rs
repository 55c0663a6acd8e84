//! Looks through bytes that come piece by piece, as they are and as they are without escapes, and keeps of them no more
//! than a piece: however long the whole is, this takes the same room.

use std::io::{self, Write};

use memchr::memmem;

use crate::vault::inject::escapes::{self, Escape, find, undo};
use crate::vault::inject::scan::{Wanted, Wiped};

const PIECE: usize = 32 * 1024;

/// A look through one whole.
pub(super) struct Search<'w> {
    /// `None` where nothing is looked for.
    level: Option<Level<'w>>,
    piece: Wiped,
    is_found: bool,
}

impl<'w> Search<'w> {
    pub(super) fn of(wanted: Option<&'w Wanted>) -> Self {
        Self { level: wanted.map(Level::first), piece: Wiped::default(), is_found: false }
    }

    /// Goes on with `bytes`.
    pub(super) fn look(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(PIECE) {
            if self.piece.len() + bytes.len() > PIECE {
                self.look_at_piece();
            }
            self.piece.extend_from_slice(bytes);
        }
    }

    /// Whether it was anywhere in all that there is.
    pub(super) fn found(mut self) -> bool {
        self.look_at_piece();
        self.is_found || self.level.as_mut().is_some_and(Level::end)
    }

    fn look_at_piece(&mut self) {
        if !self.is_found
            && let Some(level) = &mut self.level
        {
            self.is_found = level.look(&self.piece);
        }
        self.piece.clear();
    }
}

impl Write for Search<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.look(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came, and what it is without each way to escape; that once more without all of them: a value of JSON that holds
/// JSON, XML or a URL.
struct Level<'w> {
    here: Here<'w>,
    below: Vec<(&'static [Escape], Option<Below<'w>>)>,
}

impl<'w> Level<'w> {
    fn first(wanted: &'w Wanted) -> Self {
        let below = escapes::ALL.chunks(1).map(|one| (one, None)).collect();
        Self { here: Here::of(wanted), below }
    }

    fn look(&mut self, piece: &[u8]) -> bool {
        for (escapes, below) in &mut self.below {
            if below.is_none() && find(escapes, piece).is_some() {
                // Until now it was the same.
                *below = Some(Below::after(&self.here, escapes));
            }
            if below.as_mut().is_some_and(|below| below.look(piece, true)) {
                return true;
            }
        }
        self.here.look(piece)
    }

    fn end(&mut self) -> bool {
        self.below.iter_mut().any(|(_, below)| below.as_mut().is_some_and(Below::end))
    }
}

struct Below<'w> {
    escapes: &'static [Escape],
    /// What may be the beginning of an escape.
    rest: Wiped,
    level: Box<Level<'w>>,
}

impl<'w> Below<'w> {
    fn after(here: &Here<'w>, escapes: &'static [Escape]) -> Self {
        // Of what all are undone in, no more is.
        let below = if escapes.len() == 1 { vec![(&escapes::ALL[..], None)] } else { Vec::new() };
        Self { escapes, rest: Wiped::default(), level: Box::new(Level { here: here.clone(), below }) }
    }

    fn look(&mut self, piece: &[u8], has_more: bool) -> bool {
        let mut from = std::mem::take(&mut self.rest);
        from.extend_from_slice(piece);
        let mut plain = Wiped::new(Vec::with_capacity(from.len()));
        let taken = undo(self.escapes, &from, has_more, &mut plain);
        self.rest.extend_from_slice(from.get(taken..).unwrap_or_default());
        self.level.look(&plain)
    }

    fn end(&mut self) -> bool {
        self.look(&[], false) || self.level.end()
    }
}

/// One text, with each of its readings up to where it was looked through.
#[derive(Clone)]
struct Here<'w> {
    wanted: &'w Wanted,
    plain: Wiped,
    hex: Wiped,
    base64: Wiped,
    /// Whether the last byte was a zero.
    is_zero: bool,
}

impl<'w> Here<'w> {
    fn of(wanted: &'w Wanted) -> Self {
        let [plain, hex, base64] = [(); 3].map(|()| Wiped::default());
        Self { wanted, plain, hex, base64, is_zero: false }
    }

    fn look(&mut self, piece: &[u8]) -> bool {
        self.plain.extend_from_slice(piece);
        self.add_hex_digits(piece);
        self.add_base64_letters(piece);
        is_in(&self.wanted.plain, &mut self.plain)
            || is_in(&self.wanted.hex, &mut self.hex)
            || is_in(&self.wanted.base64, &mut self.base64)
    }

    /// The hex digits of a text, whatever stands between them: `6F:6e`, `0x6f, 0x6e`, a line end.
    fn add_hex_digits(&mut self, piece: &[u8]) {
        for byte in piece {
            match byte {
                b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => self.hex.push(byte.to_ascii_lowercase()),
                b'x' | b'X' if self.is_zero => drop(self.hex.pop()),
                _ => {}
            }
            self.is_zero = *byte == b'0';
        }
    }

    /// The letters of Base64 of a text, of either alphabet, whatever stands between them.
    fn add_base64_letters(&mut self, piece: &[u8]) {
        for byte in piece {
            match byte {
                b'-' => self.base64.push(b'+'),
                b'_' => self.base64.push(b'/'),
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'/' => self.base64.push(*byte),
                _ => {}
            }
        }
    }
}

/// Whether any of `all` is in `text`, of which so much is kept as may be the beginning of one.
fn is_in(all: &[Wiped], text: &mut Wiped) -> bool {
    let is_in = all.iter().any(|it| memmem::find(text, it).is_some());
    let longest = all.iter().map(|it| it.len()).max().unwrap_or_default();
    let over = text.len().saturating_sub(longest);
    text.drain(..over);
    is_in
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::vault::inject::scan::Scan;

    /// Attack on P1.
    #[test]
    fn a_secret_that_lies_across_pieces_is_found_wherever_it_is_cut() {
        let Scan::Within(wanted) = Scan::of(&Secret::new("correct \"horse\"".to_owned())) else { panic!() };
        let before = "0x, \\u00e9 &amp; %41".repeat(20);
        for spoken in [
            r#"correct "horse""#,
            r#"correct \"horse\""#,
            r"correct \\u0022horse\\u0022",
            "correct &#34;horse&#x22;",
            "correct%20%22horse%22",
            r"correct \u0026#34;horse\u0026#34;",
            "636f72726563742022686f72736522",
            "63 6F 72 72 65 63 74 20 0x22 0x68 6f 72 73 65 22",
            "Y29ycmVjdCAiaG9yc2Ui",
            "Y29y\ncmVj\ndCAiaG9y&#10;c2Ui",
        ] {
            for cut in 0..=spoken.len() {
                for second in [cut, spoken.len().min(cut + 1), spoken.len()] {
                    let mut level = Level::first(&wanted);
                    let pieces = [&before, &spoken[..cut], &spoken[cut..second], &spoken[second..], "..."];
                    let is_found = pieces.iter().any(|piece| level.look(piece.as_bytes())) || level.end();
                    assert!(is_found, "{spoken} cut at {cut} and {second}");
                }
            }
            let is_in = |text: String| {
                let mut search = Search::of(Some(&wanted));
                search.look(text.as_bytes());
                search.found()
            };
            // Across the ends of pieces as they are.
            for off in 0..spoken.len() {
                assert!(is_in("x".repeat(PIECE - off) + spoken), "{spoken} {off} before the end of a piece");
            }
            assert!(!is_in(before.repeat(300) + &spoken[..spoken.len() - 2]), "{spoken}");
        }
    }
}
