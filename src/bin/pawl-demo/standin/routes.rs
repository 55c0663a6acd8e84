//! Which path does what: XML-RPC, JSON-RPC, and what a browser's side asks.

use super::company::Company;
use super::http::{Answer, Incoming, JSON_LAST, NOSNIFF, TEXT_FIRST, XML_FIRST, answered, page};
use super::outcome::Outcome;
use super::refusal::Refusal;
use super::rpc;
use super::seen::Seen;
use super::wire::{EMPTY, Request, Value};

/// What was called, if anything was, and the answer to it.
pub fn answer(incoming: &Incoming, company: &Company, password: &str) -> (Option<Seen>, Answer) {
    let path = incoming.path.as_str();
    if let Some(service) = path.strip_prefix("/xmlrpc/2/").or_else(|| path.strip_prefix("/xmlrpc/")) {
        return xml_rpc(incoming, service, company, password);
    }
    if JSON_RPC.contains(&path) {
        return json_rpc(incoming, company, password);
    }
    if VERSION.contains(&path) {
        return (None, version(&incoming.method));
    }
    let why = "The requested URL was not found on the server.";
    (None, page("404 NOT FOUND", TEXT_FIRST, "Not Found", why))
}

fn xml_rpc(incoming: &Incoming, service: &str, company: &Company, password: &str) -> (Option<Seen>, Answer) {
    if incoming.method != "POST" {
        let why = "The method is not allowed for the requested URL.";
        let about =
            "Content-Type: text/html; charset=utf-8\r\nAllow: OPTIONS, POST\r\nContent-Length: {}\r\n";
        return (None, page("405 METHOD NOT ALLOWED", about, "Method Not Allowed", why));
    }
    let Some(request) = Request::parse(&incoming.body) else {
        let refusal = Refusal::unforeseen("xml.parsers.expat.ExpatError", "no element found");
        return (None, xml(refusal.xml(), false));
    };
    let answer = rpc::call(company, password, service, &request.method, &request.params);
    let answer = match answer {
        Ok(outcome) => xml(outcome.xml(), true),
        Err(refusal) => xml(refusal.xml(), false),
    };
    (Some(Seen::of(&request.method, &request.params)), answer)
}

/// Asked by browsers, without a call.
const VERSION: &[&str] = &["/web/version", "/json/version"];

fn version(method: &str) -> Answer {
    if method != "GET" {
        let why = "Session expired (invalid CSRF token)";
        return page("400 BAD REQUEST", TEXT_FIRST, "Bad Request", why);
    }
    let version = rpc::version();
    let member = |name| version.member(name).cloned().unwrap_or(EMPTY);
    let body = Value::structure([
        ("version_info", member("server_version_info")),
        ("version", member("server_version")),
    ]);
    answered("200 OK", JSON_LAST, &format!("{COOKIE}{NOSNIFF}"), body.json())
}

const VERSION_INFO: &str = "/web/webclient/version_info";
const AUTHENTICATE: &str = "/web/session/authenticate";
const JSON_RPC: &[&str] = &["/jsonrpc", VERSION_INFO, AUTHENTICATE];
/// What the browser's side sends home; nothing here looks at it again.
const COOKIE: &str = "Set-Cookie: session_id=SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS; \
                      Expires=Tue, 23 Nov 2027 16:49:22 GMT; Max-Age=604800; HttpOnly; Path=/\r\n";

fn json_rpc(incoming: &Incoming, company: &Company, password: &str) -> (Option<Seen>, Answer) {
    if incoming.content_type.split(';').next() != Some("application/json") {
        let other = if incoming.method == "GET" { ", &#39;json2&#39;" } else { "" };
        let why = format!(
            "Request inferred type is compatible with [&#39;http&#39;{other}] but &#39;{}&#39; is \
             type=&#39;jsonrpc&#39;.<br><br>Please verify the Content-Type request header and try again.",
            incoming.path
        );
        let about = format!("{TEXT_FIRST}Accept: application/json, application/json-rpc\r\n");
        return (None, page("415 UNSUPPORTED MEDIA TYPE", &about, "Unsupported Media Type", &why));
    }
    let Ok(request) = serde_json::from_str::<serde_json::Value>(&incoming.body) else {
        return (None, answered("400 BAD REQUEST", TEXT_FIRST, NOSNIFF, "Invalid JSON data".into()));
    };
    let params = Value::of_json(&request["params"]);
    let text = |name| params.member(name).and_then(Value::as_text);
    let (seen, result) = match incoming.path.as_str() {
        VERSION_INFO => (None, Ok(rpc::version().into())),
        AUTHENTICATE => {
            let [db, login, given] = ["db", "login", "password"].map(|name| text(name).unwrap_or_default());
            let seen = Seen { method: "authenticate".into(), ..Seen::default() };
            (Some(seen), rpc::session(db, login, given, password).map(Outcome::Value))
        }
        _ => match (text("service"), text("method"), params.member("args").and_then(Value::as_list)) {
            (Some(service), Some(method), Some(args)) => {
                (Some(Seen::of(method, args)), rpc::call(company, password, service, method, args))
            }
            _ => {
                let missing =
                    "JSONRPC.jsonrpc() missing 2 required positional arguments: 'method' and 'args'";
                (None, Err(Refusal::unforeseen("TypeError", missing)))
            }
        },
    };
    let more = match (&result, incoming.path.as_str()) {
        (Err(_), _) => String::new(),
        (Ok(_), "/jsonrpc") => NOSNIFF.into(),
        (Ok(_), _) => format!("{COOKIE}{NOSNIFF}"),
    };
    let (member, said) = match result {
        Ok(outcome) => ("result", outcome.json()),
        Err(refusal) => ("error", refusal.json().json()),
    };
    let id = Value::of_json(&request["id"]).json();
    let body = format!("{{\"jsonrpc\": \"2.0\", \"id\": {id}, \"{member}\": {said}}}");
    (seen, answered("200 OK", JSON_LAST, &more, body))
}

/// Odoo answers 200 to faults too, but for them it leaves one header out.
fn xml(xml: String, done: bool) -> Answer {
    answered("200 OK", XML_FIRST, if done { NOSNIFF } else { "" }, xml)
}
