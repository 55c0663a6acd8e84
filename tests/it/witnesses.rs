//! What witnesses are for: a database that was put back, or whose log was rewritten, is seen at the next start, and
//! lends nothing until somebody takes it as it is. And what a witness can't do: keep anybody waiting.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use pawl::audit::{Checkpoint, VerifierKey};
use serde_json::Value;

use crate::checkpoints::forged;
use crate::database::{Sql, on_postgres};
use crate::harness::{Home, call, deposit, is_within, until};
use crate::served::Served;
use crate::witness::{Manner, Witness};

pub const OFTEN: (&str, &str) = ("PAWL_CHECKPOINT_SECONDS", "1");
pub const OPS: (&str, &str) = ("PAWL_OPS_LISTEN", "127.0.0.1:0");

pub fn serve(home: &Home, witnesses: &str) -> Served {
    let more = [OFTEN, OPS, ("PAWL_AUDIT_WITNESSES", witnesses)];
    Served::of(home.serve(&more), home.path().into(), || home.pawl(&[]))
}

/// The newest checkpoint in the database, and its note.
pub fn newest(home: &Home) -> (Checkpoint, String) {
    let rest = "FROM audit_checkpoints JOIN audit_logs ON audit_logs.id = log_id \
                ORDER BY audit_logs.created_at DESC, size DESC LIMIT 1";
    let note = home.sql().texts("note", rest).remove(0);
    (Checkpoint::claimed(&note).unwrap(), note)
}

/// Deposits, and waits until the witness's file ends with a checkpoint that stands over more than before.
pub fn goes_on(home: &Home, served: &Served, name: &str) -> String {
    let before = newest(home).0.size;
    let id = served.deposit(name);
    let file = home.path().join("witness");
    until("a witnessed checkpoint", || {
        let (checkpoint, note) = newest(home);
        checkpoint.size > before && std::fs::read_to_string(&file).unwrap_or_default().ends_with(&note)
    });
    id
}

pub fn doctor(home: &Home, witnesses: &str, args: &[&str]) -> (bool, String) {
    let output = home.pawl(&[("PAWL_AUDIT_WITNESSES", witnesses)]).arg("doctor").args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

pub fn log_of(home: &Home) -> String {
    std::fs::read_to_string(home.path().join("log")).unwrap()
}

/// Why a vault is frozen, and what was done to its database while it was not there.
pub type Edit = (&'static str, fn(&mut Sql));

/// A vault that is served, frozen, after `edit` of its database, which a file is the witness of; and its witnesses and the
/// connection it does not lend.
pub fn frozen_by((why, edit): Edit) -> (Home, String, Served, String) {
    let home = Home::new();
    let witnesses = format!("file:{}", home.path().join("witness").display());
    let served = serve(&home, &witnesses);
    let id = goes_on(&home, &served, "one");
    goes_on(&home, &served, "two");
    drop(served);
    edit(&mut unguarded(&home));
    let served = serve(&home, &witnesses);
    is_frozen(&home, &served, &id);
    assert!(log_of(&home).contains(why), "{why}: {}", log_of(&home));
    (home, witnesses, served, id)
}

/// It lends nothing and says why, and what only looks goes on.
pub fn is_frozen(home: &Home, served: &Served, id: &str) {
    let url = &served.process.url;
    let ready = call(url, "GET", "/readyz", "", None);
    assert_eq!((ready.status, &ready.json["frozen"]), (200, &Value::from("witness")), "{}", log_of(home));
    assert_eq!(served.lend(id).problem(), "frozen");
    let refused = call(url, "POST", "/v1/connections", &served.backend, Some(&deposit("late", "s")));
    assert_eq!(refused.problem(), "frozen");
    assert_eq!(call(url, "GET", "/v1/connections", &served.backend, None).status, 200);
    let metrics = served.process.metrics();
    assert!(metrics.contains("pawl_frozen{by=\"witness\"} 1"), "{metrics}");
}

pub fn accepted(home: &Home) -> Vec<Value> {
    let events = home.sql().texts("event", "FROM audit_events WHERE org_id = '' ORDER BY seq");
    let events = events.iter().map(|event| serde_json::from_str::<Value>(event).unwrap());
    events.filter(|event| event["activity_name"] == "audit.accept_restore").collect()
}

/// Attack on P4.
#[test]
fn a_database_that_was_put_back_starts_frozen_until_that_is_accepted() {
    let home = Home::on_sqlite();
    let witnesses = format!("file:{}", home.path().join("witness").display());
    let (database, copy) = (home.data().join("pawl.db"), home.path().join("copy.db"));
    let put_back = || {
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", database.display()));
        }
        std::fs::copy(&copy, &database).unwrap();
        std::fs::set_permissions(&database, PermissionsExt::from_mode(0o600)).unwrap();
    };
    let served = serve(&home, &witnesses);
    let id = goes_on(&home, &served, "kept");
    home.sql().run(&format!("VACUUM INTO '{}'", copy.display()));
    let old = newest(&home).0.size;
    goes_on(&home, &served, "cut off");
    let (last, _) = newest(&home);
    drop(served);
    // As it was it starts as ever; put back, it does not.
    drop(serve(&home, &witnesses));
    let (last, witnessed) = (newest(&home).0.size.max(last.size), home.path().join("witness"));
    let known = std::fs::read(&witnessed).unwrap();
    put_back();
    let served = serve(&home, &witnesses);
    is_frozen(&home, &served, &id);
    assert!(log_of(&home).contains("older than its newest witnessed checkpoint"), "{}", log_of(&home));
    let (ok, said) = doctor(&home, &witnesses, &[]);
    assert!(!ok && said.contains("wrong     the database is older"), "{said}");
    assert_eq!(std::fs::read(&witnessed).unwrap(), known, "what is known is not written over");
    assert_eq!(newest(&home).0.size, old, "nothing is signed that goes on from less");

    // Accepted, on record; the vault that runs sees it.
    let (ok, said) = doctor(&home, &witnesses, &["--accept-restore"]);
    assert!(ok && said.contains("another begins"), "{said}");
    until("a loan", || served.lend(&id).status == 201);
    let ready = call(&served.process.url, "GET", "/readyz", "", None);
    assert_eq!(ready.json["frozen"], "no");
    let events = accepted(&home);
    assert_eq!(events.len(), 1);
    let size = |name: &str| events[0][name].as_str().unwrap().parse::<u64>().unwrap();
    assert!(size("witnessed.size") >= last && size("database.size") == old, "{events:?}");
    goes_on(&home, &served, "after");
    let (ok, said) = doctor(&home, &witnesses, &["--accept-restore"]);
    assert!(!ok && said.contains("nothing to accept"), "{said}");
    assert_eq!(home.sql().count("audit_logs"), 2);
    drop(served);
    let served = serve(&home, &witnesses);
    assert_eq!(served.lend(&id).status, 201);
    drop(served);

    // The same copy once more: what was accepted then is not on record in it.
    put_back();
    let served = serve(&home, &witnesses);
    is_frozen(&home, &served, &id);
    assert!(log_of(&home).contains("of a log that the database does not know"), "{}", log_of(&home));
}

/// The log's tables without what guards them, as who may do anything there has them.
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

pub fn cut(sql: &mut Sql) {
    sql.run(
        "DELETE FROM audit_leaves WHERE idx > 0;
         DELETE FROM audit_nodes WHERE level > 0 OR idx > 0;
         DELETE FROM audit_checkpoints WHERE size > 1",
    );
}

/// Attack on P4.
#[test]
fn a_log_that_was_cut_or_rewritten_is_seen_at_the_next_start() {
    let edits: [Edit; 4] = [
        ("is older than its newest witnessed checkpoint", cut),
        ("was rewritten", |sql| {
            let other = "SELECT hash FROM audit_nodes WHERE level = 0 AND idx = 0";
            sql.run(&format!("UPDATE audit_nodes SET hash = ({other}) WHERE idx = 0 OR level = 0"));
        }),
        ("was rewritten", |sql| sql.run("DELETE FROM audit_nodes WHERE level > 0")),
        ("of a log that the database does not know", |sql| {
            sql.run("DELETE FROM audit_logs; DELETE FROM audit_leaves; DELETE FROM audit_nodes");
        }),
    ];
    for edit in edits {
        let (home, witnesses, served, id) = frozen_by(edit);
        let (ok, said) = doctor(&home, &witnesses, &["--accept-restore"]);
        assert!(ok, "{said}");
        until("a loan", || served.lend(&id).status == 201);
    }
}

/// Attack on P4.
#[test]
fn a_log_that_is_cut_under_a_running_vault_freezes_it() {
    let home = Home::new();
    let witnesses = format!("file:{}", home.path().join("witness").display());
    let served = serve(&home, &witnesses);
    let id = goes_on(&home, &served, "one");
    goes_on(&home, &served, "two");
    cut(&mut unguarded(&home));
    let ready = || call(&served.process.url, "GET", "/readyz", "", None);
    until("the freeze", || ready().json["frozen"] == "witness");
    is_frozen(&home, &served, &id);
}

/// Attack on P4.
#[test]
fn a_log_that_is_rewritten_under_a_running_vault_is_not_signed_and_freezes_it() {
    let home = Home::new();
    let witnesses = format!("file:{}", home.path().join("witness").display());
    let served = serve(&home, &witnesses);
    let id = goes_on(&home, &served, "one");
    goes_on(&home, &served, "two");
    // Zeros for every hash, as whoever works them out anew would have others, and no word of what was signed.
    let forged = "UPDATE audit_nodes SET hash = (SELECT pruned_hash FROM audit_chains WHERE org_id = '')";
    unguarded(&home).run(&format!("{forged}; DELETE FROM audit_checkpoints"));
    served.deposit("three");
    let ready = || call(&served.process.url, "GET", "/readyz", "", None);
    until("the freeze", || ready().json["frozen"] == "witness");
    assert_eq!(home.sql().count("audit_checkpoints"), 0, "nothing was signed over it");
    is_frozen(&home, &served, &id);
}

/// Attack on P4.
#[test]
fn a_forged_checkpoint_freezes_nobody_and_is_not_written_over() {
    let home = Home::new();
    let witness = Witness::new(Manner::Keeps);
    let served = serve(&home, &witness.url);
    let id = served.deposit("one");
    until("the witness", || !witness.taken().is_empty());
    drop(served);
    let key = VerifierKey::parse(&home.sql().texts("public_key", "FROM audit_logs").remove(0)).unwrap();
    let good = witness.taken().pop().unwrap();
    assert!(key.verify(&good).is_ok());
    let size = key.verify(&good).unwrap().size;
    let spoilt = good.replacen(&format!("\n{size}\n"), "\n999999\n", 1);
    for words in [forged(key.origin(), 999_999), spoilt, "<html>it works</html>".into(), "\n\n".into()] {
        witness.has(std::slice::from_ref(&words));
        let served = serve(&home, &witness.url);
        served.opens(&id, "one");
        assert!(log_of(&home).contains("what it has is not believed"), "{}", log_of(&home));
        let (ok, said) = doctor(&home, &witness.url, &[]);
        assert!(ok && said.contains("does not say what it has"), "{said}");
        let (ok, said) = doctor(&home, &witness.url, &["--accept-restore"]);
        assert!(!ok && said.contains("nothing to accept"), "{said}");
        assert_eq!(witness.taken(), [words]);
        // Put right, it is asked again.
        witness.has(std::slice::from_ref(&good));
        served.deposit(&format!("bot{}", Instant::now().elapsed().as_nanos()));
        until("the witness", || witness.taken().len() > 1);
        assert!(key.verify(witness.taken().last().unwrap()).is_ok());
        drop(served);
        home.sql().run("DELETE FROM connections WHERE username <> 'one'");
    }
    assert_eq!(accepted(&home).len(), 0);
}

/// Attack on P4 and P10.
#[test]
fn a_witness_that_misbehaves_keeps_nobody_waiting() {
    let home = Home::new();
    let mut id = None;
    for manner in [Manner::Fails, Manner::Hangs, Manner::Redirects, Manner::Endless, Manner::TakesNothing] {
        let witness = Witness::new(manner);
        let served = serve(&home, &witness.url);
        let id = id.get_or_insert_with(|| served.deposit("kept"));
        let begun = Instant::now();
        for _ in 0..20 {
            served.opens(id, "kept");
        }
        is_within(Duration::from_secs(2), begun.elapsed(), "20 loans");
        let failed = || served.process.metrics().contains("pawl_witness_failures_total{witness=\"1\"}");
        until("the count of failures", failed);
        assert!(log_of(&home).contains("witness"), "{}", log_of(&home));
        assert_eq!(witness.calls().1, 0, "it went where it was led");
        let ready = call(&served.process.url, "GET", "/readyz", "", None);
        assert_eq!((ready.status, &ready.json["frozen"]), (200, &Value::from("no")), "{}", ready.body);
        // Once it behaves it is told what is newest then.
        witness.behaves(Manner::Keeps);
        until("the witness", || !witness.taken().is_empty());
        let key = VerifierKey::parse(&home.sql().texts("public_key", "FROM audit_logs").remove(0)).unwrap();
        assert!(witness.taken().iter().all(|note| key.verify(note).is_ok()));
    }
}

/// Attack on P4 and P10.
#[test]
fn what_was_signed_and_not_told_is_told_after_a_kill() {
    let home = Home::new();
    let witness = Witness::new(Manner::TakesNothing);
    let served = serve(&home, &witness.url);
    let id = served.deposit("one");
    let before = newest(&home).0.size;
    until("a checkpoint", || newest(&home).0.size > before);
    let signed = newest(&home);
    drop(served);
    assert_eq!(witness.taken(), [""; 0]);
    witness.behaves(Manner::Keeps);
    let served = serve(&home, &witness.url);
    until("the witness", || !witness.taken().is_empty());
    let key = VerifierKey::parse(&home.sql().texts("public_key", "FROM audit_logs").remove(0)).unwrap();
    assert!(key.verify(&witness.taken()[0]).unwrap().size >= signed.0.size);
    served.opens(&id, "one");
    assert_eq!(home.sql().count("audit_logs"), 1);
}

#[test]
fn standard_output_is_told_in_lines() {
    let home = Home::new();
    let served = serve(&home, "stdout");
    served.deposit("one");
    let before = newest(&home).0.size;
    until("a checkpoint", || newest(&home).0.size > before);
    served.process.signal(rustix::process::Signal::TERM);
    let Served { process, .. } = served;
    let said = process.rest();
    let key = VerifierKey::parse(&home.sql().texts("public_key", "FROM audit_logs").remove(0)).unwrap();
    let notes: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let size = |note: &Value| key.verify(note["checkpoint"].as_str().unwrap()).unwrap().size;
    assert!(notes.iter().map(size).is_sorted() && !notes.is_empty(), "{said}");
    assert_eq!(notes.last().map(size), Some(newest(&home).0.size));
}

#[test]
fn what_is_no_witness_and_no_time_is_refused_by_name() {
    let home = Home::new();
    for (name, value, rule) in [
        ("PAWL_AUDIT_WITNESSES", "http://witness.example/", "is no witness"),
        ("PAWL_AUDIT_WITNESSES", "file:nowhere/checkpoints", "a directory that is not there"),
        ("PAWL_AUDIT_WITNESSES", "stdout,stdout", "is there twice"),
        ("PAWL_CHECKPOINT_SECONDS", "0", "from 1 to 86400"),
        ("PAWL_CHECKPOINT_EVENTS", "0", "from 1 to 1000000"),
    ] {
        let output = home.pawl(&[(name, value)]).arg("serve").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(name) && said.contains(rule), "{value}: {said}");
    }
}
