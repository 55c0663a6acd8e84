//! One customer's Odoo, after one login. Whatever it is asked, it stops itself at the first refusal
//! of the credential: Odoo does not throttle such logins, and guessing is not ours.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::egress::{Answered, Egress, EgressError};
use crate::odoo::fault::OdooError;
use crate::odoo::query::ReadQuery;
use crate::odoo::record::Record;
use crate::odoo::xmlrpc::{self, Caps, Login, Reply, Value};
use crate::secret::Secret;

const COMMON: &str = "/xmlrpc/2/common";
const OBJECT: &str = "/xmlrpc/2/object";

/// Which database there, as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The database.
    pub database: String,
    /// The login.
    pub username: String,
}

/// A logged-in client. The secret goes with every call, as XML-RPC wants it, and is wiped with this.
pub struct Odoo {
    egress: Egress,
    database: String,
    secret: Secret,
    uid: i64,
    refused: AtomicBool,
    caps: Caps,
}

/// No login.
pub struct NotLoggedIn {
    /// Why.
    pub cause: OdooError,
    /// What it takes to try again, when nothing of the secret was sent.
    pub unsent: Option<Box<(Egress, Address, Secret)>>,
}

impl From<OdooError> for NotLoggedIn {
    fn from(cause: OdooError) -> Self {
        Self { cause, unsent: None }
    }
}

impl Odoo {
    /// Logs in, once. A refusal is final: once the secret was sent there is nothing to try again with.
    pub async fn login(egress: Egress, address: Address, secret: Secret) -> Result<Self, NotLoggedIn> {
        let login = Login { database: &address.database, secret: &secret };
        let call = xmlrpc::authenticate(&login, &address.username).map_err(OdooError::from)?;
        let answer = match post(&egress, COMMON, call).await {
            Ok(answer) => answer,
            Err(cause @ OdooError::Egress(EgressError::Connect | EgressError::HostNotPublic)) => {
                return Err(NotLoggedIn { cause, unsent: Some(Box::new((egress, address, secret))) });
            }
            Err(cause) => return Err(cause.into()),
        };
        Self::answered((egress, address, secret), &answer).map_err(NotLoggedIn::from)
    }

    /// The major version of the Odoo that answers there, asked without a login.
    pub(super) async fn version(egress: &Egress) -> Result<i64, OdooError> {
        let answer = post(egress, COMMON, xmlrpc::version()).await?;
        match xmlrpc::read_value(&answer, &Caps::default())? {
            Reply::Result(Value::Struct(members)) => major(&members).ok_or(OdooError::NotOdoo),
            Reply::Result(_) => Err(OdooError::NotOdoo),
            Reply::Fault(fault) => match OdooError::of_fault(&fault, None) {
                // Nobody has logged in yet.
                OdooError::LoginRefused | OdooError::NotAllowed => Err(OdooError::NotOdoo),
                error => Err(error),
            },
        }
    }

    /// The user's own id.
    pub(super) fn uid(&self) -> i64 {
        self.uid
    }

    fn answered(
        (egress, address, secret): (Egress, Address, Secret),
        answer: &[u8],
    ) -> Result<Self, OdooError> {
        let caps = Caps::default();
        let uid = match xmlrpc::read_value(answer, &caps)? {
            Reply::Result(Value::Int(uid)) if uid > 0 => uid,
            Reply::Result(Value::Bool(false)) => return Err(OdooError::LoginRefused),
            Reply::Result(_) => return Err(OdooError::Malformed),
            Reply::Fault(fault) => return Err(OdooError::of_fault(&fault, None)),
        };
        Ok(Self { egress, database: address.database, secret, uid, refused: AtomicBool::new(false), caps })
    }

    /// The records that `query` asks for.
    pub async fn fetch(&self, query: &ReadQuery) -> Result<Vec<Record>, OdooError> {
        if self.refused.load(Ordering::SeqCst) {
            return Err(OdooError::LoginRefused);
        }
        let login = Login { database: &self.database, secret: &self.secret };
        let call = xmlrpc::execute(&login, self.uid, query)?;
        let answer = post(&self.egress, OBJECT, call).await?;
        let mut records = Vec::new();
        let reply = xmlrpc::read_records(&answer, &self.caps, |members| {
            records.push(Record::of(members, query.fields())?);
            Ok::<(), OdooError>(())
        })?;
        match reply {
            Reply::Result(()) => Ok(records),
            Reply::Fault(fault) => {
                let error = OdooError::of_fault(&fault, Some(query.fields().model()));
                if error == OdooError::LoginRefused {
                    self.refused.store(true, Ordering::SeqCst);
                }
                Err(error)
            }
        }
    }
}

/// `server_version_info` begins with 17, or with "saas~17" on Odoo's own hosting.
fn major(members: &[(String, Value)]) -> Option<i64> {
    let info = members.iter().find(|(name, _)| name == "server_version_info");
    match info.map(|(_, value)| value) {
        Some(Value::Array(info)) => match info.first()? {
            Value::Int(major) => Some(*major),
            Value::Text(major) => major.strip_prefix("saas~").unwrap_or(major).parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

async fn post(
    egress: &Egress,
    path: &'static str,
    call: zeroize::Zeroizing<Vec<u8>>,
) -> Result<Vec<u8>, OdooError> {
    match egress.post(path, "text/xml", call).await {
        Ok(Answered { media, body }) if matches!(media.as_str(), "text/xml" | "application/xml") => Ok(body),
        Ok(_) => Err(OdooError::NotOdoo),
        // Odoo answers XML-RPC with 200 or not at all.
        Err(EgressError::Status(400..=428 | 430..=499)) => Err(OdooError::NotOdoo),
        Err(error) => Err(error.into()),
    }
}
