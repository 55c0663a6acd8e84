//! What an owner sets for the whole org: whether anything of it is lent, or used by injection alone, and how long its
//! trail is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::access::{Action, Scope};
use crate::audit::{Actor, AuditEvent, Outcome, Subject};
use crate::clock::Moment;
use crate::egress::AllowedHosts;
use crate::error::{Error, FieldError};
use crate::odoo::{Narrowed, NotNarrower, Readable};
use crate::store::{Injection, Retention, Tx};
use crate::vault::{DEADLINE, KeyedRequest, Vault, repeat};

/// What an org can set, as it is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is the org's own.
    pub org: OrgSettings,
    /// Whether the whole vault is frozen, or this host.
    pub is_vault_frozen: bool,
}

/// What an org has set. Kept as the answer to a change that comes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgSettings {
    /// Since when the org is frozen.
    pub frozen_at: Option<Moment>,
    /// For how many days its events are kept.
    pub retention_days: i64,
    /// For how many, from when on.
    pub next_retention: Option<(i64, Moment)>,
    /// The hosts that may be called; any public one when it is none.
    #[serde(default)]
    pub allowed_hosts: Option<Vec<String>>,
    /// How its credentials are used.
    #[serde(default)]
    pub injection: Injection,
}

/// What is to change; what is not named stays.
#[derive(Default)]
pub struct ChangeSettings {
    /// Whether the org is frozen.
    pub frozen: Option<bool>,
    /// For how many days its events are to be kept: 90 to 36,500.
    pub retention_days: Option<i64>,
    /// Which hosts may be called, as they were sent; any public one when that is `None`.
    pub allowed_hosts: Option<Option<Vec<String>>>,
    /// Whether its credentials of Odoo are used by injection alone.
    pub injection_only: Option<bool>,
    /// Whether those are lent too whose user can do more than read.
    pub lend_to_writers: Option<bool>,
    /// Which part of the readable policy may be read; all of it when that is `None`.
    pub readable: Option<Option<Narrowed>>,
}

impl ChangeSettings {
    /// The list of hosts, held to its rules.
    fn hosts(&self) -> Result<Option<Option<AllowedHosts>>, Error> {
        let Some(list) = &self.allowed_hosts else { return Ok(None) };
        let list = list.as_deref().map(AllowedHosts::parse).transpose();
        let list = list.map_err(|wrong| {
            let at = wrong.at.map_or_else(String::new, |at| format!("[{at}]"));
            FieldError::new(&format!("allowed_hosts{at}"), wrong.rule, wrong.detail)
        })?;
        Ok(Some(list))
    }

    /// What it changes of how credentials are used, as the trail tells it.
    fn injection(&self) -> Vec<(&'static str, String)> {
        let only = self.injection_only.map(|is| ("injection_only", is.to_string()));
        let to_writers = self.lend_to_writers.map(|is| ("lend_to_writers", is.to_string()));
        let readable = self.readable.as_ref().map(|part| {
            let of_model = |(model, fields): (&String, &Vec<String>)| format!("{model}:{}", fields.join(","));
            let told = part.as_ref().map(|part| part.iter().map(of_model).collect::<Vec<_>>().join(" "));
            ("readable", told.unwrap_or_else(|| "all".to_owned()))
        });
        only.into_iter().chain(to_writers).chain(readable).collect()
    }

    /// Whether a loan that was granted before might not be after it.
    fn lends_less(&self) -> bool {
        self.frozen == Some(true)
            || self.injection_only == Some(true)
            || self.lend_to_writers == Some(false)
            || matches!(self.allowed_hosts, Some(Some(_)))
    }

    /// `now` with what is named changed.
    fn of_injection(&self, now: Injection) -> Result<Injection, Error> {
        let readable = match &self.readable {
            None => now.readable,
            Some(None) => None,
            Some(Some(part)) => {
                Some(serde_json::to_string(part).map_err(|_| Error::Damaged("org_settings"))?)
            }
        };
        Ok(Injection {
            only: self.injection_only.unwrap_or(now.only),
            lend_to_writers: self.lend_to_writers.unwrap_or(now.lend_to_writers),
            readable,
        })
    }
}

/// A part of a change, with what is told of it.
type Changed = (Action, Vec<(&'static str, String)>);

const LATE: &str = "it is changed, but what was under way has not ended";
const RETENTION_DAYS: std::ops::RangeInclusive<i64> = 90..=36_500;

impl Vault {
    /// The caller's org's settings.
    pub async fn settings(&self, actor: &Actor) -> Result<Settings, Error> {
        let scope = self.allow(actor, Action::ReadSettings).await?;
        let at = self.clock.now();
        let found = self.store.view("show settings", scope, DEADLINE, move |tx| find(tx, at)).await?;
        Ok(self.with_host(found))
    }

    /// Changes them, all that is named or nothing. A freeze ends what is under way of the org before it is answered.
    pub async fn change_settings(
        &self,
        actor: &Actor,
        change: ChangeSettings,
        again: Option<KeyedRequest>,
    ) -> Result<Settings, Error> {
        check(&change, &self.readable)?;
        let hosts = change.hosts()?;
        let (actions, scope) = self.allow_change(actor, &change, hosts.as_ref()).await?;
        // what is being read was judged by the settings from before
        let is_reads = hosts.is_some() || !change.injection().is_empty();
        let lends_less = change.lends_less();
        let (at, change) = (self.clock.now(), Arc::new(change));
        let found = self.with_ring(async |held| {
            let (actor, actions, again) = (actor.clone(), actions.clone(), held.marked(again.as_ref()));
            let (asked, hosts) = (change.clone(), hosts.clone());
            let ChangeSettings { frozen, retention_days, .. } = *asked;
            let change = move |tx: &mut Tx| {
                if let Some(first) = repeat::find(tx, &held, &actor, again.as_ref(), at)? {
                    let answer = first.answer.ok_or(Error::KeyReused)?;
                    let org =
                        serde_json::from_str(&answer).map_err(|_| Error::Damaged("idempotency_keys"))?;
                    return Ok(Settings { org, ..find(tx, at)? });
                }
                let before = find(tx, at)?.org;
                if let Some(is_frozen) = frozen {
                    tx.set_frozen(is_frozen, at)?;
                }
                if let Some(days) = retention_days {
                    let asked = tx.find_retention(at)?.asked(days, at);
                    tx.set_retention(asked, at)?;
                }
                if let Some(hosts) = &hosts {
                    tx.set_allowed_hosts(hosts.as_ref(), at)?;
                }
                if !asked.injection().is_empty() {
                    let injection = asked.of_injection(tx.find_injection()?)?;
                    tx.set_injection(&injection, at)?;
                }
                let found = find(tx, at)?;
                let is_tighter = found.org.is_tighter_than(&before)?;
                for (action, more) in &actions {
                    let more: Vec<_> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
                    let event =
                        AuditEvent::of_with(&actor, *action, (Subject::default(), &more), Outcome::Done, at)?;
                    match action {
                        // Asked for again and again, it is told for as long as there is room, and never refused.
                        Action::Freeze if before.frozen_at.is_some() && !tx.has_quota(at)? => {}
                        Action::Freeze => tx.append_past_quota(&event)?,
                        Action::ChangeHosts | Action::ChangeInjection if is_tighter => {
                            tx.append_past_quota(&event)?;
                        }
                        _ => tx.append(&event)?,
                    }
                }
                let answer = serde_json::to_string(&found.org).map_err(|_| Error::Damaged("org_settings"))?;
                repeat::keep_settings(tx, &actor, again.as_ref(), answer, at)?;
                Ok::<_, Error>(found)
            };
            let (checks, gates, org) = (self.checks.clone(), self.gates.clone(), scope.org().clone());
            let injections = self.injections.clone();
            let (is_late, late) = (Arc::new(AtomicBool::new(false)), Error::Unavailable(LATE.into()));
            let has_ended = is_late.clone();
            let after = async move {
                if frozen != Some(true) && !is_reads {
                    return;
                }
                let ended = async {
                    injections.stop_of(&org).await;
                    if frozen == Some(true) {
                        checks.stop_of(&org).await;
                    }
                    if lends_less {
                        gates.close_behind_org(&org).await;
                    }
                };
                has_ended.store(tokio::time::timeout(DEADLINE, ended).await.is_err(), Ordering::SeqCst);
            };
            let always: fn(&Settings) -> bool = |_| true;
            let after = (always, after);
            let found =
                self.store.run_then("change settings", scope.clone(), DEADLINE, change, after).await?;
            if is_late.load(Ordering::SeqCst) { Err(late) } else { Ok(found) }
        });
        Ok(self.with_host(found.await?))
    }

    /// Leave for each part of the change, with what is told of it, and the scope that all of them have.
    async fn allow_change(
        &self,
        actor: &Actor,
        change: &ChangeSettings,
        hosts: Option<&Option<AllowedHosts>>,
    ) -> Result<(Vec<Changed>, Scope), Error> {
        let frozen = change.frozen.map(|is_frozen| {
            let action = if is_frozen { Action::Freeze } else { Action::Unfreeze };
            (action, Vec::new())
        });
        let kept =
            change.retention_days.map(|days| (Action::ChangeRetention, vec![("days", days.to_string())]));
        let called = hosts.map(|hosts| {
            let told = hosts.as_ref().map_or_else(|| "any".to_owned(), |hosts| hosts.entries().join(" "));
            (Action::ChangeHosts, vec![("hosts", told)])
        });
        let used = Some(change.injection()).filter(|more| !more.is_empty());
        let used = used.map(|more| (Action::ChangeInjection, more));
        let actions: Vec<Changed> = frozen.into_iter().chain(kept).chain(called).chain(used).collect();
        let mut scope = None;
        for (action, _) in &actions {
            scope = Some(self.allow(actor, *action).await?);
        }
        Ok((actions, scope.ok_or_else(nothing_named)?))
    }

    fn with_host(&self, found: Settings) -> Settings {
        Settings { is_vault_frozen: found.is_vault_frozen || self.switch.is_frozen(), ..found }
    }
}

fn find(tx: &mut Tx, at: Moment) -> Result<Settings, Error> {
    let frozen = tx.find_frozen()?;
    let Retention { days, next } = tx.find_retention(at)?;
    let injection = tx.find_injection()?;
    let allowed_hosts = tx.find_allowed_hosts()?.map(|hosts| hosts.entries().to_vec());
    let (frozen_at, next_retention) = (frozen.org, next);
    let org = OrgSettings { frozen_at, retention_days: days, next_retention, allowed_hosts, injection };
    Ok(Settings { org, is_vault_frozen: frozen.vault.is_some() })
}

fn check(change: &ChangeSettings, readable: &Readable) -> Result<(), Error> {
    if let Some(Some(part)) = &change.readable {
        let wrong = readable.takes(part).err().unwrap_or_default();
        if !wrong.is_empty() {
            return Err(Error::Invalid(wrong.iter().map(of_part).collect()));
        }
    }
    match change {
        ChangeSettings { frozen: None, retention_days: None, allowed_hosts: None, .. }
            if change.injection().is_empty() =>
        {
            Err(nothing_named())
        }
        ChangeSettings { retention_days: Some(days), .. } if !RETENTION_DAYS.contains(days) => {
            Err(FieldError::new("audit_retention_days", "range", "must be from 90 to 36500").into())
        }
        ChangeSettings { .. } => Ok(()),
    }
}

/// The model is named only where it is one of the policy's: nothing that was sent is quoted.
fn of_part(wrong: &NotNarrower) -> FieldError {
    let (field, detail) = match (wrong.field, wrong.rule) {
        (Some(n), "once") => (format!("readable.{}[{n}]", wrong.model), "must be named once"),
        (Some(n), _) => {
            (format!("readable.{}[{n}]", wrong.model), "must be a field that the policy lets be read")
        }
        (None, "not_empty") => (format!("readable.{}", wrong.model), "must name a field"),
        (None, _) => ("readable".to_owned(), "must name models that the policy lets be read"),
    };
    FieldError::new(&field, wrong.rule, detail)
}

fn nothing_named() -> Error {
    FieldError::new("body", "not_empty", "must name a setting").into()
}
