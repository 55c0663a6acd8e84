//! `/v1/connections/{id}/leases` and `/v1/leases`: lend, list, show, renew, hand back.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::clock::Moment;
use crate::credential::{CredentialKind, Destination};
use crate::http::extract::{By, Once};
use crate::http::parameters::{Id, Paged};
use crate::http::problem::{Kind, Problem};
use crate::http::shapes::{
    Ending, IdempotencyKey, Label, LeaseState, Name, OdooMethod, Outcome, PageOf, Purpose, TenantName,
};
use crate::http::surface::header;
use crate::http::whole::Whole;
use crate::http::wiped::WipedBody;
use crate::http::{Line, State};
use crate::ids::{ConnectionId, LeaseId};
use crate::metrics;
use crate::odoo::Method;
use crate::vault::{GiveBack, Lend, Loan, PURPOSES, Renew, StoredLease};

/// A wish to borrow.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Lend)]
pub struct LendBody {
    #[schema(value_type = Purpose)]
    purpose: String,
    /// 60 to 900, 300 when absent.
    #[schema(value_type = Option<i64>, minimum = 60, maximum = 900)]
    ttl_seconds: Option<Whole<u64>>,
    /// The run it is for: the same client asking again with it gets the same lease back.
    #[schema(value_type = Option<Label>)]
    run_id: Option<String>,
}

/// A wish to keep a lease for longer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Renew)]
pub struct RenewBody {
    /// From now: 60 to 900, 300 when absent. A lease never gets shorter.
    #[schema(value_type = Option<i64>, minimum = 60, maximum = 900)]
    ttl_seconds: Option<Whole<u64>>,
}

/// How a loan went.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GiveBack)]
pub struct GiveBackBody {
    #[schema(value_type = Outcome)]
    outcome: String,
    /// How many records were read.
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 9223372036854775807i64)]
    records: Option<Whole<u64>>,
}

/// A lent credential. Not to be stored.
#[derive(Serialize, ToSchema)]
#[schema(as = Loan)]
pub struct LoanView<'a> {
    #[schema(value_type = LeaseId)]
    id: &'a str,
    expires_at: Moment,
    /// Grows with every lease of this connection.
    #[schema(minimum = 1)]
    fence: i64,
    connection: LentConnectionView<'a>,
    credential: LentCredentialView<'a>,
    allowed: AllowedView<'a>,
}

/// Where the secret may be sent.
#[derive(Serialize, ToSchema)]
#[schema(as = LentConnection)]
pub struct LentConnectionView<'a> {
    #[schema(value_type = ConnectionId)]
    id: &'a str,
    /// Null, like the next two, only of what is not Odoo's.
    #[schema(required = true)]
    url: Option<&'a str>,
    #[schema(value_type = Option<Name>, required = true)]
    database: Option<&'a str>,
    #[schema(value_type = Option<Name>, required = true)]
    username: Option<&'a str>,
}

/// The secret itself.
#[derive(Serialize, ToSchema)]
#[schema(as = LentCredential)]
pub struct LentCredentialView<'a> {
    kind: CredentialKind,
    #[schema(format = Password, read_only)]
    secret: &'a str,
    #[schema(minimum = 1)]
    revision: i64,
    /// When it ends by itself.
    #[schema(required = true)]
    expires_at: Option<Moment>,
}

/// What may be called with it in Odoo; nothing when it is not Odoo's.
#[derive(Serialize, ToSchema)]
#[schema(as = Allowed)]
pub struct AllowedView<'a> {
    #[schema(value_type = Vec<OdooMethod>)]
    methods: Vec<&'static str>,
    models: &'a [String],
}

/// A lease, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Lease)]
pub struct LeaseView {
    #[schema(value_type = LeaseId)]
    id: String,
    #[schema(value_type = ConnectionId)]
    connection_id: String,
    #[schema(value_type = TenantName)]
    client_id: String,
    #[schema(value_type = Purpose)]
    purpose: String,
    #[schema(value_type = Option<Label>, required = true)]
    run_id: Option<String>,
    #[schema(minimum = 1)]
    revision: i64,
    #[schema(minimum = 1)]
    fence: i64,
    #[schema(value_type = Moment)]
    lent_at: String,
    #[schema(value_type = Moment)]
    expires_at: String,
    #[schema(value_type = LeaseState)]
    state: &'static str,
    /// When it was ended before its time.
    #[schema(value_type = Option<Moment>, required = true)]
    ended_at: Option<String>,
    #[schema(value_type = Option<Ending>, required = true)]
    outcome: Option<String>,
}

/// One page of open leases, oldest first.
#[derive(Serialize, ToSchema)]
pub struct LeaseList {
    items: Vec<LeaseView>,
    /// `cursor` of the next page; null on the last.
    #[schema(value_type = Option<LeaseId>, required = true)]
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
///
/// One that is not Odoo's is lent for the purpose `other` alone.
#[utoipa::path(post, path = "/v1/connections/{id}/leases",
    operation_id = "lend_credential", security(("bearer" = ["lease.lend.sync", "lease.lend.check", "lease.lend.other"])),
    params(("id" = ConnectionId, Path, description = "The connection."),
           IdempotencyKey),
    request_body = LendBody,
    responses((status = 201, body = LoanView, description = "It is lent.",
        headers(("Location" = String, description = "The lease's path.")),
        links(("show" = (operation_id = "show_lease", parameters(("id" = "$response.body#/id")))),
              ("renew" = (operation_id = "renew_lease", parameters(("id" = "$response.body#/id")))),
              ("return" = (operation_id = "return_lease", parameters(("id" = "$response.body#/id")))))),
        (status = 409, description = "`lease-held`, `auth-failed`, `lease-ended`, `credential-replaced`, `not-odoo`",
         headers(("Retry-After" = i64, description = "With `lease-held`: seconds until it ends at the latest."))),
        (status = 423, description = "`frozen`"),
        (status = 429, description = "`too-many-leases`, `too-many-requests`, `event-quota`",
         headers(("Retry-After" = i64, description = "Seconds until the first of them ends, or one more call is taken."))),
        (status = 500, description = "`does-not-open`, `damaged`"),
        (status = 503, description = "`key-not-held`, `unavailable`")))]
pub(super) async fn lend(
    state: web::Data<State>,
    request: HttpRequest,
    By(actor): By,
    Id(id): Id<ConnectionId>,
    Once(body, repeat): Once<LendBody>,
) -> Result<HttpResponse<WipedBody>, Problem> {
    let lend = Lend {
        purpose: body.purpose,
        ttl_seconds: body.ttl_seconds.map(|Whole(seconds)| seconds),
        run_id: body.run_id,
    };
    // Not what was sent: a label holds words of ours alone.
    let purpose = PURPOSES.iter().find(|known| **known == lend.purpose).unwrap_or(&"unknown");
    let lent = state.vault.lend(&actor, id, lend, repeat).await.map_err(Problem::from);
    metrics::lend(purpose, lent.as_ref().map_or_else(|problem| problem.kind().name(), |_| "granted"));
    let loan = lent?;
    let bytes = write(&loan)?;
    let location = header(format_args!("/v1/leases/{}", loan.lease));
    let location =
        location.ok_or_else(|| Problem::new(Kind::Unavailable, "the loan could not be written"))?;
    let body = WipedBody::new(bytes, request.conn_data::<Line>().cloned(), loan.passage);
    let mut response = HttpResponse::with_body(StatusCode::CREATED, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// More than all of a loan that is not counted in `room`.
const LOAN_BYTES: usize = 512;

/// How long a loan is at most, as it is written. A text without control characters grows to at most twice its length in
/// JSON. So the buffer does not move, and what is wiped is not much more than what was written.
fn room(loan: &Loan) -> usize {
    let Destination { url, database, username } = &loan.destination;
    let texts = [url, database, username].into_iter().flatten().chain(&loan.models);
    let texts: usize = texts.map(|text| 2 * text.len() + 3).sum();
    LOAN_BYTES + texts + 2 * loan.secret.expose().len()
}

fn write(loan: &Loan) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let Destination { url, database, username } = &loan.destination;
    let methods = if loan.kind.is_odoo() { Method::ALL } else { &[] };
    let view = LoanView {
        id: loan.lease.as_str(),
        expires_at: loan.expires_at,
        fence: loan.fence,
        connection: LentConnectionView {
            id: loan.connection.as_str(),
            url: url.as_deref(),
            database: database.as_deref(),
            username: username.as_deref(),
        },
        credential: LentCredentialView {
            kind: loan.kind,
            secret: loan.secret.expose(),
            revision: loan.revision.number(),
            expires_at: loan.credential_expires_at,
        },
        allowed: AllowedView {
            methods: methods.iter().map(|method| method.as_str()).collect(),
            models: &loan.models,
        },
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(room(loan)));
    serde_json::to_writer(&mut *bytes, &view)
        .map_err(|_| Problem::new(Kind::Unavailable, "the loan could not be written"))?;
    Ok(bytes)
}

/// List the leases that are out now.
#[utoipa::path(get, path = "/v1/leases",
    operation_id = "list_leases", security(("bearer" = ["lease.list"])),
    params(PageOf<LeaseId>),
    responses((status = 200, body = LeaseList, description = "A page.")))]
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
#[utoipa::path(get, path = "/v1/leases/{id}",
    operation_id = "show_lease", security(("bearer" = ["lease.show"])), params(("id" = LeaseId, Path, description = "Its id.")),
    responses((status = 200, body = LeaseView, description = "The lease.")))]
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
    operation_id = "renew_lease", security(("bearer" = ["lease.renew"])),
    params(("id" = LeaseId, Path, description = "Its id."),
           IdempotencyKey),
    request_body = RenewBody,
    responses((status = 200, body = LeaseView, description = "The lease."),
        (status = 403, description = "`forbidden`, `not-holder`, `kind-not-allowed`, `environment-not-allowed`, `state-not-allowed`, `host-not-allowed`"),
        (status = 409, description = "`lease-ended`, `credential-replaced`, `auth-failed`"),
        (status = 423, description = "`frozen`"),
        (status = 500, description = "`does-not-open`, `damaged`"),
        (status = 503, description = "`key-not-held`, `unavailable`")))]
pub(super) async fn renew(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<LeaseId>,
    Once(body, repeat): Once<RenewBody>,
) -> Result<HttpResponse, Problem> {
    let renew = Renew { ttl_seconds: body.ttl_seconds.map(|Whole(seconds)| seconds) };
    let stored = state.vault.renew(&actor, id, renew, repeat).await?;
    Ok(HttpResponse::Ok().json(LeaseView::from(stored)))
}

/// Hand a lease back; only its holder can.
#[utoipa::path(post, path = "/v1/leases/{id}/return",
    operation_id = "return_lease", security(("bearer" = ["lease.return"])),
    params(("id" = LeaseId, Path, description = "Its id."),
           IdempotencyKey),
    request_body = GiveBackBody,
    responses((status = 204, description = "It is ended."),
        (status = 403, description = "`forbidden`, `not-holder`"),
        (status = 409, description = "`lease-ended`")))]
pub(super) async fn give_back(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<LeaseId>,
    Once(body, repeat): Once<GiveBackBody>,
) -> Result<HttpResponse, Problem> {
    let given = GiveBack { outcome: body.outcome, records: body.records.map(|Whole(count)| count) };
    state.vault.give_back(&actor, id, given, repeat).await?;
    Ok(HttpResponse::NoContent().finish())
}
