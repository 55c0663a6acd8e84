//! Credentials that end by their own date: which are about to, of all orgs, and that it was told; once for each
//! threshold until the credential is replaced.

use std::time::Duration;

use diesel::prelude::*;

use crate::audit::AuditEvent;
use crate::clock::Moment;
use crate::ids::{ConnectionId, OrgId, Revision, UserId};
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::events::append;
use crate::store::schema::connections;
use crate::store::scopes::{NarrowRole, Scopes};
use crate::store::tx::Store;

/// At how many days before the end it is told.
pub const EXPIRY_DAYS: [i64; 3] = [14, 7, 1];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How many one look takes.
const AT_ONCE: i64 = 200;

/// The least of [`EXPIRY_DAYS`] that `ends` is within, if it is within any; also of what has ended already.
pub fn expiry_days(ends: Moment, now: Moment) -> Option<i64> {
    let is_within = |days: &i64| now.after(DAY * u32::try_from(*days).unwrap_or(0)) >= ends;
    EXPIRY_DAYS.into_iter().filter(is_within).min()
}

/// A credential that ends soon, and has not been told of at this threshold.
#[derive(Clone, Debug)]
pub struct Expiring {
    /// Whose.
    pub org: OrgId,
    /// Of which connection.
    pub connection: ConnectionId,
    /// Which of its credentials.
    pub revision: Revision,
    /// When it ends.
    pub ends: Moment,
    /// The threshold: 14, 7 or 1.
    pub days: i64,
}

/// What is told with it.
pub struct Told {
    /// Whose user's connection it is.
    pub user: UserId,
    /// What people call it.
    pub label: Option<String>,
}

/// How far a look has come: the end and the id of the last that was looked at.
pub type ExpiryCursor = (i64, String);

impl Store {
    /// The next credentials after `after` that are to be told of at `at`, soonest first; and how far that was, `None`
    /// when there are no more.
    pub async fn find_expiring(
        &self,
        after: Option<ExpiryCursor>,
        at: Moment,
        deadline: Duration,
    ) -> Result<(Vec<Expiring>, Option<ExpiryCursor>), StoreError> {
        self.transact("look for expiring", Access::Read, Scopes::vault(), deadline, move |db, _| {
            db.become_role(NarrowRole::Expiry)?;
            let rows = load(db, after, at)?;
            let is_last = i64::try_from(rows.len()).unwrap_or(AT_ONCE) < AT_ONCE;
            let last = rows.last().map(|row| (row.3, row.0.clone())).filter(|_| !is_last);
            let mut found = Vec::new();
            for (id, org, revision, ends, warned) in rows {
                let ends = Moment::from_micros(ends);
                let Some(days) = expiry_days(ends, at) else { continue };
                if warned.is_some_and(|warned| warned <= days) {
                    continue;
                }
                let parsed = (OrgId::parse(&org), ConnectionId::parse(&id));
                let (Ok(org), Ok(connection)) = parsed else {
                    tracing::error!(connection = id, "a connection is damaged, and its end is not told of");
                    continue;
                };
                let revision = Revision::from_number(revision);
                found.push(Expiring { org, connection, revision, ends, days });
            }
            Ok((found, last))
        })
        .await
    }

    /// Notes that it was told, with the event, if it is still to be. Whether it was.
    pub async fn tell_expiring(
        &self,
        expiring: Expiring,
        event: impl FnOnce(&Expiring, &Told) -> Result<AuditEvent, StoreError> + Send + 'static,
        deadline: Duration,
    ) -> Result<bool, StoreError> {
        let scopes = Scopes::of_org(&expiring.org);
        self.transact("tell expiring", Access::Write, scopes, deadline, move |db, appended| {
            let own = connections::table
                .filter(connections::org_id.eq(expiring.org.as_str()))
                .filter(connections::id.eq(expiring.connection.as_str()));
            let is_to_be_told = own
                .filter(connections::revision.eq(expiring.revision.number()))
                .filter(connections::credential_expires_at.eq(expiring.ends.micros()))
                .filter(
                    connections::expiry_warned.is_null().or(connections::expiry_warned.gt(expiring.days)),
                );
            let told = diesel::update(is_to_be_told)
                .set(connections::expiry_warned.eq(Some(expiring.days)))
                .execute(db)?;
            if told == 0 {
                return Ok(false);
            }
            let (user, label): (String, Option<String>) =
                own.select((connections::user_id, connections::label)).first(db)?;
            let user = UserId::parse(&user).map_err(|_| StoreError::Damaged("connections"))?;
            append(db, &event(&expiring, &Told { user, label })?)?;
            *appended += 1;
            Ok(true)
        })
        .await
    }
}

type Row = (String, String, i64, i64, Option<i64>);

/// Those that end within the longest threshold, or have ended no longer ago than that.
fn load(db: &mut Db, after: Option<ExpiryCursor>, at: Moment) -> Result<Vec<Row>, StoreError> {
    let longest = DAY * u32::try_from(EXPIRY_DAYS[0]).unwrap_or(0);
    let ends = connections::credential_expires_at;
    let mut rows = connections::table
        .filter(ends.gt(at.before(longest).micros()))
        .filter(ends.le(at.after(longest).micros()))
        .into_boxed();
    if let Some((last, id)) = after {
        rows = rows.filter(ends.gt(last).or(ends.eq(last).and(connections::id.gt(id))));
    }
    Ok(rows
        .order((ends.asc(), connections::id.asc()))
        .limit(AT_ONCE)
        .select((
            connections::id,
            connections::org_id,
            connections::revision,
            ends.assume_not_null(),
            connections::expiry_warned,
        ))
        .load(db)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_threshold_is_the_one_that_counts() {
        let now = Moment::from_micros(0);
        let ends = |hours: u64| now.after(Duration::from_secs(hours * 3600));
        for (hours, days) in [
            (0, Some(1)),
            (24, Some(1)),
            (25, Some(7)),
            (7 * 24, Some(7)),
            (7 * 24 + 1, Some(14)),
            (14 * 24, Some(14)),
            (14 * 24 + 1, None),
        ] {
            assert_eq!(expiry_days(ends(hours), now), days, "{hours}");
        }
    }
}
