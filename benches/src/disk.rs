//! What the disk itself takes to make a few bytes durable: the floor under every lend, and another one each hour.

use std::fs::File;
use std::io::{Seek, Write};
use std::time::{Duration, Instant};

/// As much as SQLite's log grows by a page.
const BYTES: [u8; 4096] = [7; 4096];
const LASTING: Duration = Duration::from_millis(500);

/// A file where the databases lie too.
pub struct Disk(File);

impl Disk {
    pub fn new() -> Self {
        Self(tempfile::tempfile().unwrap())
    }

    /// What each fdatasync after a write of 4 KiB takes, in µs, sorted; of half a second of them.
    pub fn flushes(&mut self) -> Vec<f64> {
        let begun = Instant::now();
        let mut took = Vec::new();
        while begun.elapsed() < LASTING {
            let one = Instant::now();
            if took.len() % 64 == 0 {
                self.0.rewind().unwrap();
            }
            self.0.write_all(&BYTES).unwrap();
            self.0.sync_data().unwrap();
            took.push(one.elapsed().as_secs_f64() * 1e6);
        }
        took.sort_by(f64::total_cmp);
        took
    }
}
