//! Which path does what: XML-RPC, JSON-RPC, JSON-2, and what a browser's side asks.

use super::company::Company;
use super::front;
use super::http::{Answer, Incoming, JSON_LAST, NOSNIFF, TEXT_FIRST, XML_FIRST, answered, page};
use super::json2;
use super::outcome::Outcome;
use super::refusal::Refusal;
use super::rpc;
use super::seen::{Dialect, Seen};
use super::settings::Settings;
use super::wire::{Request, Value};

/// What answers: the books, the bot's password, and what server this is.
#[derive(Clone, Copy)]
pub struct Server<'a> {
    pub company: &'a Company,
    pub password: &'a str,
    pub settings: &'a Settings,
}

/// What was called, if anything was, and the answer to it.
pub struct Done {
    pub seen: Option<Seen>,
    pub answer: Answer,
}

impl From<Answer> for Done {
    fn from(answer: Answer) -> Self {
        Self { seen: None, answer }
    }
}

/// Answers for whatever stands there.
pub fn answer(incoming: &Incoming, server: Server<'_>) -> Done {
    let settings = server.settings;
    let mut done = match front::answer(incoming, settings) {
        Some(answer) => answer.into(),
        None => dispatch(incoming, server),
    };
    if settings.gzip && incoming.header("accept-encoding").is_some_and(|codings| codings.contains("gzip")) {
        done.answer = done.answer.gzip();
    }
    if let Some(at) = settings.date {
        done.answer = done.answer.dated(at);
    }
    done
}

fn dispatch(incoming: &Incoming, server: Server<'_>) -> Done {
    let (path, version) = (incoming.path.as_str(), server.settings.version);
    let xml = path.strip_prefix("/xmlrpc/2/").or_else(|| path.strip_prefix("/xmlrpc/"));
    if let Some(service) = xml.filter(|_| version.has_rpc()) {
        return xml_rpc(incoming, service, server);
    }
    if [VERSION_INFO, AUTHENTICATE].contains(&path) || (path == JSON_RPC && version.has_rpc()) {
        return json_rpc(incoming, server);
    }
    if VERSION.contains(&path) && version.has_web_version() {
        return told_version(incoming, server).into();
    }
    if version.has_json2() {
        if let Some(rest) = path.strip_prefix(json2::PATH) {
            return json2::answer(incoming, rest, server);
        }
        if let Some(model) = path.strip_prefix(json2::DOC).and_then(|rest| rest.strip_suffix(".json")) {
            return json2::describe(incoming, model, server).into();
        }
    }
    let why = "The requested URL was not found on the server.";
    page("404 NOT FOUND", TEXT_FIRST, "Not Found", why).into()
}

fn xml_rpc(incoming: &Incoming, service: &str, server: Server<'_>) -> Done {
    if incoming.method != "POST" {
        let why = "The method is not allowed for the requested URL.";
        let about =
            "Content-Type: text/html; charset=utf-8\r\nAllow: OPTIONS, POST\r\nContent-Length: {}\r\n";
        return page("405 METHOD NOT ALLOWED", about, "Method Not Allowed", why).into();
    }
    let Some(request) = incoming.text().and_then(Request::parse) else {
        let refusal = Refusal::unforeseen("xml.parsers.expat.ExpatError", "no element found");
        return xml(refusal.xml(), false).into();
    };
    let seen = Seen::of(Dialect::Xml, &request.method, &request.params);
    let answer = told(
        server,
        &seen,
        secret_of(&request.params),
        || rpc::call(server, service, &request.method, &request.params),
        |result| match result {
            Ok(outcome) => xml(outcome.xml(), true),
            Err(refusal) => xml(refusal.xml(), false),
        },
    );
    Done { seen: Some(seen), answer }
}

/// Both services have it in the same place.
fn secret_of(args: &[Value]) -> Option<&str> {
    args.get(2).and_then(Value::as_text)
}

/// What a call comes to, written down; with the secret in it, if this server sends it back.
pub fn told<'a>(
    server: Server<'_>,
    seen: &Seen,
    secret: Option<&str>,
    call: impl FnOnce() -> Result<Outcome<'a>, Refusal>,
    write: impl FnOnce(Result<Outcome<'a>, Refusal>) -> Answer,
) -> Answer {
    let echo = server.settings.echo.filter(|echo| echo.at_login || !seen.is_login());
    match echo.zip(secret) {
        Some((echo, secret)) => echo.wrap(secret, write(echo.spoil(secret, call()))),
        None => write(call()),
    }
}

/// Asked by browsers, without a call.
pub const VERSION: &[&str] = &["/web/version", "/json/version"];

/// Whether it asks, without a login, which version this is or whether there is an API.
pub fn needs_no_login(incoming: &Incoming) -> bool {
    match incoming.path.as_str() {
        path if VERSION.contains(&path) => true,
        path if path.starts_with(json2::PATH) => incoming.header("authorization").is_none(),
        JSON_RPC => serde_json::from_slice::<serde_json::Value>(&incoming.body)
            .is_ok_and(|request| request["params"]["method"] == "version"),
        _ => incoming.text().and_then(Request::parse).is_some_and(|request| request.method == "version"),
    }
}

fn told_version(incoming: &Incoming, server: Server<'_>) -> Answer {
    if incoming.method != "GET" {
        let why = "Session expired (invalid CSRF token)";
        return page("400 BAD REQUEST", TEXT_FIRST, "Bad Request", why);
    }
    let body = server.settings.version.told_to_browsers();
    answered("200 OK", JSON_LAST, &format!("{COOKIE}{NOSNIFF}"), body.json())
}

const JSON_RPC: &str = "/jsonrpc";
const VERSION_INFO: &str = "/web/webclient/version_info";
const AUTHENTICATE: &str = "/web/session/authenticate";
/// What the browser's side sends home; nothing here looks at it again.
const COOKIE: &str = "Set-Cookie: session_id=SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS; \
                      Expires=Tue, 23 Nov 2027 16:49:22 GMT; Max-Age=604800; HttpOnly; Path=/\r\n";

/// Whether the body is said to be JSON.
pub fn is_json(incoming: &Incoming) -> bool {
    incoming.content_type.split(';').next().map(str::trim) == Some("application/json")
}

fn json_rpc(incoming: &Incoming, server: Server<'_>) -> Done {
    if !is_json(incoming) {
        let other = if incoming.method == "GET" { ", &#39;json2&#39;" } else { "" };
        let why = format!(
            "Request inferred type is compatible with [&#39;http&#39;{other}] but &#39;{}&#39; is \
             type=&#39;jsonrpc&#39;.<br><br>Please verify the Content-Type request header and try again.",
            incoming.path
        );
        let about = format!("{TEXT_FIRST}Accept: application/json, application/json-rpc\r\n");
        return page("415 UNSUPPORTED MEDIA TYPE", &about, "Unsupported Media Type", &why).into();
    }
    let Ok(request) = serde_json::from_slice::<serde_json::Value>(&incoming.body) else {
        return answered("400 BAD REQUEST", TEXT_FIRST, NOSNIFF, "Invalid JSON data".into()).into();
    };
    let params = Value::of_json(&request["params"]);
    let text = |name| params.member(name).and_then(Value::as_text);
    let id = Value::of_json(&request["id"]).json();
    let write = |result: Result<Outcome<'_>, Refusal>| {
        let more = match (&result, incoming.path.as_str()) {
            (Err(_), _) => String::new(),
            (Ok(_), JSON_RPC) => NOSNIFF.into(),
            (Ok(_), _) => format!("{COOKIE}{NOSNIFF}"),
        };
        let (member, said) = match result {
            Ok(outcome) => ("result", outcome.json()),
            Err(refusal) => ("error", refusal.json().json()),
        };
        let body = format!("{{\"jsonrpc\": \"2.0\", \"id\": {id}, \"{member}\": {said}}}");
        answered("200 OK", JSON_LAST, &more, body)
    };
    match incoming.path.as_str() {
        VERSION_INFO => write(Ok(server.settings.version.told().into())).into(),
        AUTHENTICATE => {
            let [db, login, given] = ["db", "login", "password"].map(|name| text(name).unwrap_or_default());
            let seen = Seen { method: "authenticate".into(), dialect: Dialect::Json, ..Seen::default() };
            let answer = write(rpc::session(server, db, login, given).map(Outcome::Value));
            Done { seen: Some(seen), answer }
        }
        _ => match (text("service"), text("method"), params.member("args").and_then(Value::as_list)) {
            (Some(service), Some(method), Some(args)) => {
                let seen = Seen::of(Dialect::Json, method, args);
                let call = || rpc::call(server, service, method, args);
                let answer = told(server, &seen, secret_of(args), call, write);
                Done { seen: Some(seen), answer }
            }
            _ => {
                let missing =
                    "JSONRPC.jsonrpc() missing 2 required positional arguments: 'method' and 'args'";
                write(Err(Refusal::unforeseen("TypeError", missing))).into()
            }
        },
    }
}

/// Odoo answers 200 to faults too, but for them it leaves one header out.
fn xml(xml: String, done: bool) -> Answer {
    answered("200 OK", XML_FIRST, if done { NOSNIFF } else { "" }, xml)
}
