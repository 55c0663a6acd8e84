//! What somebody hides who writes the database, and no more than that: a rolled-back database that is dressed up to be
//! believed, rows that are put in the place of others, a boundary that is moved over what is young.

use pawl::audit::{Checkpoint, Hash, LogKey, VerifierKey, link};
use serde_json::{Value, json};

use crate::checkpoints::covered;
use crate::database::{Sql, on_postgres};
use crate::harness::{Home, Vault, call, deposit, until};
use crate::served::Served;

const OFTEN: (&str, &str) = ("PAWL_CHECKPOINT_SECONDS", "1");

fn witness(home: &Home) -> String {
    format!("file:{}", home.path().join("witness").display())
}

fn serve(home: &Home) -> Served {
    let witness = witness(home);
    let more = [OFTEN, ("PAWL_AUDIT_WITNESSES", witness.as_str())];
    Served::of(home.serve(&more), home.path().into(), || home.pawl(&[]))
}

fn doctor(home: &Home, args: &[&str]) -> (bool, String) {
    let witness = witness(home);
    let output = home.pawl(&[("PAWL_AUDIT_WITNESSES", &witness)]).arg("doctor").args(args).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// The newest checkpoint of the log in use, as the witness has it.
fn witnessed(home: &Home) -> Checkpoint {
    let notes = std::fs::read_to_string(home.path().join("witness")).unwrap();
    let last = pawl::audit::split_notes(&notes).pop().unwrap();
    Checkpoint::claimed(&last).unwrap()
}

/// Two deposits, each under a checkpoint that the witness has.
fn filled(home: &Home) -> (Served, String) {
    let served = serve(home);
    let size = |home: &Home| std::fs::read(home.path().join("witness")).unwrap_or_default().len();
    let before = size(home);
    let id = served.deposit("one");
    until("a witnessed checkpoint", || size(home) > before);
    let before = size(home);
    served.deposit("two");
    until("a witnessed checkpoint", || size(home) > before);
    (served, id)
}

/// The tables without what guards them.
pub fn unguarded(home: &Home) -> Sql {
    let mut sql = home.sql();
    if on_postgres() {
        sql.run("SET session_replication_role = replica");
    } else {
        let triggers = "FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'audit_%'";
        for trigger in sql.texts("name", triggers) {
            sql.run(&format!("DROP TRIGGER {trigger}"));
        }
    }
    sql
}

fn cut(sql: &mut Sql) {
    sql.run(
        "DELETE FROM audit_leaves WHERE idx > 0;
         DELETE FROM audit_nodes WHERE level > 0 OR idx > 0;
         DELETE FROM audit_checkpoints WHERE size > 1",
    );
}

fn hex_of(sql: &mut Sql, column: &str, rest: &str) -> String {
    let hex =
        if on_postgres() { format!("encode({column}, 'hex')") } else { format!("lower(hex({column}))") };
    sql.texts(&hex, rest).remove(0)
}

/// An event at the end of the vault's own chain, with the hashes that it would have.
fn append_by_hand(sql: &mut Sql, event: &Value) {
    let end = "FROM audit_events WHERE org_id = '' ORDER BY seq DESC LIMIT 1";
    let (last, head) = (sql.texts("seq", end)[0].parse::<i64>().unwrap(), hex_of(sql, "hash", end));
    let before = Hash::from_bytes(&crate::checkpoints::bytes(&head)).unwrap();
    let hash = link(None, last + 1, &before, event.to_string().as_bytes());
    let blob = |hex: &str| if on_postgres() { format!("'\\x{hex}'") } else { format!("x'{hex}'") };
    sql.run(&format!(
        "INSERT INTO audit_events (org_id, seq, event, prev_hash, hash) VALUES ('', {}, '{event}', {}, {})",
        last + 1,
        blob(&head),
        blob(&hash.to_string())
    ));
}

/// Attack on P4.
#[test]
fn a_rolled_back_database_is_not_believed_for_what_is_written_into_it() {
    type Edit = (&'static str, &'static str, fn(&mut Sql, &Checkpoint));
    let edits: [Edit; 6] = [
        ("another public key", "log", |sql, has| {
            let other = LogKey::generate(&has.origin).unwrap().verifier().to_string();
            sql.run(&format!("UPDATE audit_logs SET public_key = '{other}'"));
        }),
        ("another name", "log", |sql, _| sql.run("UPDATE audit_logs SET origin = 'pawl/audit/other'")),
        ("another log after it", "log", |sql, _| {
            sql.run(
                "INSERT INTO audit_logs (id, origin, public_key, sealed, key_id, created_at, follows)
                 SELECT 'log_01ARZ3NDEKTSV4RRFFQ69G5FAV', 'pawl/audit/other', public_key, sealed, key_id,
                     created_at + 1, '' FROM audit_logs",
            );
        }),
        ("what it follows", "log", |sql, has| {
            let past = json!({"origin": has.origin, "size": has.size, "root": has.root.to_string()});
            let follows = json!({"logs": [], "accepted": [past]});
            sql.run(&format!("UPDATE audit_logs SET follows = '{follows}'"));
        }),
        ("no log", "witness", |sql, _| sql.run("DELETE FROM audit_logs; DELETE FROM audit_leaves")),
        ("an acceptance", "witness", |sql, has| {
            append_by_hand(
                sql,
                &json!({"activity_name": "audit.accept_restore", "schema": "1", "status": "Success",
                    "witnessed.origin": has.origin, "witnessed.root": has.root.to_string(),
                    "witnessed.size": has.size.to_string()}),
            );
            sql.run("DELETE FROM audit_logs; DELETE FROM audit_leaves; DELETE FROM audit_nodes");
        }),
    ];
    for (what, by, edit) in edits {
        let home = Home::new();
        let (served, id) = filled(&home);
        drop(served);
        let mut sql = unguarded(&home);
        cut(&mut sql);
        edit(&mut sql, &witnessed(&home));
        drop(sql);
        let served = serve(&home);
        let ready = || call(&served.process.url, "GET", "/readyz", "", None).json["frozen"].clone();
        assert_eq!(ready(), by, "{what}: {}", String::from_utf8_lossy(&served.log()));
        assert_eq!(served.lend(&id).problem(), "frozen", "{what}");
        let (ok, said) = doctor(&home, &[]);
        assert!(!ok && said.contains("wrong     "), "{what}: {said}");
        // As it is, taken on purpose.
        let (ok, said) = doctor(&home, &["--accept-restore"]);
        assert!(ok && said.contains("another begins"), "{what}: {said}");
        until("a loan", || served.lend(&id).status == 201);
        assert_eq!(ready(), "no");
        drop(served);
        // That is kept beside the log: no event has to be there for it.
        unguarded(&home).run("DELETE FROM audit_events WHERE org_id = ''");
        let served = serve(&home);
        assert_eq!(served.lend(&id).status, 201, "{what}: {}", String::from_utf8_lossy(&served.log()));
    }
}

/// Attack on P4.
#[test]
fn a_log_that_is_exchanged_under_a_running_vault_freezes_it() {
    let home = Home::new();
    let (served, id) = filled(&home);
    let origin = witnessed(&home).origin;
    let mine = home.sql().texts("public_key", "FROM audit_logs").remove(0);
    let other = LogKey::generate(&origin).unwrap().verifier().to_string();
    unguarded(&home).run(&format!("UPDATE audit_logs SET public_key = '{other}'"));
    let ready = || call(&served.process.url, "GET", "/readyz", "", None).json["frozen"].clone();
    until("the freeze", || ready() == "log");
    assert_eq!(served.lend(&id).problem(), "frozen");
    // Put right, it lends again.
    let mut sql = home.sql();
    let stop = if on_postgres() { "SET session_replication_role = replica; " } else { "" };
    sql.run(&format!("{stop}UPDATE audit_logs SET public_key = '{mine}'"));
    until("a loan", || served.lend(&id).status == 201);
    assert!(VerifierKey::parse(&mine).is_ok() && ready() == "no");
}

/// Attack on P4.
#[test]
fn no_row_of_the_trail_is_put_in_the_place_of_another() {
    let vault = Vault::start();
    (0..3).for_each(|n| drop(vault.deposit_as("acme", "ada", &deposit(&format!("bot{n}"), "s"))));
    covered(&vault, "acme");
    let (mut sql, last) = (vault.home.sql(), "FROM audit_events WHERE org_id = 'acme'");
    let last: i64 = sql.texts("max(seq)", last)[0].parse().unwrap();
    let event = "event, prev_hash, hash FROM audit_events WHERE org_id = 'acme' AND seq = 1";
    let columns = "(org_id, seq, event, prev_hash, hash)";
    let mut tried = vec![
        format!("INSERT INTO audit_events {columns} SELECT 'acme', {}, {event}", last + 2),
        format!("INSERT INTO audit_events {columns} SELECT 'acme', 0, {event}"),
        format!("INSERT INTO audit_events {columns} SELECT 'acme', -1, {event}"),
        format!("INSERT INTO audit_events {columns} SELECT 'nobody', 2, {event}"),
        "UPDATE audit_logs SET public_key = ''".into(),
        "UPDATE audit_logs SET follows = ' '".into(),
        "DELETE FROM audit_logs".into(),
        "UPDATE audit_chains SET org_id = 'x' WHERE org_id = 'acme'".into(),
        "UPDATE audit_chains SET salt = salt".into(),
        "DELETE FROM audit_chains".into(),
        "INSERT INTO audit_chains (org_id, salt, pruned_seq, day, day_seq)
         SELECT 'new', salt, 7, 0, 0 FROM audit_chains WHERE org_id = 'acme'"
            .into(),
        "UPDATE audit_chains SET pruned_seq = 2, pruned_hash = \
         (SELECT hash FROM audit_events WHERE org_id = 'acme' AND seq = 2) WHERE org_id = 'acme'"
            .into(),
    ];
    if !on_postgres() {
        let again = |table: &str| format!("INSERT OR REPLACE INTO {table} SELECT * FROM {table}");
        tried.extend(
            ["events", "leaves", "nodes", "checkpoints", "chains", "logs"]
                .map(|of| again(&format!("audit_{of}"))),
        );
        tried.extend([
            format!("INSERT OR REPLACE INTO audit_events {columns} SELECT 'acme', 2, {event}"),
            format!("REPLACE INTO audit_events {columns} SELECT 'acme', {last}, {event}"),
            "UPDATE OR REPLACE audit_events SET seq = 1 WHERE org_id = 'acme' AND seq = 2".into(),
            "INSERT OR REPLACE INTO audit_leaves (log_id, idx, org_id, seq, head)
             SELECT log_id, 0, org_id, seq, head FROM audit_leaves WHERE idx = 1"
                .into(),
        ]);
    } else {
        tried.extend([
            format!(
                "INSERT INTO audit_events {columns} SELECT 'acme', 2, {event}
                 ON CONFLICT (org_id, seq) DO UPDATE SET event = excluded.event"
            ),
            "TRUNCATE audit_chains".into(),
            "TRUNCATE audit_logs".into(),
        ]);
    }
    let rows = |sql: &mut Sql| {
        let of = ["events", "leaves", "nodes", "checkpoints", "chains", "logs"];
        of.map(|of| sql.texts("count(*)", &format!("FROM audit_{of}"))[0].clone())
    };
    let before = rows(&mut sql);
    for statement in tried {
        assert!(sql.try_run(&statement).is_err(), "{statement}");
    }
    assert_eq!(rows(&mut sql), before);
    // What follows the last is still taken.
    vault.deposit_as("acme", "ada", &deposit("after", "s"));
}
