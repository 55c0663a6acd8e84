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
        "groups_id" | "all_group_ids" => ids(&[1, 6, 7, 19, 23]),
        "api_key_ids" => ids(&[1, 6, 7]),
        "login_date" => Value::text("2026-11-23 16:49:26"),
        _ => EMPTY,
    }
}

/// A group: its id, and its name within its app and without.
pub type Group = (i64, &'static str, &'static str);

/// The groups that a bot may be of.
pub const GROUPS: &[Group] = &[
    (1, "Role / User", "User"),
    (6, "Technical / Access to export feature", "Access to export feature"),
    (7, "Technical / Multi Currencies", "Multi Currencies"),
    (19, "Technical / Show Full Accounting Features - Readonly", "Show Full Accounting Features - Readonly"),
    (21, "Products / Create", "Create"),
    (23, "Accounting / Read-only", "Read-only"),
    (24, "Accounting / Invoicing", "Invoicing"),
    (27, "Accounting / Administrator", "Administrator"),
    (30, "Acme / Robots", "Robots"),
    (31, "Extra Rights / Contact Creation", "Contact Creation"),
];

pub fn group_field(group: &Group, name: &str) -> Value {
    match name {
        "full_name" => Value::text(group.1),
        "name" => Value::text(group.2),
        _ => EMPTY,
    }
}

/// A key of the bot: its id, its name, what else than RPC it is for, and when it ends.
pub type ApiKey = (i64, &'static str, &'static str, &'static str);

/// The keys that the bot has. The first is the one that opens, and ends after all who test with it.
pub const API_KEYS: &[ApiKey] = &[
    (1, "lab key", "", "2097-02-11 16:51:47"),
    (6, "scoped", "odoo.plugin.outlook", "2097-02-11 16:51:47"),
    (7, "expired", "", "2025-01-01 00:00:00"),
];

pub fn api_key_field((_, name, scope, ends): &ApiKey, field: &str) -> Value {
    match field {
        "name" | "display_name" => Value::text(*name),
        "scope" if !scope.is_empty() => Value::text(*scope),
        "user_id" => Value::reference(UID, "Bot"),
        "create_date" => Value::text("2026-11-23 16:51:47"),
        "expiration_date" => Value::text(*ends),
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
