//! An Odoo that somebody hostile owns, in each dialect and at each step of a login and a read: whatever it sends ends in
//! a cause, within the limits, and nothing of it is taken for records.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pawl::clock::Clock;
use pawl::egress::EgressError::{Broken, Redirected, Status, TooLarge};
use pawl::odoo::{Address, DialectName, Odoo, OdooError, Readable, Record, Servers};
use serde_json::Value as Json;

use crate::dialects::{all_of, fetched, key, only, password};
use crate::odoo_wire::{egress, serve, wait, whole};
use crate::xml_answers::{body_of, python, random};

/// 64 MiB in a few kilobytes.
const PACKED: &str = "import gzip, sys\n\
    out = gzip.GzipFile(fileobj=sys.stdout.buffer, mode='wb', compresslevel=9)\n\
    for _ in range(64): out.write(b'[' * (1 << 20))\nout.close()";

fn media(dialect: DialectName) -> &'static str {
    if dialect == DialectName::XmlRpc { "text/xml" } else { "application/json" }
}

fn with(head: &str, body: &[u8]) -> Vec<u8> {
    let mut whole = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    whole.extend_from_slice(body);
    whole
}

/// What it sends, in its own dialect, with `value` where a result would stand.
fn told(dialect: DialectName, value: &str) -> Vec<u8> {
    let body = match dialect {
        DialectName::Json2 => value.to_owned(),
        DialectName::JsonRpc => format!(r#"{{"jsonrpc": "2.0", "id": 2, "result": {value}}}"#),
        DialectName::XmlRpc => {
            format!(
                "<?xml version='1.0'?><methodResponse><params><param><value>{value}</value></param></params></methodResponse>"
            )
        }
    };
    with(&format!("200 OK\r\nContent-Type: {}", media(dialect)), body.as_bytes())
}

/// Each with a name. Bodies first, then what is wrong with the HTTP around a good one.
fn hostile(dialect: DialectName) -> Vec<(&'static str, Vec<u8>)> {
    let is_xml = dialect == DialectName::XmlRpc;
    let of = |json: &dyn Fn() -> String, xml: &dyn Fn() -> String| {
        told(dialect, &if is_xml { xml() } else { json() })
    };
    let record = |json: &str, xml: &str| {
        of(&|| format!("[{{\"id\": 1, {json}}}]"), &|| {
            format!(
                "<array><data><value><struct><member><name>id</name><value><int>1</int></value></member>{xml}</struct></value></data></array>"
            )
        })
    };
    let member =
        |name: &str, value: &str| format!("<member><name>{name}</name><value>{value}</value></member>");
    let (long, kilo) = ("9".repeat(1 << 20), "x".repeat(17 << 20));
    let good = told(dialect, if is_xml { "<array><data></data></array>" } else { "[        ]" });
    let good_body = body_of(&good).to_vec();
    let media = media(dialect);
    let type_line = format!("200 OK\r\nContent-Type: {media}");
    let laughs = format!(
        "<!DOCTYPE l [<!ENTITY a \"{}\"><!ENTITY b \"{}\">]><methodResponse><params><param><value>&b;</value></param></params></methodResponse>",
        "ha".repeat(100),
        "&a;".repeat(10_000)
    );
    let bomb = {
        let run =
            std::process::Command::new(std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".into()))
                .args(["-c", PACKED])
                .output()
                .unwrap();
        assert!(run.stdout.len() > 10_000 && run.stdout.len() < 1 << 20, "{}", run.stdout.len());
        run.stdout
    };
    let chunked = |chunks: &str| {
        format!("HTTP/1.1 {type_line}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes()
    };
    vec![
        ("deep arrays", of(&|| "[".repeat(1 << 20), &|| "<array><data><value>".repeat(1 << 16))),
        (
            "deep objects",
            of(&|| "{\"a\":".repeat(1 << 19), &|| "<struct><member><name>a</name><value>".repeat(1 << 16)),
        ),
        ("entities", with(&type_line, laughs.as_bytes())),
        (
            "many values",
            of(&|| format!("[{}0]", "0,".repeat(3_000_000)), &|| {
                format!("<array><data>{}</data></array>", "<value>0</value>".repeat(2_100_000))
            }),
        ),
        ("a huge text", record(&format!("\"name\": \"{kilo}\""), &member("name", &kilo))),
        (
            "a huge number",
            record(&format!("\"name\": {long}"), &member("name", &format!("<int>{long}</int>"))),
        ),
        (
            "a huge fraction",
            record(
                &format!("\"amount_total\": 0.{long}"),
                &member("amount_total", &format!("<double>0.{long}</double>")),
            ),
        ),
        ("a member twice", record("\"name\": \"a\", \"name\": \"b\"", &member("name", "a").repeat(2))),
        (
            "an id twice",
            record("\"id\": 1, \"name\": \"b\"", &(member("id", "<int>1</int>") + &member("name", "b"))),
        ),
        ("a number for a text", record("\"name\": 1", &member("name", "<int>1</int>"))),
        (
            "a list for a text",
            record("\"name\": [\"a\"]", &member("name", "<array><data><value>a</value></data></array>")),
        ),
        ("an object for a text", record("\"name\": {}", &member("name", "<struct></struct>"))),
        (
            "a field that was not asked for",
            record("\"name\": \"a\", \"password\": \"b\"", &(member("name", "a") + &member("password", "b"))),
        ),
        ("a field too few", record("\"ref\": \"a\"", &member("ref", "a"))),
        ("a text for records", of(&|| "\"records\"".into(), &|| "records".into())),
        ("null", of(&|| "null".into(), &|| "<nil/>".into())),
        ("cut off", with(&type_line, &good_body[..good_body.len() - 5])),
        ("cut off by HTTP", good[..good.len() - 1].to_vec()),
        ("not UTF-8", with(&type_line, b"[\"\xff\xfe\"]")),
        ("nothing", with(&type_line, b"")),
        ("more after it", with(&type_line, &[good_body.as_slice(), b"[]"].concat())),
        ("a head without end", format!("HTTP/1.1 {type_line}\r\nX: {}", "x".repeat(1 << 20)).into_bytes()),
        (
            "ten thousand headers",
            format!("HTTP/1.1 {type_line}\r\n{}Content-Length: 0\r\n\r\n", "X: y\r\n".repeat(10_000))
                .into_bytes(),
        ),
        (
            "two lengths",
            format!("HTTP/1.1 {type_line}\r\nContent-Length: 3\r\nContent-Length: 2\r\n\r\n[]\n")
                .into_bytes(),
        ),
        ("a length below zero", format!("HTTP/1.1 {type_line}\r\nContent-Length: -1\r\n\r\n").into_bytes()),
        (
            "a length beyond all bounds",
            format!("HTTP/1.1 {type_line}\r\nContent-Length: 99999999999999999999\r\n\r\n[]").into_bytes(),
        ),
        (
            "a length of 8 EiB",
            format!("HTTP/1.1 {type_line}\r\nContent-Length: 9223372036854775807\r\n\r\n[]").into_bytes(),
        ),
        ("a chunk beyond all bounds", chunked("fffffffffffffffff\r\n[]")),
        ("a chunk of 8 EiB", chunked("7fffffffffffffff\r\n[]")),
        ("a chunk that breaks off", chunked("40\r\n[")),
        (
            "what unpacks to a thousand times as much",
            with(&format!("{type_line}\r\nContent-Encoding: gzip"), &bomb),
        ),
        ("what is not packed as it says", with(&format!("{type_line}\r\nContent-Encoding: gzip"), b"[]")),
        (
            "packed in a way that nobody asked for",
            with(&format!("{type_line}\r\nContent-Encoding: br"), b"[]"),
        ),
        ("packed twice", with(&format!("{type_line}\r\nContent-Encoding: gzip, gzip"), b"[]")),
        ("another type", with("200 OK\r\nContent-Type: text/plain", &good_body)),
        ("no type", with("200 OK", &good_body)),
        ("a status that is none", b"HTTP/1.1 2000 OK\r\n\r\n".to_vec()),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("an interim answer and no more", b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        ("a redirect", with("302 Found\r\nLocation: http://127.0.0.1/", b"")),
        ("a wish for a protocol", with("101 Switching Protocols\r\nUpgrade: h2c", b"")),
        ("an error", with(&format!("500 Oh\r\nContent-Type: {media}"), &good_body)),
    ]
}

/// What that may end in: never in records, never in a refusal that would be kept.
fn is_a_cause(error: OdooError) -> bool {
    use OdooError::{ApiClosed, Egress, Malformed, NotOdoo, ServerFailed};
    matches!(
        error,
        ApiClosed
            | Malformed
            | NotOdoo
            | ServerFailed
            | Egress(Broken | TooLarge | Redirected(_) | Status(_))
    )
}

/// Attack on P6 and P10.
#[test]
fn whatever_a_hostile_server_answers_to_a_read_ends_in_a_cause() {
    let fields = Readable::embedded().unwrap().model("account.move").unwrap().fields(&["name"]).unwrap();
    for dialect in DialectName::ALL {
        for (what, answer) in hostile(*dialect) {
            let read = fetched(*dialect, answer, &all_of(&fields));
            assert!(read.as_ref().is_err_and(|error| is_a_cause(*error)), "{dialect}, {what}: {read:?}");
        }
    }
}

/// Nor does it get the secret a second time, or have a good credential taken for a refused one.
/// Attack on P6 and P10.
#[test]
fn whatever_a_hostile_server_answers_to_a_login_ends_in_a_cause() {
    for dialect in DialectName::ALL {
        for (what, answer) in hostile(*dialect) {
            let served = serve(vec![answer]);
            let address = Address { database: "lab".into(), username: "bot".into() };
            let credential =
                if *dialect == DialectName::Json2 { key("key-1") } else { password("bot-password-1") };
            let servers = only(*dialect, &served.url, "lab");
            let login = wait(Odoo::login(egress(&served.url), address, credential, &servers));
            let cause = login.err().map(|no| no.cause);
            assert!(cause.is_some_and(is_a_cause), "{dialect}, {what}: {cause:?}");
            assert_eq!(served.requests.lock().unwrap().len(), 1, "{dialect}, {what}");
        }
    }
}

/// Before any secret goes there.
/// Attack on P6 and P10.
#[test]
fn whatever_a_hostile_server_answers_to_a_stranger_ends_in_a_cause() {
    for dialect in DialectName::ALL {
        for (what, answer) in hostile(*dialect) {
            // Whatever it is asked, and however often.
            let served = serve(vec![answer; 8]);
            let address = Address { database: "lab".into(), username: "bot".into() };
            let servers = Servers::new(Clock::system());
            let login = wait(Odoo::login(egress(&served.url), address, key("key-1"), &servers));
            let cause = login.err().map(|no| no.cause);
            assert!(cause.is_some_and(is_a_cause), "{dialect}, {what}: {cause:?}");
            for request in served.requests.lock().unwrap().iter() {
                assert!(!request.windows(5).any(|at| at == b"key-1"), "{dialect}, {what}");
            }
        }
    }
}

const PYTHON: &str = r#"
import base64, json, sys
def once(pairs):
    if len({name for name, _ in pairs}) < len(pairs): raise ValueError
    return dict(pairs)
for line in sys.stdin:
    try: print(json.dumps(json.loads(base64.b64decode(line), object_pairs_hook=once)))
    except Exception: print("null")
"#;

/// What XML is held to, of JSON.
/// Attack on P6 and P10.
#[test]
fn a_page_of_json_that_is_cut_or_changed_is_none_or_another() {
    let fields = Readable::embedded().unwrap().model("account.move").unwrap().all();
    let page = body_of(&whole("json2/read-invoices", "response")).to_vec();
    let read = |body: &[u8]| -> Result<Vec<Record>, OdooError> {
        let mut records = Vec::new();
        pawl::odoo::json::read_records(body, &Default::default(), &fields, &mut |it| records.push(it))?;
        Ok(records)
    };
    assert!(read(&page).unwrap().len() > 1);
    for cut in 0..page.len() {
        assert!(read(&page[..cut]).is_err() || page[cut..].iter().all(u8::is_ascii_whitespace), "{cut}");
    }
    let mut seed = 0xfeed_u64;
    let rounds = if std::env::var_os("TEST_LONG").is_some() { 100_000 } else { 4_000 };
    let mut taken = BTreeMap::new();
    for round in 0..rounds {
        let mut body = page.clone();
        for _ in 0..=random(&mut seed, 3) {
            let at = random(&mut seed, body.len().max(1) as u64) as usize;
            match random(&mut seed, 6) {
                0 if at < body.len() => body[at] = random(&mut seed, 256) as u8,
                1 if at < body.len() => drop(body.remove(at)),
                2 => body.splice(at..at, *b"{\"a\":").for_each(drop),
                3 => body.splice(at..at, *b" ").for_each(drop),
                4 => body.splice(at..at, *b"\\u0000").for_each(drop),
                _ => body.splice(at..at, *b"9").for_each(drop),
            }
        }
        if let Ok(records) = read(&body) {
            taken.insert(round, (records, body));
        }
    }
    assert!(taken.len() > rounds / 20 && taken.len() < rounds, "{}", taken.len());
    let lines: String = taken.values().map(|(_, body)| format!("{}\n", STANDARD.encode(body))).collect();
    let told = python(PYTHON, lines);
    for ((records, body), told) in taken.values().zip(told.lines()) {
        let told: Json = serde_json::from_str(told).unwrap();
        let shown = String::from_utf8_lossy(body);
        let told = told.as_array().unwrap_or_else(|| panic!("{shown}"));
        assert_eq!(told.len(), records.len(), "{shown}");
        for (told, record) in told.iter().zip(records) {
            assert_eq!(told["id"], record.id, "{shown}");
            assert_eq!(told.as_object().unwrap().len(), fields.iter().count() + 1, "{shown}");
        }
    }
}
