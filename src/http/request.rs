//! Around every request: it gets an id, its problem and every line that is logged in it get that id, and
//! one line says how it went, without path values, headers or bodies.

use std::borrow::Cow;
use std::time::Instant;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use actix_web::http::{ConnectionType, Method};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, web};
use bytes::BytesMut;
use tracing::Instrument;
use tracing::field::Empty;

use crate::audit::Who;
use crate::http::State;
use crate::http::admission::{charge_denied, tell_budget};
use crate::http::extract::{Parsed, Trespass, turn};
use crate::http::problem::{Kind, Problem};
use crate::http::surface::{guard, keep_cors};
use crate::ids::RequestId;
use crate::metrics;
use crate::telemetry::Trace;

/// The middleware.
pub async fn identify<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let started = Instant::now();
    let state = request.app_data::<web::Data<State>>();
    let (now, is_https) = state.map(|state| (state.clock.now(), state.surface.is_https)).unzip();
    let is_https = is_https == Some(true);
    let id = now
        .and_then(|now| RequestId::new(now).ok())
        .ok_or_else(|| Problem::new(Kind::Unavailable, "no request id could be made"))?;
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let has_body = has_body(&request);
    if has_body {
        let_go_of_buffer(&mut request);
    }
    let route = route_of(&request);

    let callers = request.headers().get_all(&TRACEPARENT).map(|header| header.to_str().ok());
    let trace =
        Trace::go_on(callers).map_err(|_| Problem::new(Kind::Unavailable, "no trace id could be made"))?;
    request.extensions_mut().insert(trace.id);
    // Made whatever is filtered out: a line of any level carries its fields.
    let span = tracing::error_span!(
        "request",
        request_id = %id,
        trace_id = %trace.id,
        span_id = %trace.span,
        parent_id = trace.parent.map(tracing::field::display),
        unsampled = (!trace.is_sampled).then_some(true),
        route = &*route,
        %method,
        status = Empty,
        problem = Empty,
    );

    turn(request.request(), &route).instrument(span.clone()).await;
    let work = next.call(request).instrument(span.clone());
    let response = match ENDS_WITH_ITS_CALLER.iter().any(|it| **it == *route) {
        true => work.await?,
        // In a task of its own: dropped with a connection that its caller closed, a handler would end after its
        // change and before what has to follow it.
        false => actix_web::rt::spawn(work).await.map_err(|_| broke_off())??,
    };
    let told =
        |problem: &Problem| (problem.kind().name(), problem.detail().to_owned(), problem.render(id.as_str()));
    let problem = response.response().error().map(|error| match error.as_error::<Problem>() {
        Some(problem) => told(problem),
        // actix's own: a request it could not read.
        None => told(&Problem::new(Kind::Malformed, "the request could not be read")),
    });
    let problem = match record_trespass(&response).await {
        Ok(()) => problem,
        Err(unrecorded) => Some(told(&unrecorded)),
    };
    let named = problem.as_ref().map(|(name, cause, _)| (*name, cause.clone()));
    let mut response = match problem {
        Some((.., mut rendered)) => {
            // A page that may read answers may read this one.
            keep_cors(response.headers(), rendered.headers_mut());
            response.into_response(rendered.map_into_right_body())
        }
        None => response.map_into_left_body(),
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID.clone(), value);
    }
    guard(headers, is_https);
    let of = response.request().clone();
    tell_budget(&of, response.headers_mut());
    let status = response.status().as_u16();
    let is_parsed = response.request().extensions().get::<Parsed>().is_some();
    let is_done = has_body && !(is_parsed && keeps_connection(&route, status));
    if is_done || status == Kind::HeadTooLarge.status() {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let took = started.elapsed();
    metrics::request(&route, method.as_str(), status, took);
    span.record("status", status);
    if let Some((problem, _)) = &named {
        metrics::refusal(problem);
        if *problem == Kind::EventQuota.name() {
            count_past_quota(&of);
        }
        span.record("problem", problem);
    }
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    span.in_scope(|| match (named, status) {
        // Whoever runs that Odoo is to be told, not whoever runs the vault.
        (Some(("odoo-failed" | "host-down", _)), _) => tracing::info!(micros, "request"),
        (Some((_, cause)), 500..) => tracing::error!(cause, micros, "request"),
        // A flood of them is counted, and no flood of lines.
        (Some(("too-many-requests", _)), _) => tracing::debug!(micros, "request"),
        _ => tracing::info!(micros, "request"),
    });
    Ok(response)
}

fn broke_off() -> Problem {
    Problem::new(Kind::Unavailable, "the request broke off")
}

/// Handlers that are dropped when their caller hangs up, which is how they know.
const ENDS_WITH_ITS_CALLER: &[&str] = &["/v1/connections/{id}/read"];

/// An operator's call of what is a tenant's, on record in the vault's own trail.
async fn record_trespass<B>(response: &ServiceResponse<B>) -> Result<(), Problem> {
    let request = response.request();
    let trespass = request.extensions_mut().remove::<Trespass>();
    let state = request.app_data::<web::Data<State>>();
    let Some((Trespass(operator), state)) = trespass.zip(state) else { return Ok(()) };
    if *request.method() == Method::GET {
        charge_denied(request, &operator)?;
    }
    let call = format!("{} {}", request.method(), request.match_pattern().unwrap_or_default());
    Ok(state.vault.record_operators_call(&operator, &call).await?)
}

/// A call that an org's trail has no room for is counted in the vault's own.
fn count_past_quota(request: &HttpRequest) {
    let extensions = request.extensions();
    let state = request.app_data::<web::Data<State>>();
    if let (Some(state), Some(Who::Caller(actor))) = (state, extensions.get()) {
        state.vault.untold().count_past_quota(actor.caller.org());
    }
}

// Names that are read from a text are copied for each look.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

fn has_body(request: &ServiceRequest) -> bool {
    let headers = request.headers();
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}

/// The server reads a body into a buffer that it keeps for as long as the connection. It may keep both where
/// a body was read as one that holds no secret, and broke no rule: whatever else was sent, or was not looked
/// at, ends with its answer.
fn keeps_connection(route: &str, status: u16) -> bool {
    WITHOUT_SECRETS.contains(&route) && matches!(status, 200..=299 | 403 | 404 | 409 | 423 | 429 | 502 | 503)
}

/// The values of headers are parts of that buffer, and requests are put by with their headers, to be used
/// again: the values become parts of a copy.
fn let_go_of_buffer(request: &mut ServiceRequest) {
    let headers = request.headers_mut();
    let mut copies = BytesMut::with_capacity(headers.iter().map(|(_, value)| value.len()).sum());
    headers.retain(|_, value| {
        copies.extend_from_slice(value.as_bytes());
        let copy = HeaderValue::from_maybe_shared(copies.split().freeze());
        copy.map(|copy| *value = copy).is_ok()
    });
}

/// By its pattern. The router is asked only about what is not sent often: it costs a lend a twentieth of all.
fn route_of(request: &ServiceRequest) -> Cow<'static, str> {
    let path = request.match_info().as_str();
    match WITHOUT_SECRETS.iter().find(|pattern| is_of(path, pattern)) {
        Some(pattern) => Cow::Borrowed(pattern),
        None => request.match_pattern().map_or(Cow::Borrowed("no route"), Cow::Owned),
    }
}

fn is_of(path: &str, pattern: &str) -> bool {
    let (mut path, mut pattern) = (path.split('/'), pattern.split('/'));
    loop {
        match (path.next(), pattern.next()) {
            (None, None) => return true,
            (Some(segment), Some("{id}")) if !segment.is_empty() => {}
            (Some(segment), Some(wanted)) if segment == wanted => {}
            _ => return false,
        }
    }
}

/// Routes whose bodies hold no secret, and are sent often.
const WITHOUT_SECRETS: &[&str] = &[
    "/v1/connections/{id}/leases",
    "/v1/connections/{id}/read",
    "/v1/leases/{id}/renew",
    "/v1/leases/{id}/return",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_often_is_told_by_its_segments() {
        for (path, pattern, is_so) in [
            ("/v1/connections/conn_1/leases", "/v1/connections/{id}/leases", true),
            ("/v1/connections//leases", "/v1/connections/{id}/leases", false),
            ("/v1/connections/a/leases/", "/v1/connections/{id}/leases", false),
            ("/v1/connections/a/b/leases", "/v1/connections/{id}/leases", false),
            ("/v1/leases/a/renew", "/v1/leases/{id}/renew", true),
            ("/v1/leases/a", "/v1/leases/{id}/renew", false),
            ("v1/leases/a/renew", "/v1/leases/{id}/renew", false),
        ] {
            assert_eq!(is_of(path, pattern), is_so, "{path}");
        }
    }
}
