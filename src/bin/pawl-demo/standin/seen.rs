//! What the stand-in was asked, for those who count.

use super::wire::Value;

/// What a call was said in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// XML-RPC.
    #[default]
    Xml,
    /// JSON-RPC.
    Json,
    Json2,
}

/// One call that was made; never its password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub dialect: Dialect,
    /// `authenticate`, `search_read`, ….
    pub method: String,
    /// The model, or nothing for a login.
    pub model: String,
    /// How many fields it named.
    pub fields: usize,
    /// Of a search, the domain: `[["id", ">", 1000]]`. Of others, nothing.
    pub domain: String,
    /// Of a search, the order that it named.
    pub order: String,
    /// How many records it asked for at most; 0 for no limit.
    pub limit: i64,
    /// How many it passed over.
    pub offset: i64,
    /// Of a read, how many ids it named.
    pub ids: usize,
}

impl Seen {
    /// Of a call of a service.
    pub fn of(dialect: Dialect, method: &str, params: &[Value]) -> Self {
        if !["execute_kw", "execute"].contains(&method) {
            return Self { dialect, method: method.to_owned(), ..Self::default() };
        }
        let text = |n: usize| params.get(n).and_then(Value::as_text).unwrap_or_default();
        let args = params.get(5).and_then(Value::as_list).unwrap_or_default();
        Self { dialect, ..Self::of_call(text(3), text(4), args, params.get(6)) }
    }

    /// Of a call whose arguments have names.
    pub fn of_json2(model: &str, method: &str, named: &Value) -> Self {
        Self { dialect: Dialect::Json2, ..Self::of_call(model, method, &[], Some(named)) }
    }

    fn of_call(model: &str, method: &str, args: &[Value], named: Option<&Value>) -> Self {
        let argument =
            |place: usize, name: &str| args.get(place).or_else(|| named.and_then(|named| named.member(name)));
        let count = |place, name| argument(place, name).and_then(Value::as_list).map_or(0, <[Value]>::len);
        let number = |place, name| argument(place, name).and_then(Value::as_number).unwrap_or(0);
        let (model, method, fields) = (model.to_owned(), method.to_owned(), count(1, "fields"));
        if method == "read" {
            return Self { method, model, fields, ids: count(0, "ids"), ..Self::default() };
        }
        let domain = argument(0, "domain").map(Value::json).unwrap_or_default();
        let order = argument(4, "order").and_then(Value::as_text).unwrap_or_default().to_owned();
        let (offset, limit) = (number(2, "offset"), number(3, "limit"));
        Self { method, model, fields, domain, order, limit, offset, ..Self::default() }
    }

    /// Whether it tried to log in.
    pub fn is_login(&self) -> bool {
        ["authenticate", "login"].contains(&self.method.as_str()) && self.model.is_empty()
    }
}
