//! `POST /v1/connections/{id}/read`: records of a connection's Odoo, without its credential.

use std::collections::BTreeMap;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::http::State;
use crate::http::extract::{By, Said};
use crate::http::parameters::Id;
use crate::http::problem::{Kind, Problem};
use crate::http::shapes::OdooMethod;
use crate::http::whole::Whole;
use crate::ids::ConnectionId;
use crate::odoo::Ask;

/// One question to a connection's Odoo.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Read)]
pub struct ReadBody {
    /// A model of policies/odoo-readable.toml.
    model: String,
    #[schema(value_type = OdooMethod)]
    method: String,
    /// Fields of the model, each once. `id` comes with every record.
    fields: Vec<String>,
    /// Of `search_read`: which records, in Odoo's notation, by fields that may be read; all when absent.
    #[schema(value_type = Option<Vec<Value>>)]
    domain: Option<Json>,
    /// Of `search_read`: `name, other desc`; by id when absent.
    order: Option<String>,
    /// Of `search_read`: how many records to pass over.
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 10000000)]
    offset: Option<Whole<u64>>,
    /// Of `search_read`: how many at most; 100 when absent.
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 2000)]
    limit: Option<Whole<u64>>,
    /// Of `read`: which records; those that are not there are left out.
    #[schema(value_type = Option<Vec<i64>>, min_items = 1, max_items = 2000)]
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
        (status = 409, description = "`auth-failed`, `credential-replaced`, `not-odoo`"),
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
    Ok(HttpResponse::Ok().insert_header(json).insert_header((CACHE_CONTROL, "no-store")).body(injected.body))
}
