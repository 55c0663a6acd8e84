//! What is wrong with a connection, step by step: the host, TLS, Odoo and its version, the database, the
//! login, each readable model, and whether the user can do more than read. The secret is sent once it is
//! known that an Odoo answers, the login once. A host that is not public ends at one cause and one moment.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use crate::clock::Moment;
use crate::credential::{CredentialKind, Rights};
use crate::egress::{Egress, Guard, Hearing, Limits, OdooUrl};
use crate::odoo::client::{Address, Credential, Odoo, wanted};
use crate::odoo::dialect::DialectName;
use crate::odoo::fault::OdooError;
use crate::odoo::finding::{Code, Finding, Severity};
use crate::odoo::foresight::{ends_soon, is_skewed, key_ends_soon};
use crate::odoo::query::{Domain, Order, ReadQuery};
use crate::odoo::readable::{CheckOnly, Fields, Model, Readable};
use crate::odoo::rights::rights;
use crate::odoo::servers::Servers;
use crate::odoo::version::Version;

/// A whole check ends within this.
pub const CHECK_WITHIN: Duration = Duration::from_secs(30);
/// A name is looked up within this; and a host that is not public is told no sooner, whatever made it so.
const HOST_WITHIN: Duration = Duration::from_secs(1);
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(10),
    total: Duration::from_secs(10),
    max_head_bytes: 32 * 1024,
    max_bytes: 2 * 1024 * 1024,
};
/// The first version that the client is built for.
const OLDEST: u8 = 14;
/// Where an Odoo with several databases sends those who named none.
const CHOOSES: &str = "/web/database/";

/// What is to be checked. Holds a secret: neither printed nor cloned.
pub struct Subject<'a> {
    /// Odoo's address, as it was deposited.
    pub url: &'a str,
    /// The org it is of, where exceptions are of orgs.
    pub org: Option<&'a str>,
    /// What calls are held against.
    pub guard: &'a Guard,
    /// The database and login there.
    pub address: Address,
    /// The password or API key.
    pub credential: Credential,
    /// What servers were found to be: asked anew, and remembered for whoever logs in next.
    pub servers: &'a Servers,
    /// When it ends by its own date: once that is over, it is not sent.
    pub ends: Option<Moment>,
    /// The time as the check begins.
    pub now: Moment,
}

/// What became of the login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// Odoo said neither yes nor no.
    #[default]
    Unknown,
    /// It took the credential.
    Taken,
    /// It refused the credential.
    Refused,
    /// What stands before it saw the credential, and let it not through: whose refusal that is, nobody can tell.
    TurnedAway,
}

impl Login {
    /// What it says of a login that this came of it, or of a call after it.
    pub fn of(cause: OdooError) -> Self {
        match cause {
            cause if cause.is_refusal() => Self::Refused,
            OdooError::TurnedAway => Self::TurnedAway,
            _ => Self::Unknown,
        }
    }
}

/// Which Odoo answers, and how it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its version.
    pub version: Version,
    /// What the login was made in, or would have been; none if the server takes no such credential.
    pub dialect: Option<DialectName>,
}

/// What a check found, in the order of its steps.
#[derive(Debug, Default)]
pub struct Diagnosis {
    /// The server, once it told what it is.
    pub server: Option<Found>,
    /// Each thing found.
    pub findings: Vec<Finding>,
    /// What became of the login.
    pub login: Login,
    /// What the user may do, as far as reading shows it; `None` when it did not come to that.
    pub rights: Option<Rights>,
    /// What the head of the last answer said.
    hearing: Hearing,
}

impl Diagnosis {
    /// A check that was not made.
    pub fn not_made() -> Self {
        Self { findings: vec![Finding::of(Code::NotChecked)], ..Self::default() }
    }

    /// A login that is known to be refused, and was not tried.
    pub fn refused(kind: CredentialKind) -> Self {
        let findings = vec![Finding::of(Code::of_login(OdooError::LoginRefused, kind))];
        Self { findings, login: Login::Refused, ..Self::default() }
    }

    /// Whether a sync would go well: nothing found, or warnings alone.
    pub fn is_ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.code.severity() == Severity::Warning)
    }

    /// A redirect, told by the host that it leads to; unless it leads to where people choose a database.
    fn say_redirected(&mut self) {
        match self.hearing.last().redirect {
            Some(to) if to.path.starts_with(CHOOSES) => self.say(Code::DatabaseNotSelected, None),
            to => {
                let redirect = to.map(|to| to.host);
                self.findings.push(Finding { redirect, ..Finding::of(Code::Redirected) });
            }
        }
    }

    fn say(&mut self, code: Code, model: Option<&Model>) {
        // Another user's key opens nothing that the connection names.
        match code {
            Code::LoginRefused | Code::KeyRefused | Code::OtherUser => self.login = Login::Refused,
            Code::TurnedAway => self.login = Login::TurnedAway,
            _ => {}
        }
        let model = model.map(|model| model.name().to_owned());
        self.findings.push(Finding { model, ..Finding::of(code) });
    }
}

/// Checks `subject`, within [`CHECK_WITHIN`].
pub async fn diagnose(subject: Subject<'_>) -> Diagnosis {
    let (mut found, begun) = (Diagnosis::default(), Instant::now());
    match timeout(CHECK_WITHIN, steps(subject, &mut found)).await {
        Ok(Ok(())) => {}
        Ok(Err(Code::Redirected)) => found.say_redirected(),
        Ok(Err(code)) => found.say(code, None),
        Err(_) => found.say(Code::Timeout, None),
    }
    if found.findings.iter().any(|finding| finding.code == Code::HostNotPublic) {
        sleep_until(begun + HOST_WITHIN).await;
    }
    found
}

/// An error ends the check; what lets it go on is said on the way.
async fn steps(subject: Subject<'_>, found: &mut Diagnosis) -> Result<(), Code> {
    let Subject { url, org, guard, address, credential, servers, ends, now } = subject;
    let (begun, kind) = (Instant::now(), credential.kind);
    // What the guard would not take today is no other cause than what does not resolve.
    let url = OdooUrl::parse(url, guard, org).map_err(|_| Code::HostNotPublic)?;
    let egress = Egress::new(guard, url, org, LIMITS).map_err(|error| Code::of(error.into()))?;
    egress.judge(HOST_WITHIN).await.map_err(|error| Code::of(error.into()))?;

    found.hearing = egress.hearing();
    let mut server = servers.look(&egress, &address.database).await.map_err(Code::of)?;
    let version = server.version();
    found.server = Some(Found { version, dialect: None });
    let wanted = wanted(&address, &credential);
    let dialect = servers.choose(&egress, &address.database, &mut server, &wanted).await;
    found.server = Some(Found { version, dialect: dialect.ok() });
    if version.major() < OLDEST {
        found.say(Code::OdooTooOld, None);
    }
    if is_skewed(found.hearing.last().date.as_deref(), now.after(begun.elapsed())) {
        found.say(Code::ClockSkew, None);
    }
    if ends.is_some_and(|ends| ends <= now) {
        return Err(Code::CredentialExpired);
    }
    dialect.map_err(|no| Code::of_login(no, kind))?;
    let odoo = Odoo::login(egress, address, credential, servers).await;
    let odoo = odoo.map_err(|no| Code::of_login(no.cause, kind))?;
    found.login = Login::Taken;
    found.server = Some(Found { version: odoo.version(), dialect: Some(odoo.dialect()) });

    // Parsed at each start of both programs and held by a test.
    let readable = Readable::embedded().map_err(|_| Code::NotChecked)?;
    for name in readable.model_names() {
        let model = readable.model(&name).map_err(|_| Code::NotChecked)?;
        match odoo.fetch(&first_of(model.all())).await {
            Ok(_) => {}
            Err(error) if goes_on(error) => found.say(Code::of(error), Some(&model)),
            Err(error) => return Err(Code::of_call(error, kind)),
        }
    }
    let checks = CheckOnly::embedded().map_err(|_| Code::NotChecked)?;
    match rights(&odoo, &checks).await {
        Ok((rights, more)) => {
            found.rights = Some(rights);
            more.into_iter().for_each(|code| found.say(code, None));
        }
        Err(error) if goes_on(error) => {
            found.rights = Some(Rights::Unknown);
            found.say(Code::RightsUnknown, None);
        }
        Err(error) => return Err(Code::of_call(error, kind)),
    }
    if ends.is_some_and(|ends| ends_soon(ends, now)) {
        found.say(Code::CredentialExpiresSoon, None);
    }
    if kind == CredentialKind::ApiKey {
        match key_ends_soon(&odoo, &checks, now).await {
            Ok(true) => found.say(Code::KeyExpiresSoon, None),
            Ok(false) => {}
            // It is no worse than not to be told.
            Err(error) if goes_on(error) => {}
            Err(error) => return Err(Code::of_call(error, kind)),
        }
    }
    Ok(())
}

/// Whether what one model ended with says nothing of the next.
fn goes_on(error: OdooError) -> bool {
    matches!(
        error,
        OdooError::ModelMissing
            | OdooError::NotAllowed
            | OdooError::UnknownField
            | OdooError::QueryRefused
            | OdooError::RecordMissing
            | OdooError::ServerFailed
    )
}

pub(super) fn first_of(fields: Fields) -> ReadQuery {
    ReadQuery::SearchRead {
        domain: Domain::all(fields.model()),
        fields,
        order: Order::IdAscending,
        offset: 0,
        limit: std::num::NonZeroU32::MIN,
        archived: false,
    }
}
