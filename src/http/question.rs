//! The form of a question to an Odoo, for the API's description: what of it JSON Schema can say. Which fields there are
//! of which model, and what a condition may compare, is in the readable policy.

use std::borrow::Cow;

use utoipa::openapi::schema::{
    AdditionalProperties, Array, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type,
};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::http::reads::ReadBody;
use crate::odoo::{Method, Operator, Readable};

impl ToSchema for ReadBody {
    fn name() -> Cow<'static, str> {
        "Read".into()
    }
}

impl PartialSchema for ReadBody {
    fn schema() -> RefOr<Schema> {
        let search = question("Records that a search finds.", Method::SearchRead)
            .property(
                "domain",
                pieces("Which records, in Odoo's notation, by fields that may be read; all when absent."),
            )
            .property("order", order())
            .property("offset", number("How many records to pass over.", 0, 10_000_000))
            .property("limit", number("How many at most; 100 when absent.", 1, 2_000));
        let read = question("Records by their ids.", Method::Read)
            .property("ids", ids("Which records; those that are not there are left out."))
            .required("ids");
        let both = OneOfBuilder::new().item(search).item(read);
        Schema::from(both.description(Some("One question to a connection's Odoo.")).build()).into()
    }
}

fn question(what: &str, method: Method) -> ObjectBuilder {
    let models = Readable::embedded().map(|readable| readable.model_names()).unwrap_or_default();
    let model = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(models))
        .description(Some("A model of policies/odoo-readable.toml."));
    let method = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([method.as_str()]));
    let field = ObjectBuilder::new().schema_type(Type::String).pattern(Some(FIELD)).max_length(Some(64));
    let fields = ArrayBuilder::new()
        .items(field)
        .min_items(Some(1))
        .max_items(Some(100))
        .unique_items(true)
        .description(Some("Fields of the model, each once. `id` comes with every record."));
    ObjectBuilder::new()
        .description(Some(what))
        .property("model", model)
        .required("model")
        .property("method", method)
        .required("method")
        .property("fields", fields)
        .required("fields")
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
}

const FIELD: &str = "^[a-z][a-z0-9_]*$";

fn pieces(what: &str) -> Array {
    let joint = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["&", "|", "!"]));
    let path = ObjectBuilder::new().schema_type(Type::String);
    let operators = Operator::ALL.iter().map(|operator| operator.as_str());
    let operator = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(operators));
    let operand = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
    let condition = ArrayBuilder::new()
        .prefix_items([path.build(), operator.build(), operand.build()])
        .min_items(Some(3))
        .max_items(Some(3));
    ArrayBuilder::new()
        .schema_type(or_null(Type::Array))
        .items(OneOfBuilder::new().item(joint).item(condition))
        .max_items(Some(100))
        .description(Some(what))
        .build()
}

fn order() -> ObjectBuilder {
    let term = "[a-z][a-z0-9_]*( (asc|desc))?";
    ObjectBuilder::new()
        .schema_type(or_null(Type::String))
        .pattern(Some(format!("^{term}(, ?{term}){{0,3}}$")))
        .description(Some("`name, other desc`; by id when absent."))
}

fn number(what: &str, least: usize, most: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(or_null(Type::Integer))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(least))
        .maximum(Some(most))
        .description(Some(what))
}

fn ids(what: &str) -> ArrayBuilder {
    let id = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(1_usize));
    ArrayBuilder::new().items(id).min_items(Some(1)).max_items(Some(2_000)).description(Some(what))
}

fn or_null(of: Type) -> SchemaType {
    [of, Type::Null].into_iter().collect()
}
