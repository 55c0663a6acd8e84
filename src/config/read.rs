//! How settings are read: texts by name, each held against its rule, everything wrong collected.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::{Database, KeySourceName, PREFIX, VAULT_SETTINGS};
use crate::access::{MAX_RATE, Rates};
use crate::egress::Proxy;
use crate::secret::Secret;
use crate::telemetry::OtlpEndpoint;

pub(super) struct Settings {
    pub(super) given: BTreeMap<String, String>,
    pub(super) wrong: Vec<String>,
}

impl Settings {
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let text = self.given.remove(name)?;
        if text.is_empty() {
            self.wrong.push(format!("{} is empty", spoken(name)));
            return None;
        }
        Some(text)
    }

    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)], default: T) -> T {
        let Some(text) = self.text(name) else { return default };
        match choices.iter().find(|(choice, _)| *choice == text) {
            Some((_, value)) => *value,
            None => {
                let all: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
                self.wrong.push(format!("{} must be {}", spoken(name), all.join(" or ")));
                default
            }
        }
    }

    pub(super) fn address(&mut self, name: &str) -> Option<SocketAddr> {
        let text = self.text(name)?;
        let rule = || format!("{} must be an IP address and a port, such as 127.0.0.1:7295", spoken(name));
        text.parse().map_err(|_| self.wrong.push(rule())).ok()
    }

    /// A database's address, from the setting or from the file that `NAME_file` names.
    pub(super) fn database(&mut self, name: &str) -> Option<Database> {
        let text = self.secret(name)?;
        Database::parse(text).map_err(|refused| self.wrong.push(format!("{} {refused}", spoken(name)))).ok()
    }

    pub(super) fn egress_proxy(&mut self) -> Option<Proxy> {
        let text = self.secret("egress_proxy")?;
        Proxy::parse(&text).map_err(|refused| self.wrong.push(format!("PAWL_EGRESS_PROXY {refused}"))).ok()
    }

    fn secret(&mut self, name: &str) -> Option<Secret> {
        secret(&mut self.given, name).map_err(|wrong| self.wrong.push(wrong)).ok().flatten()
    }

    pub(super) fn key_source(&mut self) -> Option<KeySourceName> {
        let text = self.text("key_source")?;
        KeySourceName::parse(&text).map_err(|rule| self.wrong.push(format!("PAWL_KEY_SOURCE {rule}"))).ok()
    }

    /// Seconds of 1 to a day.
    pub(super) fn seconds(&mut self, name: &str) -> Option<Duration> {
        let text = self.text(name)?;
        let seconds = text.parse::<u64>().ok().filter(|seconds| (1..=86_400).contains(seconds));
        if seconds.is_none() {
            self.wrong.push(format!("{} must be a whole number from 1 to 86400", spoken(name)));
        }
        seconds.map(Duration::from_secs)
    }

    /// A number of 1 to a million.
    pub(super) fn cap(&mut self, name: &str) -> Option<i64> {
        self.count(name, 1..=1_000_000)
    }

    /// A number within `range`.
    pub(super) fn count(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let text = self.text(name)?;
        let count = text.parse::<i64>().ok().filter(|count| range.contains(count));
        if count.is_none() {
            let (least, most) = range.into_inner();
            self.wrong.push(format!("{} must be a whole number from {least} to {most}", spoken(name)));
        }
        count
    }

    /// In bytes.
    pub(super) fn audit_reserve(&mut self) -> u64 {
        let mib = self.count("audit_reserve_mib", 0..=1_048_576).unwrap_or(256);
        u64::try_from(mib).unwrap_or(0) * 1024 * 1024
    }

    pub(super) fn rates(&mut self) -> Rates {
        Rates { reads: self.rate("reads_per_second", 1000), writes: self.rate("writes_per_second", 500) }
    }

    fn rate(&mut self, name: &str, default: u32) -> NonZeroU32 {
        let text = self.text(name).unwrap_or_else(|| default.to_string());
        let rate = text.parse().ok().filter(|rate: &NonZeroU32| rate.get() <= MAX_RATE);
        if rate.is_none() {
            self.wrong.push(format!("{} must be a whole number from 1 to {MAX_RATE}", spoken(name)));
        }
        rate.unwrap_or(NonZeroU32::MIN)
    }

    /// What has a rule of its own; the default when it is absent.
    pub(super) fn parsed<T: FromStr<Err: Display> + Default>(&mut self, name: &str) -> T {
        let parsed = self.text(name).map(|text| text.parse());
        match parsed {
            Some(Ok(value)) => value,
            Some(Err(refused)) => {
                self.wrong.push(format!("{}: {refused}", spoken(name)));
                T::default()
            }
            None => T::default(),
        }
    }

    pub(super) fn otlp_endpoint(&mut self) -> Option<OtlpEndpoint> {
        let text = self.text("otlp_endpoint")?;
        OtlpEndpoint::parse(&text)
            .map_err(|refused| self.wrong.push(format!("PAWL_OTLP_ENDPOINT {refused}")))
            .ok()
    }
}

/// What may hold a secret: from the setting, or from the file that `NAME_file` names.
pub fn secret(given: &mut BTreeMap<String, String>, name: &str) -> Result<Option<Secret>, String> {
    match (given.remove(name), given.remove(&format!("{name}_file"))) {
        (Some(_), Some(_)) => Err(format!("{0} and {0}_FILE are both set: set one", spoken(name))),
        (Some(text), None) if text.is_empty() => Err(format!("{} is empty", spoken(name))),
        (Some(text), None) => Ok(Some(Secret::new(text))),
        (None, Some(path)) => match std::fs::read_to_string(path).map(Secret::new) {
            Ok(text) => Ok(Some(Secret::new(text.expose().trim_end().to_owned()))),
            Err(e) => Err(format!("{}_FILE can't be read: {e}", spoken(name))),
        },
        (None, None) => Ok(None),
    }
}

fn spoken(name: &str) -> String {
    format!("{PREFIX}{}", name.to_uppercase())
}

pub(super) fn file_settings(file: &str, wrong: &mut Vec<String>) -> BTreeMap<String, String> {
    let table: toml::Table = match file.parse() {
        Ok(table) => table,
        Err(_) => {
            wrong.push("pawl.toml is not TOML".into());
            return BTreeMap::new();
        }
    };
    let mut given = BTreeMap::new();
    for (name, value) in table {
        match value {
            _ if !VAULT_SETTINGS.iter().any(|(known, _)| *known == name) => {
                wrong.push(format!("pawl.toml: {name} is no setting; `pawl serve --help` lists them"));
            }
            toml::Value::String(text) => {
                given.insert(name, text);
            }
            _ => wrong.push(format!("pawl.toml: {name} must be a text in quotes")),
        }
    }
    given
}

/// The settings of `known` that `environment` gives. A `PAWL_` name that neither `known` nor
/// `tolerated` (the other program's) has is wrong, by name.
pub fn environment_settings(
    environment: impl Iterator<Item = (String, std::ffi::OsString)>,
    known: &[(&str, &str)],
    tolerated: &[(&str, &str)],
    wrong: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let has = |names: &[(&str, &str)], name: &str| names.iter().any(|(n, _)| *n == name);
    let mut given = BTreeMap::new();
    for (variable, value) in environment {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        let lower = name.to_lowercase();
        if spoken(&lower) != variable || !(has(known, &lower) || has(tolerated, &lower)) {
            wrong.push(format!("{variable} is no setting; --help lists them"));
        } else if has(known, &lower) {
            match value.into_string() {
                Ok(text) => {
                    given.insert(lower, text);
                }
                Err(_) => wrong.push(format!("{variable} is not UTF-8")),
            }
        }
    }
    given
}
