//! What the vault does, a file a use case. Knows nothing of HTTP and nothing of SQL.

mod browse;
mod check;
mod deposit;
mod exchange;
mod expiry;
mod export;
mod exports;
mod forget;
mod freeze;
mod gate;
mod give_back;
mod host_switch;
mod host_trail;
mod import;
mod inject;
pub mod keys;
mod leave;
mod lend;
mod log;
mod logins;
mod operate;
mod registry;
mod renew;
mod repeat;
mod replace;
mod reserve;
mod retention;
mod settings;
mod standing;
mod tell;
mod tighter;
mod trail;
mod untold;
mod update;
mod verify_begun;
mod verify_leaves;
mod verify_log;
mod verify_trail;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::access::Limits;
use crate::clock::Clock;
use crate::egress::Guard;
use crate::error::Error;
use crate::odoo::{Readable, Servers};
use crate::store::Store;
use crate::vault::keys::{Held, Ring};

pub use crate::store::{OrgProof, RawEvent, ResealRun, SealedUnder, StoredConnection, StoredLease};
pub use browse::Page;
pub use deposit::{Deposit, MAX_NAME_BYTES, MAX_OTHER_SECRET_BYTES, MAX_SECRET_BYTES};
pub use exchange::{Mint, NotGiven};
pub use export::{Export, ExportAsk, ExportFormat};
pub use exports::Watched;
pub use freeze::{FrozenBy, switch_vault};
pub use gate::Passage;
pub use give_back::{GiveBack, OUTCOMES};
pub use host_switch::HostSwitch;
pub use host_trail::{HostTrail, NotRead, Which};
pub use import::{BATCH, IMPORT_KINDS, Import, Left, Tally, Why};
pub use inject::{Answer, Injected};
pub use lend::{Lend, Loan, PURPOSES};
pub use log::{
    Accepted, Doubt, Doubted, Doubting, Keeper, Log, LogRefused, LogShut, Looked, Telling, Witnesses, accept,
    begin_log, look_at_log, origin_host,
};
pub use registry::{NotRegistered, Registry};
pub use renew::Renew;
pub use repeat::KeyedRequest;
pub use replace::Replace;
pub use reserve::Reserve;
pub use settings::{ChangeSettings, Settings};
pub use standing::{IssuerShut, Watch, open_issuer};
pub use trail::TrailFilter;
pub use untold::Untold;
pub use update::Update;

/// Within this a lend is answered, with a secret, a refusal or a 503: of the 250 ms that are promised,
/// what is left for reading and writing.
const LEND_DEADLINE: Duration = Duration::from_millis(240);
/// Within this everything else is answered.
const DEADLINE: Duration = Duration::from_secs(5);

/// How many rings one request tries: a rotation that meets it twice is a rare thing.
const RINGS: usize = 3;

/// The vault: one for a process, shared by every request.
pub struct Vault {
    store: Store,
    ring: Arc<Ring>,
    guard: Guard,
    servers: Servers,
    models: Vec<String>,
    readable: Arc<Readable>,
    clock: Clock,
    gates: gate::Gates,
    checks: check::Checks,
    injections: inject::Injections,
    room: Arc<inject::Room>,
    aside: inject::Aside,
    circuits: inject::Circuits,
    logins: logins::Logins,
    switch: Arc<HostSwitch>,
    untold: Arc<Untold>,
    limits: Arc<Limits>,
    exports: exports::Exports,
    witnesses: Witnesses,
    /// Looks for a client that an assertion names, at once.
    strangers: Semaphore,
}

/// So many of them: of the connections of an ordinary pool most are left to those who are known.
const STRANGERS: usize = 2;

/// What a vault is put together from.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The keys.
    pub ring: Arc<Ring>,
    /// Where a user's URL may lead.
    pub guard: Guard,
    /// What may be asked of an Odoo.
    pub readable: Arc<Readable>,
    /// The time.
    pub clock: Clock,
    /// What freezes this host.
    pub switch: Arc<HostSwitch>,
    /// What a caller may ask.
    pub limits: Arc<Limits>,
    /// What is counted instead of told.
    pub untold: Untold,
    /// Who is told of checkpoints.
    pub witnesses: Witnesses,
}

impl Vault {
    /// A vault of these.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, ring, guard, readable, clock, switch, limits, untold, witnesses } = parts;
        let exports = exports::Exports::new(clock.clone());
        let logins = logins::Logins::new(store.clone(), clock.clone());
        let injections = inject::Injections::new(clock.clone());
        Self {
            store,
            ring,
            guard,
            servers: Servers::new(clock.clone()),
            models: readable.model_names(),
            readable,
            clock,
            gates: gate::Gates::new(),
            checks: check::Checks::new(),
            room: inject::Room::new(injections.clone()),
            injections,
            aside: inject::Aside::default(),
            circuits: inject::Circuits::default(),
            logins,
            switch,
            untold: Arc::new(untold),
            limits,
            exports,
            witnesses,
            strangers: Semaphore::new(STRANGERS),
        }
    }

    /// Runs `work` with the ring as it is; again with a fresher one when it met a key that this one does
    /// not hold, or that may not seal any more. Nothing of what met it has happened.
    async fn with_ring<T>(&self, work: impl AsyncFn(Held) -> Result<T, Error>) -> Result<T, Error> {
        self.with_ring_until(Instant::now() + DEADLINE, work).await
    }

    /// The same, and no ring is waited for after that time.
    async fn with_ring_until<T>(
        &self,
        until: Instant,
        work: impl AsyncFn(Held) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut held = self.ring.held();
        for _ in 0..RINGS {
            match work(held.clone()).await {
                Err(Error::OldRing(key)) => {
                    let sought = tokio::time::timeout_at(until, self.ring.seek(&key, &held)).await;
                    held = sought.map_err(|_| Error::Unavailable("the keys are being read".into()))?;
                }
                done => return done,
            }
        }
        Err(Error::Unavailable("the keys are being changed".into()))
    }

    /// Whether the keys could not be read again of late, and the vault goes on with those it has.
    pub fn has_stale_keys(&self) -> bool {
        self.ring.is_stale()
    }

    /// How it stands with who is told of checkpoints.
    pub fn telling(&self) -> Telling {
        self.witnesses.telling()
    }

    /// What is counted, and not put on record one by one.
    pub fn untold(&self) -> &Untold {
        &self.untold
    }

    /// Whether the database answers.
    pub async fn is_ready(&self) -> Result<(), Error> {
        Ok(self.store.ping(Duration::from_secs(1)).await?)
    }
}
