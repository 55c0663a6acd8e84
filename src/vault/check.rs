//! Check a connection: log in to its Odoo and tell what is wrong. The record is durable before the secret
//! is opened; what the check showed is kept only while its revision is the one that is there. A forget,
//! a replace or a freeze ends a check that is under way before it answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::access::{Action, Permit, Scope};
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::clock::{Clock, Moment};
use crate::egress::Guard;
use crate::error::{Error, FieldError};
use crate::ids::{ConnectionId, OrgId};
use crate::odoo::{self, Address, Credential, Diagnosis, Login, Servers};
use crate::store::{LendRefused, SealedCredential, Store, StoredConnection, Tx};
use crate::vault::freeze::frozen_meanwhile;
use crate::vault::inject::Echoes;
use crate::vault::leave::{find_permitted, note_refusal};
use crate::vault::lend::{binding, proof};
use crate::vault::logins::{Claim, Logins};
use crate::vault::{DEADLINE, HostSwitch, Vault};

/// Checks under way at once. Each may wait for a host that says nothing.
const MOST_AT_ONCE: usize = 16;
/// The same of one org.
const MOST_OF_ORG: usize = 8;

/// What is checked, with its secret, opened. Neither printed nor cloned.
struct Opened {
    connection: StoredConnection,
    credential: Credential,
    ends: Option<Moment>,
}

/// What to do with a credential that Odoo refused before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// Somebody asked for it: try.
    Try,
    /// Tell it.
    Tell,
}

impl Refused {
    fn tells(self, credential: &SealedCredential) -> bool {
        self == Self::Tell && credential.auth_failed
    }
}

impl Vault {
    /// Checks the connection `id` of the caller's scope.
    pub async fn check(&self, actor: &Actor, id: ConnectionId) -> Result<Diagnosis, Error> {
        self.check_or_tell(actor, id, Refused::Try).await
    }

    /// The same for what was just deposited. When the deposit comes again and Odoo has refused the credential,
    /// it is told without another try.
    pub async fn check_deposited(&self, actor: &Actor, id: ConnectionId) -> Result<Diagnosis, Error> {
        self.check_or_tell(actor, id, Refused::Tell).await
    }

    async fn check_or_tell(
        &self,
        actor: &Actor,
        id: ConnectionId,
        refused: Refused,
    ) -> Result<Diagnosis, Error> {
        let permit = self.permit(actor, Action::Check, (&id).into()).await?;
        let scope = permit.scope();
        // What is nobody else's business: that a connection of theirs is there, or under check.
        let own = id.clone();
        let look = move |tx: &mut Tx| tx.find_connection(&own)?.ok_or(Error::NotFound);
        let found = self.store.view("look before check", scope.clone(), DEADLINE, look).await;
        let found = self.found(actor, Action::Check, (&id).into(), found).await?;
        if let Err(unmet) = permit.judge(&found.user, found.about()) {
            let refused = LendRefused::Unmet(unmet);
            return Err(self.record_refused(actor, Action::Check, (&id).into(), refused).await);
        }
        self.switch.refuse()?;
        let turn = self.checks.begin(&found.org, &id)?;
        // What is not Odoo's leads nowhere; it is told below.
        if found.kind.is_odoo() {
            self.logins.begin_check(&found.org, found.destination.parts().0)?;
        }
        let claim = self.claim_login(actor, Action::Check, &found).await?;
        let opened = match self.open_to_check(actor, permit, id, refused).await {
            Ok(Some(opened)) => opened,
            not_opened => {
                self.logins.settle(claim, Login::Unknown).await;
                return not_opened.map(|_| Diagnosis::refused(found.kind));
            }
        };
        let work = Work {
            store: self.store.clone(),
            guard: self.guard.clone(),
            servers: self.servers.clone(),
            clock: self.clock.clone(),
            logins: self.logins.clone(),
            switch: self.switch.clone(),
            actor: actor.clone(),
            scope,
        };
        // A task of its own: a caller who goes away does not undo that the login was refused.
        let done = tokio::spawn(work.run(opened, claim, turn)).await;
        done.map_err(|_| Error::Unavailable("the check broke off".into()))?
    }

    /// Nothing is opened of what Odoo refused before, if that is only to be told.
    async fn open_to_check(
        &self,
        actor: &Actor,
        permit: Permit,
        id: ConnectionId,
        refused: Refused,
    ) -> Result<Option<Opened>, Error> {
        let scope = permit.scope();
        let at = self.clock.now();
        let begun = self.with_ring(async |held| {
            let (recorded_by, covered, keyring) = (actor.clone(), scope.clone(), held.keyring.clone());
            let (id, permit, untold) = (id.clone(), permit.clone(), self.untold.clone());
            let begin = move |tx: &mut Tx| {
                let connection = match find_permitted(tx, (&recorded_by, &permit, &untold), &id, at)? {
                    Ok(connection) => connection,
                    Err(refused) => return Ok(Err(refused)),
                };
                let owner = covered.of_user(&connection.user).ok_or(Error::NotFound)?;
                let found = tx.find_sealed(&owner, &id, &proof(&keyring, &owner, &id))?;
                let found = match tx.find_frozen()?.is_frozen() {
                    true => Err(LendRefused::Frozen),
                    false => found.and_then(of_odoo),
                };
                let found = match found {
                    Ok(found) => tx.may_be_called(&found.destination)?.map(|()| found),
                    Err(refused) => Err(refused),
                };
                if let Err(LendRefused::UnknownKey(key)) = &found
                    && held.may_learn(key)
                {
                    return Err(Error::OldRing(key.clone()));
                }
                let cause = match &found {
                    Ok(credential) if refused.tells(credential) => Some("auth-failed"),
                    Ok(_) => None,
                    Err(refused) => Some(refused.cause()),
                };
                match cause {
                    None => tx.append(&record(&recorded_by, &id, Outcome::DoneWith("begun"), at)?)?,
                    Some(cause) => {
                        let subject = Subject { connection: Some(&id), label: None, lease: None };
                        note_refusal(tx, (&recorded_by, &untold), Action::Check, subject, (cause, at))?;
                    }
                }
                Ok::<_, Error>(found.map(|credential| (keyring, owner, connection, credential)))
            };
            let begun: Result<_, LendRefused> =
                self.store.run("begin check", scope.clone(), DEADLINE, begin).await?;
            begun.map_err(|refused| match refused {
                LendRefused::NotOdoo => {
                    Error::NotOdoo(FieldError::of_odoo_alone("id", "must be of a password or API key"))
                }
                refused => Error::of_lend(refused, at),
            })
        });
        let (keyring, owner, connection, credential) = begun.await?;
        if refused.tells(&credential) {
            return Ok(None);
        }
        let binding = binding(&owner, &connection.id, &credential);
        let secret = keyring.open(&binding, &credential.sealed).map_err(|_| Error::DoesNotOpen)?;
        let lent = Credential { kind: credential.kind, secret };
        let ends = credential.expires_at;
        // Where it is sent is what it was sealed for.
        let connection = StoredConnection { destination: credential.destination, ..connection };
        Ok(Some(Opened { connection, credential: lent, ends }))
    }
}

/// What it takes to check without the request that asked.
struct Work {
    store: Store,
    guard: Guard,
    servers: Servers,
    clock: Clock,
    logins: Logins,
    switch: Arc<HostSwitch>,
    actor: Actor,
    scope: Scope,
}

impl Work {
    async fn run(self, opened: Opened, claim: Claim, turn: Turn) -> Result<Diagnosis, Error> {
        let Opened { connection, credential, ends } = opened;
        let (url, database, username) = connection.destination.parts();
        let is_echo = Echoes::in_hosts(&credential.secret, &connection.destination);
        let subject = odoo::Subject {
            url,
            org: Some(connection.org.as_str()),
            guard: &self.guard,
            address: Address { database: database.to_owned(), username: username.to_owned() },
            credential,
            servers: &self.servers,
            ends,
            now: self.clock.now(),
        };
        let (mut found, was_stopped) = tokio::select! {
            biased;
            () = turn.running.stop.notified() => (Diagnosis::not_made(), true),
            () = frozen_meanwhile(&self.store, &self.scope, &self.switch) => (Diagnosis::not_made(), true),
            found = odoo::diagnose(subject) => (found, false),
        };
        for finding in &mut found.findings {
            // The one word of the server's own that is told.
            finding.redirect.take_if(|host| is_echo(host));
        }
        self.logins.settle(claim, found.login).await;
        let kept = match self.keep(&connection, &found, was_stopped).await {
            // A refusal that is not kept would be tried again by the next sync.
            Err(Error::Unavailable(_)) if found.login == Login::Refused => {
                self.keep(&connection, &found, was_stopped).await
            }
            kept => kept,
        };
        kept.map(|()| found)
    }

    /// Keeps what was found, if what is there now is what was checked. One that is, and was stopped, was frozen.
    async fn keep(
        &self,
        checked: &StoredConnection,
        found: &Diagnosis,
        was_stopped: bool,
    ) -> Result<(), Error> {
        let (state, outcome) = match found.login {
            Login::Refused => (Some("auth_failed"), "auth_failed"),
            Login::Taken => (Some("active"), if found.is_ok() { "ok" } else { "failed" }),
            Login::TurnedAway | Login::Unknown => (None, "failed"),
        };
        let (at, actor, checked) = (self.clock.now(), self.actor.clone(), checked.clone());
        let (rights, login) = (found.rights, found.login);
        let keep = move |tx: &mut Tx| {
            let meanwhile = match tx.find_connection(&checked.id)? {
                None => Some(Error::NotFound),
                Some(_) if tx.mark_connection(&checked, state, at)? => was_stopped.then_some(Error::Frozen),
                Some(_) => Some(Error::CredentialReplaced),
            };
            match login {
                Login::Taken | Login::Refused => tx.note_login(&checked, login == Login::Taken)?,
                Login::TurnedAway | Login::Unknown => {}
            }
            if let (None, Some(rights)) = (&meanwhile, rights) {
                tx.set_rights(&checked, rights)?;
            }
            let outcome = match &meanwhile {
                None => Outcome::DoneWith(outcome),
                Some(Error::NotFound) => Outcome::Refused("not-found"),
                Some(Error::Frozen) => Outcome::Refused(LendRefused::Frozen.cause()),
                Some(_) => Outcome::Refused("credential-replaced"),
            };
            tx.append_past_quota(&record(&actor, &checked.id, outcome, at)?)?;
            Ok::<_, Error>(meanwhile)
        };
        match self.store.run("end check", self.scope.clone(), DEADLINE, keep).await? {
            None => Ok(()),
            Some(meanwhile) => Err(meanwhile),
        }
    }
}

/// There is nothing to log in to with another kind.
fn of_odoo(found: SealedCredential) -> Result<SealedCredential, LendRefused> {
    if found.kind.is_odoo() { Ok(found) } else { Err(LendRefused::NotOdoo) }
}

fn record(actor: &Actor, id: &ConnectionId, outcome: Outcome, at: Moment) -> Result<AuditEvent, Error> {
    let subject = Subject { connection: Some(id), label: None, lease: None };
    Ok(AuditEvent::of(actor, Action::Check, subject, outcome, at)?)
}

/// The checks that are under way in this process.
#[derive(Clone)]
pub(super) struct Checks {
    places: Arc<Semaphore>,
    running: Arc<Mutex<BTreeMap<String, Arc<Running>>>>,
}

struct Running {
    org: OrgId,
    stop: Notify,
    ended: Arc<tokio::sync::Mutex<()>>,
}

/// Held while a check is under way.
struct Turn {
    id: ConnectionId,
    running: Arc<Running>,
    all: Arc<Mutex<BTreeMap<String, Arc<Running>>>>,
    _until: OwnedMutexGuard<()>,
    _place: OwnedSemaphorePermit,
}

impl Checks {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST_AT_ONCE)), running: Arc::default() }
    }

    fn begin(&self, org: &OrgId, id: &ConnectionId) -> Result<Turn, Error> {
        let mut all = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if all.contains_key(id.as_str()) {
            return Err(Error::CheckRunning);
        }
        let busy = || Error::Unavailable("enough checks are under way".into());
        if all.values().filter(|running| running.org == *org).count() >= MOST_OF_ORG {
            return Err(busy());
        }
        let place = self.places.clone().try_acquire_owned().map_err(|_| busy())?;
        let (stop, ended) = (Notify::new(), Arc::default());
        let running = Arc::new(Running { org: org.clone(), stop, ended });
        let until = running.ended.clone().try_lock_owned().map_err(|_| Error::CheckRunning)?;
        all.insert(id.as_str().to_owned(), running.clone());
        Ok(Turn { id: id.clone(), running, all: self.running.clone(), _until: until, _place: place })
    }

    /// Ends a check of `id` that is under way, and waits until it has.
    pub(super) async fn stop(&self, id: &ConnectionId) {
        self.stop_where(|under_check, _| under_check == id.as_str()).await;
    }

    /// The same for every check of an org.
    pub(super) async fn stop_of(&self, org: &OrgId) {
        self.stop_where(|_, running| running.org == *org).await;
    }

    /// The same for all.
    pub(super) async fn stop_all(&self) {
        self.stop_where(|_, _| true).await;
    }

    async fn stop_where(&self, stops: impl Fn(&str, &Running) -> bool) {
        let running: Vec<Arc<Running>> = {
            let all = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter()
                .filter(|(id, running)| stops(id, running))
                .map(|(_, running)| running.clone())
                .collect()
        };
        running.iter().for_each(|running| running.stop.notify_one());
        for running in running {
            drop(running.ended.lock().await);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(self.id.as_str());
    }
}
