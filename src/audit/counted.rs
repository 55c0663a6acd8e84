//! An event that stands for many alike: what was counted for a while, and not put on record one by one.

use ipnet::IpNet;

use crate::audit::members::Members;
use crate::audit::{AuditEvent, Outcome, member};
use crate::clock::{Moment, NoRandomness};
use crate::ids::{ClientId, OrgId, UserId};

/// What was alike. All of it was verified, or is a word of ours.
#[derive(Clone, Copy)]
pub struct Counted<'a> {
    /// What was asked for.
    pub action: &'static str,
    /// The purpose of a lend.
    pub purpose: Option<&'static str>,
    /// How it ended.
    pub outcome: Outcome,
    /// The org that it is about.
    pub org: Option<&'a OrgId>,
    /// The user.
    pub user: Option<&'a UserId>,
    /// The service.
    pub client: Option<&'a ClientId>,
    /// The addresses that it came from.
    pub block: Option<IpNet>,
    /// How often.
    pub count: u64,
    /// The first time.
    pub since: Moment,
    /// The last.
    pub until: Moment,
}

impl AuditEvent {
    /// What was counted, in the chain of `trail`; `None` is the vault's own.
    pub fn counted(trail: Option<&OrgId>, counted: &Counted, now: Moment) -> Result<Self, NoRandomness> {
        let mut members = Members::new(now, counted.action, counted.outcome)?;
        let block = counted.block.map(|block| block.to_string());
        let known = [
            ("purpose", counted.purpose),
            (member::ORG, counted.org.map(OrgId::as_str)),
            (member::USER, counted.user.map(UserId::as_str)),
            (member::CLIENT, counted.client.map(ClientId::as_str)),
            (member::ADDRESS, block.as_deref()),
        ];
        for (name, value) in known {
            if let Some(value) = value {
                members.text(name, value);
            }
        }
        members.text("count", counted.count);
        members.text("since", counted.since);
        members.text("until", counted.until);
        Ok(members.render(trail.cloned()))
    }
}
