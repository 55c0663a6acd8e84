//! A file that checkpoints are appended to, with an empty line between them. It only grows, and is read from its
//! beginning.

use std::fs::OpenOptions;
use std::io::{self, BufReader, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::witness::WITHIN;
use crate::witness::notes::{Gathered, Sought, gather};

/// A file by its name. Clones share what was read of it too late.
#[derive(Clone)]
pub struct File {
    path: PathBuf,
    late: Arc<Mutex<Option<(Sought, Gathered)>>>,
}

impl File {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, late: Arc::default() }
    }

    /// Appends `note`, durably.
    pub(super) fn give(&self, note: &str) -> io::Result<()> {
        let is_new = !self.path.exists();
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        // Whatever stands before it, also what somebody else writes there just now: half a line, or a whole one.
        let gap = if file.metadata()?.len() == 0 { "" } else { "\n\n" };
        file.write_all(format!("{gap}{note}").as_bytes())?;
        file.sync_all()?;
        if is_new && let Some(dir) = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            std::fs::File::open(dir)?.sync_all()?;
        }
        Ok(())
    }

    /// What it has of what is `sought`. One that takes longer to read than anybody waits is read once, and said to who
    /// asks next: however long somebody makes it, it does not fall silent for ever.
    pub(super) fn ask(&self, sought: &Sought) -> io::Result<Gathered> {
        self.ask_within(WITHIN, sought)
    }

    fn ask_within(&self, bound: Duration, sought: &Sought) -> io::Result<Gathered> {
        let late = || self.late.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, gathered)) = late().take().filter(|(of, _)| of == sought) {
            return Ok(gathered);
        }
        let begun = Instant::now();
        let gathered = match std::fs::File::open(&self.path) {
            Ok(file) => gather(BufReader::new(file), sought)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Gathered::default(),
            Err(error) => return Err(error),
        };
        if begun.elapsed() >= bound {
            *late() = Some((sought.clone(), gathered.clone()));
        }
        Ok(gathered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Checkpoint, LogKey, leaf_hash};

    #[test]
    fn what_was_given_comes_back_whatever_lies_between() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::new(dir.path().join("witness"));
        let key = LogKey::generate("pawl/audit/log_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let sought = Sought { keys: vec![key.verifier().clone()] };
        assert_eq!(file.ask(&sought).unwrap(), Gathered::default());
        let origin = key.verifier().origin();
        for (size, between) in [(1, ""), (2, "a/1\n9"), (3, "x"), (4, "\n\n"), (5, "— a/1 ")] {
            let root = leaf_hash(b"root");
            let checkpoint = Checkpoint { origin: origin.to_owned(), size, root };
            file.give(&key.sign(&checkpoint)).unwrap();
            let mut spoilt = OpenOptions::new().append(true).open(&file.path).unwrap();
            spoilt.write_all(between.as_bytes()).unwrap();
            assert_eq!(file.ask(&sought).unwrap().verified, [checkpoint], "{between}");
        }
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file.path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    /// Attack on P4.
    #[test]
    fn one_that_takes_too_long_to_read_is_not_silent_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::new(dir.path().join("witness"));
        let key = LogKey::generate("pawl/audit/log_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let sought = Sought { keys: vec![key.verifier().clone()] };
        let origin = key.verifier().origin().to_owned();
        file.give(&key.sign(&Checkpoint { origin, size: 7, root: leaf_hash(b"root") })).unwrap();
        let (all, late) = (Duration::MAX, Duration::ZERO);
        let has = file.ask_within(late, &sought).unwrap();
        assert_eq!(has.verified[0].size, 7);
        // What nobody waited for is said to the next, once, who asks for the same.
        std::fs::remove_file(&file.path).unwrap();
        assert_eq!(file.clone().ask_within(all, &sought).unwrap(), has);
        assert_eq!(file.ask_within(late, &sought).unwrap(), Gathered::default());
        assert_eq!(file.ask_within(all, &Sought::default()).unwrap(), Gathered::default());
        assert!(file.late.lock().unwrap().is_none());
    }
}
