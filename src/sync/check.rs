//! The vault's check, made from the worker's host: what the worker reaches and trusts is what counts.

use std::time::Duration;

use crate::ids::ConnectionId;
use crate::odoo::{Address, CHECK_WITHIN, Credential, Diagnosis, Login, Subject, diagnose};
use crate::sync::borrow::{Loan, Outcome};
use crate::sync::error::SyncError;
use crate::sync::refusal::{BorrowError, Refusal};
use crate::sync::run::Worker;

/// Room for the check, and for handing back.
const LASTING: Duration = Duration::from_secs(60);
const _: () = assert!(CHECK_WITHIN.as_secs() < LASTING.as_secs());

impl Worker {
    /// Checks `connection`; the lease is handed back with what became of the login.
    pub async fn check(&self, connection: &ConnectionId) -> Result<Diagnosis, SyncError> {
        let Loan { lease, url, database, username, kind, secret, expires_at } =
            self.vault.lend_for_check(connection, LASTING).await?;
        let subject = Subject {
            url: &url,
            org: None,
            guard: &self.guard,
            address: Address { database, username },
            credential: Credential { kind, secret },
            servers: &self.servers,
            ends: expires_at,
            now: self.clock.now(),
        };
        let found = diagnose(subject).await;
        let outcome = match found.login {
            Login::Taken => Outcome::Ok,
            Login::Refused => Outcome::AuthFailed,
            Login::TurnedAway | Login::Unknown => Outcome::Failed,
        };
        match self.vault.give_back(&lease, (outcome, 0), self.patience.hand_back_within).await {
            // Over is over.
            Ok(()) | Err(BorrowError::Refused(Refusal::LeaseOver | Refusal::NotFound, _)) => Ok(found),
            Err(error) => Err(error.into()),
        }
    }
}
