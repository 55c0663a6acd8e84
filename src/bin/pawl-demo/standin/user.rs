//! The bot: what its own user record says, its context, and what it may do, which is to read.

use super::LOGIN;
use super::refusal::Refusal;
use super::wire::{EMPTY, Value};

/// Its id.
pub const UID: i64 = 10;

/// What the record says; a password reads as an empty text.
pub fn field(name: &str) -> Value {
    let ids = |ids: &[i64]| Value::List(ids.iter().copied().map(Value::Int).collect());
    match name {
        "name" | "display_name" => Value::text("Bot"),
        "login" => Value::text(LOGIN),
        "password" => Value::text(""),
        "lang" => Value::text("en_US"),
        "tz" => Value::text("UTC"),
        "active" => Value::Bool(true),
        "company_id" => Value::reference(1, "My Company"),
        "company_ids" => ids(&[1]),
        "group_ids" => ids(&[1, 23]),
        "all_group_ids" => ids(&[1, 6, 7, 19, 23]),
        "api_key_ids" => ids(&[1, 6, 7]),
        "login_date" => Value::text("2026-11-23 16:49:26"),
        _ => EMPTY,
    }
}

/// What other makers' clients send along with every call.
pub fn context() -> Value {
    Value::structure([("lang", Value::text("en_US")), ("tz", Value::text("UTC")), ("uid", Value::Int(UID))])
}

/// Whether it is of a group.
pub fn has_group(group: &str) -> Value {
    Value::Bool(["base.group_user", "account.group_account_readonly"].contains(&group))
}

/// Languages other than those that are installed are refused.
pub fn check_language(context: Option<&Value>) -> Result<(), Refusal> {
    match context.and_then(|context| context.member("lang")).and_then(Value::as_text) {
        None | Some("en_US" | "fr_FR") => Ok(()),
        Some(other) => Err(Refusal::user(format!("Invalid language code: {other}"))),
    }
}
