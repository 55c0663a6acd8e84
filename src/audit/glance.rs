//! A light look at an event: the members that a trail is searched by, and no copy where none is needed.

use std::borrow::Cow;

use serde::Deserialize;

use crate::clock::Moment;

/// Some members of an event.
#[derive(Deserialize)]
pub struct Glance<'a> {
    #[serde(borrow, rename = "time_dt")]
    time: Cow<'a, str>,
    /// What was done.
    #[serde(borrow, rename = "activity_name")]
    pub action: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    /// For which user.
    #[serde(borrow, default, rename = "actor.user.uid")]
    pub user: Option<Cow<'a, str>>,
    /// By which service.
    #[serde(borrow, default, rename = "actor.app_uid")]
    pub client: Option<Cow<'a, str>>,
    /// To which connection.
    #[serde(borrow, default, rename = "connection.uid")]
    pub connection: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    count: Option<Cow<'a, str>>,
}

impl<'a> Glance<'a> {
    /// At the event of these bytes; `None` if they are none.
    pub fn at(event: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(event).ok()
    }

    /// When it was.
    pub fn time(&self) -> Option<Moment> {
        Moment::parse(&self.time)
    }

    /// Whether it tells of several that were counted: it may be recorded long after its time.
    pub fn is_count(&self) -> bool {
        self.count.is_some()
    }

    /// Whether it was done.
    pub fn is_success(&self) -> bool {
        self.status == "Success"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditEvent, member};

    #[test]
    fn it_sees_what_the_event_says() {
        let now = Moment::from_micros(1_700_000_000_000_001);
        let event = AuditEvent::of_vault_with("key.make", "k1", &[(member::CLIENT, "a \"b\"")], now).unwrap();
        let glance = Glance::at(event.as_str().as_bytes()).unwrap();
        assert_eq!((glance.time(), &*glance.action, glance.is_success()), (Some(now), "key.make", true));
        assert_eq!((glance.client.as_deref(), glance.user.as_deref()), (Some("a \"b\""), None));
        assert!(Glance::at(b"{}").is_none() && Glance::at(b"\xff").is_none());
    }
}
