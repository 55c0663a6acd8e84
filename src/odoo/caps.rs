//! How much of an answer is taken, whatever it is written in. Its bytes were counted on the way in.

/// How much is taken.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Values within values.
    pub depth: usize,
    /// Bytes of one text.
    pub text: usize,
    /// Characters of one number.
    pub number: usize,
    /// Members of one struct or object.
    pub members: usize,
    /// Values of one answer: a small one takes few bytes on the wire and many times that here.
    pub values: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { depth: 32, text: 16 * 1024 * 1024, number: 400, members: 1024, values: 2_000_000 }
    }
}
