//! `pawl import`: from each source into either database, once and for good; every row that is left is named.

use serde_json::{Value, json};

use crate::harness::{Vault, deposit};
use crate::import_source::{KINDS, Kind, Row, Table, counts, key, key_file, row, token, tokens, told};

/// Everything that an import may change, as text.
fn kept(vault: &Vault) -> String {
    let mut sql = vault.home.sql();
    let mut kept = String::new();
    for (row, table) in [
        ("id || sealed || key_id || user_id || org_id || updated_at", "connections"),
        ("org_id || source || source_id || connection_id || imported_at", "imports"),
        ("org_id || seq || event", "audit_events WHERE org_id <> ''"),
    ] {
        kept.push_str(&sql.texts(row, &format!("FROM {table} ORDER BY 1")).join("\n"));
    }
    kept
}

fn connection_of(vault: &Vault, username: &str) -> String {
    vault.home.sql().texts("id", &format!("FROM connections WHERE username = '{username}'")).remove(0)
}

fn forget(vault: &Vault, user: &str, id: &str) {
    let backend = vault.token("acme", user, "backend");
    assert_eq!(vault.call("DELETE", &format!("/v1/connections/{id}"), &backend, None).status, 204);
}

/// Attack on P8: a second import, to bring back what was forgotten.
#[test]
fn each_source_comes_in_once_and_what_was_forgotten_stays_so() {
    let both = [key('b'), key('a')];
    let made = tokens(&[
        json!({"keys": [key('a')], "plain": "ключ 🔑"}),
        json!({"keys": [key('b'), key('a')], "plain": "of a MultiFernet"}),
        json!({"keys": [key('a')], "plain": "from the future", "at": 9_999_999_999_u64}),
        json!({"keys": [key('a')], "plain": "x".repeat(4096)}),
    ]);
    let plain = ["ключ 🔑", "of a MultiFernet", "from the future", &"x".repeat(4096)];
    let ids = ["1", "42", "9007199254740993", "4"];
    let rows: Vec<Row> = ids.iter().zip(&made).map(|(id, token)| row(id, "ada", token)).collect();
    for kind in KINDS {
        let vault = Vault::start();
        let table = Table::typed(&vault.home, *kind, "BIGINT", "TEXT", &rows);
        let import = || table.command(&vault.home, &both.join(" ,\n"), &[]).output().unwrap();
        let first = import();
        assert_eq!((told(&first), counts(&first)), ((0, vec![]), [4, 0, 0, 0, 0]), "{kind:?}");
        for (id, plain) in ids.iter().zip(plain) {
            let id = connection_of(&vault, &format!("bot-{id}"));
            let loan = vault.lend(&id, &json!({"purpose": "other"}));
            assert_eq!(loan.json["credential"]["secret"], plain, "{kind:?}");
            assert_eq!(loan.json["credential"]["kind"], "password");
        }
        let events = vault.trail("acme");
        let events: Vec<&Value> = events
            .iter()
            .map(|e| &e["event"])
            .filter(|e| e["activity_name"] == "connection.import")
            .collect();
        assert_eq!(events.len(), 4);
        assert_eq!(events[1]["source_id"], "42");
        assert_eq!((&events[1]["actor.user.uid"], &events[1]["status"]), (&json!("ada"), &json!("Success")));
        assert_eq!(events[1]["connection.uid"], connection_of(&vault, "bot-42").as_str());

        let before = kept(&vault);
        let second = import();
        assert_eq!((told(&second), counts(&second)), ((0, vec![]), [0, 4, 0, 0, 0]), "{kind:?}");
        assert_eq!(kept(&vault), before, "{kind:?}");

        forget(&vault, "ada", &connection_of(&vault, "bot-42"));
        let third = import();
        assert_eq!((told(&third), counts(&third)), ((0, vec![]), [0, 3, 1, 0, 0]), "{kind:?}");
        assert_eq!(vault.home.sql().count("connections"), 3);
        let runs = vault.home.sql().texts("event", "FROM audit_events WHERE org_id = '' ORDER BY seq");
        let runs: Vec<Value> = runs.iter().map(|run| serde_json::from_str(run).unwrap()).collect();
        let runs: Vec<&Value> = runs.iter().filter(|run| run["activity_name"] == "import.run").collect();
        // Each begins with one of its own.
        assert_eq!(runs.len(), 6);
        let begun = (&runs[4]["status_detail"], &runs[4]["rows"], &runs[5]["status_detail"]);
        assert_eq!(begun, (&json!("begun"), &json!("0"), &Value::Null));
        assert_eq!((&runs[5]["rows"], &runs[5]["forgotten_since"]), (&json!("4"), &json!("1")));
        assert!(!runs[5]["subject"].as_str().unwrap().contains("tester"), "{}", runs[5]);
    }
}

#[test]
fn bytes_and_ids_of_any_kind_are_taken_as_they_lie() {
    let token = token("s");
    let uuid = "6f1c9f3e-2a44-4d3a-9b59-1f2e3d4c5b6a";
    let vault = Vault::start();
    let table = Table::typed(&vault.home, Kind::Sqlite, "BLOB", "BLOB", &[row("x", "ada", &token)]);
    let mut sql = crate::database::Sql::sqlite(&vault.home.path().join("shop.db"));
    sql.run(
        "UPDATE odoo_credentials SET id = x'6F1C9F3E2A444D3A9B591F2E3D4C5B6A', user_id = x'0A0B',
         encrypted_password = CAST(encrypted_password AS BLOB)",
    );
    assert_eq!(told(&table.import(&vault.home, &[])), (0, vec![]));
    let known = vault.home.sql().texts("source_id", "FROM imports");
    assert_eq!(known, ["6f1c9f3e2a444d3a9b591f2e3d4c5b6a"]);
    assert_eq!(vault.home.sql().texts("user_id", "FROM connections"), ["0a0b"]);
    #[cfg(feature = "postgres")]
    {
        let rows = [row(uuid, "eve", &token)];
        let table = Table::typed(&vault.home, Kind::Postgres, "UUID", "BYTEA", &rows);
        assert_eq!(told(&table.import(&vault.home, &["--kind", "api_key", "--source", "pg"])), (0, vec![]));
        let known = vault.home.sql().texts("source_id", "FROM imports WHERE source = 'pg'");
        assert_eq!(known, [uuid]);
        assert_eq!(vault.home.sql().texts("kind", "FROM connections WHERE user_id = 'eve'"), ["api_key"]);
    }
    // Whose digits PostgreSQL wrote into a CSV.
    let hex: String = token.bytes().map(|byte| format!("{byte:02x}")).collect();
    let table = Table::new(&vault.home, Kind::Csv, &[row(uuid, "joe", &format!("\\x{hex}"))]);
    assert_eq!(told(&table.import(&vault.home, &[])), (0, vec![]));
}

const PLANTED: &str = "planted-VALUE-7kQ3";

/// Attack on P1 and P7: rows that break rules, to come in, to stop the others, or to be quoted.
#[test]
fn each_row_that_breaks_a_rule_is_named_and_the_others_come_in() {
    let made = tokens(&[
        json!({"keys": [key('a')], "plain": PLANTED}),
        json!({"keys": [key('c')], "plain": PLANTED}),
        json!({"keys": [key('a')], "plain": ""}),
        json!({"keys": [key('a')], "hex": "fffe80"}),
        json!({"keys": [key('a')], "plain": format!("{PLANTED}\u{1}")}),
        json!({"keys": [key('a')], "plain": "x".repeat(4097)}),
    ]);
    let good = &made[0];
    let mut tampered = good.clone().into_bytes();
    tampered[40] ^= 1;
    let tampered = String::from_utf8(tampered).unwrap();
    let with = |id: &str, at: usize, value: Option<&str>| {
        let mut row = row(id, "ada", good);
        row[at] = value.map(str::to_owned);
        row
    };
    let long = format!("{PLANTED}{}", "y".repeat(100_000));
    let rows = [
        row("1", "ada", good),
        row("2", "ada", &made[1]),
        row("3", "ada", &made[2]),
        row("4", "ada", &made[3]),
        row("5", "ada", &made[4]),
        row("6", "ada", &made[5]),
        row("7", "ada", &tampered),
        row("8", "ada", &long),
        row("9", "ada", PLANTED),
        with("10", 2, Some("http://acme.odoo.com")),
        with("11", 2, Some("https://169.254.169.254")),
        with("12", 2, Some(&format!("https://{PLANTED}@acme.odoo.com/x"))),
        with("13", 3, Some("")),
        with("14", 4, Some(&long)),
        with("15", 1, Some(&"u".repeat(129))),
        with("16", 1, Some("a\u{7}")),
        row("17", "ada", good),
        row("17", "ada", good),
        with("", 0, Some(&"i".repeat(129))),
        row("20", "ada", good),
        with("21", 2, Some(&long)),
        with("22", 5, Some("")),
    ];
    let expected = [
        "id 2 left: encrypted_password opens",
        "id 3 left: encrypted_password not_empty",
        "id 4 left: encrypted_password utf8",
        "id 5 left: encrypted_password no_control_characters",
        "id 6 left: encrypted_password max_bytes",
        "id 7 left: encrypted_password opens",
        "id 8 left: encrypted_password max_bytes",
        "id 9 left: encrypted_password opens",
        "id 10 left: url https_only",
        "id 11 left: url not_public",
        "id 12 left: url userinfo",
        "id 13 left: database not_empty",
        "id 14 left: username max_bytes",
        "id 15 left: user_id max_bytes",
        "id 16 left: user_id no_control_characters",
        "id 17 left: id unique",
        "row N left: id max_bytes",
        "id 21 left: url max_bytes",
        "id 22 left: encrypted_password opens",
    ];
    for kind in KINDS {
        let vault = Vault::start();
        let table = Table::new(&vault.home, *kind, &rows);
        for dry in [true, false] {
            let output = table.import(&vault.home, if dry { &["--dry-run"] } else { &[] });
            let (code, said) = told(&output);
            let mut said: Vec<String> = said
                .iter()
                .map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(": "))
                .map(|line| if line.starts_with("row ") { "row N left: id max_bytes".into() } else { line })
                .collect();
            said.sort();
            let mut wanted: Vec<String> = expected.map(str::to_owned).to_vec();
            wanted.sort();
            assert_eq!(said, wanted, "{kind:?}");
            assert_eq!((code, counts(&output)), (3, [3, 0, 0, 0, 19]), "{kind:?} {dry}");
            assert!(!String::from_utf8_lossy(&output.stderr).contains("planted"), "{kind:?}");
            assert_eq!(vault.home.sql().count("connections"), if dry { 0 } else { 3 });
        }
    }
}

#[test]
fn nulls_are_named_each_by_its_field() {
    let good = token("s");
    let rows: Vec<Row> = (0..6)
        .map(|at| {
            let mut row = row(&at.to_string(), "ada", &good);
            row[at] = None;
            row
        })
        .collect();
    for kind in KINDS.iter().filter(|kind| **kind != Kind::Csv) {
        let vault = Vault::start();
        let (code, said) = told(&Table::new(&vault.home, *kind, &rows).import(&vault.home, &[]));
        let fields = ["user_id", "url", "database", "username", "encrypted_password"];
        let mut wanted = vec!["row 1 left: id required: is required".to_owned()];
        wanted.extend(
            (1..).zip(fields).map(|(id, field)| format!("id {id} left: {field} required: is required")),
        );
        let mut said = said;
        said.sort();
        wanted.sort();
        assert_eq!((code, said), (3, wanted), "{kind:?}");
    }
}

/// Attack on P8: the same address twice in the source, of which one was forgotten.
#[test]
fn a_duplicate_is_told_by_its_id_and_is_no_way_back() {
    let vault = Vault::start();
    let there = vault.deposit_as("acme", "ada", &deposit("bot-1", "first"));
    let good = token("from the source");
    let mut twin = row("3", "ada", &good);
    twin[4] = Some("bot-2".into());
    let rows = [row("1", "ada", &good), row("2", "ada", &good), twin, row("1-eve", "eve", &good)];
    let table = Table::new(&vault.home, Kind::Csv, &rows);
    let dry = table.import(&vault.home, &["--dry-run"]);
    assert_eq!(counts(&dry), [2, 0, 0, 2, 0]);
    let first = table.import(&vault.home, &[]);
    let second = connection_of(&vault, "bot-2");
    let mut wanted =
        vec![format!("id 1 left: a duplicate of {there}"), format!("id 3 left: a duplicate of {second}")];
    assert_eq!((told(&first), counts(&first)), ((3, wanted.clone()), [2, 0, 0, 2, 0]));
    wanted[1] = "id 3 left: a duplicate of an earlier row".into();
    let mut said = told(&dry).1;
    said.sort();
    assert_eq!(said, wanted);
    assert_eq!(vault.lend(&there, &json!({"purpose": "other"})).json["credential"]["secret"], "first");

    forget(&vault, "ada", &there);
    forget(&vault, "ada", &second);
    let again = table.import(&vault.home, &[]);
    let wanted =
        vec![format!("id 1 left: a duplicate of {there}"), format!("id 3 left: a duplicate of {second}")];
    assert_eq!((told(&again), counts(&again)), ((3, wanted), [0, 1, 1, 2, 0]));
    assert_eq!(vault.home.sql().texts("username", "FROM connections"), ["bot-1-eve"]);
}

/// Attack on P5: rows that name other orgs' users, in every spelling.
#[test]
fn a_row_comes_into_the_org_that_was_named_and_no_other() {
    let vault = Vault::start();
    vault.deposit_as("other", "eve", &deposit("bot", "eve's own"));
    let good = token("s");
    let users = ["eve", "other/eve", "other\",\"user\":\"eve", "' OR org_id = 'other", "%", "other\u{1f}eve"];
    let rows: Vec<Row> = users.iter().enumerate().map(|(n, user)| row(&n.to_string(), user, &good)).collect();
    let mut rows = rows;
    rows[0][4] = Some("bot".into());
    let output = Table::new(&vault.home, Kind::Csv, &rows).import(&vault.home, &[]);
    assert_eq!((told(&output).0, counts(&output)), (3, [5, 0, 0, 0, 1]));
    let mut sql = vault.home.sql();
    assert_eq!(sql.count("connections WHERE org_id = 'other'"), 1);
    assert_eq!(sql.count("connections WHERE org_id = 'acme'"), 5);
    assert_eq!(sql.count("imports WHERE org_id <> 'acme'"), 0);
    assert!(vault.trail("other").iter().all(|e| e["event"]["activity_name"] != "connection.import"));
    // The next org's import of that source is its own.
    let keys = key_file(&vault.home, &key('a'));
    let csv = format!("csv:{}", vault.home.path().join("shop.csv").display());
    let mut next = vault.home.pawl(&[]);
    next.args(["import", "--from", &csv, "--source", "shop", "--org", "other", "--source-key-file"])
        .arg(keys);
    let output = next.output().unwrap();
    assert_eq!(counts(&output), [4, 0, 0, 1, 1]);
}
