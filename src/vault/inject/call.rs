//! The call itself: through the guard, by the read-only client; and nothing of the answer leaves before it was looked
//! through for the secret.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout};

use crate::egress::{Egress, EgressError, Limits, OdooUrl, Tap};
use crate::odoo::{Address, Credential, Login, Odoo, OdooError, ReadQuery, Unread};
use crate::secret::Secret;
use crate::store::StoredConnection;
use crate::vault::Vault;
use crate::vault::inject::WITHIN;
use crate::vault::inject::echoes::Echoes;
use crate::vault::inject::end::{Ended, Found};
use crate::vault::inject::room::Share;
use crate::vault::inject::written::Written;

/// What comes before the records is short.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    first_byte: WITHIN,
    total: WITHIN,
    max_head_bytes: 32 * 1024,
    max_bytes: 256 * 1024,
};

/// An answer is held whole until it was looked through: as it came, and as it is given out.
pub(super) const MAX_BYTES: usize = 8 * 1024 * 1024;
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

/// Hears what comes, and holds the room for it.
struct Listener {
    echoes: Echoes,
    share: Arc<Share>,
}

impl Tap for Listener {
    fn room(&self, bytes: usize) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(self.share.grow(bytes))
    }

    fn hear(&self, part: Bytes) {
        self.echoes.hear(part);
    }
}

impl Vault {
    pub(super) async fn call(&self, at: &StoredConnection, secret: Secret, query: &ReadQuery) -> Ended {
        let words = query.fields().iter().map(|field| field.name()).chain([query.fields().model().name()]);
        let echoes = Echoes::of(&secret, &at.destination, words);
        let heard = Arc::new(Listener { echoes, share: self.room.share(&at.org) });
        let begun = Instant::now();
        let asked = match timeout(WITHIN, self.ask(at, secret, query, heard.clone())).await {
            Ok(asked) => asked,
            // It is not the host's that it was late.
            Err(_) if heard.share.waits() => Err(EgressError::NoRoom.into()),
            Err(_) => Err(EgressError::Timeout.into()),
        };
        match asked {
            Ok((odoo, unread)) => {
                heard.share.all_came();
                let query = query.clone();
                let look = move || looked_through(unread, &query, &heard);
                let (ended, done) = self.aside.run(&at.org, look).await.unwrap_or(BROKE_OFF);
                odoo.note(&done);
                ended
            }
            Err(cause) => {
                if cause == OdooError::Egress(EgressError::HostNotPublic) {
                    sleep_until(begun + HOST_WITHIN).await;
                }
                let were_heard = self.aside.run(&at.org, move || heard.echoes.were_heard()).await;
                Ended::Failed(cause).unless(were_heard != Some(false))
            }
        }
    }

    async fn ask(
        &self,
        at: &StoredConnection,
        secret: Secret,
        query: &ReadQuery,
        heard: Arc<Listener>,
    ) -> Result<(Odoo, Unread), OdooError> {
        let (url, database, username) = at.destination.parts();
        let org = Some(at.org.as_str());
        // What the guard would not take today is no other cause than what does not resolve.
        let url = OdooUrl::parse(url, &self.guard, org).map_err(|_| EgressError::HostNotPublic)?;
        let egress = Egress::new(&self.guard, url, org, LIMITS)?.tapped(heard);
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

/// All that was heard, then each record, which is written out and gone. With what the answer came to.
fn looked_through(unread: Unread, query: &ReadQuery, heard: &Listener) -> (Ended, Result<(), OdooError>) {
    let were_heard = heard.echoes.were_heard();
    let (mut looks, mut written) = (heard.echoes.in_records(), Written::of(query));
    let mut came = 0_usize;
    let done = unread.records(query, &mut |record| {
        came = came.saturating_add(1);
        if came <= query.most() {
            looks.look(&record);
            written.add(&record);
        }
    });
    drop(unread);
    let ended = match done {
        Err(cause) => Ended::Failed(cause).unless(were_heard),
        Ok(()) if came > query.most() => Ended::Failed(OdooError::Malformed).unless(were_heard),
        Ok(()) if were_heard || looks.found() => Ended::Leaked(Login::Taken),
        Ok(()) => match written.end() {
            Some(body) => {
                heard.share.shrink(body.len());
                Ended::Answered(
                    Found { body, room: heard.share.clone() },
                    u64::try_from(came).unwrap_or(u64::MAX),
                )
            }
            None => Ended::Failed(EgressError::TooLarge.into()),
        },
    };
    (ended, done)
}
