//! What Odoo says when it does not do what was asked: one refusal, told in XML-RPC and in JSON-RPC.

use super::wire::{self, Value};

/// An exception as Odoo raises it.
pub struct Refusal {
    /// The fault code of XML-RPC.
    code: i64,
    /// The exception with its module.
    name: String,
    message: String,
}

impl Refusal {
    /// One that nobody foresaw: `ValueError`, `psycopg2.OperationalError`, ….
    pub fn unforeseen(name: &str, message: impl Into<String>) -> Self {
        let name = if name.contains('.') { name.to_owned() } else { format!("builtins.{name}") };
        Self { code: 1, name, message: message.into() }
    }

    pub fn user(message: impl Into<String>) -> Self {
        Self { code: 2, name: "odoo.exceptions.UserError".into(), message: message.into() }
    }

    pub fn no_user(uid: i64) -> Self {
        let message =
            format!("Record does not exist or has been deleted.\n(Record: res.users({uid},), User: {uid})");
        Self { code: 2, name: "odoo.exceptions.MissingError".into(), message }
    }

    pub fn denied() -> Self {
        Self { code: 3, name: "odoo.exceptions.AccessDenied".into(), message: "Access Denied".into() }
    }

    pub fn access(message: impl Into<String>) -> Self {
        Self { code: 4, name: "odoo.exceptions.AccessError".into(), message: message.into() }
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

    fn traceback(&self, frames: &[(&str, u32, &str)]) -> String {
        let dispatch = [("odoo/http.py", 439, "dispatch_rpc"), ("odoo/service/model.py", 129, "dispatch")];
        let frames: String = frames
            .iter()
            .chain(&dispatch)
            .map(|(file, line, at)| format!("  File \"/usr/lib/odoo/19.0/{file}\", line {line}, in {at}\n"))
            .collect();
        let name = self.name.strip_prefix("builtins.").unwrap_or(&self.name);
        format!("Traceback (most recent call last):\n{frames}{name}: {}\n", self.message)
    }
}
