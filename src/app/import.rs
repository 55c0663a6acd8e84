//! `pawl import`: a thread reads the source, this one opens, seals and keeps, some hundred rows at a time.

use std::path::PathBuf;

use tokio::sync::mpsc;

use crate::access::{Host, Limits};
use crate::app::App;
use crate::credential::CredentialKind;
use crate::error::Error;
use crate::ids::{KeyId, OrgId};
use crate::import::{Columns, OpenSource, Source, SourceName, SourceRefused, SourceRow, Table};
use crate::seal::{self, FernetKeys, Fingerprint};
use crate::store::StoreError;
use crate::vault::keys::Ring;
use crate::vault::{BATCH, HostSwitch, Import, Left, Parts, Reserve, Tally, Untold, Vault, Witnesses};

/// What is to be moved in.
pub struct ImportAsked {
    /// Where the rows are.
    pub source: Source,
    /// What the source is called in the ledger, if it was told.
    pub name: Option<SourceName>,
    /// The table, unless it is a CSV.
    pub table: Option<Table>,
    /// Its columns.
    pub columns: Columns,
    /// The one org whose rows these become.
    pub org: OrgId,
    /// The file of the source's own keys.
    pub key_file: PathBuf,
    /// `password` or `api_key`.
    pub kind: CredentialKind,
    /// Write nothing.
    pub is_dry: bool,
}

/// What is told on the way.
pub enum ImportStep<'a> {
    /// It begins: by this name, with so many rows if that is known.
    Begun(&'a SourceName, Option<u64>),
    /// So far.
    Went(Tally),
    /// A row was left.
    Left(&'a Left),
}

/// How it ended.
pub struct ImportEnded {
    /// The source's name in the ledger.
    pub source: SourceName,
    /// What became of its rows.
    pub tally: Tally,
}

/// Why it did not come to its end. What came in before stays, and the ledger knows it: run it again.
#[derive(Debug, thiserror::Error)]
pub enum ImportFailed {
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceRefused),
    /// The file of its keys.
    #[error(transparent)]
    Keys(#[from] seal::SourceRefused),
    /// A key that the vault seals with, or once did, is no other product's.
    #[error(
        "the source's key with fingerprint {0} is this vault's own key {1}: what it seals is no other product's \
         to hold"
    )]
    OwnKey(Fingerprint, KeyId),
    /// A name that nobody told, where the ledger knows others: the same table may have come in under one of them.
    #[error(
        "the org's ledger knows no rows of {0}, but of {1}: say with --source NAME what this is, one of those if it is \
         that table, or what was forgotten comes back"
    )]
    NewName(SourceName, String),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No runtime, or no data directory.
    #[error("no threads could be started, or the data directory can't be looked into: {0}")]
    Io(#[from] std::io::Error),
}

impl ImportFailed {
    fn cause(&self) -> &'static str {
        match self {
            Self::Source(_) | Self::NewName(..) => "source",
            Self::Keys(_) | Self::OwnKey(..) => "keys",
            Self::Vault(Error::Frozen) => "frozen",
            Self::Vault(_) | Self::Store(_) | Self::Io(_) => "unavailable",
        }
    }
}

/// Batches that are read ahead.
const AHEAD: usize = 4;

impl App {
    /// Moves the rows in, and tells how it goes.
    pub fn import(
        self,
        asked: ImportAsked,
        mut tell: impl FnMut(ImportStep),
    ) -> Result<ImportEnded, ImportFailed> {
        let keys = FernetKeys::read(&asked.key_file)?;
        for known in self.store.find_keys()? {
            if keys.fingerprints().any(|fingerprint| *fingerprint == known.fingerprint) {
                return Err(ImportFailed::OwnKey(known.fingerprint, known.id));
            }
        }
        let source = asked.source.open(asked.table.as_ref(), &asked.columns)?;
        let is_told = asked.name.is_some();
        let name = asked.name.map_or_else(|| source.name(), Ok)?;
        let vault = Vault::new(Parts {
            switch: HostSwitch::open(&self.config.data_dir)?.into(),
            limits: Limits::new(self.config.rates, &self.clock).into(),
            untold: Untold::new(self.clock.clone(), Reserve::of(&self.config)),
            store: self.store,
            ring: Ring::new(self.keys, self.keyring),
            guard: self.guard,
            readable: self.readable,
            clock: self.clock,
            // It signs nothing, and tells nobody.
            witnesses: Witnesses::default(),
        });
        let mut import = Import::new(Host::import(asked.org), name, asked.kind, keys, asked.is_dry);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        if !is_told {
            let others = runtime.block_on(vault.find_other_sources(&import))?;
            if !others.is_empty() {
                return Err(ImportFailed::NewName(import.source().clone(), others.join(", ")));
            }
        }
        vault.begin_import(&import)?;
        tell(ImportStep::Begun(import.source(), source.total()));
        let moved = runtime.block_on(move_in(&vault, &mut import, source, &mut tell));
        let recorded = vault.record_import(&import, moved.as_ref().err().map(ImportFailed::cause));
        moved?;
        recorded?;
        Ok(ImportEnded { source: import.source().clone(), tally: import.tally() })
    }
}

async fn move_in(
    vault: &Vault,
    import: &mut Import,
    source: OpenSource,
    tell: &mut impl FnMut(ImportStep),
) -> Result<(), ImportFailed> {
    let (sender, mut batches) = mpsc::channel(AHEAD);
    let reading = tokio::task::spawn_blocking(move || read(source, &sender));
    while let Some(rows) = batches.recv().await {
        for left in vault.import(import, rows).await? {
            tell(ImportStep::Left(&left));
        }
        tell(ImportStep::Went(import.tally()));
    }
    reading.await.map_err(|_| SourceRefused::BrokeOff("the reader ended"))?.map_err(Into::into)
}

/// Reads until the end, or until nobody takes any more.
fn read(source: OpenSource, sender: &mpsc::Sender<Vec<SourceRow>>) -> Result<(), SourceRefused> {
    let mut batch = Vec::with_capacity(BATCH);
    source.read(|row| {
        batch.push(row);
        batch.len() < BATCH || sender.blocking_send(std::mem::take(&mut batch)).is_ok()
    })?;
    if !batch.is_empty() {
        // Nobody is there to take it only when the import has failed, which is told.
        let _ = sender.blocking_send(batch);
    }
    Ok(())
}
