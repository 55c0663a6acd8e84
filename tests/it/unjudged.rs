//! What can't be held against the database, or is damaged there, is no consent: a vault whose witness spoke lends nothing
//! before its word was judged, and forgets no doubt. And one org's damaged row is that org's harm, and nobody else's.

use pawl::audit::{Checkpoint, VerifierKey, split_notes};
use serde_json::Value;

use crate::database::{Sql, on_postgres};
use crate::harness::{Home, call, deposit, until};
use crate::served::Served;
use crate::witness::{Manner, Witness};
use crate::witnesses::{Edit, cut, doctor, frozen_by, goes_on, is_frozen, log_of, newest, serve, unguarded};

/// Nothing, where a hash of 32 bytes belongs.
fn spoil(sql: &mut Sql, table: &str, column: &str, rest: &str) {
    let nothing = if on_postgres() { "''::bytea" } else { "x''" };
    sql.run(&format!("UPDATE {table} SET {column} = {nothing} {rest}"));
}

/// Attack on P4.
#[test]
fn a_damaged_node_hides_no_log_that_was_cut_or_rewritten() {
    let edits: [Edit; 4] = [
        ("was rewritten", |sql| spoil(sql, "audit_nodes", "hash", "")),
        ("was rewritten", |sql| spoil(sql, "audit_nodes", "hash", "WHERE level = 0")),
        ("was rewritten", |sql| sql.run("UPDATE audit_nodes SET idx = -1 - idx")),
        // What it took before is not what it says now.
        ("is older than", |sql| {
            cut(sql);
            sql.run("UPDATE audit_witnesses SET size = -1");
        }),
    ];
    for edit in edits {
        frozen_by(edit);
    }
}

/// Attack on P4.
#[test]
fn a_log_that_was_followed_and_is_gone_is_not_passed_over() {
    let home = Home::new();
    let [first, second] = ["witness", "second"].map(|name| home.path().join(name));
    let witnesses = format!("file:{}", first.display());
    let served = serve(&home, &witnesses);
    let id = goes_on(&home, &served, "one");
    goes_on(&home, &served, "two");
    goes_on(&home, &served, "three");
    drop(served);
    cut(&mut unguarded(&home));
    // One witness has all but the newest; against that much the restore is accepted.
    let all = std::fs::read_to_string(&first).unwrap();
    std::fs::write(&second, &all).unwrap();
    let notes = split_notes(&all);
    std::fs::write(&first, notes[..notes.len() - 1].join("\n")).unwrap();
    let (ok, said) = doctor(&home, &witnesses, &["--accept-restore"]);
    assert!(ok, "{said}");
    let served = serve(&home, &witnesses);
    served.opens(&id, "one");
    drop(served);
    let old = "(SELECT id FROM audit_logs WHERE follows = '')";
    unguarded(&home).run(&format!(
        "DELETE FROM audit_leaves WHERE log_id = {old}; DELETE FROM audit_logs WHERE id = {old}"
    ));
    let served = serve(&home, &format!("file:{}", second.display()));
    is_frozen(&home, &served, &id);
    assert!(log_of(&home).contains("of a log that the database does not know"), "{}", log_of(&home));
}

/// Attack on P4.
#[test]
fn what_could_not_be_held_against_the_database_is_until_it_was() {
    let home = Home::new();
    let witness = Witness::new(Manner::Keeps);
    let served = serve(&home, &witness.url);
    let id = served.deposit("one");
    let has = || witness.taken().last().map_or(0, |note| Checkpoint::claimed(note).unwrap().size);
    until("the witness", || has() > 1);
    drop(served);
    unguarded(&home).run("ALTER TABLE audit_nodes RENAME COLUMN hash TO away");
    let served = serve(&home, &witness.url);
    is_frozen(&home, &served, &id);
    assert!(log_of(&home).contains("can't be held against the database"), "{}", log_of(&home));
    let (ok, said) = doctor(&home, &witness.url, &["--accept-restore"]);
    assert!(!ok && !said.contains("nothing to accept"), "{said}");
    // What it said counts, though it says no more.
    witness.behaves(Manner::Fails);
    let before = newest(&home).0.size;
    unguarded(&home).run("ALTER TABLE audit_nodes RENAME COLUMN away TO hash");
    until("a loan", || served.lend(&id).status == 201);
    assert!(log_of(&home).contains("no longer frozen"), "{}", log_of(&home));
    until("a checkpoint", || newest(&home).0.size > before);
    drop(served);
    // The same, and it was put back while nobody could tell.
    witness.behaves(Manner::Keeps);
    unguarded(&home).run("ALTER TABLE audit_nodes RENAME COLUMN hash TO away");
    let served = serve(&home, &witness.url);
    is_frozen(&home, &served, &id);
    witness.behaves(Manner::Fails);
    unguarded(&home)
        .run("DELETE FROM audit_nodes WHERE idx > 0; ALTER TABLE audit_nodes RENAME COLUMN away TO hash");
    until("the doubt", || log_of(&home).contains("is older than its newest witnessed checkpoint"));
    is_frozen(&home, &served, &id);
}

/// Attack on P4.
#[test]
fn a_data_directory_that_takes_nothing_ends_no_freeze() {
    let home = Home::new();
    let witness = Witness::new(Manner::Keeps);
    let served = serve(&home, &witness.url);
    let id = served.deposit("one");
    until("the witness", || !witness.taken().is_empty());
    let before = newest(&home).0.size;
    served.deposit("two");
    until("a checkpoint", || newest(&home).0.size > before);
    witness.behaves(Manner::Fails);
    // As little of a file as a full disk takes.
    let fresh = home.data().join("doubted.new");
    std::fs::create_dir(&fresh).unwrap();
    cut(&mut unguarded(&home));
    until("the freeze", || log_of(&home).contains("could not be kept"));
    let asked = witness.calls().0;
    until("another session", || witness.calls().0 > asked + 1);
    is_frozen(&home, &served, &id);
    let mark = home.data().join("doubted");
    assert!(!mark.exists());
    std::fs::remove_dir(&fresh).unwrap();
    until("the mark", || mark.exists());
    is_frozen(&home, &served, &id);
    drop(served);
    is_frozen(&home, &serve(&home, "stdout"), &id);
    let (ok, said) = doctor(&home, "stdout", &["--accept-restore"]);
    assert!(ok, "{said}");
    assert!(!mark.exists());
}

/// Attack on P4.
#[test]
fn whoever_writes_the_database_says_nothing_to_a_witness() {
    let home = Home::new();
    let witness = Witness::new(Manner::Keeps);
    let served = serve(&home, &witness.url);
    let id = served.deposit("one");
    until("the witness", || !witness.taken().is_empty());
    let (early, note) = newest(&home);
    served.deposit("two");
    until("the witness", || {
        witness.taken().last().is_some_and(|last| Checkpoint::claimed(last).unwrap().size > early.size)
    });
    // An old note as if it stood over more than all: a witness that keeps the last alone would know no more than that.
    let last = "(SELECT id FROM audit_logs ORDER BY created_at DESC LIMIT 1)";
    let insert = |note: &str| {
        format!(
            "INSERT INTO audit_checkpoints (log_id, size, root, note, created_at)
             SELECT log_id, 999999999, root, '{note}', created_at FROM audit_checkpoints WHERE log_id = {last} AND size = {}",
            early.size
        )
    };
    home.sql().run(&insert(&note));
    until("the freeze", || call(&served.process.url, "GET", "/readyz", "", None).json["frozen"] == "witness");
    is_frozen(&home, &served, &id);
    assert!(log_of(&home).contains("that its log's key did not sign"), "{}", log_of(&home));
    let key = VerifierKey::parse(&home.sql().texts("public_key", "FROM audit_logs")[0]).unwrap();
    let sizes: Vec<u64> = witness.taken().iter().map(|note| key.verify(note).unwrap().size).collect();
    assert!(sizes.is_sorted_by(|one, next| one < next), "{sizes:?}");
    drop(served);
    let served = serve(&home, &witness.url);
    is_frozen(&home, &served, &id);
    let (ok, said) = doctor(&home, &witness.url, &["--accept-restore"]);
    assert!(ok && said.contains("did not sign"), "{said}");
    until("a loan", || served.lend(&id).status == 201);
}

/// Attack on P4.
#[test]
fn no_row_makes_an_old_checkpoint_young_nor_a_log_of_less_than_was_signed() {
    let home = Home::new();
    let served = serve(&home, "stdout");
    let id = served.deposit("one");
    let begun = newest(&home).0.size;
    until("a checkpoint", || newest(&home).0.size > begun);
    let size = newest(&home).0.size;
    served.deposit("two");
    let mut sql = unguarded(&home);
    until("another checkpoint", || {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
        sql.run(&format!("UPDATE audit_checkpoints SET created_at = {now} WHERE size = {size}"));
        newest(&home).0.size > size
    });
    // That much was told is not the database's to say.
    sql.run("UPDATE audit_witnesses SET size = 999999999");
    let size = newest(&home).0.size;
    drop(served);
    let served = serve(&home, "stdout");
    served.deposit("three");
    until("a checkpoint", || newest(&home).0.size > size);
    served.process.signal(rustix::process::Signal::TERM);
    let Served { process, .. } = served;
    assert!(process.rest().contains("checkpoint"));
    // Nobody but the database itself knows what was signed: where it says so, it is held to that.
    sql.run("DELETE FROM audit_nodes WHERE level > 0 OR idx > 0");
    let served = serve(&home, "stdout");
    is_frozen(&home, &served, &id);
    assert!(log_of(&home).contains("has 1 leaves"), "{}", log_of(&home));
}

fn verify(home: &Home) -> (bool, String) {
    let output = home.pawl(&[]).args(["audit", "verify"]).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

/// Attack on P4.
#[test]
fn what_stands_in_the_database_writes_over_nothing_that_is_said_of_it() {
    let home = Home::new();
    drop(serve(&home, "stdout"));
    let escape = if on_postgres() { "chr(27)" } else { "char(27)" };
    let whole = format!("{escape} || '[2J' || {escape} || '[Hwhole: 1 chains'");
    unguarded(&home).run(&format!("UPDATE audit_logs SET origin = {whole}, public_key = {whole}"));
    let (ok, said) = verify(&home);
    assert!(!ok && !said.contains('\u{1b}') && said.contains("\\u001b[2J"), "{said}");
    let (ok, said) = doctor(&home, "stdout", &[]);
    assert!(!ok && !said.contains('\u{1b}') && said.contains("is not this vault's"), "{said}");
}

/// Attack on P4 and P10.
#[test]
fn a_damaged_chain_holds_up_no_others_checkpoints() {
    let home = Home::new();
    let served = serve(&home, "stdout");
    let last = |org: &str, table: &str| -> i64 {
        let rest = format!("FROM {table} WHERE org_id = '{org}'");
        home.sql().texts("coalesce(max(seq), 0)", &rest)[0].parse().unwrap()
    };
    let is_covered = |org: &str| last(org, "audit_leaves") == last(org, "audit_events");
    let deposits = |org: &str, name: &str| {
        let args = ["token", "issue", "--org", org, "--user", "ada", "--role", "backend"];
        let token = String::from_utf8(home.pawl(&[]).args(args).output().unwrap().stdout).unwrap();
        let made =
            call(&served.process.url, "POST", "/v1/connections", token.trim(), Some(&deposit(name, "s")));
        assert_eq!(made.status, 201, "{}", made.body);
    };
    ["acme", "other"].iter().for_each(|org| deposits(org, "one"));
    until("a leaf of each", || is_covered("acme") && is_covered("other") && is_covered(""));
    let mut sql = unguarded(&home);
    sql.run(match on_postgres() {
        true => "ALTER TABLE audit_chains DROP CONSTRAINT audit_chains_salt_check",
        false => "PRAGMA ignore_check_constraints = ON",
    });
    let salt = if on_postgres() { "encode(salt, 'hex')" } else { "hex(salt)" };
    let salt = sql.texts(salt, "FROM audit_chains WHERE org_id = 'acme'").remove(0);
    spoil(&mut sql, "audit_chains", "salt", "WHERE org_id = 'acme'");
    // And one that is nobody's.
    let nobody = "x".repeat(200);
    sql.run(&format!(
        "INSERT INTO audit_chains (org_id, salt, day, day_seq)
         SELECT '{nobody}', salt, day, day_seq FROM audit_chains WHERE org_id = 'other';
         INSERT INTO audit_events (org_id, seq, event, prev_hash, hash)
         SELECT '{nobody}', seq, event, prev_hash, hash FROM audit_events WHERE org_id = 'other'",
    ));
    ["acme", "other"].iter().for_each(|org| deposits(org, "two"));
    until("a leaf of the other", || is_covered("other"));
    let damaged = |count: u8| served.process.metrics().contains(&format!("pawl_chains_damaged {count}\n"));
    until("the count", || damaged(2));
    assert!(
        !is_covered("acme") && log_of(&home).contains("chains of the trail are damaged"),
        "{}",
        log_of(&home)
    );
    let ready = call(&served.process.url, "GET", "/readyz", "", None);
    assert_eq!((ready.status, &ready.json["frozen"]), (200, &Value::from("no")));
    let (ok, said) = verify(&home);
    assert!(!ok && said.contains("altered: the row of acme in audit_chains"), "{said}");
    assert!(said.contains(&format!("inserted: a chain of {nobody}, which is no org's name")), "{said}");
    // Put right, it has its leaf.
    let salt = if on_postgres() { format!("'\\x{salt}'") } else { format!("x'{salt}'") };
    sql.run(&format!("UPDATE audit_chains SET salt = {salt} WHERE org_id = 'acme'"));
    until("a leaf of each", || is_covered("acme") && damaged(1));
}
