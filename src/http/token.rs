//! `/v1/token`: a service's signed assertion for a token of fifteen minutes (RFC 6749 section 4.4, RFC 7523).

use std::borrow::Cow;

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Serialize;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};
use zeroize::Zeroizing;

use crate::access::MAX_TOKEN_LIFE;
use crate::error::FieldError;
use crate::http::State;
use crate::http::admission::{charge_client, note_failed};
use crate::http::extract::Requested;
use crate::http::form::Form;
use crate::http::problem::{Kind, Problem, TokenError};
use crate::http::shapes::{AssertionType, GrantType, Jwt, TenantName};
use crate::ids::ClientId;
use crate::secret::Secret;
use crate::vault::{Mint, NotGiven};

/// A wish for a token, as a form: its description alone, since forms are read by their members.
pub(super) enum TokenForm {}

impl PartialSchema for TokenForm {
    fn schema() -> RefOr<Schema> {
        let of = |name: &str| Ref::from_schema_name(name);
        Schema::from(
            ObjectBuilder::new()
                .description(Some(
                    "Each member once, and no other. `client_id` is what the assertion says too.",
                ))
                .property("grant_type", of("GrantType"))
                .required("grant_type")
                .property("client_assertion_type", of("AssertionType"))
                .required("client_assertion_type")
                .property("client_assertion", of("Jwt"))
                .required("client_assertion")
                .property("client_id", of("TenantName"))
                .additional_properties(Some(AdditionalProperties::FreeForm(false))),
        )
        .into()
    }
}

impl ToSchema for TokenForm {
    fn name() -> Cow<'static, str> {
        "TokenRequest".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        let members = [("GrantType", GrantType::schema()), ("AssertionType", AssertionType::schema())];
        let members =
            members.into_iter().chain([("Jwt", Jwt::schema()), ("TenantName", TenantName::schema())]);
        schemas.extend(members.map(|(name, schema)| (name.to_owned(), schema)));
    }
}

/// A token. Not to be stored.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenView<'a> {
    #[schema(format = Password, read_only)]
    access_token: &'a str,
    /// `Bearer`
    token_type: &'static str,
    /// How many seconds it lives.
    #[schema(minimum = 1, maximum = 900)]
    expires_in: u64,
}

const GRANT_TYPE: &str = "client_credentials";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const FIELDS: [&str; 4] = ["grant_type", "client_assertion_type", "client_assertion", "client_id"];

/// Exchange a client's signed assertion for a token. The assertion is taken once; it is on record before the
/// token is sent.
#[utoipa::path(post, path = "/v1/token", operation_id = "exchange_token", security(()),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = TokenView, description = "The token."),
        (status = 400, description = "`invalid-request`; `error` by RFC 6749"),
        (status = 401, description = "`unauthorized`, with the `error` `invalid_client`: the assertion is not taken"),
        (status = 422, description = "`invalid`, with the `error` `invalid_request`: no parameter is taken"),
        (status = 429, description = "`too-many-requests`",
         headers(("Retry-After" = i64, description = "Seconds until one is taken again."))),
        (status = 500, description = "`damaged`"),
        (status = 503, description = "`unavailable`")))]
pub(super) async fn exchange(
    state: web::Data<State>,
    http: HttpRequest,
    Requested(call): Requested,
    form: Form,
) -> Result<HttpResponse, Problem> {
    let [grant_type, assertion_type, assertion, client_id] = form.take(FIELDS)?;
    let required =
        |name: &'static str| move || refuse(name, "required", "is required", TokenError::InvalidRequest);
    if grant_type.ok_or_else(required("grant_type"))?.as_str() != GRANT_TYPE {
        let detail = "must be client_credentials";
        return Err(refuse("grant_type", "one_of", detail, TokenError::UnsupportedGrantType));
    }
    if assertion_type.ok_or_else(required("client_assertion_type"))?.as_str() != ASSERTION_TYPE {
        let detail = format!("must be {ASSERTION_TYPE}");
        return Err(refuse("client_assertion_type", "one_of", &detail, TokenError::InvalidRequest));
    }
    let assertion = assertion.ok_or_else(required("client_assertion"))?;
    let standing = state.watch.standing().await.map_err(NotGiven::from)?;
    let State { tokens, audiences, limits, .. } = &**state;
    let charge = |client: &ClientId| charge_client(&http, limits, client);
    let mint = Mint { tokens, standing: &standing, audiences, charge: &charge };
    let client_id = client_id.as_ref().map(|id| id.as_str());
    let exchanged = state.vault.exchange(mint, (&assertion, client_id), &call).await;
    if let Err(NotGiven::Client(cause)) = &exchanged {
        // A flood of them is counted, and no flood of lines.
        note_failed(&http, cause.cause())?;
        tracing::info!(%cause, "a client's assertion is not taken");
    }
    let token = exchanged?;
    let mut response = HttpResponse::Ok().body(Bytes::from_owner(write(&token)?));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn refuse(field: &str, rule: &'static str, detail: &str, error: TokenError) -> Problem {
    Problem::token_request(vec![FieldError::new(field, rule, detail)], error)
}

/// Whose buffer the server copies it into ends with the connection, as after every body that may hold a secret.
fn write(token: &Secret) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let expires_in = MAX_TOKEN_LIFE.as_secs();
    let view = TokenView { access_token: token.expose(), token_type: "Bearer", expires_in };
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * token.expose().len() + 128));
    serde_json::to_writer(&mut *bytes, &view)
        .map_err(|_| Problem::new(Kind::Unavailable, "the token could not be written"))?;
    Ok(bytes)
}
