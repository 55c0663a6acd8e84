//! Another product's table, as it would be met: tokens made by Python's cryptography, in a CSV, a SQLite file and a
//! database of PostgreSQL's.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::database::Sql;
#[cfg(feature = "postgres")]
use crate::database::TestDatabase;
use crate::harness::Home;

const TOKENS: &str = r#"
import json, sys
from cryptography.fernet import Fernet, MultiFernet
for spec in json.load(sys.stdin):
    keys = [Fernet(key) for key in spec["keys"]]
    plain = bytes.fromhex(spec["hex"]) if "hex" in spec else spec["plain"].encode()
    one = keys[0] if len(keys) == 1 else MultiFernet(keys)
    print((keys[0].encrypt_at_time(plain, spec["at"]) if "at" in spec else one.encrypt(plain)).decode())
"#;

/// Fernet keys, made up: 32 bytes of one letter.
pub fn key(letter: char) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE.encode(letter.to_string().repeat(32))
}

/// What Python makes of `{"keys": […], "plain" or "hex": …, "at": …}`, in their order.
pub fn tokens(specs: &[Value]) -> Vec<String> {
    let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut child = Command::new(python)
        .args(["-c", TOKENS])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(json!(specs).to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let made: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(made.len(), specs.len());
    made
}

/// Under the key `a`, which [`Table::import`] gives.
pub fn token(plain: &str) -> String {
    tokens(&[json!({"keys": [key('a')], "plain": plain})]).remove(0)
}

/// id, user, url, database, username, token.
pub type Row = [Option<String>; 6];

/// A row that breaks no rule: its username is made of its id.
pub fn row(id: &str, user: &str, token: &str) -> Row {
    let username = format!("bot-{id}");
    [id, user, "https://acme.odoo.com", "acme", &username, token].map(|text| Some(text.to_owned()))
}

/// Where a table lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Csv,
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
}

pub const KINDS: &[Kind] = &[
    Kind::Csv,
    Kind::Sqlite,
    #[cfg(feature = "postgres")]
    Kind::Postgres,
];

/// A table of [`Row`]s, and how it is named on the command line.
pub struct Table {
    pub from: Vec<String>,
    #[cfg(feature = "postgres")]
    database: Option<TestDatabase>,
}

fn literal(value: &Option<String>) -> String {
    value.as_ref().map_or("NULL".into(), |text| format!("'{}'", text.replace('\'', "''")))
}

impl Table {
    /// The server's database that it is in.
    #[cfg(feature = "postgres")]
    pub fn sql(&self) -> Sql {
        self.database.as_ref().unwrap().sql()
    }

    /// Made in `home`'s folder, with these rows and text columns.
    pub fn new(home: &Home, kind: Kind, rows: &[Row]) -> Self {
        Self::typed(home, kind, "TEXT", "TEXT", rows)
    }

    /// The same with ids of that SQL type, and tokens of that.
    pub fn typed(home: &Home, kind: Kind, id: &str, token: &str, rows: &[Row]) -> Self {
        let create = format!(
            "CREATE TABLE odoo_credentials (id {id}, user_id TEXT, url TEXT, database TEXT, username TEXT, \
             encrypted_password {token})"
        );
        let insert = |sql: &mut Sql| {
            sql.run(&create);
            for rows in rows.chunks(500) {
                let rows: Vec<String> = rows
                    .iter()
                    .map(|row| format!("({})", row.iter().map(literal).collect::<Vec<_>>().join(", ")))
                    .collect();
                sql.run(&format!("INSERT INTO odoo_credentials VALUES {}", rows.join(", ")));
            }
        };
        let with_table =
            |from: String| vec!["--from".into(), from, "--table".into(), "odoo_credentials".into()];
        #[cfg(feature = "postgres")]
        if kind == Kind::Postgres {
            let database = TestDatabase::empty();
            insert(&mut database.sql());
            let from = with_table(database.address("tester"));
            return Self { from, database: Some(database) };
        }
        let from = match kind {
            Kind::Csv => {
                let path = home.path().join("shop.csv");
                let mut text = String::from("id,user_id,url,database,username,encrypted_password\n");
                for row in rows {
                    let cells = row.iter().map(|cell| {
                        format!("\"{}\"", cell.as_deref().unwrap_or_default().replace('"', "\"\""))
                    });
                    text.push_str(&cells.collect::<Vec<_>>().join(","));
                    text.push('\n');
                }
                std::fs::write(&path, text).unwrap();
                ["--from", &format!("csv:{}", path.display()), "--source", "shop"].map(str::to_owned).to_vec()
            }
            _ => {
                let path = home.path().join("shop.db");
                let _ = std::fs::remove_file(&path);
                insert(&mut Sql::sqlite(&path));
                with_table(format!("sqlite:{}", path.display()))
            }
        };
        Self {
            from,
            #[cfg(feature = "postgres")]
            database: None,
        }
    }

    /// What the ledger calls it, if that is known beforehand.
    pub fn command(&self, home: &Home, keys: &str, more: &[&str]) -> Command {
        let keys = key_file(home, keys);
        let mut command = home.pawl(&[]);
        command
            .arg("import")
            .args(&self.from)
            .args(["--org", "acme", "--source-key-file"])
            .arg(keys)
            .args(more);
        command
    }

    /// `pawl import` of it into acme, under the key `a`.
    pub fn import(&self, home: &Home, more: &[&str]) -> Output {
        self.command(home, &key('a'), more).output().unwrap()
    }
}

/// A file of the source's keys, that its owner alone can read.
pub fn key_file(home: &Home, keys: &str) -> PathBuf {
    let path = home.path().join("fernet.key");
    std::fs::write(&path, keys).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// The exit code, and what was said on standard error, which is what `pawl:` begins.
pub fn told(output: &Output) -> (i32, Vec<String>) {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let said = said.lines().filter_map(|line| line.strip_prefix("pawl: ")).map(str::to_owned).collect();
    (output.status.code().unwrap_or(-1), said)
}

/// `imported before forgotten duplicates refused`, as the summary counts them.
pub fn counts(output: &Output) -> [u64; 5] {
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    let count = |name: &str| {
        let line = out.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{out} {}", String::from_utf8_lossy(&output.stderr)));
        line.split_whitespace().last().unwrap().parse().unwrap()
    };
    let first = if out.contains("would come") { "would come" } else { "imported   " };
    [first, "imported before", "forgotten since", "duplicates", "refused"].map(count)
}
