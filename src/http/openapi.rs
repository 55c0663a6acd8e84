//! The API's description, drawn from the handlers themselves; a test holds it against the routes, and
//! another one fuzzes the vault by it. What every call answers alike is added here, by what it takes.

use std::collections::BTreeSet;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Header, PathItem, Ref, RefOr, Response, Server};
use utoipa::{Modify, OpenApi};

use crate::access::{Action, Policy};
use crate::http::problem::{Kind, ProblemView};
use crate::http::{
    audit, checkpoint, checks, connections, docs_page, keys, leases, ops, reads, settings, token,
};

/// The OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Pawl", description = "Keeps Odoo credentials and lends them for minutes to a read-only worker.\n\n\
        Every call but those of `ops` and `token` needs a bearer token, an `at+jwt` of at most 15 minutes; its roles and \
        its org and user decide what it reaches, and what it does not reach is not found. Under `security` \
        stands the action that a role must grant. Every error is `application/problem+json` (RFC 9457) with a \
        stable `type`; a path that is not here answers 404, a method that is not here 405, and a path and headers of \
        more than 16 KiB 431 (`head-too-large`)."),
    paths(
        connections::deposit,
        connections::list,
        connections::show,
        connections::update,
        connections::replace,
        checks::check,
        connections::forget,
        leases::lend,
        leases::list,
        leases::show,
        leases::renew,
        leases::give_back,
        reads::read,
        settings::show,
        settings::change,
        audit::list,
        audit::export,
        checkpoint::show,
        keys::list,
        keys::start_reseal,
        keys::watch_reseal,
        token::exchange,
        ops::livez,
        ops::readyz,
        ops::openapi,
        docs_page::docs
    ),
    components(schemas(ProblemView)),
    security(("bearer" = [])),
    modifiers(&Bearer, &Alike)
)]
struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.bearer_format = Some("at+jwt".into());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        // Wherever the document was read from.
        document.servers = Some(vec![Server::new("/")]);
    }
}

/// What calls have alike: the roles that may, the refusals, the headers.
struct Alike;

impl Modify for Alike {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let policy = Policy::embedded().ok();
        for (path, item) in &mut document.paths.paths {
            let named = path.contains("{id}");
            for operation in operations(item) {
                add_roles(operation, policy.as_ref());
                add_refusals(operation, named);
                add_headers(operation);
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// The document is the same under `PAWL_POLICY_FILE`, so it says which policy it means.
fn add_roles(operation: &mut Operation, policy: Option<&Policy>) {
    let actions = actions(operation);
    if actions.is_empty() {
        return;
    }
    let may = |action: &Action| policy.map(|policy| policy.roles_that_may(*action)).unwrap_or_default();
    let roles: BTreeSet<String> =
        actions.iter().flat_map(may).map(|role| format!("`{}`", role.as_str())).collect();
    let roles: Vec<String> = roles.into_iter().collect();
    let more = format!("Roles, by the policy that is compiled in: {}.", roles.join(", "));
    operation.description = Some(match operation.description.take() {
        Some(text) if !text.is_empty() => format!("{text}\n\n{more}"),
        _ => more,
    });
}

/// A handler names a status itself where it has more to say of it.
fn add_refusals(operation: &mut Operation, named: bool) {
    let parameters = operation.parameters.iter().flatten();
    let repeatable =
        parameters.filter(|p| matches!(p, RefOr::T(p) if p.name == "Idempotency-Key")).count() > 0;
    let mut refusals: Vec<&[Kind]> = Vec::new();
    if asks_who(operation) {
        refusals.push(&[Kind::Unauthorized]);
        let is_judged = actions(operation).iter().any(|action| action.takes_conditions());
        refusals.push(if is_judged { JUDGED } else { &[Kind::Forbidden] });
        let is_told = actions(operation).iter().any(|action| action.is_within_quota());
        refusals.push(if is_told { WITHIN_QUOTA } else { &[Kind::TooManyRequests] });
        refusals.push(&[Kind::Damaged]);
        refusals.push(&[Kind::Unavailable]);
    }
    if named {
        refusals.push(&[Kind::NotFound]);
    }
    let takes_json = matches!(&operation.request_body,
        Some(RefOr::T(body)) if body.content.contains_key("application/json"));
    if takes_json {
        refusals.push(&[Kind::Malformed]);
    }
    if operation.request_body.is_some() {
        refusals.push(&[Kind::TooSlow]);
        refusals.push(&[Kind::TooLarge]);
        refusals.push(&[Kind::UnsupportedMediaType]);
    }
    if repeatable {
        refusals.push(&[Kind::Invalid, Kind::KeyReused]);
    } else if asks_who(operation) || operation.parameters.is_some() || takes_json {
        refusals.push(&[Kind::Invalid]);
    }
    for kinds in refusals {
        let Some(status) = kinds.first().map(|kind| kind.status().to_string()) else { continue };
        let names: Vec<String> = kinds.iter().map(|kind| format!("`{}`", kind.name())).collect();
        let answer = || Response::new(names.join(", ")).into();
        operation.responses.responses.entry(status).or_insert_with(answer);
    }
}

/// Why a call that an org's trail may have no room for has to wait.
const WITHIN_QUOTA: &[Kind] = &[Kind::TooManyRequests, Kind::EventQuota];

/// What a caller may be told of a call about one connection.
const JUDGED: &[Kind] =
    &[Kind::Forbidden, Kind::KindNotAllowed, Kind::EnvironmentNotAllowed, Kind::StateNotAllowed];

/// The actions that a role must grant for it, or one of them.
fn actions(operation: &Operation) -> Vec<Action> {
    let security = serde_json::to_value(&operation.security).unwrap_or_default();
    let actions = security.pointer("/0/bearer").and_then(|actions| actions.as_array());
    let names = actions.into_iter().flatten().filter_map(|action| action.as_str());
    names.filter_map(Action::parse).collect()
}

fn asks_who(operation: &Operation) -> bool {
    operation.security.as_ref().is_none_or(|security| security.iter().any(|s| *s != Default::default()))
}

fn add_headers(operation: &mut Operation) {
    // A client is charged for the token that it asks for, as for what it does with it.
    let is_charged = asks_who(operation) || operation.request_body.is_some();
    for (status, answer) in &mut operation.responses.responses {
        let RefOr::T(answer) = answer else { continue };
        if status.starts_with(['4', '5']) {
            let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            answer.content.clear();
            answer.content.insert("application/problem+json".into(), problem.into());
        }
        let mut add = |name: &str, header: Header| {
            answer.headers.insert(name.into(), header.into());
        };
        add("X-Request-Id", header(Type::String, "This request, as the log and the trail name it."));
        if is_charged && (status.starts_with('2') || status == "429") {
            add(
                "RateLimit-Policy",
                header(
                    Type::String,
                    "The caller's bucket, such as `\"writes\";q=1000;w=2`: 1000 calls in 2 s.",
                ),
            );
            add(
                "RateLimit",
                header(
                    Type::String,
                    "What is left of it, and in how many seconds it is full: `\"writes\";r=999;t=1`.",
                ),
            );
        }
        if status == "429" {
            add("Retry-After", header(Type::Integer, "Seconds, at least 1."));
        }
        if status == "401" {
            add("WWW-Authenticate", header(Type::String, "`Bearer`"));
        }
    }
}

fn header(kind: Type, what: &str) -> Header {
    let schema = ObjectBuilder::new().schema_type(kind).build();
    HeaderBuilder::new().schema(Some(schema)).description(Some(what)).build()
}
