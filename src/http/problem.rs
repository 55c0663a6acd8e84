//! Every error as `application/problem+json` (RFC 9457). The one place that turns the domain's
//! errors into HTTP; what a caller may not learn is not in it.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{TokenRefused, Unmet};
use crate::clock::Moment;
use crate::error::{Error, FieldError};
use crate::http::shapes::ProblemType;
use crate::ids::ConnectionId;
use crate::vault::NotGiven;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// Every problem there is. `docs/problems.md` explains each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The NAME in `urn:pawl:problem:NAME`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// `type` of the problem.
            pub fn urn(self) -> String {
                format!("urn:pawl:problem:{}", self.name())
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

kinds! {
    /// The body is no JSON.
    Malformed = "malformed", 400, "The body is not JSON";
    /// Members break rules.
    Invalid = "invalid", 422, "What was sent breaks a rule";
    /// A token is asked for in a way that is not taken.
    TokenRequest = "invalid-request", 400, "The request for a token breaks a rule";
    /// No token, or none of ours.
    Unauthorized = "unauthorized", 401, "A valid bearer token is needed";
    /// No role grants it.
    Forbidden = "forbidden", 403, "This token may not do that";
    /// Nothing there, or nothing of the caller's.
    NotFound = "not-found", 404, "There is no such thing here";
    /// The path does not take this method.
    MethodNotAllowed = "method-not-allowed", 405, "This path does not take that method";
    /// A connection for that address exists.
    Duplicate = "duplicate", 409, "There is a connection for that address already";
    /// Another run holds the lease.
    LeaseHeld = "lease-held", 409, "Another run holds this connection's lease";
    /// Odoo refused the credential.
    AuthFailed = "auth-failed", 409, "Odoo refused this connection's credential";
    /// A check is under way.
    CheckRunning = "check-running", 409, "A check of this connection is under way";
    /// The lease is over.
    LeaseEnded = "lease-ended", 409, "The lease has ended";
    /// Lent to another client.
    NotHolder = "not-holder", 403, "The lease was lent to another client";
    /// The credential is another one now.
    CredentialReplaced = "credential-replaced", 409, "The credential was replaced since";
    /// An answer held the credential.
    CredentialLeaked = "credential-leaked", 409, "An answer held this connection's credential";
    /// The key names another request.
    KeyReused = "idempotency-key-reused", 422, "The Idempotency-Key was used for another request";
    /// Not with this kind, by the policy.
    KindNotAllowed = "kind-not-allowed", 403, "This token may not do that with that kind of credential";
    /// Not in this environment.
    EnvironmentNotAllowed = "environment-not-allowed", 403, "This token may not do that in that environment";
    /// Not in this state.
    StateNotAllowed = "state-not-allowed", 403, "This token may not do that to a connection in that state";
    /// Not Odoo's.
    NotOdoo = "not-odoo", 409, "That is for a credential of Odoo's alone";
    /// Not at this host.
    HostNotAllowed = "host-not-allowed", 403, "This org does not let that host be called";
    /// The org lends none of its credentials.
    InjectionOnly = "injection-only", 403, "This org lends no credential of Odoo's";
    /// A credential that could write is not lent.
    MayWrite = "may-write", 403, "This Odoo user can do more than read: the credential is not lent";
    /// The org or the whole vault is frozen.
    Frozen = "frozen", 423, "This org, or the whole vault, is frozen";
    /// As many leases are out as may be.
    TooManyLeases = "too-many-leases", 429, "Too many leases are out";
    /// The org's events of the day are used up.
    EventQuota = "event-quota", 429, "This org has used up its events of today";
    /// Too many reads are under way.
    TooManyReads = "too-many-reads", 429, "Too many reads are under way";
    /// Too many refused logins.
    TooManyRefusals = "too-many-refusals", 429, "Odoo refused too many logins that were checked";
    /// Too many checks of one host.
    TooManyChecks = "too-many-checks", 429, "Too many checks of this host in a minute";
    /// Too many calls, or too many bad tokens.
    TooManyRequests = "too-many-requests", 429, "Too many requests";
    /// The body did not come.
    TooSlow = "too-slow", 408, "The body did not come in time";
    /// The head is too big.
    HeadTooLarge = "head-too-large", 431, "The path and the headers are larger than 16 KiB";
    /// The body is too big.
    TooLarge = "too-large", 413, "The body is too large";
    /// The body is no JSON by its type.
    UnsupportedMediaType = "unsupported-media-type", 415, "The body is of another type than this call takes";
    /// The stored credential was moved or changed.
    DoesNotOpen = "does-not-open", 500, "The stored credential does not open where it lies";
    /// A stored row is damaged.
    Damaged = "damaged", 500, "A stored row is damaged";
    /// The key is not at hand.
    KeyNotHeld = "key-not-held", 503, "The key of the stored credential is not held";
    /// Odoo did not do it.
    OdooFailed = "odoo-failed", 502, "That Odoo did not answer with records";
    /// What came back held the credential.
    LeakStopped = "leak-stopped", 502, "What that Odoo answered holds the credential itself";
    /// The host answers nobody.
    HostDown = "host-down", 503, "The host of that Odoo does not answer; no secret was sent";
    /// Not now.
    Unavailable = "unavailable", 503, "The vault can't do this now; no secret was sent";
}

/// `error` of those who ask for a token, by RFC 6749 sections 5.2 and 4.1.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    InvalidRequest,
    InvalidClient,
    UnsupportedGrantType,
    TemporarilyUnavailable,
}

impl TokenError {
    fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

/// A problem on its way to the caller; the request id is added as it leaves.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    connection_id: Option<ConnectionId>,
    held: Option<Moment>,
    retry_after: Option<u32>,
    allowed: Option<&'static str>,
    of_token: Option<TokenError>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            connection_id: None,
            held: None,
            retry_after: None,
            allowed: None,
            of_token: None,
        }
    }

    pub(super) fn invalid(mut errors: Vec<FieldError>) -> Self {
        let more = errors.len().saturating_sub(MOST_ERRORS);
        if more > 0 {
            errors.truncate(MOST_ERRORS);
            errors.push(FieldError::new("body", "more", format!("{more} more break rules")));
        }
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        Self { errors: errors.clone(), ..Self::new(Kind::Invalid, fields.join(", ")) }
    }

    /// The same of a request for a token, with its `error`.
    pub(super) fn token_request(errors: Vec<FieldError>, error: TokenError) -> Self {
        Self { kind: Kind::TokenRequest, ..Self::invalid(errors) }.of_token(error)
    }

    /// With `error` by RFC 6749 section 5.2, for those who ask for tokens.
    pub(super) fn of_token(self, error: TokenError) -> Self {
        Self { of_token: Some(error), ..self }
    }

    /// The path takes `allowed` alone.
    pub(super) fn wrong_method(allowed: &'static str) -> Self {
        let problem = Self::new(Kind::MethodNotAllowed, "this path does not take that method");
        Self { allowed: Some(allowed), ..problem }
    }

    /// Not before `wait` is over.
    pub(super) fn too_many(detail: impl Into<String>, wait: Duration) -> Self {
        Self { retry_after: Some(whole_seconds(wait)), ..Self::new(Kind::TooManyRequests, detail) }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// What it was this time; never quotes a value that was sent.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The answer, with the request's id.
    pub(super) fn render(&self, request_id: &str) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status_code());
        if self.kind == Kind::Unauthorized {
            response.insert_header(("WWW-Authenticate", "Bearer"));
        }
        if let Some(allowed) = self.allowed {
            response.insert_header(("Allow", allowed));
        }
        if let Some(seconds) = self.retry_after {
            response.insert_header(("Retry-After", seconds.to_string()));
        }
        let view = ProblemView {
            r#type: self.kind.urn(),
            title: self.kind.title(),
            status: self.kind.status(),
            detail: self.detail.clone(),
            request_id: request_id.to_owned(),
            errors: self
                .errors
                .iter()
                .map(|e| FieldErrorView { field: e.field.clone(), rule: e.rule, detail: e.detail.clone() })
                .collect(),
            connection_id: self.connection_id.as_ref().map(ToString::to_string),
            held_until: self.held.filter(|_| self.kind == Kind::LeaseHeld).map(|until| until.to_string()),
            until: self.held.filter(|_| self.kind == Kind::HostDown).map(|until| until.to_string()),
            error: self.of_token.map(TokenError::as_str),
        };
        let body = serde_json::to_vec(&view).unwrap_or_default();
        response.content_type("application/problem+json").body(body)
    }
}

/// What is wrong with one request is told as far as that.
const MOST_ERRORS: usize = 50;
/// An export may be at its end by then.
const EXPORT_AGAIN_IN: Duration = Duration::from_secs(10);
/// A read may be at its end by then.
const READ_AGAIN_IN: Duration = Duration::from_secs(1);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::Denied(_) => Self::new(Kind::Forbidden, detail),
            Error::Invalid(errors) => Self::invalid(errors),
            Error::NotFound => Self::new(Kind::NotFound, detail),
            Error::Duplicate(id) => Self { connection_id: Some(id), ..Self::new(Kind::Duplicate, detail) },
            Error::LeaseHeld { until, now } => {
                let retry_after = Some(seconds_until(until, now));
                Self { held: Some(until), retry_after, ..Self::new(Kind::LeaseHeld, detail) }
            }
            Error::TooManyRefusals { until, now } => {
                let retry_after = Some(seconds_until(until, now));
                Self { retry_after, ..Self::new(Kind::TooManyRefusals, detail) }
            }
            Error::TooManyReads => {
                let retry_after = Some(whole_seconds(READ_AGAIN_IN));
                Self { retry_after, ..Self::new(Kind::TooManyReads, detail) }
            }
            Error::HostDown { until, now } => {
                let retry_after = Some(seconds_until(until, now));
                Self { held: Some(until), retry_after, ..Self::new(Kind::HostDown, detail) }
            }
            Error::OdooFailed { code, .. } => {
                let cause = FieldError::new("odoo", code, detail.clone());
                Self { errors: vec![cause], ..Self::new(Kind::OdooFailed, detail) }
            }
            Error::LeakStopped => Self::new(Kind::LeakStopped, detail),
            Error::CredentialLeaked => Self::new(Kind::CredentialLeaked, detail),
            Error::TooManyChecks { until, now } => {
                let retry_after = Some(seconds_until(until, now));
                Self { retry_after, ..Self::new(Kind::TooManyChecks, detail) }
            }
            Error::TooManyExports => Self::too_many(detail, EXPORT_AGAIN_IN),
            Error::TooManyLeases { until, now } => {
                let retry_after = Some(seconds_until(until, now));
                Self { retry_after, ..Self::new(Kind::TooManyLeases, detail) }
            }
            Error::EventQuota { now } => {
                let retry_after = Some(seconds_until(now.next_midnight(), now));
                Self { retry_after, ..Self::new(Kind::EventQuota, detail) }
            }
            Error::Spent(spent) => Self::too_many(detail, spent.wait),
            Error::Frozen => Self::new(Kind::Frozen, detail),
            Error::AuthFailed => Self::new(Kind::AuthFailed, detail),
            Error::CheckRunning => Self::new(Kind::CheckRunning, detail),
            Error::LeaseEnded => Self::new(Kind::LeaseEnded, detail),
            Error::NotHolder => Self::new(Kind::NotHolder, detail),
            Error::CredentialReplaced => Self::new(Kind::CredentialReplaced, detail),
            Error::KeyReused => Self::new(Kind::KeyReused, detail),
            Error::Unmet(Unmet::Kind) => Self::new(Kind::KindNotAllowed, detail),
            Error::Unmet(Unmet::Environment) => Self::new(Kind::EnvironmentNotAllowed, detail),
            Error::Unmet(Unmet::State) => Self::new(Kind::StateNotAllowed, detail),
            Error::NotOdoo(wrong) => Self { errors: vec![wrong], ..Self::new(Kind::NotOdoo, detail) },
            Error::HostNotAllowed => Self::new(Kind::HostNotAllowed, detail),
            Error::InjectionOnly => Self::new(Kind::InjectionOnly, detail),
            Error::MayWrite => Self::new(Kind::MayWrite, detail),
            Error::DoesNotOpen => Self::new(Kind::DoesNotOpen, detail),
            Error::KeyNotHeld => Self::new(Kind::KeyNotHeld, detail),
            // None gets here: a request that met it is tried again or told unavailable.
            Error::OldRing(_) => Self::new(Kind::Unavailable, detail),
            Error::Unavailable(_) => Self::new(Kind::Unavailable, detail),
            Error::Damaged(_) => Self::new(Kind::Damaged, detail),
        }
    }
}

/// Rounded up: asking again after that finds it over.
fn seconds_until(until: Moment, now: Moment) -> u32 {
    whole_seconds(until.since(now))
}

fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_micros().div_ceil(1_000_000);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

impl From<TokenRefused> for Problem {
    fn from(refused: TokenRefused) -> Self {
        Self::new(Kind::Unauthorized, refused.to_string())
    }
}

impl From<NotGiven> for Problem {
    fn from(refused: NotGiven) -> Self {
        match refused {
            // Why is for the log alone.
            NotGiven::Client(_) => Self::new(Kind::Unauthorized, "the client's assertion is not taken")
                .of_token(TokenError::InvalidClient),
            NotGiven::Wish(refused) => {
                let wrong = FieldError::new("client_assertion", "registration", refused.to_string());
                Self::token_request(vec![wrong], TokenError::InvalidRequest)
            }
            NotGiven::Spent(spent) => Self::too_many(refused.to_string(), spent.wait),
            NotGiven::Vault(error) => Self::from(error).of_token(TokenError::TemporarilyUnavailable),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

/// An error, as `application/problem+json` (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView {
    /// `urn:pawl:problem:NAME`, stable.
    #[schema(value_type = ProblemType)]
    r#type: String,
    /// What kind of problem it is.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What it was this time. Never quotes a value that was sent.
    detail: String,
    /// Also in the header `X-Request-Id` and in the trail.
    request_id: String,
    /// What is wrong with which member.
    errors: Vec<FieldErrorView>,
    /// With `duplicate`: the connection that is there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ConnectionId>, nullable = false)]
    connection_id: Option<String>,
    /// With `lease-held`: until when at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Moment>, nullable = false)]
    held_until: Option<String>,
    /// With `host-down`: until when the host is not called.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Moment>, nullable = false)]
    until: Option<String>,
    /// Of a request for a token: the error by RFC 6749 section 5.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<&'static str>,
}

/// One member that breaks a rule.
#[derive(Serialize, ToSchema)]
#[schema(as = FieldError)]
pub struct FieldErrorView {
    /// The member, with dots for depth.
    field: String,
    /// The rule's stable name.
    rule: &'static str,
    /// The rule.
    detail: String,
}
