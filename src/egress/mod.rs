//! stub
#[derive(Clone, Debug, Default)]
pub struct Exceptions;
impl std::str::FromStr for Exceptions {
    type Err = String;
    fn from_str(_: &str) -> Result<Self, String> {
        Ok(Self)
    }
}
impl Exceptions {
    pub fn covers_local(&self) -> bool {
        false
    }
    pub fn any_without_org(&self) -> bool {
        false
    }
}
pub struct OdooUrl(String);
impl OdooUrl {
    pub fn parse(t: &str, _: &Exceptions, _: Option<&str>) -> Result<Self, UrlRefused> {
        Ok(Self(t.into()))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
#[derive(Debug)]
pub struct UrlRefused;
impl UrlRefused {
    pub fn rule(&self) -> &'static str {
        "x"
    }
}
impl std::fmt::Display for UrlRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("x")
    }
}
impl std::fmt::Display for Exceptions {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("x")
    }
}
