//! One run, from the first note in the sink to the lease handed back.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::egress::{Egress, Exceptions, Limits, OdooUrl, Resolve};
use crate::ids::ConnectionId;
use crate::odoo::{Address, Odoo, OdooError, Readable};
use crate::sync::borrow::{LEASE, Loan, Outcome, VaultClient};
use crate::sync::error::SyncError;
use crate::sync::plan::{Pull, plan};
use crate::sync::pull::pull;
use crate::sync::refusal::{BorrowError, Refusal};
use crate::sync::settings::Settings;
use crate::sync::sqlite_sink::{Run, Sink};
use crate::sync::step::Step;
use crate::sync::stop::Stop;
use crate::sync::sweep::Swept;

/// What to sync, and where to.
pub struct Job {
    /// The connection.
    pub connection: ConnectionId,
    /// The sink's file.
    pub sink: PathBuf,
    /// Whether to wait while another run holds the connection.
    pub waits: bool,
}

/// What a run did, by model.
pub struct Summary {
    /// Each model, in the order of the plan.
    pub models: Vec<(String, Swept)>,
}

/// As a table for people, a line a model.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, cells: [&str; 4]| {
            writeln!(f, "{:<14} {:>9} {:>13} {:>9}", cells[0], cells[1], cells[2], cells[3])
        };
        line(f, ["model", "records", "new/changed", "removed"])?;
        for (model, swept) in &self.models {
            let [records, changed, removed] =
                [swept.records, swept.changed, swept.removed].map(|count| count.to_string());
            line(f, [model, &records, &changed, &removed])?;
        }
        Ok(())
    }
}

/// How long before its end a lease is not used any more, so that it can still be handed back.
const HAND_BACK: Duration = Duration::from_secs(15);

/// A worker of one vault.
pub struct Worker {
    vault: VaultClient,
    exceptions: Exceptions,
    clock: Clock,
    plan: Vec<Pull>,
}

impl Worker {
    /// A worker as `settings` say.
    pub fn new(settings: Settings, clock: Clock) -> Result<Self, SyncError> {
        let plan = plan(&Readable::embedded()?)?;
        let vault = VaultClient::new(settings.vault, settings.token)?;
        Ok(Self { vault, exceptions: settings.egress_allow, clock, plan })
    }

    /// Runs `job` to its end, or until `stop`. The lease is handed back in either case.
    pub async fn run(
        &self,
        job: &Job,
        mut stop: Stop,
        say: &mut dyn FnMut(Step),
    ) -> Result<Summary, SyncError> {
        let mut sink = Sink::open(&job.sink, &job.connection)?;
        // On record before anything is lent: should this process die, the next one asks as this run.
        let run = sink.begin_run(&job.connection, self.clock.now())?;
        if run.is_continued {
            say(Step::Continued);
        }
        let (loan, until) = match self.borrow(job, &run, &mut stop, say).await {
            Ok(borrowed) => borrowed,
            // It may have been lent and the answer lost: then this run is to ask again.
            Err(error @ SyncError::Borrow(BorrowError::Unreachable(_) | BorrowError::Unavailable(_))) => {
                return Err(error);
            }
            Err(SyncError::Stopped) => return Err(SyncError::Stopped),
            Err(error) => {
                sink.end_run(&run, Outcome::Failed, 0, Some(self.clock.now()))?;
                return Err(error);
            }
        };
        say(Step::Borrowed);
        let lease = loan.lease.clone();
        let mut models = Vec::new();
        let pulled = self.pull_all((loan, until), (&mut sink, &run), &mut stop, say, &mut models).await;

        let outcome = match &pulled {
            Ok(()) => Outcome::Ok,
            Err(SyncError::Odoo(_, OdooError::LoginRefused)) => Outcome::AuthFailed,
            Err(_) => Outcome::Failed,
        };
        let records = models.iter().map(|(_, swept)| swept.records).sum();
        let handed_back = match self.vault.give_back(&lease, outcome, records).await {
            Ok(()) => true,
            // Over is over.
            Err(BorrowError::Refused(Refusal::LeaseOver | Refusal::NotFound, _)) => true,
            Err(error) => {
                say(Step::NotHandedBack(&error));
                false
            }
        };
        // What was broken off in good order is no run that ended: the next one goes on with it.
        if !matches!(pulled, Err(SyncError::Stopped | SyncError::LeaseOver)) {
            sink.end_run(&run, outcome, records, handed_back.then(|| self.clock.now()))?;
        }
        pulled.map(|()| Summary { models })
    }

    async fn borrow(
        &self,
        job: &Job,
        run: &Run,
        stop: &mut Stop,
        say: &mut dyn FnMut(Step),
    ) -> Result<(Loan, Moment), SyncError> {
        let mut said = None;
        loop {
            // By this clock and from before the wish: never later than the vault's own end of it.
            let until = self.clock.now().after(LEASE - HAND_BACK);
            if stop.is_raised() {
                return Err(SyncError::Stopped);
            }
            match self.vault.lend(&job.connection, &run.id).await {
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
                lent => return Ok((lent?, until)),
            }
        }
    }

    async fn pull_all(
        &self,
        (loan, until): (Loan, Moment),
        (sink, run): (&mut Sink, &Run),
        stop: &mut Stop,
        say: &mut dyn FnMut(Step),
        models: &mut Vec<(String, Swept)>,
    ) -> Result<(), SyncError> {
        let url = OdooUrl::parse(&loan.url, &self.exceptions, None).map_err(SyncError::Address)?;
        let egress = Egress::new(url, self.exceptions.clone(), None, Limits::default(), Resolve::system())?;
        let address = Address { database: loan.database, username: loan.username };
        // Once: the client takes the secret over, so there is nothing to try again with.
        let odoo = tokio::select! {
            biased;
            () = stop.raised() => return Err(SyncError::Stopped),
            odoo = Odoo::login(egress, address, loan.secret) => {
                odoo.map_err(|cause| SyncError::Odoo(String::new(), cause))?
            }
        };
        for part in &self.plan {
            let swept =
                pull(&odoo, (&mut *sink, run), part, (&self.clock, until, &mut *stop), &mut *say).await?;
            models.push((part.model().to_owned(), swept));
        }
        Ok(())
    }
}
