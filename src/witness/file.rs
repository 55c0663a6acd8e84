//! A file that checkpoints are appended to, with an empty line between them. It only grows, and is read note by note,
//! however long it has become.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::audit::{Checkpoint, MOST_NOTE_BYTES};

/// So many logs may be told of in one file: more are not ours.
const MOST_LOGS: usize = 1000;

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

    /// The last note of each log. What is no note is stepped over.
    pub(super) fn ask(&self) -> io::Result<Vec<String>> {
        let file = match std::fs::File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut reader = BufReader::new(file);
        let (mut last, mut text, mut block) = (BTreeMap::new(), String::new(), String::new());
        loop {
            let line = next_line(&mut reader)?;
            // Behind signatures whatever is none begins something else, an empty line between them or not.
            let goes_on = |line: &str| line != "\n" && (line.starts_with("— ") || !block.starts_with("— "));
            if let Some(line) = line.as_deref().filter(|line| goes_on(line)) {
                block.push_str(line);
                if block.len() > MOST_NOTE_BYTES {
                    block.clear();
                }
                continue;
            }
            // Signatures end a note; anything else may be the text of the next.
            if block.starts_with("— ") {
                let note = format!("{text}\n{block}");
                if let Ok(checkpoint) = Checkpoint::claimed(&note)
                    && (last.len() < MOST_LOGS || last.contains_key(&checkpoint.origin))
                {
                    last.insert(checkpoint.origin, note);
                }
                text.clear();
            } else if !block.is_empty() {
                text.clone_from(&block);
            }
            block.clear();
            match line {
                None => return Ok(last.into_values().collect()),
                Some(line) if line != "\n" => block = line,
                Some(_) => {}
            }
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

/// The next line with its end; one that is too long for a note, or is no text, as none of it.
fn next_line(reader: &mut BufReader<std::fs::File>) -> io::Result<Option<String>> {
    let most = u64::try_from(MOST_NOTE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    if reader.by_ref().take(most).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8(bytes).unwrap_or_else(|_| "?\n".into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{LogKey, leaf_hash};

    fn note(key: &LogKey, size: u64) -> String {
        let origin = key.verifier().origin().to_owned();
        key.sign(&Checkpoint { origin, size, root: leaf_hash(&size.to_be_bytes()) })
    }

    #[test]
    fn the_last_note_of_each_log_comes_back_whatever_lies_between() {
        let dir = tempfile::tempdir().unwrap();
        let file = File(dir.path().join("witness"));
        assert_eq!(file.ask().unwrap(), [""; 0]);
        let (one, two) = (LogKey::generate("a/1").unwrap(), LogKey::generate("b/2").unwrap());
        for size in 1..=3 {
            file.give(&note(&one, size)).unwrap();
            file.give(&note(&two, size * 10)).unwrap();
        }
        file.give(&note(&one, 4)).unwrap();
        assert_eq!(file.ask().unwrap(), [note(&one, 4), note(&two, 30)]);
        // Broken off in the middle, spoilt, or somebody's own words.
        for between in ["a/1\n9", "a/1\n9\nxx\n\n— a/1 AAAA", "— a/1 \n", "\n\n\n", "\u{fffd}\0\n"] {
            let mut spoilt = OpenOptions::new().append(true).open(&file.0).unwrap();
            spoilt.write_all(between.as_bytes()).unwrap();
            assert_eq!(file.ask().unwrap(), [note(&one, 4), note(&two, 30)], "{between}");
        }
        let long = vec![b'x'; 3 * MOST_NOTE_BYTES];
        OpenOptions::new().append(true).open(&file.0).unwrap().write_all(&long).unwrap();
        file.give(&note(&one, 5)).unwrap();
        assert_eq!(file.ask().unwrap(), [note(&one, 5), note(&two, 30)]);
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file.0).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
