//! `/docs`: the API's description as a page. Drawn from the document itself, once; one answer without a
//! script, a picture or anything from elsewhere, and a policy by which a browser would load none.

use std::fmt::Write;
use std::sync::LazyLock;

use actix_web::HttpResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The page.
#[utoipa::path(get, path = "/docs", tag = "ops", operation_id = "docs", responses((status = 200, description = "This document, to be read in a browser.",
    content_type = "text/html")), security(()))]
pub(super) async fn docs() -> HttpResponse {
    static PAGE: LazyLock<(String, String)> = LazyLock::new(|| {
        let document = serde_json::to_value(crate::http::document()).unwrap_or_default();
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        (page(&document), policy)
    });
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header(("Content-Security-Policy", PAGE.1.as_str()))
        .body(PAGE.0.as_str())
}

const STYLE: &str = include_str!("docs_page.css");

/// The order in which a reader meets the methods of a path.
const METHODS: &[&str] = &["post", "get", "patch", "put", "delete"];

fn page(document: &Value) -> String {
    let mut out = String::new();
    let info = &document["info"];
    put(&mut out, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">");
    put(&mut out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    let title = format!("{} {}", text(&info["title"]), text(&info["version"]));
    put(&mut out, &format!("<title>{title}</title><style>{STYLE}</style>"));
    put(&mut out, &format!("<main><h1>{title}</h1>{}", prose(&info["description"])));
    put(&mut out, "<p>As a document for programs: <a href=\"/openapi.json\">/openapi.json</a>.</p><nav><ul>");
    let mut calls: Vec<_> = calls(document).collect();
    calls.sort_by_key(|(path, ..)| !path.starts_with("/v1/"));
    for (path, method, call) in &calls {
        let (id, summary) = (text(&call["operationId"]), text(&call["summary"]));
        put(
            &mut out,
            &format!("<li><a href=\"#{id}\">{} <code>{}</code></a> ", method.to_uppercase(), escape(path)),
        );
        put(&mut out, &format!("<span>{}</span>", first_sentence(&summary)));
    }
    put(&mut out, "</ul></nav>");
    for (path, method, call) in &calls {
        draw_call(&mut out, path, method, call);
    }
    put(&mut out, "<h2 id=\"shapes\">Shapes</h2>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        draw_schema(&mut out, name, schema);
    }
    put(&mut out, "</main></html>\n");
    out
}

fn calls(document: &Value) -> impl Iterator<Item = (&String, &'static str, &Value)> {
    members(&document["paths"]).flat_map(|(path, item)| {
        METHODS.iter().filter_map(move |method| Some((path, *method, item.get(*method)?)))
    })
}

fn draw_call(out: &mut String, path: &str, method: &str, call: &Value) {
    let id = text(&call["operationId"]);
    let method = method.to_uppercase();
    put(out, &format!("<section id=\"{id}\"><h2><b>{method}</b> <code>{}</code></h2>", escape(path)));
    put(out, &prose(&call["summary"]));
    put(out, &prose(&call["description"]));
    if let Some(action) = call.pointer("/security/0/bearer/0") {
        put(out, &format!("<p>Action: <code>{}</code></p>", plain(action)));
    }
    let parameters = call["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !parameters.is_empty() {
        put(out, "<table><tr><th>parameter<th>in<th>is<th>");
        for parameter in parameters {
            let must = if parameter["required"] == true { " <em>required</em>" } else { "" };
            let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
            put(
                out,
                &format!("<tr><td><code>{name}</code>{must}<td>{place}<td>{}", kind(&parameter["schema"])),
            );
            let said = [&parameter["description"], &parameter["schema"]["description"]].map(inline).join(" ");
            put(out, &format!("<td>{said}"));
        }
        put(out, "</table>");
    }
    for (media, content) in members(&call["requestBody"]["content"]) {
        put(out, &format!("<p>Body: {} as <code>{}</code></p>", kind(&content["schema"]), escape(media)));
    }
    put(out, "<table><tr><th>answer<th>is<th>");
    for (status, response) in members(&call["responses"]) {
        let shapes: Vec<String> = members(&response["content"]).map(|(_, c)| kind(&c["schema"])).collect();
        put(out, &format!("<tr><td><code>{}</code><td>{}<td>", escape(status), shapes.join(" or ")));
        put(out, &inline(&response["description"]));
        // That every answer has its request's id is said once, by the document.
        for (name, header) in members(&response["headers"]).filter(|(name, _)| *name != "X-Request-Id") {
            put(
                out,
                &format!(" <small><code>{}</code>: {}</small>", escape(name), inline(&header["description"])),
            );
        }
    }
    put(out, "</table></section>");
}

fn draw_schema(out: &mut String, name: &str, schema: &Value) {
    let name = escape(name);
    put(out, &format!("<section id=\"shape-{name}\"><h3>{name}</h3>{}", prose(&schema["description"])));
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    if schema["properties"].is_object() {
        put(out, "<table><tr><th>member<th>is<th>");
        for (member, of) in members(&schema["properties"]) {
            let must = if required.iter().any(|it| it == member) { " <em>required</em>" } else { "" };
            let said = of["oneOf"].get(0).map_or(&of["description"], |first| match &first["description"] {
                Value::Null => &of["description"],
                said => said,
            });
            put(
                out,
                &format!("<tr><td><code>{}</code>{must}<td>{}<td>{}", escape(member), kind(of), inline(said)),
            );
        }
        put(out, "</table>");
    } else {
        put(out, &format!("<p>{}</p>", kind(schema)));
    }
    put(out, "</section>");
}

/// What a schema is, in a line: another shape by name, or a type with its bounds.
fn kind(schema: &Value) -> String {
    if let Some(shape) = schema["$ref"].as_str().and_then(|at| at.rsplit('/').next()) {
        let shape = escape(shape);
        return format!("<a href=\"#shape-{shape}\">{shape}</a>");
    }
    for (choice, joint) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
        if let Some(all) = schema[choice].as_array() {
            return all.iter().map(kind).collect::<Vec<_>>().join(joint);
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(|it| format!("<code>{}</code>", plain(it))).collect();
        return values.join(" or ");
    }
    if schema["items"].is_object() {
        return format!("list of {}", kind(&schema["items"]));
    }
    let mut is = match &schema["type"] {
        Value::Array(types) => types.iter().map(plain).collect::<Vec<_>>().join(" or "),
        one => plain(one),
    };
    for (rule, said) in [
        ("format", ""),
        ("const", "always "),
        ("minLength", "length ≥ "),
        ("maxLength", "length ≤ "),
        ("minimum", "≥ "),
        ("maximum", "≤ "),
        ("default", "default "),
        ("pattern", "as "),
        ("example", "such as "),
    ] {
        if let Some(value) = schema.get(rule) {
            let _ = write!(is, ", {said}<code>{}</code>", plain(value));
        }
    }
    is
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// Paragraphs, with what stands in backticks as code.
fn prose(value: &Value) -> String {
    let paragraphs = value.as_str().unwrap_or_default().split("\n\n").filter(|it| !it.is_empty());
    paragraphs.map(|it| format!("<p>{}</p>", code(it))).collect()
}

fn inline(value: &Value) -> String {
    code(value.as_str().unwrap_or_default())
}

fn code(prose: &str) -> String {
    let parts = prose.split('`').enumerate();
    parts
        .map(|(n, part)| if n % 2 == 1 { format!("<code>{}</code>", escape(part)) } else { escape(part) })
        .collect()
}

fn first_sentence(escaped: &str) -> &str {
    escaped.find([':', '.']).and_then(|at| escaped.get(..at)).unwrap_or(escaped)
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => escape(text),
        Value::Null => String::new(),
        other => escape(&other.to_string()),
    }
}

fn escape(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    escaped.replace('"', "&quot;").replace('\'', "&#39;")
}

fn put(out: &mut String, html: &str) {
    out.push_str(html);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_document_says_stays_text() {
        let evil = "</style><script>alert('x')</script>\" onload=\"y";
        let shape = json!({"description": evil, "required": [evil], "properties": {evil: {"enum": [evil],
            "description": format!("`{evil}`")}}});
        let call = json!({"operationId": evil, "summary": evil, "description": evil,
            "parameters": [{"name": evil, "in": evil, "description": evil, "schema": {"pattern": evil, "type": evil}}],
            "requestBody": {"content": {evil: {"schema": {"$ref": evil}}}},
            "responses": {evil: {"description": evil, "headers": {evil: {"description": evil}}}}});
        let document = json!({"info": {"title": evil, "version": evil, "description": evil},
            "paths": {evil: {"get": call}}, "components": {"schemas": {evil: shape}}});
        let page = page(&document);
        assert!(
            !page.contains("<script") && !page.contains("onload=\"") && !page.contains("alert('"),
            "{page}"
        );
        assert_eq!(page.matches("</style>").count(), 1);
    }
}
