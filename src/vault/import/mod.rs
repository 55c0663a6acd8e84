//! Take in rows of another product's table: each is opened and sealed again in memory, as a deposit of its own
//! user in one org. A ledger keeps what came in, so that a row comes in once, whatever became of it.

mod keep;
mod rows;

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use crate::access::Scope;
use crate::audit::{AuditEvent, Outcome};
use crate::credential::CredentialKind;
use crate::error::{Error, FieldError};
use crate::ids::{ConnectionId, SourceId};
use crate::import::{SourceName, SourceRow};
use crate::seal::FernetKeys;
use crate::store::{Entry, Imported};
use crate::vault::Vault;
use crate::vault::deposit::host_not_allowed;
use rows::{Opened, text};

/// How many rows are taken in with one call.
pub const BATCH: usize = 250;
/// How many sources are named where one has to be told.
const OTHERS: usize = 8;
/// Within this one is durable, or tried again: a row that is in the ledger is not taken twice.
const BATCH_DEADLINE: Duration = Duration::from_secs(30);

/// What kinds of credential a table may hold, one for all of it.
pub const IMPORT_KINDS: &[CredentialKind] = &[CredentialKind::Password, CredentialKind::ApiKey];

/// An import under way.
pub struct Import {
    scope: Scope,
    source: SourceName,
    kind: CredentialKind,
    keys: FernetKeys,
    is_dry: bool,
    tally: Tally,
    /// How many rows are one transaction.
    pace: usize,
    hashing: RandomState,
    /// The ids that came before in this run, and the addresses in a dry one, as keyed hashes: 8 bytes for each, and a
    /// row is mistaken for another with a chance of rows² / 2^65.
    ids: HashSet<u64>,
    addresses: HashSet<u64>,
}

/// Rows by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All that were read.
    pub rows: u64,
    /// Came in now, or would.
    pub imported: u64,
    /// Came in before, and are there as they came.
    pub before: u64,
    /// Came in before and were forgotten since: they stay so.
    pub forgotten: u64,
    /// Their user had a connection for that address already.
    pub duplicates: u64,
    /// Break a rule, do not open, or have the id of another row that came in.
    pub refused: u64,
}

impl Tally {
    /// How many rows somebody has to look at.
    pub fn left(&self) -> u64 {
        self.duplicates + self.refused
    }

    /// By name, for the trail.
    fn counts(&self) -> [(&'static str, u64); 6] {
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

impl Import {
    /// One that has read nothing yet: rows of the org of `scope`, which `source` is called in the ledger, every
    /// credential of one of [`IMPORT_KINDS`]. A dry one writes nothing.
    pub fn new(
        scope: Scope,
        source: SourceName,
        kind: CredentialKind,
        keys: FernetKeys,
        is_dry: bool,
    ) -> Self {
        Self {
            scope,
            source,
            kind,
            keys,
            is_dry,
            tally: Tally::default(),
            pace: keep::LEAST_PACE,
            hashing: RandomState::new(),
            ids: HashSet::new(),
            addresses: HashSet::new(),
        }
    }

    /// What became of the rows so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The source's name in the ledger.
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// Counts a row that the ledger knows, which still is what came in or is not; answers it if somebody has to look
    /// at it, at every run.
    fn meet(&mut self, id: &SourceId, known: &Imported, is_same: bool) -> Option<Left> {
        let (count, why) = match (is_same, known.entry, &known.there) {
            (false, ..) => {
                let wrong =
                    FieldError::new("id", "same_row", "id names another row than the one that came in");
                (&mut self.tally.refused, Some(Why::Rules(vec![wrong])))
            }
            (true, Entry::Duplicate, _) => {
                (&mut self.tally.duplicates, Some(Why::Duplicate(Some(known.connection.clone()))))
            }
            (true, Entry::Imported, Some(_)) => (&mut self.tally.before, None),
            (true, Entry::Imported, None) => (&mut self.tally.forgotten, None),
        };
        *count += 1;
        why.map(|why| Left { row: Ok(id.clone()), why })
    }

    /// The id of a row, if it can be said and no other row had it.
    fn name(&mut self, number: u64, id: Option<&[u8]>) -> Result<SourceId, Left> {
        let id = text("id", id)
            .and_then(|text| SourceId::parse(&text).map_err(|refused| FieldError::of_id("id", refused)));
        let id = id.map_err(|wrong| Left { row: Err(number), why: Why::Rules(vec![wrong]) })?;
        if first(&self.hashing, &mut self.ids, id.as_str()) {
            return Ok(id);
        }
        let wrong = FieldError::new("id", "unique", "must name one row of the source");
        Err(Left { row: Ok(id), why: Why::Rules(vec![wrong]) })
    }
}

fn first(hashing: &RandomState, seen: &mut HashSet<u64>, what: impl Hash) -> bool {
    seen.insert(hashing.hash_one(what))
}

impl Vault {
    /// Takes in `rows`, [`BATCH`] of them or so, and answers those that it left. After an error some may have
    /// come in; the ledger knows.
    pub async fn import(&self, import: &mut Import, rows: Vec<SourceRow>) -> Result<Vec<Left>, Error> {
        // A command has nobody who looks for it.
        self.switch.look().map_err(|error| Error::Unavailable(error.to_string()))?;
        self.switch.refuse()?;
        let at = self.clock.now();
        let (mut left, mut met) = (Vec::new(), Vec::new());
        let (mut named, mut opened) = (Vec::new(), Vec::new());
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
        for (id, values) in named {
            match known.get(id.as_str()) {
                Some(known) => {
                    let is_same = self.is_still(import, known, &values);
                    met.extend(import.meet(&id, known, is_same));
                }
                None => match self.open_row(import, &id, values, at)? {
                    Ok(row) => opened.push(row),
                    Err(wrong) => left.push(Left { row: Ok(id), why: Why::Rules(wrong) }),
                },
            }
        }
        import.tally.refused += count(left.len());
        left.extend(met);
        left.extend(match import.is_dry {
            true => self.look_for(import, opened).await?,
            false => self.keep(import, opened, at).await?,
        });
        Ok(left)
    }

    /// Puts on record in the vault's own chain that it begins, before its first row: also one that is killed leaves
    /// that. A dry run leaves no record.
    pub fn begin_import(&self, import: &Import) -> Result<(), Error> {
        self.record(import, Outcome::DoneWith("begun"))
    }

    /// The same of the whole of it, when it ended.
    pub fn record_import(&self, import: &Import, cause: Option<&'static str>) -> Result<(), Error> {
        self.record(import, cause.map_or(Outcome::Done, Outcome::Refused))
    }

    fn record(&self, import: &Import, outcome: Outcome) -> Result<(), Error> {
        if import.is_dry {
            return Ok(());
        }
        let (org, source) = (import.scope.org(), import.source.as_str());
        let event = AuditEvent::import_run(org, source, &import.tally.counts(), outcome, self.clock.now())?;
        self.store.upkeep("import run", |tx| Ok(tx.append(&event)?))
    }

    /// What other sources the org's ledger knows, a few of them; none if it knows this one.
    pub async fn find_other_sources(&self, import: &Import) -> Result<Vec<String>, Error> {
        let (source, scope) = (import.source.clone(), import.scope.clone());
        let find = move |tx: &mut crate::store::Tx| Ok(tx.find_other_sources(source.as_str(), OTHERS)?);
        self.store.view("find sources", scope, BATCH_DEADLINE, find).await
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

    /// Of a dry run: which would meet a connection that is there, or one that came before in the source.
    async fn look_for(&self, import: &mut Import, opened: Vec<Opened>) -> Result<Vec<Left>, Error> {
        let (mut duplicates, mut open) = (Vec::new(), Vec::new());
        for Opened { id, owner, destination, .. } in opened {
            match first(&import.hashing, &mut import.addresses, (owner.user(), destination.parts())) {
                true => open.push((id, owner, destination)),
                false => duplicates.push(Left { row: Ok(id), why: Why::Duplicate(None) }),
            }
        }
        let look = move |tx: &mut crate::store::Tx| {
            let is_allowed = tx.may_each_be_called(open.iter().map(|(_, _, destination)| destination))?;
            let found = open.into_iter().zip(is_allowed).map(|((id, owner, destination), is_allowed)| {
                Ok((id, is_allowed, tx.find_connection_of(&owner, &destination)?))
            });
            found.collect::<Result<Vec<_>, Error>>()
        };
        let scope = import.scope.clone();
        let mut refused = Vec::new();
        for (id, is_allowed, found) in self.store.view("find duplicates", scope, BATCH_DEADLINE, look).await?
        {
            match found {
                _ if !is_allowed => {
                    refused.push(Left { row: Ok(id), why: Why::Rules(vec![host_not_allowed()]) });
                }
                None => import.tally.imported += 1,
                found => duplicates.push(Left { row: Ok(id), why: Why::Duplicate(found) }),
            }
        }
        import.tally.duplicates += count(duplicates.len());
        import.tally.refused += count(refused.len());
        duplicates.extend(refused);
        Ok(duplicates)
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
