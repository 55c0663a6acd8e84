//! What each server was found to be: its version, and which dialects are spoken there. Remembered for a while,
//! so that not every login asks; forgotten as soon as an answer does not fit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::credential::CredentialKind;
use crate::egress::Egress;
use crate::odoo::dialect::DialectName;
use crate::odoo::fault::OdooError;
use crate::odoo::probe::{knock, probe};
use crate::odoo::version::Version;

/// So many at once. Whoever deposits can make them many.
const MOST: usize = 1_024;
const REMEMBERED_FOR: Duration = Duration::from_secs(3_600);

/// One server, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    version: Version,
    /// Of a dialect that is not among them, it is not known yet.
    doors: BTreeMap<DialectName, Door>,
}

/// What stands where a dialect is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Odoo, which wants a login.
    Open,
    /// Something else, for this reason.
    Closed(OdooError),
}

impl Server {
    /// With all that the version has.
    pub fn of(version: Version) -> Self {
        Self { version, doors: BTreeMap::new() }
    }

    /// With a dialect that is known to be spoken there.
    pub fn with(self, dialect: DialectName) -> Self {
        self.found(dialect, Door::Open)
    }

    /// Without a dialect, whose path is not there.
    pub fn without(self, dialect: DialectName) -> Self {
        self.closed(dialect, OdooError::ApiClosed)
    }

    pub(super) fn closed(self, dialect: DialectName, why: OdooError) -> Self {
        self.found(dialect, Door::Closed(why))
    }

    fn found(mut self, dialect: DialectName, door: Door) -> Self {
        self.doors.insert(dialect, door);
        self
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The best dialect that is left for it, and whether it is known to be spoken there; or why there is none.
    fn best(&self, wanted: &Wanted) -> Result<(DialectName, bool), OdooError> {
        let all = self.version.dialects(wanted.kind);
        let mut why = if all.is_empty() { OdooError::PasswordNotTaken } else { OdooError::ApiClosed };
        for dialect in all {
            let no = match self.doors.get(&dialect) {
                _ if wanted.unspeakable.contains(&dialect) => OdooError::Unspeakable,
                Some(Door::Closed(no)) => *no,
                known => return Ok((dialect, known.is_some())),
            };
            // What is said of the best one, unless that is only not there.
            if why == OdooError::ApiClosed {
                why = no;
            }
        }
        Err(why)
    }
}

/// What a dialect must do.
pub(super) struct Wanted {
    /// Take a credential of that kind.
    pub kind: CredentialKind,
    /// Those that have no way to say it.
    pub unspeakable: Vec<DialectName>,
}

/// Those that are remembered. Cheap to clone.
#[derive(Clone)]
pub struct Servers {
    clock: Clock,
    known: Arc<Mutex<BTreeMap<Place, Known>>>,
}

/// Origin and database: of one host, several may be of different versions.
type Place = (String, String);

struct Known {
    server: Server,
    since: Moment,
}

impl Servers {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, known: Arc::default() }
    }

    /// What is remembered of the server at `origin`, for that database.
    pub fn remembered(&self, origin: &str, database: &str) -> Option<Server> {
        let now = self.clock.now();
        let known = self.lock();
        let found = known.get(&(origin.to_owned(), database.to_owned()))?;
        // A clock that was set back makes none of them last longer.
        let is_fresh = found.since <= now && now < found.since.after(REMEMBERED_FOR);
        is_fresh.then(|| found.server.clone())
    }

    /// Remembers it from now on.
    pub fn remember(&self, origin: &str, database: &str, server: Server) {
        let place = (origin.to_owned(), database.to_owned());
        let mut known = self.lock();
        if known.len() >= MOST && !known.contains_key(&place) {
            let oldest = known.iter().min_by_key(|(_, known)| known.since).map(|(place, _)| place.clone());
            oldest.map(|oldest| known.remove(&oldest));
        }
        known.insert(place, Known { server, since: self.clock.now() });
    }

    /// It is not what it was.
    pub fn forget(&self, origin: &str, database: &str) {
        self.lock().remove(&(origin.to_owned(), database.to_owned()));
    }

    /// The server that `egress` reaches, and whether it was remembered; else it is asked, without a login.
    pub(super) async fn find(&self, egress: &Egress, database: &str) -> Result<(Server, bool), OdooError> {
        if let Some(server) = self.remembered(egress.origin(), database) {
            return Ok((server, true));
        }
        Ok((self.look(egress, database).await?, false))
    }

    /// The same, asked whatever is remembered.
    pub(super) async fn look(&self, egress: &Egress, database: &str) -> Result<Server, OdooError> {
        let server = probe(egress).await?;
        self.remember(egress.origin(), database, server.clone());
        Ok(server)
    }

    /// The best dialect that is spoken there and does what is wanted, asked without a login where it is not known; or
    /// why there is none.
    pub(super) async fn choose(
        &self,
        egress: &Egress,
        database: &str,
        server: &mut Server,
        wanted: &Wanted,
    ) -> Result<DialectName, OdooError> {
        loop {
            let dialect = match server.best(wanted)? {
                (dialect, true) => return Ok(dialect),
                (dialect, false) => dialect,
            };
            *server = server.clone().found(dialect, knock(egress, dialect, database).await?);
            let place = (egress.origin().to_owned(), database.to_owned());
            if let Some(known) = self.lock().get_mut(&place) {
                known.server = server.clone();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
