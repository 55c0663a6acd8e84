//! What the worker is told: `PAWL_*` of its own, the vault's tolerated, anything else refused by name.
//! A token is a secret from the moment it is read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::{VAULT_SETTINGS, WORKER_SETTINGS, environment_settings, secret};
use crate::egress::{Exceptions, Nat64, Ports, Proxy};
use crate::ids::{ClientId, OrgId, UserId};
use crate::secret::Secret;
use crate::sync::client::Client;
use crate::sync::identity::Identity;
use crate::sync::vault_url::VaultUrl;
use crate::telemetry::LogFormat;

/// Everything that is wrong with the settings, each named. Quotes no value.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsRefused(pub Vec<String>);

/// The worker's settings. Holds a secret: neither printed nor cloned.
pub struct Settings {
    /// Where the vault listens.
    pub vault: VaultUrl,
    /// What it shows to the vault.
    pub identity: Identity,
    /// The file of certificates that alone vouch for the vault.
    pub ca: Option<PathBuf>,
    /// Hosts of Odoo that may be private or plain http.
    pub egress_allow: Exceptions,
    /// The ports of public hosts that are called.
    pub egress_ports: Ports,
    /// Where a NAT64 leads to IPv4.
    pub egress_nat64: Nat64,
    /// The proxy that leads to them.
    pub egress_proxy: Option<Proxy>,
    /// The log filter.
    pub log: String,
    /// What its lines look like.
    pub log_format: LogFormat,
}

impl Settings {
    /// Reads this process's environment.
    pub fn load() -> Result<Self, SettingsRefused> {
        Self::from(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))))
    }

    /// The settings that `environment` makes.
    pub fn from(environment: impl Iterator<Item = (String, OsString)>) -> Result<Self, SettingsRefused> {
        let mut wrong = Vec::new();
        let mut given = environment_settings(environment, WORKER_SETTINGS, VAULT_SETTINGS, &mut wrong);
        let url = given.remove("url").unwrap_or_else(|| "http://127.0.0.1:7295".into());
        let vault = VaultUrl::parse(&url).map_err(|refused| wrong.push(format!("PAWL_URL {refused}"))).ok();
        let identity = identity(&mut given, &mut wrong);
        let egress_allow = match given.remove("egress_allow").as_deref().map(str::parse) {
            None => Exceptions::default(),
            Some(parsed) => parsed.unwrap_or_else(|refused| {
                wrong.push(format!("PAWL_EGRESS_ALLOW: {refused}"));
                Exceptions::default()
            }),
        };
        let egress_ports = match given.remove("egress_ports").as_deref().map(str::parse) {
            None => Ports::default(),
            Some(parsed) => parsed.unwrap_or_else(|refused| {
                wrong.push(format!("PAWL_EGRESS_PORTS: {refused}"));
                Ports::default()
            }),
        };
        let egress_nat64 = match given.remove("egress_nat64").as_deref().map(str::parse) {
            None => Nat64::default(),
            Some(parsed) => parsed.unwrap_or_else(|refused| {
                wrong.push(format!("PAWL_EGRESS_NAT64: {refused}"));
                Nat64::default()
            }),
        };
        let egress_proxy = secret(&mut given, "egress_proxy").and_then(|text| {
            let parsed = text.as_ref().map(Proxy::parse).transpose();
            parsed.map_err(|refused| format!("PAWL_EGRESS_PROXY {refused}"))
        });
        let egress_proxy = egress_proxy.map_err(|refused| wrong.push(refused)).ok().flatten();
        // A worker does not know its org, so such an entry would never match.
        if egress_allow.any_with_org() {
            wrong.push("PAWL_EGRESS_ALLOW: the worker takes no ORG@: what it is lent is of one org".into());
        }
        let log = given.remove("log").unwrap_or_else(|| "warn".into());
        let log_format = match given.remove("log_format") {
            None => LogFormat::Text,
            Some(name) => LogFormat::named(&name).unwrap_or_else(|| {
                wrong.push("PAWL_LOG_FORMAT must be text or json".into());
                LogFormat::Text
            }),
        };
        let ca = given.remove("ca").map(PathBuf::from);
        match (vault, identity) {
            (Some(vault), Some(identity)) if wrong.is_empty() => Ok(Self {
                vault,
                identity,
                ca,
                egress_allow,
                egress_ports,
                egress_nat64,
                egress_proxy,
                log,
                log_format,
            }),
            _ => Err(SettingsRefused(wrong)),
        }
    }
}

/// A token, or a client's id and key.
fn identity(given: &mut BTreeMap<String, String>, wrong: &mut Vec<String>) -> Option<Identity> {
    let (token, file) = (given.remove("token").map(Secret::new), given.remove("token_file"));
    let (id, key) = (given.remove("client_id"), given.remove("client_key_file"));
    let (org, user) = (given.remove("org"), given.remove("user"));
    let whom = [("PAWL_ORG", org.is_some()), ("PAWL_USER", user.is_some())];
    match (id, key) {
        (None, None) => {
            let told = whom.iter().filter(|(_, is_set)| *is_set);
            wrong.extend(
                told.map(|(name, _)| format!("{name} is for a client's key: a token says so itself")),
            );
            self::token(token, file.as_deref())
                .map_err(|refused| wrong.push(refused))
                .ok()
                .map(Identity::Token)
        }
        (Some(_), Some(_)) if token.is_some() || file.is_some() => {
            wrong.push("a token and a client's key are both set: set one".into());
            None
        }
        (Some(id), Some(key)) => {
            let mut refuse = |name: &str, refused: String| wrong.push(format!("{name} {refused}"));
            let id = ClientId::parse(&id).map_err(|e| refuse("PAWL_CLIENT_ID", e.to_string())).ok();
            let org = org.map(|org| OrgId::parse(&org)).transpose();
            let org = org.map_err(|e| refuse("PAWL_ORG", e.to_string())).ok();
            let user = user.map(|user| UserId::parse(&user)).transpose();
            let user = user.map_err(|e| refuse("PAWL_USER", e.to_string())).ok();
            let client = Client::read(id?, Path::new(&key), (org?, user?));
            client.map_err(|e| refuse("PAWL_CLIENT_KEY_FILE", e.to_string())).ok().map(Identity::Client)
        }
        _ => {
            wrong.push("PAWL_CLIENT_ID and PAWL_CLIENT_KEY_FILE go together: set both".into());
            None
        }
    }
}

fn token(direct: Option<Secret>, file: Option<&str>) -> Result<Secret, String> {
    let token = match (direct, file) {
        (Some(_), Some(_)) => return Err("PAWL_TOKEN and PAWL_TOKEN_FILE are both set: set one".into()),
        (None, None) => {
            return Err(
                "PAWL_TOKEN, PAWL_TOKEN_FILE or PAWL_CLIENT_ID with PAWL_CLIENT_KEY_FILE must be set".into(),
            );
        }
        (Some(token), None) => token,
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|e| format!("PAWL_TOKEN_FILE: {e}"))?;
            let text = Secret::new(text);
            Secret::new(text.expose().trim_end().to_owned())
        }
    };
    let is_token = |b: u8| b.is_ascii_graphic();
    if token.expose().is_empty() || !token.expose().bytes().all(is_token) {
        return Err("the token is empty or holds what no token holds".into());
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: &[(&str, &str)]) -> Vec<String> {
        let all = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
        Settings::from(all).err().map(|refused| refused.0).unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_is_named_and_no_value_is_quoted() {
        assert!(refused(&[("PAWL_TOKEN", "abc"), ("PAWL_DATA_DIR", "the vault's")]).is_empty());
        for (settings, named) in [
            (vec![], "PAWL_TOKEN"),
            (vec![("PAWL_TOKEN", "abc"), ("PAWL_TOKEN_FILE", "/x")], "both"),
            (vec![("PAWL_TOKEN", "abc"), ("PAWL_ORG", "words")], "PAWL_ORG"),
            (vec![("PAWL_CLIENT_ID", "words")], "PAWL_CLIENT_KEY_FILE"),
            (vec![("PAWL_CLIENT_ID", "a"), ("PAWL_CLIENT_KEY_FILE", "/x"), ("PAWL_TOKEN", "words")], "both"),
            (
                vec![("PAWL_CLIENT_ID", "a"), ("PAWL_CLIENT_KEY_FILE", "/no/words")],
                "PAWL_CLIENT_KEY_FILE can't",
            ),
            (vec![("PAWL_CLIENT_ID", ""), ("PAWL_CLIENT_KEY_FILE", "/x")], "PAWL_CLIENT_ID"),
            (vec![("PAWL_TOKEN", "two words")], "token"),
            (vec![("PAWL_TOKEN", "abc"), ("PAWL_TOKN", "words")], "PAWL_TOKN"),
            (vec![("PAWL_TOKEN", "abc"), ("PAWL_URL", "http://vault.words")], "loopback"),
            (vec![("PAWL_TOKEN", "abc"), ("PAWL_URL", "ftp://words")], "https"),
            (vec![("PAWL_TOKEN", "abc"), ("PAWL_EGRESS_ALLOW", "words@odoo.lan")], "ORG@"),
        ] {
            let wrong = refused(&settings).join("\n");
            assert!(wrong.contains(named), "{settings:?}: {wrong}");
            assert!(!wrong.contains("words"), "{wrong}");
        }
    }
}
