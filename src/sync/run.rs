//! One run, from the first note in the sink to the lease handed back.

use std::cell::RefCell;
use std::time::Duration;

use crate::clock::Clock;
use crate::egress::{Egress, Guard, Limits, OdooUrl};
use crate::odoo::{Address, Credential, NotLoggedIn, Odoo, Readable, Servers};
use crate::sync::borrow::{Loan, Outcome, VaultClient};
use crate::sync::error::SyncError;
use crate::sync::hold::{Asked, Hold, check_token, wish};
use crate::sync::job::{Job, Patience, Summary};
use crate::sync::plan::{Part, plan};
use crate::sync::pull::Puller;
use crate::sync::refusal::{BorrowError, Refusal};
use crate::sync::settings::Settings;
use crate::sync::sink::{Desk, Run};
use crate::sync::step::Step;
use crate::sync::stop::Stop;
use crate::sync::sweep::Swept;
use crate::telemetry::TraceId;

/// How long to wait before each further try to reach an Odoo that was not reached.
const PAUSES: &[Duration] = &[Duration::from_millis(500), Duration::from_secs(2)];

/// A worker of one vault.
pub struct Worker {
    pub(super) vault: VaultClient,
    pub(super) guard: Guard,
    pub(super) clock: Clock,
    pub(super) servers: Servers,
    plan: Vec<Part>,
    pub(super) patience: Patience,
}

impl Worker {
    /// A worker as `settings` say.
    pub fn new(settings: Settings, clock: Clock) -> Result<Self, SyncError> {
        let plan = plan(&Readable::embedded()?)?;
        let vault =
            VaultClient::new(settings.vault, settings.ca.as_deref(), settings.identity, clock.clone())?;
        let guard = Guard::new(settings.egress_allow).with_ports(settings.egress_ports);
        let guard = guard.with_nat64(settings.egress_nat64).through(settings.egress_proxy);
        let servers = Servers::new(clock.clone());
        Ok(Self { vault, guard, clock, servers, plan, patience: Patience::default() })
    }

    /// The trace that what it asks of the vault belongs to.
    pub fn trace_id(&self) -> TraceId {
        self.vault.trace_id()
    }

    /// The same, with so much patience.
    pub fn with(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Runs `job` to its end, or until `stop`. The lease is handed back in either case.
    pub async fn run(
        &self,
        job: &Job,
        mut stop: Stop,
        say: &mut dyn FnMut(Step),
    ) -> Result<Summary, SyncError> {
        let desk = Desk::new(job.sink.open(&job.connection)?);
        // On record before anything is lent: should this process die, the next one asks as this run.
        let now = self.clock.now();
        let run = desk.with(move |sink| sink.begin_run(now)).await?;
        if run.is_continued {
            say(Step::Continued);
        }
        let (loan, hold) = match self.borrow(job, &run, &mut stop, say).await {
            Ok(borrowed) => borrowed,
            // It may have been lent and the answer lost: then this run is to ask again.
            Err(
                error @ SyncError::Borrow(
                    BorrowError::Unreachable(_) | BorrowError::Unavailable(_) | BorrowError::NotAVault(_),
                ),
            ) => return Err(error),
            Err(error @ (SyncError::Stopped | SyncError::TokenOver)) => return Err(error),
            Err(error) => {
                let ended = Some(self.clock.now());
                desk.with(move |sink| sink.end_run(&run, Outcome::Failed, 0, ended)).await?;
                return Err(error);
            }
        };
        say(Step::Borrowed);
        let lease = loan.lease.clone();
        let mut models = Vec::new();
        // Broken off at whatever it waits for: the sink takes whole pages alone.
        let pulled = tokio::select! {
            biased;
            () = stop.raised() => Err(SyncError::Stopped),
            over = hold.over() => Err(over),
            pulled = self.pull_all(job, loan, (&desk, &hold), &mut *say, &mut models) => pulled,
        };
        let is_quiet = desk.is_quiet().await;

        let outcome = match &pulled {
            Ok(()) => Outcome::Ok,
            Err(SyncError::Odoo(_, cause)) if cause.is_refusal() => Outcome::AuthFailed,
            Err(_) => Outcome::Failed,
        };
        let records = models.iter().map(|(_, swept): &(String, Swept)| swept.count.read).sum();
        let within = self.patience.hand_back_within;
        let handed_back = match self.vault.give_back(&lease, (outcome, records), within).await {
            Ok(()) => true,
            // Over is over.
            Err(BorrowError::Refused(Refusal::LeaseOver | Refusal::NotFound, _)) => true,
            Err(error) => {
                say(Step::NotHandedBack(&error));
                false
            }
        };
        // What was broken off in good order is no run that ended: the next one goes on with it.
        let goes_on = matches!(
            pulled,
            Err(SyncError::Stopped | SyncError::LeaseOver | SyncError::VaultSilent | SyncError::TokenOver)
        );
        if is_quiet && !goes_on {
            let ended = handed_back.then(|| self.clock.now());
            desk.with(move |sink| sink.end_run(&run, outcome, records, ended)).await?;
        }
        pulled.map(|()| Summary { models })
    }

    async fn borrow(
        &self,
        job: &Job,
        run: &Run,
        stop: &mut Stop,
        say: &mut dyn FnMut(Step),
    ) -> Result<(Loan, Hold<'_>), SyncError> {
        let mut said = None;
        loop {
            let now = self.clock.now();
            let lasting = wish(self.vault.token_ends(), now);
            check_token(self.vault.token_ends(), now)?;
            let asked = Asked::at(now);
            let lent = tokio::select! {
                biased;
                () = stop.raised() => return Err(SyncError::Stopped),
                lent = self.vault.lend(&job.connection, &run.id, lasting) => lent,
            };
            match lent {
                Err(BorrowError::Held { until, retry_after }) if job.waits => {
                    if said != Some(until) {
                        say(Step::Waiting { until });
                        said = Some(until);
                    }
                    tokio::select! {
                        biased;
                        () = stop.raised() => return Err(SyncError::Stopped),
                        () = tokio::time::sleep(retry_after) => {}
                    }
                }
                lent => {
                    let loan = lent?;
                    let within = (&self.vault, &self.clock, self.patience);
                    let hold = Hold::new(within, loan.lease.clone(), (asked, lasting));
                    return Ok((loan, hold));
                }
            }
        }
    }

    async fn pull_all(
        &self,
        job: &Job,
        loan: Loan,
        (desk, hold): (&Desk, &Hold<'_>),
        say: &mut dyn FnMut(Step),
        models: &mut Vec<(String, Swept)>,
    ) -> Result<(), SyncError> {
        let url = OdooUrl::parse(&loan.url, &self.guard, None).map_err(SyncError::Address)?;
        let egress = Egress::new(&self.guard, url, None, Limits::default())?;
        let address = Address { database: loan.database, username: loan.username };
        let credential = Credential { kind: loan.kind, secret: loan.secret };
        let odoo = log_in((egress, address, credential), &self.servers, say).await?;
        say(Step::LoggedIn { version: odoo.version(), dialect: odoo.dialect() });
        let (clock, most_pages) = (&self.clock, self.patience.most_pages);
        let (accepts_removals, say) = (job.accepts_removals, RefCell::new(say));
        let puller = Puller { odoo: &odoo, desk, hold, clock, most_pages, accepts_removals, say };
        for part in &self.plan {
            models.push((part.model().to_owned(), puller.pull(part, job.whole).await?));
        }
        Ok(())
    }
}

/// Once, as soon as the secret is on its way: what is tried again is to reach the host.
async fn log_in(
    mut unsent: (Egress, Address, Credential),
    servers: &Servers,
    say: &mut dyn FnMut(Step),
) -> Result<Odoo, SyncError> {
    let mut pauses = PAUSES.iter();
    loop {
        let (egress, address, credential) = unsent;
        match (Odoo::login(egress, address, credential, servers).await, pauses.next()) {
            (Ok(odoo), _) => return Ok(odoo),
            (Err(NotLoggedIn { cause, unsent: Some(again) }), Some(pause)) => {
                say(Step::Retrying { model: "login", cause: cause.code() });
                tokio::time::sleep(*pause).await;
                unsent = *again;
            }
            (Err(NotLoggedIn { cause, .. }), _) => return Err(SyncError::Odoo(String::new(), cause)),
        }
    }
}
