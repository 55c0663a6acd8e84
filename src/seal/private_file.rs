//! A file of keys is read only where its owner alone can read it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::seal::source::SourceRefused;

/// The longest file of keys.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// The whole of the file at `path`; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, SourceRefused> {
    let place = || format!("the key file {}", path.display());
    let io = |e: std::io::Error| SourceRefused::Unreachable { place: place(), cause: e.to_string() };
    let form = |rule: String| SourceRefused::Form { place: place(), rule };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
    };
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(form(format!("it can be read by others (mode {mode:03o}): chmod 600 it")));
    }
    // With room for all of it from the start, so that no copy is left behind by growing.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    let limit = u64::try_from(MAX_BYTES + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut text).map_err(io)?;
    if text.len() > MAX_BYTES {
        return Err(form("it is larger than 64 KiB".into()));
    }
    Ok(Some(text))
}
