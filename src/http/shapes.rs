//! The form of what stands in requests and answers, for the API's description: one place for each rule,
//! next to none of the code that judges by it; the fuzzed contract holds the two against each other.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, Required, SchemaFormat};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::clock::Moment;
use crate::credential::{CredentialKind, ENVIRONMENTS, Rights};
use crate::http::problem::Kind;
use crate::ids::{ConnectionId, LeaseId, MAX_TEXT_BYTES, ResealId};
use crate::odoo::{Code, DialectName, Method};
use crate::vault::keys::RunState;
use crate::vault::{ExportFormat, MAX_NAME_BYTES, OUTCOMES, PURPOSES};

/// What is judged as 1 to so many bytes without control characters. JSON Schema counts characters, of
/// which that many bytes are never more.
pub(super) const NO_CONTROL: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

fn text(max: usize, pattern: &str, what: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(max))
        .pattern(Some(pattern))
        .description(Some(what))
}

fn one_of(choices: &[&str], what: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(choices.iter().copied()))
        .description(Some(what))
}

macro_rules! shapes {
    ($($name:ident = $schema:expr;)*) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    Schema::from($schema).into()
                }
            }

            impl ToSchema for $name {}
        )*
    };
}

/// The API's word for what the code keeps as a text.
macro_rules! words {
    ($($name:ident),*) => { $(pub(super) enum $name {})* };
}

words!(Name, Label, TenantName, Environment, ConnectionState, Address, OdooKind, OtherKind);
words!(UserRights, Severity, CheckCode, OdooVersion, OdooDialect);
words!(GrantType, AssertionType, Jwt, KeyState, ResealState);
words!(Purpose, Outcome, Ending, LeaseState, OdooMethod, ProblemType, EventNumber, Hash);
words!(ActionName, AuditOutcome, ExportKind);

shapes! {
    ConnectionId = made_id("conn", "One connection.");
    LeaseId = made_id("lease", "One lease.");
    ResealId = made_id("reseal", "One reseal.");
    KeyState = one_of(&["sealing", "opening", "retired"], "One seals; what others sealed they open, until they are retired.");
    ResealState = one_of(
        &RunState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>(),
        "`broken_off` when nothing was heard of it for a minute.",
    );
    Moment = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("RFC 3339. Answers have UTC and microseconds."));
    Name = text(MAX_NAME_BYTES, NO_CONTROL, "1 to 256 bytes, no control characters.");
    Label = text(MAX_TEXT_BYTES, NO_CONTROL, "1 to 128 bytes, no control characters.");
    TenantName = text(MAX_TEXT_BYTES, NO_CONTROL, "As the token names it.");
    Environment = one_of(ENVIRONMENTS, "Which of a customer's Odoos it is.");
    CredentialKind = one_of(CredentialKind::NAMES, "What it is; `password` and `api_key` are Odoo's.");
    OdooKind = one_of(&names(true), "What opens that Odoo.");
    OtherKind = one_of(&names(false), "What it is.");
    Address = text(
        2048,
        r"^https?://[^\s\u0000-\u001f\u007f-\u009f/?#@\\]+/?$",
        "https, a public host, no path.",
    )
    .examples(["https://acme.odoo.com"]);
    UserRights = one_of(
        Rights::NAMES,
        "What the user may do in Odoo, by the last check that could tell: `reader` is of groups alone that are known not to \
         write; `writer` is lent by injection alone, unless the org lends to writers.",
    );
    ConnectionState = one_of(
        &["active", "auth_failed", "frozen"],
        "`auth_failed` after the credential was refused; `frozen` while the org or the vault is.",
    );
    Purpose = one_of(PURPOSES, "`sync` is exclusive, and like `check` for Odoo's kinds alone.");
    Outcome = one_of(OUTCOMES, "How a loan went.");
    Ending = one_of(
        &["ok", "failed", "auth_failed", "forgotten", "frozen", "unanswered"],
        "How a lease was ended; `unanswered` when it was granted too late for its caller, who was told 503.",
    );
    LeaseState = one_of(
        &["open", "ended"],
        "`ended` when it was handed back, its connection forgotten, its org frozen, it was granted too late, or its time is over.",
    );
    OdooMethod = one_of(&Method::ALL.iter().map(|method| method.as_str()).collect::<Vec<_>>(), "A method of Odoo's that reads.");
    Severity = one_of(&["error", "warning"], "Whether a sync would fail.");
    CheckCode = text(64, "^[a-z_]+$", "Stable, and explained in docs/checks.md.")
        .examples(Code::ALL.iter().map(|code| code.as_str()));
    OdooVersion = text(16, r"^(saas~)?[0-9]{1,3}\.[0-9]{1,3}$", "`19.0`, or `saas~18.2` between releases.");
    OdooDialect = one_of(&DialectName::ALL.iter().map(|dialect| dialect.as_str()).collect::<Vec<_>>(),
        "How an Odoo is spoken to.");
    ProblemType = text(64, "^urn:pawl:problem:[a-z-]+$", "Stable, and explained in docs/problems.md.")
        .examples(Kind::ALL.iter().map(|kind| kind.urn()));
    GrantType = one_of(&["client_credentials"], "RFC 6749 section 4.4.");
    AssertionType = one_of(&["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"], "RFC 7523 section 2.2.");
    Jwt = text(4096, r"^[\w-]+\.[\w-]+\.[\w-]+$",
        "A JWT that the client signed with its Ed25519 key (EdDSA): `iss` and `sub` its name, `aud` the vault's public \
         URL, as it is or with `/v1/token`, `exp` within 60 seconds, a `jti` of its own; `org` and `user` where it may \
         act for several, `roles` to have fewer.");
    ActionName = text(64, r"^[a-z_.]+$", "The `activity_name` of an event.").examples(["lease.lend"]);
    AuditOutcome = one_of(&["success", "failure"], "How it ended.");
    ExportKind = one_of(ExportFormat::NAMES, "For spreadsheets, or to be verified.");
    EventNumber = text(18, "^[0-9]+$", "The number of an event.");
    Hash = text(64, "^[0-9a-f]{64}$", "Hex SHA-256.").min_length(Some(64));
}

fn names(of_odoo: bool) -> Vec<&'static str> {
    let kinds = CredentialKind::ALL.iter().filter(|kind| kind.is_odoo() == of_odoo);
    kinds.map(|kind| kind.as_str()).collect()
}

fn made_id(prefix: &str, what: &str) -> ObjectBuilder {
    let length = prefix.len() + 27;
    text(length, &format!("^{prefix}_[0-9A-Z]{{26}}$"), what)
        .min_length(Some(length))
        .examples([format!("{prefix}_01ARZ3NDEKTSV4RRFFQ69G5FAV")])
}

/// `?limit=&cursor=`, where the cursor is a `T`.
pub(super) struct PageOf<T>(std::marker::PhantomData<T>);

impl<T: PartialSchema> IntoParams for PageOf<T> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let limit = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(200));
        vec![
            optional("limit", ParameterIn::Query, "How many at most, 50 when absent.", Schema::from(limit)),
            optional("cursor", ParameterIn::Query, "`next_cursor` of the page before.", T::schema()),
        ]
    }
}

/// The header by which a request may be sent again.
pub(super) enum IdempotencyKey {}

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let key = text(MAX_TEXT_BYTES, "^[!-~]+$", "Visible ASCII.");
        let what = "Names this request for 24 hours: sent again with it, it is done once.";
        vec![optional("Idempotency-Key", ParameterIn::Header, what, Schema::from(key))]
    }
}

pub(super) fn optional(
    name: &str,
    place: ParameterIn,
    what: &str,
    schema: impl Into<RefOr<Schema>>,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(what))
        .schema(Some(schema))
        .build()
}
