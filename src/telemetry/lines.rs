//! One event, one line. What stands in a field can't end the line, begin another, or reach the terminal
//! that shows it; the fields of the request around it are on every line.

use std::fmt;
use std::io::Write;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::{Clock, Moment};
use crate::telemetry::LogFormat;

/// Writes the log.
pub(super) struct Lines {
    format: LogFormat,
    clock: Clock,
}

impl Lines {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format, clock: Clock::system() }
    }
}

/// Fields in the order they came; of two with one name the first counts.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn add(&mut self, name: &'static str, value: Value) {
        if !self.0.iter().any(|(known, _)| *known == name) {
            self.0.push((name, value));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value.into());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes, id: &Id, context: Context<S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record, context: Context<S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event, context: Context<S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Fields(of_span)) = span.extensions().get() {
                of_span.iter().for_each(|(name, value)| fields.add(name, value.clone()));
            }
        }
        let (now, level) = (self.clock.now(), event.metadata().level().as_str());
        let head = Head { now, level, target: event.metadata().target() };
        let mut line = match self.format {
            LogFormat::Text => head.text(fields),
            LogFormat::Json => head.json(fields),
        };
        line.push('\n');
        // In one piece, and nowhere to complain to.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

struct Head<'a> {
    now: Moment,
    level: &'a str,
    target: &'a str,
}

const MESSAGE: &str = "message";

impl Head<'_> {
    fn text(&self, Fields(mut fields): Fields) -> String {
        let mut line = format!("{} {:>5} {}:", self.now, self.level, self.target);
        let message = fields.iter().position(|(name, _)| *name == MESSAGE).map(|at| fields.remove(at).1);
        if let Some(Value::String(message)) = message {
            line.push(' ');
            escape(&message, &mut line);
        }
        for (name, value) in fields {
            let shown = match value {
                Value::String(text) if text.is_empty() || text.contains(is_unsafe_bare) => {
                    format!(" {name}={text:?}")
                }
                Value::String(text) => format!(" {name}={text}"),
                value => format!(" {name}={value}"),
            };
            escape(&shown, &mut line);
        }
        line
    }

    fn json(&self, Fields(fields): Fields) -> String {
        let own =
            [("time", self.now.to_string()), ("level", self.level.into()), ("target", self.target.into())];
        let mut members: Map<String, Value> =
            own.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        for (name, value) in fields {
            // Its own members are its own, whatever another crate calls a field.
            members.entry(name).or_insert(value);
        }
        let mut line = String::new();
        // Outside of texts it is all ASCII.
        escape(&Value::Object(members).to_string(), &mut line);
        line
    }
}

fn is_unsafe_bare(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '=' | '\\') || is_hidden(c)
}

/// Ends a line somewhere, moves a cursor, or turns what is beside it around.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `text` for a terminal: whatever stands in it, it is one line, and nothing before it is written over.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    escape(text, &mut shown);
    shown
}

/// As JSON writes them, in text too.
fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        match c {
            // All of these are below 0x10000.
            c if is_hidden(c) => into.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str =
        "a\n2026-11-25T00:00:00.000000Z ERROR pawl: forged\r\u{1b}[2J\u{9b}1m\u{2028}\u{202e}\"\\\0";

    fn head() -> Head<'static> {
        Head { now: Moment::from_micros(1_700_000_000_000_001), level: "INFO", target: "pawl" }
    }

    fn fields() -> Fields {
        let hostile = |name| (name, Value::from(HOSTILE));
        Fields(vec![hostile("message"), hostile("cause"), ("time", "forged".into()), ("micros", 7.into())])
    }

    /// Attack on P1.
    #[test]
    fn no_field_ends_its_line_or_moves_a_cursor() {
        let (text, json) = (head().text(fields()), head().json(fields()));
        for line in [&text, &json] {
            assert!(!line.contains(is_hidden), "{line:?}");
        }
        assert!(text.starts_with("2023-11-14T22:13:20.000001Z  INFO pawl: a\\u000a2026"), "{text}");
        assert!(text.ends_with(" time=forged micros=7"), "{text}");
        let object: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(object["message"], HOSTILE);
        assert_eq!(object["cause"], HOSTILE);
        assert_eq!((&object["time"], &object["micros"]), (&"2023-11-14T22:13:20.000001Z".into(), &7.into()));
    }
}
