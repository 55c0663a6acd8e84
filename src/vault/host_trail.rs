//! `pawl audit`: the trail read on the vault's host, on record as the host's doing, and verified.

use crate::access::Host;
use crate::audit::{AuditEvent, Kept, Report, VerifierKey, member};
use crate::clock::{Clock, NoRandomness};
use crate::error::Error;
use crate::ids::OrgId;
use crate::store::{ChainOf, RawEvent, Store, StoreError};
use crate::vault::export::{Export, ExportAsk};
use crate::vault::verify_trail::verify_stored;

/// So many events a look at the end of a chain shows.
const TAIL: i64 = 20;

/// The trail, for the commands on the vault's host. Its calls block, but for the export.
pub struct HostTrail {
    store: Store,
    clock: Clock,
}

/// Why it was not read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// An export.
    #[error(transparent)]
    Export(#[from] Error),
}

impl HostTrail {
    /// The trail in `store`.
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// The newest events of `org` (`None`: the vault's own), oldest first. That they were read is on record.
    pub fn tail(&self, org: Option<&OrgId>) -> Result<Vec<RawEvent>, NotRead> {
        let newest = self.store.view_chain("tail trail", &chain_of(org), |chain| {
            let (first, last) = chain.find_ends()?.unwrap_or((1, 0));
            chain.find_raw((last - TAIL).max(first - 1), last, TAIL)
        })?;
        self.record(org, "audit.read", &[])?;
        Ok(newest)
    }

    /// What came after number `after`, oldest first, a thousand at most.
    pub fn follow(&self, org: Option<&OrgId>, after: i64) -> Result<Vec<RawEvent>, NotRead> {
        Ok(self
            .store
            .view_chain("follow trail", &chain_of(org), |chain| chain.find_raw(after, i64::MAX, 1_000))?)
    }

    /// Begins an export of the trail of `org`, which is on record when this answers.
    pub async fn export(&self, org: &OrgId, ask: ExportAsk) -> Result<Export, NotRead> {
        let export = Export::open_on_host(&self.store, Host::audit(org.clone()), ask).await?;
        let (told, rows) = (ask.told(), export.rows().to_string());
        self.record(Some(org), "audit.export", &[("filter", &told), ("rows", &rows)])?;
        Ok(export)
    }

    /// Verifies the logs and the chain of `org`, or all chains. `keys` and `kept` are what somebody else kept of the logs.
    pub fn verify(&self, which: &Which, keys: &[VerifierKey], kept: &Kept) -> Result<Report, StoreError> {
        self.store.view_trail("verify trail", |view| verify_stored(view, which, (keys, kept)))
    }

    fn record(
        &self,
        org: Option<&OrgId>,
        action: &'static str,
        more: &[(&'static str, &str)],
    ) -> Result<(), NotRead> {
        let now = self.clock.now();
        let event = match org {
            Some(org) => AuditEvent::of_host(org, action, "trail", more, now)?,
            None => {
                let more: Vec<_> = more.iter().copied().chain([(member::CLIENT, "cli")]).collect();
                AuditEvent::of_vault_with(action, "trail", &more, now)?
            }
        };
        Ok(self.store.upkeep("record reading", |tx| tx.append(&event))?)
    }
}

/// Whose chains are verified.
#[derive(Clone, Debug)]
pub enum Which {
    /// Every one.
    All,
    /// The vault's own.
    Vault,
    /// An org's.
    Org(OrgId),
}

pub(super) fn chain_of(org: Option<&OrgId>) -> ChainOf {
    org.map_or(ChainOf::Vault, |org| ChainOf::Org(Host::audit(org.clone())))
}
