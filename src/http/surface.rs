//! What no handler has to think of: how large a head may be, pages of other origins, parameters that nobody takes,
//! and the headers that tell a browser to do nothing with what it was sent.

use std::fmt;
use std::io::Write;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL,
    CONTENT_SECURITY_POLICY, CROSS_ORIGIN_RESOURCE_POLICY, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::config::{Origins, TrustedProxies};
use crate::error::FieldError;
use crate::http::State;
use crate::http::json::unknown;
use crate::http::problem::{Kind, Problem};

/// How the listener stands to whoever is in front of it.
#[derive(Clone, Default)]
pub struct Surface {
    /// Whose word of a client's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// Whose pages may read answers.
    pub cors_origins: Origins,
    /// Callers speak TLS, with Pawl or with a proxy on its host.
    pub is_https: bool,
}

/// Names and values of all headers of a request.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Routes that take parameters, which they judge themselves. Every other one takes none.
const TAKE_PARAMETERS: &[(Method, &str)] = &[
    (Method::POST, "/v1/connections"),
    (Method::GET, "/v1/connections"),
    (Method::GET, "/v1/leases"),
    (Method::GET, "/v1/audit/events"),
    (Method::GET, "/v1/audit/export"),
];

/// The middleware, within [`crate::http::identify`].
pub async fn screen<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    if let Some(problem) = head_too_large(&request) {
        return Ok(request.error_response(problem).map_into_right_body());
    }
    let surface = request.app_data::<web::Data<State>>().map(|state| state.surface.clone());
    let origins = surface.unwrap_or_default().cors_origins;
    let sent = request.headers().get(ORIGIN).cloned();
    let origin = sent.filter(|sent| origins.has(sent.as_bytes()));
    let is_preflight = *request.method() == Method::OPTIONS
        && origin.is_some()
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight {
        request.into_response(preflight()).map_into_right_body()
    } else {
        next.call(request).await?.map_into_left_body()
    };
    if !origins.is_empty() {
        response.headers_mut().insert(VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = origin {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    Ok(response)
}

/// What was said to a browser of an answer, said of the problem in its place.
pub(super) fn keep_cors(of: &HeaderMap, to: &mut HeaderMap) {
    for name in [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, VARY] {
        if let Some(value) = of.get(&name) {
            to.insert(name, value.clone());
        }
    }
}

const EXPOSED: &str = "Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id";

/// Says nothing of a path: what it takes and who may is told to whoever asks it.
fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, "DELETE, GET, PATCH, POST, PUT"))
        .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, Idempotency-Key"))
        .insert_header((ACCESS_CONTROL_MAX_AGE, "600"))
        .finish()
}

fn head_too_large(request: &ServiceRequest) -> Option<Problem> {
    let bytes = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let total = path + request.headers().iter().map(bytes).sum::<usize>();
    let told = || Problem::new(Kind::HeadTooLarge, "send at most 16384 bytes of path and headers");
    (total > MAX_HEAD_BYTES).then(told)
}

/// Every call that asks who calls is held against it, once they are known.
pub(super) fn takes_its_parameters(request: &HttpRequest) -> Result<(), Problem> {
    if request.query_string().is_empty() {
        return Ok(());
    }
    let route = request.match_pattern().unwrap_or_default();
    if TAKE_PARAMETERS.iter().any(|(method, taken)| method == request.method() && *taken == route) {
        return Ok(());
    }
    let names = url::form_urlencoded::parse(request.query_string().as_bytes());
    let wrong: Vec<FieldError> = names.take(MAX_NAMED).map(|(name, _)| unknown(&name)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Problem::invalid(wrong)) }
}

/// So many are named to whoever sent more.
pub(super) const MAX_NAMED: usize = 20;

/// A header of at most 64 bytes of ours.
pub(super) fn header(text: fmt::Arguments) -> Option<HeaderValue> {
    let mut bytes = [0; 64];
    let mut left = &mut bytes[..];
    left.write_fmt(text).ok()?;
    let length = 64 - left.len();
    HeaderValue::from_bytes(bytes.get(..length)?).ok()
}

/// What stands in every answer; a page that needs more of its own has said so already.
pub(super) fn guard(headers: &mut HeaderMap, is_https: bool) {
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(CONTENT_SECURITY_POLICY, nothing);
    }
    if is_https {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
}

/// The same for a listener without [`crate::http::identify`].
pub async fn guarded<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let mut response = next.call(request).await?;
    guard(response.headers_mut(), false);
    Ok(response)
}
