//! A handler's arguments are its validation: who acts, which id, which page, which body. What does
//! not parse is answered here, field and rule, and never quoted.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::access::{Caller, TokenRefused};
use crate::audit::Actor;
use crate::error::FieldError;
use crate::http::object::Object;
use crate::http::problem::{Kind, Problem};
use crate::http::surface::takes_its_parameters;
use crate::http::{State, admission};
use crate::ids::{ConnectionId, IdRefused, IdempotencyKey, LeaseId, RequestId};
use crate::vault::{KeyedRequest, Page};

/// Who acts, by a verified bearer token.
pub(super) struct By(pub Actor);

impl FromRequest for By {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(actor(request).map(Self))
    }
}

/// Judged once a request, however many arguments ask.
fn actor(request: &HttpRequest) -> Result<Actor, Problem> {
    if let Some(actor) = request.extensions().get::<Actor>() {
        return Ok(actor.clone());
    }
    let caller = admission::judged(request, verified(request, state(request)?))?;
    takes_its_parameters(request)?;
    let id = request.extensions().get::<RequestId>().cloned();
    let id = id.ok_or_else(|| Problem::new(Kind::Unavailable, "the request has no id"))?;
    let actor = Actor { caller, request: id };
    request.extensions_mut().insert(actor.clone());
    Ok(actor)
}

fn verified(request: &HttpRequest, state: &State) -> Result<Caller, TokenRefused> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let header = headers.next().ok_or(TokenRefused::Missing)?;
    if headers.next().is_some() {
        return Err(TokenRefused::Invalid);
    }
    let text = header.to_str().map_err(|_| TokenRefused::Invalid)?;
    let (scheme, token) = text.split_once(' ').ok_or(TokenRefused::Invalid)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenRefused::Invalid);
    }
    state.tokens.verify(token.trim())
}

pub(super) fn state(request: &HttpRequest) -> Result<&web::Data<State>, Problem> {
    request
        .app_data::<web::Data<State>>()
        .ok_or_else(|| Problem::new(Kind::Unavailable, "the service has no state"))
}

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

const DEFAULT_LIMIT: u16 = 50;
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
            "limit" => match value.parse() {
                Ok(limit @ 1..=MAX_LIMIT) if is_digits(&value) => page.limit = limit,
                _ => wrong.push(FieldError::new("limit", "range", "must be from 1 to 200")),
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
    if wrong.is_empty() { Ok(page) } else { Err(Problem::invalid(wrong)) }
}

const MAX_BODY_BYTES: usize = 64 * 1024;

/// A JSON body. The buffer it was read into is wiped.
pub(super) struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (is_json, payload) = (is_json(request), payload.take());
        Box::pin(async move { parse(&read(is_json, payload).await?).map(Self) })
    }
}

/// A JSON body that changes something, and by which `Idempotency-Key` it may come again.
pub(super) struct Once<T>(pub T, pub Option<KeyedRequest>);

impl<T: DeserializeOwned + 'static> FromRequest for Once<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let body = read(is_json(&request), payload).await?;
            let key = idempotency_key(&request)?;
            let value = parse(&body)?;
            request.extensions_mut().insert(Parsed);
            let Some(key) = key else { return Ok(Self(value, None)) };
            let caller = actor(&request)?.caller;
            let sent = (request.method().as_str(), request.path(), body.as_slice());
            Ok(Self(value, Some(KeyedRequest::of(&caller, key, sent))))
        })
    }
}

/// Noted in a request whose body was what its route wants, of the right members and types.
pub(super) struct Parsed;

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

fn idempotency_key(request: &HttpRequest) -> Result<Option<IdempotencyKey>, Problem> {
    let mut headers = request.headers().get_all(IDEMPOTENCY_KEY);
    let Some(header) = headers.next() else { return Ok(None) };
    let key = match header.to_str() {
        _ if headers.next().is_some() => Err(FieldError::new(IDEMPOTENCY_KEY, "once", "must be given once")),
        Ok(text) => {
            IdempotencyKey::parse(text).map_err(|refused| FieldError::of_id(IDEMPOTENCY_KEY, refused))
        }
        Err(_) => Err(FieldError::of_id(IDEMPOTENCY_KEY, IdRefused::NotVisible)),
    };
    key.map(Some).map_err(|wrong| Problem::invalid(vec![wrong]))
}

fn is_json(request: &HttpRequest) -> bool {
    let header = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    header
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

/// A body is 64 KiB at most; one that has not come by then never will.
const BODY_WITHIN: Duration = Duration::from_secs(10);

async fn read(is_json: bool, payload: Payload) -> Result<Zeroizing<Vec<u8>>, Problem> {
    if !is_json {
        return Err(Problem::new(Kind::UnsupportedMediaType, "send application/json"));
    }
    let slow = |_| Problem::new(Kind::TooSlow, "send the body within ten seconds");
    tokio::time::timeout(BODY_WITHIN, read_all(payload)).await.map_err(slow)?
}

async fn read_all(mut payload: Payload) -> Result<Zeroizing<Vec<u8>>, Problem> {
    // Room for the largest from the start: a buffer that grows leaves copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(MAX_BODY_BYTES));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Kind::Malformed, "the body broke off"))?;
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(Problem::new(Kind::TooLarge, "send at most 65536 bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let Object(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        of_serde(path, error.inner())
    })?;
    reader.end().map_err(|_| Problem::new(Kind::Malformed, "there is more after the JSON value"))?;
    Ok(value)
}

/// serde's messages quote values; only the names of our own members and of unknown ones are taken
/// out of them.
fn of_serde(path: String, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::new(Kind::Malformed, "the body is not JSON");
    }
    let message = error.to_string();
    let named = message.split('`').nth(1).unwrap_or_default();
    let below = |name: &str| match path.as_str() {
        "." => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    let wrong = if message.starts_with("unknown field") {
        // The path ends in the unknown name already.
        unknown(if path == "." { named } else { &path })
    } else if message.starts_with("missing field") {
        FieldError::new(&below(named), "required", "is required")
    } else if message.starts_with("duplicate field") {
        FieldError::new(if path == "." { named } else { &path }, "once", "must be given once")
    } else {
        let whole = if path == "." { "body" } else { &path };
        FieldError::new(whole, "type", "is of the wrong JSON type")
    };
    Problem::invalid(vec![wrong])
}

pub(super) fn unknown(name: &str) -> FieldError {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    FieldError::new(&shown, "unknown_field", "is no member that this call takes")
}
