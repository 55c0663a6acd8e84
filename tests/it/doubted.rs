//! A doubt once raised: by the largest checkpoint that was verified and by nothing that anybody may have written; for
//! longer than the witness speaks and the process lives. And on-call sees how it stands with each witness.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use pawl::audit::{Checkpoint, LogKey, VerifierKey, leaf_hash};
use serde_json::Value;

use crate::checkpoints::forged;
use crate::harness::{Home, call, until};
use crate::served::Served;
use crate::witness::{Manner, Witness};
use crate::witnesses::{accepted, cut, doctor, goes_on, is_frozen, log_of, newest, serve, unguarded};

fn ready(served: &Served) -> Value {
    let answer = call(&served.process.url, "GET", "/readyz", "", None);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json
}

fn append(home: &Home, words: &[&str]) {
    let file = std::fs::OpenOptions::new().append(true).open(home.path().join("witness"));
    file.unwrap().write_all(words.join("\n").as_bytes()).unwrap();
}

/// Attack on P4.
#[test]
fn the_largest_checkpoint_that_was_verified_counts_and_noise_does_not() {
    let home = Home::new();
    let witnesses = format!("file:{}", home.path().join("witness").display());
    let served = serve(&home, &witnesses);
    let id = goes_on(&home, &served, "one");
    let (_, early) = newest(&home);
    goes_on(&home, &served, "two");
    drop(served);
    let (last, _) = newest(&home);
    // Whoever can append to the file says what they like: of this log, of logs that never were, of nothing.
    let other = "pawl/audit/log_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let root = leaf_hash(b"root");
    let unsigned = Checkpoint { origin: other.into(), size: 9, root }.text();
    let signature = early.rsplit_once("\n\n").unwrap().1;
    let noise = [
        &forged(&last.origin, 999_999),
        &format!("{unsigned}\n{signature}"),
        &format!("{unsigned}\n— {other} AAAAAAAA\n"),
        &LogKey::generate("elsewhere").unwrap().sign(&Checkpoint {
            origin: "elsewhere".into(),
            size: 9,
            root,
        }),
        "\u{0}half a line",
    ];
    append(&home, &noise);
    let served = serve(&home, &witnesses);
    served.opens(&id, "one");
    assert_eq!(ready(&served)["frozen"], "no", "{}", log_of(&home));
    drop(served);
    let (ok, said) = doctor(&home, &witnesses, &[]);
    assert!(ok, "{said}");
    // An old checkpoint behind the newest takes nothing back.
    append(&home, &["\n", &early]);
    cut(&mut unguarded(&home));
    let served = serve(&home, &witnesses);
    is_frozen(&home, &served, &id);
    assert!(log_of(&home).contains("is older than its newest witnessed checkpoint"), "{}", log_of(&home));
}

/// Attack on P4.
#[test]
fn nothing_right_behind_the_newest_checkpoint_hides_it() {
    let home = Home::new();
    let witnesses = format!("file:{}", home.path().join("witness").display());
    let served = serve(&home, &witnesses);
    let id = goes_on(&home, &served, "one");
    let early = newest(&home).1;
    goes_on(&home, &served, "two");
    drop(served);
    cut(&mut unguarded(&home));
    let own = early.rsplit_once("\n\n").unwrap().1;
    let nobodys = |count: usize| "— a/1 AAAAAAA=\n".repeat(count);
    let known = std::fs::read(home.path().join("witness")).unwrap();
    for behind in [own, &nobodys(1), &nobodys(101), &nobodys(20_000)] {
        std::fs::write(home.path().join("witness"), &known).unwrap();
        append(&home, &[behind]);
        let served = serve(&home, &witnesses);
        is_frozen(&home, &served, &id);
        assert!(log_of(&home).contains("is older than its newest witnessed checkpoint"), "{}", log_of(&home));
        drop(served);
        std::fs::remove_file(home.data().join("doubted")).unwrap();
    }
}

/// Attack on P4.
#[test]
fn what_was_said_before_too_much_was_counts_against_the_database_alone() {
    let home = Home::new();
    let witness = Witness::new(Manner::Keeps);
    let served = serve(&home, &witness.url);
    let id = served.deposit("one");
    let size = |note: &String| Checkpoint::claimed(note).map_or(0, |of| of.size);
    until("the witness", || witness.taken().last().map_or(0, size) > 1);
    drop(served);
    // Whoever can post to a witness that gives back all it has makes that as long as they like.
    let taken = witness.taken().concat();
    witness.has(&[format!("{taken}\n{}", "a\n".repeat(100_000))]);
    let served = serve(&home, &witness.url);
    served.opens(&id, "one");
    assert_eq!(ready(&served)["witnesses"], "silent");
    assert!(log_of(&home).contains("too long for a checkpoint"), "{}", log_of(&home));
    drop(served);
    cut(&mut unguarded(&home));
    is_frozen(&home, &serve(&home, &witness.url), &id);
    let (ok, said) = doctor(&home, &witness.url, &[]);
    assert!(!ok && said.contains("wrong     the database is older"), "{said}");
}

/// Attack on P4.
#[test]
fn a_freeze_outlasts_the_witness_that_gave_rise_to_it_and_the_process() {
    let home = Home::new();
    let witness = home.path().join("witness");
    let witnesses = format!("file:{}", witness.display());
    let served = serve(&home, &witnesses);
    let id = goes_on(&home, &served, "one");
    goes_on(&home, &served, "two");
    drop(served);
    let mark = home.data().join("doubted");
    assert!(!mark.exists());
    cut(&mut unguarded(&home));
    is_frozen(&home, &serve(&home, &witnesses), &id);
    let mode = std::fs::metadata(&mark).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Gone, dumb, or not asked any more: what was known is known.
    let known = std::fs::read(&witness).unwrap();
    std::fs::remove_file(&witness).unwrap();
    is_frozen(&home, &serve(&home, &witnesses), &id);
    is_frozen(&home, &serve(&home, &Witness::new(Manner::Fails).url), &id);
    is_frozen(&home, &serve(&home, "stdout"), &id);
    // Nor does a mark that was spoilt say that all is well.
    let marked = std::fs::read(&mark).unwrap();
    std::fs::write(&mark, "").unwrap();
    is_frozen(&home, &serve(&home, &witnesses), &id);
    std::fs::write(&mark, marked).unwrap();
    let (ok, said) = doctor(&home, &witnesses, &[]);
    assert!(!ok && said.contains("wrong     the database is older"), "{said}");

    let served = serve(&home, &witnesses);
    is_frozen(&home, &served, &id);
    let (ok, said) = doctor(&home, &witnesses, &["--accept-restore"]);
    assert!(ok && said.contains("another begins"), "{said}");
    until("a loan", || served.lend(&id).status == 201);
    assert!(!mark.exists());
    assert_eq!(accepted(&home).len(), 1);
    drop(served);
    // What comes back later of what was accepted freezes nobody.
    std::fs::write(&witness, known).unwrap();
    let served = serve(&home, &witnesses);
    assert_eq!(served.lend(&id).status, 201);
    assert!(!mark.exists());
}

/// Attack on P4.
#[test]
fn a_log_that_shrinks_while_its_witness_is_silent_freezes_the_vault_that_saw_it() {
    let home = Home::new();
    let witness = Witness::new(Manner::Keeps);
    let served = serve(&home, &witness.url);
    let id = served.deposit("one");
    until("the witness", || !witness.taken().is_empty());
    let before = newest(&home).0.size;
    served.deposit("two");
    until("a checkpoint", || newest(&home).0.size > before);
    witness.behaves(Manner::Fails);
    cut(&mut unguarded(&home));
    until("the freeze", || ready(&served)["frozen"] == "witness");
    is_frozen(&home, &served, &id);
    until("the mark", || home.data().join("doubted").exists());
    drop(served);
    is_frozen(&home, &serve(&home, &witness.url), &id);
}

/// Attack on P4 and P10.
#[test]
fn readyz_says_how_it_stands_with_the_witnesses() {
    let home = Home::new();
    let served = Served::of(home.serve(&[]), home.path().into(), || home.pawl(&[]));
    assert_eq!(ready(&served)["witnesses"], "none");
    drop(served);
    let (good, bad) = (Witness::new(Manner::Keeps), Witness::new(Manner::Keeps));
    let served = serve(&home, &format!("{},{}", good.url, bad.url));
    until("all told", || ready(&served)["witnesses"] == "told");
    let shows = |number: u8, state: &str| {
        let metrics = served.process.metrics();
        assert!(metrics.contains(&format!("{{state=\"{state}\",witness=\"{number}\"}} 1")), "{metrics}");
    };
    shows(2, "told");
    bad.behaves(Manner::TakesNothing);
    served.deposit("one");
    until("one is behind", || ready(&served)["witnesses"] == "behind");
    shows(1, "told");
    shows(2, "behind");
    bad.behaves(Manner::Keeps);
    until("all told", || ready(&served)["witnesses"] == "told");
    drop(served);
    bad.behaves(Manner::Fails);
    let served = serve(&home, &format!("{},{}", good.url, bad.url));
    assert_eq!(ready(&served)["witnesses"], "silent");
    bad.behaves(Manner::Keeps);
    until("all told", || ready(&served)["witnesses"] == "told");
    drop(served);
    // One that lost what it had says so too, until it has the newest again.
    let key = VerifierKey::parse(&home.sql().texts("public_key", "FROM audit_logs").remove(0)).unwrap();
    assert!(key.verify(bad.taken().last().unwrap()).is_ok());
    bad.has(&[]);
    bad.behaves(Manner::TakesNothing);
    let served = serve(&home, &bad.url);
    until("it is behind", || ready(&served)["witnesses"] == "behind");
}

/// Attack on P10.
#[test]
fn a_file_that_hangs_gathers_no_threads() {
    let home = Home::new();
    let pipe = home.path().join("witness");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let served = serve(&home, &format!("file:{}", pipe.display()));
    let id = served.deposit("one");
    served.opens(&id, "one");
    let failures = || {
        let metrics = served.process.metrics();
        let line =
            metrics.lines().find_map(|line| line.strip_prefix("pawl_witness_failures_total{witness=\"1\"} "));
        line.map_or(0, |count| count.parse::<u32>().unwrap())
    };
    until("the third failure", || failures() >= 3);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", served.process.child.id())).unwrap();
    let names =
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default());
    let names: Vec<String> = names.collect();
    assert_eq!(names.iter().filter(|name| name.trim() == "witness").count(), 1, "{names:?}");
    let ready = ready(&served);
    assert_eq!((&ready["frozen"], &ready["witnesses"]), (&Value::from("no"), &Value::from("silent")));
}
