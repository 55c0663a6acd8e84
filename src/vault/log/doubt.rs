//! What a witness has, held against the database: is it the same log, no further on than here? If not, the database
//! was put back or rewritten.

use std::fmt;

use crate::audit::{Checkpoint, VerifierKey, member};
use crate::ids::LogId;
use crate::store::{LogRow, Store, StoreError, Upkeep};
use crate::vault::DEADLINE;
use crate::witness::{Gathered, Sought, WitnessFailed};

/// On record for each checkpoint that a restore was accepted against.
pub(super) const ACCEPTED: &str = "audit.accept_restore";

/// Why the database is not taken for the one that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It ends before the checkpoint.
    Older {
        /// How many leaves it has.
        size: u64,
        /// How many the checkpoint stands over.
        witnessed: u64,
    },
    /// At the checkpoint's size it has another root.
    Rewritten {
        /// That size.
        size: u64,
    },
    /// It does not know the log at all.
    UnknownLog {
        /// Its origin.
        origin: String,
    },
    /// It was doubted, and what is left of that can't be read.
    Unreadable {
        /// Where that is kept.
        file: String,
        /// The system's word.
        why: String,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Older { size, witnessed } => write!(
                f,
                "the database is older than its newest witnessed checkpoint: its log has {size} leaves, the \
                 witness saw {witnessed}"
            ),
            Self::Rewritten { size } => {
                write!(f, "the database's log was rewritten: at {size} leaves the witness saw another root")
            }
            Self::UnknownLog { origin } => {
                write!(f, "a witness has checkpoints of a log that the database does not know: {origin}")
            }
            Self::Unreadable { file, why } => {
                write!(f, "the database was doubted before, and {file} can't be read: {why}")
            }
        }
    }
}

/// A doubt, and who gave rise to it by which checkpoint.
#[derive(Clone, Debug)]
pub struct Doubted {
    /// Why.
    pub doubt: Doubt,
    /// Who.
    pub witness: String,
    /// By this.
    pub checkpoint: Checkpoint,
}

/// A witness whose word could not be held against anything.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotJudged {
    #[error(transparent)]
    Witness(#[from] WitnessFailed),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of asking a witness.
pub(super) struct Judged {
    /// Of the log in use it has a checkpoint over so many leaves; 0 where it has none.
    pub(super) size: u64,
    /// Why the database is doubted, if it is.
    pub(super) doubted: Vec<Doubted>,
}

/// What a witness is asked for, where the database has `logs`, the last in use.
pub(super) fn sought(logs: &[LogRow]) -> Result<Sought, StoreError> {
    let Some((in_use, followed)) = logs.split_last() else { return Ok(Sought::default()) };
    let key = VerifierKey::parse(&in_use.public_key).map_err(|_| StoreError::Damaged("audit_logs"))?;
    // A row that says another name than its key is judged by its name: what the witness has is of a log not known.
    let key = (key.origin() == in_use.origin).then_some(key);
    Ok(Sought { key, followed: followed.iter().map(|log| log.origin.clone()).collect() })
}

/// Holds what `witness` has against the database, which has `logs`, the last in use.
pub(super) async fn judge(
    store: &Store,
    logs: &[LogRow],
    witness: &str,
    gathered: &Gathered,
) -> Result<Judged, StoreError> {
    let mut judged = Judged { size: 0, doubted: Vec::new() };
    let mut doubt_it = |doubt: Option<Doubt>, checkpoint: &Checkpoint| {
        let (witness, checkpoint) = (witness.to_owned(), checkpoint.clone());
        judged.doubted.extend(doubt.map(|doubt| Doubted { doubt, witness, checkpoint }));
    };
    for checkpoint in &gathered.newest {
        let Some(log) = logs.last() else { continue };
        judged.size = checkpoint.size;
        doubt_it(doubt_of(store, &log.id, checkpoint).await?, checkpoint);
    }
    for checkpoint in &gathered.unknown {
        let (is_accepted, origin) = (is_accepted(store, checkpoint).await?, checkpoint.origin.clone());
        doubt_it((!is_accepted).then_some(Doubt::UnknownLog { origin }), checkpoint);
    }
    Ok(judged)
}

/// Whether what was doubted was accepted: another log goes on from the one that it was about, or it is on record.
pub(super) async fn is_settled(
    store: &Store,
    logs: &[LogRow],
    Doubted { doubt, checkpoint, .. }: &Doubted,
) -> Result<bool, StoreError> {
    if matches!(doubt, Doubt::Unreadable { .. }) {
        return Ok(false);
    }
    let followed = logs.split_last().map(|(_, followed)| followed).unwrap_or_default();
    let is_followed = followed.iter().any(|log| log.origin == checkpoint.origin);
    Ok(is_followed || is_accepted(store, checkpoint).await?)
}

/// Whether the log is no longer, or no other, than the checkpoint says.
async fn doubt_of(store: &Store, log: &LogId, checkpoint: &Checkpoint) -> Result<Option<Doubt>, StoreError> {
    let (log, witnessed, root) = (log.clone(), checkpoint.size, checkpoint.root);
    let look = move |tx: &mut Upkeep| {
        let size = tx.find_log_size(&log)?;
        if size < witnessed {
            return Ok(Some(Doubt::Older { size, witnessed }));
        }
        // Nodes that are gone are no better than others.
        let same = tx.find_root(&log, witnessed)? == Some(root);
        Ok((!same).then_some(Doubt::Rewritten { size: witnessed }))
    };
    store.view_own("hold log against witness", DEADLINE, look).await
}

/// Whether a restore was accepted, on record, against just that checkpoint of a log that is not here.
async fn is_accepted(store: &Store, claimed: &Checkpoint) -> Result<bool, StoreError> {
    let events = store.view_own("find accepted restores", DEADLINE, |tx| tx.find_own_events(ACCEPTED));
    let told = told_of(claimed);
    let names = |event: &String| {
        let event: serde_json::Value = serde_json::from_str(event).unwrap_or_default();
        event[member::ACTION] == ACCEPTED && told.iter().all(|(name, value)| event[*name] == value.as_str())
    };
    Ok(events.await?.iter().any(names))
}

/// A checkpoint as the record of an accepted restore has it.
pub(super) fn told_of(checkpoint: &Checkpoint) -> [(&'static str, String); 3] {
    [
        ("witnessed.origin", checkpoint.origin.clone()),
        ("witnessed.size", checkpoint.size.to_string()),
        ("witnessed.root", checkpoint.root.to_string()),
    ]
}
