//! Read the org's trail, as it was stored, newest first. That it was read is on record before it is answered.

use std::time::{Duration, Instant};

use crate::access::{Action, Scope};
use crate::audit::{Actor, AuditEvent, Glance};
use crate::clock::Moment;
use crate::error::Error;
use crate::ids::{ClientId, ConnectionId, UserId};
use crate::store::{OrgProof, RawEvent, Sought, StoreError, Tx};
use crate::vault::{DEADLINE, Page, Vault};

/// For so long one page is looked for.
const LOOK_FOR: Duration = Duration::from_secs(1);
/// An event's time is taken when it is asked for, and by the clock of its replica: in a chain times are in order but
/// for as much as this.
pub(super) const SLACK: Duration = Duration::from_secs(5 * 60);

/// Which events are looked for.
#[derive(Clone, Debug, Default)]
pub struct TrailFilter {
    /// Not before.
    pub from: Option<Moment>,
    /// Not after.
    pub to: Option<Moment>,
    /// Of this connection.
    pub connection: Option<ConnectionId>,
    /// For this user.
    pub user: Option<UserId>,
    /// By this service.
    pub client: Option<ClientId>,
    /// Of this action.
    pub action: Option<String>,
    /// Done, or not done.
    pub is_success: Option<bool>,
}

impl TrailFilter {
    /// As the trail tells it; `None` where all are looked for.
    pub(super) fn told(&self, more: &[(&str, String)]) -> Option<String> {
        let outcome = self.is_success.map(|is_success| if is_success { "success" } else { "failure" });
        let members = [
            ("from", self.from.map(|from| from.to_string())),
            ("to", self.to.map(|to| to.to_string())),
            ("connection_id", self.connection.as_ref().map(ToString::to_string)),
            ("user", self.user.as_ref().map(ToString::to_string)),
            ("client_id", self.client.as_ref().map(ToString::to_string)),
            ("action", self.action.clone()),
            ("outcome", outcome.map(ToOwned::to_owned)),
        ];
        let members = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let more = more.iter().map(|(name, value)| (*name, value.clone()));
        let told: Vec<String> = members.chain(more).map(|(name, value)| format!("{name}={value}")).collect();
        (!told.is_empty()).then(|| told.join(" "))
    }

    fn is_empty(&self) -> bool {
        self.told(&[]).is_none()
    }

    /// What of an event can't be read is never passed over.
    fn judge(&self, event: &[u8]) -> Sought {
        let Some(glance) = Glance::at(event) else { return Sought::Taken };
        let Some(time) = glance.time() else { return Sought::Taken };
        if self.from.is_some_and(|from| time < from.before(SLACK)) {
            return if glance.is_count() { Sought::Passed } else { Sought::Last };
        }
        let same = |wanted: Option<&str>, found: Option<&str>| wanted.is_none() || wanted == found;
        let is_sought = self.from.is_none_or(|from| time >= from)
            && self.to.is_none_or(|to| time <= to)
            && same(self.connection.as_ref().map(ConnectionId::as_str), glance.connection.as_deref())
            && same(self.user.as_ref().map(UserId::as_str), glance.user.as_deref())
            && same(self.client.as_ref().map(ClientId::as_str), glance.client.as_deref())
            && same(self.action.as_deref(), Some(&glance.action))
            && self.is_success.is_none_or(|is_success| is_success == glance.is_success());
        if is_sought { Sought::Taken } else { Sought::Passed }
    }
}

impl Vault {
    /// Those of the org's events that `filter` wants, newest first, before number `page.after`; and where it goes on.
    /// A page may have fewer than were asked for, or none, and still go on.
    pub async fn read_trail(
        &self,
        actor: &Actor,
        filter: TrailFilter,
        page: Page<i64>,
    ) -> Result<(Vec<RawEvent>, Option<i64>), Error> {
        let scope = self.allow(actor, Action::ReadAudit).await?;
        let cursor = page.after.map(|before| ("cursor", before.to_string()));
        let told = filter.told(cursor.as_slice());
        let look = move |tx: &mut Tx| {
            let mut chain = tx.chain();
            let before = match (page.after, filter.to) {
                (None, Some(to)) => Some(chain.find_first_after(to.after(SLACK))?),
                (after, _) => after,
            };
            let step = filter.is_empty().then(|| page.probe());
            let judge = |event: &[u8]| filter.judge(event);
            chain.search((before, page.limit.into()), Instant::now() + LOOK_FOR, &judge, step)
        };
        let found = self.store.view("read trail", scope.clone(), DEADLINE, look).await?;
        let told = told.as_deref().map(|told| ("filter", told));
        self.record_reading(actor, scope, "audit.read", told.as_slice()).await?;
        Ok((found.items, found.before))
    }

    /// Durable when this answers; counted where half of the day's events are used up, or the disk has no room for what
    /// need not be told.
    pub(super) async fn record_reading(
        &self,
        actor: &Actor,
        scope: Scope,
        action: &'static str,
        more: &[(&'static str, &str)],
    ) -> Result<(), Error> {
        let at = self.clock.now();
        let event = AuditEvent::of_reading(actor, action, more, at)?;
        let record = move |tx: &mut Tx| match tx.has_room_for_readings(at)? {
            true => tx.append(&event).map(|()| true),
            false => Ok::<_, StoreError>(false),
        };
        let is_told =
            !self.is_below_reserve() && self.store.run("record reading", scope, DEADLINE, record).await?;
        if !is_told {
            self.untold.count_reading(actor, action);
        }
        Ok(())
    }

    /// The newest checkpoint of the log over all chains, and its proofs for the caller's org; `None` before the first.
    pub async fn read_checkpoint(&self, actor: &Actor) -> Result<Option<OrgProof>, Error> {
        let scope = self.allow(actor, Action::ReadAudit).await?;
        let look = |tx: &mut Tx| Ok::<_, Error>(tx.find_proof()?);
        let proof = self.store.view("read checkpoint", scope.clone(), DEADLINE, look).await?;
        self.record_reading(actor, scope, "audit.checkpoint", &[]).await?;
        Ok(proof)
    }
}
