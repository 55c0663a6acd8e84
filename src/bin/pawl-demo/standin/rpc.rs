//! What Odoo's external API does with a call: logs in, searches, reads, and refuses everything else
//! with the codes that a real one answers.

use std::cmp::Ordering;

use super::company::{Company, Record};
use super::wire::{EMPTY, Value, answer, fault};
use super::{API_KEY, DATABASE, LOGIN};

/// The bot's user id.
const UID: i64 = 10;

/// A model that is there, and that the bot may not read: its name, what people call it, who may.
const CLOSED: (&str, &str, &str) = ("ir.model.access", "Model Access", "Access Rights");

/// `authenticate(db, login, password, {})`: the user id, or false.
pub fn authenticate(params: &[Value], password: &str) -> String {
    let text = |n: usize| params.get(n).and_then(Value::as_text);
    if params.len() < 4 {
        return unforeseen(
            "TypeError: exp_authenticate() missing 1 required positional argument: 'user_agent_env'",
        );
    }
    if let Some(unknown) = text(0).filter(|db| *db != DATABASE) {
        return no_database(unknown);
    }
    match (text(1), text(2)) {
        (Some(LOGIN), Some(given)) if given == password || given == API_KEY => answer(&Value::Int(UID)),
        _ => answer(&EMPTY),
    }
}

/// `execute_kw(db, uid, password, model, method, args, kwargs)`.
pub fn execute(company: &Company, params: &[Value], password: &str) -> String {
    let text = |n: usize| params.get(n).and_then(Value::as_text).unwrap_or_default();
    if text(0) != DATABASE {
        return no_database(text(0));
    }
    let uid = params.get(1).and_then(Value::as_int).unwrap_or(0);
    if uid != UID {
        let whose = format!("(Record: res.users({uid},), User: {uid})");
        return fault(2, &format!("Record does not exist or has been deleted.\n{whose}"));
    }
    if text(2) != password && text(2) != API_KEY {
        return fault(3, "Access Denied");
    }
    let (model, method) = (text(3), text(4));
    if method.starts_with('_') {
        let text = format!("Private methods (such as '{model}.{method}') cannot be called remotely.");
        return fault(4, &text);
    }
    if model == CLOSED.0 {
        return not_allowed("access", model, CLOSED.1, CLOSED.2);
    }
    let Some(records) = company.model(model) else {
        return fault(2, &format!("Object {model} doesn't exist"));
    };
    let call = Call {
        model,
        args: params.get(5).and_then(Value::as_list).unwrap_or_default(),
        named: params.get(6).cloned().unwrap_or(Value::Struct(Vec::new())),
    };
    let done = match method {
        "search_read" => call.search_read(records),
        "read" => call.read(records),
        "create" => Err(call.forbidden("create")),
        "write" => Err(call.forbidden("modify")),
        // An entry is changed before it is deleted, and that is what it stumbles over.
        "unlink" if model == "account.move" => Err(call.forbidden("modify")),
        "unlink" => Err(call.forbidden("delete")),
        _ => Err(unforeseen(&format!("AttributeError: The method '{model}.{method}' does not exist"))),
    };
    done.map(|value| answer(&value)).unwrap_or_else(|fault| fault)
}

type Records = std::collections::BTreeMap<i64, Record>;

struct Call<'a> {
    model: &'a str,
    args: &'a [Value],
    named: Value,
}

impl Call<'_> {
    /// An argument by its place or its name.
    fn argument(&self, place: usize, name: &str) -> Option<&Value> {
        self.args.get(place).or_else(|| self.named.member(name))
    }

    fn search_read(&self, records: &Records) -> Result<Value, String> {
        const NAMED: &[&str] = &["domain", "fields", "offset", "limit", "order", "context"];
        if let Some(name) = self.named.names().find(|name| !NAMED.contains(name)) {
            return Err(unforeseen(&format!(
                "TypeError: BaseModel._read_format() got an unexpected keyword argument '{name}'"
            )));
        }
        let conditions = self.argument(0, "domain").and_then(Value::as_list).unwrap_or_default();
        let conditions: Vec<Condition> =
            conditions.iter().map(|c| self.condition(c, records)).collect::<Result<_, _>>()?;
        let archived = self.named.member("context").and_then(|c| c.member("active_test")) == Some(&EMPTY)
            || conditions.iter().any(|c| c.field == "active");
        let number = |name, place| self.argument(place, name).and_then(Value::as_int).unwrap_or(0);
        let (offset, limit) = (number("offset", 2), number("limit", 3));
        let count = |n: i64| usize::try_from(n).unwrap_or(usize::MAX);
        let descending = self.descending(records)?;
        let found = records.iter().filter(|(id, record)| {
            (archived || record.get("active") != Some(&EMPTY))
                && conditions.iter().all(|condition| condition.holds(**id, record))
        });
        let found: Vec<_> = if descending { found.rev().collect() } else { found.collect() };
        let page =
            found.into_iter().skip(count(offset)).take(if limit > 0 { count(limit) } else { usize::MAX });
        let fields = self.fields(records)?;
        Ok(Value::List(page.map(|(id, record)| shown(*id, record, &fields)).collect()))
    }

    /// The order by id, which is all that the client asks for.
    fn descending(&self, records: &Records) -> Result<bool, String> {
        let order = self.argument(4, "order").and_then(Value::as_text).unwrap_or("id");
        let (field, direction) = order.split_once(' ').unwrap_or((order, "asc"));
        match (field, direction) {
            ("id", "asc") => Ok(false),
            ("id", "desc") => Ok(true),
            (field, "asc" | "desc") if !has(records, field) => {
                Err(unforeseen(&format!("ValueError: Invalid field '{field}' on model '{}'", self.model)))
            }
            _ => Err(fault(
                2,
                &format!(
                    "Invalid \"order\" specified ({order}). A valid \"order\" specification is a \
                     comma-separated list of valid field names (optionally followed by asc/desc for the \
                     direction)"
                ),
            )),
        }
    }

    fn read(&self, records: &Records) -> Result<Value, String> {
        let ids = self.argument(0, "ids").and_then(Value::as_list).unwrap_or_default();
        let fields = self.fields(records)?;
        // One that does not exist is left out in silence.
        let found = ids.iter().filter_map(Value::as_int).filter_map(|id| Some((id, records.get(&id)?)));
        Ok(Value::List(found.map(|(id, record)| shown(id, record, &fields)).collect()))
    }

    fn fields(&self, records: &Records) -> Result<Vec<String>, String> {
        let named = self.argument(1, "fields").and_then(Value::as_list).unwrap_or_default();
        let fields: Vec<String> = named.iter().filter_map(Value::as_text).map(str::to_owned).collect();
        match fields.iter().find(|field| !has(records, field)) {
            Some(field) => {
                Err(unforeseen(&format!("ValueError: Invalid field '{field}' on '{}'", self.model)))
            }
            None => Ok(fields),
        }
    }

    fn condition(&self, from: &Value, records: &Records) -> Result<Condition, String> {
        let parts = from.as_list().unwrap_or_default();
        let [Value::Text(field), Value::Text(operator), value] = parts else {
            return Err(unforeseen("ValueError: Domain() invalid item in domain"));
        };
        if !has(records, field) {
            let at = format!("{}.{field}", self.model);
            return Err(unforeseen(&format!("ValueError: Invalid field {at} in condition")));
        }
        if !["=", "!=", "<", ">", "<=", ">=", "in", "not in"].contains(&operator.as_str()) {
            return Err(unforeseen("ValueError: Invalid operator in condition"));
        }
        if let Value::Text(moment) = value
            && field.ends_with("date")
            && !is_moment(moment)
        {
            return Err(unforeseen(&format!("ValueError: Invalid isoformat string: '{moment}'")));
        }
        Ok(Condition { field: field.clone(), operator: operator.clone(), value: value.clone() })
    }

    fn forbidden(&self, doing: &str) -> String {
        match self.model {
            "account.move" => not_allowed(doing, self.model, "Journal Entry", "Accounting/Invoicing"),
            _ => not_allowed(doing, self.model, "Contact", "Contact/Creation"),
        }
    }
}

fn not_allowed(doing: &str, model: &str, kind: &str, group: &str) -> String {
    fault(
        4,
        &format!(
            "You are not allowed to {doing} '{kind}' ({model}) records.\n\nThis operation is allowed for the \
             following groups:\n\t- {group}\n\nContact your administrator to request access if necessary."
        ),
    )
}

/// `YYYY-MM-DD`, or that and `HH:MM:SS`.
fn is_moment(text: &str) -> bool {
    const SHAPE: &str = "0000-00-00 00:00:00";
    let shown: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shown == SHAPE || SHAPE.split(' ').next() == Some(shown.as_str())
}

/// Every record of a model has the same fields.
fn has(records: &Records, field: &str) -> bool {
    field == "id" || records.values().next().is_none_or(|record| record.contains_key(field))
}

/// The id, then the fields as they were asked for.
fn shown(id: i64, record: &Record, fields: &[String]) -> Value {
    let mut members = vec![("id".to_owned(), Value::Int(id))];
    let asked = fields.iter().filter(|field| *field != "id");
    members.extend(asked.map(|f| (f.clone(), record.get(f.as_str()).cloned().unwrap_or(EMPTY))));
    Value::Struct(members)
}

struct Condition {
    field: String,
    operator: String,
    value: Value,
}

impl Condition {
    fn holds(&self, id: i64, record: &Record) -> bool {
        let own = match self.field.as_str() {
            "id" => Value::Int(id),
            field => record.get(field).cloned().unwrap_or(EMPTY),
        };
        // A reference is compared by its id.
        let own = match own {
            Value::List(parts) if matches!(parts.as_slice(), [Value::Int(_), Value::Text(_)]) => {
                parts.into_iter().next().unwrap_or(EMPTY)
            }
            own => own,
        };
        let listed = || self.value.as_list().unwrap_or_default().contains(&own);
        match self.operator.as_str() {
            "=" => own == self.value,
            "!=" => own != self.value,
            "in" => listed(),
            "not in" => !listed(),
            operator => matches!(
                (order(&own, &self.value), operator),
                (Some(Ordering::Less), "<" | "<=")
                    | (Some(Ordering::Greater), ">" | ">=")
                    | (Some(Ordering::Equal), "<=" | ">=")
            ),
        }
    }
}

fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Fault 1: a traceback, whose last line says what it was.
pub fn unforeseen(what: &str) -> String {
    fault(
        1,
        &format!(
            "Traceback (most recent call last):\n  \
             File \"/usr/lib/odoo/19.0/addons/rpc/controllers/xmlrpc.py\", line 162, in xmlrpc_2\n  \
             File \"/usr/lib/odoo/19.0/addons/rpc/controllers/xmlrpc.py\", line 134, in _xmlrpc\n  \
             File \"/usr/lib/odoo/19.0/odoo/http.py\", line 439, in dispatch_rpc\n  \
             File \"/usr/lib/odoo/19.0/odoo/service/model.py\", line 129, in dispatch\n{what}\n"
        ),
    )
}

fn no_database(name: &str) -> String {
    unforeseen(&format!(
        "psycopg2.OperationalError: connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  \
         database \"{name}\" does not exist\n"
    ))
}
