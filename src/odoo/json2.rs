//! JSON-2 at `/json/2/<model>/<method>`, Odoo 19 and later: an API key in the head, arguments by name, and statuses
//! that mean something; but permanent mistakes come as 500 too, and are told by the class of the exception.

use crate::odoo::dialect::{Call, Caller, Dialect, Reply};
use crate::odoo::fault::OdooError;
use crate::odoo::json::{self, Exception, Reader, Writer};
use crate::odoo::query::{Domain, Operand, Operator, Order, ReadQuery};
use crate::odoo::readable::{CheckOnly, Fields, Model};
use crate::odoo::record::{Cell, Record};
use crate::secret::Secret;

/// See above.
pub(super) struct Json2;

const JSON: &str = "application/json";
const HTML: &str = "text/html";
/// What the page says that stands where no database was chosen: the name of a header, in no language.
pub(super) const NO_DATABASE: &[u8] = b"X-Odoo-Database";

impl Dialect for Json2 {
    /// There is no login. The user of that name is looked for, and shows the keys that it has to itself alone (or to an
    /// administrator): another user's key, which XML-RPC refuses, finds it without.
    fn log_in<'a>(&self, caller: &Caller<'a>) -> Result<Call<'a>, OdooError> {
        let fields = own_user()?;
        let domain = Domain::all(fields.model())
            .and("login", Operator::Equal, Operand::Text(caller.username.to_owned()))
            .map_err(|_| OdooError::QueryRefused)?;
        let limit = std::num::NonZeroU32::MIN;
        let order = Order::IdAscending;
        self.read(
            caller,
            0,
            &ReadQuery::SearchRead { domain, fields, order, offset: 0, limit, archived: false },
        )
    }

    fn logged_in(&self, reply: &Reply) -> Result<i64, OdooError> {
        let mut found = Vec::new();
        read(reply, &own_user()?, &mut |record| found.push(record))?;
        let own = found
            .into_iter()
            .find(|user| matches!(user.cells.last(), Some(Cell::Ids(keys)) if !keys.is_empty()));
        own.map(|user| user.id).ok_or(OdooError::OtherUser)
    }

    fn read<'a>(&self, caller: &Caller<'a>, _: i64, query: &ReadQuery) -> Result<Call<'a>, OdooError> {
        call(caller.database, Some(caller.secret), query)
    }

    fn records(
        &self,
        reply: &Reply,
        query: &ReadQuery,
        take: &mut dyn FnMut(Record),
    ) -> Result<(), OdooError> {
        read(reply, query.fields(), take)
    }
}

/// What a login asks, of any user and without a key: an Odoo says that it wants one.
pub(super) fn knock(database: &str) -> Result<Call<'_>, OdooError> {
    let fields = own_user()?;
    let (domain, order, limit) = (Domain::all(fields.model()), Order::IdAscending, std::num::NonZeroU32::MIN);
    let query = ReadQuery::SearchRead { domain, fields, order, offset: 0, limit, archived: false };
    call(database, None, &query)
}

/// Whether it was an Odoo's answer.
pub(super) fn knocked(reply: &Reply) -> Result<(), OdooError> {
    match read(reply, &own_user()?, &mut |_| {}) {
        Err(OdooError::LoginRefused) => Ok(()),
        // Before it asks for a key, it knows no such path.
        Err(OdooError::ModelMissing) => Err(OdooError::ApiClosed),
        other => other,
    }
}

fn call<'a>(database: &'a str, bearer: Option<&'a Secret>, query: &ReadQuery) -> Result<Call<'a>, OdooError> {
    if !query.is_of_one_model() {
        return Err(OdooError::QueryRefused);
    }
    let is_sayable = |text: &str| text.bytes().all(|b| (b'!'..=b'~').contains(&b));
    if !is_sayable(database) || bearer.is_some_and(|secret| !is_sayable(secret.expose())) {
        return Err(OdooError::Unspeakable);
    }
    let mut json = Writer::with_room(0);
    json.object(|json| {
        match query {
            ReadQuery::SearchRead { domain, .. } => json.member("domain", |json| json.domain(domain)),
            ReadQuery::Read { ids, .. } => json.member("ids", |json| json.ids(ids)),
        }
        json.rest_of(query);
    });
    Ok(Call {
        path: format!("/json/2/{}/{}", query.fields().model().name(), query.method().as_str()).into(),
        media: JSON,
        body: json.end(),
        accepts: &[JSON, HTML],
        bearer,
        database: Some(database),
    })
}

/// The login, and the keys that the user has.
fn own_user() -> Result<Fields, OdooError> {
    let policy = CheckOnly::embedded().map_err(|_| OdooError::QueryRefused)?;
    let users = policy.model("res.users").map_err(|_| OdooError::QueryRefused)?;
    users.fields(&["login", "api_key_ids"]).map_err(|_| OdooError::QueryRefused)
}

fn read(reply: &Reply, fields: &Fields, take: &mut dyn FnMut(Record)) -> Result<(), OdooError> {
    match (reply.status, reply.media) {
        (200, JSON) => Ok(json::read_records(reply.body, reply.caps, fields, take)?),
        (_, JSON) => Err(cause(reply, fields.model())?),
        (404, HTML) if memchr::memmem::find(reply.body, NO_DATABASE).is_some() => {
            Err(OdooError::DatabaseNotSelected)
        }
        _ => Err(reply.elsewhere()),
    }
}

fn cause(reply: &Reply, asked: &Model) -> Result<OdooError, OdooError> {
    let mut reader = Reader::begin(reply.body, reply.caps)?;
    let told = Exception::read(&mut reader, 0)?;
    reader.end()?;
    match (reply.status, told.class.as_str()) {
        // A gateway's own JSON.
        (_, "") => Err(reply.elsewhere()),
        _ => Ok(OdooError::of_exception(&told, Some(asked))),
    }
}
