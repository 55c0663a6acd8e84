//! One event, one line. What stands in a field can't end the line, begin another, or reach the terminal
//! that shows it; the fields of the request around it are on every line.

use std::fmt::{self, Write as _};
use std::io::Write as _;

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

/// Fields in the order they came, their values one behind the other; of two with one name the first counts.
struct Fields {
    values: String,
    parts: Vec<Part>,
}

/// One field: what its value is, and where that ends among the values.
#[derive(Clone, Copy)]
struct Part {
    name: &'static str,
    is_text: bool,
    end: usize,
}

impl Fields {
    /// For as much as a request has.
    fn with_room() -> Self {
        Self { values: String::with_capacity(256), parts: Vec::with_capacity(16) }
    }

    fn add(&mut self, name: &'static str, is_text: bool, value: impl fmt::Display) {
        let begin = self.values.len();
        if self.parts.iter().any(|part| part.name == name) {
            return;
        }
        // What does not say what it is is no field, and no part of the next.
        match write!(self.values, "{value}") {
            Ok(()) => self.parts.push(Part { name, is_text, end: self.values.len() }),
            Err(_) => self.values.truncate(begin),
        }
    }

    /// Those of what is around it too.
    fn add_all(&mut self, around: &Self) {
        around.iter().for_each(|(name, FieldValue { text, is_text })| self.add(name, is_text, text));
    }

    fn iter(&self) -> impl Iterator<Item = (&'static str, FieldValue<'_>)> {
        self.parts.iter().scan(0, |begin, part| {
            let text = self.values.get(*begin..part.end).unwrap_or_default();
            *begin = part.end;
            Some((part.name, FieldValue { text, is_text: part.is_text }))
        })
    }
}

/// The value of a field: a text, or a number or truth value as JSON writes it.
#[derive(Clone, Copy)]
struct FieldValue<'a> {
    text: &'a str,
    is_text: bool,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), true, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), true, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), false, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), false, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), false, value);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes, id: &Id, context: Context<S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::with_room();
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
        let mut fields = Fields::with_room();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(around) = span.extensions().get() {
                fields.add_all(around);
            }
        }
        let head = Head {
            now: self.clock.now(),
            level: event.metadata().level().as_str(),
            target: event.metadata().target(),
        };
        let mut line = match self.format {
            LogFormat::Text => head.text(&fields),
            LogFormat::Json => head.json(&fields),
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
/// More than a line has most often.
const LINE_BYTES: usize = 512;

impl Head<'_> {
    fn text(&self, fields: &Fields) -> String {
        let mut line = String::with_capacity(LINE_BYTES);
        // Nothing that is written into a String fails.
        let _ = write!(line, "{} {:>5} {}:", self.now, self.level, self.target);
        let message = fields.iter().find(|(name, shown)| *name == MESSAGE && shown.is_text);
        if let Some((_, message)) = message {
            line.push(' ');
            line.push_str(message.text);
        }
        for (name, FieldValue { text, is_text }) in fields.iter().filter(|(name, _)| *name != MESSAGE) {
            let _ = match is_text && (text.is_empty() || text.contains(is_unsafe_bare)) {
                true => write!(line, " {name}={text:?}"),
                false => write!(line, " {name}={text}"),
            };
        }
        escaped(line)
    }

    fn json(&self, fields: &Fields) -> String {
        let now = self.now.to_string();
        let own = [("time", now.as_str()), ("level", self.level), ("target", self.target)];
        // Its own members are its own, whatever another crate calls a field.
        let others = fields.iter().filter(|(name, _)| own.iter().all(|(taken, _)| taken != name));
        let own = own.iter().map(|(name, text)| (*name, FieldValue { text, is_text: true }));
        let mut line = Vec::with_capacity(LINE_BYTES);
        line.push(b'{');
        for (name, FieldValue { text, is_text }) in own.chain(others) {
            if line.len() > 1 {
                line.push(b',');
            }
            // Nothing that is written into a Vec fails.
            let _ = serde_json::to_writer(&mut line, name);
            line.push(b':');
            if is_text {
                let _ = serde_json::to_writer(&mut line, text);
            } else {
                line.extend_from_slice(text.as_bytes());
            }
        }
        line.push(b'}');
        // Outside of texts it is all ASCII.
        escaped(String::from_utf8(line).unwrap_or_default())
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
    escaped(text.to_owned())
}

/// What is hidden in it as JSON writes it, in text too.
fn escaped(text: String) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // All of these are below 0x10000.
            c if is_hidden(c) => {
                let _ = write!(shown, "\\u{:04x}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const HOSTILE: &str =
        "a\n2026-11-25T00:00:00.000000Z ERROR pawl: forged\r\u{1b}[2J\u{9b}1m\u{2028}\u{202e}\"\\\0";

    fn head() -> Head<'static> {
        Head { now: Moment::from_micros(1_700_000_000_000_001), level: "INFO", target: "pawl" }
    }

    fn fields() -> Fields {
        let (mut fields, mut around) = (Fields::with_room(), Fields::with_room());
        fields.add("message", true, HOSTILE);
        around.add("cause", true, HOSTILE);
        around.add("time", true, "forged");
        around.add("message", true, "of the span");
        fields.add_all(&around);
        fields.add("micros", false, 7);
        fields
    }

    /// Attack on P1.
    #[test]
    fn no_field_ends_its_line_or_moves_a_cursor() {
        let (text, json) = (head().text(&fields()), head().json(&fields()));
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
