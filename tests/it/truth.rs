//! What a real Odoo answered, through the worker into SQLite: every cell is what another reader, Python's
//! `xmlrpc.client`, read out of the recorded bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pawl::odoo::{Kind, Readable};
use serde_json::{Value as Json, json};

use crate::harness::{Vault, program};
use crate::missing::{NOT_THERE, is_other};
use crate::scene::{LOOPBACK, columns, stored};

/// Recorded pages, by model. What is recorded as JSON alone is said in XML by the marshaller that Odoo
/// itself uses.
const RECORDED: &[(&str, &[&str])] = &[
    (
        "account.move",
        &[
            "xml-page-80",
            "xml-search_read-invoices",
            "xml-search_read-draft",
            "xml-narration",
            "json2/refunds",
        ],
    ),
    (
        "account.move.line",
        &["xml-read-lines", "xml-search_read-lines", "json2/refund-lines", "json2/section-note-lines"],
    ),
    (
        "res.partner",
        &[
            "xml-read-partners",
            "xml-read-partners-odd-text",
            "xml-read-partner-long-name",
            "xml-partner-active-test-false",
        ],
    ),
    ("product.product", &["xml-read-products", "xml-read-products-fr", "json2/read-products"]),
    ("res.currency", &["json2/currencies"]),
];

/// Reads pages, keeps the fields that are asked for, adds those that were not recorded as empty, and
/// says each as XML once more; a page that was XML loses and gains whole members alone.
const READER: &str = r#"
import base64, json, re, struct, sys, xmlrpc.client

MEMBER = re.compile(r"<member>\n<name>([^<]*)</name>\n.*?</member>\n", re.S)

def cell(kind, v):
    if kind == "boolean": return [int(v), "integer"]
    if kind == "many2one": return [v[0], "integer", v[1] or ""] if v else [None, "null", None]
    if kind == "x2many": return [json.dumps(v, separators=(",", ":")), "text"]
    if v is False: return [None, "null"]
    if isinstance(v, bool): raise TypeError(v)
    if isinstance(v, str): return [v, "text"]
    if kind in ("float", "monetary"): return [float(v), "real"]
    return [int(v), "integer"]

EMPTY = {"boolean": False, "x2many": []}

for line in sys.stdin:
    name, is_xml, fields, body = json.loads(line)
    body = base64.b64decode(body).decode()
    if is_xml:
        (records,), _ = xmlrpc.client.loads(body)
    else:
        records = json.loads(body)
    absent = {f: EMPTY.get(k, False) for f, k in fields if f not in records[0]}
    if is_xml:
        def keep(match):
            return match.group(0) if match.group(1) == "id" or match.group(1) in dict(fields) else ""
        body = MEMBER.sub(keep, body)
        more = "".join(
            "<member>\n<name>%s</name>\n<value>%s</value>\n</member>\n"
            % (f, "<array><data>\n</data></array>" if v == [] else "<boolean>0</boolean>")
            for f, v in absent.items())
        body = body.replace("</struct></value>\n", more + "</struct></value>\n")
    else:
        page = [{f: v for f, v in (r | absent).items() if f == "id" or f in dict(fields)}
                for r in sorted(records, key=lambda r: r["id"])]
        body = xmlrpc.client.dumps((page,), methodresponse=True)
    cells = {r["id"]: sum((cell(k, (r | absent)[f]) for f, k in fields), []) for r in records}
    print(json.dumps([name, base64.b64encode(body.encode()).decode(), cells]))
"#;

/// A recorded page as the worker asks for it, and the cells that Python reads out of it.
struct Page {
    body: Vec<u8>,
    cells: BTreeMap<i64, Vec<Json>>,
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Many2one => "many2one",
        Kind::X2many => "x2many",
        Kind::Float => "float",
        Kind::Monetary => "monetary",
        Kind::Integer => "integer",
        Kind::Text | Kind::Html | Kind::Selection | Kind::Date | Kind::Datetime => "text",
    }
}

fn pages() -> BTreeMap<String, Page> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/odoo-wire");
    let mut lines = String::new();
    for (model, names) in RECORDED {
        let fields: Vec<_> = columns(model).into_iter().map(|(name, kind)| (name, kind_name(kind))).collect();
        for name in *names {
            let whole = std::fs::read(dir.join(format!("{name}.response"))).unwrap();
            let at = whole.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
            let line = json!([name, name.starts_with("xml"), fields, STANDARD.encode(&whole[at + 4..])]);
            lines.push_str(&format!("{line}\n"));
        }
    }
    let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut child = Command::new(python)
        .args(["-c", READER])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    let read = said.lines().map(|line| {
        let (name, body, cells): (String, String, BTreeMap<i64, Vec<Json>>) =
            serde_json::from_str(line).unwrap();
        (name, Page { body: STANDARD.decode(body).unwrap(), cells })
    });
    read.collect()
}

/// Answers a login, and one page a model.
struct Recorded {
    url: String,
    pages: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

const EMPTY: &str = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><array><data>\n\
                     </data></array></value>\n</param>\n</params>\n</methodResponse>\n";

impl Recorded {
    /// Serves until the test ends.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pages = Arc::new(Mutex::new(BTreeMap::<String, Vec<u8>>::new()));
        let serving = pages.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let asked = request(&mut stream);
                if is_other(asked.as_bytes()) {
                    stream.write_all(NOT_THERE).unwrap();
                    continue;
                }
                let pages = serving.lock().unwrap();
                let first = asked.contains("<value><int>0</int></value>\n</data></array></value>");
                let of_model = pages.iter().find(|(model, _)| {
                    asked.contains(&format!("<param>\n<value><string>{model}</string></value>\n</param>"))
                });
                let body = match of_model {
                    _ if asked.contains("<methodName>version") => {
                        let told = "<struct><member><name>server_version_info</name><value><array><data><value>\
                                    <int>19</int></value><value><int>0</int></value></data></array></value></member>\
                                    </struct>";
                        EMPTY.replace("<array><data>\n</data></array>", told).into_bytes()
                    }
                    _ if asked.contains("<methodName>authenticate") => {
                        EMPTY.replace("<array><data>\n</data></array>", "<int>10</int>").into_bytes()
                    }
                    Some((_, page)) if first && !asked.contains("write_date desc") => page.clone(),
                    _ => EMPTY.as_bytes().to_vec(),
                };
                let head = format!(
                    "HTTP/1.0 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
            }
        });
        Self { url, pages }
    }
}

fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while !bytes.ends_with(b"</methodCall>\n") && !is_other(&bytes) {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "a request broke off");
        bytes.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_was_recorded_is_what_reaches_the_sink() {
    let pages = pages();
    let odoo = Recorded::start();
    let vault = Vault::start_with(&[LOOPBACK]);
    let body = json!({"url": odoo.url, "database": "lab", "username": "bot",
                      "credential": {"kind": "password", "secret": "bot-password-1"}});
    let connection = vault.deposit_as("acme", "ada", &body);
    let token = vault.token("acme", "ada", "worker");
    let dir = tempfile::tempdir().unwrap();
    let (mut cells, mut kinds) = (0, BTreeSet::new());
    for round in 0..RECORDED.iter().map(|(_, names)| names.len()).max().unwrap() {
        let served: Vec<(&str, &Page)> =
            RECORDED.iter().filter_map(|(model, names)| Some((*model, &pages[*names.get(round)?]))).collect();
        *odoo.pages.lock().unwrap() =
            served.iter().map(|(model, page)| ((*model).to_owned(), page.body.clone())).collect();
        // The same file each time: what is not on the page of this round is gone from it.
        let settings = [LOOPBACK, ("PAWL_URL", &vault.url), ("PAWL_TOKEN", &token)];
        let mut command = program(env!("CARGO_BIN_EXE_pawl-sync"), dir.path(), &settings);
        let output =
            command.args(["run", "--connection", &connection, "--to", "sqlite:lab.db"]).output().unwrap();
        assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
        for model in Readable::embedded().unwrap().model_names() {
            let expected = served.iter().find(|(served, _)| *served == model).map(|(_, page)| &page.cells);
            let stored = stored(&dir.path().join("lab.db"), &model);
            for (id, record) in expected.into_iter().flatten() {
                assert_eq!(stored.get(id), Some(record), "round {round} {model} {id}");
                cells += record.len();
                kinds.extend(record.iter().filter_map(|cell| cell.as_str()).map(str::to_owned));
            }
            assert_eq!(stored.len(), expected.map_or(0, BTreeMap::len), "round {round} {model}");
        }
    }
    assert!(cells > 3_000, "{cells} cells");
    for kind in ["text", "integer", "real", "null"] {
        assert!(kinds.contains(kind), "no cell was {kind}");
    }
}
