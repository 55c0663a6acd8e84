//! What was recorded in one dialect, told in the other two as Odoo would tell it: every page of records is the same
//! records by all three, and what is no page by one is none by any.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pawl::odoo::{Cell, DialectName, Fields, OdooError, Readable, Record, Text};
use serde_json::Value as Json;

use crate::dialects::{all_of, fetched, http, ok, recorded};
use crate::odoo_wire::whole;
use crate::xml_answers::{body_of, python, wire_dir};

/// One recorded answer to `search_read` or `read`.
struct Exchange {
    dialect: DialectName,
    name: String,
    /// Those that were asked for and may be read.
    fields: Fields,
    /// Whether there were others.
    has_more: bool,
}

/// Reads what was asked, out of every request; tells the records of an answer in XML-RPC and in JSON, with those members
/// alone that are wanted. Odoo drops from XML what XML can't hold, and writes both by the same rules as Python.
const PYTHON: &str = r#"
import base64, json, sys, xmlrpc.client

def clean(value):
    if isinstance(value, str):
        return "".join(c for c in value if c >= " " or c in "\r\n\t")
    if isinstance(value, list): return [clean(it) for it in value]
    if isinstance(value, dict): return {name: clean(it) for name, it in value.items()}
    return value

for line in sys.stdin:
    what, dialect, wanted, body = line.split("\x1f")
    body = base64.b64decode(body)
    if what == "ask":
        named = {}
        if dialect == "xml-rpc":
            try: args, method = xmlrpc.client.loads(body)
            except Exception: args, method = (), ""
            if method == "execute_kw": named = dict(args[6] if len(args) > 6 else {}, model=args[3], method=args[4])
        else:
            try: named = json.loads(body)
            except Exception: named = {}
            if dialect == "json-rpc":
                args = named.get("params", {}).get("args", [])
                named = dict(args[6] if len(args) > 6 else {}, model=args[3], method=args[4]) if len(args) > 4 else {}
        print(json.dumps([named.get("model"), named.get("method"), named.get("fields")]))
        continue
    if dialect == "xml-rpc": records = xmlrpc.client.loads(body)[0][0]
    else: records = json.loads(body)
    if dialect == "json-rpc": records = records["result"]
    wanted = wanted.split(",")
    records = [{name: it for name, it in record.items() if name in wanted} for record in records]
    xml = xmlrpc.client.dumps((clean(records),), methodresponse=True)
    print(json.dumps([xml, json.dumps(records)]))
"#;

fn line(what: &str, dialect: DialectName, wanted: &str, body: &[u8]) -> String {
    format!("{what}\u{1f}{}\u{1f}{wanted}\u{1f}{}\n", dialect.as_str(), STANDARD.encode(body))
}

fn file(dialect: DialectName, name: &str) -> String {
    match dialect {
        DialectName::Json2 => format!("json2/{name}"),
        DialectName::JsonRpc => format!("jsonrpc/{name}"),
        DialectName::XmlRpc => format!("xml-{name}"),
    }
}

/// By dialect, the name of every recording that there is.
fn all() -> Vec<(DialectName, String)> {
    let mut all = Vec::new();
    for dialect in DialectName::ALL {
        let stem = file(*dialect, "");
        let (folder, begin) = stem.split_once('/').unwrap_or((".", &stem));
        for entry in std::fs::read_dir(wire_dir().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let name = name.strip_prefix(begin).and_then(|name| name.strip_suffix(".response"));
            all.extend(name.map(|name| (*dialect, name.to_owned())));
        }
    }
    all.sort_by_key(|(dialect, name)| (*dialect, name.clone()));
    all
}

/// Those that answer with records of a model that may be read; and the names of the others that answer with records.
fn pages() -> (Vec<Exchange>, BTreeSet<String>) {
    let (readable, all) = (Readable::embedded().unwrap(), all());
    let asks = all.iter().map(|(dialect, name)| {
        let request = whole(&file(*dialect, name), "request");
        let request: Vec<u8> = match dialect {
            // The model and the method stand in the path.
            DialectName::Json2 => {
                let head = String::from_utf8_lossy(&request).into_owned();
                let mut path = head.split(' ').nth(1).unwrap_or_default().split('/').skip(3);
                let Ok(Json::Object(mut named)) = serde_json::from_slice(body_of(&request)) else {
                    return line("ask", *dialect, "", b"{}");
                };
                named.insert("model".into(), path.next().into());
                named.insert("method".into(), path.next().into());
                serde_json::to_vec(&named).unwrap()
            }
            _ => body_of(&request).to_vec(),
        };
        line("ask", *dialect, "", &request)
    });
    let asked = python(PYTHON, asks.collect());
    let (mut pages, mut others) = (Vec::new(), BTreeSet::new());
    for ((dialect, name), asked) in all.into_iter().zip(asked.lines()) {
        let (model, method, names): (Option<String>, Option<String>, Option<Vec<String>>) =
            serde_json::from_str(asked).unwrap();
        let answer = whole(&file(dialect, &name), "response");
        let has = |mark: &[u8]| answer.windows(mark.len()).any(|at| at == mark);
        let is_page = answer.starts_with(b"HTTP/1.0 200") && !has(b"<fault>") && !has(b"\"error\":");
        let (Some(model), Some("search_read" | "read"), true) = (model, method.as_deref(), is_page) else {
            continue;
        };
        let (Ok(model), Some(names)) = (readable.model(&model), names) else {
            others.insert(format!("{dialect} {name}"));
            continue;
        };
        // One was asked for twice.
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let may: Vec<&str> = names.iter().copied().filter(|field| model.fields(&[*field]).is_ok()).collect();
        let has_more = may.len() < names.len();
        match model.fields(&may) {
            Ok(fields) => pages.push(Exchange { dialect, name, fields, has_more }),
            Err(_) => drop(others.insert(format!("{dialect} {name}"))),
        }
    }
    (pages, others)
}

/// What XML can hold of it.
fn of_xml(read: Result<Vec<Record>, OdooError>) -> Result<Vec<Record>, OdooError> {
    let clean = |text: &mut Text| {
        let mut cleaned = text.replace("\r\n", "\n").replace('\r', "\n");
        cleaned.retain(|c| c >= ' ' || c == '\n' || c == '\t');
        *text = cleaned.into();
    };
    read.map(|mut records| {
        for cell in records.iter_mut().flat_map(|record| &mut record.cells) {
            match cell {
                Cell::Text(text) | Cell::Ref { name: text, .. } => clean(text),
                _ => {}
            }
        }
        records
    })
}

/// Attack on P10.
#[test]
fn every_recorded_page_is_the_same_records_in_each_dialect() {
    let (pages, others) = pages();
    let lines = pages.iter().map(|page| {
        let wanted: Vec<&str> =
            ["id"].into_iter().chain(page.fields.iter().map(|field| field.name())).collect();
        let answer = whole(&file(page.dialect, &page.name), "response");
        line("tell", page.dialect, &wanted.join(","), body_of(&answer))
    });
    let told = python(PYTHON, lines.collect());
    let (mut records, mut unlike) = (0, BTreeSet::new());
    for (page, told) in pages.iter().zip(told.lines()) {
        let (xml, json): (String, String) = serde_json::from_str(told).unwrap();
        let query = all_of(&page.fields);
        let rpc = format!(r#"{{"jsonrpc": "2.0", "id": 2, "result": {json}}}"#);
        let by = |dialect: DialectName| {
            // As it was recorded, if it is nothing but what is wanted.
            let answer = match dialect {
                _ if dialect == page.dialect && !page.has_more => recorded(dialect, &page.name, 2),
                DialectName::Json2 => ok(&json),
                DialectName::JsonRpc => ok(&rpc),
                DialectName::XmlRpc => http("200 OK", "text/xml; charset=utf-8", &xml),
            };
            fetched(dialect, answer, &query)
        };
        let name = format!("{} {}", page.dialect, page.name);
        let [json_2, json_rpc, xml] = [DialectName::Json2, DialectName::JsonRpc, DialectName::XmlRpc].map(by);
        if page.dialect == DialectName::XmlRpc {
            assert_eq!(json_2, xml, "{name}");
        }
        assert_eq!(of_xml(json_2.clone()), xml, "{name}");
        assert_eq!(json_2, json_rpc, "{name}");
        match json_2 {
            Ok(read) => records += read.len(),
            Err(error) => drop(unlike.insert(format!("{name}: {error}"))),
        }
    }
    assert!(pages.len() >= 80 && records > 700, "{} {records}", pages.len());
    // Bare ids for references, with an argument that this client has no way to give.
    let bare = ["JSON-2 read-load-false", "XML-RPC search_read-load-empty"];
    assert_eq!(unlike, bare.map(|name| format!("{name}: Odoo's answer is malformed")).into());
    // Of models that are for checks alone.
    let of_checks = [
        "JSON-2 groups",
        "JSON-2 own-apikeys",
        "JSON-2 own-user",
        "JSON-2 own-user-search",
        "JSON-RPC apikey-as-password",
        "JSON-RPC err-access-field",
        "XML-RPC apikey-as-password",
        "XML-RPC err-access-field",
        "XML-RPC read-users-groups",
        "XML-RPC search_read-apikeys",
    ];
    assert_eq!(others, of_checks.map(str::to_owned).into());
}
