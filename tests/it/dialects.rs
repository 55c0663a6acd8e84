//! The client in each dialect: the same records for the same data, a cause for each fault, and no more than
//! logins and reads.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pawl::clock::Clock;
use pawl::credential::CredentialKind;
use pawl::odoo::{
    Address, Cell, Credential, DialectName, Domain, Fields, Kind, Odoo, OdooError, Operand, Operator, Order,
    ReadQuery, Readable, Record, Server, Servers, Version,
};
use pawl::secret::Secret;
use serde_json::{Value as Json, json};

use crate::odoo_wire::{egress, serve, wait, whole};
use crate::xml_answers::{body_of, python, random, wire_dir};

/// What is known of a server that speaks this dialect alone, so that nobody asks it.
pub fn only(dialect: DialectName, url: &str, database: &str) -> Servers {
    let servers = Servers::new(Clock::system());
    let others = DialectName::ALL.iter().filter(|other| **other != dialect);
    let here = Server::of(Version::of(19, 0)).with(dialect);
    let server = others.fold(here, |server, other| server.without(*other));
    servers.remember(url, database, server);
    servers
}

pub fn password(secret: &str) -> Credential {
    Credential { kind: CredentialKind::Password, secret: Secret::new(secret.into()) }
}

pub fn key(secret: &str) -> Credential {
    Credential { kind: CredentialKind::ApiKey, secret: Secret::new(secret.into()) }
}

async fn log_in(dialect: DialectName, url: &str) -> Result<Odoo, OdooError> {
    let address = Address { database: "lab".into(), username: "bot".into() };
    let credential = if dialect == DialectName::Json2 { key("key-1") } else { password("bot-password-1") };
    let servers = only(dialect, url, "lab");
    Odoo::login(egress(url), address, credential, &servers).await.map_err(|no| no.cause)
}

pub fn http(status: &str, media: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.0 {status}\r\nContent-Type: {media}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

pub fn ok(body: &str) -> Vec<u8> {
    http("200 OK", "application/json; charset=utf-8", body)
}

/// A login that is taken.
fn taken(dialect: DialectName) -> Vec<u8> {
    match dialect {
        DialectName::Json2 => ok(r#"[{"id": 10, "login": "bot", "api_key_ids": [1, 6, 7]}]"#),
        DialectName::JsonRpc => ok(r#"{"jsonrpc": "2.0", "id": 1, "result": 10}"#),
        DialectName::XmlRpc => whole("xml-auth-ok", "response"),
    }
}

/// As it was recorded, but for the number that JSON-RPC gives back: this client's calls have their own.
pub fn recorded(dialect: DialectName, name: &str, number: usize) -> Vec<u8> {
    match dialect {
        DialectName::XmlRpc => whole(&format!("xml-{name}"), "response"),
        DialectName::Json2 => whole(&format!("json2/{name}"), "response"),
        DialectName::JsonRpc => {
            let answer = whole(&format!("jsonrpc/{name}"), "response");
            let body = body_of(&answer);
            let head = String::from_utf8(answer[..answer.len() - body.len()].to_vec()).unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            let Some((before, after)) = body.split_once("\"id\": ") else { return answer };
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            let body = format!("{before}\"id\": {number}{rest}");
            let head = head.lines().map(|line| match line.strip_prefix("Content-Length: ") {
                Some(_) => format!("Content-Length: {}\r\n", body.len()),
                None => format!("{line}\r\n"),
            });
            format!("{}{body}", head.collect::<String>()).into_bytes()
        }
    }
}

/// Of those fields, each record of a model.
pub fn all_of(fields: &Fields) -> ReadQuery {
    ReadQuery::SearchRead {
        domain: Domain::all(fields.model()),
        fields: fields.clone(),
        order: Order::IdAscending,
        offset: 0,
        limit: 100.try_into().unwrap(),
        archived: false,
    }
}

/// Logs in, gets this answer, and reads those fields out of it.
pub fn fetched(dialect: DialectName, answer: Vec<u8>, query: &ReadQuery) -> Result<Vec<Record>, OdooError> {
    let served = serve(vec![taken(dialect), answer]);
    wait(async { log_in(dialect, &served.url).await.unwrap().fetch(query).await })
}

/// What was asked: the model, and the fields that may be read, all of them.
fn fields_of(dialect: DialectName, name: &str) -> Option<Fields> {
    let folder = if dialect == DialectName::Json2 { "json2" } else { "jsonrpc" };
    let request = whole(&format!("{folder}/{name}"), "request");
    let body: Json = serde_json::from_slice(body_of(&request)).ok()?;
    let head = String::from_utf8_lossy(&request).into_owned();
    let (model, named) = match dialect {
        DialectName::Json2 => (head.split('/').nth(3)?.to_owned(), body.clone()),
        _ => (body["params"]["args"][3].as_str()?.to_owned(), body["params"]["args"][6].clone()),
    };
    let model = Readable::embedded().unwrap().model(&model).ok()?;
    let names: Vec<&str> = named["fields"].as_array()?.iter().map(|name| name.as_str().unwrap()).collect();
    model.fields(&names).ok()
}

/// Names of the recordings in a folder, with an answer of HTTP 200.
fn names(folder: &str) -> Vec<String> {
    let dir = wire_dir().join(folder);
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().to_str().unwrap().strip_suffix(".response").map(str::to_owned)
        })
        .filter(|name| whole(&format!("{folder}/{name}"), "response").starts_with(b"HTTP/1.0 200"))
        .collect();
    names.sort();
    names
}

const PYTHON: &str = r#"
import base64, json, sys

def clean(text):
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c >= " " or c in "\n\t")

for line in sys.stdin:
    name, body = line.split()
    value = json.loads(base64.b64decode(body), parse_float=lambda text: {"number": text})
    if isinstance(value, dict): value = value.get("result")
    print(json.dumps([name, value]))
"#;

/// A cell as what Python makes of the same JSON; of a text, what XML could carry of it.
fn as_python(kind: Kind, told: &Json) -> Json {
    let clean = |text: &str| {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        text.chars().filter(|c| *c >= ' ' || "\n\t".contains(*c)).collect::<String>()
    };
    match (kind, told) {
        (Kind::Boolean, told) => told.clone(),
        (_, Json::Bool(false) | Json::Null) => Json::Null,
        (Kind::Many2one, told) => json!([told[0], clean(told[1].as_str().unwrap_or_default())]),
        (Kind::Float | Kind::Monetary, Json::Object(number)) => number["number"].clone(),
        (Kind::Float | Kind::Monetary, Json::Number(whole)) => json!(whole.to_string()),
        (_, Json::String(text)) => json!(clean(text)),
        (_, told) => told.clone(),
    }
}

fn as_json(cell: &Cell) -> Json {
    match cell {
        Cell::Number(number) => json!(number.as_str()),
        other => serde_json::to_value(other).unwrap(),
    }
}

/// Every recorded page of readable models, through socket, client and reader, to the last digit.
#[test]
fn every_recorded_json_page_reads_as_another_reader_reads_it() {
    let mut pages = Vec::new();
    for (dialect, folder) in [(DialectName::JsonRpc, "jsonrpc"), (DialectName::Json2, "json2")] {
        for name in names(folder) {
            // Bare ids for references, with an argument that this client has no way to give.
            if name == "read-load-false" {
                continue;
            }
            if let Some(fields) = fields_of(dialect, &name) {
                let answer = recorded(dialect, &name, 2);
                pages.push((format!("{folder}/{name}"), dialect, fields, answer));
            }
        }
    }
    let lines: String = pages
        .iter()
        .map(|(name, .., answer)| format!("{name} {}\n", STANDARD.encode(body_of(answer))))
        .collect();
    let read = python(PYTHON, lines);
    let told: BTreeMap<String, Json> = read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (mut with_records, mut records_read) = (0, 0);
    for (name, dialect, fields, answer) in pages {
        let records = match fetched(dialect, answer, &all_of(&fields)) {
            Ok(records) => records,
            Err(error) => {
                // A fault in HTTP 200.
                assert!(told[&name].is_null(), "{name}: {error}");
                continue;
            }
        };
        let expected = told[&name].as_array().unwrap();
        assert_eq!(records.len(), expected.len(), "{name}");
        for (record, expected) in records.iter().zip(expected) {
            assert_eq!(json!(record.id), expected["id"], "{name}");
            for (cell, field) in record.cells.iter().zip(fields.iter()) {
                let expected = as_python(field.kind(), &expected[field.name()]);
                assert_eq!(as_json(cell), expected, "{name} {}", field.name());
            }
        }
        with_records += usize::from(!records.is_empty());
        records_read += records.len();
    }
    assert!(with_records >= 15 && records_read > 300, "{with_records} {records_read}");
}

/// The same data, asked for in each dialect.
#[test]
fn the_same_records_come_from_all_three() {
    let readable = Readable::embedded().unwrap();
    let moves = readable.model("account.move").unwrap();
    let partners = readable.model("res.partner").unwrap();
    let page = fields_of(DialectName::JsonRpc, "page-80").unwrap();
    let mut read = 0;
    for (name, fields) in [
        ("search_read-invoices", moves.all()),
        ("read-invoices", moves.all()),
        ("page-80", page),
        ("err-missing-record", moves.fields(&["name"]).unwrap()),
        ("err-missing-some", moves.fields(&["name"]).unwrap()),
        ("read-partners-odd-text", partners.fields(&["name"]).unwrap()),
    ] {
        let query = all_of(&fields);
        let by = |dialect| {
            let answer = recorded(dialect, name, 2);
            // `display_name` says the same as `name`, and is not readable.
            let answer = match name {
                "read-partners-odd-text" => without_display_name(dialect, &answer),
                _ => answer,
            };
            fetched(dialect, answer, &query).unwrap_or_else(|error| panic!("{name} {dialect}: {error}"))
        };
        let all = DialectName::ALL.iter().map(|dialect| by(*dialect)).collect::<Vec<_>>();
        assert_eq!(all[0], all[1], "{name}");
        // The partners of the page were renamed between the recordings.
        let renamed = |records: &[Record]| -> Vec<Record> {
            let mut records = records.to_vec();
            for record in &mut records {
                record.cells.retain(|cell| !matches!(cell, Cell::Ref { .. }));
                record.cells.pop();
            }
            records
        };
        match name {
            "page-80" => assert_eq!(renamed(&all[1]), renamed(&all[2]), "{name}"),
            _ => assert_eq!(all[1], all[2], "{name}"),
        }
        read += all[0].len();
    }
    assert!(read > 90, "{read}");
}

fn without_display_name(dialect: DialectName, answer: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(body_of(answer).to_vec()).unwrap();
    let (from, to, media) = match dialect {
        DialectName::XmlRpc => ("<member>\n<name>display_name</name>", "</member>\n", "text/xml"),
        _ => (", \"display_name\": \"", "\"}", "application/json"),
    };
    let mut kept = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(from) {
        kept.push_str(before);
        let end = after.find(to).unwrap();
        let end = if dialect == DialectName::XmlRpc { end + to.len() } else { end + 1 };
        rest = &after[end..];
    }
    kept.push_str(rest);
    http("200 OK", media, &kept)
}

/// Attack on P6 and P10.
#[test]
fn each_recorded_fault_of_json_has_its_cause() {
    use OdooError::{
        ApiClosed, DatabaseNotSelected, LoginRefused, ModelMissing, NoSuchDatabase, NotAllowed, QueryRefused,
        RecordMissing, ServerFailed, UnknownField,
    };
    let json_rpc = [
        ("apikey-expired", LoginRefused),
        ("apikey-other-user", LoginRefused),
        ("apikey-scoped", LoginRefused),
        ("err-wrong-password", LoginRefused),
        ("err-wrong-db", NoSuchDatabase),
        ("auth-wrong-db", NoSuchDatabase),
        ("err-wrong-uid", RecordMissing),
        ("err-access-model", NotAllowed),
        ("err-access-plain-user", NotAllowed),
        ("err-create-forbidden", NotAllowed),
        ("err-write-forbidden", NotAllowed),
        ("err-unlink-forbidden", NotAllowed),
        ("write-partner-by-bot", NotAllowed),
        ("err-unknown-model", ModelMissing),
        ("err-unknown-field-read", UnknownField),
        ("err-bad-domain", QueryRefused),
        ("err-ids-not-int", QueryRefused),
        ("err-unknown-method", QueryRefused),
        ("missing-args", QueryRefused),
        ("common-unknown-method", ServerFailed),
        ("none-result", OdooError::Malformed),
        ("malformed", OdooError::NotOdoo),
        ("get", OdooError::NotOdoo),
        ("wrong-content-type", OdooError::NotOdoo),
    ];
    let json_2 = [
        ("auth-bad-key", LoginRefused),
        ("auth-basic", LoginRefused),
        ("auth-empty-bearer", LoginRefused),
        ("auth-expired-key", LoginRefused),
        ("auth-garbage-key", LoginRefused),
        ("auth-missing", LoginRefused),
        ("auth-password-as-bearer", LoginRefused),
        ("auth-scoped-key", LoginRefused),
        ("db-header-missing-two-dbs", DatabaseNotSelected),
        ("db-header-wrong", DatabaseNotSelected),
        ("db-header-uninitialised", OdooError::Egress(pawl::egress::EgressError::Status(500))),
        ("err-access-model", NotAllowed),
        ("err-access-plain-user", NotAllowed),
        ("err-create-forbidden", NotAllowed),
        ("err-write-forbidden", NotAllowed),
        ("err-private-method", NotAllowed),
        ("error-french", NotAllowed),
        ("groups-access", NotAllowed),
        ("model-data", NotAllowed),
        ("read-all-fields-move", NotAllowed),
        ("err-unknown-model", ModelMissing),
        ("err-unknown-method", ModelMissing),
        ("wrong-path", ModelMissing),
        ("get-method", ModelMissing),
        ("err-unknown-field", UnknownField),
        ("err-unknown-field-search_read", UnknownField),
        ("err-unknown-field-domain", UnknownField),
        ("err-bad-domain", QueryRefused),
        ("err-bad-order", QueryRefused),
        ("err-ids-on-api-model", QueryRefused),
        ("err-ids-strings", QueryRefused),
        ("err-unknown-argument-read", QueryRefused),
        ("err-unknown-argument-search_read", QueryRefused),
        ("bad-context-type", QueryRefused),
        ("bad-json", QueryRefused),
        ("gzip-request", QueryRefused),
        ("context-bad-lang", QueryRefused),
        ("domain-date-iso-t", QueryRefused),
        ("limit-negative", QueryRefused),
        ("no-content-type", OdooError::NotOdoo),
        ("wrong-content-type", OdooError::NotOdoo),
    ];
    let fields = Readable::embedded().unwrap().model("account.move").unwrap().fields(&["name"]).unwrap();
    for (folder, dialect, table) in
        [("jsonrpc", DialectName::JsonRpc, json_rpc.as_slice()), ("json2", DialectName::Json2, &json_2)]
    {
        for entry in std::fs::read_dir(wire_dir().join(folder)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let Some(name) = file.strip_suffix(".response") else { continue };
            let answer = whole(&format!("{folder}/{name}"), "response");
            let is_fault = !answer.starts_with(b"HTTP/1.0 200")
                || body_of(&answer).windows(8).any(|w| w == b"\"error\":");
            assert!(
                !is_fault || table.iter().any(|(known, _)| *known == name),
                "{folder}/{name} is in no row"
            );
        }
        for (name, cause) in table {
            let served = serve(vec![taken(dialect), recorded(dialect, name, 2)]);
            let (first, second) = wait(async {
                let odoo = log_in(dialect, &served.url).await.unwrap();
                let first = odoo.fetch(&all_of(&fields)).await.unwrap_err();
                // once refused, nothing is sent any more
                (first, odoo.fetch(&all_of(&fields)).await.unwrap_err())
            });
            assert_eq!(first, *cause, "{folder}/{name}");
            assert_eq!(second == LoginRefused, *cause == LoginRefused, "{folder}/{name}");
            let passes = matches!(cause, ServerFailed | RecordMissing | OdooError::Egress(_));
            assert_eq!(cause.retryable(), passes, "{folder}/{name}");
            let text = format!("{first} {first:?}");
            assert!(!text.contains("odoo/") && !text.contains("Access Rights"), "{text}");
        }
    }
    assert_ne!(ApiClosed, OdooError::NotOdoo);
}

#[test]
fn a_login_is_judged_once_in_json_too() {
    use DialectName::{Json2, JsonRpc};
    for (dialect, answer, expected) in [
        (JsonRpc, recorded(JsonRpc, "auth-wrong-password", 1), OdooError::LoginRefused),
        (JsonRpc, recorded(JsonRpc, "auth-wrong-db", 1), OdooError::NoSuchDatabase),
        (JsonRpc, recorded(JsonRpc, "auth-ok", 7), OdooError::Malformed),
        (JsonRpc, ok(r#"{"jsonrpc": "2.0", "id": 1, "result": 0}"#), OdooError::Malformed),
        (JsonRpc, ok(r#"{"jsonrpc": "2.0", "id": 1, "result": true}"#), OdooError::Malformed),
        (JsonRpc, ok(r#"{"jsonrpc": "2.0", "id": 1, "result": "10"}"#), OdooError::Malformed),
        (Json2, recorded(Json2, "auth-bad-key", 1), OdooError::LoginRefused),
        (Json2, recorded(Json2, "db-header-wrong", 1), OdooError::DatabaseNotSelected),
        // the user is not there, or shows no keys: the key is somebody else's
        (Json2, ok("[]"), OdooError::OtherUser),
        (Json2, ok(r#"[{"id": 10, "login": "bot", "api_key_ids": []}]"#), OdooError::OtherUser),
        (
            Json2,
            http("401 Unauthorized", "application/json", r#"{"error": "gateway"}"#),
            OdooError::TurnedAway,
        ),
        (JsonRpc, http("403 Forbidden", "text/html", "no"), OdooError::TurnedAway),
        (JsonRpc, http("404 Not Found", "text/html", "no"), OdooError::ApiClosed),
    ] {
        let served = serve(vec![answer]);
        let refused = wait(log_in(dialect, &served.url)).err();
        if matches!(expected, OdooError::ApiClosed | OdooError::DatabaseNotSelected) {
            // It was remembered otherwise, so it is asked anew what it is: here by nobody who answers.
            assert!(matches!(refused, Some(OdooError::Egress(_))), "{refused:?}");
            continue;
        }
        assert_eq!(refused, Some(expected), "{dialect}");
        assert_eq!(served.requests.lock().unwrap().len(), 1, "{dialect}");
    }
}

/// Answers that nobody honest gives to this call.
/// Attack on P10.
#[test]
fn an_answer_to_another_call_or_of_another_shape_is_none() {
    use DialectName::{Json2, JsonRpc};
    let fields = Readable::embedded().unwrap().model("account.move").unwrap().fields(&["name"]).unwrap();
    let one = r#"[{"id": 1, "name": "n"}]"#;
    let rpc = |rest: &str| (JsonRpc, ok(&format!("{{\"jsonrpc\": \"2.0\", {rest}}}")));
    let malformed = Err(OdooError::Malformed);
    for ((dialect, answer), expected) in [
        (rpc(&format!("\"id\": 2, \"result\": {one}")), Ok(1)),
        (rpc(&format!("\"result\": {one}, \"id\": 2")), Ok(1)),
        (rpc(&format!("\"id\": 1, \"result\": {one}")), malformed),
        (rpc(&format!("\"id\": null, \"result\": {one}")), malformed),
        (rpc(&format!("\"id\": \"2\", \"result\": {one}")), malformed),
        (rpc(&format!("\"result\": {one}")), malformed),
        (rpc("\"id\": 2"), malformed),
        (rpc(&format!("\"id\": 2, \"result\": {one}, \"error\": {{}}")), malformed),
        (rpc(&format!("\"id\": 2, \"result\": {one}, \"result\": {one}")), malformed),
        (rpc("\"id\": 2, \"result\": false"), malformed),
        (rpc("\"id\": 2, \"result\": {}"), malformed),
        (rpc("\"id\": 2, \"error\": {}"), Err(OdooError::ServerFailed)),
        (rpc("\"id\": 2, \"error\": \"no\""), malformed),
        ((Json2, ok(one)), Ok(1)),
        ((Json2, ok("null")), malformed),
        ((Json2, ok("{}")), malformed),
        ((Json2, ok("")), malformed),
        ((Json2, ok(&one[..one.len() - 1])), malformed),
        ((Json2, ok(&format!("{one}x"))), malformed),
        ((Json2, http("200 OK", "text/html", one)), Err(OdooError::NotOdoo)),
        ((Json2, http("200 OK", "text/xml", one)), Err(OdooError::NotOdoo)),
        ((Json2, http("404 Not Found", "text/html", "<p>gone</p>")), Err(OdooError::ApiClosed)),
        ((Json2, http("403 Forbidden", "text/html", "no")), Err(OdooError::TurnedAway)),
        ((JsonRpc, http("401 Unauthorized", "text/html", "no")), Err(OdooError::TurnedAway)),
        ((Json2, http("502 Bad Gateway", "text/html", "no")), Err(status(502))),
        ((Json2, http("503 Busy", "application/json", "{\"message\": \"busy\"}")), Err(status(503))),
        ((JsonRpc, http("429 Too Many Requests", "application/json", "{}")), Err(status(429))),
        ((Json2, ok(&"[".repeat(100_000))), malformed),
        ((Json2, ok(&format!("[{{\"id\": 1, \"name\": \"{}\"}}]", "x".repeat(17 << 20)))), Err(too_large())),
    ] {
        let shown = String::from_utf8_lossy(&answer).chars().take(200).collect::<String>();
        let read = fetched(dialect, answer, &all_of(&fields)).map(|records| records.len());
        assert_eq!(read, expected, "{shown}");
    }
}

fn status(status: u16) -> OdooError {
    OdooError::Egress(pawl::egress::EgressError::Status(status))
}

fn too_large() -> OdooError {
    OdooError::Egress(pawl::egress::EgressError::TooLarge)
}

/// Who looks whether JSON-2 is there says the database's name and nothing else of its own: neither key nor user.
/// Attack on P6.
#[test]
fn a_stranger_asks_one_thing_whatever_the_database_is_called() {
    for database in
        ["lab", "../../res.users/write", "a?b#c", "\"}]", "%0d%0aAuthorization:", "x".repeat(256).as_str()]
    {
        let served = serve(vec![recorded(DialectName::Json2, "auth-missing", 1), taken(DialectName::Json2)]);
        let servers = Servers::new(Clock::system());
        servers.remember(&served.url, database, Server::of(Version::of(19, 0)));
        let address = Address { database: database.into(), username: "bot".into() };
        let odoo = wait(Odoo::login(egress(&served.url), address, key("key-1"), &servers));
        assert_eq!(odoo.map(|odoo| odoo.dialect()).map_err(|no| no.cause), Ok(DialectName::Json2));
        let requests = served.requests.lock().unwrap();
        let [knock, login] = requests.as_slice() else { panic!("{}", requests.len()) };
        let body = body_of(knock);
        let head = std::str::from_utf8(&knock[..knock.len() - body.len()]).unwrap().to_lowercase();
        assert!(head.starts_with("post /json/2/res.users/search_read http/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nx-odoo-database: {}\r\n", database.to_lowercase())), "{head}");
        assert!(!head.contains("\r\nauthorization:") && !head.contains("key-1"), "{head}");
        assert_eq!(
            serde_json::from_slice::<Json>(body).unwrap(),
            json!({"domain": [], "fields": ["login", "api_key_ids"], "limit": 1, "offset": 0, "order": "id asc",
                "context": {"lang": "en_US"}})
        );
        assert!(
            String::from_utf8_lossy(login).to_lowercase().contains("\r\nauthorization: bearer key-1\r\n")
        );
    }
}

/// Whatever is typed as database, user or secret, and whatever is searched for: a request is to one of these paths, and
/// is one JSON text that calls one of these methods.
/// Attack on P6.
#[test]
fn no_input_makes_json_say_more_than_logins_and_reads() {
    const PIECES: &[&str] = &[
        "\"",
        "\\",
        "\"}",
        "]}, \"method\": \"write\"",
        "\", \"unlink\", [1]",
        "\\u0022",
        "\r\n\r\nPOST /json/2/res.users/write HTTP/1.1\r\n",
        "/../",
        "?",
        "#",
        "%2f",
        "write",
        "\t",
        "é🧾",
        "\u{85}\u{2028}",
        "\0",
        "\u{7f}",
        "'",
        " ",
    ];
    let mut seed = 0x0d00_u64;
    let rounds = if std::env::var_os("TEST_LONG").is_some() { 2_000 } else { 100 };
    let (mut seen, mut unspeakable) = (0, 0);
    let moves = Readable::embedded().unwrap().model("account.move").unwrap();
    for _ in 0..rounds {
        for dialect in [DialectName::JsonRpc, DialectName::Json2] {
            let mut text = || -> String {
                (0..random(&mut seed, 5))
                    .map(|_| PIECES[random(&mut seed, PIECES.len() as u64) as usize])
                    .collect()
            };
            let (database, username, secret, value) = (text(), text(), text(), text());
            let empty = match dialect {
                DialectName::Json2 => ok("[]"),
                _ => ok(r#"{"jsonrpc": "2.0", "id": 2, "result": []}"#),
            };
            let served = serve(vec![taken(dialect), empty]);
            let kind =
                if dialect == DialectName::Json2 { CredentialKind::ApiKey } else { CredentialKind::Password };
            let credential = Credential { kind, secret: Secret::new(secret.clone()) };
            let servers = only(dialect, &served.url, &database);
            let address = Address { database: database.clone(), username: username.clone() };
            let query = ReadQuery::SearchRead {
                domain: Domain::all(&moves)
                    .and("ref", Operator::Equal, Operand::Text(value.clone()))
                    .unwrap(),
                fields: moves.fields(&["name"]).unwrap(),
                order: Order::NewestFirst,
                offset: 7,
                limit: 9.try_into().unwrap(),
                archived: true,
            };
            wait(async {
                match Odoo::login(egress(&served.url), address, credential, &servers).await {
                    Ok(odoo) => assert_eq!(odoo.fetch(&query).await, Ok(vec![])),
                    Err(no) => {
                        assert_eq!((no.cause, dialect), (OdooError::Unspeakable, DialectName::Json2));
                        unspeakable += 1;
                    }
                }
            });
            for (at, request) in served.requests.lock().unwrap().iter().enumerate() {
                let body = body_of(request);
                let head = std::str::from_utf8(&request[..request.len() - body.len()]).unwrap();
                let (first, _) = head.split_once("\r\n").unwrap();
                let body: Json = serde_json::from_slice(body).unwrap();
                let context = json!({"active_test": false, "lang": "en_US"});
                let (domain, fields) = (json!([["ref", "=", value]]), json!(["name"]));
                let page = json!({"fields": fields, "limit": 9, "offset": 7, "order": "write_date desc, id desc", "context": context});
                let expected = match (dialect, at) {
                    (DialectName::JsonRpc, 0) => {
                        json!({"jsonrpc": "2.0", "id": 1, "method": "call", "params": {
                        "service": "common", "method": "authenticate", "args": [database, username, secret, {}]}})
                    }
                    (DialectName::JsonRpc, _) => {
                        json!({"jsonrpc": "2.0", "id": 2, "method": "call", "params": {
                        "service": "object", "method": "execute_kw",
                        "args": [database, 10, secret, "account.move", "search_read", [domain], page]}})
                    }
                    (_, 0) => {
                        json!({"domain": [["login", "=", username]], "fields": ["login", "api_key_ids"],
                        "limit": 1, "offset": 0, "order": "id asc", "context": {"lang": "en_US"}})
                    }
                    _ => {
                        let mut named = page;
                        named["domain"] = domain;
                        named
                    }
                };
                assert_eq!(body, expected);
                let path = match (dialect, at) {
                    (DialectName::JsonRpc, _) => "/jsonrpc",
                    (_, 0) => "/json/2/res.users/search_read",
                    _ => "/json/2/account.move/search_read",
                };
                assert_eq!(first, format!("POST {path} HTTP/1.1"));
                assert_eq!(head.matches("POST").count(), 1, "{head}");
                if dialect == DialectName::Json2 {
                    let head = head.to_lowercase();
                    assert!(
                        head.contains(&format!("\r\nx-odoo-database: {}\r\n", database.to_lowercase())),
                        "{head}"
                    );
                    assert!(
                        head.contains(&format!("\r\nauthorization: bearer {}\r\n", secret.to_lowercase())),
                        "{head}"
                    );
                }
                seen += 1;
            }
        }
    }
    assert!(seen > rounds && unspeakable > 0, "{seen} {unspeakable}");
}
