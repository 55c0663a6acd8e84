//! Standard output as a sink: a JSON object a line. It keeps nothing, so every run is a new one and
//! every pull a whole one.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::clock::{Moment, new_id};
use crate::ids::RunId;
use crate::odoo::{Cell, Field, Fields, Record};
use crate::sync::borrow::Outcome;
use crate::sync::sink::{Known, Listed, Loss, Page, Run, Sink, SinkError};
use crate::sync::sweep::{Sweep, Swept};

/// A sink that writes `{"model":…,"id":…,"fields":{…}}`, a record a line.
pub struct JsonLines<W> {
    out: W,
    /// The fields of each model, in the order of a record's cells.
    fields: BTreeMap<String, Vec<String>>,
}

impl<W: Write + Send> JsonLines<W> {
    /// Writes to `out`.
    pub fn to(out: W) -> Self {
        Self { out, fields: BTreeMap::new() }
    }
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn begin_run(&mut self, now: Moment) -> Result<Run, SinkError> {
        let id = RunId::parse(&new_id("run", now)?).map_err(|_| SinkError::Broken)?;
        Ok(Run { id, is_continued: false })
    }

    fn end_run(&mut self, _: &Run, _: Outcome, _: u64, _: Option<Moment>) -> Result<(), SinkError> {
        Ok(())
    }

    fn known(&mut self, fields: &Fields) -> Result<Known, SinkError> {
        let names = fields.iter().map(|field: &Field| field.name().to_owned()).collect();
        self.fields.insert(fields.model().name().to_owned(), names);
        Ok(Known { unfinished: None, watermark: None, whole_at: None })
    }

    fn begin_sweep(&mut self, _: &Sweep) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, mut sweep: Sweep, page: Page) -> Result<Sweep, SinkError> {
        let names = self.fields.get(&sweep.model).ok_or(SinkError::Broken)?;
        let mut lines = Vec::new();
        for record in page.records {
            sweep.count.read += 1;
            sweep.count.changed += 1;
            serde_json::to_writer(&mut lines, &line(&sweep.model, names, &record))
                .map_err(|e| SinkError::Output(e.into()))?;
            lines.push(b'\n');
        }
        self.out.write_all(&lines).and_then(|()| self.out.flush()).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => SinkError::ReaderGone,
            _ => SinkError::Output(error),
        })?;
        Ok(sweep)
    }

    fn differing(&mut self, _: &str, listed: &[Listed]) -> Result<Vec<i64>, SinkError> {
        // Nothing is kept, so all of them.
        Ok(listed.iter().map(|listed| listed.id).collect())
    }

    fn missing(&mut self, _: &str, _: i64, _: u32) -> Result<Vec<i64>, SinkError> {
        Ok(Vec::new())
    }

    fn found(&mut self, _: &str, _: &[i64]) -> Result<(), SinkError> {
        Ok(())
    }

    fn loss(&mut self, _: &str) -> Result<Loss, SinkError> {
        Ok(Loss { missing: 0, of: 0 })
    }

    fn end_sweep(&mut self, sweep: Sweep) -> Result<Swept, SinkError> {
        Ok(Swept { records: sweep.count.read, count: sweep.count })
    }
}

#[derive(Serialize)]
struct Line<'a> {
    model: &'a str,
    id: i64,
    fields: BTreeMap<&'a str, &'a Cell>,
}

fn line<'a>(model: &'a str, names: &'a [String], record: &'a Record) -> Line<'a> {
    let fields = names.iter().map(String::as_str).zip(&record.cells).collect();
    Line { model, id: record.id, fields }
}
