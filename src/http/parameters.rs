//! What a path and a query say: an id, which page, whether a check is wanted. What does not parse is answered here.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::error::FieldError;
use crate::http::json::unknown;
use crate::http::problem::Problem;
use crate::http::surface::MAX_NAMED;
use crate::ids::{ConnectionId, IdRefused, LeaseId};
use crate::vault::Page;

/// What stands in a path or a cursor.
pub(super) trait Named: Sized + 'static {
    fn parse(text: &str) -> Result<Self, IdRefused>;
}

impl Named for ConnectionId {
    fn parse(text: &str) -> Result<Self, IdRefused> {
        Self::parse(text)
    }
}

impl Named for LeaseId {
    fn parse(text: &str) -> Result<Self, IdRefused> {
        Self::parse(text)
    }
}

/// The number of an event.
impl Named for i64 {
    fn parse(text: &str) -> Result<Self, IdRefused> {
        let digits = (1..=18).contains(&text.len()) && is_digits(text);
        text.parse().ok().filter(|_| digits).ok_or(IdRefused::Malformed)
    }
}

/// Rust's numbers may be written with a plus, the API's may not.
fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The `{id}` of the path.
pub(super) struct Id<T>(pub T);

impl<T: Named> FromRequest for Id<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = request.match_info().get("id").unwrap_or_default();
        let id = T::parse(text).map(Self);
        ready(id.map_err(|refused| Problem::invalid(vec![FieldError::of_id("id", refused)])))
    }
}

pub(super) const DEFAULT_LIMIT: u16 = 50;
const MAX_LIMIT: u16 = 200;

/// `?limit=&cursor=`, and nothing else.
pub(super) struct Paged<T>(pub Page<T>);

impl<T: Named> FromRequest for Paged<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(page(request.query_string()).map(Self))
    }
}

/// `?check=true`, and nothing else.
pub(super) struct Wanted(pub bool);

impl FromRequest for Wanted {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let (mut wanted, mut wrong) = (None, Vec::new());
        for (name, value) in url::form_urlencoded::parse(request.query_string().as_bytes()) {
            match (&*name, &*value) {
                ("check", _) if wanted.is_some() => {
                    wrong.push(FieldError::new("check", "once", "must be given once"));
                }
                ("check", "true") => wanted = Some(true),
                ("check", "false") => wanted = Some(false),
                ("check", _) => wrong.push(FieldError::new("check", "boolean", "must be true or false")),
                (other, _) => wrong.push(unknown(other)),
            }
        }
        ready(if wrong.is_empty() { Ok(Self(wanted == Some(true))) } else { Err(Problem::invalid(wrong)) })
    }
}

pub(super) fn limit(value: &str) -> Result<u16, FieldError> {
    match value.parse() {
        Ok(limit @ 1..=MAX_LIMIT) if is_digits(value) => Ok(limit),
        _ => Err(FieldError::new("limit", "range", "must be from 1 to 200")),
    }
}

fn page<T: Named>(query: &str) -> Result<Page<T>, Problem> {
    let mut page = Page { after: None, limit: DEFAULT_LIMIT };
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if seen.contains(&name) {
            wrong.push(FieldError::new(&name, "once", "must be given once"));
            continue;
        }
        match &*name {
            "limit" => match limit(&value) {
                Ok(limit) => page.limit = limit,
                Err(refused) => wrong.push(refused),
            },
            "cursor" => match T::parse(&value) {
                Ok(after) => page.after = Some(after),
                Err(_) => {
                    wrong.push(FieldError::new("cursor", "cursor", "must be a next_cursor of this list"))
                }
            },
            other => {
                wrong.push(unknown(other));
                continue;
            }
        }
        seen.push(name);
    }
    wrong.truncate(MAX_NAMED);
    if wrong.is_empty() { Ok(page) } else { Err(Problem::invalid(wrong)) }
}
