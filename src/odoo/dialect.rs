//! What the three ways to speak to an Odoo have in common: how a login or a read becomes one request, and what
//! its answer comes to. Which methods there are is [`Method`](crate::odoo::Method)'s alone; a dialect spells them.

use std::borrow::Cow;
use std::fmt;

use zeroize::Zeroizing;

use crate::odoo::caps::Caps;
use crate::odoo::fault::OdooError;
use crate::odoo::json2::Json2;
use crate::odoo::jsonrpc::JsonRpc;
use crate::odoo::query::ReadQuery;
use crate::odoo::record::Record;
use crate::odoo::xmlrpc::XmlRpc;
use crate::secret::Secret;

/// Which of them, the one to be preferred first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DialectName {
    /// `/json/2`: Odoo 19 and later, with an API key.
    Json2,
    /// `/jsonrpc`: until Odoo 21.
    JsonRpc,
    /// `/xmlrpc/2`: until Odoo 21.
    XmlRpc,
}

impl DialectName {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Json2, Self::JsonRpc, Self::XmlRpc];

    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json2 => "json-2",
            Self::JsonRpc => "json-rpc",
            Self::XmlRpc => "xml-rpc",
        }
    }

    pub(super) fn speak(self) -> &'static dyn Dialect {
        match self {
            Self::Json2 => &Json2,
            Self::JsonRpc => &JsonRpc,
            Self::XmlRpc => &XmlRpc,
        }
    }
}

impl fmt::Display for DialectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json2 => "JSON-2",
            Self::JsonRpc => "JSON-RPC",
            Self::XmlRpc => "XML-RPC",
        })
    }
}

/// Who calls, in which database, and which of this client's calls it is. Holds a secret: neither printed nor cloned.
pub(super) struct Caller<'a> {
    pub database: &'a str,
    pub username: &'a str,
    pub secret: &'a Secret,
    pub number: i64,
}

/// One request. May hold a secret: neither printed nor cloned.
pub(super) struct Call<'a> {
    pub path: Cow<'static, str>,
    /// Of the body, which is wiped once it is sent.
    pub media: &'static str,
    pub body: Zeroizing<Vec<u8>>,
    /// The media types of which an answer is read.
    pub accepts: &'static [&'static str],
    /// Shown in the head.
    pub bearer: Option<&'a Secret>,
    /// Named in the head.
    pub database: Option<&'a str>,
}

/// What a call was answered with, read to its end.
pub(super) struct Reply<'a> {
    pub status: u16,
    pub media: &'a str,
    pub body: &'a [u8],
    /// The number of the call that it must be the answer to.
    pub number: i64,
    pub caps: &'a Caps,
}

/// One way to speak to an Odoo.
pub(super) trait Dialect: Sync {
    /// Asks for the id of the user whose credential it is.
    fn log_in<'a>(&self, caller: &Caller<'a>) -> Result<Call<'a>, OdooError>;

    /// The user's id.
    fn logged_in(&self, reply: &Reply) -> Result<i64, OdooError>;

    /// Asks for records, as the user of that id.
    fn read<'a>(&self, caller: &Caller<'a>, uid: i64, query: &ReadQuery) -> Result<Call<'a>, OdooError>;

    /// Hands on each record as soon as it is whole.
    fn records(
        &self,
        reply: &Reply,
        query: &ReadQuery,
        take: &mut dyn FnMut(Record),
    ) -> Result<(), OdooError>;
}

impl Reply<'_> {
    /// Where an answer of this status and media type is none of Odoo's.
    pub(super) fn elsewhere(&self) -> OdooError {
        match self.status {
            200 => OdooError::NotOdoo,
            // Theirs who do not have the path.
            404 | 405 | 410 => OdooError::ApiClosed,
            // Theirs who do not let everybody to it.
            401 | 403 | 451 => OdooError::KeptOut,
            400..=428 | 430..=499 => OdooError::NotOdoo,
            status => OdooError::Egress(crate::egress::EgressError::Status(status)),
        }
    }
}
