//! Whether every log is there that there was: those of which other rows speak, and those of which the vault's own chain
//! says that they were begun. Of one whose row is gone nothing else would be held against anything.

use crate::audit::{Report, member};
use crate::store::{ChainOf, LogRow, LogTable, StoreError, TrailView};
use crate::vault::log::BEGIN;
use crate::vault::verify_log::STEP;

/// Names what is missing of `logs`.
pub(super) fn verify_begun(
    view: &mut TrailView,
    logs: &[LogRow],
    report: &mut Report,
) -> Result<(), StoreError> {
    let is_here = |id: &str| logs.iter().any(|log| log.id.as_str() == id);
    let mut missed = |id: &str, by: &str| report.wrong.push(format!("dropped: the log {id}, of which {by}"));
    for (table, name) in [
        (Some(LogTable::Leaves), "audit_leaves"),
        (Some(LogTable::Nodes), "audit_nodes"),
        (Some(LogTable::Checkpoints), "audit_checkpoints"),
        (None, "audit_witnesses"),
    ] {
        let mut last = String::new();
        while let Some(id) = match table {
            Some(table) => view.log(|log| log.find_log_after(table, &last))?,
            None => view.find_taken_after(&last)?,
        } {
            if !is_here(&id) {
                missed(&id, &format!("there are rows in {name}"));
            }
            last = id;
        }
    }
    for (id, key) in find_begun(view)? {
        let is_same =
            |log: &&LogRow| log.id.as_str() == id && key.as_ref().is_none_or(|key| *key == log.public_key);
        if !logs.iter().any(|log| is_same(&log)) {
            let with = key.map_or(String::new(), |key| format!(", with the public key {key}"));
            missed(&id, &format!("the vault's own chain says that it was begun{with}"));
        }
    }
    Ok(())
}

/// The logs that were begun, by their ids, with their public keys.
fn find_begun(view: &mut TrailView) -> Result<Vec<(String, Option<String>)>, StoreError> {
    let (mut begun, mut last) = (Vec::new(), 0);
    loop {
        let rows = view.chain(&ChainOf::Vault, |chain| chain.find_raw(last, i64::MAX, STEP))?;
        let Some(end) = rows.last() else { return Ok(begun) };
        last = end.seq;
        // Most are none: that is seen without reading them.
        for row in rows.iter().filter(|row| row.event.windows(BEGIN.len()).any(|of| of == BEGIN.as_bytes())) {
            let Ok(event) = serde_json::from_slice::<serde_json::Value>(&row.event) else { continue };
            let text = |name: &str| event.get(name).and_then(|of| of.as_str()).map(str::to_owned);
            if text(member::ACTION).as_deref() == Some(BEGIN)
                && let Some(id) = text("subject")
            {
                begun.push((id, text("public_key")));
            }
        }
    }
}
