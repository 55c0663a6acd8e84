//! Take in rows of another product's table: each is opened and sealed again in memory, as a deposit of its own
//! user in one org. A ledger keeps what came in, so that a row comes in once, whatever became of it.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::access::{Scope, UserScope};
use crate::audit::{AuditEvent, Outcome};
use crate::clock::Moment;
use crate::error::{Error, FieldError};
use crate::ids::{ConnectionId, IdRefused, Revision, SourceId, UserId};
use crate::import::{FIELDS, MAX_VALUE, SourceName, SourceRow};
use crate::seal::{Binding, FernetKeys};
use crate::secret::Secret;
use crate::store::{Imported, NewConnection, Tx};
use crate::vault::Vault;
use crate::vault::deposit::Deposit;

/// How many rows are one transaction: few enough that who waits for it does not wait long.
pub const BATCH: usize = 250;
/// Within this one is durable, or tried again: a row that is in the ledger is not taken twice.
const BATCH_DEADLINE: Duration = Duration::from_secs(30);
const TRIES: u32 = 5;

/// What kinds of credential a table may hold, one for all of it.
pub const IMPORT_KINDS: &[&str] = &["password", "api_key"];

/// An import under way.
pub struct Import {
    /// The one org whose rows these become.
    pub scope: Scope,
    /// The source's name in the ledger.
    pub source: SourceName,
    /// The kind of every credential: one of [`IMPORT_KINDS`].
    pub kind: &'static str,
    /// What opens the tokens.
    pub keys: FernetKeys,
    /// Nothing is written.
    pub is_dry: bool,
    /// How it went so far.
    pub tally: Tally,
    seen: Seen,
}

/// Rows by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All that were read.
    pub rows: u64,
    /// Came in now, or would.
    pub imported: u64,
    /// Came in before, and are there.
    pub before: u64,
    /// Came in before and were forgotten since: they stay so.
    pub forgotten: u64,
    /// Their user had a connection for that address already.
    pub duplicates: u64,
    /// Break a rule, or do not open.
    pub refused: u64,
}

impl Tally {
    /// How many rows somebody has to look at.
    pub fn left(&self) -> u64 {
        self.duplicates + self.refused
    }

    fn known(&mut self, row: &Imported) {
        match row.is_there {
            true => self.before += 1,
            false => self.forgotten += 1,
        }
    }

    /// By name, for the trail.
    pub fn counts(&self) -> [(&'static str, u64); 6] {
        [
            ("rows", self.rows),
            ("imported", self.imported),
            ("imported_before", self.before),
            ("forgotten_since", self.forgotten),
            ("duplicates", self.duplicates),
            ("refused", self.refused),
        ]
    }
}

/// A row that did not come in.
#[derive(Debug)]
pub struct Left {
    /// Its id in the source; its place there, when it has none that can be said.
    pub row: Result<SourceId, u64>,
    /// Why.
    pub why: Why,
}

/// Why a row did not come in. Quotes no value.
#[derive(Debug)]
pub enum Why {
    /// These fields break these rules.
    Rules(Vec<FieldError>),
    /// Its user has this connection for that address already; `None` for one that came before it in a dry run.
    Duplicate(Option<ConnectionId>),
}

/// What came before in this run, as keyed hashes: 8 bytes a row, and a mistake in 2^64 / rows².
#[derive(Default)]
struct Seen {
    hashing: RandomState,
    ids: HashSet<u64>,
    addresses: HashSet<u64>,
}

/// A row that broke no rule, sealed.
struct Candidate {
    id: SourceId,
    new: NewConnection,
    done: AuditEvent,
}

impl Import {
    /// One that has read nothing yet.
    pub fn new(scope: Scope, source: SourceName, kind: &'static str, keys: FernetKeys, is_dry: bool) -> Self {
        Self { scope, source, kind, keys, is_dry, tally: Tally::default(), seen: Seen::default() }
    }

    /// The id of a row, if it can be said and no other row had it.
    fn name(&mut self, number: u64, id: Option<&[u8]>) -> Result<SourceId, Left> {
        let id = text("id", id)
            .and_then(|text| SourceId::parse(&text).map_err(|refused| FieldError::of_id("id", refused)));
        let id = id.map_err(|wrong| Left { row: Err(number), why: Why::Rules(vec![wrong]) })?;
        if self.seen.ids.insert(self.seen.hashing.hash_one(id.as_str())) {
            return Ok(id);
        }
        let wrong = FieldError::new("id", "unique", "must name one row of the source");
        Err(Left { row: Ok(id), why: Why::Rules(vec![wrong]) })
    }

    fn has_seen(&mut self, new: &NewConnection) -> bool {
        !self.seen.addresses.insert(self.seen.hashing.hash_one((new.scope.user(), &new.address)))
    }
}

impl Vault {
    /// Takes in `rows`, at most [`BATCH`] of them, and answers those that it left. After an error nothing of
    /// them came in, or all did; the ledger knows.
    pub async fn import(&self, import: &mut Import, rows: Vec<SourceRow>) -> Result<Vec<Left>, Error> {
        let at = self.clock.now();
        let mut left = Vec::new();
        let mut named = Vec::new();
        import.tally.rows += count(rows.len());
        for SourceRow { number, values } in rows {
            let Some([id, values @ ..]) = values else {
                let wrong = FieldError::new("row", "columns", "must have as many columns as the header");
                left.push(Left { row: Err(number), why: Why::Rules(vec![wrong]) });
                continue;
            };
            match import.name(number, id.as_deref()) {
                Ok(id) => named.push((id, values)),
                Err(unnamed) => left.push(unnamed),
            }
        }
        let known = self.find_known(import, named.iter().map(|(id, _)| id.clone()).collect()).await?;
        let mut candidates = Vec::new();
        for (id, values) in named {
            match known.get(id.as_str()) {
                Some(known) => import.tally.known(known),
                None => match self.seal_row(import, values, at)? {
                    Ok(new) => {
                        let done = (import.source.as_str(), &id);
                        let done = AuditEvent::imported(&new.scope, &new.id, done, Outcome::Done, at)?;
                        candidates.push(Candidate { id, new, done });
                    }
                    Err(wrong) => left.push(Left { row: Ok(id), why: Why::Rules(wrong) }),
                },
            }
        }
        import.tally.refused += count(left.len());
        let duplicates = match import.is_dry {
            true => self.look_for(import, candidates).await?,
            false => self.keep(import, candidates, at).await?,
        };
        import.tally.duplicates += count(duplicates.len());
        left.extend(duplicates);
        Ok(left)
    }

    /// Puts the whole of it on record in the vault's own chain; a dry run leaves none.
    pub fn record_import(&self, import: &Import, cause: Option<&'static str>) -> Result<(), Error> {
        if import.is_dry {
            return Ok(());
        }
        let outcome = cause.map_or(Outcome::Done, Outcome::Refused);
        let (org, source) = (import.scope.org(), import.source.as_str());
        let event = AuditEvent::import_run(org, source, &import.tally.counts(), outcome, self.clock.now())?;
        self.store.upkeep("import run", |tx| Ok(tx.append(&event)?))
    }

    async fn find_known(
        &self,
        import: &Import,
        ids: Vec<SourceId>,
    ) -> Result<BTreeMap<String, Imported>, Error> {
        let (source, scope) = (import.source.clone(), import.scope.clone());
        self.store
            .view("find imports", scope, BATCH_DEADLINE, move |tx| {
                Ok(tx.find_imports(source.as_str(), &ids.iter().collect::<Vec<_>>())?)
            })
            .await
    }

    /// Opens a row's token, holds all of it to the rules of a deposit, and seals it for its place.
    fn seal_row(
        &self,
        import: &Import,
        [user, url, database, username, token]: [Option<Vec<u8>>; 5],
        at: Moment,
    ) -> Result<Result<NewConnection, Vec<FieldError>>, Error> {
        let mut wrong = Vec::new();
        let mut take = |field, bytes: Option<&[u8]>| text(field, bytes).map_err(|e| wrong.push(e)).ok();
        let user = take("user_id", user.as_deref());
        let address = [("url", url), ("database", database), ("username", username)]
            .map(|(field, bytes)| take(field, bytes.as_deref()));
        let owner = user.and_then(|user| self.owner(&import.scope, &user).map_err(|e| wrong.push(e)).ok());
        let secret = open(&import.keys, token.as_deref()).map_err(|e| wrong.push(e)).ok();
        // What is missing was said; of what is there all that is wrong is told at once.
        let said: Vec<String> = wrong.iter().map(|e| e.field.clone()).collect();
        let [url, database, username] = address.map(Option::unwrap_or_default);
        let deposit = Deposit {
            url,
            database,
            username,
            label: None,
            environment: None,
            kind: import.kind.to_owned(),
            secret: secret.unwrap_or_else(|| Secret::new(String::new())),
            expires_at: None,
        };
        let checked = self.hold_to_rules(&deposit, import.scope.org().as_str());
        let checked = match checked {
            Ok(checked) => Some(checked),
            Err(Error::Invalid(more)) => {
                let more = more.into_iter().map(in_the_sources_words);
                wrong.extend(more.filter(|e| !said.contains(&e.field)));
                None
            }
            Err(error) => return Err(error),
        };
        let (Some(checked), Some(owner)) = (checked.filter(|_| wrong.is_empty()), owner) else {
            return Ok(Err(wrong));
        };
        let id = ConnectionId::new(at)?;
        let address = (checked.url.as_str().to_owned(), deposit.database, deposit.username);
        let place = (address.0.as_str(), address.1.as_str(), address.2.as_str());
        let binding = Binding::credential(&owner, &id, Revision::FIRST, checked.kind, place);
        let sealed = self.keyring.seal(&binding, &deposit.secret);
        let sealed = sealed.map_err(|failed| Error::Unavailable(failed.to_string()))?;
        Ok(Ok(NewConnection {
            id,
            scope: owner,
            label: None,
            environment: checked.environment,
            kind: checked.kind,
            address,
            sealed,
            credential_expires_at: None,
            at,
        }))
    }

    fn owner(&self, scope: &Scope, user: &str) -> Result<UserScope, FieldError> {
        let refuse = |refused: IdRefused| FieldError::of_id("user_id", refused);
        let user = UserId::parse(user).map_err(refuse)?;
        scope
            .of_user(&user)
            .ok_or_else(|| FieldError::new("user_id", "scope", "must be one of the org's users"))
    }

    /// Of a dry run: which would meet a connection that is there, or one that came before in the source.
    async fn look_for(&self, import: &mut Import, candidates: Vec<Candidate>) -> Result<Vec<Left>, Error> {
        let mut duplicates = Vec::new();
        let mut open = Vec::new();
        for candidate in candidates {
            match import.has_seen(&candidate.new) {
                true => duplicates.push(Left { row: Ok(candidate.id), why: Why::Duplicate(None) }),
                false => open.push(candidate),
            }
        }
        let found = self
            .store
            .view("find duplicates", import.scope.clone(), BATCH_DEADLINE, move |tx| {
                let found = open.into_iter().map(|Candidate { id, new, .. }| {
                    Ok((id, tx.find_connection_of(&new.scope, address(&new))?))
                });
                found.collect::<Result<Vec<_>, Error>>()
            })
            .await?;
        for (id, found) in found {
            match found {
                None => import.tally.imported += 1,
                found => duplicates.push(Left { row: Ok(id), why: Why::Duplicate(found) }),
            }
        }
        Ok(duplicates)
    }

    /// Keeps connections, ledger and record in one transaction, and leaves as much time to others as it took.
    /// One whose outcome is unknown is made again: what came in is in the ledger.
    async fn keep(
        &self,
        import: &mut Import,
        candidates: Vec<Candidate>,
        at: Moment,
    ) -> Result<Vec<Left>, Error> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let candidates = Arc::new(candidates);
        let mut tries = 0;
        let kept = loop {
            let (source, rows, begun) = (import.source.clone(), candidates.clone(), Instant::now());
            let kept = self
                .store
                .run("import", import.scope.clone(), BATCH_DEADLINE, move |tx| keep(tx, &source, &rows, at))
                .await;
            tokio::time::sleep(begun.elapsed()).await;
            tries += 1;
            match kept {
                Err(Error::Unavailable(cause)) if tries < TRIES => {
                    tracing::warn!(%cause, "a batch was not kept, or is not known to be: it is tried again");
                }
                kept => break kept?,
            }
        };
        let mut duplicates = Vec::new();
        for (candidate, kept) in candidates.iter().zip(kept) {
            match kept {
                Kept::Now => import.tally.imported += 1,
                Kept::Before(known) => import.tally.known(&known),
                Kept::Duplicate(found) => {
                    duplicates.push(Left { row: Ok(candidate.id.clone()), why: Why::Duplicate(Some(found)) });
                }
            }
        }
        Ok(duplicates)
    }
}

/// What became of a candidate.
enum Kept {
    /// By this run, also by a try whose outcome was unknown.
    Now,
    /// Another import was faster.
    Before(Imported),
    Duplicate(ConnectionId),
}

fn keep(tx: &mut Tx, source: &SourceName, rows: &[Candidate], at: Moment) -> Result<Vec<Kept>, Error> {
    let source = source.as_str();
    // Asked again: nobody else writes in this org from here on.
    let known = tx.find_imports(source, &rows.iter().map(|row| &row.id).collect::<Vec<_>>())?;
    let wanted = rows.iter().filter(|row| !known.contains_key(row.id.as_str()));
    let kept = tx.insert_connections(&wanted.map(|row| &row.new).collect::<Vec<_>>())?;
    let (mut done, mut ledger, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        if let Some(known) = known.get(row.id.as_str()) {
            let is_this = known.connection == row.new.id.as_str();
            done.push(if is_this { Kept::Now } else { Kept::Before(known.clone()) });
            continue;
        }
        if kept.contains(&row.new.id) {
            ledger.push((&row.id, row.new.id.clone()));
            events.push(row.done.clone());
            done.push(Kept::Now);
            continue;
        }
        let found = tx.find_connection_of(&row.new.scope, address(&row.new))?;
        let found = found.ok_or(Error::Damaged("connections"))?;
        // In the ledger too: or the row would come in after that one was forgotten.
        ledger.push((&row.id, found.clone()));
        let outcome = Outcome::Refused("duplicate");
        events.push(AuditEvent::imported(&row.new.scope, &found, (source, &row.id), outcome, at)?);
        done.push(Kept::Duplicate(found));
    }
    tx.insert_imports(source, &ledger, at)?;
    tx.append_all(&events)?;
    Ok(done)
}

fn address(new: &NewConnection) -> (&str, &str, &str) {
    let (url, database, username) = &new.address;
    (url, database, username)
}

fn open(keys: &FernetKeys, token: Option<&[u8]>) -> Result<Secret, FieldError> {
    let [.., field] = FIELDS;
    let token = there(field, token)?;
    keys.open(token).map_err(|refused| FieldError::new(field, refused.rule(), refused.to_string()))
}

fn text(field: &str, bytes: Option<&[u8]>) -> Result<String, FieldError> {
    let bytes = there(field, bytes)?;
    let text =
        std::str::from_utf8(bytes).map_err(|_| FieldError::new(field, "utf8", "must be text in UTF-8"))?;
    Ok(text.to_owned())
}

fn there<'a>(field: &str, bytes: Option<&'a [u8]>) -> Result<&'a [u8], FieldError> {
    let bytes = bytes.ok_or_else(|| FieldError::new(field, "required", "is required"))?;
    match bytes.len() > MAX_VALUE {
        true => Err(FieldError::new(field, "max_bytes", format!("must be at most {MAX_VALUE} bytes"))),
        false => Ok(bytes),
    }
}

/// The rules are a deposit's; the fields are named as the source names them.
fn in_the_sources_words(mut wrong: FieldError) -> FieldError {
    if wrong.field == "credential.secret" {
        wrong.field = "encrypted_password".into();
    }
    wrong
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
