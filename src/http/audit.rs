//! `/v1/audit/events`: the org's trail as it was stored.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::State;
use crate::http::extract::By;
use crate::http::parameters::Paged;
use crate::http::problem::{Kind, Problem};
use crate::http::shapes::{EventNumber, Hash, PageOf};

/// One event and its place in the org's chain.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEvent)]
pub struct EventView {
    /// Its number in the org's chain, from 1, without gaps.
    #[schema(minimum = 1)]
    seq: i64,
    /// The event: members sorted, texts alone. Without white space these are the hashed bytes.
    #[schema(value_type = Object)]
    event: serde_json::Value,
    /// Of the event before.
    #[schema(value_type = Hash)]
    prev_hash: String,
    /// Of this one.
    #[schema(value_type = Hash)]
    hash: String,
}

/// One page of the trail, oldest first.
#[derive(Serialize, ToSchema)]
pub struct EventList {
    items: Vec<EventView>,
    /// `cursor` of the next page; null on the last.
    #[schema(value_type = Option<EventNumber>, required = true)]
    next_cursor: Option<String>,
}

/// Read the org's trail.
#[utoipa::path(get, path = "/v1/audit/events",
    operation_id = "list_audit_events", security(("bearer" = ["audit.read"])),
    params(PageOf<EventNumber>),
    responses((status = 200, body = EventList, description = "A page.")))]
pub(super) async fn list(
    state: web::Data<State>,
    By(actor): By,
    Paged(page): Paged<i64>,
) -> Result<HttpResponse, Problem> {
    let (items, more) = state.vault.read_trail(&actor, page).await?;
    let next_cursor = if more { items.last().map(|last| last.seq.to_string()) } else { None };
    let items: Result<Vec<EventView>, serde_json::Error> = items
        .into_iter()
        .map(|stored| {
            Ok(EventView {
                seq: stored.seq,
                event: serde_json::from_str(&stored.event)?,
                prev_hash: stored.prev_hash.to_string(),
                hash: stored.hash.to_string(),
            })
        })
        .collect();
    let items = items.map_err(|_| Problem::new(Kind::Damaged, "an event of the trail is damaged"))?;
    Ok(HttpResponse::Ok().json(EventList { items, next_cursor }))
}
