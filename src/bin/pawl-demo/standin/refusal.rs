//! What Odoo says when it does not do what was asked: one refusal, told in XML-RPC, in JSON-RPC and in JSON-2.

use super::wire::{self, Value};

/// An exception as Odoo raises it.
pub struct Refusal {
    /// The fault code of XML-RPC.
    code: i64,
    /// The exception with its module.
    name: String,
    message: String,
    /// The status of JSON-2, where the exception is one of HTTP's own.
    http: Option<&'static str>,
}

impl Refusal {
    /// One that nobody foresaw: `ValueError`, `psycopg2.OperationalError`, ….
    pub fn unforeseen(name: &str, message: impl Into<String>) -> Self {
        let name = if name.contains('.') { name.to_owned() } else { format!("builtins.{name}") };
        Self { code: 1, name, message: message.into(), http: None }
    }

    pub fn user(message: impl Into<String>) -> Self {
        Self { code: 2, name: "odoo.exceptions.UserError".into(), message: message.into(), http: None }
    }

    pub fn no_user(uid: i64) -> Self {
        let message =
            format!("Record does not exist or has been deleted.\n(Record: res.users({uid},), User: {uid})");
        Self { code: 2, name: "odoo.exceptions.MissingError".into(), message, http: None }
    }

    pub fn denied() -> Self {
        let message = "Access Denied".into();
        Self { code: 3, name: "odoo.exceptions.AccessDenied".into(), message, http: None }
    }

    pub fn access(message: impl Into<String>) -> Self {
        Self { code: 4, name: "odoo.exceptions.AccessError".into(), message: message.into(), http: None }
    }

    /// `doing` to records that people call `kind`, which `group` may.
    pub fn not_allowed(doing: &str, model: &str, kind: &str, group: &str) -> Self {
        Self::access(format!(
            "You are not allowed to {doing} '{kind}' ({model}) records.\n\nThis operation is allowed for the \
             following groups:\n\t- {group}\n\nContact your administrator to request access if necessary."
        ))
    }

    pub fn no_database(name: &str) -> Self {
        Self::unforeseen(
            "psycopg2.OperationalError",
            format!(
                "connection to server at \"127.0.0.1\", port 5544 failed: FATAL:  database \"{name}\" does \
                 not exist\n"
            ),
        )
    }

    /// Of a plan that has no external API. Nobody recorded one: what is sure is that it is no wrong password.
    pub fn no_api() -> Self {
        Self::access("The external API is not available with the plan of this database.")
    }

    pub fn unauthorized(message: &str) -> Self {
        Self::http("401 UNAUTHORIZED", "Unauthorized", message)
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::http("400 BAD REQUEST", "BadRequest", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::http("404 NOT FOUND", "NotFound", message)
    }

    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::http("422 UNPROCESSABLE ENTITY", "UnprocessableEntity", message)
    }

    fn http(status: &'static str, name: &str, message: impl Into<String>) -> Self {
        let name = format!("werkzeug.exceptions.{name}");
        Self { code: 1, name, message: message.into(), http: Some(status) }
    }

    /// What becomes of it on the way out of JSON-2: a method that is not there is a path that is not.
    pub fn of_http(self) -> Self {
        if self.name == "builtins.AttributeError" { Self::not_found(self.message) } else { self }
    }

    /// As XML-RPC says it: of what was unforeseen a traceback, whose last line says what it was.
    pub fn xml(&self) -> String {
        if self.code != 1 {
            return wire::fault(self.code, &self.message);
        }
        let frames = [
            ("addons/rpc/controllers/xmlrpc.py", 162, "xmlrpc_2"),
            ("addons/rpc/controllers/xmlrpc.py", 134, "_xmlrpc"),
        ];
        wire::fault(1, &self.traceback(&frames))
    }

    /// As JSON-RPC says it: the member `error`.
    pub fn json(&self) -> Value {
        let debug = match self.code {
            3 => format!("{}: {}\n", self.name, self.message),
            _ => self.traceback(&[
                ("odoo/http.py", 2273, "_serve_db"),
                ("odoo/service/model.py", 184, "retrying"),
                ("odoo/http.py", 2328, "_serve_ir_http"),
                ("odoo/http.py", 2543, "dispatch"),
                ("addons/rpc/controllers/jsonrpc.py", 16, "jsonrpc"),
            ]),
        };
        let data = Value::structure([
            ("name", Value::text(&self.name)),
            ("message", Value::text(&self.message)),
            ("arguments", Value::List(vec![Value::text(&self.message)])),
            ("context", Value::structure([])),
            ("debug", Value::Text(debug)),
        ]);
        Value::structure([
            ("code", Value::Int(0)),
            ("message", Value::text("Odoo Server Error")),
            ("data", data),
        ])
    }

    /// As JSON-2 says it: the status, and the body.
    pub fn json2(&self) -> (&'static str, Value) {
        let status = self.http.unwrap_or(match self.code {
            2 if self.name.ends_with("MissingError") => "404 NOT FOUND",
            2 => "422 UNPROCESSABLE ENTITY",
            3 | 4 => "403 FORBIDDEN",
            _ => "500 INTERNAL SERVER ERROR",
        });
        let frames = [
            ("odoo/http.py", 2273, "_serve_db"),
            ("odoo/service/model.py", 184, "retrying"),
            ("odoo/http.py", 2328, "_serve_ir_http"),
            ("odoo/http.py", 2608, "dispatch"),
            ("addons/rpc/controllers/json2.py", 86, "web_json_2_rpc"),
        ];
        let mut arguments = vec![Value::text(&self.message)];
        let mut last = format!("{}: {}", self.name.trim_start_matches("builtins."), self.message);
        if self.http.is_some() {
            let code = status.split(' ').next().and_then(|code| code.parse().ok());
            arguments.extend(code.map(Value::Int));
            let title = status.to_lowercase().split(' ').map(capital).collect::<Vec<_>>().join(" ");
            last = format!("{}: {title}: {}", self.name, self.message);
        }
        let body = Value::structure([
            ("name", Value::text(&self.name)),
            ("message", Value::text(&self.message)),
            ("arguments", Value::List(arguments)),
            ("context", Value::structure([])),
            ("debug", Value::Text(traced(frames.iter(), &last))),
        ]);
        (status, body)
    }

    fn traceback(&self, frames: &[(&str, u32, &str)]) -> String {
        let dispatch = [("odoo/http.py", 439, "dispatch_rpc"), ("odoo/service/model.py", 129, "dispatch")];
        let name = self.name.strip_prefix("builtins.").unwrap_or(&self.name);
        traced(frames.iter().chain(&dispatch), &format!("{name}: {}", self.message))
    }
}

fn traced<'a>(frames: impl Iterator<Item = &'a (&'a str, u32, &'a str)>, last: &str) -> String {
    let frames: String = frames
        .map(|(file, line, at)| format!("  File \"/usr/lib/odoo/19.0/{file}\", line {line}, in {at}\n"))
        .collect();
    format!("Traceback (most recent call last):\n{frames}{last}\n")
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
