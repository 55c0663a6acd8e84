//! `/v1/audit/events` and `/v1/audit/export`: the org's trail as it was stored.

use actix_web::http::header::{CONTENT_DISPOSITION, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::audit::{self, GENESIS, link};
use crate::http::State;
use crate::http::audit_query::{ExportParams, Search, Searched, Wanted};
use crate::http::extract::By;
use crate::http::line::Line;
use crate::http::problem::Problem;
use crate::http::shapes::{EventNumber, Hash};
use crate::http::taken::taken;
use crate::ids::OrgId;
use crate::vault::{ExportFormat, RawEvent};

/// So many letters of what lies in a damaged event's place are shown.
const MOST_SHOWN: usize = 4_096;

/// One event and its place in the org's chain.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEvent)]
pub struct EventView {
    /// Its number in the org's chain, from 1, without gaps.
    #[schema(minimum = 1)]
    seq: i64,
    /// The event: members sorted, texts alone. Without white space these are the hashed bytes. Of a damaged one what can
    /// be read of it, `{}` where that is nothing.
    #[schema(value_type = Object)]
    event: serde_json::Map<String, serde_json::Value>,
    /// Only where the event is not what its hash says: what lies in its place, as text. `pawl audit verify` says
    /// more.
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<String>,
    /// Of the event before.
    #[schema(value_type = Hash)]
    prev_hash: String,
    /// Of this one.
    #[schema(value_type = Hash)]
    hash: String,
}

impl EventView {
    fn of(org: &OrgId, row: RawEvent) -> Self {
        let prev_hash = audit::Hash::from_bytes(&row.prev_hash);
        let right = prev_hash.map(|prev_hash| link(Some(org), row.seq, &prev_hash, &row.event));
        let event = serde_json::from_slice(&row.event);
        let is_whole = event.is_ok() && right.is_some_and(|right| right.as_bytes() == row.hash);
        let lies_there = || String::from_utf8_lossy(&row.event).chars().take(MOST_SHOWN).collect();
        Self {
            seq: row.seq,
            event: event.unwrap_or_default(),
            damaged: (!is_whole).then(lies_there),
            prev_hash: hash_text(&row.prev_hash),
            hash: hash_text(&row.hash),
        }
    }
}

/// Zeros for what is no hash.
fn hash_text(bytes: &[u8]) -> String {
    audit::Hash::from_bytes(bytes).unwrap_or(GENESIS).to_string()
}

/// One page of the trail, newest first.
#[derive(Serialize, ToSchema)]
pub struct EventList {
    items: Vec<EventView>,
    /// `cursor` of the next page; null on the last. A page of a search may hold fewer events than were asked for, or
    /// none, and still have a next one: only so many are looked at for each.
    #[schema(value_type = Option<EventNumber>, required = true)]
    next_cursor: Option<String>,
}

/// Read the org's trail, newest first. That it was read is itself on record, an event for each page.
#[utoipa::path(get, path = "/v1/audit/events",
    operation_id = "list_audit_events", security(("bearer" = ["audit.read"])),
    params(Search),
    responses((status = 200, body = EventList, description = "A page.")))]
pub(super) async fn list(
    state: web::Data<State>,
    By(actor): By,
    Searched(filter, page): Searched,
) -> Result<HttpResponse, Problem> {
    let org = actor.caller.org().clone();
    let (items, before) = state.vault.read_trail(&actor, filter, page).await?;
    let items = items.into_iter().map(|row| EventView::of(&org, row)).collect();
    let next_cursor = before.map(|before| before.to_string());
    Ok(HttpResponse::Ok().json(EventList { items, next_cursor }))
}

/// Export the org's trail, or the stretch of it from `from` to `to` and some minutes around, in which no event is left
/// out. It is streamed; `docs/audit.md` tells the formats, and how a JSONL export is verified. That it was exported
/// is itself on record. Two exports of an org at once are enough: more answer 429. One of which nothing is taken for 60
/// seconds, or that is not whole after 15 minutes, is cut off: ask for less at a time.
#[utoipa::path(get, path = "/v1/audit/export",
    operation_id = "export_audit_events", security(("bearer" = ["audit.read"])),
    params(ExportParams),
    responses((status = 200, description = "The stretch, oldest first.",
        content((String = "application/jsonl"), (String = "text/csv")),
        headers(
            ("Content-Disposition" = String, description = "`attachment`, with a name for the file."),
            ("Audit-Checkpoint" = String, description = "The newest checkpoint, a signed note, in Base64; none before the first.")))))]
pub(super) async fn export(
    request: HttpRequest,
    state: web::Data<State>,
    By(actor): By,
    Wanted(ask): Wanted,
) -> Result<HttpResponse, Problem> {
    let export = state.vault.export_trail(&actor, ask).await?;
    let (media, name) = match ask.format {
        ExportFormat::Csv => ("text/csv; charset=utf-8", "pawl-audit.csv"),
        ExportFormat::Jsonl => ("application/jsonl", "pawl-audit.jsonl"),
    };
    let mut response = HttpResponse::Ok();
    response.content_type(media);
    response.insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")));
    if let Some(checkpoint) = export.checkpoint() {
        response.insert_header((HeaderName::from_static("audit-checkpoint"), STANDARD.encode(checkpoint)));
    }
    Ok(response.streaming(taken(export, request.conn_data::<Line>().cloned())))
}
