//! What a user may do in an Odoo beside reading, as far as reading alone shows it: by the groups that it is of. Who is of
//! one that is known to write, writes; who is of groups alone that are known not to, reads; of all others nobody knows.

use crate::credential::Rights;
use crate::odoo::client::Odoo;
use crate::odoo::fault::OdooError;
use crate::odoo::finding::Code;
use crate::odoo::query::ReadQuery;
use crate::odoo::readable::{CheckOnly, Fields};
use crate::odoo::record::{Cell, Record};
use crate::odoo::text::Text;

/// The first version in which a user's groups have the name `all_group_ids`.
const GROUPS_RENAMED: u8 = 19;
/// More groups than any Odoo has.
const MOST_GROUPS: usize = 1_000;

/// What the groups that can't write are called in Odoo 14 to 19, in English; whole names.
const READERS: &[&str] = &[
    "Role / User",
    "Role / Portal",
    "Role / Public",
    "User types / Internal User",
    "User types / Portal",
    "User types / Public",
    "Accounting / Read-only",
    "Accounting / Auditor",
    "Invoicing / Read-only",
    "Technical / Show Full Accounting Features - Readonly",
    "Technical / Show Accounting Features - Readonly",
    "Technical / Access to export feature",
    "Technical / Multi Currencies",
    "Technical / Multi Companies",
    "Extra Rights / Access to export feature",
    "Extra Rights / Multi Currencies",
    "Extra Rights / Multi Companies",
    "Extra Rights / Technical Features",
];

/// How the names of groups end that write, whatever the app is called.
const WRITERS: &[&str] = &[
    "/ Access Rights",
    "/ Accountant",
    "/ Administrator",
    "/ Advisor",
    "/ Billing",
    "/ Billing Administrator",
    "/ Billing Manager",
    "/ Bookkeeper",
    "/ Contact Creation",
    "/ Create",
    "/ Creation",
    "/ Editor",
    "/ Invoicing",
    "/ Invoicing & Banks",
    "/ Manager",
    "/ Officer",
    "/ Settings",
    "/ Show Accounting Features",
    "/ Show Full Accounting Features",
    "/ User",
    "/ User: All Documents",
    "/ User: Own Documents Only",
    "/ Validate bank account",
];

/// What the user of `odoo` may do, and what of it is to be said.
pub(super) async fn rights(odoo: &Odoo, checks: &CheckOnly) -> Result<(Rights, Vec<Code>), OdooError> {
    let reads_rights = reads_rights(odoo, checks).await?;
    let by_groups = by_groups(odoo, checks).await?;
    let mut codes = Vec::new();
    if reads_rights {
        codes.push(Code::ReadsRights);
    }
    match by_groups {
        Rights::Writer => codes.push(Code::MayWrite),
        Rights::Unknown if !reads_rights => codes.push(Code::RightsUnknown),
        Rights::Unknown | Rights::Reader => {}
    }
    // Odoo lets those read its rights alone who may give themselves any.
    Ok((if reads_rights { Rights::Writer } else { by_groups }, codes))
}

async fn reads_rights(odoo: &Odoo, checks: &CheckOnly) -> Result<bool, OdooError> {
    match odoo.fetch(&super::diagnose::first_of(named(checks, "ir.model.access", "name")?)).await {
        Ok(_) => Ok(true),
        Err(OdooError::NotAllowed) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn by_groups(odoo: &Odoo, checks: &CheckOnly) -> Result<Rights, OdooError> {
    let groups = if odoo.version().major() < GROUPS_RENAMED { "groups_id" } else { "all_group_ids" };
    let own = ReadQuery::Read { ids: vec![odoo.uid()], fields: named(checks, "res.users", groups)? };
    let of = odoo.fetch(&own).await?.into_iter().find(|user| user.id == odoo.uid());
    let ids = match of.and_then(|user| user.cells.into_iter().next()) {
        Some(Cell::Ids(ids)) if !ids.is_empty() && ids.len() <= MOST_GROUPS => ids,
        _ => return Ok(Rights::Unknown),
    };
    let count = ids.len();
    let groups = ReadQuery::Read { ids, fields: named(checks, "res.groups", "full_name")? };
    let groups = odoo.fetch(&groups).await?;
    // Odoo leaves out in silence what is not there or not to be seen.
    Ok(judge(&groups, groups.len() == count))
}

fn named(checks: &CheckOnly, model: &str, field: &str) -> Result<Fields, OdooError> {
    let model = checks.model(model).map_err(|_| OdooError::QueryRefused)?;
    model.fields(&[field]).map_err(|_| OdooError::QueryRefused)
}

fn judge(groups: &[Record], are_all: bool) -> Rights {
    let name = |group: &Record| match group.cells.first() {
        Some(Cell::Text(name)) => name.clone(),
        _ => Text::default(),
    };
    let names: Vec<Text> = groups.iter().map(name).collect();
    let reads = |name: &Text| READERS.contains(&name.as_str());
    if names.iter().any(|name| !reads(name) && WRITERS.iter().any(|end| name.ends_with(end))) {
        Rights::Writer
    } else if are_all && names.iter().all(reads) {
        Rights::Reader
    } else {
        Rights::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str], are_all: bool) -> Rights {
        let group = |(id, name): (i64, &&str)| Record { id, cells: vec![Cell::Text((*name).into())] };
        judge(&(1..).zip(names).map(group).collect::<Vec<_>>(), are_all)
    }

    #[test]
    fn who_is_of_no_group_that_is_known_not_to_write_alone_is_no_reader() {
        use Rights::{Reader, Unknown, Writer};
        for (names, rights) in [
            (&["Role / User", "Accounting / Read-only"][..], Reader),
            (&["User types / Internal User", "Extra Rights / Multi Currencies"], Reader),
            (&["Role / User", "Accounting / Invoicing"], Writer),
            (&["Role / User", "Sales / User: Own Documents Only"], Writer),
            (&["Role / User", "Sales / User: All Documents"], Writer),
            (&["Role / User", "Inventory / User"], Writer),
            (&["Role / User", "Contact / Creation"], Writer),
            (&["Role / User", "Extra Rights / Contact Creation"], Writer),
            (&["Role / User", "Products / Create"], Writer),
            (&["User types / Internal User", "Administration / Settings"], Writer),
            (&["Role / User", "Technical / Show Full Accounting Features"], Writer),
            (&["Role / User", "Acme / Robots"], Unknown),
            (&["Role / User", "Acme / Robots", "Accounting / Billing"], Writer),
            (&["Rôle / Utilisateur"], Unknown),
            (&["role / user"], Unknown),
            (&["Role / User", ""], Unknown),
            (&["Accounting / Read-only / Manager"], Writer),
        ] {
            assert_eq!(of(names, true), rights, "{names:?}");
        }
        assert_eq!(of(&["Role / User"], false), Unknown, "one was kept back");
        assert_eq!(of(&["Accounting / Invoicing"], false), Writer);
    }

    #[test]
    fn each_name_is_of_one_kind() {
        for reader in READERS {
            let ends: Vec<_> = WRITERS.iter().filter(|end| reader.ends_with(**end)).collect();
            assert!(ends.is_empty() || *reader == "Role / User", "{reader}: {ends:?}");
        }
        assert!(READERS.iter().chain(WRITERS).all(|name| name.contains("/ ")));
    }
}
