//! The stand-in held against the recordings it is shaped by: the same question, the same bytes. What
//! the other tests show with it is then true of a real one.

use std::io::{Read, Write};
use std::net::TcpStream;

use pawl::odoo::OdooError;
use pawl::odoo::xmlrpc::{Caps, Reply, read_value};

use crate::standin::company::Company;
use crate::standin::settings::Settings;
use crate::standin::{API_KEY, DATABASE, LOGIN, PASSWORD, StandIn, UNINITIALISED};

fn recorded(name: &str, end: &str) -> String {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/odoo-wire");
    String::from_utf8(std::fs::read(dir.join(format!("{name}.{end}"))).unwrap()).unwrap()
}

/// What the stand-in says to a recorded request, with its own database and bot in place of theirs.
fn asked(odoo: &StandIn, name: &str) -> String {
    let whole = recorded(name, "request");
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    let head = head
        .replace("X-Odoo-Database: lab2", &format!("X-Odoo-Database: {UNINITIALISED}"))
        .replace("X-Odoo-Database: lab\r", &format!("X-Odoo-Database: {DATABASE}\r"))
        .replace(&format!("earer {THEIR_KEY}"), &format!("earer {API_KEY}"));
    let escaped = PASSWORD.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let body = [("lab", DATABASE), ("bot", LOGIN), ("bot-password-1", PASSWORD), (THEIR_KEY, API_KEY)]
        .iter()
        .fold(body.to_owned(), |body, (theirs, ours)| {
            let in_xml = if *ours == PASSWORD { &escaped } else { *ours };
            body.replace(&format!("<string>{theirs}<"), &format!("<string>{in_xml}<"))
                .replace(&format!("\"{theirs}\""), &format!("\"{ours}\""))
        });
    let mut stream = TcpStream::connect(odoo.url().trim_start_matches("http://")).unwrap();
    let kept = head.split("\r\n").filter(|line| !line.starts_with("Content-Length: "));
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The bot's API key where it was recorded.
const THEIR_KEY: &str = "626f740000000000000000000000000000000000";

/// The recorded answer, with our bot in place of theirs.
fn answered(name: &str) -> String {
    let whole = recorded(name, "response");
    let (head, theirs) = whole.split_once("\r\n\r\n").unwrap();
    let body = theirs
        .replace("<string>bot</string>", &format!("<string>{LOGIN}</string>"))
        .replace("\"login\": \"bot\"", &format!("\"login\": \"{LOGIN}\""));
    let length = |body: &str| format!("Content-Length: {}\r\n", body.len());
    format!("{}\r\n\r\n{body}", head.replace(&length(theirs), &length(&body)))
}

/// Without the moment it was sent at.
fn undated(answer: &str) -> String {
    answer.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: ")).collect()
}

#[test]
fn it_answers_in_the_very_bytes_of_a_real_one() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    for name in [
        "json2/check_access_rights",
        "json2/context_get",
        "json2/err-missing-record",
        "json2/fields_get",
        "json2/has_access",
        "json2/no-content-type",
        "json2/own-user",
        "json2/own-user-search",
        "json2/search_read-offset-past-end",
        "json2/wrong-content-type",
        "jsonrpc/apikey-as-password",
        "jsonrpc/apikey-expired",
        "jsonrpc/apikey-other-user",
        "jsonrpc/apikey-scoped",
        "jsonrpc/auth-ok",
        "jsonrpc/auth-wrong-password",
        "jsonrpc/common-version",
        "jsonrpc/err-access-field",
        "jsonrpc/err-missing-record",
        "jsonrpc/err-wrong-password",
        "jsonrpc/get",
        "jsonrpc/malformed",
        "jsonrpc/wrong-content-type",
        "web/session-auth-apikey",
        "web/session-auth-wrong",
        "web/version-json-get",
        "web/version-web-get",
        "web/version-web-post",
        "web/version-webclient-jsonrpc",
        "xml-apikey-as-password",
        "xml-apikey-expired",
        "xml-apikey-other-user",
        "xml-apikey-scoped",
        "xml-auth-empty-password",
        "xml-auth-ok",
        "xml-auth-unknown-user",
        "xml-auth-wrong-password",
        "xml-check_access_rights",
        "xml-common-version",
        "xml-common-version-v1",
        "xml-context-bad-lang",
        "xml-err-access-field",
        "xml-err-access-model",
        "xml-err-bad-order",
        "xml-err-create-forbidden",
        "xml-err-ids-string-digits",
        "xml-err-missing-record",
        "xml-err-no-ids",
        "xml-err-private-method",
        "xml-err-unknown-model",
        "xml-err-unlink-forbidden",
        "xml-err-write-forbidden",
        "xml-err-wrong-password",
        "xml-err-wrong-uid",
        "xml-fields_get",
        "xml-get",
        "xml-groups-of-bot",
        "xml-has_access",
        "xml-login-ok",
        "xml-read-users-groups",
        "xml-partner-active-test-default",
        "xml-search_read-offset-past-end",
        "xml-write-partner-by-bot",
    ] {
        assert_eq!(undated(&asked(&odoo, name)), undated(&answered(name)), "{name}");
    }
}

/// Tracebacks, whose frames are the server's own: the same around them, and the same cause.
#[test]
fn what_fails_there_fails_here_with_the_same_cause() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    for name in [
        "xml-auth-missing-arg",
        "xml-auth-wrong-db",
        "xml-common-unknown-method",
        "xml-empty",
        "xml-err-bad-date-in-domain",
        "xml-err-bad-domain",
        "xml-err-bad-operator",
        "xml-err-ids-not-int",
        "xml-err-unknown-field-domain",
        "xml-err-unknown-field-order",
        "xml-err-unknown-field-read",
        "xml-err-unknown-field-search_read",
        "xml-err-unknown-kwarg",
        "xml-err-unknown-method",
        "xml-err-wrong-db",
        "xml-malformed",
        "xml-unknown-service",
    ] {
        let (ours, theirs) = (asked(&odoo, name), recorded(name, "response"));
        let around = |answer: &str| {
            let (before, rest) = answer.split_once("Traceback").unwrap();
            let (_, after) = rest.rsplit_once("</string>").unwrap();
            let before: String =
                before.split_inclusive('\n').filter(|line| !line.starts_with("Content-Length: ")).collect();
            format!("{}{after}", undated(&before))
        };
        assert_eq!(around(&ours), around(&theirs), "{name}");
        assert_eq!(cause(&ours), cause(&theirs), "{name}");
    }
}

/// Where there are two databases, one of them without Odoo's tables.
#[test]
fn it_wants_a_database_named_in_the_very_bytes_of_a_real_one() {
    let others = Settings { others: vec![UNINITIALISED], ..Settings::default() };
    let odoo = StandIn::start_as(Company::small(1), others).unwrap();
    for name in [
        "json2/db-header-missing-two-dbs",
        "json2/db-header-uninitialised",
        "json2/db-header-wrong",
        "xml-two-dbs",
    ] {
        let (ours, theirs) = (undated(&asked(&odoo, name)), undated(&answered(name)));
        if name == "xml-two-dbs" {
            assert_eq!(layout(&ours), layout(&theirs), "{name}");
        } else {
            assert_eq!(ours, theirs, "{name}");
        }
    }
    let listed = asked(&odoo, "xml-db-list-two-dbs");
    let theirs = answered("xml-db-list-two-dbs").replace(">lab<", ">acme<").replace(">lab2<", ">empty<");
    let body = |answer: &str| answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body(&listed), body(&theirs));
    // With one, nobody asks.
    let odoo = StandIn::start(Company::small(1)).unwrap();
    let answer = asked(&odoo, "json2/db-header-missing-monodb");
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
}

/// Over JSON-2: the status, the headers and every member are the same but `debug`, and of that the last line.
#[test]
fn what_json2_refuses_there_it_refuses_here_with_the_same_status() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    for name in [
        "auth-bad-key",
        "auth-basic",
        "auth-empty-bearer",
        "auth-expired-key",
        "auth-garbage-key",
        "auth-missing",
        "auth-password-as-bearer",
        "auth-scoped-key",
        "bad-context-type",
        "bad-json",
        "context-bad-lang",
        "domain-date-iso-t",
        "err-access-model",
        "err-bad-domain",
        "err-bad-order",
        "err-create-forbidden",
        "err-ids-on-api-model",
        "err-ids-strings",
        "err-private-method",
        "err-unknown-argument-read",
        "err-unknown-argument-search_read",
        "err-unknown-field",
        "err-unknown-field-domain",
        "err-unknown-field-search_read",
        "err-unknown-method",
        "err-unknown-model",
        "err-write-forbidden",
        "get-method",
        "limit-negative",
        "read-all-fields-move",
        "wrong-path",
    ] {
        let name = format!("json2/{name}");
        let parts = |answer: &str| {
            let (before, debug) = answer.rsplit_once(", \"debug\": ").unwrap();
            let kept = before.split_inclusive("\r\n").filter(|line| !line.starts_with("Content-Length: "));
            let last = debug.trim_end_matches("\\n\"}").rsplit_once("\\n").unwrap().1.to_owned();
            (undated(&kept.collect::<String>()), last)
        };
        assert_eq!(parts(&asked(&odoo, &name)), parts(&recorded(&name, "response")), "{name}");
    }
}

/// Over JSON-RPC too: every member is the same but `debug`, and of that the last line.
#[test]
fn what_fails_there_fails_here_in_the_same_words() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    for name in [
        "auth-wrong-db",
        "common-unknown-method",
        "err-access-model",
        "err-bad-domain",
        "err-create-forbidden",
        "err-unknown-field-read",
        "err-unknown-method",
        "err-unknown-model",
        "err-unlink-forbidden",
        "err-write-forbidden",
        "err-wrong-db",
        "err-wrong-uid",
        "missing-args",
        "write-partner-by-bot",
    ] {
        let name = format!("jsonrpc/{name}");
        let parts = |answer: &str| {
            let (before, debug) = answer.rsplit_once(", \"debug\": ").unwrap();
            let kept = before.split_inclusive("\r\n").filter(|line| !line.starts_with("Content-Length: "));
            let last = debug.trim_end_matches("\\n\"}}}").rsplit_once("\\n").unwrap().1.to_owned();
            (undated(&kept.collect::<String>()), last)
        };
        assert_eq!(parts(&asked(&odoo, &name)), parts(&recorded(&name, "response")), "{name}");
    }
}

/// Pages as JSON: the same members in the same order.
#[test]
fn a_page_has_its_members_in_the_same_order() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    let json_rpc = ["err-missing-some", "page-80", "read-invoices", "search_read-invoices"];
    let json2 = [
        "auth-uppercase-scheme",
        "charset-content-type",
        "err-ids-not-list",
        "err-missing-some",
        "groups",
        "http11-keepalive",
        "own-apikeys",
        "page-80",
        "read-duplicate-ids",
        "read-invoices",
        "read-load-false",
        "search_read-invoices",
        "with-session-cookie",
    ];
    let names = json_rpc.map(|name| format!("jsonrpc/{name}")).into_iter();
    for name in names.chain(json2.map(|name| format!("json2/{name}"))) {
        let members = |answer: &str| -> Vec<String> {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let lines =
                head.lines().filter(|l| !l.starts_with("Date: ") && !l.starts_with("Content-Length: "));
            let parts: Vec<&str> = body.split("\": ").collect();
            let names = parts[..parts.len() - 1].iter().map(|part| part.rsplit('"').next().unwrap());
            lines.chain(names).map(str::to_owned).collect()
        };
        assert_eq!(members(&asked(&odoo, &name)), members(&recorded(&name, "response")), "{name}");
    }
}

fn cause(answer: &str) -> (i64, OdooError) {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    match read_value(body.as_bytes(), &Caps::default()).unwrap() {
        Reply::Fault(fault) => (fault.code, OdooError::of_fault(&fault, None)),
        Reply::Result(_) => panic!("no fault: {body}"),
    }
}

/// Pages, whose values are made up: the same elements on the same lines, members in the same order.
#[test]
fn a_page_is_laid_out_as_a_real_one() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    for name in [
        "xml-read-duplicate-ids",
        "xml-read-invoices",
        "xml-search_read-invoices",
        "xml-page-80",
        "xml-read-lines",
        "xml-read-partners",
        "xml-read-products",
        "xml-search_read-load-empty",
        "xml-err-missing-some",
    ] {
        let (ours, theirs) = (asked(&odoo, name), recorded(name, "response"));
        let records = layout(&theirs).matches("<name>id</name>").count();
        assert!(records > 0, "{name}");
        assert_eq!(layout(&ours), layout(&theirs), "{name}");
    }
}

/// A field of each type that is never empty: its value is written on the same lines.
#[test]
fn a_value_is_written_as_a_real_one_writes_it() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    let name = "xml-search_read-invoices";
    let (ours, theirs) = (asked(&odoo, name), recorded(name, "response"));
    for field in ["id", "name", "state", "partner_id", "amount_total", "currency_id", "write_date"] {
        let member = |answer: &str| {
            let (_, after) = answer.split_once(&format!("<name>{field}</name>\n")).unwrap();
            let (value, _) = after.split_once("</member>").unwrap();
            blank(value)
        };
        assert!(member(&theirs).contains("<>"), "{field}");
        assert_eq!(member(&ours), member(&theirs), "{field}");
    }
}

/// What stands between the innermost tags, left out: `<int>1</int>` is `<int><></int>`.
fn blank(value: &str) -> String {
    let mut blanked = String::new();
    for line in value.lines() {
        let tags = line.match_indices('>').nth(1).zip(line.find("</"));
        match tags {
            Some(((opened, _), closes)) if line.matches('<').count() == 4 => {
                blanked.push_str(&format!("{}<>{}\n", &line[..=opened], &line[closes..]));
            }
            _ => blanked.push_str(&format!("{line}\n")),
        }
    }
    blanked
}

/// An answer without its values: what a field holds differs, and for an empty one its type too.
fn layout(answer: &str) -> String {
    let mut lines = Vec::new();
    let mut inside = None;
    for line in answer.lines().filter(|l| !l.starts_with("Date: ") && !l.starts_with("Content-Length: ")) {
        match (inside, line) {
            // the value of a field begins after its name, and ends with its member
            (None, line) if line.starts_with("<name>") => {
                lines.push(line);
                inside = Some(());
            }
            (Some(()), "</member>") => {
                lines.push(line);
                inside = None;
            }
            (Some(()), _) => {}
            (None, line) => lines.push(line),
        }
    }
    lines.join("\n")
}
