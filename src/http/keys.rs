//! `/v1/keys`: the master keys as an operator sees them, and a reseal, started and watched. No key, no credential
//! and nothing of any tenant's.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Moment;
use crate::http::State;
use crate::http::extract::ByAnyone;
use crate::http::problem::Problem;
use crate::http::shapes::{KeyState, ResealState};
use crate::ids::ResealId;
use crate::vault::keys::{Known, RunState};
use crate::vault::{ResealRun, SealedUnder};

/// A master key, by name alone.
#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView {
    id: String,
    /// The first 8 bytes, in hex, of HKDF-SHA256 of the key with info `pawl/v1/fingerprint`.
    fingerprint: String,
    #[schema(value_type = KeyState)]
    state: &'static str,
    /// Where it was when it was made: `file:PATH` or `aws-secretsmanager:NAME`.
    source: String,
    /// Whether the vault that answers holds it now.
    held: bool,
    sealed: SealedView,
    #[schema(value_type = Moment)]
    created_at: String,
    /// When the last value left it, since it stopped to seal.
    #[schema(value_type = Option<Moment>, required = true)]
    last_left_at: Option<String>,
}

/// How much is sealed under a key.
#[derive(Serialize, ToSchema)]
#[schema(as = SealedUnder)]
pub struct SealedView {
    #[schema(minimum = 0)]
    credentials: i64,
    /// Keys that sign tokens.
    #[schema(minimum = 0)]
    issuer_keys: i64,
    /// Keys that sign checkpoints of the trail.
    #[schema(minimum = 0)]
    log_keys: i64,
}

impl From<Known> for KeyView {
    fn from(Known { key, under, is_held }: Known) -> Self {
        let SealedUnder { credentials, issuer_keys, log_keys } = under;
        Self {
            id: key.id.to_string(),
            fingerprint: key.fingerprint.to_string(),
            state: key.state.as_str(),
            source: key.source,
            held: is_held,
            sealed: SealedView { credentials, issuer_keys, log_keys },
            created_at: key.created_at.to_string(),
            last_left_at: key.last_left_at.map(|at| at.to_string()),
        }
    }
}

/// Every key there ever was, oldest first.
#[derive(Serialize, ToSchema)]
pub struct KeyList {
    items: Vec<KeyView>,
    /// Always null: they are few.
    #[schema(value_type = Option<String>, required = true)]
    next_cursor: Option<String>,
}

/// A reseal: every sealed value put under the key that seals.
#[derive(Serialize, ToSchema)]
#[schema(as = Reseal)]
pub struct ResealView {
    #[schema(value_type = ResealId)]
    id: String,
    /// The key that values are put under.
    key_id: String,
    #[schema(value_type = ResealState)]
    state: &'static str,
    #[schema(value_type = Moment)]
    started_at: String,
    /// When it was last heard of.
    #[schema(value_type = Moment)]
    updated_at: String,
    #[schema(value_type = Option<Moment>, required = true)]
    ended_at: Option<String>,
    /// Values that were under another key when it began.
    #[schema(minimum = 0)]
    total: i64,
    /// Values put under the key, so far.
    #[schema(minimum = 0)]
    moved: i64,
    /// Values that do not open: `pawl keys reseal` names them.
    #[schema(minimum = 0)]
    shut: i64,
}

fn view(run: &ResealRun, state: RunState) -> ResealView {
    ResealView {
        id: run.id.to_string(),
        key_id: run.key.to_string(),
        state: state.as_str(),
        started_at: run.started_at.to_string(),
        updated_at: run.updated_at.to_string(),
        ended_at: run.ended.map(|(at, _)| at.to_string()),
        total: run.total,
        moved: run.moved,
        shut: run.shut,
    }
}

/// List the master keys, by name, fingerprint and how much is sealed under each.
#[utoipa::path(get, path = "/v1/keys", operation_id = "list_keys", security(("bearer" = ["keys.list"])),
    responses((status = 200, body = KeyList, description = "All of them.")))]
pub(super) async fn list(state: web::Data<State>, ByAnyone(who): ByAnyone) -> Result<HttpResponse, Problem> {
    let items = state.vault.list_keys(&who).await?.into_iter().map(KeyView::from).collect();
    Ok(HttpResponse::Ok().json(KeyList { items, next_cursor: None }))
}

/// Put every sealed value under the key that seals, beside whatever goes on. Asked again while one is under way,
/// anywhere, it starts no other.
#[utoipa::path(post, path = "/v1/keys/reseal", operation_id = "start_reseal",
    security(("bearer" = ["keys.reseal"])),
    responses((status = 202, body = ResealView, description = "It is under way.")))]
pub(super) async fn start_reseal(
    state: web::Data<State>,
    ByAnyone(who): ByAnyone,
) -> Result<HttpResponse, Problem> {
    let run = state.vault.start_reseal(&who).await?;
    Ok(HttpResponse::Accepted().json(view(&run, RunState::Running)))
}

/// The reseal that began last, by whichever vault or command.
#[utoipa::path(get, path = "/v1/keys/reseal", operation_id = "watch_reseal",
    security(("bearer" = ["keys.watch"])),
    responses((status = 200, body = ResealView, description = "How far it is."),
        (status = 404, description = "`not-found`: there was none yet")))]
pub(super) async fn watch_reseal(
    state: web::Data<State>,
    ByAnyone(who): ByAnyone,
) -> Result<HttpResponse, Problem> {
    let (run, standing) = state.vault.watch_reseal(&who).await?;
    Ok(HttpResponse::Ok().json(view(&run, standing)))
}
