//! What Odoo's external API does with a call: logs in, searches, reads, and refuses everything else
//! with the codes that a real one answers.

use super::company::Company;
use super::domain::{Condition, Order, search};
use super::models::Model;
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
    let Some(of) = Model::named(model) else {
        return fault(2, &format!("Object {model} doesn't exist"));
    };
    let call = Call {
        company,
        model: of,
        args: params.get(5).and_then(Value::as_list).unwrap_or_default(),
        named: params.get(6).cloned().unwrap_or(Value::Struct(Vec::new())),
    };
    let done = match method {
        "search_read" => call.search_read(),
        "read" => call.read(),
        "create" => Err(call.forbidden("create")),
        "write" => Err(call.forbidden("modify")),
        // An entry is changed before it is deleted, and that is what it stumbles over.
        "unlink" if of == Model::Move => Err(call.forbidden("modify")),
        "unlink" => Err(call.forbidden("delete")),
        _ => Err(unforeseen(&format!("AttributeError: The method '{model}.{method}' does not exist"))),
    };
    done.map(|value| answer(&value)).unwrap_or_else(|fault| fault)
}

struct Call<'a> {
    company: &'a Company,
    model: Model,
    args: &'a [Value],
    named: Value,
}

impl Call<'_> {
    /// An argument by its place or its name.
    fn argument(&self, place: usize, name: &str) -> Option<&Value> {
        self.args.get(place).or_else(|| self.named.member(name))
    }

    fn search_read(&self) -> Result<Value, String> {
        const NAMED: &[&str] = &["domain", "fields", "offset", "limit", "order", "context"];
        if let Some(name) = self.named.names().find(|name| !NAMED.contains(name)) {
            return Err(unforeseen(&format!(
                "TypeError: BaseModel._read_format() got an unexpected keyword argument '{name}'"
            )));
        }
        let conditions = self.argument(0, "domain").and_then(Value::as_list).unwrap_or_default();
        let conditions: Vec<Condition> = conditions
            .iter()
            .map(|condition| Condition::parse(condition, self.model))
            .collect::<Result<_, _>>()
            .map_err(|wrong| unforeseen(&wrong))?;
        let archived = self.named.member("context").and_then(|c| c.member("active_test")) == Some(&EMPTY)
            || conditions.iter().any(Condition::is_about_active);
        let number = |name, place| self.argument(place, name).and_then(Value::as_int).unwrap_or(0);
        let count = |n: i64| usize::try_from(n).unwrap_or(usize::MAX);
        let limit = Some(count(number("limit", 3))).filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let order =
            Order::parse(self.argument(4, "order").and_then(Value::as_text).unwrap_or("id"), self.model)
                .map_err(
                    |wrong| if wrong.starts_with("Invalid") { fault(2, &wrong) } else { unforeseen(&wrong) },
                )?;
        let fields = self.fields()?;
        let page = (count(number("offset", 2)), limit);
        let ids = search(self.company, self.model, &conditions, archived, order, page);
        Ok(self.shown(ids, &fields))
    }

    fn read(&self) -> Result<Value, String> {
        let ids = self.argument(0, "ids").and_then(Value::as_list).unwrap_or_default();
        let fields = self.fields()?;
        Ok(self.shown(ids.iter().filter_map(Value::as_int), &fields))
    }

    /// Each record: the id, then the fields as they were asked for. One that does not exist is left out
    /// in silence.
    fn shown(&self, ids: impl IntoIterator<Item = i64>, fields: &[String]) -> Value {
        let record = |id| {
            let found = self.company.find(self.model, id)?;
            let asked = fields.iter().filter(|field| *field != "id");
            let mut members = vec![("id".to_owned(), Value::Int(id))];
            members.extend(asked.map(|field| (field.clone(), found.field(field))));
            Some(Value::Struct(members))
        };
        Value::List(ids.into_iter().filter_map(record).collect())
    }

    fn fields(&self) -> Result<Vec<String>, String> {
        let named = self.argument(1, "fields").and_then(Value::as_list).unwrap_or_default();
        let fields: Vec<String> = named.iter().filter_map(Value::as_text).map(str::to_owned).collect();
        match fields.iter().find(|field| !self.model.has(field)) {
            Some(field) => {
                Err(unforeseen(&format!("ValueError: Invalid field '{field}' on '{}'", self.model.name())))
            }
            None => Ok(fields),
        }
    }

    fn forbidden(&self, doing: &str) -> String {
        let (kind, group) = self.model.kind();
        not_allowed(doing, self.model.name(), kind, group)
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
