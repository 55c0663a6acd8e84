//! Asks a server which version it is, without a login: first where Odoo 19 and later tell it, then by JSON-RPC,
//! then by XML-RPC.

use crate::egress::{Ask, Egress, EgressError};
use crate::odoo::caps::Caps;
use crate::odoo::dialect::{DialectName, Reply};
use crate::odoo::exchange::{Received, received, send};
use crate::odoo::fault::OdooError;
use crate::odoo::json::{JsonError, Reader};
use crate::odoo::servers::Server;
use crate::odoo::version::Version;
use crate::odoo::{jsonrpc, xmlrpc};

const WEB_VERSION: &str = "/web/version";
const JSON: &str = "application/json";
/// There is one question, and one answer.
const NUMBER: i64 = 1;

/// The server that `egress` reaches.
pub(super) async fn probe(egress: &Egress) -> Result<Server, OdooError> {
    match by_web(egress).await {
        Ok(version) => return Ok(Server::of(version)),
        Err(error) if ends(error) => return Err(error),
        Err(_) => {}
    }
    let is_closed = match by_json_rpc(egress).await {
        Ok(version) => return Ok(Server::of(version)),
        Err(error) if ends(error) => return Err(error),
        Err(error) => error == OdooError::ApiClosed,
    };
    match by_xml_rpc(egress).await {
        Ok(version) if is_closed => Ok(Server::of(version).without(DialectName::JsonRpc)),
        Ok(version) => Ok(Server::of(version)),
        // Nobody has logged in yet, and nobody knows what it is.
        Err(OdooError::LoginRefused | OdooError::NotAllowed | OdooError::ApiClosed) => {
            Err(OdooError::NotOdoo)
        }
        Err(error) => Err(error),
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
