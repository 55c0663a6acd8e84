//! One request and its answer, read to its end.

use bytes::Bytes;

use crate::egress::{Answer, Ask, Egress, EgressError};
use crate::odoo::caps::Caps;
use crate::odoo::dialect::{Call, Reply};
use crate::odoo::fault::OdooError;
use crate::odoo::json2::NO_DATABASE;

/// An answer, whatever its status; but a redirect is none.
pub(super) struct Received {
    status: u16,
    media: String,
    body: Bytes,
}

impl Received {
    /// Whether it is an Odoo's that does not have the path, and would if it had chosen one of its databases: its
    /// JSON (up to Odoo 15, n8n-io/n8n#5275) or its page (recorded, Odoo 19).
    pub(super) fn is_missing_until_a_database_is_chosen(&self) -> bool {
        const MARKS: [(&str, &[u8]); 2] =
            [("application/json", b"\"werkzeug.exceptions.NotFound\""), ("text/html", NO_DATABASE)];
        let has = |mark: &[u8]| memchr::memmem::find(&self.body, mark).is_some();
        self.status == 404 && MARKS.iter().any(|(media, mark)| self.media == *media && has(mark))
    }

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
