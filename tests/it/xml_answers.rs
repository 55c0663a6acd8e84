//! Answers that are in order: each that was recorded, as many as wanted made at random, and what
//! Pawl's reader and Python's make of them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pawl::odoo::xmlrpc::{Caps, Reply, Value, read_value};
use serde_json::{Value as Json, json};

/// Where the recordings lie; both packages that hold tests read them.
pub fn wire_dir() -> PathBuf {
    let dirs = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join("tests/odoo-wire"));
    dirs.into_iter().find(|dir| dir.is_dir()).unwrap()
}

/// Every recorded answer: its name, and its body.
pub fn recordings() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(wire_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "response") {
            let whole = std::fs::read(&path).unwrap();
            all.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), body_of(&whole).to_vec());
        }
    }
    assert!(all.len() > 70, "{} recordings", all.len());
    all
}

/// An HTTP message without its head.
pub fn body_of(whole: &[u8]) -> &[u8] {
    let at = whole.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    &whole[at + 4..]
}

/// A value with its types spelt out, so that 1, 1.0 and true differ.
pub fn tagged(value: &Value) -> Json {
    match value {
        Value::Nil => json!(["nil"]),
        Value::Bool(it) => json!(["bool", it]),
        Value::Int(it) => json!(["int", it.to_string()]),
        Value::Double(it) => json!(["double", it.as_f64().to_bits().to_string()]),
        Value::Text(it) => json!(["text", it]),
        Value::DateTime(it) => json!(["datetime", it]),
        Value::Base64(it) => json!(["base64", STANDARD.encode(it)]),
        Value::Array(all) => json!(["array", all.iter().map(tagged).collect::<Vec<_>>()]),
        Value::Struct(all) => {
            json!(["struct", all.iter().map(|(k, v)| json!([k, tagged(v)])).collect::<Vec<_>>()])
        }
    }
}

/// What Pawl's reader reads.
pub fn by_pawl(body: &[u8]) -> Json {
    match read_value(body, &Caps::default()) {
        Ok(Reply::Result(value)) => json!(["result", tagged(&value)]),
        Ok(Reply::Fault(fault)) => json!(["fault", fault.code, fault.text]),
        Err(_) => json!(["error"]),
    }
}

const OTHER_READER: &str = r#"
import base64, json, struct, sys, xmlrpc.client

def tagged(v):
    if v is None: return ["nil"]
    if isinstance(v, bool): return ["bool", v]
    if isinstance(v, int): return ["int", str(v)]
    if isinstance(v, float): return ["double", str(struct.unpack(">Q", struct.pack(">d", v))[0])]
    if isinstance(v, str): return ["text", v]
    if isinstance(v, xmlrpc.client.DateTime): return ["datetime", v.value]
    if isinstance(v, xmlrpc.client.Binary): return ["base64", base64.b64encode(v.data).decode()]
    if isinstance(v, list): return ["array", [tagged(x) for x in v]]
    if isinstance(v, dict): return ["struct", [[k, tagged(x)] for k, x in v.items()]]
    raise TypeError(v)

for line in sys.stdin:
    name, body = line.split()
    try:
        (value,), _ = xmlrpc.client.loads(base64.b64decode(body))
        said = ["result", tagged(value)]
    except xmlrpc.client.Fault as fault:
        said = ["fault", fault.faultCode, fault.faultString]
    except Exception as error:
        said = ["error"]
    print(json.dumps([name, said]))
"#;

/// What Python's `xmlrpc.client` reads out of each of `bodies`.
pub fn by_python(bodies: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Json> {
    let lines: String = bodies.iter().map(|(n, b)| format!("{n} {}\n", STANDARD.encode(b))).collect();
    python(OTHER_READER, lines).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `program` prints when it is given `input`.
pub fn python(program: &str, input: String) -> String {
    let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut child = Command::new(python)
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// What some reader refuses and Odoo never writes: each can be left out of what is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// White space around a number.
    SpacedNumber,
}

/// Answers made at random and written by hand, with every type and odd texts, but not with `without`.
pub fn generated(how_many: usize, without: &[Oddity]) -> BTreeMap<String, Vec<u8>> {
    let mut writer = Writer { seed: 0x5eed, without, xml: String::new() };
    let mut bodies = BTreeMap::new();
    for n in 0..how_many {
        writer.xml.push_str("<?xml version='1.0' encoding='utf-8'?><methodResponse><params><param>");
        writer.value(0);
        writer.xml.push_str("</param></params></methodResponse>");
        bodies.insert(format!("generated-{n}"), std::mem::take(&mut writer.xml).into_bytes());
    }
    bodies
}

pub fn random(seed: &mut u64, below: u64) -> u64 {
    // xorshift64*, Vigna 2016
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
}

struct Writer<'a> {
    seed: u64,
    without: &'a [Oddity],
    xml: String,
}

impl Writer<'_> {
    fn random(&mut self, below: u64) -> u64 {
        random(&mut self.seed, below)
    }

    fn text(&mut self) -> String {
        const PIECES: &[&str] = &[
            "",
            " ",
            "\n\t ",
            "plain",
            "é 🧾 \u{200b}",
            "\u{85}\u{2028}\u{fffd}\u{10ffff}",
            "&lt;b&gt; &amp;amp; &quot;&apos;",
            "&#10;&#x1F9FE;&#13;",
            "<![CDATA[<&]]>",
            "<![CDATA[]]>",
            "a\r\nb\rc",
            "]]&gt;",
            "<!-- hidden -->seen",
            "seen<!---->",
        ];
        let mut text = String::new();
        for _ in 0..self.random(4) {
            text.push_str(PIECES[self.random(PIECES.len() as u64) as usize]);
        }
        text
    }

    fn space(&mut self) -> &'static str {
        let at = self.random(6) as usize;
        if self.without.contains(&Oddity::SpacedNumber) { "" } else { ["", "", "", " ", "\n", "\t "][at] }
    }

    fn scalar(&mut self) -> String {
        let space = self.space();
        match self.random(11) {
            0 => format!("<int>{}{space}</int>", self.random(1 << 31) as i64 - (1 << 30)),
            1 => format!("<i4>{space}{}</i4>", self.random(1000)),
            2 => format!("<i8>{}</i8>", (self.random(1 << 31) as i64 - (1 << 30)) << 20),
            3 => format!("<double>{:?}</double>", self.random(1 << 31) as f64 / 97.0),
            4 => {
                let bits = self.random(1 << 31) << 33 | self.random(1 << 31) << 2;
                let finite = Some(f64::from_bits(bits)).filter(|it| it.is_finite()).unwrap_or(-0.0);
                format!("<double>{finite:e}{space}</double>")
            }
            5 => format!("<boolean>{}</boolean>", self.random(2)),
            6 => "<nil/>".to_owned(),
            7 => self.text(),
            8 => format!("<string>{}</string>", self.text()),
            9 => {
                let bytes: Vec<u8> = (0..self.random(9)).map(|_| self.random(256) as u8).collect();
                let base64 = STANDARD.encode(bytes);
                let (first, rest) = base64.split_at(base64.len() / 2);
                format!("<base64>\n{first}\n{rest}</base64>")
            }
            _ => {
                let mut up_to = |most: u64| self.random(most) + 1;
                let (month, day, hour, minute) = (up_to(12), up_to(28), up_to(23), up_to(59));
                format!(
                    "<dateTime.iso8601>2025{month:02}{day:02}T{hour:02}:{minute:02}:00</dateTime.iso8601>"
                )
            }
        }
    }

    fn value(&mut self, depth: u64) {
        self.xml.push_str("<value>");
        match self.random(2 + 2 * depth) {
            0 => {
                self.xml.push_str("<array><data>\n");
                (0..self.random(4)).for_each(|_| self.value(depth + 1));
                self.xml.push_str("</data></array>");
            }
            1 => {
                self.xml.push_str("<struct>");
                for n in 0..self.random(4) {
                    self.xml.push_str(&format!("\n<member><name>é{n}&amp;</name>"));
                    self.value(depth + 1);
                    self.xml.push_str("</member>");
                }
                self.xml.push_str("</struct>");
            }
            _ => {
                let scalar = self.scalar();
                self.xml.push_str(&scalar);
            }
        }
        self.xml.push_str("</value>\n");
    }
}
