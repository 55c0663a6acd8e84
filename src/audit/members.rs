//! What an event is made of: texts by name, sorted, rendered once. The names are the ones that `docs/audit.md` explains.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use crate::audit::event::{AuditEvent, Call, Outcome, Subject};
use crate::clock::{Moment, NoRandomness};
use crate::ids::{ClientId, EventId, OrgId, UserId};

/// The version of what events hold: raised when a member changes its meaning or goes.
pub const SCHEMA: &str = "1";

/// What is on record when events are let go of: which, by [`member::PRUNED_FIRST`] and those beside it.
pub const PRUNE: &str = "audit.prune";

/// The members, by their names in an event. The rest are named where they are told.
pub mod member {
    /// [`super::SCHEMA`].
    pub const SCHEMA: &str = "schema";
    /// The event's id.
    pub const UID: &str = "metadata.uid";
    /// When.
    pub const TIME: &str = "time_dt";
    /// What was done.
    pub const ACTION: &str = "activity_name";
    /// `Success` or `Failure`.
    pub const STATUS: &str = "status";
    /// Why, or what came of it.
    pub const DETAIL: &str = "status_detail";
    /// The org.
    pub const ORG: &str = "actor.user.org.uid";
    /// The user that was acted for.
    pub const USER: &str = "actor.user.uid";
    /// The service that acted.
    pub const CLIENT: &str = "actor.app_uid";
    /// The address it came from.
    pub const ADDRESS: &str = "src_endpoint.ip";
    /// The request.
    pub const REQUEST: &str = "api.request.uid";
    /// The trace that the request is of.
    pub const TRACE: &str = "trace.uid";
    /// The connection.
    pub const CONNECTION: &str = "connection.uid";
    /// What people called the connection then.
    pub const LABEL: &str = "connection.label";
    /// The lease.
    pub const LEASE: &str = "lease.uid";
    /// The first event that was let go of.
    pub const PRUNED_FIRST: &str = "pruned.first";
    /// The last one.
    pub const PRUNED_LAST: &str = "pruned.last";
    /// The hash of the last one.
    pub const PRUNED_HASH: &str = "pruned.hash";
}

/// An event that is being made: its texts, one behind the other, and what each is of and where it ends.
pub(super) struct Members {
    at: Moment,
    texts: String,
    ends: Vec<(&'static str, usize)>,
}

/// As many as a lend's, and their bytes; what the names and the form of JSON add to one of them.
const MEMBERS: usize = 16;
const TEXT_BYTES: usize = 320;
const NAME_BYTES: usize = 32;

impl Members {
    pub(super) fn new(now: Moment, action: &str, outcome: Outcome) -> Result<Self, NoRandomness> {
        let (texts, ends) = (String::with_capacity(TEXT_BYTES), Vec::with_capacity(MEMBERS));
        let mut members = Self { at: now, texts, ends };
        members.text(member::SCHEMA, SCHEMA);
        members.text(member::UID, EventId::new(now)?.as_str());
        members.text(member::TIME, now);
        members.text(member::ACTION, action);
        let (status, detail) = match outcome {
            Outcome::Done => ("Success", None),
            Outcome::DoneWith(result) => ("Success", Some(result)),
            Outcome::Refused(cause) => ("Failure", Some(cause)),
        };
        members.text(member::STATUS, status);
        if let Some(detail) = detail {
            members.text(member::DETAIL, detail);
        }
        Ok(members)
    }

    pub(super) fn call(&mut self, Call { request, address, trace }: &Call) {
        self.text(member::REQUEST, request.as_str());
        if let Some(address) = address {
            self.text(member::ADDRESS, address);
        }
        if let Some(trace) = trace {
            self.text(member::TRACE, trace);
        }
    }

    pub(super) fn subject(&mut self, Subject { connection, label, lease }: Subject) {
        if let Some(connection) = connection {
            self.text(member::CONNECTION, connection.as_str());
        }
        if let Some(label) = label {
            self.text(member::LABEL, label);
        }
        if let Some(lease) = lease {
            self.text(member::LEASE, lease.as_str());
        }
    }

    pub(super) fn who(&mut self, org: &OrgId, user: &UserId, client: &ClientId) {
        self.text(member::ORG, org.as_str());
        self.text(member::USER, user.as_str());
        self.text(member::CLIENT, client.as_str());
    }

    pub(super) fn text(&mut self, name: &'static str, value: impl Display) {
        // Nothing that is written into a String fails.
        let _ = write!(self.texts, "{value}");
        self.ends.push((name, self.texts.len()));
    }

    pub(super) fn render(self, org: Option<OrgId>) -> AuditEvent {
        let mut begin = 0;
        let texts = self.ends.iter().map(|(name, end)| {
            let text = self.texts.get(begin..*end).unwrap_or_default();
            begin = *end;
            (*name, text)
        });
        // Of two with one name the last counts.
        let texts: BTreeMap<_, _> = texts.collect();
        let mut bytes = Vec::with_capacity(self.texts.len() + NAME_BYTES * texts.len());
        // Texts under texts always render.
        let _ = serde_json::to_writer(&mut bytes, &texts);
        AuditEvent::rendered(org, self.at, String::from_utf8(bytes).unwrap_or_default())
    }
}
