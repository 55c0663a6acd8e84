//! How often Odoo refused a login, over all orgs: kept, so that a restart forgives nobody. Which login it is stands
//! there as a digest alone.

use std::time::Duration;

use diesel::prelude::*;
use sha2::{Digest, Sha256};

use crate::clock::Moment;
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::schema::login_refusals;
use crate::store::scopes::Scopes;
use crate::store::tx::Store;

/// So many refusals, and then one try an hour.
const MOST: i64 = 5;
const THEN_EVERY: Duration = Duration::from_secs(60 * 60);
/// After so long without one they are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How many forgotten ones go with one that comes.
const DROPPED_AT_ONCE: i64 = 100;

/// A login of a database of a host: the hex of SHA-256 over "pawl/v1/login" and the three, each after its length in
/// bytes as u64 big-endian. The port is part of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginKey(String);

impl LoginKey {
    /// Of where a credential leads. The path of the URL does not matter, nor how the host is spelled.
    pub fn of((url, database, username): (&str, &str, &str)) -> Self {
        let mut digest = Sha256::new().chain_update("pawl/v1/login");
        for part in [host(url).as_str(), database, username] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            digest.update(length.to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The host of a deposited URL, and its port.
pub fn host(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    host.map_or_else(|| url.to_owned(), |(host, port)| format!("{}:{port}", host.trim_end_matches('.')))
}

/// A login that may be tried, until what came of it is told.
#[derive(Clone, Debug)]
#[must_use = "what came of it is to be told"]
pub struct LoginClaim {
    key: LoginKey,
    /// What was counted against it beforehand, and what it stood at before; a login that nobody was refused of late
    /// counts for nothing until it is.
    counted: Option<(Moment, Option<Moment>)>,
}

/// What came of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginEnd {
    /// It was taken.
    Taken,
    /// It was refused.
    Refused,
    /// Nobody said.
    Unknown,
}

impl Store {
    /// Until when a login is not to be tried, if it was refused too often. Changes nothing.
    pub async fn find_held_login(
        &self,
        key: LoginKey,
        at: Moment,
        deadline: Duration,
    ) -> Result<Option<Moment>, StoreError> {
        let look = move |db: &mut Db, _: &mut u32| Ok(find(db, &key, at)?.and_then(|found| found.held(at)));
        self.transact("look for refused login", Access::Read, Scopes::vault(), deadline, look).await
    }

    /// Leave to try a login; or until when it is not to be tried. One that was refused of late counts as refused again
    /// until what came of it is told, so that many at once are no more tries than one after the other.
    pub async fn claim_login(
        &self,
        key: LoginKey,
        at: Moment,
        deadline: Duration,
    ) -> Result<Result<LoginClaim, Moment>, StoreError> {
        let own = key.clone();
        let look = move |db: &mut Db, _: &mut u32| find(db, &own, at);
        let found =
            self.transact("look for refused login", Access::Read, Scopes::vault(), deadline, look).await?;
        if found.is_none() {
            return Ok(Ok(LoginClaim { key, counted: None }));
        }
        let claim = move |db: &mut Db, _: &mut u32| {
            let found = find(db, &key, at)?;
            if let Some(until) = found.and_then(|found| found.held(at)) {
                return Ok(Err(until));
            }
            count(db, &key, at)?;
            let before = found.map(|found| found.last_at);
            Ok::<_, StoreError>(Ok(LoginClaim { key, counted: Some((at, before)) }))
        };
        self.transact("claim login", Access::Write, Scopes::vault(), deadline, claim).await
    }

    /// Tells what came of it.
    pub async fn settle_login(
        &self,
        claim: LoginClaim,
        end: LoginEnd,
        at: Moment,
        deadline: Duration,
    ) -> Result<(), StoreError> {
        match (end, &claim.counted) {
            // What was counted stays; and nobody had been refused.
            (LoginEnd::Refused, Some(_)) | (LoginEnd::Taken | LoginEnd::Unknown, None) => return Ok(()),
            _ => {}
        }
        let settle = move |db: &mut Db, _: &mut u32| {
            let LoginClaim { key, counted } = claim;
            match (end, counted) {
                (LoginEnd::Refused, _) => count(db, &key, at),
                (LoginEnd::Taken, _) => clear(db, &key),
                (LoginEnd::Unknown, Some((counted_at, before))) => uncount(db, &key, counted_at, before),
                (LoginEnd::Unknown, None) => Ok(()),
            }
        };
        self.transact("settle login", Access::Write, Scopes::vault(), deadline, settle).await
    }
}

#[derive(Clone, Copy)]
struct Refused {
    refused: i64,
    last_at: Moment,
}

impl Refused {
    fn held(self, at: Moment) -> Option<Moment> {
        let until = self.last_at.after(THEN_EVERY);
        (self.refused >= MOST && until > at).then_some(until)
    }
}

fn find(db: &mut Db, key: &LoginKey, at: Moment) -> Result<Option<Refused>, StoreError> {
    let row: Option<(i64, i64)> = login_refusals::table
        .find(&key.0)
        .filter(login_refusals::last_at.gt(at.before(FORGOTTEN_AFTER).micros()))
        .select((login_refusals::refused, login_refusals::last_at))
        .first(db)
        .optional()?;
    Ok(row.map(|(refused, last_at)| Refused { refused, last_at: Moment::from_micros(last_at) }))
}

fn count(db: &mut Db, key: &LoginKey, at: Moment) -> Result<(), StoreError> {
    let forgotten = login_refusals::table
        .filter(login_refusals::last_at.le(at.before(FORGOTTEN_AFTER).micros()))
        .select(login_refusals::login)
        .limit(DROPPED_AT_ONCE);
    let forgotten: Vec<String> = forgotten.load(db)?;
    for login in &forgotten {
        diesel::delete(login_refusals::table.find(login)).execute(db)?;
    }
    let row =
        (login_refusals::refused.eq(login_refusals::refused + 1), login_refusals::last_at.eq(at.micros()));
    // Nobody else makes it: the transaction holds the vault's own rows.
    if diesel::update(login_refusals::table.find(&key.0)).set(row).execute(db)? == 0 {
        diesel::insert_into(login_refusals::table)
            .values((
                login_refusals::login.eq(&key.0),
                login_refusals::refused.eq(1),
                login_refusals::last_at.eq(at.micros()),
            ))
            .execute(db)?;
    }
    Ok(())
}

fn clear(db: &mut Db, key: &LoginKey) -> Result<(), StoreError> {
    diesel::delete(login_refusals::table.find(&key.0)).execute(db)?;
    Ok(())
}

/// Takes back what was counted beforehand, and when, if nobody was refused since.
fn uncount(
    db: &mut Db,
    key: &LoginKey,
    counted_at: Moment,
    before: Option<Moment>,
) -> Result<(), StoreError> {
    let row = login_refusals::table.find(&key.0);
    diesel::delete(row.filter(login_refusals::refused.le(1))).execute(db)?;
    diesel::update(row).set(login_refusals::refused.eq(login_refusals::refused - 1)).execute(db)?;
    if let Some(before) = before {
        diesel::update(row.filter(login_refusals::last_at.eq(counted_at.micros())))
            .set(login_refusals::last_at.eq(before.micros()))
            .execute(db)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_the_same_however_its_host_is_spelled_and_another_where_parts_move() {
        let of = |url, database, username| LoginKey::of((url, database, username));
        let one = of("https://odoo.example", "db", "bot");
        for same in ["https://ODOO.example/", "https://odoo.example:443", "https://odoo.example./x?y"] {
            assert_eq!(of(same, "db", "bot"), one, "{same}");
        }
        for other in [
            of("https://odoo.example:8443", "db", "bot"),
            of("https://odoo.example", "dbb", "ot"),
            of("https://odoo.example", "db", "bot2"),
            of("https://odoo.exampl", "edb", "bot"),
        ] {
            assert_ne!(other, one);
        }
        assert_eq!(one.0.len(), 64);
    }
}
