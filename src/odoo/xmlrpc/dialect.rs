//! XML-RPC at `/xmlrpc/2`, Odoo 14 to 21, as one of the dialects.

use crate::odoo::dialect::{Call, Caller, Dialect, Reply as Answer};
use crate::odoo::fault::OdooError;
use crate::odoo::query::ReadQuery;
use crate::odoo::record::Record;
use crate::odoo::xmlrpc::{Login, Reply, Value, authenticate, execute, read_records, read_value, version};

/// See above.
pub(in crate::odoo) struct XmlRpc;

const COMMON: &str = "/xmlrpc/2/common";
const OBJECT: &str = "/xmlrpc/2/object";
const MEDIA: &[&str] = &["text/xml", "application/xml"];

impl Dialect for XmlRpc {
    fn log_in<'a>(&self, caller: &Caller<'a>) -> Result<Call<'a>, OdooError> {
        Ok(call(COMMON, authenticate(&login(caller), caller.username)?))
    }

    fn logged_in(&self, answer: &Answer) -> Result<i64, OdooError> {
        match read_value(body(answer)?, answer.caps)? {
            Reply::Result(Value::Int(uid)) if uid > 0 => Ok(uid),
            Reply::Result(Value::Bool(false)) => Err(OdooError::LoginRefused),
            Reply::Result(_) => Err(OdooError::Malformed),
            Reply::Fault(fault) => Err(OdooError::of_fault(&fault, None)),
        }
    }

    fn read<'a>(&self, caller: &Caller<'a>, uid: i64, query: &ReadQuery) -> Result<Call<'a>, OdooError> {
        Ok(call(OBJECT, execute(&login(caller), uid, query)?))
    }

    fn records(
        &self,
        answer: &Answer,
        query: &ReadQuery,
        take: &mut dyn FnMut(Record),
    ) -> Result<(), OdooError> {
        let reply = read_records(body(answer)?, answer.caps, |members| {
            take(Record::of(members, query.fields())?);
            Ok::<(), OdooError>(())
        })?;
        match reply {
            Reply::Result(()) => Ok(()),
            Reply::Fault(fault) => Err(OdooError::of_fault(&fault, Some(query.fields().model()))),
        }
    }
}

/// `common.version()`: asked without a login.
pub(in crate::odoo) fn ask_version() -> Call<'static> {
    call(COMMON, version())
}

/// What it is answered with.
pub(in crate::odoo) fn told_version(answer: &Answer) -> Result<Value, OdooError> {
    match read_value(body(answer)?, answer.caps)? {
        Reply::Result(value) => Ok(value),
        Reply::Fault(fault) => Err(OdooError::of_fault(&fault, None)),
    }
}

fn call(path: &'static str, body: zeroize::Zeroizing<Vec<u8>>) -> Call<'static> {
    Call { path: path.into(), media: "text/xml", body, accepts: MEDIA, bearer: None, database: None }
}

fn login<'a>(caller: &Caller<'a>) -> Login<'a> {
    Login { database: caller.database, secret: caller.secret }
}

fn body<'a>(answer: &Answer<'a>) -> Result<&'a [u8], OdooError> {
    if answer.status == 200 && MEDIA.contains(&answer.media) {
        Ok(answer.body)
    } else {
        Err(answer.elsewhere())
    }
}
