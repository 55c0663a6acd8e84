//! How often Odoo refused a login, over all orgs and of each: kept, so that a restart forgives nobody. Which login it
//! is stands there as a digest alone. And which credential Odoo took: what others were refused does not hold that.

use std::time::Duration;

use diesel::prelude::*;
use sha2::{Digest, Sha256};

use crate::clock::Moment;
use crate::ids::OrgId;
use crate::store::connections::StoredConnection;
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::schema::{connections, login_refusals};
use crate::store::scopes::Scopes;
use crate::store::tx::{Store, Tx};

/// So many refusals, and then one try an hour.
const MOST: i64 = 5;
const THEN_EVERY: Duration = Duration::from_secs(60 * 60);
/// After so long without one they are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How many forgotten ones go with one that comes.
const DROPPED_AT_ONCE: i64 = 100;

/// A login of a database of a host, as all orgs try it and as one does: the hex of SHA-256 over "pawl/v1/login" and
/// host, database and user name, and the org after them, each after its length in bytes as u64 big-endian. The port
/// is part of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginKey {
    all: String,
    own: String,
}

impl LoginKey {
    /// Of where a credential of `org` leads. The path of the URL does not matter, nor how the host is spelled.
    pub fn of(org: &OrgId, (url, database, username): (&str, &str, &str)) -> Self {
        let host = host(url);
        let all = [host.as_str(), database, username];
        Self { all: digest(&all), own: digest(&[all[0], database, username, org.as_str()]) }
    }

    fn both(&self) -> [&str; 2] {
        [&self.all, &self.own]
    }
}

fn digest(parts: &[&str]) -> String {
    let mut digest = Sha256::new().chain_update("pawl/v1/login");
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        digest.update(length.to_be_bytes());
        digest.update(part);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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
    /// What was counted against it beforehand, and when each was last counted before; a login that nobody was refused
    /// of late counts for nothing until it is.
    counted: Option<(Moment, [Option<Moment>; 2])>,
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
    /// Leave to try a login; or until when it is not to be tried. One that was refused of late counts as refused again
    /// until what came of it is told, so that many at once are no more tries than one after the other. An org that was
    /// refused nothing there of late has one try, whatever others were; and a credential that `was_taken` is no guess.
    pub async fn claim_login(
        &self,
        key: LoginKey,
        was_taken: bool,
        at: Moment,
        deadline: Duration,
    ) -> Result<Result<LoginClaim, Moment>, StoreError> {
        if was_taken {
            return Ok(Ok(LoginClaim { key, counted: None }));
        }
        let sought = key.clone();
        let look = move |db: &mut Db, _: &mut u32| find(db, &sought.all, at);
        let found =
            self.transact("look for refused login", Access::Read, Scopes::vault(), deadline, look).await?;
        if found.is_none() {
            return Ok(Ok(LoginClaim { key, counted: None }));
        }
        let claim = move |db: &mut Db, _: &mut u32| {
            let (all, own) = (find(db, &key.all, at)?, find(db, &key.own, at)?);
            if let (Some(until), Some(_)) = (all.and_then(|all| all.held(at)), own) {
                return Ok(Err(until));
            }
            count(db, &key, at)?;
            let before = [all, own].map(|found| found.map(|found| found.last_at));
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
                (LoginEnd::Unknown, Some((counted_at, before))) => {
                    let [all, own] = before;
                    uncount(db, &key.all, counted_at, all)?;
                    uncount(db, &key.own, counted_at, own)
                }
                (LoginEnd::Unknown, None) => Ok(()),
            }
        };
        self.transact("settle login", Access::Write, Scopes::vault(), deadline, settle).await
    }
}

impl Tx<'_> {
    /// Keeps of the credential of `tried`, as it was then, whether Odoo took it at last. Of another it says nothing.
    pub fn note_login(&mut self, tried: &StoredConnection, was_taken: bool) -> Result<(), StoreError> {
        diesel::update(
            connections::table
                .filter(connections::org_id.eq(tried.org.as_str()))
                .filter(connections::user_id.eq(tried.user.as_str()))
                .filter(connections::id.eq(tried.id.as_str()))
                .filter(connections::revision.eq(tried.revision.number())),
        )
        .set(connections::taken_revision.eq(was_taken.then_some(tried.revision.number())))
        .execute(self.db)?;
        Ok(())
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

fn find(db: &mut Db, login: &str, at: Moment) -> Result<Option<Refused>, StoreError> {
    let row: Option<(i64, i64)> = login_refusals::table
        .find(login)
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
    for login in key.both() {
        if diesel::update(login_refusals::table.find(login)).set(row).execute(db)? == 0 {
            diesel::insert_into(login_refusals::table)
                .values((
                    login_refusals::login.eq(login),
                    login_refusals::refused.eq(1),
                    login_refusals::last_at.eq(at.micros()),
                ))
                .execute(db)?;
        }
    }
    Ok(())
}

fn clear(db: &mut Db, key: &LoginKey) -> Result<(), StoreError> {
    for login in key.both() {
        diesel::delete(login_refusals::table.find(login)).execute(db)?;
    }
    Ok(())
}

/// Takes back what was counted beforehand, and when, if nobody was refused since.
fn uncount(db: &mut Db, login: &str, counted_at: Moment, before: Option<Moment>) -> Result<(), StoreError> {
    let row = login_refusals::table.find(login);
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
        let (acme, other) = (OrgId::parse("acme").unwrap(), OrgId::parse("other").unwrap());
        let of = |url, database, username| LoginKey::of(&acme, (url, database, username));
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
            assert!(other.all != one.all && other.own != one.own);
        }
        let others = LoginKey::of(&other, ("https://odoo.example", "db", "bot"));
        assert!(others.all == one.all && others.own != one.own && one.own != one.all);
        assert_eq!(one.all.len(), 64);
    }
}
