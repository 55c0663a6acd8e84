//! What Odoo's external API does with a call: logs in, searches, reads, and refuses everything else
//! with what a real one answers.

use super::call::Call;
use super::company::Company;
use super::fields;
use super::models::Model;
use super::outcome::Outcome;
use super::refusal::Refusal;
use super::user::{self, UID};
use super::wire::{EMPTY, Value};
use super::{API_KEY, DATABASE, LOGIN};

/// A value, or a refusal.
type Answered = Result<Value, Refusal>;

/// A call of a service: `common` without a login, `object` with one.
pub fn call<'a>(
    company: &'a Company,
    password: &str,
    service: &str,
    method: &str,
    args: &[Value],
) -> Result<Outcome<'a>, Refusal> {
    match (service, method) {
        ("common", "version") => Ok(version().into()),
        ("common", "authenticate") if args.len() < 4 => Err(Refusal::unforeseen(
            "TypeError",
            "exp_authenticate() missing 1 required positional argument: 'user_agent_env'",
        )),
        ("common", "authenticate" | "login") => log_in(args, password).map(Outcome::Value),
        ("db", "list") => Ok(Value::List(vec![Value::text(DATABASE)]).into()),
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
fn log_in(args: &[Value], password: &str) -> Answered {
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
pub fn session(db: &str, login: &str, given: &str, password: &str) -> Answered {
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

fn execute<'a>(
    company: &'a Company,
    name: &str,
    method: &str,
    args: &[Value],
    named: Option<&Value>,
) -> Result<Outcome<'a>, Refusal> {
    if method.starts_with('_') {
        return Err(Refusal::access(format!(
            "Private methods (such as '{name}.{method}') cannot be called remotely."
        )));
    }
    let Some(model) = Model::named(name).filter(|_| company.missing != Some(name)) else {
        return Err(Refusal::user(format!("Object {name} doesn't exist")));
    };
    if (model == Model::Access && !company.bot_reads_rights) || company.closed == Some(name) {
        let (kind, group) = model.kind();
        return Err(Refusal::not_allowed("access", name, kind, group));
    }
    let call = Call { company, model, args, named };
    user::check_language(call.by_name("context"))?;
    let text = |place: usize| args.get(place).and_then(Value::as_text).unwrap_or_default();
    let (kind, group) = model.kind();
    let forbidden = |doing: &str| Err(Refusal::not_allowed(doing, name, kind, group));
    let value = match method {
        "search_read" => return call.search_read(),
        "read" => return call.read(),
        "search" => call.search()?,
        "search_count" => call.search_count()?,
        "fields_get" => fields::describe(model, call.list(0, "allfields"), call.list(1, "attributes")),
        // No field has a default worth telling; odoorpc asks for them of every empty relation.
        "default_get" => Value::structure([]),
        "context_get" if model == Model::User => user::context(),
        "has_group" if model == Model::User => user::has_group(text(1)),
        "check_access_rights" if text(0) != "read" && call.by_name("raise_exception") != Some(&EMPTY) => {
            return forbidden(text(0));
        }
        "check_access_rights" => Value::Bool(text(0) == "read"),
        "has_access" => Value::Bool(text(1) == "read"),
        "create" => return forbidden("create"),
        "write" => return forbidden("modify"),
        // An entry is changed before it is deleted, and that is what it stumbles over.
        "unlink" if model == Model::Move => return forbidden("modify"),
        "unlink" => return forbidden("delete"),
        _ => {
            let message = format!("The method '{name}.{method}' does not exist");
            return Err(Refusal::unforeseen("AttributeError", message));
        }
    };
    Ok(value.into())
}
