//! A handler's arguments are its validation: who acts, which id, which page, which body. What does
//! not parse is answered here, field and rule, and never quoted.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::access::{Principal, TokenRefused};
use crate::audit::{Actor, Call, OperatorActor, Who};
use crate::error::FieldError;
use crate::http::json::parse;
use crate::http::problem::{Kind, Problem, TokenError};
use crate::http::surface::takes_its_parameters;
use crate::http::{State, admission};
use crate::ids::{IdRefused, IdempotencyKey, RequestId};
use crate::telemetry::TraceId;
use crate::vault::KeyedRequest;

/// Who acts for a user of an org, by a verified bearer token.
pub(super) struct By(pub Actor);

impl FromRequest for By {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            match actor(&request).await? {
                Who::Caller(actor) => Ok(Self(actor)),
                Who::Operator(operator) => {
                    request.extensions_mut().insert(Trespass(operator));
                    Err(no_org())
                }
            }
        })
    }
}

/// Noted in a request by which an operator tried what is a tenant's: it is on record before it is answered.
pub(super) struct Trespass(pub OperatorActor);

/// Whoever acts, an operator or not: for calls that the vault then grants to operators alone.
pub(super) struct ByAnyone(pub Who);

impl FromRequest for ByAnyone {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { actor(&request).await.map(Self) })
    }
}

/// Judged once a request, however many arguments ask.
async fn actor(request: &HttpRequest) -> Result<Who, Problem> {
    let judged = request.extensions().get::<Who>().cloned();
    if let Some(who) = judged {
        return Ok(who);
    }
    let principal = admission::judged(request, verified(request).await?)?;
    takes_its_parameters(request)?;
    let who = Who::new(principal, call(request)?);
    request.extensions_mut().insert(who.clone());
    Ok(who)
}

/// A body may take its time, and the token be revoked or end meanwhile: judged again once it is here.
async fn still_good(request: &HttpRequest) -> Result<(), Problem> {
    actor(request).await?;
    let Err(refused) = verified(request).await? else { return Ok(()) };
    admission::note_failed(request, refused.cause())?;
    Err(refused.into())
}

/// Comes when it is the turn of what the request shows: at once, but for a token that was not seen before, or an
/// assertion, from an address that sent too many that are not good. To be dropped with its caller's connection: a line
/// of those who are gone would have no end.
pub(super) async fn turn(request: &HttpRequest, route: &str) {
    let Ok(state) = state(request) else { return };
    if !admission::is_waiting(state, request) {
        return;
    }
    let is_new = match (route, bearer(request)) {
        (TOKEN, _) => true,
        (_, Ok(token)) => match state.watch.standing().await {
            Ok(standing) => state.tokens.recall(token, &standing).is_none(),
            // It is not judged.
            Err(_) => false,
        },
        (_, Err(_)) => false,
    };
    if is_new {
        state.strains.turn().await;
    }
}

const TOKEN: &str = "/v1/token";

async fn verified(request: &HttpRequest) -> Result<Result<Principal, TokenRefused>, Problem> {
    let state = state(request)?;
    let token = match bearer(request) {
        Ok(token) => token,
        Err(refused) => return Ok(Err(refused)),
    };
    let standing = state.watch.standing().await?;
    Ok(state.tokens.verify(token, &standing))
}

fn bearer(request: &HttpRequest) -> Result<&str, TokenRefused> {
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
    Ok(token.trim())
}

fn no_org() -> Problem {
    Problem::new(Kind::Forbidden, "an operator acts for no org")
}

/// A request for a token, which takes no parameters.
pub(super) struct Requested(pub Call);

impl FromRequest for Requested {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let parameters =
            takes_its_parameters(request).map_err(|problem| problem.of_token(TokenError::InvalidRequest));
        ready(parameters.and_then(|()| call(request)).map(Self))
    }
}

/// What the trail says of where a request came from.
fn call(request: &HttpRequest) -> Result<Call, Problem> {
    let proxies = &state(request)?.surface.trusted_proxies;
    let extensions = request.extensions();
    let id = extensions.get::<RequestId>().cloned();
    let id = id.ok_or_else(|| Problem::new(Kind::Unavailable, "the request has no id"))?;
    let trace = extensions.get::<TraceId>().copied();
    Ok(Call { request: id, address: admission::client(proxies, request), trace })
}

pub(super) fn state(request: &HttpRequest) -> Result<&web::Data<State>, Problem> {
    request
        .app_data::<web::Data<State>>()
        .ok_or_else(|| Problem::new(Kind::Unavailable, "the service has no state"))
}

const MAX_BODY_BYTES: usize = 64 * 1024;

/// A JSON body. The buffer it was read into is wiped.
pub(super) struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let value = parse(&read_json(&request, payload).await?)?;
            still_good(&request).await?;
            Ok(Self(value))
        })
    }
}

/// A JSON body that holds no secret: the connection may be kept.
pub(super) struct Said<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Said<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, read) = (request.clone(), Json::<T>::from_request(request, payload));
        Box::pin(async move {
            let Json(value) = read.await?;
            request.extensions_mut().insert(Parsed);
            Ok(Self(value))
        })
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
            let body = read_json(&request, payload).await?;
            let key = idempotency_key(&request)?;
            let value = parse(&body)?;
            still_good(&request).await?;
            request.extensions_mut().insert(Parsed);
            let Some(key) = key else { return Ok(Self(value, None)) };
            let Who::Caller(actor) = actor(&request).await? else { return Err(no_org()) };
            let sent = (request.method().as_str(), request.path(), body.as_slice());
            Ok(Self(value, Some(KeyedRequest::of(&actor.caller, key, sent))))
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

pub(super) fn is_of_type(request: &HttpRequest, wanted: &str) -> bool {
    let header = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    header
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case(wanted))
}

async fn read_json(request: &HttpRequest, payload: Payload) -> Result<Zeroizing<Vec<u8>>, Problem> {
    if !is_of_type(request, "application/json") {
        return Err(Problem::new(Kind::UnsupportedMediaType, "send application/json"));
    }
    read(payload, room(request, MAX_BODY_BYTES), MAX_BODY_BYTES).await
}

/// A body is 64 KiB at most; one that has not come by then never will.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// Room for all of a body that is to have at most `most` bytes: a buffer that grows leaves copies behind.
pub(super) fn room(request: &HttpRequest, most: usize) -> Zeroizing<Vec<u8>> {
    let told = request.headers().get(CONTENT_LENGTH).and_then(|told| told.to_str().ok()?.parse().ok());
    Zeroizing::new(Vec::with_capacity(most.min(told.unwrap_or(most))))
}

/// Reads a body of at most `most` bytes into `body`.
pub(super) async fn read(
    payload: Payload,
    body: Zeroizing<Vec<u8>>,
    most: usize,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let slow = |_| Problem::new(Kind::TooSlow, "send the body within ten seconds");
    tokio::time::timeout(BODY_WITHIN, read_all(payload, body, most)).await.map_err(slow)?
}

async fn read_all(
    mut payload: Payload,
    mut body: Zeroizing<Vec<u8>>,
    most: usize,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Kind::Malformed, "the body broke off"))?;
        if body.len() + chunk.len() > most {
            return Err(Problem::new(Kind::TooLarge, format!("send at most {most} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
