//! For operations: alive, ready, counted, the API's description; and what answers where no route does.

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig, get};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::State;
use crate::http::problem::{Kind, Problem};
use crate::metrics;

/// How it is.
#[derive(Serialize, ToSchema)]
pub struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

/// The process answers.
#[utoipa::path(get, path = "/livez", responses((status = 200, body = Health, description = "It does.")), security(()))]
pub(super) async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "ok" })
}

/// Whether it can do its work.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    #[schema(example = "ok")]
    status: &'static str,
    /// `held`, or `stale` while their source does not answer and the vault goes on with those it has.
    #[schema(example = "held")]
    keys: &'static str,
    /// `no`; `host` while a file freezes this host; `log` while the log over the trail in the database is not one that
    /// this vault's keys made; `witness` while a witness knows more of the trail than the database does; `vault` while the whole vault is frozen.
    #[schema(example = "no")]
    frozen: &'static str,
    /// How it stands with the worst of the trail's witnesses: `none` where none is set; `told` all there is; `behind`
    /// where one has less than that or than it took, and takes no more; `silent` where one says nothing, or nothing
    /// that is believed.
    #[schema(example = "told")]
    witnesses: &'static str,
}

/// The process can do its work: the database answers and the keys are held.
#[utoipa::path(get, path = "/readyz", security(()),
    responses((status = 200, body = Readiness, description = "It can."),
              (status = 503, description = "`unavailable`")))]
pub(super) async fn readyz(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    state.vault.is_ready().await?;
    let keys = if state.vault.has_stale_keys() { "stale" } else { "held" };
    let frozen = state.vault.frozen_by().await?.as_str();
    let witnesses = state.vault.telling().as_str();
    Ok(HttpResponse::Ok().json(Readiness { status: "ok", keys, frozen, witnesses }))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, body = Object, description = "This.")), security(()))]
pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().json(crate::http::document())
}

pub(super) async fn no_route() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Kind::NotFound, "there is no such path"))
}

/// `allowed` are the methods that the path takes, as the header `Allow` has them.
pub(super) async fn wrong_method(allowed: &'static str) -> Result<HttpResponse, Problem> {
    Err(Problem::wrong_method(allowed))
}

/// Every route of the ops listener, which is another than the API's.
pub fn ops_routes(service: &mut ServiceConfig) {
    service
        .route("/metrics", get().to(metrics))
        .route("/livez", get().to(livez))
        .route("/readyz", get().to(readyz))
        .default_service(web::to(no_route));
}

async fn metrics() -> HttpResponse {
    HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(metrics::text())
}
