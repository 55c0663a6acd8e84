//! What is written about the program is true of it: the API's description, the list of problems, the
//! tables, and who may import whom.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::database::on_postgres;
use crate::harness::{Vault, call};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn the_openapi_document_names_every_route_and_no_other() {
    let vault = Vault::start();
    let served = call(&vault.url, "GET", "/openapi.json", "", None);
    assert_eq!(served.status, 200);
    let described: BTreeSet<String> = served.json["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |m| format!("{m} {path}")))
        .collect();
    let mut routed = BTreeSet::new();
    let mut path = String::new();
    for piece in read("src/http/routes.rs").split("resource(\"").skip(1) {
        let (name, rest) = piece.split_once('"').unwrap();
        path.clear();
        path.push_str(name);
        for method in ["get", "post", "put", "patch", "delete"] {
            if rest.contains(&format!(".route({method}()")) {
                routed.insert(format!("{method} {path}"));
            }
        }
    }
    assert!(routed.len() >= 12, "{routed:?}");
    assert_eq!(described, routed);
    let mut names = BTreeSet::new();
    for (path, methods) in served.json["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let open =
                path.ends_with('z') || ["/openapi.json", "/docs", "/v1/token"].contains(&path.as_str());
            assert_eq!(operation["security"] == serde_json::json!([{}]), open, "{method} {path}");
            let roles = operation["description"]
                .as_str()
                .is_some_and(|text| text.contains("Roles, by the policy that is compiled in: `"));
            assert_ne!(roles, open, "{method} {path}");
            assert!(names.insert(operation["operationId"].to_string()), "{method} {path}");
        }
    }
}

/// Regenerate with `pawl openapi > docs/openapi.json`, and read what changed.
#[test]
fn the_openapi_document_is_the_one_that_was_reviewed() {
    let printed = crate::harness::pawl(&root("."), &[]).arg("openapi").output().unwrap();
    assert!(printed.status.success());
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), read("docs/openapi.json"));
}

/// On either database: one change in two dialects makes the same columns.
#[test]
fn the_schema_is_what_the_migrations_make() {
    let vault = Vault::start();
    let mut sql = vault.home.sql();
    let schema = read("src/store/schema.rs");
    let mut tables = 0;
    for table in schema.split("diesel::table! {").skip(1) {
        let name = table.split_whitespace().next().unwrap();
        let columns = match on_postgres() {
            false => sql.texts(
                "name || ' ' || type || ' ' || \"notnull\"",
                &format!("FROM pragma_table_info('{name}') ORDER BY cid"),
            ),
            true => sql.texts(
                "column_name || ' ' || upper(data_type) || ' ' || CASE is_nullable WHEN 'NO' THEN 1 ELSE 0 END",
                &format!("FROM information_schema.columns WHERE table_name = '{name}' ORDER BY ordinal_position"),
            ),
        };
        let made: Vec<String> = columns
            .iter()
            .map(|column| {
                let parts: Vec<&str> = column.split(' ').collect();
                let kind = match parts[1] {
                    "TEXT" => "Text",
                    "BIGINT" => "BigInt",
                    "BLOB" | "BYTEA" => "Binary",
                    other => panic!("{name}.{} is {other}", parts[0]),
                };
                match parts[2] {
                    "0" => format!("{} -> Nullable<{kind}>,", parts[0]),
                    _ => format!("{} -> {kind},", parts[0]),
                }
            })
            .collect();
        let body = table.split("\n    }\n").next().unwrap();
        let written: Vec<&str> = body.lines().map(str::trim).filter(|line| line.contains("->")).collect();
        assert_eq!(written, made, "{name}");
        tables += 1;
    }
    let there = match on_postgres() {
        false => "FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'",
        true => "FROM information_schema.tables WHERE table_schema = 'public'",
    };
    // And the record of migrations.
    assert_eq!(sql.texts("count(*) - 1", there), [tables.to_string()]);
}

/// A `Debug` on what holds a secret would print it sooner or later.
#[test]
fn nothing_that_holds_a_secret_can_be_printed_or_copied() {
    let mut holders = 0;
    for item in all_of(&root("src")).split("\n\n") {
        let holds =
            [": Secret", "Secret)", ": MasterKey", "MasterKey>", ": IssuerKey,", "Zeroizing<[u8; 32]>"]
                .iter()
                .any(|kind| item.contains(kind));
        let Some(at) = item.find("struct ").filter(|_| holds) else { continue };
        let (attributes, body) = item.split_at(at);
        if !body.split('}').next().unwrap().contains("Secret")
            && !body.contains("MasterKey")
            && !body.contains("Zeroizing<[u8")
        {
            continue;
        }
        holders += 1;
        for never in ["Debug", "Clone", "Serialize"] {
            let derives = attributes.lines().filter(|line| line.trim_start().starts_with("#[derive"));
            assert!(
                derives.flat_map(|line| line.split([',', '(', ')', ' '])).all(|word| word != never),
                "{never} on {body:.60}"
            );
        }
    }
    assert!(holders >= 6, "{holders}");
}

#[test]
fn every_problem_is_explained() {
    let page = read("docs/problems.md");
    for kind in pawl::http::Kind::ALL {
        let row = format!("| `{}` | {} |", kind.name(), kind.status());
        assert!(page.contains(&row), "docs/problems.md lacks {row}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, pawl::http::Kind::ALL.len());
}

#[test]
fn every_cause_that_a_check_finds_is_explained() {
    let page = read("docs/checks.md");
    for code in pawl::odoo::Code::ALL {
        let [code, severity] = [code.as_str(), code.severity().as_str()];
        assert!(page.contains(&format!("| `{code}` | {severity} | ")), "docs/checks.md lacks {code}");
    }
    for code in pawl::odoo::Code::ALL {
        let row = format!("| {} | {} |", code.detail(), code.advice());
        assert!(page.contains(&row), "docs/checks.md has other words for {}", code.as_str());
    }
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, pawl::odoo::Code::ALL.len());
}

#[test]
fn the_readme_shows_the_row_as_it_is_stored() {
    let readme = read("README.md");
    let migration = read("migrations/sqlite/2026-11-24-000000_first/up.sql");
    let table = migration.split("CREATE TABLE connections (").nth(1).unwrap().split(");").next().unwrap();
    let columns = table.lines().filter(|line| line.starts_with("    ") && !line.contains("UNIQUE ("));
    let later = read("migrations/sqlite/2026-11-25-000000_life/up.sql");
    let added = later.split("ALTER TABLE connections ADD COLUMN").skip(1);
    for line in columns.chain(added) {
        let column = line.split_whitespace().next().unwrap();
        assert!(readme.contains(&format!("| `{column}` |")), "the README does not show {column}");
    }
    for (name, _) in pawl::config::VAULT_SETTINGS {
        let name = format!("`PAWL_{}`", name.to_uppercase());
        assert!(readme.contains(&name) || read("docs/configuration.md").contains(&name), "{name} is nowhere");
    }
}

/// One way down: which room may name which.
#[test]
fn no_room_reaches_upwards() {
    let forbidden: &[(&str, &[&str])] = &[
        ("src/vault", &["crate::http", "actix", "diesel"]),
        ("src/http", &["crate::store", "crate::seal", "diesel", "crate::sync"]),
        ("src/seal", &["crate::store", "crate::vault", "crate::http", "actix", "diesel"]),
        ("src/audit", &["crate::store", "crate::vault", "crate::http", "actix", "diesel"]),
        ("src/access", &["crate::vault", "crate::http", "crate::seal", "actix", "diesel"]),
        ("src/store", &["crate::vault", "crate::http", "crate::odoo", "actix"]),
        (
            "src/odoo",
            &["crate::vault", "crate::http", "crate::store", "crate::access", "crate::seal", "crate::sync"],
        ),
        (
            "src/egress",
            &["crate::vault", "crate::http", "crate::store", "crate::access", "crate::odoo", "crate::sync"],
        ),
        (
            "src/import",
            &["crate::vault", "crate::http", "crate::store", "crate::access", "crate::seal", "actix"],
        ),
        ("src/config", &["crate::vault", "crate::http", "crate::store", "actix", "diesel"]),
        ("src/sync", &["crate::vault", "crate::http", "crate::store", "crate::access", "crate::seal"]),
    ];
    for (room, never) in forbidden {
        let code = all_of(&root(room));
        assert!(!code.is_empty(), "{room} is empty");
        for line in code.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            for name in *never {
                let names = line.contains(&format!("{name}::")) || line.contains(&format!("{name}_"));
                assert!(!names, "{room} names {name}: {line}");
            }
        }
    }
}

fn all_of(dir: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push_str(&all_of(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
    all
}
