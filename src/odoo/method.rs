//! What may be called. Two names, and no way to make a third.

/// A method of an Odoo model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `search_read`: the fields of the records that a domain finds.
    SearchRead,
    /// `read`: the fields of the records with these ids. Missing ids are left out in silence.
    Read,
}

impl Method {
    /// Both.
    pub const ALL: &[Self] = &[Self::SearchRead, Self::Read];

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SearchRead => "search_read",
            Self::Read => "read",
        }
    }
}
