//! Which Odoo: what its version tells of how it can be spoken to. Made of numbers alone; of what a server said,
//! nothing is quoted.

use std::fmt;

use crate::credential::CredentialKind;
use crate::odoo::dialect::DialectName;
use crate::odoo::json::{JsonError, Reader};
use crate::odoo::xmlrpc::Value;

/// A version of Odoo, in the order that they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u8,
    minor: u8,
    /// Between two releases, on its maker's own hosting.
    is_online: bool,
}

impl Version {
    /// `19.0` is of 19 and 0.
    pub const fn of(major: u8, minor: u8) -> Self {
        Self { major, minor, is_online: false }
    }

    /// `saas~18.2` is of 18 and 2.
    pub const fn online(major: u8, minor: u8) -> Self {
        Self { major, minor, is_online: true }
    }

    /// `19`.
    pub fn major(self) -> u8 {
        self.major
    }

    /// The dialects to try with a credential of that kind, the best one first.
    pub fn dialects(self, kind: CredentialKind) -> Vec<DialectName> {
        let has_json2 = self.major >= 19 && kind == CredentialKind::ApiKey;
        // Announced: the last ones are 21.0 and, online, 21.0.
        let has_rpc = self.major < 22 && !(self.is_online && (self.major, self.minor) > (21, 0));
        let is_there = |dialect: &DialectName| match dialect {
            DialectName::Json2 => has_json2,
            DialectName::JsonRpc | DialectName::XmlRpc => has_rpc,
        };
        DialectName::ALL.iter().copied().filter(is_there).collect()
    }

    /// `[19, 0, 0, "final", 0, ""]`, or `["saas~18", 2, …]`.
    pub(super) fn read_info(reader: &mut Reader, depth: usize) -> Result<Option<Self>, JsonError> {
        let (mut place, mut major, mut minor) = (0, None, None);
        reader.items(depth, |reader, depth| {
            place += 1;
            match place {
                1 if reader.is_text() => major = of_text(&reader.text()?),
                1 => major = u8::try_from(reader.int()?).ok().map(|major| (major, false)),
                2 => minor = u8::try_from(reader.int()?).ok(),
                _ => reader.skip(depth)?,
            }
            Ok::<(), JsonError>(())
        })?;
        Ok(Self::from_parts(major, minor))
    }

    /// The same, as `server_version_info` of what XML-RPC answers.
    pub(super) fn of_value(told: &Value) -> Option<Self> {
        let Value::Struct(members) = told else { return None };
        let (_, info) = members.iter().find(|(name, _)| name == "server_version_info")?;
        let Value::Array(info) = info else { return None };
        let major = match info.first()? {
            Value::Int(major) => u8::try_from(*major).ok().map(|major| (major, false)),
            Value::Text(major) => of_text(major),
            _ => None,
        };
        let minor = match info.get(1)? {
            Value::Int(minor) => u8::try_from(*minor).ok(),
            _ => None,
        };
        Self::from_parts(major, minor)
    }

    fn from_parts(major: Option<(u8, bool)>, minor: Option<u8>) -> Option<Self> {
        let (major, is_online) = major.filter(|(major, _)| *major > 0)?;
        Some(Self { major, minor: minor?, is_online })
    }
}

/// The major version, and whether it is one of those between releases.
fn of_text(text: &str) -> Option<(u8, bool)> {
    match text.strip_prefix("saas~") {
        Some(major) => major.parse().ok().map(|major| (major, true)),
        None => text.parse().ok().map(|major| (major, false)),
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let online = if self.is_online { "saas~" } else { "" };
        write!(f, "{online}{}.{}", self.major, self.minor)
    }
}
