//! Destroy a key that nothing is under any more. The database lets it never open anything again, on
//! record, before the source destroys it: a crash between the two leaves a key that is of no use, and the
//! same command goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::audit::AuditEvent;
use crate::clock::Moment;
use crate::ids::{ConnectionId, KeyId};
use crate::seal::Keyring;
use crate::store::{KeyRow, KeyState, Placed, SealedUnder, Upkeep};
use crate::vault::keys::{Keys, KeysRefused};
use crate::vault::lend::binding;

/// How many connections are named that keep a key from being retired.
const NAMED: i64 = 20;

/// A value left its key this much later than is noted, at most: the time is the request's, and clocks differ.
const MARGIN: Duration = Duration::from_secs(60);

/// A key to be retired.
pub struct Retire {
    /// Which.
    pub key: KeyId,
    /// Backups from before then become unreadable: that is what it is for.
    pub backups_before: Moment,
    /// Connections whose credential does not open, and may stay so for ever.
    pub abandon: BTreeSet<ConnectionId>,
    /// Whether somebody destroyed it where it was, which is not where keys are now.
    pub destroyed_elsewhere: bool,
}

/// Why a key was not retired. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RetireRefused {
    /// There is none of that name.
    #[error("there is no key {0}: `pawl keys list` names those there are")]
    Unknown(KeyId),
    /// It seals.
    #[error("{0} is the key that seals: run `pawl keys rotate` and `pawl keys reseal` first")]
    Seals(KeyId),
    /// Backups that the operator wants to keep would become unreadable.
    #[error(
        "backups from before {last_left} hold values that only {key} opens: they would die too, and \
         --backups-older-than-may-die is earlier; give a date that is not before {last_left}"
    )]
    BackupsWanted {
        /// The key.
        key: KeyId,
        /// When the last value left it.
        last_left: Moment,
    },
    /// Something is under it.
    #[error("{under} still under {key}: run `pawl keys reseal`{named}", under = told(*under), named = named(ids))]
    StillSealed {
        /// The key.
        key: KeyId,
        /// What is under it, without what is abandoned.
        under: SealedUnder,
        /// The first connections of it.
        ids: Vec<ConnectionId>,
    },
    /// The key is neither in this source nor was it ever.
    #[error(
        "{key} is not in {here}, it was noted in {there}: destroy it there, then say --destroyed-elsewhere"
    )]
    Elsewhere {
        /// The key.
        key: KeyId,
        /// Where keys are now.
        here: String,
        /// Where it was noted.
        there: String,
    },
    /// What was to be abandoned opens.
    #[error("--abandon {0}: its credential opens; run `pawl keys reseal`")]
    Opens(ConnectionId),
    /// What was to be abandoned is not under the key.
    #[error("--abandon {id}: there is no such connection under {key}")]
    NotUnder {
        /// The connection.
        id: ConnectionId,
        /// The key.
        key: KeyId,
    },
}

impl Keys {
    /// Retires and destroys a key. Answers whether it was retired before and is only destroyed now.
    pub fn retire(&self, retire: &Retire) -> Result<bool, KeysRefused> {
        let row = self.find(&retire.key)?;
        let was_retired = row.state == KeyState::Retired;
        if !was_retired {
            // Proves too that the key that seals is held: nothing is destroyed beside one that is not.
            let ring = self.hold()?;
            if !ring.holds(&row.id) {
                self.is_gone(&row, retire)?;
            }
            self.store.change_across_orgs("retire key", |tx| self.retire_in(tx, &ring, retire))?;
        }
        if retire.destroyed_elsewhere {
            return Ok(was_retired);
        }
        self.source.destroy(&retire.key)?;
        let event = AuditEvent::of_vault("key.destroy", retire.key.as_str(), self.clock.now())?;
        self.store.upkeep("record destroy", |tx| tx.append(&event))?;
        Ok(was_retired)
    }

    /// A key that can't be had just now may open what would be given up; one of another source would be
    /// there still.
    fn is_gone(&self, row: &KeyRow, retire: &Retire) -> Result<(), KeysRefused> {
        let mut found = self.source.read(std::slice::from_ref(&row.id))?;
        found.refuse_unusable(&row.id)?;
        let (key, here, there) = (row.id.clone(), self.source.name(), row.source.clone());
        match here == there || retire.destroyed_elsewhere {
            true => Ok(()),
            false => Err(RetireRefused::Elsewhere { key, here, there }.into()),
        }
    }

    fn find(&self, id: &KeyId) -> Result<KeyRow, KeysRefused> {
        let row = self.store.find_keys()?.into_iter().find(|row| &row.id == id);
        Ok(row.ok_or_else(|| RetireRefused::Unknown(id.clone()))?)
    }

    fn retire_in(&self, tx: &mut Upkeep, ring: &Keyring, retire: &Retire) -> Result<(), KeysRefused> {
        let key = &retire.key;
        let row = tx.find_keys()?.into_iter().find(|row| &row.id == key);
        let row = row.ok_or_else(|| RetireRefused::Unknown(key.clone()))?;
        if row.state == KeyState::Sealing {
            return Err(RetireRefused::Seals(key.clone()).into());
        }
        // From here on nobody seals under it, and whoever did has committed.
        tx.retire_key(key)?;
        let mut under = tx.count_sealed(key)?;
        for id in &retire.abandon {
            let met = tx.find_placed(key, id)?;
            let met = met.ok_or_else(|| RetireRefused::NotUnder { id: id.clone(), key: key.clone() })?;
            let opens = met.placed.is_some_and(|Placed { id, owner, credential }| {
                ring.prove(&binding(&owner, &id, &credential), &credential.sealed).is_ok()
            });
            if opens {
                return Err(RetireRefused::Opens(id.clone()).into());
            }
            under.credentials -= 1;
        }
        if under.total() > 0 {
            let ids = tx.find_sealed_ids(key, NAMED)?;
            let ids = ids.into_iter().filter(|id| !retire.abandon.contains(id)).collect();
            return Err(RetireRefused::StillSealed { key: key.clone(), under, ids }.into());
        }
        let last_left = tx.find_keys()?.into_iter().find(|row| &row.id == key);
        let last_left = last_left.and_then(|row| row.last_left_at).unwrap_or(row.created_at).after(MARGIN);
        if retire.backups_before < last_left {
            return Err(RetireRefused::BackupsWanted { key: key.clone(), last_left }.into());
        }
        let until = retire.backups_before.to_string();
        let abandoned: Vec<&str> = retire.abandon.iter().map(ConnectionId::as_str).collect();
        let abandoned = abandoned.join(" ");
        let elsewhere = if retire.destroyed_elsewhere { "yes" } else { "no" };
        let told = [
            ("backups_before", until.as_str()),
            ("abandoned", abandoned.as_str()),
            ("destroyed_elsewhere", elsewhere),
        ];
        let now = self.clock.now();
        Ok(tx.append(&AuditEvent::of_vault_with("key.retire", key.as_str(), &told, now)?)?)
    }
}

fn told(under: SealedUnder) -> String {
    match under {
        SealedUnder { credentials, issuer_keys: 0, log_keys: 0 } => {
            format!("{credentials} credentials are")
        }
        SealedUnder { credentials, issuer_keys, log_keys } => {
            format!("{credentials} credentials, {issuer_keys} issuer keys and {log_keys} log keys are")
        }
    }
}

fn named(ids: &[ConnectionId]) -> String {
    if ids.is_empty() {
        return String::new();
    }
    let ids: Vec<&str> = ids.iter().map(ConnectionId::as_str).collect();
    format!("; what does not open is given up with --abandon: {}", ids.join(" "))
}
