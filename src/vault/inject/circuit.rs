//! A host that does not answer is not called for a while, and then once to try: its callers are told at once, and
//! until when, and nobody waits for it. Each org's own: what one org does to a host closes it to no other.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Moment;
use crate::ids::OrgId;

/// So many times in a row without an answer.
const FAILURES: u32 = 3;
/// For how long, the first time; twice as long each time that the try fails.
const FIRST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(300);
/// While one tries, the others are held off for so long.
const TRIES: Duration = Duration::from_secs(15);
/// What nobody asked about for so long is forgotten.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// Looked through for what is to be forgotten from so many on.
const MANY: usize = 4_096;

#[derive(Default)]
pub(in crate::vault) struct Circuits(Mutex<BTreeMap<(String, String), Circuit>>);

struct Circuit {
    failures: u32,
    until: Option<Moment>,
    at: Moment,
}

impl Circuits {
    /// Whether `host` may be called for `org`; else until when it is not.
    pub(super) fn pass(&self, org: &OrgId, host: &str, now: Moment) -> Result<(), Moment> {
        let mut all = self.all();
        let Some(circuit) = all.get_mut(&key(org, host)) else { return Ok(()) };
        match circuit.until {
            Some(until) if now < until => Err(until),
            Some(_) => {
                circuit.until = Some(now.after(TRIES));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// It answered, whatever.
    pub(super) fn answered(&self, org: &OrgId, host: &str) {
        self.all().remove(&key(org, host));
    }

    /// It did not. Whether it is no longer called now.
    pub(super) fn failed(&self, org: &OrgId, host: &str, now: Moment) -> bool {
        let mut all = self.all();
        if all.len() >= MANY {
            all.retain(|_, circuit| circuit.at.after(REMEMBERED) > now);
        }
        let circuit = all.entry(key(org, host)).or_insert(Circuit { failures: 0, until: None, at: now });
        circuit.failures = circuit.failures.saturating_add(1);
        circuit.at = now;
        let Some(again) = circuit.failures.checked_sub(FAILURES) else { return false };
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(again)).min(LONGEST);
        circuit.until = Some(now.after(wait));
        true
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<(String, String), Circuit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(org: &OrgId, host: &str) -> (String, String) {
    (org.to_string(), host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_host_is_let_be_and_tried_by_one() {
        let (circuits, begun) = (Circuits::default(), Moment::from_micros(0));
        let (acme, other) = (OrgId::parse("acme").unwrap(), OrgId::parse("other").unwrap());
        let second = |n: u64| begun.after(Duration::from_secs(n));
        assert!(!circuits.failed(&acme, "h", begun) && !circuits.failed(&acme, "h", begun));
        assert_eq!(circuits.pass(&acme, "h", begun), Ok(()));
        assert!(circuits.failed(&acme, "h", begun));
        assert_eq!(circuits.pass(&acme, "h", second(14)), Err(second(15)));
        assert_eq!(circuits.pass(&other, "h", second(14)), Ok(()), "another org's");
        assert_eq!(circuits.pass(&acme, "i", second(14)), Ok(()), "another host");
        // One tries, the next is held off.
        assert_eq!(circuits.pass(&acme, "h", second(15)), Ok(()));
        assert_eq!(circuits.pass(&acme, "h", second(16)), Err(second(30)));
        assert!(circuits.failed(&acme, "h", second(17)));
        assert_eq!(circuits.pass(&acme, "h", second(46)), Err(second(47)), "twice as long");
        for n in 0..40 {
            circuits.failed(&acme, "h", second(50 + n));
        }
        assert_eq!(circuits.pass(&acme, "h", second(90)), Err(second(389)), "five minutes at most");
        circuits.answered(&acme, "h");
        assert_eq!(circuits.pass(&acme, "h", second(91)), Ok(()));
        assert!(!circuits.failed(&acme, "h", second(92)), "counted anew");
    }
}
