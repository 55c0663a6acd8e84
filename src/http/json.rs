//! What is wrong with a JSON body, in the API's words: members by their names, values never.

use serde::de::DeserializeOwned;

use crate::error::FieldError;
use crate::http::object::Object;
use crate::http::problem::{Kind, Problem};

/// What `body` says, an object and nothing behind it.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let Object(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        of_serde(path, error.inner())
    })?;
    reader.end().map_err(|_| Problem::new(Kind::Malformed, "there is more after the JSON value"))?;
    Ok(value)
}

/// serde's messages quote values; only the names of our own members and of unknown ones are taken
/// out of them.
fn of_serde(path: String, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::new(Kind::Malformed, "the body is not JSON");
    }
    let message = error.to_string();
    let named = message.split('`').nth(1).unwrap_or_default();
    let below = |name: &str| match path.as_str() {
        "." => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    let wrong = if message.starts_with("unknown field") {
        // The path ends in the unknown name already.
        unknown(if path == "." { named } else { &path })
    } else if message.starts_with("missing field") {
        FieldError::new(&below(named), "required", "is required")
    } else if message.starts_with("duplicate field") {
        FieldError::new(if path == "." { named } else { &path }, "once", "must be given once")
    } else {
        let whole = if path == "." { "body" } else { &path };
        FieldError::new(whole, "type", "is of the wrong JSON type")
    };
    Problem::invalid(vec![wrong])
}

pub(super) fn unknown(name: &str) -> FieldError {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    FieldError::new(&shown, "unknown_field", "is no member that this call takes")
}
