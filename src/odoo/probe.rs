//! What a server tells without a login: which version it is, first where Odoo 19 and later tell it, then by JSON-RPC,
//! then by XML-RPC; and whether a dialect is spoken there, so that no secret goes where it is not.

use crate::egress::{Ask, Egress, EgressError};
use crate::odoo::caps::Caps;
use crate::odoo::dialect::{DialectName, Reply};
use crate::odoo::exchange::{Received, received, send};
use crate::odoo::fault::OdooError;
use crate::odoo::json::{JsonError, Reader};
use crate::odoo::servers::{Door, Server};
use crate::odoo::version::Version;
use crate::odoo::{json2, jsonrpc, xmlrpc};

const WEB_VERSION: &str = "/web/version";
const JSON: &str = "application/json";
/// There is one question, and one answer.
const NUMBER: i64 = 1;

/// The server that `egress` reaches.
pub(super) async fn probe(egress: &Egress) -> Result<Server, OdooError> {
    let by_web = match by_web(egress).await {
        Ok(version) => return Ok(Server::of(version)),
        Err(error) if ends(error) => return Err(error),
        Err(error) => error,
    };
    let by_json_rpc = match by_json_rpc(egress).await {
        Ok(version) => return Ok(Server::of(version).with(DialectName::JsonRpc)),
        Err(error) if ends(error) => return Err(error),
        Err(error) => error,
    };
    match by_xml_rpc(egress).await {
        Ok(version) => {
            let server = Server::of(version).with(DialectName::XmlRpc);
            Ok(match closes(by_json_rpc) {
                Some(why) => server.closed(DialectName::JsonRpc, why),
                None => server,
            })
        }
        // Nobody has logged in yet, and nobody knows what it is.
        Err(
            error @ (OdooError::LoginRefused
            | OdooError::NotAllowed
            | OdooError::ApiClosed
            | OdooError::KeptOut
            | OdooError::NotOdoo),
        ) => match [by_web, by_json_rpc, error].contains(&OdooError::KeptOut) {
            true => Err(OdooError::KeptOut),
            false => Err(OdooError::NotOdoo),
        },
        Err(error) => Err(error),
    }
}

/// What stands where `dialect` is spoken, for that database.
pub(super) async fn knock(egress: &Egress, dialect: DialectName, database: &str) -> Result<Door, OdooError> {
    let told = match dialect {
        DialectName::Json2 => by_json_2(egress, database).await,
        DialectName::JsonRpc => by_json_rpc(egress).await.map(drop),
        DialectName::XmlRpc => by_xml_rpc(egress).await.map(drop),
    };
    match told {
        Ok(()) => Ok(Door::Open),
        Err(error) => closes(error).map(Door::Closed).ok_or(error),
    }
}

/// Why nobody gets in there, if that is so for a while; else it says nothing of the path.
fn closes(error: OdooError) -> Option<OdooError> {
    match error {
        OdooError::Egress(EgressError::Redirected(_) | EgressError::TooLarge)
        | OdooError::ApiClosed
        | OdooError::KeptOut
        | OdooError::NotOdoo
        | OdooError::NotAllowed
        | OdooError::DatabaseNotSelected
        | OdooError::Unspeakable
        | OdooError::Malformed => Some(error),
        OdooError::Egress(_) | OdooError::ServerFailed => None,
        // Nobody has logged in yet.
        _ => Some(OdooError::NotOdoo),
    }
}

/// Whether another path would fare no better.
fn ends(error: OdooError) -> bool {
    match error {
        OdooError::Egress(EgressError::Redirected(_) | EgressError::TooLarge) => false,
        OdooError::Egress(EgressError::Status(status)) => status == 429,
        OdooError::Egress(_) | OdooError::DatabaseNotSelected => true,
        _ => false,
    }
}

async fn by_json_2(egress: &Egress, database: &str) -> Result<(), OdooError> {
    let answer = send(egress, json2::knock(database)?).await?;
    json2::knocked(&reply(&answer, &Caps::default()))
}

async fn by_web(egress: &Egress) -> Result<Version, OdooError> {
    let ask = Ask { path: WEB_VERSION, body: None, accepts: &[JSON], bearer: None, headers: &[] };
    let answer = received(egress.call(ask).await?).await?;
    let caps = Caps::default();
    let reply = answer.reply(NUMBER, &caps);
    if reply.status != 200 || reply.media != JSON {
        return Err(reply.elsewhere());
    }
    let mut reader = Reader::begin(reply.body, &caps)?;
    let mut version = None;
    read_member(&mut reader, 0, "version_info", &mut version)?;
    reader.end()?;
    version.ok_or(OdooError::NotOdoo)
}

async fn by_json_rpc(egress: &Egress) -> Result<Version, OdooError> {
    let answer = send(egress, jsonrpc::version(NUMBER)).await?;
    if answer.is_missing_until_a_database_is_chosen() {
        return Err(OdooError::DatabaseNotSelected);
    }
    let mut version = None;
    jsonrpc::result(&reply(&answer, &Caps::default()), None, |reader, depth| {
        read_member(reader, depth, "server_version_info", &mut version)
    })?;
    version.ok_or(OdooError::NotOdoo)
}

async fn by_xml_rpc(egress: &Egress) -> Result<Version, OdooError> {
    let answer = send(egress, xmlrpc::ask_version()).await?;
    if answer.is_missing_until_a_database_is_chosen() {
        return Err(OdooError::DatabaseNotSelected);
    }
    let told = xmlrpc::told_version(&reply(&answer, &Caps::default()))?;
    Version::of_value(&told).ok_or(OdooError::NotOdoo)
}

fn reply<'a>(answer: &'a Received, caps: &'a Caps) -> Reply<'a> {
    answer.reply(NUMBER, caps)
}

fn read_member(
    reader: &mut Reader,
    depth: usize,
    wanted: &str,
    version: &mut Option<Version>,
) -> Result<(), JsonError> {
    reader.members(depth, |reader, name, depth| {
        if name == wanted {
            *version = Version::read_info(reader, depth)?;
            return Ok(());
        }
        reader.skip(depth)
    })
}
