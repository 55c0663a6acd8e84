//! The body of a deposit. The vault judges it by its kind; the API's description shows two forms, so that a
//! generated client knows what Odoo's credentials need and others may leave out.

use serde::Deserialize;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::clock::Moment;
use crate::http::object::Object;
use crate::http::shapes::{Address, Environment, Label, NO_CONTROL, Name, OdooKind, OtherKind};
use crate::secret::Secret;
use crate::vault::MAX_SECRET_BYTES;

/// A connection that is not Odoo's, to be kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OtherDeposit)]
pub struct DepositBody {
    /// https, a public host, no path.
    #[schema(value_type = Option<Address>)]
    pub(super) url: Option<String>,
    /// The database there, at most 256 bytes.
    #[schema(value_type = Option<Name>)]
    pub(super) database: Option<String>,
    /// The login there, at most 256 bytes.
    #[schema(value_type = Option<Name>)]
    pub(super) username: Option<String>,
    /// What people call it, at most 128 bytes.
    #[schema(value_type = Option<Label>)]
    pub(super) label: Option<String>,
    /// `production` when absent.
    #[schema(value_type = Option<Environment>)]
    pub(super) environment: Option<String>,
    #[schema(value_type = CredentialBody)]
    pub(super) credential: Object<CredentialBody>,
}

/// A secret that is not Odoo's.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOtherCredential)]
pub struct CredentialBody {
    #[schema(value_type = OtherKind)]
    pub(super) kind: String,
    /// 1 to 16384 bytes, no control characters but tabs and line ends.
    #[schema(value_type = String, format = Password, write_only, min_length = 1, max_length = 16384, pattern = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]+$")]
    pub(super) secret: Secret,
    /// When it ends by itself; ahead.
    #[schema(value_type = Option<Moment>)]
    pub(super) expires_at: Option<String>,
}

/// A deposit, for the description: of Odoo's credential, or of another.
pub(super) enum AnyDeposit {}

impl PartialSchema for AnyDeposit {
    fn schema() -> RefOr<Schema> {
        let forms = [named::<OdooDeposit>(), named::<DepositBody>()];
        let either = forms.into_iter().fold(OneOfBuilder::new(), OneOfBuilder::item);
        Schema::from(either).into()
    }
}

impl ToSchema for AnyDeposit {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((DepositBody::name().into(), DepositBody::schema()));
        schemas.push((OdooDeposit::name().into(), OdooDeposit::schema()));
        schemas.push((OdooCredential::name().into(), OdooCredential::schema()));
        schemas.push((OdooKind::name().into(), OdooKind::schema()));
        DepositBody::schemas(schemas);
    }
}

enum OdooDeposit {}

impl PartialSchema for OdooDeposit {
    fn schema() -> RefOr<Schema> {
        let needed =
            [("url", named::<Address>()), ("database", named::<Name>()), ("username", named::<Name>())];
        let needed = needed.into_iter().chain([("credential", named::<OdooCredential>())]);
        narrowed(DepositBody::schema(), "A connection to an Odoo, to be kept.", needed)
    }
}

impl ToSchema for OdooDeposit {
    fn name() -> std::borrow::Cow<'static, str> {
        "Deposit".into()
    }
}

enum OdooCredential {}

impl PartialSchema for OdooCredential {
    fn schema() -> RefOr<Schema> {
        let secret = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
            .write_only(true)
            .min_length(Some(1))
            .max_length(Some(MAX_SECRET_BYTES))
            .pattern(Some(NO_CONTROL))
            .description(Some("The password or API key: 1 to 4096 bytes, no control characters."));
        let needed = [("kind", named::<OdooKind>()), ("secret", Schema::from(secret).into())];
        narrowed(CredentialBody::schema(), "What opens that Odoo.", needed)
    }
}

impl ToSchema for OdooCredential {
    fn name() -> std::borrow::Cow<'static, str> {
        "NewCredential".into()
    }
}

fn named<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

/// The form `wide`, with these members needed and in these shapes.
fn narrowed(
    wide: RefOr<Schema>,
    what: &str,
    needed: impl IntoIterator<Item = (&'static str, RefOr<Schema>)>,
) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut form)) = wide else { return wide };
    for (member, shape) in needed {
        form.properties.insert(member.to_owned(), shape);
        if !form.required.iter().any(|named| named == member) {
            form.required.push(member.to_owned());
        }
    }
    form.description = Some(what.to_owned());
    Schema::Object(form).into()
}
