//! What is kept free for lends and changes. When less is left on the database's disk, everything else that would be
//! put on record is only counted, until there is room again. The disk of a PostgreSQL server can't be seen.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::{Config, Database};
use crate::metrics;

/// How much is free, as it was when it was last looked at.
pub struct Reserve {
    /// Where the database's file lies; `None` where there is nothing to look at.
    place: Option<PathBuf>,
    least: u64,
    is_below: AtomicBool,
}

impl Reserve {
    /// As the settings say; nothing is known before the first look.
    pub fn of(config: &Config) -> Self {
        let place = match &config.database {
            Database::Sqlite(file) if config.audit_reserve > 0 => {
                let beside = file.parent().filter(|dir| !dir.as_os_str().is_empty());
                Some(beside.map_or_else(|| PathBuf::from("."), PathBuf::from))
            }
            _ => None,
        };
        Self { place, least: config.audit_reserve, is_below: AtomicBool::new(false) }
    }

    /// Whether less is free.
    pub fn is_below(&self) -> bool {
        self.is_below.load(Ordering::Relaxed)
    }

    /// Looks, and says so where it changed. It may wait for the disk.
    pub fn look(&self) {
        let Some(place) = &self.place else { return };
        // What can't be asked has not changed.
        let Ok(found) = rustix::fs::statvfs(place) else { return };
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let is_below = free < self.least;
        metrics::below_reserve(is_below);
        let was_below = self.is_below.swap(is_below, Ordering::Relaxed);
        let free_mib = free / (1024 * 1024);
        if is_below && !was_below {
            tracing::warn!(
                free_mib,
                "the disk is below its reserve: only lends and changes are put on record"
            );
        } else if was_below && !is_below {
            tracing::warn!(free_mib, "the disk is above its reserve again: all is put on record");
        }
    }
}
