//! A doubt outlasts the process, and the witness that gave rise to it: it is kept in the data directory until a restore
//! was accepted on record. A witness that falls silent, or is left out of the settings, ends no freeze; nor does a
//! directory that takes no file, while the process lives.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::audit::{Checkpoint, Hash};
use crate::vault::log::doubt::{Doubt, Doubted};

const FILE: &str = "doubted";
/// It is written here, and then put in its place.
const FRESH: &str = "doubted.new";
/// So many are kept: one is enough to freeze.
const MOST: usize = 100;

/// The file of one host, and what this process doubted. Clones share that.
#[derive(Clone)]
pub struct Doubting {
    dir: PathBuf,
    own: Arc<Mutex<Vec<Doubted>>>,
}

/// A line of it.
#[derive(Serialize, Deserialize)]
struct Line {
    witness: String,
    doubt: String,
    size: u64,
    origin: String,
    witnessed: u64,
    root: Hash,
}

impl Line {
    fn of(Doubted { doubt, witness, checkpoint }: &Doubted) -> Option<Self> {
        let (doubt, size) = match doubt {
            Doubt::Older { size, .. } => ("older", *size),
            Doubt::Rewritten { size } => ("rewritten", *size),
            Doubt::NotSigned { size } => ("not-signed", *size),
            Doubt::UnknownLog { .. } => ("unknown-log", 0),
            Doubt::Unreadable { .. } => return None,
        };
        let Checkpoint { origin, size: witnessed, root } = checkpoint.clone();
        Some(Self { witness: witness.clone(), doubt: doubt.into(), size, origin, witnessed, root })
    }

    fn doubted(self) -> Option<Doubted> {
        let Self { witness, doubt, size, origin, witnessed, root } = self;
        let doubt = match doubt.as_str() {
            "older" => Doubt::Older { size, witnessed },
            "rewritten" => Doubt::Rewritten { size },
            "not-signed" => Doubt::NotSigned { size },
            "unknown-log" => Doubt::UnknownLog { origin: origin.clone() },
            _ => return None,
        };
        Some(Doubted { doubt, witness, checkpoint: Checkpoint { origin, size: witnessed, root } })
    }
}

impl Doubting {
    /// The one of `data_dir`.
    pub fn of(data_dir: &Path) -> Self {
        Self { dir: data_dir.into(), own: Arc::default() }
    }

    /// What was doubted.
    pub(super) fn read(&self) -> Vec<Doubted> {
        let mut all = self.read_file();
        add(&mut all, self.own().iter());
        all
    }

    /// What is kept. What is there and can't be read is a doubt too.
    fn read_file(&self) -> Vec<Doubted> {
        let unreadable = |why: String| {
            let (file, origin) = (self.file().display().to_string(), String::new());
            let checkpoint = Checkpoint { origin, size: 0, root: crate::audit::empty_root() };
            vec![Doubted { doubt: Doubt::Unreadable { file, why }, witness: "this host".into(), checkpoint }]
        };
        match fs::read_to_string(self.file()) {
            Ok(text) => {
                let line = |line: &str| serde_json::from_str(line).ok().and_then(Line::doubted);
                let all: Option<Vec<Doubted>> = text.lines().map(line).collect();
                match all {
                    Some(all) if !all.is_empty() => all,
                    _ => unreadable("a line of it is not ours".into()),
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => unreadable(error.to_string()),
        }
    }

    /// Keeps `doubted` with what was there, and what could not be kept before. Durable when this answers; after an error
    /// this process alone knows.
    pub(super) fn keep(&self, doubted: &[Doubted]) -> io::Result<()> {
        add(&mut self.own(), doubted.iter().filter(|one| one.seen().is_some()));
        let (before, all) = (self.read_file(), self.read());
        // What can't be read is not written over: it may be of more than is known here.
        if all.len() == before.len() || before.iter().any(|one| one.seen().is_none()) {
            return Ok(());
        }
        let lines: Vec<String> = all
            .iter()
            .filter_map(Line::of)
            .map(|line| serde_json::to_string(&line))
            .collect::<Result<_, _>>()?;
        let fresh = self.dir.join(FRESH);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(format!("{}\n", lines.join("\n")).as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, self.file())?;
        fs::File::open(&self.dir)?.sync_all()
    }

    /// All of it is accepted.
    pub(super) fn end(&self) -> io::Result<()> {
        self.own().clear();
        match fs::remove_file(self.file()) {
            Ok(()) => fs::File::open(&self.dir)?.sync_all(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn own(&self) -> MutexGuard<'_, Vec<Doubted>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }
}

/// Adds what is not there yet, up to what is kept.
fn add<'a>(all: &mut Vec<Doubted>, more: impl Iterator<Item = &'a Doubted>) {
    for one in more {
        let is_there = all.iter().any(|of| (&of.witness, &of.checkpoint) == (&one.witness, &one.checkpoint));
        if !is_there && all.len() < MOST {
            all.push(one.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::leaf_hash;

    fn doubted(doubt: Doubt, size: u64) -> Doubted {
        let checkpoint = Checkpoint { origin: "a/b".into(), size, root: leaf_hash(b"x") };
        Doubted { doubt, witness: "file:w".into(), checkpoint }
    }

    /// Attack on P4.
    #[test]
    fn what_was_doubted_is_there_until_it_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let doubting = Doubting::of(dir.path());
        assert!(doubting.read().is_empty());
        let all = [
            doubted(Doubt::Older { size: 3, witnessed: 9 }, 9),
            doubted(Doubt::Rewritten { size: 7 }, 7),
            doubted(Doubt::NotSigned { size: 6 }, 6),
            doubted(Doubt::UnknownLog { origin: "a/b".into() }, 5),
        ];
        doubting.keep(&all[..1]).unwrap();
        doubting.keep(&all).unwrap();
        let same = |read: &[Doubted]| read.iter().map(|of| of.doubt.clone()).collect::<Vec<_>>();
        assert_eq!(same(&doubting.read()), same(&all));
        let mode = |file: PathBuf| {
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(file).unwrap().permissions()) & 0o777
        };
        assert_eq!(mode(doubting.file()), 0o600);
        for spoilt in ["", "\n", "{}", "older\n"] {
            fs::write(doubting.file(), spoilt).unwrap();
            assert!(matches!(doubting.read()[0].doubt, Doubt::Unreadable { .. }), "{spoilt}");
        }
        doubting.end().unwrap();
        doubting.end().unwrap();
        assert!(doubting.read().is_empty());
    }
}
