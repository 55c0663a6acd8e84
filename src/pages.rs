//! Bytes that grow up to a bound: on the heap while they are few, from then on in pages of their own, which are taken as
//! they are filled, never moved, and go back to the system as they are dropped; a heap keeps what it once had.

use std::io::{self, Write};

use bytes::Bytes;
use memmap2::MmapMut;

/// So many lie on the heap.
const FEW: usize = 256 * 1024;

/// What grows.
pub struct Pages {
    few: Vec<u8>,
    many: Option<MmapMut>,
    length: usize,
    most: usize,
}

impl Pages {
    /// None yet, and `most` at the most.
    pub fn of_at_most(most: usize) -> Self {
        Self { few: Vec::new(), many: None, length: 0, most }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Puts `bytes` behind what there is: all of them, or an error of [`io::ErrorKind::StorageFull`] and none, or one
    /// of the system, which has no more.
    pub fn extend(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = self.length.saturating_add(bytes.len());
        if length > self.most {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if length <= FEW {
            self.few.extend_from_slice(bytes);
        } else {
            if self.many.is_none() {
                self.many = Some(moved(&std::mem::take(&mut self.few), self.most)?);
            }
            let many = self.many.as_mut().and_then(|many| many.get_mut(self.length..length));
            many.ok_or(io::ErrorKind::StorageFull)?.copy_from_slice(bytes);
        }
        self.length = length;
        Ok(())
    }

    /// All of them, without another copy.
    pub fn into_bytes(self) -> Bytes {
        let Self { few, many, length, .. } = self;
        match many {
            Some(many) => Bytes::from_owner(Filled { many, length }),
            None => few.into(),
        }
    }
}

fn moved(few: &[u8], most: usize) -> io::Result<MmapMut> {
    let mut many = MmapMut::map_anon(most)?;
    many.get_mut(..few.len()).ok_or(io::ErrorKind::StorageFull)?.copy_from_slice(few);
    Ok(many)
}

impl Write for Pages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Filled {
    many: MmapMut,
    length: usize,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        self.many.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_the_same_wherever_they_lie_and_no_more_than_the_bound() {
        for most in [0, 1, FEW - 1, FEW, FEW + 1, 3 * FEW + 7] {
            for piece in [1_000, FEW - 1, FEW, FEW + 3] {
                let all: Vec<u8> = (0_u32..).map(|n| n.to_le_bytes()[0]).take(most).collect();
                let mut pages = Pages::of_at_most(most);
                for piece in all.chunks(piece) {
                    pages.extend(piece).unwrap();
                }
                assert_eq!((pages.len(), pages.is_empty()), (most, most == 0));
                assert_eq!(pages.extend(b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
                assert!(pages.into_bytes() == all, "{most} by {piece}");
            }
        }
    }
}
