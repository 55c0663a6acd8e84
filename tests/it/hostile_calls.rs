//! Calls made of what an attacker would type: every public function that writes one, with texts of
//! markup, of every kind of character, and of other calls.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pawl::odoo::xmlrpc::{Login, XmlError, authenticate, execute};
use pawl::odoo::{Direction, Domain, Model, Operand, Operator, Order, ReadQuery, Readable, Sorting};
use pawl::secret::Secret;
use serde_json::{Value as Json, json};

use crate::xml_answers::{python, random};

/// What was written, and what it has to say: the method, and every parameter.
pub struct Call {
    pub xml: Vec<u8>,
    pub says: Json,
}

const PIECES: &[&str] = &[
    "</string></value></param></params></methodCall>",
    "<?xml version='1.0'?><methodCall><methodName>execute_kw</methodName><params>",
    "</methodName><methodName>write</methodName>",
    "<param><value><string>unlink</string></value></param>",
    "</string><string>",
    "<value>",
    "<!DOCTYPE x [<!ENTITY e 'write'>]>",
    "&e;",
    "&lt;",
    "&#60;",
    "&#x3c;/string&#x3e;",
    "&amp;amp;",
    "&",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "--",
    "<?",
    "?>",
    "\r\n\r\nPOST /xmlrpc/2/object HTTP/1.1\r\n",
    "\r",
    "\n",
    "\t",
    " ",
    "'\"",
    "%00\\u0000\\",
    "\u{85}\u{2028}\u{feff}\u{202e}",
    "e\u{301}🧾\u{fffd}\u{10ffff}",
    "write",
    "unlink",
    "_private",
    "account.move.line",
    "parent_id",
];

/// A text of some pieces, and now and then of a character that may be any.
pub fn text(seed: &mut u64) -> String {
    let mut text = String::new();
    for _ in 0..random(seed, 6) {
        match random(seed, 24) {
            0 => text.extend(char::from_u32(random(seed, 0x11_0000) as u32)),
            1 => text.extend(char::from_u32(random(seed, 0x100) as u32)),
            _ => text.push_str(PIECES[random(seed, PIECES.len() as u64) as usize]),
        }
    }
    text
}

/// XML 1.0, production 2, as the specification lists it.
fn is_speakable(text: &str) -> bool {
    text.chars().all(
        |c| matches!(u32::from(c), 0x9 | 0xa | 0xd | 0x20..=0xd7ff | 0xe000..=0xfffd | 0x10000..=0x10ffff),
    )
}

fn number(seed: &mut u64) -> i64 {
    let edges =
        [i64::MIN, i64::from(i32::MIN) - 1, i64::from(i32::MIN), -1, 0, 1, i64::from(i32::MAX), 1 << 31];
    match random(seed, 3) {
        0 => edges[random(seed, 8) as usize],
        1 => i64::MAX - random(seed, 9) as i64,
        _ => random(seed, 1 << 31) as i64,
    }
}

fn operand(seed: &mut u64) -> (Operand, Json, Vec<String>) {
    let some = random(seed, 4) as usize;
    match random(seed, 6) {
        0 => (Operand::Empty, json!(false), Vec::new()),
        1 => (Operand::Bool(true), json!(true), Vec::new()),
        2 => {
            let it = number(seed);
            (Operand::Int(it), json!(it), Vec::new())
        }
        3 => {
            let all: Vec<i64> = (0..some).map(|_| number(seed)).collect();
            (Operand::Ints(all.clone()), json!(all), Vec::new())
        }
        4 => {
            let all: Vec<String> = (0..some).map(|_| text(seed)).collect();
            (Operand::Texts(all.clone()), json!(all), all)
        }
        _ => {
            let it = text(seed);
            (Operand::Text(it.clone()), json!(it), vec![it])
        }
    }
}

fn fields_of(model: &Model, seed: &mut u64) -> Vec<String> {
    let all: Vec<String> = model.all().iter().map(|field| field.name().to_owned()).collect();
    let some = random(seed, 4) as usize + 1;
    (0..some).map(|_| all[random(seed, all.len() as u64) as usize].clone()).collect()
}

/// A query of `model`, its two last parameters, and every text in it.
pub fn query(model: &Model, seed: &mut u64) -> (ReadQuery, Json, Vec<String>) {
    let names = fields_of(model, seed);
    let fields = model.fields(&names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    if random(seed, 3) == 0 {
        let ids: Vec<i64> = (0..random(seed, 4)).map(|_| number(seed)).collect();
        let says = json!([[ids], {"fields": names, "context": {"lang": "en_US"}}]);
        return (ReadQuery::Read { ids, fields }, says, Vec::new());
    }
    let (mut domain, mut conditions, mut texts) = (Domain::all(model), Vec::new(), Vec::new());
    for _ in 0..random(seed, 4) {
        let mut names = fields_of(model, seed);
        names.push("id".to_owned());
        let name = &names[random(seed, names.len() as u64) as usize];
        let operator = Operator::ALL[random(seed, Operator::ALL.len() as u64) as usize];
        let (operand, said, more) = operand(seed);
        // What that field is not compared with has no way in.
        let Ok(longer) = domain.clone().and(name, operator, operand) else { continue };
        domain = longer;
        conditions.push(json!([name, operator.as_str(), said]));
        texts.extend(more);
    }
    let order = match random(seed, 3) {
        0 => Order::IdAscending,
        1 => Order::IdDescending,
        _ => match Sorting::by(model, &[(names[0].as_str(), Direction::Descending)]) {
            Ok(sorting) => Order::By(sorting),
            Err(_) => Order::NewestFirst,
        },
    };
    let (offset, limit) = (random(seed, 1 << 31) as u32 * 2, random(seed, 1 << 31) as u32 * 2 + 1);
    let archived = random(seed, 2) == 0;
    let context =
        if archived { json!({"active_test": false, "lang": "en_US"}) } else { json!({"lang": "en_US"}) };
    let says = json!([[conditions], {
        "fields": names, "limit": limit, "offset": offset, "order": order.as_str(), "context": context,
    }]);
    let limit = limit.try_into().unwrap();
    (ReadQuery::SearchRead { domain, fields, order, offset, limit, archived }, says, texts)
}

/// Calls from both functions that write one. A text that XML can't carry has to be refused; the
/// second number counts those.
pub fn calls(rounds: usize, seed: &mut u64) -> (Vec<Call>, usize) {
    let readable = Readable::embedded().unwrap();
    let models = readable.model_names();
    let (mut calls, mut refused) = (Vec::new(), 0);
    for round in 0..rounds {
        let (database, secret, username) = (text(seed), text(seed), text(seed));
        let kept = Secret::new(secret.clone());
        let login = Login { database: &database, secret: &kept };
        let mut texts = vec![database.clone(), secret.clone()];
        let (written, says) = if round % 4 == 0 {
            texts.push(username.clone());
            let says = json!(["authenticate", [database, username, secret, {}]]);
            (authenticate(&login, &username), says)
        } else {
            let model = readable.model(&models[random(seed, models.len() as u64) as usize]).unwrap();
            let (query, more, in_query) = query(&model, seed);
            texts.extend(in_query);
            let uid = number(seed);
            let method = query.method().as_str();
            let head = json!([database, uid, secret, model.name(), method]);
            let params = [head, more].map(|part| part.as_array().unwrap().clone()).concat();
            (execute(&login, uid, &query), json!(["execute_kw", params]))
        };
        match written {
            Ok(xml) => {
                assert!(texts.iter().all(|text| is_speakable(text)), "{texts:?}");
                calls.push(Call { xml: xml.to_vec(), says });
            }
            Err(error) => {
                assert_eq!(error, XmlError::Unspeakable);
                assert!(!texts.iter().all(|text| is_speakable(text)), "{texts:?}");
                refused += 1;
            }
        }
    }
    (calls, refused)
}

/// Each call as Python reads it, expat counting what may be there once: the values, and that the
/// root, and the one name of a method below it, are what they have to be.
const READER: &str = r#"
import base64, json, sys, xmlrpc.client
from xml.parsers import expat

for line in sys.stdin:
    xml, path, found = base64.b64decode(line), [], []
    parser = expat.ParserCreate()
    def opened(name, attributes):
        path.append(name)
        if name in ("methodCall", "methodName", "params"):
            found.append("/".join(path))
        assert not attributes
    def refuse(*_):
        raise ValueError("more than elements and text")
    parser.StartElementHandler = opened
    parser.EndElementHandler = lambda name: path.pop()
    parser.StartDoctypeDeclHandler = parser.CommentHandler = refuse
    parser.StartCdataSectionHandler = parser.ProcessingInstructionHandler = refuse
    parser.Parse(xml, True)
    assert found == ["methodCall", "methodCall/methodName", "methodCall/params"], found
    params, method = xmlrpc.client.loads(xml)
    print(json.dumps([method, params]))
"#;

pub fn by_python<'a>(calls: impl IntoIterator<Item = &'a [u8]>) -> Vec<Json> {
    let lines: String = calls.into_iter().map(|xml| format!("{}\n", STANDARD.encode(xml))).collect();
    python(READER, lines).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether a call is a login, or a read of a model that may be read.
pub fn is_harmless(call: &Json) -> bool {
    match call[0].as_str() {
        Some("authenticate") => call[1].as_array().is_some_and(|params| params.len() == 4),
        Some("execute_kw") => {
            let readable = Readable::embedded().unwrap();
            call[1].as_array().is_some_and(|params| params.len() == 7)
                && call[1][3].as_str().is_some_and(|model| readable.model(model).is_ok())
                && matches!(call[1][4].as_str(), Some("search_read" | "read"))
        }
        _ => false,
    }
}
