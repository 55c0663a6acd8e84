//! What Odoo's external API does with a call: logs in, searches, reads, and refuses everything else
//! with what a real one answers.

use super::company::Company;
use super::domain::Term;
use super::fields;
use super::models::Model;
use super::refusal::Refusal;
use super::search::{Order, search};
use super::user::{self, UID};
use super::wire::{EMPTY, Value};
use super::{API_KEY, DATABASE, LOGIN};

/// A model that is there, and that the bot may not read: its name, what people call it, who may.
const CLOSED: (&str, &str, &str) = ("ir.model.access", "Model Access", "Access Rights");

pub type Answer = Result<Value, Refusal>;

/// A call of a service: `common` without a login, `object` with one.
pub fn call(company: &Company, password: &str, service: &str, method: &str, args: &[Value]) -> Answer {
    match (service, method) {
        ("common", "version") => Ok(version()),
        ("common", "authenticate") if args.len() < 4 => Err(Refusal::unforeseen(
            "TypeError",
            "exp_authenticate() missing 1 required positional argument: 'user_agent_env'",
        )),
        ("common", "authenticate" | "login") => log_in(args, password),
        ("db", "list") => Ok(Value::List(vec![Value::text(DATABASE)])),
        ("object", "execute_kw" | "execute") => {
            check(args, password)?;
            let text = |n: usize| args.get(n).and_then(Value::as_text).unwrap_or_default();
            let rest = args.get(5..).unwrap_or_default();
            let (positional, named) = match method {
                "execute" => (rest, None),
                _ => (rest.first().and_then(Value::as_list).unwrap_or_default(), rest.get(1)),
            };
            execute(company, text(3), text(4), positional, named)
        }
        ("common" | "object" | "db", other) => {
            Err(Refusal::unforeseen("Exception", format!("Method not found: {other}")))
        }
        (other, _) => Err(Refusal::unforeseen("KeyError", format!("'{other}'"))),
    }
}

pub fn version() -> Value {
    let info = [Value::Int(19), Value::Int(0), Value::Int(0)];
    let info = info.into_iter().chain([Value::text("final"), Value::Int(0), Value::text("")]);
    Value::structure([
        ("server_version", Value::text("19.0")),
        ("server_version_info", Value::List(info.collect())),
        ("server_serie", Value::text("19.0")),
        ("protocol_version", Value::Int(1)),
    ])
}

/// `authenticate(db, login, password, {})` and `login(db, login, password)`: the user id, or false.
fn log_in(args: &[Value], password: &str) -> Answer {
    let text = |n: usize| args.get(n).and_then(Value::as_text);
    if let Some(unknown) = text(0).filter(|db| *db != DATABASE) {
        return Err(Refusal::no_database(unknown));
    }
    match (text(1), text(2)) {
        (Some(LOGIN), Some(given)) if given == password || given == API_KEY => Ok(Value::Int(UID)),
        _ => Ok(EMPTY),
    }
}

/// The browser's login, which takes no API key and refuses aloud.
pub fn session(db: &str, login: &str, given: &str, password: &str) -> Answer {
    if db != DATABASE {
        return Err(Refusal::no_database(db));
    }
    if (login, given) != (LOGIN, password) {
        return Err(Refusal::denied());
    }
    Ok(Value::structure([
        ("uid", Value::Int(UID)),
        ("is_system", EMPTY),
        ("is_admin", EMPTY),
        ("user_context", user::context()),
        ("db", Value::text(DATABASE)),
        ("server_version", Value::text("19.0")),
        ("name", Value::text("Bot")),
        ("username", Value::text(LOGIN)),
    ]))
}

fn check(args: &[Value], password: &str) -> Result<(), Refusal> {
    let text = |n: usize| args.get(n).and_then(Value::as_text).unwrap_or_default();
    if text(0) != DATABASE {
        return Err(Refusal::no_database(text(0)));
    }
    let uid = args.get(1).and_then(Value::as_int).unwrap_or(0);
    if uid != UID {
        return Err(Refusal::no_user(uid));
    }
    if text(2) != password && text(2) != API_KEY {
        return Err(Refusal::denied());
    }
    Ok(())
}

fn execute(company: &Company, name: &str, method: &str, args: &[Value], named: Option<&Value>) -> Answer {
    if method.starts_with('_') {
        return Err(Refusal::access(format!(
            "Private methods (such as '{name}.{method}') cannot be called remotely."
        )));
    }
    if name == CLOSED.0 {
        return Err(Refusal::not_allowed("access", name, CLOSED.1, CLOSED.2));
    }
    let Some(model) = Model::named(name) else {
        return Err(Refusal::user(format!("Object {name} doesn't exist")));
    };
    let call = Call { company, model, args, named };
    user::check_language(call.by_name("context"))?;
    let text = |place: usize| args.get(place).and_then(Value::as_text).unwrap_or_default();
    let (kind, group) = model.kind();
    let forbidden = |doing: &str| Err(Refusal::not_allowed(doing, name, kind, group));
    match method {
        "search_read" => call.search_read(),
        "search" => call.search(),
        "search_count" => call.search_count(),
        "read" => call.read(),
        "fields_get" => Ok(fields::describe(model, call.list(0, "allfields"), call.list(1, "attributes"))),
        "context_get" if model == Model::User => Ok(user::context()),
        "has_group" if model == Model::User => Ok(user::has_group(text(1))),
        "check_access_rights" if text(0) != "read" && call.by_name("raise_exception") != Some(&EMPTY) => {
            forbidden(text(0))
        }
        "check_access_rights" => Ok(Value::Bool(text(0) == "read")),
        "has_access" => Ok(Value::Bool(text(1) == "read")),
        "create" => forbidden("create"),
        "write" => forbidden("modify"),
        // An entry is changed before it is deleted, and that is what it stumbles over.
        "unlink" if model == Model::Move => forbidden("modify"),
        "unlink" => forbidden("delete"),
        _ => {
            let message = format!("The method '{name}.{method}' does not exist");
            Err(Refusal::unforeseen("AttributeError", message))
        }
    }
}

/// Where the arguments of a search stand when they come without names.
struct Places {
    offset: usize,
    limit: usize,
    order: usize,
}

struct Call<'a> {
    company: &'a Company,
    model: Model,
    args: &'a [Value],
    named: Option<&'a Value>,
}

impl Call<'_> {
    /// An argument by its place or its name.
    fn argument(&self, place: usize, name: &str) -> Option<&Value> {
        self.args.get(place).or_else(|| self.by_name(name))
    }

    fn list(&self, place: usize, name: &str) -> Option<&[Value]> {
        self.argument(place, name).and_then(Value::as_list)
    }

    fn by_name(&self, name: &str) -> Option<&Value> {
        self.named.and_then(|named| named.member(name))
    }

    fn search_read(&self) -> Answer {
        const NAMED: &[&str] = &["domain", "fields", "offset", "limit", "order", "load", "context"];
        self.only("BaseModel._read_format()", NAMED)?;
        let fields = self.fields()?;
        Ok(self.shown(self.found(Places { offset: 2, limit: 3, order: 4 })?, &fields))
    }

    fn search(&self) -> Answer {
        const NAMED: &[&str] = &["domain", "offset", "limit", "order", "context"];
        self.only("BaseModel.search()", NAMED)?;
        let found = self.found(Places { offset: 1, limit: 2, order: 3 })?;
        Ok(Value::List(found.into_iter().map(Value::Int).collect()))
    }

    fn search_count(&self) -> Answer {
        self.only("BaseModel.search_count()", &["domain", "limit", "context"])?;
        let found = self.found(Places { offset: usize::MAX, limit: 1, order: usize::MAX })?;
        Ok(Value::Int(i64::try_from(found.len()).unwrap_or(i64::MAX)))
    }

    fn only(&self, function: &str, names: &[&str]) -> Result<(), Refusal> {
        match self.named.into_iter().flat_map(Value::names).find(|name| !names.contains(name)) {
            Some(name) => Err(Refusal::unforeseen(
                "TypeError",
                format!("{function} got an unexpected keyword argument '{name}'"),
            )),
            None => Ok(()),
        }
    }

    /// The ids that the domain finds.
    fn found(&self, places: Places) -> Result<Vec<i64>, Refusal> {
        let terms = self.terms()?;
        let count = |place, name| {
            let number = self.argument(place, name).and_then(Value::as_int).unwrap_or(0);
            usize::try_from(number).unwrap_or(usize::MAX)
        };
        let limit = Some(count(places.limit, "limit")).filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let order = self.argument(places.order, "order").and_then(Value::as_text).unwrap_or("id");
        let order = Order::parse(order, self.model)?;
        let page = (count(places.offset, "offset"), limit);
        Ok(search(self.company, self.model, &terms, self.archived_too(&terms), order, page))
    }

    fn terms(&self) -> Result<Vec<Term>, Refusal> {
        Term::parse_all(self.list(0, "domain").unwrap_or_default(), self.model)
    }

    fn archived_too(&self, terms: &[Term]) -> bool {
        self.by_name("context").and_then(|context| context.member("active_test")) == Some(&EMPTY)
            || terms.iter().any(Term::is_about_active)
    }

    fn read(&self) -> Answer {
        let fields = self.fields()?;
        let ids = self.list(0, "ids").unwrap_or_default();
        let is_wrong = |id: &&Value| id.as_text().is_some_and(|id| id.parse::<i64>().is_err());
        if let Some(wrong) = ids.iter().find(is_wrong).and_then(Value::as_text) {
            return Err(Refusal::unforeseen(
                "psycopg2.errors.InvalidTextRepresentation",
                format!("invalid input syntax for type integer: \"{wrong}\"\n"),
            ));
        }
        Ok(self.shown(ids.iter().filter_map(Value::as_int), &fields))
    }

    /// Each record: the id, then the fields as they were asked for. One that does not exist is left out
    /// in silence.
    fn shown(&self, ids: impl IntoIterator<Item = i64>, fields: &[&'static str]) -> Value {
        // Any other `load` than the default leaves the names of references out.
        let bare = self.by_name("load").is_some_and(|load| load.as_text() != Some("_classic_read"));
        let record = |id| {
            let found = self.company.find(self.model, id)?;
            let mut members = Vec::with_capacity(fields.len() + 1);
            members.push(("id".into(), Value::Int(id)));
            members.extend(fields.iter().map(|field| {
                let value = found.field(field);
                ((*field).into(), if bare { value.key() } else { value })
            }));
            Some(Value::Struct(members))
        };
        Value::List(ids.into_iter().filter_map(record).collect())
    }

    fn fields(&self) -> Result<Vec<&'static str>, Refusal> {
        let asked = self
            .list(1, "fields")
            .unwrap_or_default()
            .iter()
            .filter_map(Value::as_text)
            .filter(|field| *field != "id");
        asked
            .map(|field| {
                self.model.field(field).ok_or_else(|| {
                    let message = format!("Invalid field '{field}' on '{}'", self.model.name());
                    Refusal::unforeseen("ValueError", message)
                })
            })
            .collect()
    }
}
