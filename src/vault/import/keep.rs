//! Rows are sealed and kept, some at a time: connections, ledger and record in one transaction, or none of it.

use std::time::{Duration, Instant};

use crate::audit::{AuditEvent, Outcome};
use crate::clock::Moment;
use crate::error::Error;
use crate::ids::{ConnectionId, Revision, SourceId};
use crate::import::SourceName;
use crate::seal::{Binding, Keyring};
use crate::store::{Entry, Imported, NewConnection, Tx};
use crate::vault::Vault;
use crate::vault::deposit::host_not_allowed;
use crate::vault::import::rows::Opened;
use crate::vault::import::{BATCH, BATCH_DEADLINE, Import, Left, Why};

const TRIES: u32 = 5;

/// How many rows are a transaction at first, and at least: fewer would not make it shorter, since what is slow
/// then is the way to the database and back.
pub(super) const LEAST_PACE: usize = 100;
/// Who lends in the same org waits while a transaction is made, for 240 ms at most: one that takes longer than
/// this is followed by one of fewer rows, one that takes much less by one of more.
const LONG: Duration = Duration::from_millis(60);

/// A row sealed for its place.
struct Candidate {
    id: SourceId,
    new: NewConnection,
}

/// What became of a row.
enum Kept {
    /// By this run, also by a try whose outcome was unknown.
    Now,
    /// Another import was faster.
    Before(Imported),
    Duplicate(ConnectionId),
    /// The org does not let that host be called; it may come in once it does.
    NotAllowed,
}

impl Vault {
    /// Keeps the rows, some of them at a time, and leaves as much time to others as that took.
    pub(super) async fn keep(
        &self,
        import: &mut Import,
        opened: Vec<Opened>,
        at: Moment,
    ) -> Result<Vec<Left>, Error> {
        let (mut rest, mut left) = (opened.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (rows, later) = rest.split_at(import.pace.min(rest.len()));
            rest = later;
            let (kept, took) = self.keep_some(import, rows, at).await?;
            import.pace = match import.pace {
                pace if took > LONG => (pace / 2).max(LEAST_PACE),
                pace if took < LONG / 2 => (pace * 2).min(BATCH),
                pace => pace,
            };
            for (row, kept) in rows.iter().zip(kept) {
                match kept {
                    Kept::Now => import.tally.imported += 1,
                    Kept::Before(known) => left.extend(import.meet(&row.id, &known, row.is(&known))),
                    Kept::Duplicate(found) => {
                        import.tally.duplicates += 1;
                        left.push(Left { row: Ok(row.id.clone()), why: Why::Duplicate(Some(found)) });
                    }
                    Kept::NotAllowed => {
                        import.tally.refused += 1;
                        left.push(Left {
                            row: Ok(row.id.clone()),
                            why: Why::Rules(vec![host_not_allowed()]),
                        });
                    }
                }
            }
            tokio::time::sleep(took).await;
        }
        Ok(left)
    }

    /// One transaction, and how long it took. A try whose outcome is unknown is made again: what came in is in
    /// the ledger.
    async fn keep_some(
        &self,
        import: &Import,
        rows: &[Opened],
        at: Moment,
    ) -> Result<(Vec<Kept>, Duration), Error> {
        let mut tries = 1;
        loop {
            let begun = Instant::now();
            match self.try_keep(import, rows, at).await {
                Err(Error::Unavailable(cause)) if tries < TRIES => {
                    tracing::warn!(%cause, "rows were not kept, or are not known to be: they are tried again");
                    tokio::time::sleep(begun.elapsed().max(LONG)).await;
                    tries += 1;
                }
                kept => return Ok((kept?, begun.elapsed())),
            }
        }
    }

    async fn try_keep(&self, import: &Import, opened: &[Opened], at: Moment) -> Result<Vec<Kept>, Error> {
        self.with_ring(async |held| {
            let rows = opened.iter().map(|row| seal(&held.keyring, row, at));
            let rows = rows.collect::<Result<Vec<_>, Error>>()?;
            let source = import.source.clone();
            let kept = move |tx: &mut Tx| keep(tx, &source, &rows, at);
            self.store.run("import", import.scope.clone(), BATCH_DEADLINE, kept).await
        })
        .await
    }
}

fn seal(keyring: &Keyring, row: &Opened, at: Moment) -> Result<Candidate, Error> {
    let binding =
        Binding::credential(&row.owner, &row.connection, Revision::FIRST, row.kind, &row.destination);
    let sealed = keyring.seal(&binding, &row.secret);
    let new = NewConnection {
        id: row.connection.clone(),
        scope: row.owner.clone(),
        label: None,
        environment: row.environment,
        kind: row.kind,
        destination: row.destination.clone(),
        sealed: sealed.map_err(|failed| Error::Unavailable(failed.to_string()))?,
        credential_expires_at: None,
        at,
    };
    Ok(Candidate { id: row.id.clone(), new })
}

fn keep(tx: &mut Tx, source: &SourceName, rows: &[Candidate], at: Moment) -> Result<Vec<Kept>, Error> {
    if tx.find_frozen()?.is_frozen() {
        return Err(Error::Frozen);
    }
    let source = source.as_str();
    // Asked again: nobody else writes in this org from here on.
    let known = tx.find_imports(source, &rows.iter().map(|row| &row.id).collect::<Vec<_>>())?;
    let is_allowed = tx.may_each_be_called(rows.iter().map(|row| &row.new.destination))?;
    let wanted = rows.iter().zip(&is_allowed);
    let wanted = wanted.filter(|(row, is_allowed)| **is_allowed && !known.contains_key(row.id.as_str()));
    let kept = tx.insert_connections(&wanted.map(|(row, _)| &row.new).collect::<Vec<_>>())?;
    let (mut done, mut ledger, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for (Candidate { id, new }, is_allowed) in rows.iter().zip(is_allowed) {
        if let Some(known) = known.get(id.as_str()) {
            let is_this = known.connection == new.id;
            done.push(if is_this { Kept::Now } else { Kept::Before(known.clone()) });
            continue;
        }
        if !is_allowed {
            done.push(Kept::NotAllowed);
            continue;
        }
        let (connection, entry, outcome) = match kept.contains(&new.id) {
            true => (new.id.clone(), Entry::Imported, Outcome::Done),
            // In the ledger too: or the row would come in after that one was forgotten.
            false => {
                let there = tx.find_connection_of(&new.scope, &new.destination)?;
                let there = there.ok_or(Error::Damaged("connections"))?;
                (there, Entry::Duplicate, Outcome::Refused("duplicate"))
            }
        };
        let about = (&connection, new.label.as_deref());
        events.push(AuditEvent::imported(&new.scope, about, (source, id), outcome, at)?);
        ledger.push((id, connection.clone(), entry));
        done.push(match entry {
            Entry::Imported => Kept::Now,
            Entry::Duplicate => Kept::Duplicate(connection),
        });
    }
    tx.insert_imports(source, &ledger, at)?;
    tx.append_all(&events)?;
    Ok(done)
}
