//! What a query says of the trail: which events, which page, as what it is exported. What does not parse is answered
//! here.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{RefOr, Required};
use utoipa::{IntoParams, PartialSchema};

use crate::clock::Moment;
use crate::error::FieldError;
use crate::http::json::unknown;
use crate::http::parameters::{DEFAULT_LIMIT, Named, limit};
use crate::http::problem::Problem;
use crate::http::shapes::{ActionName, AuditOutcome, EventNumber, ExportKind, PageOf, TenantName, optional};
use crate::http::surface::MAX_NAMED;
use crate::ids::{ClientId, ConnectionId, UserId};
use crate::vault::{ExportAsk, ExportFormat, Page, TrailFilter};

/// Which events of the trail, and which page of them.
pub(super) struct Searched(pub TrailFilter, pub Page<i64>);

impl FromRequest for Searched {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut searched = Self(TrailFilter::default(), Page { after: None, limit: DEFAULT_LIMIT });
        ready(each_parameter(request, |name, value| searched.take(name, value)).map(|()| searched))
    }
}

impl Searched {
    fn take(&mut self, name: &str, value: &str) -> Result<(), FieldError> {
        let Self(filter, page) = self;
        let wrong = |refused| FieldError::of_id(name, refused);
        match name {
            "limit" => page.limit = limit(value)?,
            "cursor" => {
                let rule = || FieldError::new(name, "cursor", "must be a next_cursor of this list");
                page.after = Some(Named::parse(value).map_err(|_| rule())?);
            }
            "from" => filter.from = Some(moment(name, value)?),
            "to" => filter.to = Some(moment(name, value)?),
            "connection_id" => filter.connection = Some(ConnectionId::parse(value).map_err(wrong)?),
            "user" => filter.user = Some(UserId::parse(value).map_err(wrong)?),
            "client_id" => filter.client = Some(ClientId::parse(value).map_err(wrong)?),
            "action" => filter.action = Some(action(value)?),
            "outcome" => filter.is_success = Some(outcome(value)?),
            other => return Err(unknown(other)),
        }
        Ok(())
    }
}

/// What is exported, as what.
pub(super) struct Wanted(pub ExportAsk);

impl FromRequest for Wanted {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let (mut format, mut from, mut to, mut since_size) = (None, None, None, None);
        let rule = || FieldError::new("format", "one_of", "must be csv or jsonl");
        let taken = each_parameter(request, |name, value| {
            match name {
                "format" => format = Some(ExportFormat::parse(value).ok_or_else(rule)?),
                "from" => from = Some(moment(name, value)?),
                "to" => to = Some(moment(name, value)?),
                "since_size" => since_size = Some(size(name, value)?),
                other => return Err(unknown(other)),
            }
            Ok(())
        });
        ready(taken.and_then(|()| match format {
            Some(format) => Ok(Self(ExportAsk { format, from, to, since_size })),
            None => Err(Problem::invalid(vec![rule()])),
        }))
    }
}

/// Each once; all that are wrong are told.
fn each_parameter(
    request: &HttpRequest,
    mut take: impl FnMut(&str, &str) -> Result<(), FieldError>,
) -> Result<(), Problem> {
    let (mut wrong, mut seen) = (Vec::new(), Vec::new());
    for (name, value) in url::form_urlencoded::parse(request.query_string().as_bytes()) {
        if seen.contains(&name) {
            wrong.push(FieldError::new(&name, "once", "must be given once"));
            continue;
        }
        wrong.extend(take(&name, &value).err());
        seen.push(name);
    }
    wrong.truncate(MAX_NAMED);
    if wrong.is_empty() { Ok(()) } else { Err(Problem::invalid(wrong)) }
}

fn size(name: &str, value: &str) -> Result<u64, FieldError> {
    let size: Option<i64> = Named::parse(value).ok().filter(|size| *size > 0);
    let rule = || FieldError::new(name, "range", "must be the size of a checkpoint, 1 or more");
    size.and_then(|size| u64::try_from(size).ok()).ok_or_else(rule)
}

fn moment(name: &str, value: &str) -> Result<Moment, FieldError> {
    let rule = || FieldError::new(name, "rfc3339", "must be a time such as 2026-11-24T15:00:00Z");
    Moment::parse(value).ok_or_else(rule)
}

fn action(value: &str) -> Result<String, FieldError> {
    let is_name = (1..=64).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'.');
    let rule = || FieldError::new("action", "action", "must be an action's name, such as lease.lend");
    is_name.then(|| value.to_owned()).ok_or_else(rule)
}

fn outcome(value: &str) -> Result<bool, FieldError> {
    match value {
        "success" => Ok(true),
        "failure" => Ok(false),
        _ => Err(FieldError::new("outcome", "one_of", "must be success or failure")),
    }
}

/// The parameters of a search, for the API's description.
pub(super) enum Search {}

impl IntoParams for Search {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = PageOf::<EventNumber>::into_params(place);
        all.extend(times());
        all.extend([
            of_query("connection_id", "Of this connection.", ConnectionId::schema()),
            of_query("user", "Done for this user.", TenantName::schema()),
            of_query("client_id", "Done by this service.", TenantName::schema()),
            of_query("action", "Of this action.", ActionName::schema()),
            of_query("outcome", "Done, or not done.", AuditOutcome::schema()),
        ]);
        all
    }
}

/// Of 18 digits, as the number of an event.
const MOST_SIZE: i64 = 999_999_999_999_999_999;

/// The parameters of an export, for the API's description.
pub(super) enum ExportParams {}

impl IntoParams for ExportParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut format = of_query("format", "As what.", ExportKind::schema());
        format.required = Required::True;
        let size = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(MOST_SIZE));
        let since =
            "JSONL: with the proof that the log goes on from a checkpoint of this size that you kept.";
        let since = of_query("since_size", since, size.into());
        [format].into_iter().chain(times()).chain([since]).collect()
    }
}

fn times() -> [Parameter; 2] {
    [of_query("from", "Not before.", Moment::schema()), of_query("to", "Not after.", Moment::schema())]
}

fn of_query(name: &str, what: &str, schema: RefOr<Schema>) -> Parameter {
    optional(name, ParameterIn::Query, what, schema)
}
