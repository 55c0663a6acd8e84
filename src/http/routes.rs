//! Every route of the service, on one page.

use actix_web::web::{self, ServiceConfig, delete, get, patch, post, put, resource};

use crate::http::{
    audit, checkpoint, checks, connections, docs_page, keys, leases, ops, reads, settings, token,
};

/// Adds them all.
pub fn routes(service: &mut ServiceConfig) {
    service
        // They are tried one after the other: what is asked most comes first.
        .service(
            resource("/v1/connections/{id}/leases")
                .route(post().to(leases::lend))
                .default_service(web::to(|| ops::wrong_method("POST"))),
        )
        .service(
            resource("/v1/connections")
                .route(post().to(connections::deposit))
                .route(get().to(connections::list))
                .default_service(web::to(|| ops::wrong_method("GET, POST"))),
        )
        .service(
            resource("/v1/connections/{id}")
                .route(get().to(connections::show))
                .route(patch().to(connections::update))
                .route(delete().to(connections::forget))
                .default_service(web::to(|| ops::wrong_method("DELETE, GET, PATCH"))),
        )
        .service(
            resource("/v1/connections/{id}/credential")
                .route(put().to(connections::replace))
                .default_service(web::to(|| ops::wrong_method("PUT"))),
        )
        .service(
            resource("/v1/connections/{id}/check")
                .route(post().to(checks::check))
                .default_service(web::to(|| ops::wrong_method("POST"))),
        )
        .service(
            resource("/v1/connections/{id}/read")
                .route(post().to(reads::read))
                .default_service(web::to(|| ops::wrong_method("POST"))),
        )
        .service(
            resource("/v1/leases")
                .route(get().to(leases::list))
                .default_service(web::to(|| ops::wrong_method("GET"))),
        )
        .service(
            resource("/v1/leases/{id}")
                .route(get().to(leases::show))
                .default_service(web::to(|| ops::wrong_method("GET"))),
        )
        .service(
            resource("/v1/leases/{id}/renew")
                .route(post().to(leases::renew))
                .default_service(web::to(|| ops::wrong_method("POST"))),
        )
        .service(
            resource("/v1/leases/{id}/return")
                .route(post().to(leases::give_back))
                .default_service(web::to(|| ops::wrong_method("POST"))),
        )
        .service(
            resource("/v1/org/settings")
                .route(get().to(settings::show))
                .route(put().to(settings::change))
                .default_service(web::to(|| ops::wrong_method("GET, PUT"))),
        )
        .service(
            resource("/v1/audit/events")
                .route(get().to(audit::list))
                .default_service(web::to(|| ops::wrong_method("GET"))),
        )
        .service(
            resource("/v1/audit/export")
                .route(get().to(audit::export))
                .default_service(web::to(|| ops::wrong_method("GET"))),
        )
        .service(
            resource("/v1/audit/checkpoint")
                .route(get().to(checkpoint::show))
                .default_service(web::to(|| ops::wrong_method("GET"))),
        )
        .service(
            resource("/v1/token")
                .route(post().to(token::exchange))
                .default_service(web::to(|| ops::wrong_method("POST"))),
        )
        .service(
            resource("/v1/keys")
                .route(get().to(keys::list))
                .default_service(web::to(|| ops::wrong_method("GET"))),
        )
        .service(
            resource("/v1/keys/reseal")
                .route(post().to(keys::start_reseal))
                .route(get().to(keys::watch_reseal))
                .default_service(web::to(|| ops::wrong_method("GET, POST"))),
        )
        .service(
            resource("/livez")
                .route(get().to(ops::livez))
                .default_service(web::to(|| ops::wrong_method("GET"))),
        )
        .service(
            resource("/readyz")
                .route(get().to(ops::readyz))
                .default_service(web::to(|| ops::wrong_method("GET"))),
        )
        .service(
            resource("/docs")
                .route(get().to(docs_page::docs))
                .default_service(web::to(|| ops::wrong_method("GET"))),
        )
        .service(
            resource("/openapi.json")
                .route(get().to(ops::openapi))
                .default_service(web::to(|| ops::wrong_method("GET"))),
        )
        .default_service(web::to(ops::no_route));
}
