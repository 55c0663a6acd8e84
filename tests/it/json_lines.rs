//! `--to jsonl:-`: every record on standard output, a line each, and nothing else.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use pawl::odoo::{Kind, Readable};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};

use crate::scene::{Scene, code, columns, errors, expected};
use crate::standin::PASSWORD;
use crate::standin::company::Company;

/// What a line should say, from what a row should hold.
fn line(model: &str, columns: &[(String, Kind)], id: i64, row: &[Json]) -> Json {
    let mut cells = row.iter();
    let mut next = || cells.next().unwrap().clone();
    let fields: BTreeMap<String, Json> = columns
        .iter()
        .cloned()
        .map(|(name, kind)| {
            let (value, sort) = (next(), next());
            let value = match kind {
                Kind::Many2one => {
                    let name = next();
                    if value.is_null() { Json::Null } else { json!([value, name]) }
                }
                Kind::X2many => serde_json::from_str(value.as_str().unwrap()).unwrap(),
                Kind::Boolean => json!(value == 1),
                _ => value,
            };
            assert_eq!(value.is_null(), sort == "null");
            (name, value)
        })
        .collect();
    json!({"model": model, "id": id, "fields": fields})
}

#[test]
fn every_record_comes_out_once_and_every_time() {
    let scene = Scene::new(Company::sized(5, 1_200, 60), PASSWORD);
    let company = scene.odoo.company();
    let mut wanted = Vec::new();
    for model in Readable::embedded().unwrap().model_names() {
        let (rows, columns) = (expected(&model, &company), columns(&model));
        wanted.extend(rows.iter().map(|(id, row)| line(&model, &columns, *id, row)));
    }
    for _ in 0..2 {
        let output = scene.command_to("jsonl:-", &[]).output().unwrap();
        assert_eq!(code(&output), 0, "{}", errors(&output));
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        let lines: Vec<Json> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), wanted.len());
        for (line, wanted) in lines.iter().zip(&wanted) {
            assert_eq!(line, wanted);
        }
        assert!(said.starts_with("{\"model\":\"account.move\",\"id\":1,\"fields\":{"), "{}", &said[..80]);
        assert!(errors(&output).contains("account.move.line"), "the table: {}", errors(&output));
    }
    let lent = scene.trail("lease.lend", "lease.uid");
    assert_ne!(lent[0], lent[1]);
    assert_eq!(scene.trail("lease.return", "status"), ["Success", "Success"]);
    assert_eq!(std::fs::read_dir(scene.dir.path()).unwrap().count(), 0, "nothing is kept");
}

/// `pawl-sync … | head -1`
#[test]
fn a_reader_that_goes_ends_the_run_and_the_lease_comes_back() {
    let scene = Scene::new(Company::sized(5, 3_500, 60), PASSWORD);
    let mut worker = scene.command_to("jsonl:-", &[]).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::with_capacity(512, worker.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    let mut said = String::new();
    worker.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(worker.wait().unwrap().code(), Some(75), "{said}");
    assert!(said.contains("has gone"), "{said}");
    assert_eq!(scene.trail("lease.return", "status_detail"), ["failed"]);
    assert_eq!(scene.open_leases(), 0);
}

/// A reader that stays and does not read.
#[test]
fn a_run_whose_lines_nobody_takes_can_be_stopped_and_the_lease_comes_back() {
    let scene = Scene::new(Company::sized(5, 2_500, 60), PASSWORD);
    let mut worker = scene.command_to("jsonl:-", &[]).spawn().unwrap();
    // Login, the newest time, a page that does not fit into the pipe, and the page after it.
    let patience = Instant::now() + Duration::from_secs(60);
    while scene.asked().len() < 4 {
        assert!(Instant::now() < patience, "{:?}", scene.asked());
        std::thread::yield_now();
    }
    kill_process(Pid::from_raw(worker.id() as i32).unwrap(), Signal::TERM).unwrap();
    assert_eq!(worker.wait().unwrap().code(), Some(75));
    assert_eq!(scene.trail("lease.return", "status_detail"), ["failed"]);
    assert_eq!(scene.open_leases(), 0);
}
