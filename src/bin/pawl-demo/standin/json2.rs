//! The JSON-2 API: a model and a method in the path, a bearer token, arguments by name, and HTTP statuses
//! that mean something.

use super::call::Call;
use super::front;
use super::http::{Answer, Incoming, JSON_LAST, NOSNIFF, TEXT_FIRST, answered, page};
use super::models::Model;
use super::outcome::Outcome;
use super::refusal::Refusal;
use super::routes::{self, Done, Server, is_json};
use super::rpc;
use super::seen::Seen;
use super::wire::Value;
use super::{DATABASE, UNINITIALISED};

pub const PATH: &str = "/json/2";
/// Where a model's methods are described, to who has a token. Not recorded: shaped by what odoo-client-lib
/// reads of it.
pub const DOC: &str = "/doc-bearer/";

/// The answer to a path that begins with [`PATH`].
pub fn answer(incoming: &Incoming, rest: &str, server: Server<'_>) -> Done {
    if let Some(answer) = without_database(incoming, server) {
        return answer.into();
    }
    if incoming.method != "GET" && !is_json(incoming) {
        let why = "Request inferred type is compatible with [&#39;http&#39;] but \
                   &#39;/json/2/&lt;__model__&gt;/&lt;__method__&gt;&#39; is type=&#39;json2&#39;.<br><br>Please verify \
                   the Content-Type request header and try again.";
        let about = format!("{TEXT_FIRST}Accept: application/json\r\n");
        return page("415 UNSUPPORTED MEDIA TYPE", &about, "Unsupported Media Type", why).into();
    }
    if let Err(refusal) = check(incoming, server) {
        return refused(&refusal).into();
    }
    let Some((model, method)) =
        rest.strip_prefix('/').and_then(|rest| rest.split_once('/')).filter(|_| incoming.method == "POST")
    else {
        return refused(&Refusal::not_found("Did you mean POST /json/2/<model>/<method>?")).into();
    };
    let body = match parse(&incoming.body) {
        Ok(body) => body,
        Err(refusal) => return refused(&refusal).into(),
    };
    let seen = Seen::of_json2(model, method, &body);
    let answer = routes::told(
        server,
        &seen,
        incoming.bearer(),
        || execute(server, model, method, &body),
        |result| match result {
            Ok(outcome) => answered("200 OK", JSON_LAST, NOSNIFF, outcome.json()),
            Err(refusal) => refused(&refusal),
        },
    );
    Done { seen: Some(seen), answer }
}

/// The page that stands where no database can be told, or one without Odoo's tables.
fn without_database(incoming: &Incoming, server: Server<'_>) -> Option<Answer> {
    match incoming.header("x-odoo-database").filter(|_| !server.settings.strips_database) {
        Some(DATABASE) => None,
        None if server.settings.others.is_empty() => None,
        Some(other) if server.settings.others.contains(&other) => (other == UNINITIALISED).then(|| {
            let why = "The server encountered an internal error and was unable to complete your request. Either the \
                       server is overloaded or there is an error in the application.";
            page("500 INTERNAL SERVER ERROR", TEXT_FIRST, "Internal Server Error", why)
        }),
        _ => Some(front::no_database()),
    }
}

fn check(incoming: &Incoming, server: Server<'_>) -> Result<(), Refusal> {
    let Some(token) = incoming.bearer() else {
        return Err(Refusal::unauthorized(
            "User not authenticated, use an API Key with a Bearer Authorization header.",
        ));
    };
    let is_elsewhere = incoming.header("x-odoo-database").is_some_and(|database| database != DATABASE);
    if is_elsewhere || !server.is_key(token) {
        return Err(Refusal::unauthorized("Invalid apikey"));
    }
    match server.settings.without_api {
        true => Err(Refusal::no_api()),
        false => Ok(()),
    }
}

fn parse(body: &[u8]) -> Result<Value, Refusal> {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(json @ serde_json::Value::Object(_)) => Ok(Value::of_json(&json)),
        Ok(_) => Err(Refusal::bad_request("could not parse the body as json: not an object")),
        Err(_) => {
            let what = match body.first() {
                Some(b'{') => "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
                _ => "Expecting value: line 1 column 1 (char 0)",
            };
            Err(Refusal::bad_request(format!("could not parse the body as json: {what}")))
        }
    }
}

/// A method, what it takes by name, and whether it is of the model rather than of records.
type Method = (&'static str, &'static [&'static str], bool);

const METHODS: &[Method] = &[
    ("search_read", &["domain", "fields", "offset", "limit", "order"], true),
    ("search", &["domain", "offset", "limit", "order"], true),
    ("search_count", &["domain", "limit"], true),
    ("read", &["fields", "load"], false),
    ("fields_get", &["allfields", "attributes"], true),
    ("default_get", &["fields"], true),
    ("context_get", &[], true),
    ("has_group", &["group_ext_id"], false),
    ("check_access_rights", &["operation", "raise_exception"], true),
    ("has_access", &["operation"], false),
    ("create", &["vals_list"], true),
    ("write", &["vals"], false),
    ("unlink", &[], false),
];

fn execute<'a>(server: Server<'a>, model: &str, method: &str, body: &Value) -> Result<Outcome<'a>, Refusal> {
    if Model::named(model).is_none_or(|_| server.company.missing == Some(model)) {
        return Err(Refusal::not_found(format!("the model '{model}' does not exist")));
    }
    if let Some((_, takes, is_of_model)) = METHODS.iter().find(|(name, ..)| *name == method) {
        if *is_of_model && body.member("ids").is_some() {
            return Err(Refusal::unprocessable(format!("cannot call {model}.{method} with ids")));
        }
        let context = body.member("context");
        if context.is_some_and(|context| context.as_text().is_some()) {
            let message = "dictionary update sequence element #0 has length 1; 2 is required";
            return Err(Refusal::unforeseen("ValueError", message));
        }
        // A search hands on what it does not know; the others do not take it.
        let is_known = |name: &&str| takes.contains(name) || ["ids", "context"].contains(name);
        let unknown = body.names().find(|name| !is_known(name)).filter(|_| method != "search_read");
        if let Some(name) = unknown {
            return Err(Refusal::unprocessable(format!("got an unexpected keyword argument '{name}'")));
        }
    }
    rpc::execute(server, model, method, &[], Some(body)).map_err(Refusal::of_http)
}

fn refused(refusal: &Refusal) -> Answer {
    let (status, body) = refusal.json2();
    let challenge = if status.starts_with("401") { "WWW-Authenticate: Bearer \r\n" } else { "" };
    answered(status, &format!("{challenge}{JSON_LAST}"), "", body.json())
}

/// What a model's methods take.
pub fn describe(incoming: &Incoming, model: &str, server: Server<'_>) -> Answer {
    if let Some(answer) = without_database(incoming, server) {
        return answer;
    }
    if let Err(refusal) = check(incoming, server) {
        return refused(&refusal);
    }
    let Some(known) = Model::named(model) else {
        return refused(&Refusal::not_found(format!("the model '{model}' does not exist")));
    };
    let methods = METHODS.iter().map(|(name, takes, is_of_model)| {
        let takes = takes.iter().map(|name| ((*name).into(), Value::structure([])));
        let api = if *is_of_model { vec![Value::text("model")] } else { Vec::new() };
        let told =
            Value::structure([("parameters", Value::Struct(takes.collect())), ("api", Value::List(api))]);
        ((*name).into(), told)
    });
    let call = Call { server, model: known, args: &[], named: None };
    let body = Value::structure([
        ("model", Value::text(model)),
        ("fields", call.describe()),
        ("methods", Value::Struct(methods.collect())),
    ]);
    answered("200 OK", JSON_LAST, NOSNIFF, body.json())
}
