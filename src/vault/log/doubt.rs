//! What a witness has, held against the database: is it the same log, no further on than here? If not, the database
//! was put back or rewritten.

use std::fmt;

use crate::audit::Checkpoint;
use crate::ids::LogId;
use crate::store::{Store, StoreError, Upkeep};
use crate::vault::DEADLINE;
use crate::vault::log::follows::{Known, find};
use crate::witness::{Gathered, Sought, WitnessFailed};

/// On record for each checkpoint that a restore was accepted against.
pub(super) const ACCEPTED: &str = "audit.accept_restore";

/// Who doubts what it saw itself.
pub(super) const THIS_VAULT: &str = "this vault";

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
    /// It has a checkpoint that the log's key did not sign.
    NotSigned {
        /// Over so many leaves.
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
            Self::NotSigned { size } => {
                write!(f, "the database has a checkpoint over {size} leaves that its log's key did not sign")
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

impl Doubted {
    /// The checkpoint, where it is known.
    pub(super) fn seen(&self) -> Option<&Checkpoint> {
        (!matches!(self.doubt, Doubt::Unreadable { .. })).then_some(&self.checkpoint)
    }

    /// Whether it was accepted, where the log `known` is believed, with those before it. What a vault saw itself is, where
    /// another log was begun in the place of that one.
    pub(super) fn is_settled(&self, known: Option<&Known>) -> bool {
        let Some(Known { follows, .. }) = known else { return false };
        let is_own = self.witness == THIS_VAULT && follows.key_of(&self.checkpoint.origin).is_some();
        !matches!(self.doubt, Doubt::Unreadable { .. }) && (is_own || follows.is_accepted(&self.checkpoint))
    }
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

/// What a witness is asked for, where the log `known` is believed, with those before it.
pub(super) fn sought(known: Option<&Known>) -> Sought {
    Sought { keys: known.map(|known| known.keys().collect()).unwrap_or_default() }
}

/// Holds what `witness` has against the database, of which the log `known` is believed, with those before it. What it
/// said before it said too much is enough for a doubt, and for nothing else.
pub(super) async fn judge(
    store: &Store,
    known: Option<&Known>,
    witness: &str,
    gathered: &Gathered,
) -> Result<Judged, NotJudged> {
    let mut judged = Judged { size: 0, doubted: Vec::new() };
    for checkpoint in gathered.verified.iter().chain(&gathered.unknown) {
        if known.is_some_and(|known| known.follows.is_accepted(checkpoint)) {
            continue;
        }
        let doubt = match find(known, &checkpoint.origin) {
            Some(log) => {
                if known.is_some_and(|known| known.row.id == log.id) {
                    judged.size = checkpoint.size;
                }
                doubt_of(store, &log.id, checkpoint).await?
            }
            None => Some(Doubt::UnknownLog { origin: checkpoint.origin.clone() }),
        };
        let (witness, checkpoint) = (witness.to_owned(), checkpoint.clone());
        judged.doubted.extend(doubt.map(|doubt| Doubted { doubt, witness, checkpoint }));
    }
    if gathered.is_partial && judged.doubted.is_empty() {
        return Err(WitnessFailed::TooLong.into());
    }
    Ok(judged)
}

/// Whether the log is no longer, or no other, than the checkpoint says.
async fn doubt_of(store: &Store, log: &LogId, checkpoint: &Checkpoint) -> Result<Option<Doubt>, StoreError> {
    let (log, witnessed, root) = (log.clone(), checkpoint.size, checkpoint.root);
    let look = move |tx: &mut Upkeep| {
        let size = tx.find_log_size(&log)?;
        if size < witnessed {
            return Ok(Some(Doubt::Older { size, witnessed }));
        }
        let same = tx.find_root(&log, witnessed)? == Some(root);
        Ok((!same).then_some(Doubt::Rewritten { size: witnessed }))
    };
    // Nodes that are gone or damaged are no better than others.
    match store.view_own("hold log against witness", DEADLINE, look).await {
        Err(StoreError::Damaged(_)) => Ok(Some(Doubt::Rewritten { size: witnessed })),
        looked => looked,
    }
}

/// A checkpoint as the record of an accepted restore has it.
pub(super) fn told_of(checkpoint: &Checkpoint) -> [(&'static str, String); 3] {
    [
        ("witnessed.origin", checkpoint.origin.clone()),
        ("witnessed.size", checkpoint.size.to_string()),
        ("witnessed.root", checkpoint.root.to_string()),
    ]
}
