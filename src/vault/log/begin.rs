//! A log begins: a key is made for it, and sealed; its origin names the vault and the log.

use url::Url;

use crate::audit::{AuditEvent, LogKey, VerifierKey};
use crate::clock::Moment;
use crate::config::NO_PUBLIC_URL;
use crate::ids::{KeyId, LogId};
use crate::seal::{Binding, Keyring, OpenRefused};
use crate::store::{LogRow, Upkeep};
use crate::vault::log::LogRefused;
use crate::vault::log::follows::Follows;

/// What is on record when a log begins: its id as the subject, and `public_key`.
pub(in crate::vault) const BEGIN: &str = "audit.begin_log";

/// A log's key that is sealed and stays shut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogShut {
    /// It does not open, or not with the keys held.
    #[error("the log's key does not open: {0}")]
    Shut(OpenRefused, KeyId),
    /// There is none.
    #[error("the log is gone")]
    Gone,
    /// It opened to something else than the log says.
    #[error("the log's key is damaged")]
    Damaged,
}

/// Whose logs they are: the host of the public URL.
pub fn origin_host(issuer: &str) -> String {
    let host = (issuer != NO_PUBLIC_URL).then(|| Url::parse(issuer).ok()).flatten();
    host.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| "pawl".into())
}

/// Begins a log, on record: it is the one in use from now on.
pub fn begin_log(tx: &mut Upkeep, ring: &Keyring, host: &str, now: Moment) -> Result<LogRow, LogRefused> {
    begin_after(tx, (ring, host), &Follows::default(), now)
}

/// Begins one that goes on from `follows`.
pub(super) fn begin_after(
    tx: &mut Upkeep,
    (ring, host): (&Keyring, &str),
    follows: &Follows,
    now: Moment,
) -> Result<LogRow, LogRefused> {
    let follows = follows.text();
    let id = LogId::new(now)?;
    let origin = format!("{host}/audit/{id}");
    let key = LogKey::generate(&origin)?;
    let sealed = ring.seal(&Binding::audit_log(&id, &origin, &follows), &key.seed())?;
    let log = LogRow { id, origin, public_key: key.verifier().to_string(), sealed, follows };
    tx.insert_log(&log, now)?;
    let told = [("public_key", log.public_key.as_str())];
    tx.append(&AuditEvent::of_vault_with(BEGIN, log.id.as_str(), &told, now)?)?;
    Ok(log)
}

/// The key of `log`, opened: the very one that its row says.
pub(super) fn open_log(log: &LogRow, ring: &Keyring) -> Result<LogKey, LogShut> {
    let shut = |refused| LogShut::Shut(refused, log.sealed.key_id.clone());
    let place = Binding::audit_log(&log.id, &log.origin, &log.follows);
    let seed = ring.open(&place, &log.sealed).map_err(shut)?;
    let key = LogKey::from_seed(&log.origin, &seed).map_err(|_| LogShut::Damaged)?;
    match VerifierKey::parse(&log.public_key) {
        Ok(public) if public == *key.verifier() => Ok(key),
        _ => Err(LogShut::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_names_the_host_that_callers_know() {
        for (issuer, host) in [
            ("urn:pawl", "pawl"),
            ("https://vault.example.com", "vault.example.com"),
            ("https://vault.example.com:8443/pawl", "vault.example.com"),
            ("https://[2001:db8::1]/", "[2001:db8::1]"),
            ("no address", "pawl"),
        ] {
            assert_eq!(origin_host(issuer), host);
        }
    }
}
