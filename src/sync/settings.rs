//! What the worker is told: `PAWL_*` of its own, the vault's tolerated, anything else refused by name.
//! The token is a secret from the moment it is read.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::{VAULT_SETTINGS, WORKER_SETTINGS, environment_settings};
use crate::egress::Exceptions;
use crate::secret::Secret;
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
    /// The bearer token.
    pub token: Secret,
    /// The file of certificates that alone vouch for the vault.
    pub ca: Option<PathBuf>,
    /// Hosts of Odoo that may be private or plain http.
    pub egress_allow: Exceptions,
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
        let token = token(given.remove("token"), given.remove("token_file").as_deref())
            .map_err(|refused| wrong.push(refused))
            .ok();
        let egress_allow = match given.remove("egress_allow").as_deref().map(str::parse) {
            None => Exceptions::default(),
            Some(parsed) => parsed.unwrap_or_else(|refused| {
                wrong.push(format!("PAWL_EGRESS_ALLOW: {refused}"));
                Exceptions::default()
            }),
        };
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
        match (vault, token) {
            (Some(vault), Some(token)) if wrong.is_empty() => {
                Ok(Self { vault, token, ca, egress_allow, log, log_format })
            }
            _ => Err(SettingsRefused(wrong)),
        }
    }
}

fn token(direct: Option<String>, file: Option<&str>) -> Result<Secret, String> {
    let direct = direct.map(Secret::new);
    let token = match (direct, file) {
        (Some(_), Some(_)) => return Err("PAWL_TOKEN and PAWL_TOKEN_FILE are both set: set one".into()),
        (None, None) => return Err("PAWL_TOKEN or PAWL_TOKEN_FILE must be set".into()),
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
