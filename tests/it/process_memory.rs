//! The whole memory of a live process, read as root: what it holds, where, and whether those pages are locked.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;

use memchr::memmem;

/// One mapping of a process's address space.
struct Mapping {
    from: u64,
    to: u64,
    is_readable: bool,
    is_locked: bool,
    name: String,
}

/// Where a copy lies.
pub struct Copy {
    pub place: String,
    pub is_locked: bool,
}

/// Every copy of each needle in the memory of `process`, in the needles' order.
pub fn copies(process: u32, needles: &[&[u8]]) -> Vec<Vec<Copy>> {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test reads another process's memory, which an undumpable process gives to root alone: run it as root"
    );
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let mut found: Vec<Vec<Copy>> = needles.iter().map(|_| Vec::new()).collect();
    let mut read = 0;
    for mapping in mappings(process) {
        // What the kernel itself shows there is no memory of the process.
        if !mapping.is_readable || mapping.name.starts_with("[v") {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(mapping.to - mapping.from).unwrap()];
        // A mapping can end between the two files, as a thread's stack does.
        let Ok(()) = memory.read_exact_at(&mut bytes, mapping.from) else { continue };
        read += bytes.len();
        for (needle, copies) in needles.iter().zip(&mut found) {
            copies.extend(memmem::find_iter(&bytes, needle).map(|at| Copy {
                place: format!("{} +{at:#x} of {:#x}", mapping.name, bytes.len()),
                is_locked: mapping.is_locked,
            }));
        }
    }
    assert!(read > 4 << 20, "{read} bytes are not the whole memory of a vault");
    found
}

fn mappings(process: u32) -> Vec<Mapping> {
    let smaps = BufReader::new(File::open(format!("/proc/{process}/smaps")).unwrap());
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in smaps.lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0] == "VmFlags:" {
            mappings.last_mut().unwrap().is_locked = words.contains(&"lo");
        } else if !words[0].ends_with(':') {
            let (from, to) = words[0].split_once('-').unwrap();
            mappings.push(Mapping {
                from: u64::from_str_radix(from, 16).unwrap(),
                to: u64::from_str_radix(to, 16).unwrap(),
                is_readable: words[1].starts_with('r'),
                is_locked: false,
                name: words
                    .get(5)
                    .map_or_else(|| format!("anonymous {}", words[0]), |name| (*name).to_owned()),
            });
        }
    }
    mappings
}
