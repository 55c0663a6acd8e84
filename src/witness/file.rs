//! A file that checkpoints are appended to, with an empty line between them. It only grows, and is read from its
//! beginning.

use std::fs::OpenOptions;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::witness::notes::{Gathered, Sought, gather};

/// A file by its name.
#[derive(Clone)]
pub struct File(pub(super) PathBuf);

impl File {
    /// Appends `note`, durably.
    pub(super) fn give(&self, note: &str) -> io::Result<()> {
        let is_new = !self.0.exists();
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.0)?;
        let text = format!("{}{note}", gap(&mut file)?);
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if is_new && let Some(dir) = self.0.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            std::fs::File::open(dir)?.sync_all()?;
        }
        Ok(())
    }

    /// What it has of what is `sought`.
    pub(super) fn ask(&self, sought: &Sought) -> io::Result<Gathered> {
        match std::fs::File::open(&self.0) {
            Ok(file) => gather(BufReader::new(file), sought),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Gathered::default()),
            Err(error) => Err(error),
        }
    }
}

/// What stands between the last note and the next, also where that was only half written.
fn gap(file: &mut std::fs::File) -> io::Result<&'static str> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok("");
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(if last == *b"\n" { "\n" } else { "\n\n" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Checkpoint, LogKey, leaf_hash};

    #[test]
    fn what_was_given_comes_back_whatever_lies_between() {
        let dir = tempfile::tempdir().unwrap();
        let file = File(dir.path().join("witness"));
        let key = LogKey::generate("pawl/audit/log_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let sought = Sought { keys: vec![key.verifier().clone()] };
        assert_eq!(file.ask(&sought).unwrap(), Gathered::default());
        let origin = key.verifier().origin();
        for (size, between) in [(1, ""), (2, "a/1\n9"), (3, "x"), (4, "\n\n"), (5, "— a/1 ")] {
            let root = leaf_hash(b"root");
            let checkpoint = Checkpoint { origin: origin.to_owned(), size, root };
            file.give(&key.sign(&checkpoint)).unwrap();
            let mut spoilt = OpenOptions::new().append(true).open(&file.0).unwrap();
            spoilt.write_all(between.as_bytes()).unwrap();
            assert_eq!(file.ask(&sought).unwrap().verified, [checkpoint], "{between}");
        }
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file.0).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
