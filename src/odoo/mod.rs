//! stub
pub enum Method {
    SearchRead,
    Read,
}
impl Method {
    pub const ALL: &[Self] = &[Self::SearchRead, Self::Read];
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::SearchRead => "search_read",
            Self::Read => "read",
        }
    }
}
pub struct Readable;
impl Readable {
    pub fn embedded() -> Result<Self, String> {
        Ok(Self)
    }
    pub fn model_names(&self) -> Vec<String> {
        vec![]
    }
}
