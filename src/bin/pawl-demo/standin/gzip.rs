//! Compression without any gain: each byte as the code that the format fixes for it, so that nothing of
//! the text is to be read in the bytes. RFC 1951 (3.2.6) in RFC 1952's frame.

/// `bytes`, as gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits = Bits { out: &mut out, held: 0, count: 0 };
    // The last block, with the fixed codes.
    bits.put(true);
    bits.put(true);
    bits.put(false);
    for byte in bytes {
        match u16::from(*byte) {
            low @ 0..=143 => bits.code(0x30 + low, 8),
            high => bits.code(0x190 + (high - 144), 9),
        }
    }
    bits.code(0, 7);
    while bits.count != 0 {
        bits.put(false);
    }
    out.extend_from_slice(&crc32(bytes).to_le_bytes());
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out
}

struct Bits<'a> {
    out: &'a mut Vec<u8>,
    held: u8,
    count: u8,
}

impl Bits<'_> {
    fn put(&mut self, bit: bool) {
        self.held |= u8::from(bit) << self.count;
        self.count += 1;
        if self.count == 8 {
            self.out.push(self.held);
            (self.held, self.count) = (0, 0);
        }
    }

    /// A code comes with its highest bit first.
    fn code(&mut self, code: u16, length: u16) {
        (0..length).rev().for_each(|bit| self.put(code >> bit & 1 == 1));
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
