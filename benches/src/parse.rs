//! How fast a page of 2,000 invoices is read, in each of the three formats: by Pawl into the records that the worker
//! writes, by `xmlrpc`, `dxr`, `serde_json` and Python's own readers into the values that they give their callers.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use pawl::odoo::json;
use pawl::odoo::jsonrpc;
use pawl::odoo::xmlrpc::{Caps, read_records};
use pawl::odoo::{Fields, OdooError, Readable, Record};

use crate::{page, table};

const RECORDS: usize = 2_000;
const ROUNDS: usize = 15;

/// Reads a page once and answers how many seconds it took.
type Read<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// One reader of one page.
struct Reader<'a> {
    format: &'static str,
    name: &'static str,
    bytes: usize,
    read: Read<'a>,
}

pub fn run() {
    let (xml, json2) = (page::of(RECORDS), page::json_of(RECORDS));
    let rpc = format!("{{\"jsonrpc\": \"2.0\", \"id\": 2, \"result\": {json2}}}");
    let fields = fields();
    let mut by_python =
        [(&xml, XML), (&rpc, JSON_RPC), (&json2, JSON)].map(|(page, load)| Python::start(page, load));
    let [python_xml, python_rpc, python_json] = &mut by_python;
    let mut readers = vec![
        reader("XML-RPC", "pawl", &xml, timed(|| by_pawl(&xml, &fields))),
        reader("XML-RPC", "dxr", &xml, timed(|| by_dxr(&xml))),
        reader("XML-RPC", "xmlrpc", &xml, timed(|| by_xmlrpc(&xml))),
        reader("XML-RPC", "Python's xmlrpc.client", &xml, Box::new(|| python_xml.read())),
        reader("JSON-RPC", "pawl", &rpc, timed(|| by_pawl_json_rpc(&rpc, &fields))),
        reader("JSON-RPC", "Python's json", &rpc, Box::new(|| python_rpc.read())),
        reader("JSON-2", "pawl", &json2, timed(|| by_pawl_json(&json2, &fields))),
        reader("JSON-2", "serde_json", &json2, timed(|| by_serde_json(&json2))),
        reader("JSON-2", "Python's json", &json2, Box::new(|| python_json.read())),
    ];
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); readers.len()];
    for round in 0..=ROUNDS {
        for (reader, all) in readers.iter_mut().zip(&mut seconds) {
            let took = (reader.read)();
            // the first round warms up
            if round > 0 {
                all.push(took);
            }
        }
    }
    let medians: Vec<f64> = seconds.into_iter().map(table::median).collect();
    let mut own = 0.0;
    let rows: Vec<Vec<String>> = readers
        .iter()
        .zip(&medians)
        .map(|(reader, median)| {
            if reader.name == "pawl" {
                own = *median;
            }
            vec![
                reader.format.to_owned(),
                reader.name.to_owned(),
                format!("{:.1}", reader.bytes as f64 / 1e6 / median),
                format!("{:.0}", RECORDS as f64 / median),
                format!("{:.2}", median * 1e3),
                format!("{:.2}", median / own),
            ]
        })
        .collect();
    let sizes = format!("XML-RPC {:.2} MB, JSON {:.2} MB", xml.len() as f64 / 1e6, json2.len() as f64 / 1e6);
    println!("{RECORDS} records, {sizes}, medians of {ROUNDS} rounds\n");
    table::print(&["format", "reader", "MB/s", "records/s", "ms", "pawl is faster by"], &rows);
}

fn reader<'a>(format: &'static str, name: &'static str, page: &str, read: Read<'a>) -> Reader<'a> {
    Reader { format, name, bytes: page.len(), read }
}

fn timed<'a>(mut read: impl FnMut() -> usize + 'a) -> Read<'a> {
    Box::new(move || {
        let begun = Instant::now();
        let records = read();
        let took = begun.elapsed().as_secs_f64();
        assert_eq!(records, RECORDS);
        took
    })
}

/// Those of the recorded page.
fn fields() -> Fields {
    let model = Readable::embedded().unwrap().model("account.move").unwrap();
    let names = [
        "name",
        "move_type",
        "state",
        "partner_id",
        "invoice_date",
        "invoice_date_due",
        "amount_untaxed",
        "amount_tax",
        "amount_total",
        "amount_residual",
        "currency_id",
        "payment_state",
        "ref",
        "invoice_line_ids",
        "write_date",
    ];
    model.fields(&names).unwrap()
}

fn by_pawl(page: &str, fields: &Fields) -> usize {
    let mut records = Vec::new();
    let read = read_records(page.as_bytes(), &Caps::default(), |members| {
        records.push(Record::of(members, fields)?);
        Ok::<(), OdooError>(())
    });
    assert!(read.is_ok());
    black_box(records).len()
}

fn by_pawl_json(page: &str, fields: &Fields) -> usize {
    let mut records = Vec::new();
    json::read_records(page.as_bytes(), &Caps::default(), fields, &mut |record| records.push(record))
        .unwrap();
    black_box(records).len()
}

fn by_pawl_json_rpc(page: &str, fields: &Fields) -> usize {
    let mut records = Vec::new();
    let mut take = |record| records.push(record);
    jsonrpc::read_records(page.as_bytes(), &Caps::default(), 2, fields, &mut take).unwrap();
    black_box(records).len()
}

fn by_serde_json(page: &str) -> usize {
    let value: serde_json::Value = serde_json::from_str(page).unwrap();
    black_box(&value).as_array().unwrap().len()
}

fn by_dxr(page: &str) -> usize {
    let response = dxr::MethodResponse::from_xml(page).unwrap();
    // its values can be counted only by copying them, which is not what is measured
    assert!(matches!(black_box(&response).value, dxr::Value::Array(_)));
    RECORDS
}

struct Page<'a>(&'a [u8]);

impl<'a> xmlrpc::Transport for Page<'a> {
    type Stream = &'a [u8];

    fn transmit(
        self,
        _: &xmlrpc::Request<'_>,
    ) -> Result<Self::Stream, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0)
    }
}

fn by_xmlrpc(page: &str) -> usize {
    let value = xmlrpc::Request::new("any").call(Page(page.as_bytes())).unwrap();
    black_box(&value).as_array().unwrap().len()
}

/// A process that has a page and reads it whenever it is told to.
struct Python {
    child: std::process::Child,
    said: BufReader<std::process::ChildStdout>,
}

const XML: &str = "xmlrpc.client.loads(page)[0][0]";
const JSON_RPC: &str = "json.loads(page)['result']";
const JSON: &str = "json.loads(page)";

const READER: &str = "
import json, sys, time, xmlrpc.client
page = sys.stdin.buffer.read(int(sys.argv[1]))
while sys.stdin.buffer.readline():
    begun = time.perf_counter()
    records = LOAD
    count = len(records)
    del records
    print(time.perf_counter() - begun, count, flush=True)
";

impl Python {
    fn start(page: &str, load: &str) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", &READER.replace("LOAD", load), &page.len().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.as_mut().unwrap().write_all(page.as_bytes()).unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// Seconds, as Python's own clock has them.
    fn read(&mut self) -> f64 {
        self.child.stdin.as_mut().unwrap().write_all(b"read\n").unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        let (seconds, records) = line.trim_end().split_once(' ').unwrap();
        assert_eq!(records.parse(), Ok(RECORDS));
        seconds.parse().unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
