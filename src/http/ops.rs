//! For operations: alive, ready, the API's description; and what answers where no route does.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::State;
use crate::http::problem::{Kind, Problem};

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

/// The process can do its work: the database answers and the keys are held.
#[utoipa::path(get, path = "/readyz", security(()),
    responses((status = 200, body = Health, description = "It can."),
              (status = 503, description = "`unavailable`")))]
pub(super) async fn readyz(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    state.vault.is_ready().await?;
    Ok(HttpResponse::Ok().json(Health { status: "ok" }))
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
