//! `/v1/connections`: deposit, list, show, forget.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::State;
use crate::http::extract::{By, Id, Json, Paged};
use crate::http::problem::{Problem, ProblemView};
use crate::ids::ConnectionId;
use crate::secret::Secret;
use crate::vault::{Deposit, StoredConnection};

/// A connection to be kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Deposit)]
pub struct DepositBody {
    /// Odoo's address: https, a public host, no path.
    #[schema(example = "https://acme.odoo.com", max_length = 2048)]
    url: String,
    /// The database there, at most 256 bytes.
    database: String,
    /// The login there, at most 256 bytes.
    username: String,
    /// What people call it, at most 128 bytes.
    label: Option<String>,
    /// `production` (the default), `staging` or `development`.
    environment: Option<String>,
    credential: CredentialBody,
}

/// What opens that Odoo.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCredential)]
pub struct CredentialBody {
    /// `password` or `api_key`.
    kind: String,
    /// The password or API key: 1 to 4096 bytes, no control characters.
    #[schema(value_type = String, format = Password, write_only)]
    secret: Secret,
    /// When it ends by itself, RFC 3339.
    expires_at: Option<String>,
}

/// A connection, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Connection)]
pub struct ConnectionView {
    #[schema(example = "conn_01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    id: String,
    org: String,
    user: String,
    label: Option<String>,
    environment: String,
    url: String,
    database: String,
    username: String,
    /// `active`, or `auth_failed` after Odoo refused the credential.
    state: String,
    credential: CredentialView,
    /// RFC 3339, UTC, microseconds; as all times.
    created_at: String,
    updated_at: String,
    last_lent_at: Option<String>,
}

/// What is known of a credential.
#[derive(Serialize, ToSchema)]
#[schema(as = Credential)]
pub struct CredentialView {
    kind: String,
    /// How often it was replaced, from 1.
    revision: i64,
    /// The master key it is sealed under.
    key_id: String,
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
            url: stored.url,
            database: stored.database,
            username: stored.username,
            state: stored.state,
            credential: CredentialView {
                kind: stored.kind,
                revision: stored.revision.number(),
                key_id: stored.key_id.to_string(),
                expires_at: stored.credential_expires_at.map(|at| at.to_string()),
            },
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
    next_cursor: Option<String>,
}

/// Deposit a credential: it is sealed and kept, and never shown again. Nothing is called.
#[utoipa::path(post, path = "/v1/connections", request_body = DepositBody, responses(
    (status = 201, body = ConnectionView, headers(("Location" = String, description = "its path"))),
    (status = "4XX", body = ProblemView), (status = "5XX", body = ProblemView)))]
pub(super) async fn deposit(
    state: web::Data<State>,
    By(actor): By,
    Json(body): Json<DepositBody>,
) -> Result<HttpResponse, Problem> {
    let deposit = Deposit {
        url: body.url,
        database: body.database,
        username: body.username,
        label: body.label,
        environment: body.environment,
        kind: body.credential.kind,
        secret: body.credential.secret,
        expires_at: body.credential.expires_at,
    };
    let view = ConnectionView::from(state.vault.deposit(&actor, deposit).await?);
    Ok(HttpResponse::Created().insert_header(("Location", format!("/v1/connections/{}", view.id))).json(view))
}

/// List connections, oldest first.
#[utoipa::path(get, path = "/v1/connections",
    params(("limit" = Option<u16>, Query, description = "1 to 200, default 50"),
           ("cursor" = Option<String>, Query, description = "next_cursor of the page before")),
    responses((status = 200, body = ConnectionList), (status = "4XX", body = ProblemView),
              (status = "5XX", body = ProblemView)))]
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
#[utoipa::path(get, path = "/v1/connections/{id}", params(("id" = String, Path)),
    responses((status = 200, body = ConnectionView), (status = "4XX", body = ProblemView),
              (status = "5XX", body = ProblemView)))]
pub(super) async fn show(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<ConnectionId>,
) -> Result<HttpResponse, Problem> {
    let stored = state.vault.show(&actor, id).await?;
    Ok(HttpResponse::Ok().json(ConnectionView::from(stored)))
}

/// Forget a connection: its row, its ciphertext and its open leases end with this call.
#[utoipa::path(delete, path = "/v1/connections/{id}", params(("id" = String, Path)),
    responses((status = 204), (status = "4XX", body = ProblemView), (status = "5XX", body = ProblemView)))]
pub(super) async fn forget(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<ConnectionId>,
) -> Result<HttpResponse, Problem> {
    state.vault.forget(&actor, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
