//! Reads `policies/access.toml`, or a file in its place: strictly, since what is misread grants something.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml::Value;

use crate::access::action::{Action, Reach};
use crate::access::conditions::Conditions;
use crate::access::policy::{Grant, ROLES};
use crate::credential::{CredentialKind, ENVIRONMENTS, STATES};

/// The policy says something that this vault does not know, or can't be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRefused {
    /// The file itself.
    #[error("{0}")]
    File(String),
    /// Not TOML.
    #[error("is not TOML: {0}")]
    Form(String),
    /// There is no such role, reach, action, condition or value of one.
    #[error("{place}: there is no {what} {name:?}; there {are}")]
    Unknown {
        /// Where it stands.
        place: String,
        /// What it was to be.
        what: &'static str,
        /// What stands there.
        name: String,
        /// What there is.
        are: String,
    },
    /// A known thing where it can't be.
    #[error("{place}: {rule}")]
    Misplaced {
        /// Where it stands.
        place: String,
        /// The rule.
        rule: String,
    },
}

const MAX_BYTES: u64 = 64 * 1024;
const CONDITIONS: &[&str] = &["kinds", "environments", "states"];

/// The text of a policy's file.
pub(super) fn text_of(file: &Path) -> Result<String, PolicyRefused> {
    let refused = |what: &str| PolicyRefused::File(what.to_owned());
    let io = |e: std::io::Error| refused(&format!("can't be read: {}", e.kind()));
    let opened = std::fs::File::open(file).map_err(io)?;
    let about = opened.metadata().map_err(io)?;
    if !about.is_file() {
        return Err(refused("is no regular file"));
    }
    if about.permissions().mode() & 0o022 != 0 {
        return Err(refused("can be changed by others: chmod go-w it"));
    }
    let mut text = String::new();
    let read = opened.take(MAX_BYTES + 1).read_to_string(&mut text);
    read.map_err(|_| refused("can't be read as UTF-8"))?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= MAX_BYTES) {
        Ok(text)
    } else {
        Err(refused("is larger than 64 KiB"))
    }
}

/// The grants of every role that the text names, in its order.
pub(super) fn parse(text: &str) -> Result<BTreeMap<&'static str, Vec<Grant>>, PolicyRefused> {
    let file: toml::Table =
        text.parse().map_err(|e: toml::de::Error| PolicyRefused::Form(e.message().into()))?;
    let mut roles = BTreeMap::new();
    for (role, lists) in file {
        let role = among("the policy", "role", &role, ROLES.iter().map(|name| (*name, *name)))?;
        let place = format!("role {role}");
        let lists = lists.as_table().ok_or_else(|| misplaced(&place, "must be a table"))?;
        let mut grants = Vec::new();
        for (reach, items) in lists {
            let known =
                among(&place, "reach", reach, Reach::ALL.iter().map(|reach| (reach.as_str(), *reach)))?;
            let place = format!("{place}, {reach}");
            if (known == Reach::Vault) != (role == "operator") {
                return Err(misplaced(&place, "vault is for the operator, who has nothing else"));
            }
            for item in array(&place, items)? {
                grants.extend(grants_of(&place, known, item)?);
            }
        }
        roles.insert(role, grants);
    }
    Ok(roles)
}

fn grants_of(place: &str, reach: Reach, item: &Value) -> Result<Vec<Grant>, PolicyRefused> {
    if let Some(name) = item.as_str() {
        return Ok(vec![Grant { action: action(place, reach, name)?, reach, when: Conditions::default() }]);
    }
    let table =
        item.as_table().ok_or_else(|| misplaced(place, "holds actions, or tables with actions in them"))?;
    let mut when = Conditions::default();
    for (name, value) in table {
        let place = format!("{place}, {name}");
        match name.as_str() {
            "actions" => {}
            "kinds" => {
                let kinds = CredentialKind::ALL.iter().map(|kind| (kind.as_str(), *kind));
                when.kinds = Some(all_among(&place, "kind", value, kinds)?);
            }
            "environments" => {
                let known = ENVIRONMENTS.iter().map(|name| (*name, *name));
                when.environments = Some(all_among(&place, "environment", value, known)?);
            }
            "states" => {
                let known = STATES.iter().map(|name| (*name, *name));
                when.states = Some(all_among(&place, "state", value, known)?);
            }
            other => among(&place, "condition", other, CONDITIONS.iter().map(|name| (*name, ())))?,
        }
    }
    let actions = table.get("actions").ok_or_else(|| misplaced(place, "a table needs actions"))?;
    let actions = texts(&format!("{place}, actions"), actions)?;
    let grant = |name: &str| {
        let action = action(place, reach, name)?;
        if !when.are_none() && !action.takes_conditions() {
            let rule = format!("{name} is about no one connection: it takes no conditions");
            return Err(misplaced(place, &rule));
        }
        // Nothing has a state before it is there.
        if action == Action::Deposit && when.states.is_some() {
            return Err(misplaced(place, "connection.deposit takes no states"));
        }
        Ok(Grant { action, reach, when: when.clone() })
    };
    actions.into_iter().map(grant).collect()
}

fn action(place: &str, reach: Reach, name: &str) -> Result<Action, PolicyRefused> {
    let action = among(place, "action", name, Action::ALL.iter().map(|action| (action.as_str(), *action)))?;
    if action.reaches().contains(&reach) {
        return Ok(action);
    }
    let reaches: Vec<&str> = action.reaches().iter().map(|reach| reach.as_str()).collect();
    Err(misplaced(place, &format!("{name} can be granted as {} alone", reaches.join(" or "))))
}

/// The texts of a list that is not empty.
fn texts<'a>(place: &str, value: &'a Value) -> Result<Vec<&'a str>, PolicyRefused> {
    let items = array(place, value)?;
    if items.is_empty() {
        return Err(misplaced(place, "must not be empty: without it, anything is meant"));
    }
    items.iter().map(|item| item.as_str().ok_or_else(|| misplaced(place, "holds texts alone"))).collect()
}

/// What the texts of a list name, each of it known.
fn all_among<T: Clone>(
    place: &str,
    what: &'static str,
    value: &Value,
    known: impl Iterator<Item = (&'static str, T)> + Clone,
) -> Result<Vec<T>, PolicyRefused> {
    texts(place, value)?.into_iter().map(|name| among(place, what, name, known.clone())).collect()
}

fn array<'a>(place: &str, value: &'a Value) -> Result<&'a [Value], PolicyRefused> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| misplaced(place, "must be a list"))
}

/// What `name` names, of what is known.
fn among<T>(
    place: &str,
    what: &'static str,
    name: &str,
    known: impl Iterator<Item = (&'static str, T)> + Clone,
) -> Result<T, PolicyRefused> {
    if let Some((_, value)) = known.clone().find(|(known, _)| *known == name) {
        return Ok(value);
    }
    let names: Vec<&str> = known.map(|(name, _)| name).collect();
    let (place, name, are) = (place.to_owned(), name.to_owned(), format!("are {}", names.join(", ")));
    Err(PolicyRefused::Unknown { place, what, name, are })
}

fn misplaced(place: &str, rule: &str) -> PolicyRefused {
    PolicyRefused::Misplaced { place: place.to_owned(), rule: rule.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::policy::Policy;

    /// Attack on P5.
    #[test]
    fn what_is_not_known_is_refused_by_role_and_name() {
        for (text, named) in [
            ("[root]\nown_user = []", &["role \"root\"", "backend"][..]),
            ("[worker]\nown_use = []", &["role worker", "reach \"own_use\""]),
            ("worker = []", &["role worker", "table"]),
            ("[worker]\nown_user = \"lease.list\"", &["role worker, own_user", "list"]),
            ("[worker]\nown_user = [1]", &["role worker, own_user"]),
            ("[worker]\nown_user = [\"lease.steal\"]", &["role worker", "action \"lease.steal\""]),
            ("[worker]\nown_user = [\"lease.lend\"]", &["action \"lease.lend\"", "lease.lend.sync"]),
            ("[worker]\nown_org = [\"lease.lend.sync\"]", &["lease.lend.sync", "own_user alone"]),
            ("[owner]\nown_org = [\"connection.deposit\"]", &["connection.deposit", "own_user alone"]),
            ("[auditor]\nown_user = [\"audit.read\"]", &["audit.read", "own_org alone"]),
            ("[owner]\nown_org = [\"keys.list\"]", &["keys.list", "vault alone"]),
            ("[owner]\nvault = [\"keys.list\"]", &["role owner, vault", "operator"]),
            ("[operator]\nown_org = [\"connection.show\"]", &["role operator, own_org", "nothing else"]),
            ("[operator]\nvault = [\"connection.show\"]", &["connection.show", "own_user or own_org"]),
            ("[worker]\nown_user = [{ kinds = [\"password\"] }]", &["needs actions"]),
            ("[worker]\nown_user = [{ actions = [] }]", &["actions", "must not be empty"]),
            (
                "[worker]\nown_user = [{ actions = [\"lease.renew\"], kinds = [] }]",
                &["role worker, own_user, kinds", "must not be empty"],
            ),
            (
                "[worker]\nown_user = [{ actions = [\"lease.renew\"], kinds = [\"passwords\"] }]",
                &["kind \"passwords\"", "api_key"],
            ),
            (
                "[worker]\nown_user = [{ actions = [\"lease.renew\"], environments = [\"prod\"] }]",
                &["environment \"prod\"", "staging"],
            ),
            (
                "[worker]\nown_user = [{ actions = [\"lease.renew\"], states = [\"frozen\"] }]",
                &["state \"frozen\"", "auth_failed"],
            ),
            (
                "[worker]\nown_user = [{ actions = [\"lease.renew\"], kind = [\"password\"] }]",
                &["condition \"kind\"", "kinds"],
            ),
            (
                "[worker]\nown_user = [{ actions = [\"lease.list\"], kinds = [\"password\"] }]",
                &["lease.list", "no conditions"],
            ),
            (
                "[backend]\nown_user = [{ actions = [\"connection.deposit\"], states = [\"active\"] }]",
                &["connection.deposit takes no states"],
            ),
            ("[worker", &["not TOML"]),
        ] {
            let said = Policy::parse(text).err().map(|refused| refused.to_string()).unwrap_or_default();
            assert!(named.iter().all(|named| said.contains(named)), "{text}: {said}");
        }
    }

    #[test]
    fn the_file_is_read_as_it_stands() {
        let text = "[worker]\nown_user = [\"lease.list\", { actions = [\"lease.renew\"], kinds = [\"tunnel\"],\n\
                    environments = [\"staging\"], states = [\"active\"] }]";
        let grants = parse(text).unwrap().remove("worker").unwrap();
        assert_eq!(grants.len(), 2);
        assert_eq!((grants[0].action, grants[0].when.are_none()), (Action::ListLeases, true));
        let when = &grants[1].when;
        assert_eq!(when.kinds.as_deref(), Some(&[CredentialKind::parse("tunnel").unwrap()][..]));
        assert_eq!(when.environments.as_deref(), Some(&["staging"][..]));
        assert_eq!(when.states.as_deref(), Some(&["active"][..]));
    }
}
