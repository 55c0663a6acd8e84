//! How long the trail is kept: what is past its time goes, what is not can't, and what is left verifies.

use std::time::Duration;

use serde_json::{Value, json};

use crate::checkpoints::{covered, last_covered};
use crate::database::on_postgres;
use crate::frozen::SETTINGS;
use crate::harness::{Answer, Vault, deposit, until};
use crate::hidden::unguarded;
use crate::trail::dechunked;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn put(vault: &Vault, role: &str, body: &Value) -> Answer {
    vault.call("PUT", SETTINGS, &vault.token("acme", "ada", role), Some(body))
}

fn first_kept(vault: &Vault, org: &str) -> i64 {
    let of = format!("FROM audit_events WHERE org_id = '{org}'");
    vault.home.sql().texts("min(seq)", &of)[0].parse().unwrap()
}

#[test]
fn an_owner_says_for_how_long_and_a_shorter_time_waits_for_the_longer_ones_end() {
    let vault = Vault::start();
    let shown = |vault: &Vault| {
        let json = vault.call("GET", SETTINGS, &vault.token("acme", "ada", "owner"), None).json;
        (json["audit_retention_days"].clone(), json["next_audit_retention"].clone())
    };
    assert_eq!(shown(&vault), (json!(365), Value::Null));
    for (days, rule) in [
        (json!(89), "audit_retention_days range"),
        (json!(36_501), "audit_retention_days range"),
        (json!("90"), "audit_retention_days type"),
        (json!(90.5), "audit_retention_days type"),
    ] {
        let refused = put(&vault, "owner", &json!({"frozen": true, "audit_retention_days": days}));
        assert_eq!((refused.status, refused.errors()), (422, vec![rule.to_owned()]), "{days}");
    }
    assert_eq!(put(&vault, "owner", &json!({})).status, 422);
    assert_eq!(put(&vault, "backend", &json!({"audit_retention_days": 90})).problem(), "forbidden");
    assert_eq!(shown(&vault), (json!(365), Value::Null), "and nothing of it was frozen");

    let next = json!({"days": 90, "from": "2027-11-24T12:00:00.000000Z"});
    for _ in 0..2 {
        // asked again it is no later
        assert_eq!(put(&vault, "owner", &json!({"audit_retention_days": 90})).status, 200);
        assert_eq!(shown(&vault), (json!(365), next.clone()));
        vault.clock.advance(DAY);
    }
    vault.clock.advance(363 * DAY);
    assert_eq!(shown(&vault), (json!(90), Value::Null));
    let both = put(&vault, "owner", &json!({"frozen": false, "audit_retention_days": 100}));
    assert_eq!((both.status, shown(&vault)), (200, (json!(100), Value::Null)));
    let trail = vault.trail("acme");
    let told = trail.iter().map(|e| &e["event"]).filter(|e| e["activity_name"] == "settings.retention");
    let told: Vec<(&Value, &Value)> = told.map(|e| (&e["status"], &e["days"])).collect();
    let [refused, ninety, hundred] = [Value::Null, json!("90"), json!("100")];
    let (done, failed) = (json!("Success"), json!("Failure"));
    assert_eq!(told, [(&failed, &refused), (&done, &ninety), (&done, &ninety), (&done, &hundred)]);
}

/// Attack on P4.
#[test]
fn what_is_past_its_time_goes_and_what_is_left_follows_from_what_the_log_has() {
    let vault = Vault::start();
    for n in 0..3 {
        vault.deposit_as("acme", "ada", &deposit(&format!("bot{n}"), "s"));
    }
    vault.deposit_as("idle", "eve", &deposit("bot", "s"));
    covered(&vault, "acme");
    covered(&vault, "idle");
    let old = last_covered(&vault, "acme");
    // some more that is younger, of acme alone
    vault.clock.advance(200 * DAY);
    let id = vault.deposit_as("acme", "ada", &deposit("younger", "s"));
    covered(&vault, "acme");
    vault.clock.advance(164 * DAY);
    let kept = vault.deposit_as("acme", "ada", &deposit("kept", "s"));
    assert_eq!(first_kept(&vault, "acme"), 1, "a day before its time");
    // a clock may be wrong: what time it is, a checkpoint says that is a day old
    vault.clock.advance(2 * DAY);
    covered(&vault, "acme");
    vault.clock.advance(2 * DAY);
    until("old events to go", || first_kept(&vault, "acme") > old);
    assert_eq!(first_kept(&vault, "acme"), old + 1);

    // what is left goes on from the boundary, whose head the log has
    let trail = vault.trail("acme");
    let boundary = vault.home.sql().texts("pruned_seq", "FROM audit_chains WHERE org_id = 'acme'");
    assert_eq!((boundary[0].parse(), trail[0]["seq"].as_i64()), (Ok(old), Some(old + 1)));
    let hex = if on_postgres() { "encode(pruned_hash, 'hex')" } else { "lower(hex(pruned_hash))" };
    let head = vault.home.sql().texts(hex, "FROM audit_chains WHERE org_id = 'acme'");
    assert_eq!(trail[0]["prev_hash"], head[0].as_str());
    assert!(trail.windows(2).all(|two| two[0]["hash"] == two[1]["prev_hash"]));
    let leaves = format!("FROM audit_leaves WHERE org_id = 'acme' AND seq = {old}");
    assert_ne!(vault.home.sql().texts("count(*)", &leaves), ["0"]);
    let actions = |action: &str| trail.iter().filter(|e| e["event"]["activity_name"] == action).count();
    assert_eq!((actions("connection.deposit"), actions("audit.prune")), (2, 1));
    let told = trail.iter().map(|e| &e["event"]).find(|e| e["activity_name"] == "audit.prune").unwrap();
    assert_eq!((&told["pruned.first"], &told["pruned.last"]), (&json!("1"), &json!(old.to_string())));
    assert_eq!(told["pruned.hash"], head[0].as_str());
    for id in [&id, &kept] {
        assert!(trail.iter().any(|e| e["event"]["connection.uid"] == id.as_str()));
    }
    // of an org that did nothing since, the newest stays, and what comes follows it
    until("the idle org's to go", || first_kept(&vault, "idle") > 1);
    vault.deposit_as("idle", "eve", &deposit("again", "s"));
    let trail = vault.trail("idle");
    assert!(trail.windows(2).all(|two| two[0]["hash"] == two[1]["prev_hash"]));
    // and so it is said on the host, and by who has an export of it
    let said = |command: &mut std::process::Command| {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let told_by = said(vault.home.pawl(&[]).args(["audit", "verify"]));
    assert!(
        told_by
            .contains(&format!("warning: events 1 to {old} of acme were let go of, as its audit.prune at 2")),
        "{told_by}"
    );
    covered(&vault, "acme");
    let auditor = vault.token("acme", "auditor", "auditor");
    let export = dechunked(&vault.call("GET", "/v1/audit/export?format=jsonl", &auditor, None));
    let file = vault.home.path().join("acme.jsonl");
    std::fs::write(&file, export).unwrap();
    let said = said(vault.home.pawl(&[]).args(["audit", "verify", "--export", file.to_str().unwrap()]));
    assert!(said.contains(&format!(" (events {} to ", old + 1)), "{said}");

    // nobody who can only say SQL to the database lets go of more, or changes one
    let refused = |statement: &str| {
        let refused = vault.home.sql().try_run(statement).unwrap_err().to_string();
        assert!(refused.contains("of the trail is"), "{statement}: {refused}");
    };
    let last = trail.last().unwrap()["seq"].as_i64().unwrap();
    refused(&format!("DELETE FROM audit_events WHERE org_id = 'idle' AND seq = {last}"));
    refused("DELETE FROM audit_events WHERE org_id = 'acme'");
    refused("UPDATE audit_events SET event = event");
}

/// Attack on P4.
#[test]
fn a_clock_that_is_wrong_for_a_while_lets_nothing_go() {
    let vault = Vault::start();
    vault.deposit("s");
    covered(&vault, "acme");
    vault.clock.advance(2 * DAY);
    vault.deposit_as("acme", "ada", &deposit("young", "s"));
    covered(&vault, "acme");
    // Years ahead, and a checkpoint is signed by that clock.
    vault.clock.advance(2 * 365 * DAY);
    let marked = |vault: &Vault| vault.home.sql().count("audit_checkpoints");
    for n in 0..3 {
        let before = marked(&vault);
        vault.deposit_as("acme", "ada", &deposit(&format!("bot{n}"), "s"));
        covered(&vault, "acme");
        vault.clock.advance(2 * HOUR);
        until("a checkpoint", || marked(&vault) > before);
        assert_eq!(first_kept(&vault, "acme"), 1);
    }
    // It is believed once it was so for a day.
    vault.clock.advance(DAY);
    until("old events to go", || first_kept(&vault, "acme") > 1);
}

/// Attack on P4.
#[test]
fn a_checkpoint_that_is_dated_back_lets_nothing_go() {
    let vault = Vault::start();
    for name in ["one", "two"] {
        vault.deposit_as("acme", "ada", &deposit(name, "s"));
        covered(&vault, "acme");
        vault.clock.advance(DAY);
    }
    let years = 2 * 365 * 24 * 60 * 60 * 1_000_000_i64;
    unguarded(&vault.home).run(&format!(
        "UPDATE audit_checkpoints SET created_at = created_at - {years}
         WHERE size < (SELECT max(size) FROM audit_checkpoints)"
    ));
    let marked = |vault: &Vault| vault.home.sql().count("audit_checkpoints");
    for n in 0..3 {
        let before = marked(&vault);
        vault.clock.advance(DAY);
        vault.deposit_as("acme", "ada", &deposit(&format!("bot{n}"), "s"));
        covered(&vault, "acme");
        vault.clock.advance(2 * HOUR);
        until("a checkpoint", || marked(&vault) > before);
        assert_eq!(first_kept(&vault, "acme"), 1);
    }
}
