//! One customer's Odoo, after one login, in the best dialect that it has. Whatever it is asked, it stops itself at
//! the first refusal of the credential: Odoo does not throttle such logins, and guessing is not ours.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::credential::CredentialKind;
use crate::egress::{Egress, EgressError};
use crate::odoo::caps::Caps;
use crate::odoo::dialect::{Caller, DialectName};
use crate::odoo::exchange::{Received, send};
use crate::odoo::fault::OdooError;
use crate::odoo::query::ReadQuery;
use crate::odoo::record::Record;
use crate::odoo::servers::{Server, Servers, Wanted};
use crate::odoo::version::Version;
use crate::secret::Secret;

/// Which database there, as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The database.
    pub database: String,
    /// The login.
    pub username: String,
}

/// What opens it. Neither printed nor cloned.
pub struct Credential {
    /// Password or API key.
    pub kind: CredentialKind,
    /// Itself.
    pub secret: Secret,
}

/// A logged-in client. The secret goes with every call, as all dialects want it, and is wiped with this.
pub struct Odoo {
    egress: Egress,
    address: Address,
    secret: Secret,
    servers: Servers,
    version: Version,
    dialect: DialectName,
    uid: i64,
    /// How many calls there were.
    calls: AtomicI64,
    refused: AtomicBool,
    caps: Caps,
}

/// No login.
pub struct NotLoggedIn {
    /// Why.
    pub cause: OdooError,
    /// What it takes to try again, when nothing of the secret was sent and the cause may pass.
    pub unsent: Option<Box<(Egress, Address, Credential)>>,
}

impl From<OdooError> for NotLoggedIn {
    fn from(cause: OdooError) -> Self {
        Self { cause, unsent: None }
    }
}

impl Odoo {
    /// Logs in, once, where an Odoo has answered in that dialect. A refusal is final: once the secret was judged there
    /// is nothing to try again with. Where what was remembered of the server is not so any more, it is asked anew.
    pub async fn login(
        egress: Egress,
        address: Address,
        credential: Credential,
        servers: &Servers,
    ) -> Result<Self, NotLoggedIn> {
        let found = servers.find(&egress, &address.database).await;
        let (mut server, mut is_remembered) = match found {
            Ok(found) => found,
            Err(cause) => {
                let unsent = cause.retryable().then(|| Box::new((egress, address, credential)));
                return Err(NotLoggedIn { cause, unsent });
            }
        };
        let wanted = wanted(&address, &credential);
        let mut tried: Option<(DialectName, OdooError)> = None;
        // Asked anew once at the most.
        loop {
            let chosen = servers.choose(&egress, &address.database, &mut server, &wanted).await;
            let refused = match (chosen, tried) {
                // Once in each at the most.
                (Ok(dialect), Some((shown, cause))) if dialect == shown => return Err(cause.into()),
                (Ok(dialect), _) => match log_in(&egress, &address, &credential.secret, dialect).await {
                    Ok(uid) => {
                        return Ok(Self::logged_in(
                            (egress, address, credential),
                            (servers, &server),
                            dialect,
                            uid,
                        ));
                    }
                    Err(
                        cause @ OdooError::Egress(
                            EgressError::Connect | EgressError::HostNotPublic | EgressError::LookUpsFull,
                        ),
                    ) if tried.is_none() => {
                        let unsent = Some(Box::new((egress, address, credential)));
                        return Err(NotLoggedIn { cause, unsent });
                    }
                    // The path is not there any more, or not for that database.
                    Err(cause @ (OdooError::ApiClosed | OdooError::DatabaseNotSelected)) if is_remembered => {
                        tried = Some((dialect, cause));
                        cause
                    }
                    Err(cause) => {
                        if !is_odoos_own(cause) {
                            servers.forget(egress.origin(), &address.database);
                        }
                        return Err(cause.into());
                    }
                },
                (Err(cause), None) if cause.retryable() => {
                    let unsent = Some(Box::new((egress, address, credential)));
                    return Err(NotLoggedIn { cause, unsent });
                }
                (Err(cause), _) => cause,
            };
            if !is_remembered || refused == OdooError::Unspeakable {
                return Err(refused.into());
            }
            servers.forget(egress.origin(), &address.database);
            server = servers.look(&egress, &address.database).await?;
            is_remembered = false;
        }
    }

    fn logged_in(
        (egress, address, credential): (Egress, Address, Credential),
        (servers, server): (&Servers, &Server),
        dialect: DialectName,
        uid: i64,
    ) -> Self {
        Self {
            egress,
            address,
            secret: credential.secret,
            servers: servers.clone(),
            version: server.version(),
            dialect,
            uid,
            calls: AtomicI64::new(1),
            refused: AtomicBool::new(false),
            caps: Caps::default(),
        }
    }

    /// The user's own id.
    pub(super) fn uid(&self) -> i64 {
        self.uid
    }

    /// Which Odoo it is.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What is spoken with it.
    pub fn dialect(&self) -> DialectName {
        self.dialect
    }

    /// The records that `query` asks for.
    pub async fn fetch(&self, query: &ReadQuery) -> Result<Vec<Record>, OdooError> {
        let mut records = Vec::new();
        self.read(query, &mut |record| records.push(record)).await?;
        Ok(records)
    }

    /// Hands on each of the records that `query` asks for, as soon as it is whole. What came before an error is
    /// not to be kept: that the answer is one to this call may show at its end.
    pub async fn read(
        &self,
        query: &ReadQuery,
        take: &mut (dyn FnMut(Record) + Send),
    ) -> Result<(), OdooError> {
        let done = self.ask(query).await?.records(query, &mut |record| take(record));
        self.note(&done);
        done
    }

    /// Puts the question, and leaves its answer to be looked into by whoever has the time.
    pub async fn ask(&self, query: &ReadQuery) -> Result<Unread, OdooError> {
        if self.refused.load(Ordering::SeqCst) {
            return Err(OdooError::LoginRefused);
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let caller = caller(&self.address, &self.secret, number);
        let call = self.dialect.speak().read(&caller, self.uid, query)?;
        let answer = send(&self.egress, call).await?;
        Ok(Unread { answer, number, dialect: self.dialect, caps: self.caps })
    }

    /// What an answer came to, to be known by the next call.
    pub fn note(&self, done: &Result<(), OdooError>) {
        match done {
            Err(OdooError::LoginRefused) => self.refused.store(true, Ordering::SeqCst),
            Err(cause) if !is_odoos_own(*cause) => {
                self.servers.forget(self.egress.origin(), &self.address.database);
            }
            _ => {}
        }
    }

    /// The same, with answers of at most so many bytes and values taken from now on.
    pub fn taking(self, max_bytes: usize, values: usize) -> Self {
        let caps = Caps { values, ..self.caps };
        Self { egress: self.egress.taking(max_bytes), caps, ..self }
    }
}

/// What came to a question, whole, and nobody has looked into.
pub struct Unread {
    answer: Received,
    number: i64,
    dialect: DialectName,
    caps: Caps,
}

impl Unread {
    /// Hands on each of the records that `query`, the question, asked for, as [`Odoo::read`] does. Takes a processor for
    /// as long as the answer is large.
    pub fn records(&self, query: &ReadQuery, take: &mut dyn FnMut(Record)) -> Result<(), OdooError> {
        let reply = self.answer.reply(self.number, &self.caps);
        self.dialect.speak().records(&reply, query, take).map_err(shown)
    }
}

async fn log_in(
    egress: &Egress,
    address: &Address,
    secret: &Secret,
    dialect: DialectName,
) -> Result<i64, OdooError> {
    let number = 1;
    let call = dialect.speak().log_in(&caller(address, secret, number))?;
    let answer = send(egress, call).await?;
    dialect.speak().logged_in(&answer.reply(number, &Caps::default())).map_err(shown)
}

/// The secret went along.
fn shown(cause: OdooError) -> OdooError {
    if cause == OdooError::KeptOut { OdooError::TurnedAway } else { cause }
}

/// Whether an Odoo that speaks the dialect may have said so, or nobody has said anything.
fn is_odoos_own(cause: OdooError) -> bool {
    use OdooError::{ApiClosed, DatabaseNotSelected, Malformed, NotOdoo, TurnedAway};
    !matches!(cause, ApiClosed | DatabaseNotSelected | Malformed | NotOdoo | TurnedAway)
}

/// What a dialect must do to log in so.
pub(super) fn wanted(address: &Address, credential: &Credential) -> Wanted {
    let caller = caller(address, &credential.secret, 1);
    let is_unspeakable = |dialect: &DialectName| dialect.speak().log_in(&caller).is_err();
    let unspeakable = DialectName::ALL.iter().copied().filter(is_unspeakable).collect();
    Wanted { kind: credential.kind, unspeakable }
}

fn caller<'a>(address: &'a Address, secret: &'a Secret, number: i64) -> Caller<'a> {
    Caller { database: &address.database, username: &address.username, secret, number }
}
