//! `POST /v1/connections/{id}/read`: records of a connection's Odoo, without its credential.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::error::Error;
use crate::http::State;
use crate::http::extract::{By, Said};
use crate::http::parameters::Id;
use crate::http::problem::{Kind, Problem};
use crate::http::whole::Whole;
use crate::ids::ConnectionId;
use crate::odoo::Ask;
use crate::vault::Injected;

/// One question to a connection's Odoo. Which members go together is judged with what they say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadBody {
    model: String,
    method: String,
    fields: Vec<String>,
    domain: Option<Json>,
    order: Option<String>,
    offset: Option<Whole<u64>>,
    limit: Option<Whole<u64>>,
    ids: Option<Vec<Whole<i64>>>,
}

/// What Odoo answered.
#[derive(Serialize, ToSchema)]
#[schema(as = Records)]
pub struct RecordsView {
    /// Each with `id` and the fields that were asked for: null for nothing, `[id, "name"]` for a reference, `[id, …]` for
    /// several, dates and times as Odoo has them, in UTC.
    records: Vec<BTreeMap<String, Json>>,
}

/// Ask a connection's Odoo for records: the vault makes the call, and the caller never holds the credential. That it
/// begins is on record before the call; a caller who hangs up ends it.
#[utoipa::path(post, path = "/v1/connections/{id}/read",
    operation_id = "read_records", security(("bearer" = ["connection.inject"])),
    params(("id" = ConnectionId, Path, description = "Its id.")),
    request_body = ReadBody,
    responses((status = 200, body = RecordsView, description = "The records."),
        (status = 403, description = "`forbidden`, `kind-not-allowed`, `environment-not-allowed`, `state-not-allowed`, `host-not-allowed`"),
        (status = 409, description = "`auth-failed`, `credential-leaked`, `credential-replaced`, `not-odoo`"),
        (status = 423, description = "`frozen`"),
        (status = 429, description = "`too-many-reads`, `too-many-refusals`, `too-many-requests`, `event-quota`",
         headers(("Retry-After" = i64, description = "Seconds until it may go better."))),
        (status = 500, description = "`does-not-open`, `damaged`"),
        (status = 502, description = "`odoo-failed`, `leak-stopped`"),
        (status = 503, description = "`host-down`, `key-not-held`, `unavailable`")))]
pub(super) async fn read(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<ConnectionId>,
    Said(body): Said<ReadBody>,
) -> Result<HttpResponse, Problem> {
    let ask = Ask {
        model: body.model,
        method: body.method,
        fields: body.fields,
        domain: body.domain,
        order: body.order,
        offset: body.offset.map(|Whole(offset)| offset),
        limit: body.limit.map(|Whole(limit)| limit),
        ids: body.ids.map(|ids| ids.into_iter().map(|Whole(id)| id).collect()),
    };
    let (answer, told) = oneshot::channel();
    // A task of its own: a caller who goes away ends the call, and does not undo the record of how it ended.
    actix_web::rt::spawn(async move { state.vault.inject(&actor, id, ask, answer).await });
    let injected = told.await.map_err(|_| Problem::new(Kind::Unavailable, "the read broke off"))??;
    let json = (CONTENT_TYPE, "application/json");
    Ok(HttpResponse::Ok()
        .insert_header(json)
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(Sliced(injected)))
}

/// Sent from the one buffer that there is of it.
struct Sliced(Injected);

impl MessageBody for Sliced {
    type Error = Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(u64::try_from(self.0.length()).unwrap_or(u64::MAX))
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context) -> Poll<Option<Result<Bytes, Error>>> {
        Poll::Ready(self.0.slice())
    }
}
