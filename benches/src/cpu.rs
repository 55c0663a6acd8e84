//! What a process has used of the processor, and holds of memory, as Linux counts it.

/// In microseconds: USER_HZ is 100 wherever Linux runs.
const TICK: f64 = 1e4;

/// Microseconds, in user and kernel, of `pid` and of the children it has waited for.
pub fn of(pid: u32) -> f64 {
    let Some(fields) = stat(pid) else { return 0.0 };
    // proc(5): utime, stime, cutime, cstime are fields 14 to 17
    fields[11..15].iter().map(|ticks| ticks.parse::<f64>().unwrap() * TICK).sum()
}

/// Microseconds of all processes that this one has started, waited for, and seen end.
pub fn of_ended_children() -> f64 {
    let fields = stat(std::process::id()).unwrap();
    fields[13..15].iter().map(|ticks| ticks.parse::<f64>().unwrap() * TICK).sum()
}

/// Those of `pid` with all children that live.
pub fn of_family(pid: u32) -> f64 {
    of(pid) + children(pid).map(of).sum::<f64>()
}

/// MB of memory that `pid` holds, shared pages among them.
pub fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kilobytes.unwrap_or_default() * 1024.0 / 1e6
}

/// That of `pid` with all children that live.
pub fn resident_of_family(pid: u32) -> f64 {
    resident(pid) + children(pid).map(resident).sum::<f64>()
}

fn children(pid: u32) -> impl Iterator<Item = u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parent = pid.to_string();
    pids.filter(move |child| stat(*child).is_some_and(|fields| fields[1] == parent))
}

/// From the third field on: the second, a name, may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}
