//! What somebody hides who writes the database, and no more than that: a rolled-back database that is dressed up to be
//! believed, rows that are put in the place of others, a boundary that is moved over what is young, a log that is not
//! the one that somebody kept word of.

use pawl::audit::{Checkpoint, Hash, Kept, LogKey, Report, VerifierKey, link, verify_export};
use pawl::vault::Which;
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
        // The log has no gap, and no checkpoint comes to stand between others.
        "INSERT INTO audit_leaves (log_id, idx, org_id, seq, head)
         SELECT log_id, idx + 2, org_id, seq, head FROM audit_leaves ORDER BY idx DESC LIMIT 1"
            .into(),
        "INSERT INTO audit_leaves (log_id, idx, org_id, seq, head)
         SELECT log_id, -1, org_id, seq, head FROM audit_leaves WHERE idx = 0"
            .into(),
        "INSERT INTO audit_leaves (log_id, idx, org_id, seq, head)
         SELECT log_id, 2 * idx + 1 + (SELECT max(idx) FROM audit_leaves), org_id, seq, head FROM audit_leaves"
            .into(),
        "INSERT INTO audit_nodes (log_id, level, idx, hash)
         SELECT log_id, level, idx + 2, hash FROM audit_nodes WHERE level = 0 ORDER BY idx DESC LIMIT 1"
            .into(),
        "INSERT INTO audit_nodes (log_id, level, idx, hash)
         SELECT log_id, 40, 1, hash FROM audit_nodes WHERE level = 0 AND idx = 0"
            .into(),
        "INSERT INTO audit_checkpoints (log_id, size, root, note, created_at)
         SELECT log_id, 0, root, note, created_at * 2 FROM audit_checkpoints ORDER BY size DESC LIMIT 1"
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

const TABLES: [&str; 4] = ["audit_events", "audit_leaves", "audit_nodes", "audit_checkpoints"];

fn keep_tables(home: &Home, age: &str) {
    TABLES.iter().for_each(|of| home.sql().run(&format!("CREATE TABLE {age}_{of} AS SELECT * FROM {of}")));
}

fn put_back(home: &Home, age: &str) {
    let mut sql = unguarded(home);
    for of in TABLES {
        sql.run(&format!("DELETE FROM {of}; INSERT INTO {of} SELECT * FROM {age}_{of}"));
    }
}

fn deposits(vault: &Vault, names: &[&str]) {
    names.iter().for_each(|name| drop(vault.deposit_as("acme", "ada", &deposit(name, "s"))));
}

fn kept(texts: &[&str]) -> Kept {
    let mut kept = Kept::default();
    texts.iter().for_each(|text| kept.add(text).unwrap());
    kept
}

/// Attack on P4.
#[test]
fn every_checkpoint_and_answer_that_was_kept_counts_and_not_the_newest_alone() {
    let vault = Vault::start();
    deposits(&vault, &["one", "two"]);
    covered(&vault, "acme");
    keep_tables(&vault.home, "old");
    deposits(&vault, &["hidden"]);
    let hidden = covered(&vault, "acme");
    let home = vault.stop();
    // Put back, and gone on from as if it had never been.
    put_back(&home, "old");
    let vault = Vault::start_in(home, &[]);
    deposits(&vault, &["three", "four", "five"]);
    covered(&vault, "acme");
    let newest = covered(&vault, "acme");
    let auditor = vault.token("acme", "auditor", "auditor");
    let export = crate::trail::dechunked(&vault.call("GET", "/v1/audit/export?format=jsonl", &auditor, None));
    let key = VerifierKey::parse(&newest.text("public_key")).unwrap();
    let other = LogKey::generate(key.origin()).unwrap().verifier().clone();
    let clock = vault.clock.clone();
    let home = vault.stop();
    let trail = home.host_trail(&clock);
    let stored =
        |keys: &[VerifierKey], texts: &[&str]| trail.verify(&Which::All, keys, &kept(texts)).unwrap();
    let offline = |keys: &[VerifierKey], texts: &[&str]| -> Report {
        verify_export(|| Ok(export.as_bytes()), keys, &kept(texts)).unwrap()
    };
    let notes = [hidden.text("checkpoint"), newest.text("checkpoint")];
    assert_eq!(stored(&[], &[&notes[1], &newest.body]).wrong, [""; 0]);
    for texts in [[notes[0].as_str(), &notes[1]], [&notes[1], &notes[0]], [&hidden.body, &newest.body]] {
        let wrong = stored(&[], &texts).wrong;
        assert!(wrong[0].contains("has another root"), "{texts:?}: {wrong:?}");
    }
    // What an answer says of the chain is held against it also where no one asks for the log.
    let wrong = offline(std::slice::from_ref(&key), &[&hidden.body]).wrong;
    assert!(wrong.len() == 1 && wrong[0].starts_with("rewritten: "), "{wrong:?}");
    assert_eq!(offline(std::slice::from_ref(&key), &[&newest.body]).wrong, [""; 0]);
    // Of two keys for one log one is wrong, whichever comes first.
    for keys in [[key.clone(), other.clone()], [other.clone(), key.clone()]] {
        assert!(stored(&keys, &[]).wrong[0].contains("not the one that was given"));
        assert!(offline(&keys, &[]).wrong[0].contains("not the one that was given"));
    }
    // The same on the command line; what is neither notes nor answers can't be read.
    let file = home.path().join("kept.json");
    let verify = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = home.pawl(&[]);
        command
            .args(["audit", "verify", "--checkpoint", file.to_str().unwrap()])
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(verify(&format!("{}\n{}\n", newest.body, newest.body)), Some(0));
    assert_eq!(verify(&format!("{}\n{}\n", newest.body, hidden.body)), Some(1));
    assert_eq!(verify("{\"checkpoint\": 1}"), Some(2));
    assert_eq!(verify(""), Some(2));
}

/// Attack on P4.
#[test]
fn an_export_ends_no_earlier_than_the_chain_was_known_to() {
    let vault = Vault::start();
    deposits(&vault, &["one"]);
    covered(&vault, "acme");
    let then = vault.clock.now();
    let hour = std::time::Duration::from_secs(3600);
    // The log speaks of what was asked meanwhile, and of more an hour later.
    vault.clock.advance(hour);
    covered(&vault, "acme");
    vault.clock.advance(hour);
    deposits(&vault, &["two", "three"]);
    let known = covered(&vault, "acme");
    deposits(&vault, &["four", "five"]);
    let auditor = vault.token("acme", "auditor", "auditor");
    let export = |query: &str| {
        let path = format!("/v1/audit/export?format=jsonl{query}");
        crate::trail::dechunked(&vault.call("GET", &path, &auditor, None))
    };
    let key = [VerifierKey::parse(&known.text("public_key")).unwrap()];
    let judge =
        |export: &str, texts: &[&str]| verify_export(|| Ok(export.as_bytes()), &key, &kept(texts)).unwrap();
    // A stretch that ends early is whole as that, and not as all that the answer knows.
    let (early, whole) = (export(&format!("&to={then}")), export(""));
    assert_eq!(judge(&early, &[]).wrong, [""; 0]);
    let wrong = judge(&early, &[&known.body]).wrong;
    assert!(wrong[0].contains("cut off") && wrong[0].contains("an answer that was kept"), "{wrong:?}");
    assert_eq!(judge(&whole, &[&known.body]).wrong, [""; 0]);
    // Events of which the log's leaf knows none are not proven by it.
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let (mut head, seq) =
        (serde_json::from_str::<Value>(lines[0]).unwrap(), known.json["leaf"]["seq"].as_u64().unwrap());
    let late: Vec<&str> = lines[2 + usize::try_from(seq).unwrap()..].to_vec();
    assert!(late.len() > 1, "{whole}");
    let first: Value = serde_json::from_str(late[0]).unwrap();
    head["first_seq"] = first["seq"].clone();
    let fields = ["pawl_audit_export", "org", "first_seq", "last_seq", "prev_hash", "salt", "public_key"];
    head["prev_hash"] = json!("11".repeat(32));
    let head: Vec<String> = fields.iter().map(|name| format!("\"{name}\":{}", head[*name])).collect();
    let forged_event = "{}";
    let before = Hash::from_bytes(&[0x11; 32]).unwrap();
    let org = pawl::ids::OrgId::parse("acme").unwrap();
    let (mut lines, mut prev) = (vec![format!("{{{}}}\n", head.join(","))], before);
    for line in &late[..late.len() - 1] {
        let seq = serde_json::from_str::<Value>(line).unwrap()["seq"].as_i64().unwrap();
        let hash = link(Some(&org), seq, &prev, forged_event.as_bytes());
        lines.push(format!(
            "{{\"seq\":{seq},\"event\":\"{forged_event}\",\"prev_hash\":\"{prev}\",\"hash\":\"{hash}\"}}\n"
        ));
        prev = hash;
    }
    lines.push(late[late.len() - 1].to_owned());
    let wrong = judge(&lines.concat(), &[]).wrong;
    assert!(wrong.len() == 1 && wrong[0].starts_with("not proven"), "{wrong:?}");
}

/// Attack on P4.
#[test]
fn a_boundary_that_was_moved_by_hand_and_leaves_that_point_elsewhere_are_found() {
    let vault = Vault::start();
    let mut leaves = Vec::new();
    for name in ["one", "two", "three", "four"] {
        deposits(&vault, &[name]);
        vault.deposit_as("other", "eve", &deposit(name, "s"));
        leaves.push(covered(&vault, "acme").json["leaf"]["seq"].as_i64().unwrap());
    }
    let clock = vault.clock.clone();
    let home = vault.stop();
    let (trail, mut sql) = (home.host_trail(&clock), unguarded(&home));
    let wrong = || trail.verify(&Which::All, &[], &Kept::default()).unwrap().wrong;
    assert_eq!(wrong(), [""; 0]);
    sql.run("CREATE TABLE kept_chains AS SELECT * FROM audit_chains; CREATE TABLE kept_leaves AS SELECT * FROM audit_leaves");
    let to = leaves[2];
    let hash = format!("(SELECT hash FROM audit_events WHERE org_id = 'acme' AND seq = {to})");
    sql.run(&format!(
        "UPDATE audit_chains SET pruned_seq = {to}, pruned_hash = {hash} WHERE org_id = 'acme';
         DELETE FROM audit_events WHERE org_id = 'acme' AND seq <= {to}"
    ));
    let found = wrong();
    assert!(found.len() == 1 && found[0].contains("no audit.prune is on record"), "{found:?}");
    // Below the boundary no event is left to hold a leaf against: it is held against what it names.
    let [first, next] = [leaves[0], leaves[1]];
    let zeros = "(SELECT pruned_hash FROM audit_chains WHERE org_id = '')";
    for edit in [
        "SET org_id = 'other'".to_owned(),
        "SET org_id = 'nobody'".into(),
        format!("SET seq = {}", first - 1),
        format!("SET head = {zeros}, org_id = 'other'"),
    ] {
        sql.run(&format!("UPDATE audit_leaves {edit} WHERE org_id = 'acme' AND seq = {first}"));
        let found = wrong();
        let told = ["altered: leaf", "rewritten: ", "cut off after event", "in audit_chains"];
        let is_told = |text: &String| told.iter().any(|of| text.contains(of));
        assert!(found.iter().any(is_told), "{edit}: {found:?}");
        sql.run("DELETE FROM audit_leaves; INSERT INTO audit_leaves SELECT * FROM kept_leaves");
    }
    // Those that were pruned before leaves named anything come before all that do: of them that is said.
    let unnamed =
        |upto: &str| format!("UPDATE audit_leaves SET head = {zeros} WHERE org_id = 'acme' AND {upto}");
    sql.run(&unnamed(&format!("seq <= {first}")));
    let report = trail.verify(&Which::All, &[], &Kept::default()).unwrap();
    assert!(report.wrong.len() == 1 && report.wrong[0].contains("no audit.prune is on record"), "{report:?}");
    assert!(report.warnings.len() == 1 && report.warnings[0].contains("name no hash"), "{report:?}");
    sql.run("DELETE FROM audit_leaves; INSERT INTO audit_leaves SELECT * FROM kept_leaves");
    // Behind one that names its event none is so, nor above the boundary.
    for seq in [next, leaves[3]] {
        sql.run(&unnamed(&format!("seq = {seq}")));
        assert!(wrong()[0].contains("altered: leaf"), "{seq}: {:?}", wrong());
        sql.run("DELETE FROM audit_leaves; INSERT INTO audit_leaves SELECT * FROM kept_leaves");
    }
    sql.run("UPDATE audit_chains SET pruned_hash = salt WHERE org_id = 'other'");
    assert!(wrong().iter().any(|of| of == "altered: the row of other in audit_chains"), "{:?}", wrong());
}

/// Attack on P4.
#[test]
fn a_damaged_event_is_shown_in_its_place_and_hides_no_other() {
    let vault = Vault::start();
    deposits(&vault, &["one", "two", "three"]);
    let mut sql = unguarded(&vault.home);
    let edit = |event: &str, seq: i64| {
        format!("UPDATE audit_events SET event = {event} WHERE org_id = 'acme' AND seq = {seq}")
    };
    sql.run(&edit("'no event'", 1));
    sql.run(&edit("replace(event, 'Success', 'Failure')", 2));
    if !on_postgres() {
        sql.run(&edit("x'ff00fe'", 3));
    }
    drop(sql);
    let auditor = vault.token("acme", "auditor", "auditor");
    let page = vault.call("GET", "/v1/audit/events", &auditor, None);
    assert_eq!(page.status, 200, "{}", page.body);
    let items = page.json["items"].as_array().unwrap();
    let of = |seq: i64| items.iter().find(|item| item["seq"] == seq).unwrap();
    assert_eq!((&of(1)["damaged"], &of(1)["event"]), (&json!("no event"), &json!({})));
    assert_eq!(of(2)["event"]["status"], "Failure");
    assert!(of(2)["damaged"].as_str().unwrap().contains("\"Failure\""), "{}", of(2));
    let whole = items.iter().filter(|item| item.get("damaged").is_none()).count();
    assert_eq!(items.len() - whole, if on_postgres() { 2 } else { 3 }, "{}", page.body);
    assert!(
        whole > 0
            && items
                .iter()
                .filter(|item| item["seq"].as_i64() > Some(3))
                .all(|item| item.get("damaged").is_none())
    );
    // A search passes over none of what can't be read.
    let found = vault.call("GET", "/v1/audit/events?action=connection.forget", &auditor, None);
    assert!(found.json["items"].as_array().unwrap().iter().any(|item| item["seq"] == 1), "{}", found.body);
}

#[test]
fn verifying_beside_a_vault_that_goes_on_raises_no_alarm() {
    let vault = Vault::start();
    deposits(&vault, &["first"]);
    covered(&vault, "acme");
    let trail = vault.home.host_trail(&vault.clock);
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..12 {
                deposits(&vault, &[&format!("bot{n}")]);
                vault.clock.advance(crate::checkpoints::A_WHILE);
            }
            is_done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        while !is_done.load(std::sync::atomic::Ordering::SeqCst) {
            let report = trail.verify(&Which::All, &[], &Kept::default()).unwrap();
            assert!(report.wrong.is_empty(), "{report:?}");
        }
    });
}
