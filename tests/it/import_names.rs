//! What `pawl import` knows a source and its rows by: however they are spelled, the same table is the same.

use std::process::Output;

use crate::harness::Vault;
use crate::import_source::{KINDS, Kind, Row, Table, counts, row, token, told};

fn forget(vault: &Vault, username: &str) {
    let id =
        vault.home.sql().texts("id", &format!("FROM connections WHERE username = '{username}'")).remove(0);
    let backend = vault.token("acme", "ada", "backend");
    assert_eq!(vault.call("DELETE", &format!("/v1/connections/{id}"), &backend, None).status, 204);
}

/// Attack on P8: what was forgotten, brought back by another spelling of the same table.
#[test]
fn another_spelling_of_a_table_is_no_way_back() {
    let good = token("s");
    let rows = [row("1", "ada", &good), row("2", "ada", &good)];
    for kind in KINDS.iter().filter(|kind| **kind != Kind::Csv) {
        let vault = Vault::start();
        let mut table = Table::new(&vault.home, *kind, &rows);
        assert_eq!(counts(&table.import(&vault.home, &[])), [2, 0, 0, 0, 0]);
        forget(&vault, "bot-2");
        let known = vault.home.sql().texts("min(source)", "FROM imports GROUP BY source ORDER BY source");
        let (place, name) = (table.from[1].clone(), table.from[3].clone());
        let spellings = match kind {
            Kind::Sqlite => {
                std::os::unix::fs::symlink(vault.home.path(), vault.home.path().join("link")).unwrap();
                let linked = place.replace("shop.db", "link/shop.db");
                vec![
                    (place.clone(), name.to_uppercase()),
                    (place.clone(), format!("main.{name}")),
                    (place.clone(), "MAIN.Odoo_Credentials".into()),
                    (linked, name.clone()),
                ]
            }
            _ => {
                let (rest, last) = place.split_at(place.len() - 1);
                let escaped = format!("{rest}%{:02x}", last.as_bytes()[0]);
                vec![
                    (place.clone(), format!("public.{name}")),
                    (escaped, name.clone()),
                    (place.replace("postgres:", "postgresql:"), name.clone()),
                ]
            }
        };
        for (place, name) in spellings {
            table.from[1] = place;
            table.from[3] = name;
            let output = table.import(&vault.home, &[]);
            let wanted = ((0, vec![]), [0, 1, 1, 0, 0]);
            assert_eq!((told(&output), counts(&output)), wanted, "{:?}", table.from);
        }
        assert_eq!(
            vault.home.sql().texts("min(source)", "FROM imports GROUP BY source ORDER BY source"),
            known
        );
    }
}

/// Attack on P8: the same table at another place, where nobody says what it is.
#[test]
fn a_name_that_nobody_told_is_refused_where_the_ledger_knows_others() {
    let vault = Vault::start();
    let good = token("s");
    let rows = [row("1", "ada", &good), row("2", "ada", &good)];
    let mut table = Table::new(&vault.home, Kind::Sqlite, &rows);
    assert_eq!(counts(&table.import(&vault.home, &[])), [2, 0, 0, 0, 0]);
    forget(&vault, "bot-2");
    let known =
        vault.home.sql().texts("min(source)", "FROM imports GROUP BY source ORDER BY source").remove(0);
    std::fs::copy(vault.home.path().join("shop.db"), vault.home.path().join("moved.db")).unwrap();
    table.from[1] = table.from[1].replace("shop.db", "moved.db");
    for dry in [true, false] {
        let (code, said) = told(&table.import(&vault.home, if dry { &["--dry-run"] } else { &[] }));
        assert!(
            code == 1 && said[0].contains(&format!("but of {known}: say with --source NAME")),
            "{said:?}"
        );
    }
    assert_eq!(vault.home.sql().count("connections"), 1);
    let output = table.import(&vault.home, &["--source", &known]);
    assert_eq!((told(&output), counts(&output)), ((0, vec![]), [0, 1, 1, 0, 0]));
    // What is told is believed.
    let output: Output = table.import(&vault.home, &["--source", "another"]);
    assert_eq!(counts(&output), [1, 0, 0, 1, 0]);
}

/// Attack on P8: an id that came in, given to another row, passes for what came in.
#[test]
fn an_id_that_names_another_row_is_refused_at_every_run() {
    let vault = Vault::start();
    let good = token("s");
    let with = |id: &str, at: usize, value: &str| {
        let mut row = row(id, "ada", &good);
        row[at] = Some(value.into());
        row
    };
    let rows: Vec<Row> = (1..=7).map(|id| row(&id.to_string(), "ada", &good)).collect();
    Table::new(&vault.home, Kind::Csv, &rows).import(&vault.home, &[]);
    forget(&vault, "bot-6");
    let rows = [
        with("1", 1, "eve"),
        with("2", 2, "https://other.odoo.com"),
        with("3", 3, "other"),
        with("4", 4, "bot-1"),
        with("5", 2, "https://ACME.odoo.com/"),
        with("6", 4, "bot-8"),
        with("7", 5, "no token"),
    ];
    let table = Table::new(&vault.home, Kind::Csv, &rows);
    let wanted = |id| format!("id {id} left: id same_row: id names another row than the one that came in");
    for more in [&["--dry-run"][..], &[], &[]] {
        let output = table.import(&vault.home, more);
        let wanted: Vec<String> = (1..=4).map(wanted).collect();
        assert_eq!((told(&output), counts(&output)), ((3, wanted), [0, 2, 1, 0, 4]));
    }
    assert_eq!(vault.home.sql().count("connections"), 6);
}
