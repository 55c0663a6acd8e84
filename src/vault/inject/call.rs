//! The call itself: through the guard, by the read-only client; and nothing of the answer leaves before it was looked
//! through for the secret.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use crate::egress::{Egress, EgressError, Limits, OdooUrl};
use crate::odoo::{Address, Credential, Odoo, OdooError, ReadQuery, Record};
use crate::secret::Secret;
use crate::store::StoredConnection;
use crate::vault::Vault;
use crate::vault::inject::echoes::Echoes;
use crate::vault::inject::end::Ended;
use crate::vault::inject::{Injected, WITHIN};

/// An answer is held whole until it was looked through.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    first_byte: WITHIN,
    total: WITHIN,
    max_head_bytes: 32 * 1024,
    max_bytes: 8 * 1024 * 1024,
};

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
        let (echoes, begun) = (Echoes::of(&secret, &at.destination), Instant::now());
        let asked = timeout(WITHIN, self.ask(at, secret, query, echoes.clone())).await;
        let records = match asked.unwrap_or(Err(OdooError::Egress(EgressError::Timeout))) {
            Ok(records) => records,
            Err(cause) => {
                if cause == OdooError::Egress(EgressError::HostNotPublic) {
                    sleep_until(begun + HOST_WITHIN).await;
                }
                return Ended::Failed(cause).unless(echoes.heard(&[]));
            }
        };
        let body = render(query, &records);
        let is_leaked = echoes.heard(&body);
        let records = u64::try_from(records.len()).unwrap_or(u64::MAX);
        Ended::Answered(Injected { body, records }).unless(is_leaked)
    }

    async fn ask(
        &self,
        at: &StoredConnection,
        secret: Secret,
        query: &ReadQuery,
        echoes: Arc<Echoes>,
    ) -> Result<Vec<Record>, OdooError> {
        let (url, database, username) = at.destination.parts();
        let org = Some(at.org.as_str());
        // What the guard would not take today is no other cause than what does not resolve.
        let url = OdooUrl::parse(url, &self.guard, org).map_err(|_| EgressError::HostNotPublic)?;
        let egress = Egress::new(&self.guard, url, org, LIMITS)?.tapped(echoes);
        let judged = timeout(HOST_WITHIN, egress.judge()).await;
        judged.unwrap_or(Err(EgressError::HostNotPublic))?;
        let address = Address { database: database.to_owned(), username: username.to_owned() };
        let credential = Credential { kind: at.kind, secret };
        let odoo = Odoo::login(egress, address, credential, &self.servers).await.map_err(|no| no.cause)?;
        let records = odoo.fetch(query).await?;
        if records.len() > query.most() { Err(OdooError::Malformed) } else { Ok(records) }
    }
}

/// `{"records":[{"id":…,"field":…},…]}`
fn render(query: &ReadQuery, records: &[Record]) -> Vec<u8> {
    let (mut body, names) = (Vec::with_capacity(4_096), names(query));
    body.extend_from_slice(b"{\"records\":[");
    for (n, record) in records.iter().enumerate() {
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
    body
}

/// `,"name":` of each field. Names of the policy's need no escapes.
fn names(query: &ReadQuery) -> Vec<Vec<u8>> {
    query.fields().iter().map(|field| format!(",\"{}\":", field.name()).into_bytes()).collect()
}
