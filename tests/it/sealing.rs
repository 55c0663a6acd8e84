//! The formula, held against another implementation; and rows that were moved, swapped or redirected.

use std::process::Command;

use serde_json::json;

use crate::database::without_foreign_keys;
use crate::harness::{ODOO, Vault, deposit};

/// Opens every stored credential with nothing but the key file, the row, and the formula as the
/// README states it.
const BY_THE_FORMULA: &str = r#"
import base64, json, struct, sys
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ring = json.load(open(sys.argv[1]))["keys"]
tables = json.loads(sys.argv[2])

def part(text):
    data = text.encode()
    return struct.pack(">I", len(data)) + data

def open_sealed(row, field, bound):
    key = base64.urlsafe_b64decode(ring[row["key_id"]])
    info = b"".join(part(x) for x in ["pawl/v1", field, *bound])
    row_key = HKDF(SHA256(), 32, salt=None, info=info).derive(key)
    return Fernet(base64.urlsafe_b64encode(row_key)).decrypt(row["sealed"].encode()).decode()

for row in tables["connections"]:
    bound = [row["org_id"], row["user_id"], row["id"], str(row["revision"]), row["kind"], row["url"] or "",
             row["database"] or "", row["username"] or ""]
    print(open_sealed(row, "credential", bound))
for row in tables["issuer_keys"]:
    print(len(base64.urlsafe_b64decode(open_sealed(row, "issuer_key", ["", "", row["id"], *[""] * 5]) + "=")))
for row in tables["audit_logs"]:
    bound = ["", "", row["id"], "", "", row["origin"], "", ""]
    print(len(base64.urlsafe_b64decode(open_sealed(row, "audit_log", bound) + "=")))
for row in tables["keys"]:
    print(HKDF(SHA256(), 32, salt=None, info=b"pawl/v1/fingerprint")
          .derive(base64.urlsafe_b64decode(ring[row["id"]]))[:8].hex() == row["fingerprint"])
"#;

/// Attack on P2 and P9.
#[test]
fn python_opens_a_row_by_the_documented_formula_alone() {
    let vault = Vault::start();
    vault.deposit("hunter2");
    vault.clock.advance(std::time::Duration::from_millis(2));
    vault.deposit_as(
        "Ørg",
        "użytkownik",
        &json!({"url": "https://żółw.example", "database": "d", "username": "b",
               "credential": {"kind": "api_key", "secret": "ключ 🔑"}}),
    );
    vault.clock.advance(std::time::Duration::from_millis(2));
    vault.deposit_as(
        "acme",
        "ada",
        &json!({"username": "robot", "credential": {"kind": "tunnel", "secret": "not Odoo's"}}),
    );
    let mut sql = vault.home.sql();
    let tables = json!({
        "connections": sql.rows("connections", &["id", "org_id", "user_id", "revision", "kind", "url", "database",
            "username", "sealed", "key_id"]),
        "issuer_keys": sql.rows("issuer_keys", &["id", "sealed", "key_id"]),
        "audit_logs": sql.rows("audit_logs", &["id", "origin", "sealed", "key_id"]),
        "keys": sql.rows("keys", &["id", "fingerprint"]),
    });
    let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let opened = Command::new(python)
        .args(["-c", BY_THE_FORMULA])
        .arg(vault.home.key_file())
        .arg(tables.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8(opened.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&opened.stderr);
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        ["hunter2", "ключ 🔑", "not Odoo's", "32", "32", "True"],
        "{complaint}"
    );
}

/// A row of `acme`/`ada` and one of `other`/`eve` that differ in everything that is bound.
struct TwoTenants {
    vault: Vault,
    ids: [String; 2],
}

const SECRETS: [&str; 2] = ["planted-ada-secret", "planted-eve-secret"];

impl TwoTenants {
    fn new() -> Self {
        let vault = Vault::start();
        let ada = vault.deposit_as("acme", "ada", &deposit("ada-bot", SECRETS[0]));
        let eve = vault.deposit_as(
            "other",
            "eve",
            &json!({"url": "https://eve.example", "database": "eve", "username": "eve-bot",
                   "credential": {"kind": "api_key", "secret": SECRETS[1]}}),
        );
        // a second key that really is on record, so that naming it is no typing error
        vault.sql("INSERT INTO keys (id, fingerprint, source, state, created_at) VALUES ('k2', '0', 'file', 'opening', 0)");
        Self { vault, ids: [ada, eve] }
    }

    /// Lends every id that a row has now, as both tenants. Each answer is a loan of the tenant's own
    /// secret, or a typed error with one event and no secret. Answers how many were loans.
    fn lend_all(&self, what: &str) -> usize {
        let mut ids = self.vault.home.sql().texts("id", "FROM connections");
        ids.extend(self.ids.clone());
        ids.sort();
        ids.dedup();
        let mut loans = 0;
        for (index, (org, user)) in [("acme", "ada"), ("other", "eve")].into_iter().enumerate() {
            for id in &ids {
                let worker = self.vault.token(org, user, "worker");
                let before = self.vault.trail(org).len();
                let path = format!("/v1/connections/{id}/leases");
                let answer = self.vault.call("POST", &path, &worker, Some(&json!({"purpose": "other"})));
                let trail = self.vault.trail(org);
                let events: Vec<_> =
                    trail[before..].iter().filter(|e| e["event"]["activity_name"] == "lease.lend").collect();
                if answer.status == 422 {
                    // an id that SQL made up does not even parse
                    assert_eq!(answer.errors(), ["id id_format"], "{what}");
                    continue;
                }
                assert_eq!(events.len(), 1, "{what}: {events:?}");
                if answer.status == 201 {
                    loans += 1;
                    assert_eq!(answer.json["credential"]["secret"], SECRETS[index], "{what}");
                    assert_eq!(events[0]["event"]["status"], "Success");
                    continue;
                }
                let problem = answer.problem();
                assert!(
                    ["not-found", "does-not-open", "key-not-held", "damaged"].contains(&problem.as_str()),
                    "{what}: {problem}"
                );
                assert_eq!(events[0]["event"]["status"], "Failure", "{what}");
                assert_eq!(events[0]["event"]["status_detail"], problem.as_str(), "{what}");
                assert!(SECRETS.iter().all(|secret| !answer.body.contains(secret)), "{what}");
            }
        }
        loans
    }
}

const BOUND: &[(&str, &str)] = &[
    ("url", "https://evil.example"),
    ("database", "evil"),
    ("username", "evil"),
    ("kind", "api_key"),
    ("org_id", "other"),
    ("user_id", "eve"),
    ("id", "conn_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("revision", "2"),
    ("key_id", "k2"),
    ("key_id", "k9"),
];

/// Attack on P2.
#[test]
fn a_redirected_row_does_not_open() {
    for (column, value) in BOUND {
        let two = TwoTenants::new();
        two.vault.sql(&format!(
            "{}; UPDATE connections SET {column} = '{value}' WHERE id = '{}'",
            without_foreign_keys(),
            two.ids[0]
        ));
        let loans = two.lend_all(&format!("{column} = {value}"));
        assert_eq!(loans, 1, "only eve's own row opens after {column} = {value}");
    }
}

const ASIDE: &str = "conn_01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// Attack on P2.
#[test]
fn two_rows_that_swap_anything_do_not_open() {
    let swaps =
        BOUND.iter().map(|(column, _)| *column).chain(["sealed"]).filter(|column| *column != "key_id");
    for column in swaps.collect::<std::collections::BTreeSet<_>>() {
        let two = TwoTenants::new();
        let [ada, eve] = &two.ids;
        if column == "revision" {
            two.vault.sql(&format!("UPDATE connections SET revision = 2 WHERE id = '{eve}'"));
            assert_eq!(two.lend_all("before the swap"), 1);
        }
        // An id is taken while it is given away, so that no two rows have it.
        let aside = match column {
            "id" => format!("UPDATE connections SET id = '{ASIDE}' WHERE id = '{ada}';"),
            _ => String::new(),
        };
        let first = if column == "id" { ASIDE } else { ada };
        two.vault.sql(&format!(
            "CREATE TEMP TABLE old AS SELECT id, {column} AS value FROM connections; {aside}
             UPDATE connections SET {column} = (SELECT value FROM old WHERE old.id = '{ada}') WHERE id = '{eve}';
             UPDATE connections SET {column} = (SELECT value FROM old WHERE old.id = '{eve}')
               WHERE id = '{first}'"
        ));
        let opens = usize::from(column == "revision");
        // With revisions swapped back and forth, eve's row has its true one again.
        assert_eq!(two.lend_all(&format!("swapped {column}")), opens, "swapped {column}");
    }
}

/// Attack on P2.
#[test]
fn a_retired_key_opens_nothing_whatever_a_row_says() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    vault.sql("UPDATE keys SET state = 'retired'");
    let refused = vault.lend(&id, &json!({"purpose": "other"}));
    assert_eq!((refused.status, refused.problem().as_str()), (503, "key-not-held"));
    let backend = vault.token("acme", "ada", "backend");
    let deposit = vault.call("POST", "/v1/connections", &backend, Some(&deposit("second", "s")));
    assert_eq!((deposit.status, deposit.problem().as_str()), (503, "unavailable"));
    assert_eq!(vault.call("GET", &format!("/v1/connections/{id}"), &backend, None).text("url"), ODOO);
}
