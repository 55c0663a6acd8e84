//! What server the stand-in is taken for, what stands before it, and how it treats what it is told. All of
//! it can be set while it serves.

use super::wire::Value;

/// See above. The default is what was recorded: Odoo 19.0 with one database and nothing before it.
#[derive(Clone, Debug)]
pub struct Settings {
    pub version: Version,
    pub front: Front,
    /// Databases beside `DATABASE`; none of them knows the bot.
    pub others: Vec<&'static str>,
    /// Of several databases none is chosen by the host's name, and the paths of XML-RPC and JSON-RPC are not
    /// there before one is: a server whose `server_wide_modules` leaves them out.
    pub hides_rpc: bool,
    /// What stands before it lets no `X-Odoo-Database` through.
    pub strips_database: bool,
    /// A plan without external API: the version is told, every login and call is refused. Not recorded.
    pub without_api: bool,
    /// The bot has a second factor: its password opens nothing but the browser's login.
    pub second_factor: bool,
    pub key: Key,
    pub echo: Option<Echo>,
    /// Answers come compressed to those who take that, as they do from behind many a proxy.
    pub gzip: bool,
    /// What the `Date` header says, in seconds since 1970; without, there is none, and nobody's clock is wrong.
    pub date: Option<i64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: Version::of(19),
            front: Front::Bare,
            others: Vec::new(),
            hides_rpc: false,
            strips_database: false,
            without_api: false,
            second_factor: false,
            key: Key::Good,
            echo: None,
            gzip: false,
            date: None,
        }
    }
}

/// Which Odoo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub major: i64,
    pub minor: i64,
    /// On its maker's own hosting, between two releases.
    pub is_online: bool,
}

impl Version {
    /// A release: `19.0`.
    pub const fn of(major: i64) -> Self {
        Self { major, minor: 0, is_online: false }
    }

    /// Odoo Online: `saas~18.2+e`.
    pub const fn online(major: i64, minor: i64) -> Self {
        Self { major, minor, is_online: true }
    }

    /// Whether it speaks JSON-2.
    pub fn has_json2(self) -> bool {
        self.major >= 19
    }

    /// Whether it speaks XML-RPC and JSON-RPC.
    pub fn has_rpc(self) -> bool {
        let last_online = (21, 0);
        self.major < 22 && !(self.is_online && (self.major, self.minor) > last_online)
    }

    /// Whether a browser's side is told the version without a call.
    pub fn has_web_version(self) -> bool {
        self.has_json2()
    }

    fn serie(self) -> String {
        format!("{}{}.{}", if self.is_online { "saas~" } else { "" }, self.major, self.minor)
    }

    /// `19.0`, `saas~18.2+e`.
    pub fn name(self) -> String {
        format!("{}{}", self.serie(), if self.is_online { "+e" } else { "" })
    }

    fn info(self) -> Value {
        let (major, edition) = match self.is_online {
            true => (Value::Text(format!("saas~{}", self.major)), "e"),
            false => (Value::Int(self.major), ""),
        };
        let rest = [Value::Int(self.minor), Value::Int(0), Value::text("final"), Value::Int(0)];
        Value::List([major].into_iter().chain(rest).chain([Value::text(edition)]).collect())
    }

    /// What `version()` answers.
    pub fn told(self) -> Value {
        Value::structure([
            ("server_version", Value::Text(self.name())),
            ("server_version_info", self.info()),
            ("server_serie", Value::Text(self.serie())),
            ("protocol_version", Value::Int(1)),
        ])
    }

    /// What `/web/version` answers.
    pub fn told_to_browsers(self) -> Value {
        Value::structure([("version_info", self.info()), ("version", Value::Text(self.name()))])
    }

    /// Whether that version has the field, of those that came or went.
    pub fn has_field(self, model: &str, field: &str) -> bool {
        match (model, field) {
            ("res.users", "groups_id") => self.major < 19,
            ("res.users", "group_ids" | "all_group_ids") => self.major >= 19,
            ("res.users.apikeys", "expiration_date") => self.major >= 18,
            _ => true,
        }
    }
}

/// What stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// Nothing.
    Bare,
    /// A proxy that answers for paths that begin so: with this status, such as `403 Forbidden`, and a page.
    Closed(&'static [&'static str], &'static str),
    /// A proxy that answers with this status and a page whoever logs in, and lets everything else through.
    Guarded(&'static str),
    /// A proxy whose server is down.
    Down,
    /// Every path leads to where a database is chosen.
    Selector,
    /// Every path shows a login page, with 200.
    LoginPage,
}

/// JSON-RPC is closed off; what else there is, is open.
pub const NO_JSON_RPC: Front = Front::Closed(&["/jsonrpc"], "403 Forbidden");

/// What is the matter with the bot's API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Good,
    Expired,
    /// Made for something else than RPC.
    Scoped,
}

/// Sends the caller's own secret back.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    pub place: Place,
    pub coding: Coding,
    /// In the answer to the login too, where there is one.
    pub at_login: bool,
}

/// Where the secret stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the first field of each record.
    Value,
    /// The same, compressed, whether the caller takes that or not.
    Gzip,
    Fault,
    Header,
    /// A proxy's page, with 502.
    Page,
    /// Where a redirect leads.
    Redirect,
}

/// How it is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Raw,
    /// As JSON may write it, `\u0159`, and the same in a text.
    Escaped,
    Base64,
    Hex,
    /// `%35`, every byte.
    Percent,
    /// On the wire in escapes alone, `\u0035` or `&#x35;`: raw to whoever has read the answer.
    Hidden,
}

impl Place {
    pub const ALL: [Self; 6] =
        [Self::Value, Self::Gzip, Self::Fault, Self::Header, Self::Page, Self::Redirect];
}

impl Coding {
    pub const ALL: [Self; 6] =
        [Self::Raw, Self::Escaped, Self::Base64, Self::Hex, Self::Percent, Self::Hidden];
}
