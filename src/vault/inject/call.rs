//! The call itself: through the guard, by the read-only client; and nothing of the answer leaves before it was looked
//! through for the secret.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout};

use crate::egress::{Egress, EgressError, Limits, OdooUrl};
use crate::odoo::{Address, Credential, Odoo, OdooError, ReadQuery, Record, Unread};
use crate::secret::Secret;
use crate::store::StoredConnection;
use crate::vault::Vault;
use crate::vault::inject::WITHIN;
use crate::vault::inject::echoes::Echoes;
use crate::vault::inject::end::Ended;

/// What comes before the records is short.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    first_byte: WITHIN,
    total: WITHIN,
    max_head_bytes: 32 * 1024,
    max_bytes: 256 * 1024,
};

/// An answer is held whole until it was looked through: as it came, and as it is given out.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// A small value takes many times its bytes here: 2,000 records of a hundred fields.
const MAX_VALUES: usize = 200_000;

/// A host is judged within this; and one that is not public is told no sooner, whatever made it so.
const HOST_WITHIN: Duration = Duration::from_secs(1);

/// Whether nobody is there.
pub(super) fn is_dead(cause: OdooError) -> bool {
    matches!(
        cause,
        OdooError::Egress(
            EgressError::Connect | EgressError::Timeout | EgressError::Broken | EgressError::HostNotPublic
        )
    )
}

impl Vault {
    pub(super) async fn call(&self, at: &StoredConnection, secret: Secret, query: &ReadQuery) -> Ended {
        let words = query.fields().iter().map(|field| field.name()).chain([query.fields().model().name()]);
        let (echoes, begun) = (Echoes::of(&secret, &at.destination, words), Instant::now());
        let asked = timeout(WITHIN, self.ask(at, secret, query, echoes.clone())).await;
        match asked.unwrap_or(Err(OdooError::Egress(EgressError::Timeout))) {
            Ok((odoo, unread)) => {
                let query = query.clone();
                let look = move || looked_through(unread, &query, &echoes);
                let (ended, done) = self.aside.run(&at.org, look).await.unwrap_or(BROKE_OFF);
                odoo.note(&done);
                ended
            }
            Err(cause) => {
                if cause == OdooError::Egress(EgressError::HostNotPublic) {
                    sleep_until(begun + HOST_WITHIN).await;
                }
                let were_heard = self.aside.run(&at.org, move || echoes.were_heard()).await;
                Ended::Failed(cause).unless(were_heard != Some(false))
            }
        }
    }

    async fn ask(
        &self,
        at: &StoredConnection,
        secret: Secret,
        query: &ReadQuery,
        echoes: Arc<Echoes>,
    ) -> Result<(Odoo, Unread), OdooError> {
        let (url, database, username) = at.destination.parts();
        let org = Some(at.org.as_str());
        // What the guard would not take today is no other cause than what does not resolve.
        let url = OdooUrl::parse(url, &self.guard, org).map_err(|_| EgressError::HostNotPublic)?;
        let egress = Egress::new(&self.guard, url, org, LIMITS)?.tapped(echoes);
        egress.judge(HOST_WITHIN).await?;
        let address = Address { database: database.to_owned(), username: username.to_owned() };
        let credential = Credential { kind: at.kind, secret };
        let odoo = Odoo::login(egress, address, credential, &self.servers).await.map_err(|no| no.cause)?;
        let odoo = odoo.taking(MAX_BYTES, MAX_VALUES);
        let unread = odoo.ask(query).await?;
        Ok((odoo, unread))
    }
}

const BROKE_OFF: (Ended, Result<(), OdooError>) =
    (Ended::Failed(OdooError::Malformed), Err(OdooError::Malformed));

/// All that was heard, then the records, and last what is given out: the form before is gone each time. With what the
/// answer came to.
fn looked_through(unread: Unread, query: &ReadQuery, echoes: &Echoes) -> (Ended, Result<(), OdooError>) {
    let were_heard = echoes.were_heard();
    let (mut records, mut came) = (Vec::new(), 0_usize);
    let mut take = |record| {
        came = came.saturating_add(1);
        if came <= query.most() {
            records.push(record);
        }
    };
    let done = unread.records(query, &mut take);
    drop(unread);
    let failed = match done {
        Err(cause) => Some(cause),
        Ok(()) if came > query.most() => Some(OdooError::Malformed),
        Ok(()) => None,
    };
    let ended = match failed {
        Some(cause) => Ended::Failed(cause).unless(were_heard),
        None if were_heard || echoes.are_in(&records) => Ended::Leaked(crate::odoo::Login::Taken),
        None => match rendered(query, records) {
            body if body.len() > MAX_BYTES => Ended::Failed(EgressError::TooLarge.into()),
            body => Ended::Answered(body, u64::try_from(came).unwrap_or(u64::MAX)),
        },
    };
    (ended, done)
}

/// `{"records":[{"id":…,"field":…},…]}`
fn rendered(query: &ReadQuery, records: Vec<Record>) -> Bytes {
    let (mut body, names) = (Vec::with_capacity(4_096), names(query));
    body.extend_from_slice(b"{\"records\":[");
    for (n, record) in records.into_iter().enumerate() {
        if n > 0 {
            body.push(b',');
        }
        body.extend_from_slice(format!("{{\"id\":{}", record.id).as_bytes());
        for (name, cell) in names.iter().zip(&record.cells) {
            body.extend_from_slice(name);
            // Into memory, of numbers and texts: nothing that fails.
            let _ = serde_json::to_writer(&mut body, cell);
        }
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    body.into()
}

/// `,"name":` of each field. Names of the policy's need no escapes.
fn names(query: &ReadQuery) -> Vec<Vec<u8>> {
    query.fields().iter().map(|field| format!(",\"{}\":", field.name()).into_bytes()).collect()
}
