//! How often a second the disk makes a block durable: what every figure of a database has to be read beside.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::table;

const BLOCK: usize = 4096;
/// Of the file, written over and over, as a database does with its log.
const BLOCKS: u64 = 256;
const ROUND: Duration = Duration::from_millis(200);

pub struct Disk(File);

impl Disk {
    /// Of the folder that the databases' own are in.
    pub fn new() -> Self {
        let file = tempfile::tempfile().unwrap();
        (0..BLOCKS).for_each(|at| write(&file, at));
        file.sync_all().unwrap();
        Self(file)
    }

    /// `fdatasync` after each block: how many a second, and what the middle one took, in µs.
    pub fn flush(&self) -> [f64; 2] {
        let (begun, mut took) = (Instant::now(), Vec::new());
        for at in (0..BLOCKS).cycle().take_while(|_| begun.elapsed() < ROUND) {
            let begun = Instant::now();
            write(&self.0, at);
            self.0.sync_data().unwrap();
            took.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        let flushes = f64::from(u32::try_from(took.len()).unwrap());
        [flushes / begun.elapsed().as_secs_f64(), table::median(took)]
    }
}

fn write(file: &File, at: u64) {
    file.write_all_at(&[7; BLOCK], at * BLOCK as u64).unwrap();
}
