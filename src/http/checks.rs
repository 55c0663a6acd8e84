//! `POST /v1/connections/{id}/check`, and a check as a member of a deposit's answer.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::State;
use crate::http::extract::By;
use crate::http::parameters::Id;
use crate::http::problem::Problem;
use crate::http::shapes::{CheckCode, OdooDialect, OdooVersion, Severity};
use crate::ids::ConnectionId;
use crate::odoo::{Diagnosis, DialectName};

/// What a check found.
#[derive(Serialize, ToSchema)]
#[schema(as = Check)]
pub struct CheckView {
    /// Whether a sync would go well; warnings do not count.
    ok: bool,
    /// The Odoo that answered, once it told what it is.
    server: Option<ServerView>,
    /// In the order of the steps; none when all is well.
    causes: Vec<FindingView>,
}

/// Which Odoo it is, and how it is spoken to.
#[derive(Serialize, ToSchema)]
#[schema(as = Server)]
pub struct ServerView {
    /// `19.0`, or `saas~18.2` between releases.
    #[schema(value_type = OdooVersion)]
    version: String,
    /// What the login is made in: none if that Odoo takes no such credential, or has its API closed off.
    #[schema(value_type = Option<OdooDialect>)]
    dialect: Option<&'static str>,
}

/// One thing that a check found.
#[derive(Serialize, ToSchema)]
#[schema(as = Finding)]
pub struct FindingView {
    #[schema(value_type = CheckCode)]
    code: &'static str,
    #[schema(value_type = Severity)]
    severity: &'static str,
    /// One sentence. Never quotes what a server said.
    detail: String,
    /// What to do.
    advice: &'static str,
}

impl From<&Diagnosis> for CheckView {
    fn from(found: &Diagnosis) -> Self {
        let causes = found.findings.iter().map(|finding| FindingView {
            code: finding.code.as_str(),
            severity: finding.code.severity().as_str(),
            detail: finding.detail(),
            advice: finding.code.advice(),
        });
        let server = found.server.map(|server| ServerView {
            version: server.version.to_string(),
            dialect: server.dialect.map(DialectName::as_str),
        });
        Self { ok: found.is_ok(), server, causes: causes.collect() }
    }
}

/// Check a connection: log in to its Odoo, once, read one record of each model, and tell what is wrong. One
/// at a time for a connection, 30 s at most. A refused login marks it `auth_failed`, one that is taken
/// unmarks it.
#[utoipa::path(post, path = "/v1/connections/{id}/check",
    operation_id = "check_connection", security(("bearer" = ["connection.check"])),
    params(("id" = ConnectionId, Path, description = "Its id.")),
    responses((status = 200, body = CheckView, description = "What was found."),
        (status = 409, description = "`check-running`, `credential-replaced`, `not-odoo`"),
        (status = 423, description = "`frozen`"),
        (status = 429, description = "`too-many-checks`, `too-many-refusals`, `too-many-requests`, `event-quota`",
         headers(("Retry-After" = i64, description = "Seconds until one is tried again."))),
        (status = 500, description = "`does-not-open`, `damaged`"),
        (status = 503, description = "`key-not-held`, `unavailable`")))]
pub(super) async fn check(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<ConnectionId>,
) -> Result<HttpResponse, Problem> {
    let found = state.vault.check(&actor, id).await?;
    Ok(HttpResponse::Ok().json(CheckView::from(&found)))
}
