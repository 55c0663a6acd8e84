//! `/v1/connections/{id}/leases` and `/v1/leases`: lend, list, show, renew, hand back.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::http::State;
use crate::http::extract::{By, Id, Once, Paged};
use crate::http::problem::{Kind, Problem, ProblemView};
use crate::http::wiped::WipedBody;
use crate::ids::{ConnectionId, LeaseId};
use crate::odoo::Method;
use crate::vault::{GiveBack, Lend, Loan, Renew, StoredLease};

/// A wish to borrow.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Lend)]
pub struct LendBody {
    /// `sync` (exclusive), `check` or `other`.
    purpose: String,
    /// 60 to 900, 300 when absent.
    #[schema(minimum = 60, maximum = 900)]
    ttl_seconds: Option<u64>,
    /// The run it is for: the same client asking again with it gets the same lease back.
    run_id: Option<String>,
}

/// A wish to keep a lease for longer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Renew)]
pub struct RenewBody {
    /// From now: 60 to 900, 300 when absent. A lease never gets shorter.
    #[schema(minimum = 60, maximum = 900)]
    ttl_seconds: Option<u64>,
}

/// How a loan went.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GiveBack)]
pub struct GiveBackBody {
    /// `ok`, `failed` or `auth_failed`.
    outcome: String,
    /// How many records were read.
    records: Option<u64>,
}

/// A lent credential. Not to be stored.
#[derive(Serialize, ToSchema)]
#[schema(as = Loan)]
pub struct LoanView<'a> {
    #[schema(example = "lease_01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    id: &'a str,
    expires_at: String,
    /// Grows with every lease of this connection.
    fence: i64,
    connection: LentConnectionView<'a>,
    credential: LentCredentialView<'a>,
    allowed: AllowedView<'a>,
}

/// Where the secret may be sent.
#[derive(Serialize, ToSchema)]
#[schema(as = LentConnection)]
pub struct LentConnectionView<'a> {
    id: &'a str,
    url: &'a str,
    database: &'a str,
    username: &'a str,
}

/// The secret itself.
#[derive(Serialize, ToSchema)]
#[schema(as = LentCredential)]
pub struct LentCredentialView<'a> {
    kind: &'a str,
    secret: &'a str,
    revision: i64,
    /// When it ends by itself.
    expires_at: Option<String>,
}

/// What may be called with it.
#[derive(Serialize, ToSchema)]
#[schema(as = Allowed)]
pub struct AllowedView<'a> {
    methods: Vec<&'static str>,
    models: &'a [String],
}

/// A lease, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Lease)]
pub struct LeaseView {
    id: String,
    connection_id: String,
    client_id: String,
    purpose: String,
    run_id: Option<String>,
    revision: i64,
    fence: i64,
    lent_at: String,
    expires_at: String,
    /// `open`, or `ended` when it was handed back, its connection forgotten, or its time is over.
    state: &'static str,
    /// When it was ended before its time.
    ended_at: Option<String>,
    /// How it was ended: `ok`, `failed`, `auth_failed` or `forgotten`.
    outcome: Option<String>,
}

/// One page of open leases, oldest first.
#[derive(Serialize, ToSchema)]
pub struct LeaseList {
    items: Vec<LeaseView>,
    /// `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

impl From<StoredLease> for LeaseView {
    fn from(stored: StoredLease) -> Self {
        Self {
            id: stored.id.to_string(),
            connection_id: stored.connection.to_string(),
            client_id: stored.client.to_string(),
            purpose: stored.purpose,
            run_id: stored.run.map(|run| run.to_string()),
            revision: stored.revision.number(),
            fence: stored.fence,
            lent_at: stored.lent_at.to_string(),
            expires_at: stored.expires_at.to_string(),
            state: if stored.is_open { "open" } else { "ended" },
            ended_at: stored.ended_at.map(|at| at.to_string()),
            outcome: stored.outcome,
        }
    }
}

/// Borrow a credential, opened, for minutes. It is on record before it is sent.
#[utoipa::path(post, path = "/v1/connections/{id}/leases",
    params(("id" = String, Path),
           ("Idempotency-Key" = Option<String>, Header, description = "names this request for 24 hours")),
    request_body = LendBody,
    responses((status = 201, body = LoanView), (status = "4XX", body = ProblemView),
              (status = "5XX", body = ProblemView)))]
pub(super) async fn lend(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<ConnectionId>,
    Once(body, repeat): Once<LendBody>,
) -> Result<HttpResponse<WipedBody>, Problem> {
    let lend = Lend { purpose: body.purpose, ttl_seconds: body.ttl_seconds, run_id: body.run_id };
    let loan = state.vault.lend(&actor, id, lend, repeat).await?;
    let bytes = write(&loan)?;
    let mut response =
        HttpResponse::with_body(actix_web::http::StatusCode::CREATED, WipedBody::new(bytes, loan.passage));
    response.headers_mut().insert(
        actix_web::http::header::CONTENT_TYPE,
        actix_web::http::header::HeaderValue::from_static("application/json"),
    );
    Ok(response)
}

/// A secret is at most 4 KiB and grows to at most twice that in JSON; with this much room the buffer
/// never moves, so no copy is left behind.
const LOAN_BYTES: usize = 32 * 1024;

fn write(loan: &Loan) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let (url, database, username) = &loan.address;
    let view = LoanView {
        id: loan.lease.as_str(),
        expires_at: loan.expires_at.to_string(),
        fence: loan.fence,
        connection: LentConnectionView { id: loan.connection.as_str(), url, database, username },
        credential: LentCredentialView {
            kind: &loan.kind,
            secret: loan.secret.expose(),
            revision: loan.revision.number(),
            expires_at: loan.credential_expires_at.map(|at| at.to_string()),
        },
        allowed: AllowedView {
            methods: Method::ALL.iter().map(|method| method.as_str()).collect(),
            models: &loan.models,
        },
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(LOAN_BYTES));
    serde_json::to_writer(&mut *bytes, &view)
        .map_err(|_| Problem::new(Kind::Unavailable, "the loan could not be written"))?;
    Ok(bytes)
}

/// List the leases that are out now.
#[utoipa::path(get, path = "/v1/leases",
    params(("limit" = Option<u16>, Query, description = "1 to 200, default 50"),
           ("cursor" = Option<String>, Query, description = "next_cursor of the page before")),
    responses((status = 200, body = LeaseList), (status = "4XX", body = ProblemView),
              (status = "5XX", body = ProblemView)))]
pub(super) async fn list(
    state: web::Data<State>,
    By(actor): By,
    Paged(page): Paged<LeaseId>,
) -> Result<HttpResponse, Problem> {
    let (items, more) = state.vault.list_leases(&actor, page).await?;
    let next_cursor = if more { items.last().map(|last| last.id.to_string()) } else { None };
    let items = items.into_iter().map(LeaseView::from).collect();
    Ok(HttpResponse::Ok().json(LeaseList { items, next_cursor }))
}

/// Show one lease, open or ended.
#[utoipa::path(get, path = "/v1/leases/{id}", params(("id" = String, Path)),
    responses((status = 200, body = LeaseView), (status = "4XX", body = ProblemView),
              (status = "5XX", body = ProblemView)))]
pub(super) async fn show(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<LeaseId>,
) -> Result<HttpResponse, Problem> {
    let stored = state.vault.show_lease(&actor, id).await?;
    Ok(HttpResponse::Ok().json(LeaseView::from(stored)))
}

/// Keep a lease for longer; only its holder can, and only while it might be lent as it is.
#[utoipa::path(post, path = "/v1/leases/{id}/renew",
    params(("id" = String, Path),
           ("Idempotency-Key" = Option<String>, Header, description = "names this request for 24 hours")),
    request_body = RenewBody,
    responses((status = 200, body = LeaseView), (status = "4XX", body = ProblemView),
              (status = "5XX", body = ProblemView)))]
pub(super) async fn renew(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<LeaseId>,
    Once(body, repeat): Once<RenewBody>,
) -> Result<HttpResponse, Problem> {
    let renew = Renew { ttl_seconds: body.ttl_seconds };
    let stored = state.vault.renew(&actor, id, renew, repeat).await?;
    Ok(HttpResponse::Ok().json(LeaseView::from(stored)))
}

/// Hand a lease back; only its holder can.
#[utoipa::path(post, path = "/v1/leases/{id}/return",
    params(("id" = String, Path),
           ("Idempotency-Key" = Option<String>, Header, description = "names this request for 24 hours")),
    request_body = GiveBackBody,
    responses((status = 204), (status = "4XX", body = ProblemView), (status = "5XX", body = ProblemView)))]
pub(super) async fn give_back(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<LeaseId>,
    Once(body, repeat): Once<GiveBackBody>,
) -> Result<HttpResponse, Problem> {
    let given = GiveBack { outcome: body.outcome, records: body.records };
    state.vault.give_back(&actor, id, given, repeat).await?;
    Ok(HttpResponse::NoContent().finish())
}
