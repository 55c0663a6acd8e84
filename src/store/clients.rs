//! Registered services, and the assertions of theirs that were exchanged: each once.

use std::time::Duration;

use diesel::prelude::*;

use crate::access::{Client, LEEWAY};
use crate::audit::{AuditEvent, Slot};
use crate::client_key::PublicKey;
use crate::clock::Moment;
use crate::ids::{ClientId, OrgId, TokenId, UserId};
use crate::store::db::{Access, Db};
use crate::store::error::StoreError;
use crate::store::events::append;
use crate::store::schema::{client_assertions, clients};
use crate::store::scopes::Scopes;
use crate::store::tx::Store;
use crate::store::upkeep::Upkeep;

/// An assertion that is exchanged.
pub struct Exchange {
    /// Whose it is, as they were found.
    pub client: Client,
    /// Its name.
    pub jti: TokenId,
    /// It would be taken until then.
    pub until: Moment,
    /// The record of what it is exchanged for, or that it is used up for nothing; none where that is counted.
    pub event: Option<AuditEvent>,
    /// The place of that record, where it is a denial.
    pub slot: Option<Slot>,
    /// Now.
    pub at: Moment,
}

/// Why it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotExchanged {
    /// It was, before.
    Replayed,
    /// The client is not registered like that any more.
    Gone,
}

/// How many that are over go with one that comes.
const DROPPED_AT_ONCE: i64 = 100;

impl Store {
    /// The client of that name.
    pub async fn find_client(&self, id: ClientId, deadline: Duration) -> Result<Option<Client>, StoreError> {
        self.transact("find client", Access::Read, Scopes::vault(), deadline, move |db, _| {
            find_client(db, &id)
        })
        .await
    }

    /// Notes that the assertion was exchanged, and the event in the chain that it belongs to: both durable when
    /// this answers, on whichever replica, and neither a second time.
    pub async fn exchange(
        &self,
        exchange: Exchange,
        deadline: Duration,
    ) -> Result<Result<(), NotExchanged>, StoreError> {
        let org = exchange.event.as_ref().and_then(AuditEvent::org);
        let scopes = org.map_or_else(Scopes::vault, Scopes::of_org);
        let exchanged = self
            .transact("exchange", Access::Write, scopes, deadline, move |db, appended| {
                let is_same = find_client(db, &exchange.client.id)?.is_some_and(|client| {
                    client.key == exchange.client.key && client.created_at == exchange.client.created_at
                });
                if !is_same {
                    return Ok(Err(NotExchanged::Gone));
                }
                drop_old(db, &exchange.client.id, exchange.at)?;
                diesel::insert_into(client_assertions::table)
                    .values((
                        client_assertions::client_id.eq(exchange.client.id.as_str()),
                        client_assertions::jti.eq(exchange.jti.as_str()),
                        client_assertions::kept_until.eq(exchange.until.micros()),
                    ))
                    .execute(db)?;
                if let Some(event) = &exchange.event {
                    exchange.slot.iter().for_each(Slot::fill);
                    append(db, event)?;
                    *appended += 1;
                }
                Ok(Ok(()))
            })
            .await;
        match exchanged {
            // Nothing else in it is unique but a place in the chain, which the transaction holds.
            Err(StoreError::Duplicate) => Ok(Err(NotExchanged::Replayed)),
            exchanged => exchanged,
        }
    }
}

impl Upkeep<'_> {
    /// Registers a client. [`StoreError::Duplicate`] if there is one of that name.
    pub fn insert_client(&mut self, client: &Client) -> Result<(), StoreError> {
        let orgs = client.orgs.as_ref().map(|orgs| list(orgs.iter().map(OrgId::as_str)));
        diesel::insert_into(clients::table)
            .values((
                clients::id.eq(client.id.as_str()),
                clients::public_key.eq(client.key.to_text()),
                clients::roles.eq(list(client.roles.iter().map(String::as_str))),
                clients::orgs.eq(orgs),
                clients::user_id.eq(client.user.as_ref().map(UserId::as_str)),
                clients::created_at.eq(client.created_at.micros()),
            ))
            .execute(self.db)?;
        Ok(())
    }

    /// Every client, by name.
    pub fn find_clients(&mut self) -> Result<Vec<Client>, StoreError> {
        let rows: Vec<Columns> =
            clients::table.order(clients::id.asc()).select(Columns::as_select()).load(self.db)?;
        rows.into_iter().map(Columns::parse).collect()
    }

    /// Removes the client of that name, and answers it.
    pub fn remove_client(&mut self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let found = find_client(self.db, id)?;
        diesel::delete(clients::table.find(id.as_str())).execute(self.db)?;
        Ok(found)
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = clients)]
struct Columns {
    id: String,
    public_key: String,
    roles: String,
    orgs: Option<String>,
    user_id: Option<String>,
    created_at: i64,
}

impl Columns {
    fn parse(self) -> Result<Client, StoreError> {
        let damaged = || StoreError::Damaged("clients");
        let orgs = self.orgs.map(|orgs| serde_json::from_str(&orgs)).transpose();
        Ok(Client {
            id: ClientId::parse(&self.id).map_err(|_| damaged())?,
            key: PublicKey::from_text(&self.public_key).map_err(|_| damaged())?,
            roles: serde_json::from_str(&self.roles).map_err(|_| damaged())?,
            orgs: orgs.map_err(|_| damaged())?,
            user: self.user_id.as_deref().map(UserId::parse).transpose().map_err(|_| damaged())?,
            created_at: Moment::from_micros(self.created_at),
        })
    }
}

fn find_client(db: &mut Db, id: &ClientId) -> Result<Option<Client>, StoreError> {
    let row: Option<Columns> =
        clients::table.find(id.as_str()).select(Columns::as_select()).first(db).optional()?;
    row.map(Columns::parse).transpose()
}

/// Only the client's own, so that no two transactions wait for each other in both directions.
fn drop_old(db: &mut Db, client: &ClientId, at: Moment) -> Result<(), StoreError> {
    let old = client_assertions::table
        .filter(client_assertions::client_id.eq(client.as_str()))
        .filter(client_assertions::kept_until.le(at.before(2 * LEEWAY).micros()));
    let until = client_assertions::kept_until;
    let oldest: Vec<i64> = old.order(until.asc()).limit(DROPPED_AT_ONCE).select(until).load(db)?;
    let Some(last) = oldest.last() else { return Ok(()) };
    diesel::delete(old.filter(until.le(*last))).execute(db)?;
    Ok(())
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from_iter(names).to_string()
}
