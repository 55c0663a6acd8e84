//! What freezes this host's vaults whatever the database says: nothing is lent, checked or deposited. A database that
//! knows less of the trail than a witness does, or whose log is not this vault's; or a file in the data directory, also
//! where no database answers. That the file came and went is put on record as soon as the database takes it, and a mark
//! beside it says so, also to the next start.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;

/// The file, and the mark that it is on record.
const FILE: &str = "frozen";
const MARK: &str = "frozen-on-record";

/// The switch of one host.
pub struct HostSwitch {
    dir: PathBuf,
    is_frozen: AtomicBool,
    /// A witness knows more of the trail than the database does.
    is_behind: AtomicBool,
    /// The log in the database is not one that this vault's keys made.
    is_other_log: AtomicBool,
    /// What is on record, where no mark could be made or removed.
    unmarked: Mutex<Option<bool>>,
}

impl HostSwitch {
    /// The one of `data_dir`, as it is now.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let [is_frozen, is_behind, is_other_log] = [const { AtomicBool::new(false) }; 3];
        let dir = data_dir.into();
        let switch = Self { dir, is_frozen, is_behind, is_other_log, unmarked: Mutex::default() };
        switch.look()?;
        Ok(switch)
    }

    /// Looks for the file, and answers whether it is there. What can't be looked for is as it was.
    pub fn look(&self) -> io::Result<bool> {
        let is_frozen = is_there(&self.file())?;
        self.is_frozen.store(is_frozen, Ordering::SeqCst);
        Ok(is_frozen)
    }

    /// Whether it was there at the last look.
    pub fn is_there(&self) -> bool {
        self.is_frozen.load(Ordering::SeqCst)
    }

    /// Whether a witness knows more of the trail than the database does.
    pub fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::SeqCst)
    }

    /// Says so, or that it is not.
    pub fn set_behind(&self, is_behind: bool) {
        self.is_behind.store(is_behind, Ordering::SeqCst);
    }

    /// Whether the log in the database is not one that this vault's keys made.
    pub fn is_other_log(&self) -> bool {
        self.is_other_log.load(Ordering::SeqCst)
    }

    /// Says so, or that it is.
    pub fn set_other_log(&self, is_other_log: bool) {
        self.is_other_log.store(is_other_log, Ordering::SeqCst);
    }

    /// Whether the database is not taken for the one that was.
    pub fn is_doubted(&self) -> bool {
        self.is_behind() || self.is_other_log()
    }

    /// Whether nothing is lent here, for any cause.
    pub fn is_frozen(&self) -> bool {
        self.is_there() || self.is_doubted()
    }

    /// Refuses while nothing is lent here.
    pub(super) fn refuse(&self) -> Result<(), Error> {
        if self.is_frozen() { Err(Error::Frozen) } else { Ok(()) }
    }

    /// Where it is.
    pub fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Freezes the host.
    pub fn freeze(&self) -> io::Result<()> {
        make(
            &self.dir,
            FILE,
            b"While this file is here, Pawl lends nothing on this host: `pawl unfreeze` ends it.\n",
        )?;
        self.look().map(drop)
    }

    /// Ends that.
    pub fn unfreeze(&self) -> io::Result<()> {
        remove(&self.file())?;
        self.look().map(drop)
    }

    /// What is to be put on record, if anything: that the file came, or that it went. A command may be at both just
    /// now: what is not so at a second look is not.
    pub(super) fn to_record(&self) -> io::Result<Option<bool>> {
        let first = self.not_on_record()?;
        Ok(if self.not_on_record()? == first { first } else { None })
    }

    fn not_on_record(&self) -> io::Result<Option<bool>> {
        let marked = is_there(&self.dir.join(MARK))?;
        let on_record = self.unmarked().unwrap_or(marked);
        let is_frozen = is_there(&self.file())?;
        Ok((on_record != is_frozen).then_some(is_frozen))
    }

    /// It is on record that the file is there, or is not any more. Where no mark says so, the next start puts it on
    /// record again.
    pub fn recorded(&self, is_frozen: bool) -> io::Result<()> {
        let marked =
            if is_frozen { make(&self.dir, MARK, b"") } else { remove(&self.dir.join(MARK)).map(drop) };
        *self.unmarked() = marked.is_err().then_some(is_frozen);
        marked
    }

    fn unmarked(&self) -> MutexGuard<'_, Option<bool>> {
        self.unmarked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Also a link that leads nowhere is there.
fn is_there(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Durable when this answers; one that is there stays as it is.
fn make(dir: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join(name)) {
        Ok(mut file) => {
            file.write_all(text)?;
            file.sync_all()?;
            fs::File::open(dir)?.sync_all()
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
