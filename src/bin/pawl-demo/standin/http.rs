//! HTTP as the server of a real Odoo speaks it: one answer a connection, the same headers in the same
//! order.

use std::io::{self, Read};
use std::net::TcpStream;

use super::company::Company;
use super::refusal::Refusal;
use super::rpc;
use super::seen::Seen;
use super::wire::{self, Request, Value};

/// What came in.
pub struct Incoming {
    method: String,
    path: String,
    content_type: String,
    body: String,
}

/// What was called, if anything was, and the answer to it.
pub fn answer(incoming: &Incoming, company: &Company, password: &str) -> (Option<Seen>, Vec<u8>) {
    let path = incoming.path.as_str();
    if let Some(service) = path.strip_prefix("/xmlrpc/2/").or_else(|| path.strip_prefix("/xmlrpc/")) {
        return xml_rpc(incoming, service, company, password);
    }
    if JSON_RPC.contains(&path) {
        return json_rpc(incoming, company, password);
    }
    let why = "The requested URL was not found on the server.";
    (None, page("404 NOT FOUND", TEXT_FIRST, "Not Found", why))
}

fn xml_rpc(incoming: &Incoming, service: &str, company: &Company, password: &str) -> (Option<Seen>, Vec<u8>) {
    if incoming.method != "POST" {
        let why = "The method is not allowed for the requested URL.";
        let about =
            "Content-Type: text/html; charset=utf-8\r\nAllow: OPTIONS, POST\r\nContent-Length: {}\r\n";
        return (None, page("405 METHOD NOT ALLOWED", about, "Method Not Allowed", why));
    }
    let Some(request) = Request::parse(&incoming.body) else {
        let refusal = Refusal::unforeseen("xml.parsers.expat.ExpatError", "no element found");
        return (None, xml(&refusal.xml(), false));
    };
    let answer = rpc::call(company, password, service, &request.method, &request.params);
    let answer = match answer {
        Ok(value) => xml(&wire::answer(&value), true),
        Err(refusal) => xml(&refusal.xml(), false),
    };
    (Some(Seen::of(&request.method, &request.params)), answer)
}

const VERSION_INFO: &str = "/web/webclient/version_info";
const AUTHENTICATE: &str = "/web/session/authenticate";
const JSON_RPC: &[&str] = &["/jsonrpc", VERSION_INFO, AUTHENTICATE];
/// What the browser's side sends home; nothing here looks at it again.
const COOKIE: &str = "Set-Cookie: session_id=SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS; \
                      Expires=Tue, 23 Nov 2027 16:49:22 GMT; Max-Age=604800; HttpOnly; Path=/\r\n";

fn json_rpc(incoming: &Incoming, company: &Company, password: &str) -> (Option<Seen>, Vec<u8>) {
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
        return (None, answered("400 BAD REQUEST", TEXT_FIRST, NOSNIFF, "Invalid JSON data"));
    };
    let params = Value::of_json(&request["params"]);
    let text = |name| params.member(name).and_then(Value::as_text);
    let (seen, result) = match incoming.path.as_str() {
        VERSION_INFO => (None, Ok(rpc::version())),
        AUTHENTICATE => {
            let [db, login, given] = ["db", "login", "password"].map(|name| text(name).unwrap_or_default());
            let seen = Seen { method: "authenticate".into(), ..Seen::default() };
            (Some(seen), rpc::session(db, login, given, password))
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
    let (member, value) = match result {
        Ok(value) => ("result", value),
        Err(refusal) => ("error", refusal.json()),
    };
    let id = Value::of_json(&request["id"]);
    let body = Value::structure([("jsonrpc", Value::text("2.0")), ("id", id), (member, value)]).json();
    (seen, answered("200 OK", JSON_LAST, &more, &body))
}

const NOSNIFF: &str = "X-Content-Type-Options: nosniff\r\n";
pub const TEXT_FIRST: &str = "Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n";
const XML_FIRST: &str = "Content-Type: text/xml; charset=utf-8\r\nContent-Length: {}\r\n";
const JSON_LAST: &str = "Content-Length: {}\r\nContent-Type: application/json; charset=utf-8\r\n";

/// The headers about the body come in an order that its type knows, with `{}` for the length.
fn answered(status: &str, about: &str, more: &str, body: &str) -> Vec<u8> {
    let about = about.replace("{}", &body.len().to_string());
    format!("HTTP/1.0 {status}\r\n{SERVER}{about}{more}Connection: close\r\n\r\n{body}").into_bytes()
}

const SERVER: &str = "Server: Werkzeug/2.2.2 Python/3.11.2\r\nDate: Mon, 23 Nov 2026 16:49:23 GMT\r\n";

/// Odoo answers 200 to faults too, but for them it leaves one header out.
fn xml(xml: &str, done: bool) -> Vec<u8> {
    answered("200 OK", XML_FIRST, if done { NOSNIFF } else { "" }, xml)
}

/// A page for people, which is how the server itself refuses.
pub fn page(status: &str, about: &str, title: &str, why: &str) -> Vec<u8> {
    let code = status.split(' ').next().unwrap_or_default();
    let body = format!(
        "<!doctype html>\n<html lang=en>\n<title>{code} {title}</title>\n<h1>{title}</h1>\n<p>{why}</p>\n"
    );
    answered(status, about, "", &body)
}

const MAX_REQUEST: usize = 1 << 20;

/// Reads one request to its end.
pub fn read(stream: &mut TcpStream) -> io::Result<Incoming> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let read = stream.read(&mut chunk)?;
        if read == 0 || bytes.len() > MAX_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(&chunk[..read]);
    };
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let head = String::from_utf8(bytes[..end].to_vec()).map_err(|_| invalid())?;
    let length = header(&head, "content-length").and_then(|length| length.parse::<usize>().ok());
    let length = length.unwrap_or(0).min(MAX_REQUEST);
    let mut body = bytes.split_off(end);
    while body.len() < length {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err(invalid());
        }
        body.extend_from_slice(&chunk[..read]);
    }
    let mut line = head.split(' ');
    let (method, path) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
    let (method, path) = (method.to_owned(), path.to_owned());
    let content_type = header(&head, "content-type").unwrap_or_default().to_owned();
    Ok(Incoming { method, path, content_type, body: String::from_utf8(body).map_err(|_| invalid())? })
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(wanted).then_some(value.trim())
    })
}
