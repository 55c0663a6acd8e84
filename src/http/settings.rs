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
    operation_id = "change_settings", security(("bearer" = ["settings.freeze", "settings.unfreeze", "settings.retention"])),
    params(IdempotencyKey),
    request_body = ChangeSettingsBody,
    responses((status = 200, body = SettingsView, description = "The settings.")))]
pub(super) async fn change(
    state: web::Data<State>,
    By(actor): By,
    Once(body, repeat): Once<ChangeSettingsBody>,
) -> Result<HttpResponse, Problem> {
    let change =
        ChangeSettings { frozen: body.frozen, retention_days: body.audit_retention_days.map(|days| days.0) };
    let settings = state.vault.change_settings(&actor, change, repeat).await?;
    Ok(HttpResponse::Ok().json(SettingsView::from(settings)))
}
