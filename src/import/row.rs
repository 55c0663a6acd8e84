//! A row as it came, before anything of it is believed.

/// One row of the source.
pub struct SourceRow {
    /// Its place in what was read, from 1; a CSV's header is not counted.
    pub number: u64,
    /// Its values, in the order of [`FIELDS`](crate::import::FIELDS): bytes, cut off after [`MAX_VALUE`];
    /// `None` for NULL. No values at all when it has not as many as the table has columns.
    pub values: Option<[Option<Vec<u8>>; 6]>,
}

/// What is read of a value, in characters or bytes, and one more, which tells that there was more. The longest
/// password's token is far below, as a database's hex digits too.
pub const MAX_VALUE: usize = 16_384;
