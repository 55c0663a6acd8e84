//! `POST /v1/connections/{id}/check`, and a check as a member of a deposit's answer.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::State;
use crate::http::extract::{By, Id};
use crate::http::problem::{Problem, ProblemView};
use crate::ids::ConnectionId;
use crate::odoo::Diagnosis;

/// What a check found.
#[derive(Serialize, ToSchema)]
#[schema(as = Check)]
pub struct CheckView {
    /// Whether a sync would go well; warnings do not count.
    ok: bool,
    /// In the order of the steps; none when all is well.
    causes: Vec<FindingView>,
}

/// One thing that a check found.
#[derive(Serialize, ToSchema)]
#[schema(as = Finding)]
pub struct FindingView {
    /// Stable; docs/checks.md lists them.
    #[schema(example = "login_refused")]
    code: &'static str,
    /// `error` or `warning`.
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
        Self { ok: found.is_ok(), causes: causes.collect() }
    }
}

/// Check a connection: log in to its Odoo, once, read one record of each model, and tell what is wrong. One
/// at a time for a connection, 30 s at most. A refused login marks it `auth_failed`, one that is taken
/// unmarks it.
#[utoipa::path(post, path = "/v1/connections/{id}/check", params(("id" = String, Path)),
    responses((status = 200, body = CheckView), (status = "4XX", body = ProblemView),
              (status = "5XX", body = ProblemView)))]
pub(super) async fn check(
    state: web::Data<State>,
    By(actor): By,
    Id(id): Id<ConnectionId>,
) -> Result<HttpResponse, Problem> {
    let found = state.vault.check(&actor, id).await?;
    Ok(HttpResponse::Ok().json(CheckView::from(&found)))
}
