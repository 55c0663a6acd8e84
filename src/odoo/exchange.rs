//! One request and its answer, read to its end.

use crate::egress::{Answer, Ask, Egress, EgressError};
use crate::odoo::caps::Caps;
use crate::odoo::dialect::{Call, Reply};
use crate::odoo::fault::OdooError;

/// An answer, whatever its status; but a redirect is none.
pub(super) struct Received {
    status: u16,
    media: String,
    body: Vec<u8>,
}

impl Received {
    /// As the one to the call of that number.
    pub(super) fn reply<'a>(&'a self, number: i64, caps: &'a Caps) -> Reply<'a> {
        Reply { status: self.status, media: &self.media, body: &self.body, number, caps }
    }
}

pub(super) async fn send(egress: &Egress, call: Call<'_>) -> Result<Received, OdooError> {
    let Call { path, media, body, accepts, bearer, database } = call;
    let headers: Vec<(&'static str, &str)> =
        database.map(|database| ("x-odoo-database", database)).into_iter().collect();
    let ask = Ask { path: &path, body: Some((media, body)), accepts, bearer, headers: &headers };
    received(egress.call(ask).await?).await
}

pub(super) async fn received(answer: Answer) -> Result<Received, OdooError> {
    let Answer { status, media, body, .. } = answer;
    if (300..=399).contains(&status) {
        return Err(EgressError::Redirected(status).into());
    }
    Ok(Received { status, media, body: body.whole().await? })
}
