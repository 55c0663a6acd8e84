//! `pawl doctor`: asks the witnesses what the vault would ask them at its start. An old database that was put back on
//! purpose is accepted, on record: another log begins, which follows what the witnesses have.

use crate::audit::{AuditEvent, member};
use crate::clock::Clock;
use crate::config::Checkpoints;
use crate::ids::LogId;
use crate::seal::Keyring;
use crate::store::{LogRow, Store, StoreError};
use crate::vault::DEADLINE;
use crate::vault::log::LogRefused;
use crate::vault::log::begin::{LogShut, begin_after};
use crate::vault::log::doubt::{ACCEPTED, Doubted, NotJudged, judge, sought, told_of};
use crate::vault::log::doubting::Doubting;
use crate::vault::log::follows::{Known, newest_believed};
use crate::witness::Reach;

/// What the database and its witnesses say of the log in use.
pub struct Looked {
    /// The log in use; none where none was begun yet.
    pub log: Option<LogRow>,
    /// How many leaves it has.
    pub size: u64,
    /// Why that log is not believed.
    pub shut: Option<LogShut>,
    /// Why the database is not taken for the one that was.
    pub doubted: Vec<Doubted>,
    /// Witnesses that did not answer, or are not believed, and why.
    pub silent: Vec<(String, String)>,
}

/// A restore that was accepted.
pub struct Accepted {
    /// The log that begins.
    pub log: LogRow,
    /// Why the one before it was not believed.
    pub shut: Option<LogShut>,
    /// What the witnesses have.
    pub doubted: Vec<Doubted>,
}

/// Asks every witness, and holds what they have against the database; and what this host's vault was told before.
pub async fn look_at_log(
    store: &Store,
    ring: &Keyring,
    checkpoints: &Checkpoints,
    doubting: &Doubting,
) -> Result<Looked, StoreError> {
    Ok(look(store, ring, checkpoints, doubting).await?.0)
}

async fn look(
    store: &Store,
    ring: &Keyring,
    checkpoints: &Checkpoints,
    doubting: &Doubting,
) -> Result<(Looked, Option<Known>), StoreError> {
    let logs = store.view_own("find logs", DEADLINE, |tx| tx.find_logs()).await?;
    let (known, shut) = newest_believed(&logs, ring);
    let log = logs.last().cloned();
    let mut looked = Looked { log, size: 0, shut, doubted: Vec::new(), silent: Vec::new() };
    if let Some(LogRow { id, .. }) = looked.log.clone() {
        looked.size = store.view_own("find log's size", DEADLINE, move |tx| tx.find_log_size(&id)).await?;
    }
    let sought = sought(known.as_ref());
    for witness in checkpoints.witnesses.iter() {
        let name = witness.to_string();
        let asked = async {
            let gathered = Reach::new(witness)?.ask(&sought).await?;
            judge(store, known.as_ref(), &name, &gathered).await
        };
        match asked.await {
            Ok(judged) => looked.doubted.extend(judged.doubted),
            Err(NotJudged::Store(error)) => return Err(error),
            Err(NotJudged::Witness(error)) => looked.silent.push((name, error.to_string())),
        }
    }
    // What was seen before, whoever does not say it any more.
    for before in doubting.read() {
        let is_said = |of: &Doubted| (&of.witness, &of.checkpoint) == (&before.witness, &before.checkpoint);
        if !looked.doubted.iter().any(is_said) && !before.is_settled(known.as_ref()) {
            looked.doubted.push(before);
        }
    }
    Ok((looked, known))
}

/// Takes the database as it is, where witnesses know more than it: another log begins.
pub async fn accept(
    store: &Store,
    ring: &Keyring,
    (checkpoints, host, clock): (&Checkpoints, &str, &Clock),
    doubting: &Doubting,
) -> Result<Accepted, LogRefused> {
    let (looked, known) = look(store, ring, checkpoints, doubting).await?;
    let Looked { log: in_use, size, shut, doubted, .. } = looked;
    if doubted.is_empty() && shut.is_none() {
        return Err(LogRefused::NothingToAccept);
    }
    let in_use: Option<LogId> = in_use.map(|log| log.id);
    let at = clock.now();
    let log = store.upkeep("accept restore", |tx| {
        if tx.find_logs()?.pop().map(|log| log.id) != in_use {
            return Err(LogRefused::Meanwhile);
        }
        let accepted = doubted.iter().filter_map(Doubted::seen);
        let log = begin_after(tx, (ring, host), &Known::followed(known.as_ref(), accepted), at)?;
        if let (Some(shut), Some(before)) = (&shut, &in_use) {
            let (has, before, why) = (size.to_string(), before.to_string(), shut.to_string());
            let told = [("log", before.as_str()), ("database.size", has.as_str()), (member::DETAIL, &why)];
            tx.append(&AuditEvent::of_vault_with(ACCEPTED, log.id.as_str(), &told, at)?)?;
        }
        for one in &doubted {
            let (witness, why) = (&one.witness, one.doubt.to_string());
            let (has, told) = (size.to_string(), one.seen().map(|seen| told_of(seen).to_vec()));
            let told = told.unwrap_or_else(|| vec![(member::DETAIL, why)]);
            let told = told.iter().map(|(name, value)| (*name, value.as_str()));
            let more = [("witness", witness.as_str()), ("database.size", has.as_str())];
            let told: Vec<(&'static str, &str)> = more.into_iter().chain(told).collect();
            tx.append(&AuditEvent::of_vault_with(ACCEPTED, log.id.as_str(), &told, at)?)?;
        }
        Ok(log)
    })?;
    doubting.end().map_err(LogRefused::StillMarked)?;
    Ok(Accepted { log, shut, doubted })
}
