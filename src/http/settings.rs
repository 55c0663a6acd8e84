//! `/v1/org/settings`: what an owner sets for the whole org.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Moment;
use crate::http::State;
use crate::http::connections::named;
use crate::http::extract::{By, Once};
use crate::http::problem::Problem;
use crate::http::shapes::IdempotencyKey;
use crate::http::whole::Whole;
use crate::odoo::Narrowed;
use crate::vault::{ChangeSettings, Settings};

/// What is to change of the org's settings; what is not named stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChangeSettings, min_properties = 1)]
pub struct ChangeSettingsBody {
    /// Whether nothing of the org is lent, checked or deposited.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = bool, required = false)]
    frozen: Option<bool>,
    /// For how many days the org's audit events are kept, from 90 on. A shorter time than now counts only when the
    /// time that is promised now is over.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = i64, required = false, minimum = 90, maximum = 36500)]
    audit_retention_days: Option<Whole<i64>>,
    /// The hosts that may be called, and that a deposit may name: host names, addresses, and `*.suffix` for every name
    /// below one; null for any public host.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<Vec<String>>, required = false, min_items = 1, max_items = 100)]
    allowed_hosts: Option<Option<Vec<String>>>,
    /// Whether credentials of Odoo are used by injection alone: then they are not lent, and no lease is renewed.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = bool, required = false)]
    injection_only: Option<bool>,
    /// Whether a credential is lent too whose user, as a check found, can do more than read.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = bool, required = false)]
    lend_to_writers: Option<bool>,
    /// The models, and of each the fields, that may be read by injection: a part of policies/odoo-readable.toml; null for
    /// all of it.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<BTreeMap<String, Vec<String>>>)]
    readable: Option<Option<Narrowed>>,
}

/// The org's settings.
#[derive(Serialize, ToSchema)]
#[schema(as = Settings)]
pub struct SettingsView {
    frozen: bool,
    #[schema(value_type = Option<Moment>, required = true)]
    frozen_at: Option<String>,
    /// Whether the whole vault is frozen, whatever this org says.
    vault_frozen: bool,
    /// For how many days the org's audit events are kept.
    #[schema(minimum = 90, maximum = 36500)]
    audit_retention_days: i64,
    /// The shorter time that was asked for.
    #[schema(required = true)]
    next_audit_retention: Option<NextRetention>,
    /// The hosts that may be called, each in its normal form; null when any public one may.
    #[schema(required = true)]
    allowed_hosts: Option<Vec<String>>,
    /// Whether credentials of Odoo are used by injection alone.
    injection_only: bool,
    /// Whether a credential is lent too whose user can do more than read.
    lend_to_writers: bool,
    /// The part of the readable policy that may be read by injection; null when it is all of it.
    #[schema(value_type = Option<BTreeMap<String, Vec<String>>>, required = true)]
    readable: Option<Narrowed>,
}

/// A retention that does not count yet.
#[derive(Serialize, ToSchema)]
pub struct NextRetention {
    #[schema(minimum = 90, maximum = 36500)]
    days: i64,
    /// From when on it counts.
    #[schema(value_type = Moment)]
    from: String,
}

impl From<Settings> for SettingsView {
    fn from(settings: Settings) -> Self {
        Self {
            frozen: settings.org.frozen_at.is_some(),
            frozen_at: settings.org.frozen_at.map(|at| at.to_string()),
            vault_frozen: settings.is_vault_frozen,
            audit_retention_days: settings.org.retention_days,
            next_audit_retention: settings
                .org
                .next_retention
                .map(|(days, from)| NextRetention { days, from: from.to_string() }),
            allowed_hosts: settings.org.allowed_hosts,
            injection_only: settings.org.injection.only,
            lend_to_writers: settings.org.injection.lend_to_writers,
            readable: settings.org.injection.readable.and_then(|part| serde_json::from_str(&part).ok()),
        }
    }
}

/// Show the org's settings.
#[utoipa::path(get, path = "/v1/org/settings",
    operation_id = "show_settings", security(("bearer" = ["settings.read"])),
    responses((status = 200, body = SettingsView, description = "The settings.")))]
pub(super) async fn show(state: web::Data<State>, By(actor): By) -> Result<HttpResponse, Problem> {
    let settings = state.vault.settings(&actor).await?;
    Ok(HttpResponse::Ok().json(SettingsView::from(settings)))
}

/// Change the org's settings; what is not named stays. Once `frozen` is answered, nothing of the org is lent,
/// renewed, checked or deposited, its open leases have ended, and no loan of it is on its way.
#[utoipa::path(put, path = "/v1/org/settings",
    operation_id = "change_settings", security(("bearer" = ["settings.freeze", "settings.unfreeze", "settings.retention", "settings.hosts", "settings.injection"])),
    params(IdempotencyKey),
    request_body = ChangeSettingsBody,
    responses((status = 200, body = SettingsView, description = "The settings.")))]
pub(super) async fn change(
    state: web::Data<State>,
    By(actor): By,
    Once(body, repeat): Once<ChangeSettingsBody>,
) -> Result<HttpResponse, Problem> {
    let change = ChangeSettings {
        frozen: body.frozen,
        retention_days: body.audit_retention_days.map(|days| days.0),
        allowed_hosts: body.allowed_hosts,
        injection_only: body.injection_only,
        lend_to_writers: body.lend_to_writers,
        readable: body.readable,
    };
    let settings = state.vault.change_settings(&actor, change, repeat).await?;
    Ok(HttpResponse::Ok().json(SettingsView::from(settings)))
}
