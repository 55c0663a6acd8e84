//! `/v1/connections`: deposit, list, show, change, replace the credential, forget.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::clock::Moment;
use crate::credential::{CredentialKind, Rights};
use crate::http::State;
use crate::http::checks::CheckView;
use crate::http::deposit_body::{AnyDeposit, DepositBody};
use crate::http::extract::{By, Json, Once};
use crate::http::object::Object;
use crate::http::parameters::{Id, Paged, Wanted};
use crate::http::problem::Problem;
use crate::http::shapes::{
    ConnectionState, Environment, IdempotencyKey, Label, Name, PageOf, TenantName, UserRights,
};
use crate::http::whole::Whole;
use crate::ids::ConnectionId;
use crate::odoo::{Diagnosis, Login};
use crate::secret::Secret;
use crate::vault::{Deposit, Replace, StoredConnection, Update};

/// What is to change of a connection; what is not named stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Update, min_properties = 1)]
pub struct UpdateBody {
    /// What people call it, at most 128 bytes; null to clear.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<Label>)]
    label: Option<Option<String>>,
    /// How often it is to be synced; null to clear.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<i64>, minimum = 60, maximum = 604800)]
    sync_interval_seconds: Option<Option<Whole<i64>>>,
    /// An owner's to change.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Environment, required = false)]
    environment: Option<String>,
}

/// A member that is there is named, also when it is null.
pub(super) fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What takes the place of a credential, of the same kind.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Replace)]
pub struct ReplaceBody {
    /// As the kind allows: Odoo's 1 to 4096 bytes without control characters; others 1 to 16384, no control
    /// characters but tabs and line ends.
    #[schema(value_type = String, format = Password, write_only, min_length = 1, max_length = 16384, pattern = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]+$")]
    secret: Secret,
    /// When it ends by itself; ahead.
    #[schema(value_type = Option<Moment>)]
    expires_at: Option<String>,
}

/// A connection, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Connection)]
pub struct ConnectionView {
    #[schema(value_type = ConnectionId)]
    id: String,
    #[schema(value_type = TenantName)]
    org: String,
    #[schema(value_type = TenantName)]
    user: String,
    #[schema(value_type = Option<Label>, required = true)]
    label: Option<String>,
    #[schema(value_type = Environment)]
    environment: String,
    /// An origin, without a slash at its end. Null, like the next two, only of what is not Odoo's.
    #[schema(required = true)]
    url: Option<String>,
    #[schema(value_type = Option<Name>, required = true)]
    database: Option<String>,
    #[schema(value_type = Option<Name>, required = true)]
    username: Option<String>,
    #[schema(value_type = ConnectionState)]
    state: String,
    /// Null of what is not Odoo's.
    #[schema(value_type = Option<UserRights>, required = true)]
    rights: Option<Rights>,
    credential: CredentialView,
    /// How often it is to be synced.
    #[schema(required = true)]
    sync_interval_seconds: Option<i64>,
    #[schema(value_type = Moment)]
    created_at: String,
    #[schema(value_type = Moment)]
    updated_at: String,
    #[schema(value_type = Option<Moment>, required = true)]
    last_lent_at: Option<String>,
}

/// What is known of a credential.
#[derive(Serialize, ToSchema)]
#[schema(as = Credential)]
pub struct CredentialView {
    kind: CredentialKind,
    /// How often it was replaced, from 1.
    #[schema(minimum = 1)]
    revision: i64,
    /// The master key it is sealed under.
    key_id: String,
    #[schema(value_type = Option<Moment>, required = true)]
    expires_at: Option<String>,
}

impl From<StoredConnection> for ConnectionView {
    fn from(stored: StoredConnection) -> Self {
        Self {
            id: stored.id.to_string(),
            org: stored.org.to_string(),
            user: stored.user.to_string(),
            label: stored.label,
            environment: stored.environment,
            url: stored.destination.url,
            database: stored.destination.database,
            username: stored.destination.username,
            state: stored.state,
            rights: stored.kind.is_odoo().then_some(stored.rights),
            credential: CredentialView {
                kind: stored.kind,
                revision: stored.revision.number(),
                key_id: stored.key_id.to_string(),
                expires_at: stored.credential_expires_at.map(|at| at.to_string()),
            },
            sync_interval_seconds: stored.sync_interval_seconds,
            created_at: stored.created_at.to_string(),
            updated_at: stored.updated_at.to_string(),
            last_lent_at: stored.last_lent_at.map(|at| at.to_string()),
        }
    }
}

/// One page of connections, oldest first.
#[derive(Serialize, ToSchema)]
pub struct ConnectionList {
    items: Vec<ConnectionView>,
    /// `cursor` of the next page; null on the last.
    #[schema(value_type = Option<ConnectionId>, required = true)]
    next_cursor: Option<String>,
}

/// A connection that was just kept, and what a check of it found, if one was asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = Deposited)]
pub struct DepositedView {
    #[serde(flatten)]
    connection: ConnectionView,
    /// With `?check=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<CheckView>,
}

/// Deposit a credential: it is sealed and kept, and never shown again. Nothing is called, unless a check is
/// asked for; whatever that finds, the deposit is kept.
#[utoipa::path(post, path = "/v1/connections",
    operation_id = "deposit_connection", security(("bearer" = ["connection.deposit"])), request_body = inline(AnyDeposit),
    params(("check" = Option<bool>, Query, description = "`true`: check it too."),
           IdempotencyKey),
    responses((status = 201, body = DepositedView, headers(("Location" = String, description = "Its path.")),
        links(("show" = (operation_id = "show_connection", parameters(("id" = "$response.body#/id")))),
              ("lend" = (operation_id = "lend_credential", parameters(("id" = "$response.body#/id")))),
              ("forget" = (operation_id = "forget_connection", parameters(("id" = "$response.body#/id"))))),
        description = "It is kept."),
        (status = 404, description = "`not-found`: what the first request with this key made is forgotten"),
        (status = 409, description = "`duplicate`, `credential-replaced`"),
        (status = 423, description = "`frozen`")))]
pub(super) async fn deposit(
    state: web::Data<State>,
    By(actor): By,
    Wanted(checked): Wanted,
    Once(body, repeat): Once<DepositBody>,
) -> Result<HttpResponse, Problem> {
    let Object(credential) = body.credential;
    let deposit = Deposit {
        url: body.url,
        database: body.database,
        username: body.username,
        label: body.label,
        environment: body.environment,
        kind: credential.kind,
        secret: credential.secret,
        expires_at: credential.expires_at,
        check: checked,
    };
    let stored = state.vault.deposit(&actor, deposit, repeat).await?;
    let (id, mut connection) = (stored.id.clone(), ConnectionView::from(stored));
    let mut check = None;
    if checked {
        let found =
            state.vault.check_deposited(&actor, id.clone()).await.unwrap_or_else(|_| Diagnosis::not_made());
        match found.login {
            Login::Taken => connection.state = "active".into(),
            Login::Refused => connection.state = "auth_failed".into(),
            Login::TurnedAway | Login::Unknown => {}
        }
        if let Some(rights) = found.rights {
            connection.rights = Some(rights);
        }
        check = Some(CheckView::from(&found));
    }
    let location = ("Location", format!("/v1/connections/{id}"));
    Ok(HttpResponse::Created().insert_header(location).json(DepositedView { connection, check }))
}

/// List connections, oldest first.
#[utoipa::path(get, path = "/v1/connections",
    operation_id = "list_connections", security(("bearer" = ["connection.list"])),
    params(PageOf<ConnectionId>),
    responses((status = 200, body = ConnectionList, description = "A page.")))]
pub(super) async fn list(
    state: web::Data<State>,
    By(actor): By,
    Paged(page): Paged<ConnectionId>,
) -> Result<HttpResponse, Problem> {
    let (items, more) = state.vault.list(&actor, page).await?;
    let next_cursor = if more { items.last().map(|last| last.id.to_string()) } else { None };
    let items = items.into_iter().map(ConnectionView::from).collect();
    Ok(HttpResponse::Ok().json(ConnectionList { items, next_cursor }))
}

/// Show one connection, without its secret.
#[utoipa::path(get, path = "/v1/connections/{id}",
    operation_id = "show_connection", security(("bearer" = ["connection.show"])), params(("id" = ConnectionId, Path, description = "Its id.")),
    responses((status = 200, body = ConnectionView, description = "The connection.")))]
pub(super) async fn show(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<ConnectionId>,
) -> Result<HttpResponse, Problem> {
    let stored = state.vault.show(&actor, id).await?;
    Ok(HttpResponse::Ok().json(ConnectionView::from(stored)))
}

/// Change a connection's label, sync interval or environment; what is not named stays.
#[utoipa::path(patch, path = "/v1/connections/{id}",
    operation_id = "update_connection", security(("bearer" = ["connection.update"])), params(("id" = ConnectionId, Path, description = "Its id.")),
    request_body = UpdateBody,
    responses((status = 200, body = ConnectionView, description = "The connection."),
        (status = 409, description = "`not-odoo`: only Odoo's are synced")))]
pub(super) async fn update(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<ConnectionId>,
    Json(body): Json<UpdateBody>,
) -> Result<HttpResponse, Problem> {
    let update = Update {
        label: body.label,
        sync_interval_seconds: body.sync_interval_seconds.map(|named| named.map(|Whole(seconds)| seconds)),
        environment: body.environment,
    };
    let stored = state.vault.update(&actor, id, update).await?;
    Ok(HttpResponse::Ok().json(ConnectionView::from(stored)))
}

/// Replace a connection's credential with another of its kind: the next revision. Nothing is left of the
/// old one.
#[utoipa::path(put, path = "/v1/connections/{id}/credential",
    operation_id = "replace_credential", security(("bearer" = ["connection.replace"])), request_body = ReplaceBody,
    params(("id" = ConnectionId, Path, description = "Its id."),
           IdempotencyKey),
    responses((status = 200, body = ConnectionView, description = "The connection."),
        (status = 409, description = "`credential-replaced`"),
        (status = 500, description = "`does-not-open`, `damaged`"),
        (status = 503, description = "`key-not-held`, `unavailable`")))]
pub(super) async fn replace(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<ConnectionId>,
    Once(body, repeat): Once<ReplaceBody>,
) -> Result<HttpResponse, Problem> {
    let new = Replace { secret: body.secret, expires_at: body.expires_at };
    let stored = state.vault.replace(&actor, id, new, repeat).await?;
    Ok(HttpResponse::Ok().json(ConnectionView::from(stored)))
}

/// Forget a connection: its row, its ciphertext and its open leases end with this call.
#[utoipa::path(delete, path = "/v1/connections/{id}",
    operation_id = "forget_connection", security(("bearer" = ["connection.forget"])), params(("id" = ConnectionId, Path, description = "Its id.")),
    responses((status = 204, description = "It is forgotten.")))]
pub(super) async fn forget(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<ConnectionId>,
) -> Result<HttpResponse, Problem> {
    state.vault.forget(&actor, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
