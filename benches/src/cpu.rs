//! What a process has used of the processor, as Linux counts it.

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
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parent = pid.to_string();
    let children = pids.filter(|child| stat(*child).is_some_and(|fields| fields[1] == parent));
    of(pid) + children.map(of).sum::<f64>()
}

/// From the third field on: the second, a name, may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}
