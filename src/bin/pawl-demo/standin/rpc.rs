//! What Odoo's external API does with a call: logs in, searches, reads, and refuses everything else
//! with what a real one answers.

use super::call::Call;
use super::models::Model;
use super::outcome::Outcome;
use super::refusal::Refusal;
use super::routes::Server;
use super::settings::Key;
use super::user::{self, UID};
use super::wire::{EMPTY, Value};
use super::{API_KEY, DATABASE, LOGIN};

/// A value, or a refusal.
type Answered = Result<Value, Refusal>;

/// A call of a service: `common` without a login, `object` with one.
pub fn call<'a>(
    server: Server<'a>,
    service: &str,
    method: &str,
    args: &[Value],
) -> Result<Outcome<'a>, Refusal> {
    match (service, method) {
        ("common", "version") => Ok(server.settings.version.told().into()),
        ("common" | "object", _) if server.settings.without_api => Err(Refusal::no_api()),
        ("common", "authenticate") if args.len() < 4 => Err(Refusal::unforeseen(
            "TypeError",
            "exp_authenticate() missing 1 required positional argument: 'user_agent_env'",
        )),
        ("common", "authenticate" | "login") => log_in(server, args).map(Outcome::Value),
        ("db", "list") => {
            let names = std::iter::once(&DATABASE).chain(&server.settings.others);
            Ok(Value::List(names.map(|name| Value::text(*name)).collect()).into())
        }
        ("object", "execute_kw" | "execute") => {
            check(server, args)?;
            let text = |n: usize| args.get(n).and_then(Value::as_text).unwrap_or_default();
            let rest = args.get(5..).unwrap_or_default();
            let (positional, named) = match method {
                "execute" => (rest, None),
                _ => (rest.first().and_then(Value::as_list).unwrap_or_default(), rest.get(1)),
            };
            execute(server, text(3), text(4), positional, named)
        }
        ("common" | "object" | "db", other) => {
            Err(Refusal::unforeseen("Exception", format!("Method not found: {other}")))
        }
        (other, _) => Err(Refusal::unforeseen("KeyError", format!("'{other}'"))),
    }
}

impl Server<'_> {
    /// Whether that opens the bot's account to a program: its password or its key.
    fn opens(&self, given: &str) -> bool {
        (given == self.password && !self.settings.second_factor) || self.is_key(given)
    }

    /// Whether it is a key of the bot, and good for this.
    pub fn is_key(&self, given: &str) -> bool {
        given == API_KEY && self.settings.key == Key::Good
    }

    /// Whether there is a database of that name, which may be another's.
    fn has_database(&self, name: &str) -> bool {
        name == DATABASE || self.settings.others.contains(&name)
    }
}

/// `authenticate(db, login, password, {})` and `login(db, login, password)`: the user id, or false.
fn log_in(server: Server<'_>, args: &[Value]) -> Answered {
    let text = |n: usize| args.get(n).and_then(Value::as_text);
    if let Some(unknown) = text(0).filter(|db| !server.has_database(db)) {
        return Err(Refusal::no_database(unknown));
    }
    match (text(0), text(1), text(2)) {
        (None | Some(DATABASE), Some(LOGIN), Some(given)) if server.opens(given) => Ok(Value::Int(UID)),
        _ => Ok(EMPTY),
    }
}

/// The browser's login, which takes no API key and refuses aloud.
pub fn session(server: Server<'_>, db: &str, login: &str, given: &str) -> Answered {
    if !server.has_database(db) {
        return Err(Refusal::no_database(db));
    }
    if (db, login, given) != (DATABASE, LOGIN, server.password) {
        return Err(Refusal::denied());
    }
    Ok(Value::structure([
        ("uid", Value::Int(UID)),
        ("is_system", EMPTY),
        ("is_admin", EMPTY),
        ("user_context", user::context()),
        ("db", Value::text(DATABASE)),
        ("server_version", Value::Text(server.settings.version.name())),
        ("name", Value::text("Bot")),
        ("username", Value::text(LOGIN)),
    ]))
}

fn check(server: Server<'_>, args: &[Value]) -> Result<(), Refusal> {
    let text = |n: usize| args.get(n).and_then(Value::as_text).unwrap_or_default();
    if !server.has_database(text(0)) {
        return Err(Refusal::no_database(text(0)));
    }
    let uid = args.get(1).and_then(Value::as_int).unwrap_or(0);
    if uid != UID {
        return Err(Refusal::no_user(uid));
    }
    if text(0) != DATABASE || !server.opens(text(2)) {
        return Err(Refusal::denied());
    }
    Ok(())
}

/// A method of a model, called by the bot.
pub fn execute<'a>(
    server: Server<'a>,
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
    let Some(model) = Model::named(name).filter(|_| server.company.missing != Some(name)) else {
        return Err(Refusal::user(format!("Object {name} doesn't exist")));
    };
    if (model == Model::Access && !server.company.bot_reads_rights) || server.company.closed == Some(name) {
        let (kind, group) = model.kind();
        return Err(Refusal::not_allowed("access", name, kind, group));
    }
    let call = Call { server, model, args, named };
    user::check_language(call.by_name("context"))?;
    let text = |place: usize, name: &str| call.text(place, name).unwrap_or_default();
    let (kind, group) = model.kind();
    let forbidden = |doing: &str| Err(Refusal::not_allowed(doing, name, kind, group));
    let value = match method {
        "search_read" => return call.search_read(),
        "read" => return call.read(),
        "search" => call.search()?,
        "search_count" => call.search_count()?,
        "fields_get" => call.describe(),
        // No field has a default worth telling; odoorpc asks for them of every empty relation.
        "default_get" => Value::structure([]),
        "context_get" if model == Model::User => user::context(),
        "has_group" if model == Model::User => user::has_group(text(1, "group_ext_id")),
        "check_access_rights"
            if text(0, "operation") != "read" && call.by_name("raise_exception") != Some(&EMPTY) =>
        {
            return forbidden(text(0, "operation"));
        }
        "check_access_rights" => Value::Bool(text(0, "operation") == "read"),
        "has_access" => Value::Bool(text(1, "operation") == "read"),
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
