//! The API's description, drawn from the handlers themselves; a test holds it against the routes.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::http::{audit, checks, connections, leases, ops};

/// The OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Pawl", description = "Keeps Odoo credentials and lends them for minutes to a read-only worker."),
    paths(
        connections::deposit,
        connections::list,
        connections::show,
        connections::update,
        connections::replace,
        checks::check,
        connections::forget,
        leases::lend,
        leases::list,
        leases::show,
        leases::renew,
        leases::give_back,
        audit::list,
        ops::livez,
        ops::readyz,
        ops::openapi
    ),
    security(("bearer" = [])),
    modifiers(&Bearer)
)]
struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.bearer_format = Some("at+jwt".into());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}
