//! JSON-RPC at `/jsonrpc`, Odoo 14 to 21: the services of XML-RPC in a quarter of its bytes. Errors come with
//! HTTP 200 and are told by the class of the exception.

use crate::odoo::caps::Caps;
use crate::odoo::dialect::{Call, Caller, Dialect, Reply};
use crate::odoo::fault::OdooError;
use crate::odoo::json::{self, Exception, JsonError, Reader, Writer};
use crate::odoo::query::ReadQuery;
use crate::odoo::readable::{Fields, Model};
use crate::odoo::record::Record;

/// See above.
pub(super) struct JsonRpc;

pub(super) const PATH: &str = "/jsonrpc";
const JSON: &str = "application/json";

impl Dialect for JsonRpc {
    fn log_in<'a>(&self, caller: &Caller<'a>) -> Result<Call<'a>, OdooError> {
        let texts = caller.database.len() + caller.username.len() + caller.secret.expose().len();
        Ok(call(texts, caller.number, "common", "authenticate", |args| {
            args.text(caller.database);
            args.text(caller.username);
            args.text(caller.secret.expose());
            args.object(|_| {});
        }))
    }

    fn logged_in(&self, reply: &Reply) -> Result<i64, OdooError> {
        let mut uid = None;
        result(reply, None, |reader, _| {
            if !reader.takes_false()? {
                uid = Some(reader.int()?);
            }
            Ok(())
        })?;
        match uid {
            Some(uid) if uid > 0 => Ok(uid),
            Some(_) => Err(OdooError::Malformed),
            None => Err(OdooError::LoginRefused),
        }
    }

    fn read<'a>(&self, caller: &Caller<'a>, uid: i64, query: &ReadQuery) -> Result<Call<'a>, OdooError> {
        if !query.is_of_one_model() {
            return Err(OdooError::QueryRefused);
        }
        let texts = caller.database.len() + caller.secret.expose().len();
        Ok(call(texts, caller.number, "object", "execute_kw", |args| {
            args.text(caller.database);
            args.int(uid);
            args.text(caller.secret.expose());
            args.text(query.fields().model().name());
            args.text(query.method().as_str());
            args.array(|args| match query {
                ReadQuery::SearchRead { domain, .. } => args.domain(domain),
                ReadQuery::Read { ids, .. } => args.ids(ids),
            });
            args.object(|named| named.rest_of(query));
        }))
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

/// Reads an answer to the call of that number, whose result is nothing but records of `fields`.
pub fn read_records(
    answer: &[u8],
    caps: &Caps,
    number: i64,
    fields: &Fields,
    take: &mut dyn FnMut(Record),
) -> Result<(), OdooError> {
    let reply = Reply { status: 200, media: JSON, body: answer, number, caps };
    read(&reply, fields, take)
}

fn read(reply: &Reply, fields: &Fields, take: &mut dyn FnMut(Record)) -> Result<(), OdooError> {
    result(reply, Some(fields.model()), |reader, depth| json::records(reader, depth, fields, take))
}

/// `common.version()`: asked without a login.
pub(super) fn version(number: i64) -> Call<'static> {
    call(0, number, "common", "version", |_| {})
}

/// A call of a service. The names are written here alone.
fn call(
    texts: usize,
    number: i64,
    service: &'static str,
    method: &'static str,
    args: impl FnOnce(&mut Writer),
) -> Call<'static> {
    let mut json = Writer::with_room(texts);
    json.object(|json| {
        json.member("jsonrpc", |json| json.text("2.0"));
        json.member("method", |json| json.text("call"));
        json.member("params", |json| {
            json.object(|json| {
                json.member("service", |json| json.text(service));
                json.member("method", |json| json.text(method));
                json.member("args", |json| json.array(args));
            });
        });
        json.member("id", |json| json.int(number));
    });
    Call { path: PATH.into(), media: JSON, body: json.end(), accepts: &[JSON], bearer: None, database: None }
}

/// Has `take` read the result, or ends with the cause of the error. Either is there, and the call's number.
pub(super) fn result(
    reply: &Reply,
    asked: Option<&Model>,
    mut take: impl FnMut(&mut Reader, usize) -> Result<(), JsonError>,
) -> Result<(), OdooError> {
    if reply.status != 200 || reply.media != JSON {
        return Err(reply.elsewhere());
    }
    let mut reader = Reader::begin(reply.body, reply.caps)?;
    let (mut number, mut has_result, mut error) = (None, false, None);
    reader.members::<JsonError>(0, |reader, name, depth| {
        match name {
            "id" => number = Some(reader.int()?),
            "result" => {
                has_result = true;
                take(reader, depth)?;
            }
            "error" => error = Some(Exception::read_data(reader, depth)?),
            _ => reader.skip(depth)?,
        }
        Ok(())
    })?;
    reader.end()?;
    match (error, has_result) {
        _ if number != Some(reply.number) => Err(OdooError::Malformed),
        (Some(error), false) => Err(OdooError::of_exception(&error, asked)),
        (None, true) => Ok(()),
        _ => Err(OdooError::Malformed),
    }
}
