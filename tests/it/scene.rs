//! A vault, a stand-in for Odoo and a worker between them, and what the worker's sink holds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use pawl::clock::Clock;
use pawl::ids::ConnectionId;
use pawl::odoo::{Kind, Readable};
use pawl::sync::{Job, Patience, Settings, Step, Summary, SyncError, Target, stop_pair};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::harness::{Vault, program, until};
use crate::standin::company::{Company, Record};
use crate::standin::wire::Value;
use crate::standin::{API_KEY, DATABASE, LOGIN, StandIn};

pub const LOOPBACK: (&str, &str) = ("PAWL_EGRESS_ALLOW", "127.0.0.1");

/// A vault, an Odoo, one connection between them, and a folder for sinks.
pub struct Scene {
    pub vault: Vault,
    /// Where workers think it is.
    pub vault_url: String,
    pub odoo: StandIn,
    pub connection: String,
    pub dir: TempDir,
    /// The registered client that its workers are, by its name and its key's file; else they get a token.
    pub client: Option<(&'static str, PathBuf)>,
}

impl Scene {
    pub fn new(company: Company, secret: &str) -> Self {
        Self::of(Vault::start_with(&[LOOPBACK]), company, secret)
    }

    pub fn of(vault: Vault, company: Company, secret: &str) -> Self {
        let odoo = StandIn::start(company).unwrap();
        let connection = vault.deposit_as("acme", "ada", &deposit(&odoo, secret));
        let (vault_url, dir) = (vault.url.clone(), tempfile::tempdir().unwrap());
        Self { vault_url, vault, odoo, connection, dir, client: None }
    }

    pub fn sink(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, sink: &str, more: &[&str]) -> Command {
        self.command_to(&format!("sqlite:{sink}"), more)
    }

    pub fn command_to(&self, to: &str, more: &[&str]) -> Command {
        let settings = self.settings();
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut command = program(env!("CARGO_BIN_EXE_pawl-sync"), self.dir.path(), &settings);
        command.args(["run", "--connection", &self.connection, "--to", to]);
        command.args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What a worker is told.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![(LOOPBACK.0, LOOPBACK.1.to_owned()), ("PAWL_URL", self.vault_url.clone())];
        match &self.client {
            None => settings.push(("PAWL_TOKEN", self.vault.token("acme", "ada", "worker"))),
            Some((id, key)) => settings.extend([
                ("PAWL_CLIENT_ID", (*id).to_owned()),
                ("PAWL_CLIENT_KEY_FILE", key.to_str().unwrap().to_owned()),
            ]),
        }
        settings
    }

    pub fn run(&self, sink: &str) -> Output {
        self.command(sink, &["--no-wait"]).output().unwrap()
    }

    pub fn spawn(&self, sink: &str) -> Worker {
        self.spawn_with(sink, &[])
    }

    pub fn spawn_with(&self, sink: &str, more: &[&str]) -> Worker {
        let mut child = self.command(sink, more).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        Worker { child, errors }
    }

    /// Every call that Odoo saw so far: the model and how many fields it named, or `login`.
    pub fn asked(&self) -> Vec<String> {
        let seen = self.odoo.seen().into_iter();
        seen.map(|call| match call.method.as_str() {
            "authenticate" => "login".into(),
            // What stands for one in JSON-2.
            "search_read" if call.model == "res.users" => "login".into(),
            "version" => "version".into(),
            "search_read" => format!("{} {}", call.model, call.fields),
            other => panic!("{other}"),
        })
        .collect()
    }

    /// Waits until the sink holds so many records of a model, whose page may still be being written.
    pub fn wait_until_written(&self, sink: &str, table: &str, records: i64) {
        let sql = format!("SELECT count(*) FROM {table}");
        until(&format!("{records} records of {table}"), || number(&self.sink(sink), &sql) == records);
    }

    /// Runs in this process, where worker and vault can share a clock that a test moves, and tells
    /// `during` of every page.
    pub fn run_here(&self, clock: &Clock, during: &mut dyn FnMut(&str, u64)) -> Result<Summary, SyncError> {
        let soon = Duration::from_millis(2);
        let patience = Patience { ask_every: soon, ask_again: soon, ..Patience::default() };
        self.run_patiently(patience, clock, during)
    }

    pub fn run_patiently(
        &self,
        patience: Patience,
        clock: &Clock,
        during: &mut dyn FnMut(&str, u64),
    ) -> Result<Summary, SyncError> {
        let settings = self.settings().into_iter().map(|(name, value)| (name.to_owned(), value.into()));
        let worker = pawl::sync::Worker::new(Settings::from(settings).unwrap(), clock.clone()).unwrap();
        let worker = worker.with(patience);
        let connection = ConnectionId::parse(&self.connection).unwrap();
        let sink = Target::Sqlite(self.sink("books.db"));
        let job = Job { connection, sink, whole: false, accepts_removals: false, waits: false };
        let (_stopper, stop) = stop_pair();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(worker.run(&job, stop, &mut |step| {
            if let Step::Pulling { model, records } = step {
                during(model, records);
            }
        }))
    }

    /// The value of `member` in each event of that action, in order.
    pub fn trail(&self, action: &str, member: &str) -> Vec<String> {
        let trail = self.vault.trail("acme");
        let of_action = trail.iter().filter(|e| e["event"]["activity_name"] == action);
        of_action.filter_map(|e| e["event"][member].as_str().map(str::to_owned)).collect()
    }

    pub fn open_leases(&self) -> usize {
        let worker = self.vault.token("acme", "ada", "worker");
        self.vault.call("GET", "/v1/leases", &worker, None).json["items"].as_array().unwrap().len()
    }

    pub fn state(&self) -> String {
        let backend = self.vault.token("acme", "ada", "backend");
        self.vault.call("GET", &format!("/v1/connections/{}", self.connection), &backend, None).text("state")
    }

    /// The sink holds what Odoo holds, field by field, and nothing else.
    pub fn assert_same(&self, sink: &str) {
        let company = self.odoo.company();
        for model in Readable::embedded().unwrap().model_names() {
            let (expected, stored) = (expected(&model, &company), stored(&self.sink(sink), &model));
            for (id, record) in &expected {
                assert_eq!(stored.get(id), Some(record), "{model} {id}");
            }
            assert_eq!(stored.len(), expected.len(), "{model}");
        }
    }
}

/// A worker that runs, and what it says.
pub struct Worker {
    pub child: Child,
    errors: BufReader<std::process::ChildStderr>,
}

impl Worker {
    pub fn wait_for(&mut self, said: &str) -> String {
        let mut line = String::new();
        while self.errors.read_line(&mut line).unwrap() > 0 {
            if line.contains(said) {
                return line;
            }
            line.clear();
        }
        panic!("the worker ended without saying {said:?}");
    }

    pub fn end(mut self) -> (i32, String) {
        let mut rest = String::new();
        self.errors.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code().unwrap(), rest)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn deposit(odoo: &StandIn, secret: &str) -> Json {
    let kind = if secret == API_KEY { "api_key" } else { "password" };
    json!({"url": odoo.url(), "database": DATABASE, "username": LOGIN,
           "credential": {"kind": kind, "secret": secret}})
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

pub fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The columns that the policy's fields make, by name.
pub fn columns(model: &str) -> Vec<(String, Kind)> {
    let model = Readable::embedded().unwrap().model(model).unwrap();
    model.all().iter().map(|field| (field.name().to_owned(), field.kind())).collect()
}

/// What a sink of these records should hold.
pub fn expected(model: &str, company: &Company) -> BTreeMap<i64, Vec<Json>> {
    let records = company.records(model);
    let is_entry = |record: &Record| record["move_type"].as_text() == Some("entry");
    let entries = company.records("account.move").into_iter().filter(|(_, record)| is_entry(record));
    let entries: BTreeSet<i64> = entries.map(|(id, _)| id).collect();
    let wanted = |id: i64, record: &Record| match record.get("move_id").and_then(Value::as_list) {
        Some(of) => !entries.contains(&of[0].as_int().unwrap()),
        None => model != "account.move" || !entries.contains(&id),
    };
    let columns = columns(model);
    let row = |record: &Record| {
        let cells = columns.iter().flat_map(|(name, kind)| match (kind, &record[name.as_str()]) {
            (Kind::Boolean, Value::Bool(yes)) => vec![json!(i64::from(*yes)), json!("integer")],
            (Kind::Many2one, Value::List(pair)) => {
                vec![json!(pair[0].as_int()), json!("integer"), json!(pair[1].as_text())]
            }
            (Kind::Many2one, _) => vec![Json::Null, json!("null"), Json::Null],
            (Kind::X2many, Value::List(ids)) => {
                let ids: Vec<i64> = ids.iter().filter_map(Value::as_int).collect();
                vec![json!(json!(ids).to_string()), json!("text")]
            }
            (_, Value::Bool(false)) => vec![Json::Null, json!("null")],
            (_, Value::Text(text)) => vec![json!(text), json!("text")],
            (_, Value::Float(float)) => vec![json!(float), json!("real")],
            (_, Value::Int(int)) => vec![json!(int), json!("integer")],
            (kind, other) => panic!("{name}: {kind:?} {other:?}"),
        });
        cells.collect()
    };
    records
        .iter()
        .filter(|(id, record)| wanted(**id, record))
        .map(|(id, record)| (*id, row(record)))
        .collect()
}

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    cells: String,
}

/// What a sink holds: each column's value and SQLite type.
pub fn stored(sink: &std::path::Path, model: &str) -> BTreeMap<i64, Vec<Json>> {
    let cells: Vec<String> = columns(model)
        .iter()
        .map(|(name, kind)| match kind {
            Kind::Many2one => format!("{name}, typeof({name}), {name}_name"),
            _ => format!("{name}, typeof({name})"),
        })
        .collect();
    let sql =
        format!("SELECT id, json_array({}) AS cells FROM {}", cells.join(", "), model.replace('.', "_"));
    let mut db = SqliteConnection::establish(sink.to_str().unwrap()).unwrap();
    let rows: Vec<Stored> = diesel::sql_query(sql).load(&mut db).unwrap();
    rows.into_iter().map(|row| (row.id, serde_json::from_str(&row.cells).unwrap())).collect()
}

pub fn text(sink: &std::path::Path, sql: &str) -> String {
    #[derive(QueryableByName)]
    struct OneText {
        #[diesel(sql_type = Text)]
        t: String,
    }
    let mut db = SqliteConnection::establish(sink.to_str().unwrap()).unwrap();
    let row: OneText = diesel::sql_query(format!("SELECT ({sql}) AS t")).get_result(&mut db).unwrap();
    row.t
}

pub fn number(sink: &std::path::Path, sql: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Number {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let mut db = SqliteConnection::establish(sink.to_str().unwrap()).unwrap();
    let row: Number = diesel::sql_query(format!("SELECT ({sql}) AS n")).get_result(&mut db).unwrap();
    row.n
}
