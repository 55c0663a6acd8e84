//! `pawl import` where it must not begin, must write nothing, must say nothing secret, or is killed.

use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::time::Duration;

use pawl::seal::MasterKey;
use pawl::secret::Secret;
use serde_json::{Value, json};

use crate::harness::{Home, Vault, holds};
use crate::import_source::{KINDS, Kind, Row, Table, counts, key, key_file, row, token, tokens, told};

fn import(home: &Home, arguments: &[&str]) -> (i32, String) {
    let keys = key_file(home, &key('a'));
    let mut command = home.pawl(&[]);
    let output = command.arg("import").args(arguments).arg("--source-key-file").arg(keys).output().unwrap();
    let (code, said) = told(&output);
    (code, said.join("\n"))
}

/// Attack on P3: the vault's own key in another product's hands; and the source's key for all to read.
#[test]
fn a_key_of_the_ring_and_a_key_that_others_can_read_are_refused() {
    let vault = Vault::start();
    let table = Table::new(&vault.home, Kind::Csv, &[row("1", "ada", &token("s"))]);
    let ring: Value = serde_json::from_slice(&std::fs::read(vault.home.key_file()).unwrap()).unwrap();
    let mut ours = vec![("k1", ring["keys"]["k1"].as_str().unwrap().to_owned())];
    // Also one that only opens, and one that was retired: neither is held any more.
    for (id, state, letter) in [("k8", "opening", 'y'), ("k9", "retired", 'z')] {
        let fingerprint = MasterKey::parse(&Secret::new(key(letter))).unwrap().fingerprint();
        vault.sql(&format!("INSERT INTO keys (id, fingerprint, source, state, created_at) VALUES ('{id}', '{fingerprint}', 'file', '{state}', 1)"));
        ours.push((id, key(letter)));
    }
    for (id, own) in &ours {
        let two = format!("{}\n{own}\n", key('a'));
        let (code, said) = told(&table.command(&vault.home, &two, &["--dry-run"]).output().unwrap());
        assert!(code == 1 && said[0].contains(&format!("is this vault's own key {id}")), "{said:?}");
        assert!(!said[0].contains(own), "{said:?}");
    }
    let path = key_file(&vault.home, &key('a'));
    for mode in [0o640, 0o604] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut command = vault.home.pawl(&[]);
        command.arg("import").args(&table.from).args(["--org", "acme", "--source-key-file"]).arg(&path);
        let (code, said) = told(&command.output().unwrap());
        assert_eq!(code, 1);
        assert!(said[0].contains("can be read by others") && said[0].contains("chmod 600"), "{said:?}");
    }
    let long = format!("{}{}", key('a'), "\n".repeat(64 * 1024));
    for (keys, rule) in [
        ("", "there is no key in it"),
        ("planted-key", "it wants Fernet keys"),
        ("\u{0}", "wants"),
        (&long, "fernet.key: it is larger than 64 KiB"),
    ] {
        let (code, said) = told(&table.command(&vault.home, keys, &[]).output().unwrap());
        assert!(code == 1 && said[0].contains(rule) && !said[0].contains("planted"), "{said:?}");
    }
    assert_eq!(vault.home.sql().count("imports"), 0);
}

#[test]
fn what_can_not_be_read_is_refused_by_name_before_anything_comes_in() {
    let vault = Vault::start();
    let home = &vault.home;
    let sqlite = Table::new(home, Kind::Sqlite, &[row("1", "ada", &token("s"))]);
    let csv = |text: &str| {
        let path = home.path().join("x.csv");
        std::fs::write(&path, text).unwrap();
        format!("csv:{}", path.display())
    };
    let header = "id,user_id,url,database,username,encrypted_password\n";
    let db = &sqlite.from[1];
    let good = csv(header);
    let org = ["--org", "acme"];
    let shop = ["--source", "shop"];
    let table = ["--table", "odoo_credentials"];
    for (arguments, wanted) in [
        (vec!["--from", &good], "a CSV has no name that stays"),
        (vec!["--from", &good, "--table", "x"], "leave --table out"),
        (vec!["--from", db], "name the table with --table"),
        (vec!["--from", db, "--table", "none"], "no such table: none"),
        (vec!["--from", db, "--table", "a.b.c"], "--table"),
        (vec!["--from", db, table[0], table[1], "--column", "user_id=owner"], "no such column: t.owner"),
        (vec!["--from", db, table[0], table[1], "--column", "owner=user_id"], "must be FIELD=COLUMN"),
        (vec!["--from", "sqlite:absent.db", table[0], table[1]], "absent.db: No such file"),
        (vec!["--from", "csv:absent.csv", shop[0], shop[1]], "absent.csv: No such file"),
        (vec!["--from", "mysql://u:planted@h/d", table[0], table[1]], "the source must be"),
        (
            vec!["--from", db, table[0], table[1], "--kind", "oauth_token"],
            "--kind must be password or api_key",
        ),
        (vec!["--from", db, table[0], table[1], "--source", ""], "give one with --source"),
        (vec!["--from", db, table[0], table[1], "--source", "postgres://u:planted@h/d"], "without a login"),
        (vec!["--from", db, table[0], table[1], "--source", "host=h Password=planted"], "without a login"),
        #[cfg(feature = "postgres")]
        (vec!["--from", "postgres://u:planted@db.internal/d", table[0], table[1]], "sslmode=verify-full"),
        #[cfg(feature = "postgres")]
        (vec!["--from", "postgres://u@127.0.0.1:1/d", table[0], table[1]], "can't be opened"),
        #[cfg(feature = "postgres")]
        (
            vec!["--from", "postgres://u:planted@127.0.0.1:1/d", table[0], table[1]],
            "give it with --from-file",
        ),
    ] {
        let all: Vec<&str> = arguments.iter().copied().chain(org).collect();
        let (code, said) = import(home, &all);
        assert!(code == 1 && said.contains(wanted) && !said.contains("planted"), "{all:?} {said}");
    }
    for (text, wanted) in [
        ("", "does not name the column id"),
        ("id,user_id,url,database,username\n", "does not name the column encrypted_password"),
        (&header.replace("url", "url,url"), "names the column url twice"),
        (&header.replace("id,user_id", "id;user_id"), "does not name the column id"),
    ] {
        let (code, said) = import(home, &["--from", &csv(text), shop[0], shop[1], org[0], org[1]]);
        assert!(code == 1 && said.contains(wanted), "{text} {said}");
    }
    let open = format!("{header}1,ada,\"{}", "x".repeat(17 * 1024 * 1024));
    let (code, said) = import(home, &["--from", &csv(&open), shop[0], shop[1], org[0], org[1]]);
    assert!(code == 1 && said.contains("longer than 16 MiB"), "{said}");
    let (code, said) = import(home, &["--from", db, table[0], table[1]]);
    assert_eq!((code, said.as_str()), (2, ""), "clap wants --org");
    assert_eq!(home.sql().count("connections"), 0);
}

#[cfg(feature = "postgres")]
/// Attack on P3: a server's password in a file for all to read.
#[test]
fn a_file_with_a_servers_address_is_its_owners_alone() {
    let vault = Vault::start();
    let path = vault.home.path().join("shop-address");
    std::fs::write(&path, "postgres://u:planted@127.0.0.1:1/d\n").unwrap();
    for (mode, wanted) in
        [(0o640, "(mode 640): chmod 600 it"), (0o604, "(mode 604): chmod 600 it"), (0o600, "can't be opened")]
    {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let (code, said) =
            import(&vault.home, &["--from-file", "shop-address", "--table", "x", "--org", "acme"]);
        assert!(code == 1 && said.contains(wanted) && !said.contains("planted"), "{said}");
    }
}

/// A policy that leaves rows out would make a part pass for the whole.
#[cfg(feature = "postgres")]
#[test]
fn a_table_of_which_a_policy_hides_rows_is_refused() {
    let vault = Vault::start();
    let mut table = Table::new(&vault.home, Kind::Postgres, &[row("1", "ada", &token("s"))]);
    let mut sql = table.sql();
    sql.run("GRANT SELECT ON odoo_credentials TO pawl_migrate");
    table.from[1] = table.from[1].replace("tester@", "pawl_migrate@");
    assert_eq!(counts(&table.import(&vault.home, &["--dry-run"])), [1, 0, 0, 0, 0]);
    sql.run("ALTER TABLE odoo_credentials ENABLE ROW LEVEL SECURITY");
    sql.run("CREATE POLICY part ON odoo_credentials USING (user_id = 'ada')");
    let (code, said) = told(&table.import(&vault.home, &[]));
    assert!(code == 1 && said[0].contains("row-level security policy"), "{said:?}");
}

#[test]
fn a_csv_is_read_however_it_was_written() {
    let vault = Vault::start();
    let good = token("s");
    let text = format!(
        "\u{feff}note,\"owner\",id,url,database,username,encrypted_password\r\n\
         \"a, \"\"b\"\"\r\nc\",ada,1,https://acme.odoo.com/,\"a,b\",bot,{good}\r\n\
         ,ada,2,https://acme.odoo.com,acme,bot\r\n\
         ,ada,3,https://acme.odoo.com,acme,bot,{good},more\r\n\
         \r\n\
         ,ada,4,https://acme.odoo.com,acme,\"bot 4\",\"{good}\""
    );
    let mut bytes = text.into_bytes();
    bytes.extend(b"\r\n,ada,5,https://acme.odoo.com,acme,b\xff,x\r\n");
    std::fs::write(vault.home.path().join("odd.csv"), bytes).unwrap();
    let (code, said) = import(
        &vault.home,
        &["--from", "csv:odd.csv", "--source", "shop", "--org", "acme", "--column", "user_id=owner"],
    );
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(
        (code, said),
        (
            3,
            vec![
                "row 2 left: row columns: must have as many columns as the header",
                "row 3 left: row columns: must have as many columns as the header",
                "id 5 left: username utf8: must be text in UTF-8; encrypted_password opens: must be a Fernet token \
                 that a key of the file opens",
            ]
        )
    );
    let addresses = vault.home.sql().texts("database || ' ' || username", "FROM connections ORDER BY 1");
    assert_eq!(addresses, ["a,b bot", "acme bot 4"]);
}

#[test]
fn a_dry_run_writes_nothing_at_all() {
    for kind in KINDS {
        let home = Home::new();
        assert!(home.pawl(&[]).arg("init").status().unwrap().success());
        let rows: Vec<Row> = (1..=3).map(|n| row(&n.to_string(), "ada", &token("s"))).collect();
        let first = Table::new(&home, Kind::Csv, &rows[..1]).import(&home, &["--column", "id=username"]);
        assert_eq!((told(&first).0, counts(&first)), (0, [1, 0, 0, 0, 0]));
        let mut table = Table::new(&home, *kind, &rows);
        if *kind != Kind::Csv {
            table.from.extend(["--source", "shop 2"].map(str::to_owned));
        }
        let source = home.path().join("shop.db");
        let source_before = std::fs::read(&source).ok();
        let before = home.everything_kept();
        let output = table.import(&home, &["--dry-run"]);
        assert_eq!((told(&output).0, counts(&output)), (3, [2, 0, 0, 1, 0]), "{kind:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("nothing was written"));
        let after = home.everything_kept();
        let names =
            |kept: &[(std::path::PathBuf, Vec<u8>)]| kept.iter().map(|k| k.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(&after), names(&before), "{kind:?}");
        for (now, then) in after.iter().zip(&before) {
            assert!(now == then, "{} is another", now.0.display());
        }
        let really = table.import(&home, &[]);
        assert_eq!(counts(&really), [2, 0, 0, 1, 0]);
        assert_eq!(std::fs::read(&source).ok(), source_before, "the source is as it was");
    }
}

const PASSWORDS: [&str; 3] = ["planted-PASSWORD-4vN8", "planted-OTHER-9xZ1\u{1}", "planted-THIRD-2mK5"];

/// Attack on P1: everything that an import wrote, said and kept is searched for what it opened and with what.
#[test]
fn nothing_that_an_import_opened_is_written_or_said() {
    for kind in KINDS {
        let vault = Vault::start();
        let specs = PASSWORDS.map(|plain| json!({"keys": [key('a')], "plain": plain}));
        let mut rows: Vec<Row> =
            tokens(&specs).iter().enumerate().map(|(n, token)| row(&n.to_string(), "ada", token)).collect();
        rows[2][2] = Some("https://10.0.0.1".into());
        let table = Table::new(&vault.home, *kind, &rows);
        for log in ["text", "json"] {
            let mut command = table.command(&vault.home, &key('a'), &[]);
            let output = command.env("PAWL_LOG", "trace").env("PAWL_LOG_FORMAT", log).output().unwrap();
            assert_eq!(output.status.code(), Some(3));
            assert!(holds(&output.stderr, "transaction"), "the log is where it is searched");
            let mut kept = vault.home.everything_kept();
            kept.push(("stdout".into(), output.stdout));
            kept.push(("stderr".into(), output.stderr));
            for (path, bytes) in kept {
                for secret in
                    PASSWORDS.map(|p| p.trim_end_matches('\u{1}').to_owned()).iter().chain([&key('a')])
                {
                    assert!(!holds(&bytes, secret), "{kind:?}: {secret} in {}", path.display());
                }
            }
        }
    }
}

/// xorshift64*, Vigna 2016.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// Attack on P10: kill -9 at any point of an import, then again.
#[test]
fn a_killed_import_goes_on_with_nothing_twice_and_nothing_lost() {
    let rounds = if std::env::var_os("TEST_LONG").is_some() { 60 } else { 6 };
    let (token, mut dice) = (token("s"), Dice(0x9e37_79b9_7f4a_7c15));
    let vault = Vault::start();
    let rows: Vec<Row> = (0..3_000).map(|n| row(&n.to_string(), "ada", &token)).collect();
    let table = Table::new(&vault.home, Kind::Csv, &rows);
    let whole = std::time::Instant::now();
    assert_eq!(counts(&table.command(&vault.home, &key('a'), &["--dry-run"]).output().unwrap())[0], 3_000);
    let took = whole.elapsed().max(Duration::from_millis(20));
    let mut cut = 0;
    for _ in 0..rounds {
        let mut command = table.command(&vault.home, &key('a'), &[]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = took * u32::try_from(dice.below(100)).unwrap() / 60;
        let begun = std::time::Instant::now();
        while begun.elapsed() < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        cut += u32::from(child.wait().unwrap().code().is_none());
        let mut sql = vault.home.sql();
        let came = sql.count("connections");
        // A transaction is whole or it is not there.
        assert_eq!(sql.count("imports"), came);
        assert_eq!(vault_events(&vault), came);
    }
    assert!(cut > 0, "no kill came in time");
    let last: Output = table.import(&vault.home, &[]);
    assert_eq!(told(&last), (0, vec![]));
    let mut sql = vault.home.sql();
    assert_eq!((sql.count("connections"), sql.count("imports"), vault_events(&vault)), (3_000, 3_000, 3_000));
    let distinct = sql.texts(
        "count(DISTINCT connection_id)",
        "FROM imports WHERE connection_id IN (SELECT id FROM connections)",
    );
    assert_eq!(distinct, ["3000"]);
}

fn vault_events(vault: &Vault) -> i64 {
    vault.home.sql().count("audit_events WHERE event LIKE '%\"connection.import\"%'")
}

#[test]
fn an_import_that_breaks_off_says_so_and_two_at_once_bring_nothing_twice() {
    let vault = Vault::start();
    let token = token("s");
    let rows: Vec<Row> = (0..600).map(|n| row(&n.to_string(), "ada", &token)).collect();
    let table = Table::new(&vault.home, Kind::Csv, &rows);
    let path = vault.home.path().join("shop.csv");
    let whole = std::fs::read(&path).unwrap();
    // The last quote of row 550 is gone, and what follows is longer than a row may be.
    let mut cut = whole[..whole.len() / 600 * 550].to_vec();
    cut.extend([b"\n1000,\"".as_slice(), &[b'x'; 17 * 1024 * 1024]].concat());
    std::fs::write(&path, cut).unwrap();
    let (code, said) = told(&table.import(&vault.home, &[]));
    assert!(code == 1 && said.last().unwrap().contains("could not be read to its end"), "{said:?}");
    let mut sql = vault.home.sql();
    assert_eq!((sql.count("connections"), sql.count("imports")), (500, 500));
    let runs =
        sql.texts("event", "FROM audit_events WHERE org_id = '' AND event LIKE '%import.run%' ORDER BY seq");
    assert!(runs.len() == 2 && runs[0].contains("\"status_detail\":\"begun\""), "{runs:?}");
    assert!(
        runs[1].contains("\"status_detail\":\"source\"") && runs[1].contains("\"imported\":\"500\""),
        "{runs:?}"
    );

    std::fs::write(&path, whole).unwrap();
    let mut both: Vec<_> = (0..2)
        .map(|_| {
            let mut command = table.command(&vault.home, &key('a'), &[]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let done: Vec<Output> = both.drain(..).map(|child| child.wait_with_output().unwrap()).collect();
    for output in &done {
        let [imported, before, rest @ ..] = counts(output);
        assert_eq!((told(output), imported + before, rest), ((0, vec![]), 600, [0, 0, 0]));
    }
    assert_eq!(done.iter().map(|output| counts(output)[0]).sum::<u64>(), 100);
    assert_eq!((sql.count("connections"), sql.count("imports")), (600, 600));
}
