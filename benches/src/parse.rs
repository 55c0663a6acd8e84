//! How fast a page of 2,000 invoices is read: by Pawl into the records that the worker writes, by
//! `xmlrpc`, `dxr` and Python's `xmlrpc.client` into the values that they give their callers.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use pawl::odoo::xmlrpc::{Caps, read_records};
use pawl::odoo::{Fields, OdooError, Readable, Record};

use crate::{page, table};

const RECORDS: usize = 2_000;
const ROUNDS: usize = 15;

/// Reads the page once and answers how many records were on it.
type Read<'a> = Box<dyn FnMut() -> usize + 'a>;

pub fn run() {
    let page = page::of(RECORDS);
    let fields = fields();
    let mut python = Python::start(&page);
    let mut readers: Vec<(&str, Read)> = vec![
        ("pawl", Box::new(|| by_pawl(&page, &fields))),
        ("dxr", Box::new(|| by_dxr(&page))),
        ("xmlrpc", Box::new(|| by_xmlrpc(&page))),
    ];
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); readers.len() + 1];
    for round in 0..=ROUNDS {
        let mut took: Vec<f64> = Vec::new();
        for (name, read) in &mut readers {
            let begun = Instant::now();
            assert_eq!(read(), RECORDS, "{name}");
            took.push(begun.elapsed().as_secs_f64());
        }
        took.push(python.read());
        // the first round warms up
        if round > 0 {
            seconds.iter_mut().zip(took).for_each(|(all, one)| all.push(one));
        }
    }
    let medians: Vec<f64> = seconds.into_iter().map(table::median).collect();
    let names = readers.iter().map(|(name, _)| *name).chain(["Python's xmlrpc.client"]);
    let megabytes = page.len() as f64 / 1e6;
    let rows: Vec<Vec<String>> = names
        .zip(&medians)
        .map(|(name, median)| {
            let speed = format!("{:.1}", megabytes / median);
            vec![
                name.to_owned(),
                speed,
                format!("{:.1}", median * 1e3),
                format!("{:.2}", median / medians[0]),
            ]
        })
        .collect();
    println!("{RECORDS} records, {megabytes:.2} MB, medians of {ROUNDS} rounds\n");
    table::print(&["reader", "MB/s", "ms", "pawl is faster by"], &rows);
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

/// A process that has the page and reads it whenever it is told to.
struct Python {
    child: std::process::Child,
    said: BufReader<std::process::ChildStdout>,
}

const READER: &str = "
import sys, time, xmlrpc.client
page = sys.stdin.buffer.read(int(sys.argv[1]))
while sys.stdin.buffer.readline():
    begun = time.perf_counter()
    (records,), _ = xmlrpc.client.loads(page)
    count = len(records)
    del records
    print(time.perf_counter() - begun, count, flush=True)
";

impl Python {
    fn start(page: &str) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", READER, &page.len().to_string()])
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
