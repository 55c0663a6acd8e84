//! The services that may ask for tokens, and what of theirs is not taken any more: kept on the host, each change on
//! record in the vault's own chain and in those of the orgs that it is about.

use std::collections::BTreeSet;

use crate::access::{Client, LEEWAY, LONGEST_TAKEN, OPERATOR, Revocation, Role};
use crate::audit::AuditEvent;
use crate::clock::{Clock, Moment, NoRandomness};
use crate::ids::{ClientId, OrgId, TokenId};
use crate::store::{Store, StoreError, Upkeep};

/// What the host's own command line calls with.
const RESERVED: &str = "cli";

/// The register of services. Its calls block.
pub struct Registry {
    store: Store,
    clock: Clock,
}

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum NotRegistered {
    /// The name is the host's own.
    #[error("the name {RESERVED} is this command line's own")]
    Reserved,
    /// There is one.
    #[error("there is a client {0} already: remove it first, or take another name")]
    Exists(ClientId),
    /// There is none.
    #[error("there is no client {0}")]
    Unknown(ClientId),
    /// No such role.
    #[error("there is no role {0}")]
    UnknownRole(String),
    /// Nothing that it could do.
    #[error("a client needs a role")]
    NoRole,
    /// An operator and something else.
    #[error("an operator has no other role, no org and no user")]
    OperatorAlone,
    /// Nowhere that it could act.
    #[error("say for which orgs: --org ORG…, or --any-org")]
    NoOrg,
    /// A time ahead would lock its client out.
    #[error("the time lies ahead")]
    Ahead,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl Registry {
    /// The register in `store`.
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// The present moment, for `created_at`.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Registers a service.
    pub fn add(&self, mut client: Client) -> Result<(), NotRegistered> {
        self.judge(&mut client)?;
        let at = client.created_at;
        self.store.upkeep("add client", |tx| {
            tx.insert_client(&client).map_err(|error| match error {
                StoreError::Duplicate => NotRegistered::Exists(client.id.clone()),
                error => error.into(),
            })?;
            record(tx, "client.add", &client, at)
        })
    }

    fn judge(&self, client: &mut Client) -> Result<(), NotRegistered> {
        if client.id.as_str() == RESERVED {
            return Err(NotRegistered::Reserved);
        }
        if let Some(unknown) = client.roles.iter().find(|role| Role::parse(role).is_none()) {
            return Err(NotRegistered::UnknownRole(unknown.clone()));
        }
        let roles: BTreeSet<String> = client.roles.drain(..).collect();
        client.roles = roles.into_iter().collect();
        let no_orgs = client.orgs.as_ref().is_some_and(Vec::is_empty);
        match client.roles.as_slice() {
            [] => Err(NotRegistered::NoRole),
            [only] if only == OPERATOR && no_orgs && client.user.is_none() => Ok(()),
            roles if roles.iter().any(|role| role == OPERATOR) => Err(NotRegistered::OperatorAlone),
            _ if no_orgs => Err(NotRegistered::NoOrg),
            _ => Ok(()),
        }
    }

    /// Every service, by name.
    pub fn list(&self) -> Result<Vec<Client>, NotRegistered> {
        Ok(self.store.upkeep("list clients", |tx| tx.find_clients())?)
    }

    /// Removes a service, and revokes all that it has; also what a replica is just issuing.
    pub fn remove(&self, id: &ClientId) -> Result<(), NotRegistered> {
        let at = self.clock.now();
        self.store.upkeep("remove client", |tx| {
            let client = tx.remove_client(id)?.ok_or_else(|| NotRegistered::Unknown(id.clone()))?;
            let until = at.after(LEEWAY);
            let all = Revocation::Client(id.clone(), until);
            tx.insert_revocation(&all, until.after(LONGEST_TAKEN), at)?;
            record(tx, "client.remove", &client, at)
        })
    }

    /// Lets one token not be taken any more, on any replica within two seconds.
    pub fn revoke_token(&self, id: &TokenId) -> Result<(), NotRegistered> {
        let at = self.clock.now();
        let event = AuditEvent::of_vault("token.revoke", id.as_str(), at)?;
        self.store.upkeep("revoke token", |tx| {
            // It may have been issued by a clock that is ahead of this one.
            let dies_at = at.after(LEEWAY).after(LONGEST_TAKEN);
            tx.insert_revocation(&Revocation::Token(id.clone()), dies_at, at)?;
            Ok(tx.append(&event)?)
        })
    }

    /// The same for everything that `id` was issued by `before` (now, when absent).
    pub fn revoke_client(&self, id: &ClientId, before: Option<Moment>) -> Result<Moment, NotRegistered> {
        let at = self.clock.now();
        let before = before.unwrap_or(at);
        if before > at {
            return Err(NotRegistered::Ahead);
        }
        let told = before.to_string();
        let told = [("issued_before", told.as_str())];
        let event = AuditEvent::of_vault_with("token.revoke_client", id.as_str(), &told, at)?;
        self.store.upkeep("revoke client", |tx| {
            tx.insert_revocation(&Revocation::Client(id.clone(), before), before.after(LONGEST_TAKEN), at)?;
            tx.append(&event)?;
            let known = tx.find_clients()?.into_iter().find(|client| &client.id == id);
            for org in known.and_then(|client| client.orgs).unwrap_or_default() {
                tx.append(&AuditEvent::of_host(&org, "token.revoke_client", id.as_str(), &told, at)?)?;
            }
            Ok(before)
        })
    }
}

fn record(tx: &mut Upkeep, action: &'static str, client: &Client, at: Moment) -> Result<(), NotRegistered> {
    let (roles, key) = (client.roles.join(" "), client.key.fingerprint());
    let orgs = client.orgs.as_ref().map(|orgs| orgs.iter().map(OrgId::as_str).collect::<Vec<_>>());
    let orgs = orgs.map_or_else(|| "any".into(), |orgs| serde_json::Value::from_iter(orgs).to_string());
    let told = [("roles", roles.as_str()), ("key", &key), ("orgs", &orgs)];
    tx.append(&AuditEvent::of_vault_with(action, client.id.as_str(), &told, at)?)?;
    for org in client.orgs.iter().flatten() {
        tx.append(&AuditEvent::of_host(org, action, client.id.as_str(), &told[..2], at)?)?;
    }
    Ok(())
}
