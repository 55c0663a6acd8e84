//! What a read stands on: its credential's revision, and what its org lets be called and read. It is looked at while the
//! read is under way and once more before it is answered, so that what another replica takes away ends it too.

use crate::error::Error;
use crate::store::{StoredConnection, Tx};
use crate::vault::freeze::LOOK_EVERY;
use crate::vault::inject::begin::Begun;
use crate::vault::{DEADLINE, Vault};

impl Vault {
    /// Ends once a read does not stand any more. What can't be looked at is looked at again.
    pub(super) async fn falls(&self, begun: &Begun) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.stands(begun).await.is_ok_and(|stands| !stands) {
                return;
            }
        }
    }

    /// Whether it stands as it did when it began.
    pub(super) async fn stands(&self, begun: &Begun) -> Result<bool, Error> {
        if self.switch.is_frozen() {
            return Ok(false);
        }
        let (connection, readable) = (begun.connection.clone(), begun.readable.clone());
        let look = move |tx: &mut Tx| fallen(tx, &connection, readable.as_deref());
        let fallen = self.store.view("look at a read", begun.scope.clone().into(), DEADLINE, look).await?;
        Ok(fallen.is_none())
    }
}

/// Why a read that began with `connection` and its org's `readable` does not stand any more.
pub(super) fn fallen(
    tx: &mut Tx,
    connection: &StoredConnection,
    readable: Option<&str>,
) -> Result<Option<Error>, Error> {
    let Some(now) = tx.find_connection(&connection.id)? else { return Ok(Some(Error::NotFound)) };
    if now.revision != connection.revision {
        return Ok(Some(Error::CredentialReplaced));
    }
    if tx.find_frozen()?.is_frozen() {
        return Ok(Some(Error::Frozen));
    }
    if tx.may_be_called(&connection.destination)?.is_err() {
        return Ok(Some(Error::HostNotAllowed));
    }
    let is_same = tx.find_injection()?.readable.as_deref() == readable;
    Ok((!is_same).then(|| Error::Unavailable("what this org lets be read has changed: ask again".into())))
}
