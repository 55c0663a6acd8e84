//! The calls that read: their arguments by place or by name, and what they find.

use super::domain::Term;
use super::fields;
use super::models::Model;
use super::outcome::{Outcome, Records};
use super::refusal::Refusal;
use super::routes::Server;
use super::search::{Order, search};
use super::wire::{EMPTY, Value};

/// Where the arguments of a search stand when they come without names.
struct Places {
    offset: usize,
    limit: usize,
    order: usize,
}

/// A call of a method, with its arguments.
pub struct Call<'c, 'a> {
    pub server: Server<'c>,
    pub model: Model,
    pub args: &'a [Value],
    pub named: Option<&'a Value>,
}

impl<'c> Call<'c, '_> {
    /// An argument by its place or its name.
    fn argument(&self, place: usize, name: &str) -> Option<&Value> {
        self.args.get(place).or_else(|| self.by_name(name))
    }

    /// The same, if it is a text.
    pub fn text(&self, place: usize, name: &str) -> Option<&str> {
        self.argument(place, name).and_then(Value::as_text)
    }

    /// The same, if it is a list.
    pub fn list(&self, place: usize, name: &str) -> Option<&[Value]> {
        self.argument(place, name).and_then(Value::as_list)
    }

    pub fn by_name(&self, name: &str) -> Option<&Value> {
        self.named.and_then(|named| named.member(name))
    }

    pub fn search_read(&self) -> Result<Outcome<'c>, Refusal> {
        const NAMED: &[&str] = &["domain", "fields", "offset", "limit", "order", "load", "context"];
        self.only("BaseModel._read_format()", NAMED)?;
        let fields = self.fields()?;
        Ok(self.records(self.found(Places { offset: 2, limit: 3, order: 4 })?, fields))
    }

    pub fn search(&self) -> Result<Value, Refusal> {
        const NAMED: &[&str] = &["domain", "offset", "limit", "order", "context"];
        self.only("BaseModel.search()", NAMED)?;
        let found = self.found(Places { offset: 1, limit: 2, order: 3 })?;
        Ok(Value::List(found.into_iter().map(Value::Int).collect()))
    }

    pub fn search_count(&self) -> Result<Value, Refusal> {
        self.only("BaseModel.search_count()", &["domain", "limit", "context"])?;
        let found = self.found(Places { offset: usize::MAX, limit: 1, order: usize::MAX })?;
        Ok(Value::Int(i64::try_from(found.len()).unwrap_or(i64::MAX)))
    }

    /// What `fields_get` tells.
    pub fn describe(&self) -> Value {
        let is_there = |field: &str| self.has(field);
        fields::describe(self.model, is_there, self.list(0, "allfields"), self.list(1, "attributes"))
    }

    /// Whether this version's model has the field.
    fn has(&self, field: &str) -> bool {
        self.server.settings.version.has_field(self.model.name(), field)
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
        let number = |place, name| self.argument(place, name).and_then(Value::as_number).unwrap_or(0);
        if number(places.limit, "limit") < 0 {
            let message = "LIMIT must not be negative\n";
            return Err(Refusal::unforeseen("psycopg2.errors.InvalidRowCountInLimitClause", message));
        }
        let count = |place, name| usize::try_from(number(place, name)).unwrap_or(usize::MAX);
        let limit = Some(count(places.limit, "limit")).filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let order = self.argument(places.order, "order").and_then(Value::as_text).unwrap_or("id");
        let order = Order::parse(order, self.model)?;
        let page = (count(places.offset, "offset"), limit);
        Ok(search(self.server.company, self.model, &terms, self.archived_too(&terms), order, page))
    }

    fn terms(&self) -> Result<Vec<Term>, Refusal> {
        Term::parse_all(self.list(0, "domain").unwrap_or_default(), self.model)
    }

    fn archived_too(&self, terms: &[Term]) -> bool {
        self.by_name("context").and_then(|context| context.member("active_test")) == Some(&EMPTY)
            || terms.iter().any(Term::is_about_active)
    }

    pub fn read(&self) -> Result<Outcome<'c>, Refusal> {
        let fields = self.fields()?;
        let ids =
            self.argument(0, "ids").map_or(&[][..], |ids| ids.as_list().unwrap_or(std::slice::from_ref(ids)));
        let is_wrong = |id: &&Value| id.as_text().is_some_and(|id| id.parse::<i64>().is_err());
        if let Some(wrong) = ids.iter().find(is_wrong).and_then(Value::as_text) {
            return Err(Refusal::unforeseen(
                "psycopg2.errors.InvalidTextRepresentation",
                not_a_number(self.model, wrong),
            ));
        }
        Ok(self.records(ids.iter().filter_map(Value::as_int).collect(), fields))
    }

    fn records(&self, ids: Vec<i64>, fields: Vec<&'static str>) -> Outcome<'c> {
        // Any other `load` than the default leaves the names of references out.
        let bare = self.by_name("load").is_some_and(|load| load.as_text() != Some("_classic_read"));
        Outcome::Records(Records {
            company: self.server.company,
            model: self.model,
            ids,
            fields,
            bare,
            echo: None,
        })
    }

    /// The fields that it names. One that names none wants them all, and of an entry that is refused:
    /// some are of models that the bot may not read.
    fn fields(&self) -> Result<Vec<&'static str>, Refusal> {
        let named = self.list(1, "fields").unwrap_or_default();
        if named.is_empty() && self.model == Model::Move {
            return Err(Refusal::access(UNREADABLE));
        }
        if named.is_empty() {
            let all = self.model.fields().iter().map(|(name, _)| *name);
            return Ok(all.filter(|name| self.has(name)).collect());
        }
        let asked = named.iter().filter_map(Value::as_text).filter(|field| *field != "id");
        let own = asked.map(|field| {
            self.model.field(field).filter(|field| self.has(field)).ok_or_else(|| {
                let message = format!("Invalid field '{field}' on '{}'", self.model.name());
                Refusal::unforeseen("ValueError", message)
            })
        });
        own.collect()
    }
}

/// As the database says it, with a look at the query.
fn not_a_number(model: Model, wrong: &str) -> String {
    let table = model.name().replace('.', "_");
    let line = format!("LINE 1: ...FROM \"{table}\" WHERE \"{table}\".\"id\" IN (");
    let below = " ".repeat(line.len());
    format!("invalid input syntax for type integer: \"{wrong}\"\n{line}'{wrong}') AND...\n{below}^\n")
}

const UNREADABLE: &str = "Failed to read field account.move.transaction_ids\nYou are not allowed to access \
                          'Payment Transaction' (payment.transaction) records.\n\nThis operation is allowed for \
                          the following groups:\n\t- Accounting/Invoicing\n\t- Role / Administrator\n\nContact your \
                          administrator to request access if necessary.";
