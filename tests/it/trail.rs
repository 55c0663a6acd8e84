//! The trail as its owners and auditors read it: newest first, searched, exported; each reading on record itself.

use std::time::Duration;

use pawl::audit::{COLUMNS, Kept, VerifierKey, verify_export};
use serde_json::{Value, json};

use crate::checkpoints::covered;
use crate::database::on_postgres;
use crate::exchange::Service;
use crate::harness::{Answer, Home, Vault, deposit};

/// The body that was sent in pieces.
pub fn dechunked(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let (mut rest, mut body) = (answer.body.as_str(), String::new());
    while let Some((length, more)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&more[..length]);
        rest = &more[length + 2..];
        if length == 0 {
            return body;
        }
    }
    panic!("it broke off: {rest}");
}

fn seqs(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["seq"].as_i64().unwrap()).collect()
}

fn actions(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"]["activity_name"].as_str().unwrap()).collect()
}

/// Attack on P4.
#[test]
fn a_page_is_newest_first_and_its_reading_is_on_record_before_it_is_answered() {
    let vault = Vault::start();
    (0..3).for_each(|n| drop(vault.deposit_as("acme", "ada", &deposit(&format!("bot{n}"), "s"))));
    let auditor = vault.token("acme", "auditor", "auditor");
    let first = vault.call("GET", "/v1/audit/events?limit=4", &auditor, None);
    let items = first.json["items"].as_array().unwrap();
    assert_eq!(seqs(items), [7, 6, 5, 4]);
    assert_eq!(actions(items), ["token.issue", "connection.deposit", "token.issue", "connection.deposit"]);
    assert_eq!(first.json["next_cursor"], "4");
    let second = vault.call("GET", "/v1/audit/events?limit=4&cursor=4", &auditor, None);
    assert_eq!(seqs(second.json["items"].as_array().unwrap()), [3, 2, 1]);
    assert_eq!(second.json["next_cursor"], Value::Null);
    // Neither saw itself, and both are there.
    let newest =
        vault.home.sql().texts("event", "FROM audit_events WHERE org_id = 'acme' ORDER BY seq DESC LIMIT 2");
    let newest: Vec<Value> = newest.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    for (event, filter) in newest.iter().zip([json!("cursor=4"), Value::Null]) {
        assert_eq!(event["activity_name"], "audit.read");
        assert_eq!((&event["filter"], &event["actor.user.uid"]), (&filter, &json!("auditor")), "{event}");
    }
    let path = "/v1/audit/events?action=connection.deposit&outcome=success&user=ada&limit=1";
    vault.call("GET", path, &auditor, None);
    let told =
        vault.home.sql().texts("event", "FROM audit_events WHERE org_id = 'acme' ORDER BY seq DESC LIMIT 1");
    assert!(told[0].contains(r#""filter":"user=ada action=connection.deposit outcome=success""#), "{told:?}");
}

#[test]
fn a_search_finds_all_that_it_asks_for_and_nothing_else() {
    let vault = Vault::start();
    let began = vault.clock.now();
    let id = vault.deposit("s");
    let other = vault.deposit_as("acme", "bob", &deposit("bob", "s"));
    vault.clock.advance(Duration::from_secs(3600));
    let then = vault.clock.now();
    vault.lend(&id, &json!({"purpose": "other"}));
    let token = || vault.token_for("acme", "eve", "owner", "console");
    let owner = token();
    let lend = vault.call(
        "POST",
        &format!("/v1/connections/{id}/leases"),
        &owner,
        Some(&json!({"purpose": "other"})),
    );
    assert_eq!(lend.problem(), "forbidden");
    vault.clock.advance(Duration::from_secs(3600));
    let owner = token();
    assert_eq!(vault.call("DELETE", &format!("/v1/connections/{other}"), &owner, None).status, 204);
    let found = |query: &str| {
        let mut found = vault.searched(&owner, query);
        found.retain(|event| {
            !["audit.read", "token.issue"].contains(&event["event"]["activity_name"].as_str().unwrap())
        });
        actions(&found).join(" ")
    };
    let (began, then) = (began.to_string(), then.to_string());
    for (query, wanted) in [
        (
            "limit=200".to_owned(),
            "connection.forget lease.lend lease.lend connection.deposit connection.deposit",
        ),
        ("limit=1".into(), "connection.forget lease.lend lease.lend connection.deposit connection.deposit"),
        (format!("connection_id={id}"), "lease.lend lease.lend connection.deposit"),
        ("user=bob".into(), "connection.deposit"),
        ("client_id=console".into(), "connection.forget lease.lend"),
        ("action=connection.deposit".into(), "connection.deposit connection.deposit"),
        ("outcome=failure".into(), "lease.lend"),
        ("outcome=success&action=connection.deposit&limit=1".into(), "connection.deposit connection.deposit"),
        (format!("from={then}"), "connection.forget lease.lend lease.lend"),
        (format!("to={then}"), "lease.lend lease.lend connection.deposit connection.deposit"),
        (format!("from={then}&to={then}"), "lease.lend lease.lend"),
        (format!("to={began}&limit=1"), "connection.deposit connection.deposit"),
        (format!("from={then}&to={began}"), ""),
        ("action=none.such".into(), ""),
    ] {
        assert_eq!(found(&query), wanted, "{query}");
    }
    for (query, wrong) in [
        ("limit=0", "limit range"),
        ("cursor=x", "cursor cursor"),
        ("from=yesterday", "from rfc3339"),
        ("to=1", "to rfc3339"),
        ("connection_id=conn_1", "connection_id id_format"),
        ("user=", "user not_empty"),
        ("client_id=", "client_id not_empty"),
        ("action=Lend", "action action"),
        ("outcome=done", "outcome one_of"),
        ("outcome=success&outcome=success", "outcome once"),
        ("org=other", "org unknown_field"),
    ] {
        let refused = vault.call("GET", &format!("/v1/audit/events?{query}"), &owner, None);
        assert_eq!((refused.status, refused.errors()), (422, vec![wrong.to_owned()]), "{query}");
    }
    for query in ["", "format=xml", "format=csv&limit=1", "format=csv&from=x"] {
        let refused = vault.call("GET", &format!("/v1/audit/export?{query}"), &owner, None);
        assert_eq!(refused.status, 422, "{query}: {}", refused.body);
    }
}

/// Attack on P4 and P5.
#[test]
fn only_an_orgs_owners_and_auditors_read_its_trail() {
    let vault = Vault::start();
    vault.deposit_as("victim", "eve", &deposit("planted-bot", "s"));
    vault.deposit("s");
    let operator =
        Service::new("ops").registered(&vault, Some(&[]), None, &["operator"]).token(&vault, &json!({}));
    let before = vault.whole_trail("victim").len();
    for path in ["/v1/audit/events", "/v1/audit/export?format=jsonl", "/v1/audit/export?format=csv"] {
        for role in ["backend", "worker"] {
            let refused = vault.call("GET", path, &vault.token("acme", "ada", role), None);
            assert_eq!(refused.problem(), "forbidden", "{path} {role}");
        }
        assert_eq!(vault.call("GET", path, &operator, None).problem(), "forbidden");
        for role in ["owner", "auditor"] {
            let read = vault.call("GET", path, &vault.token("acme", "ada", role), None);
            assert!(read.status == 200 && !read.body.contains("victim"), "{}", read.body);
        }
    }
    // Its own reading, and the token for it.
    assert_eq!(vault.whole_trail("victim").len(), before + 2);
}

/// Events of the org, made by SQL: of no use to who verifies them.
pub fn crowd(home: &Home, org: &str, count: i64) {
    let event =
        r#"{"activity_name":"lease.lend","status":"Success","time_dt":"2026-11-24T12:00:00.000000Z"}"#;
    crowd_of(home, org, count, event);
}

/// The same of this one event.
pub fn crowd_of(home: &Home, org: &str, count: i64, event: &str) {
    let mut sql = home.sql();
    let rest = format!("FROM audit_events WHERE org_id = '{org}'");
    let last: i64 = sql.texts("max(seq)", &rest)[0].parse().unwrap();
    let series = match on_postgres() {
        true => format!("FROM generate_series(1, {count}) AS n"),
        false => format!(
            "FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) SELECT n FROM c)"
        ),
    };
    sql.run(&format!(
        "INSERT INTO audit_events (org_id, seq, event, prev_hash, hash)
         SELECT '{org}', {last} + n, '{event}', h.prev_hash, h.hash {series}
         CROSS JOIN (SELECT prev_hash, hash {rest} AND seq = 1) AS h"
    ));
}

#[test]
fn a_search_looks_at_so_many_events_and_says_where_it_goes_on() {
    let vault = Vault::start();
    vault.deposit("s");
    crowd(&vault.home, "acme", 30_000);
    let auditor = vault.token("acme", "auditor", "auditor");
    let path = "/v1/audit/events?action=connection.deposit";
    let first = vault.call("GET", path, &auditor, None);
    assert_eq!(first.json["items"], json!([]));
    let next = first.text("next_cursor");
    assert!((2..30_000).contains(&next.parse::<i64>().unwrap()), "{next}");
    let found = vault.searched(&auditor, "action=connection.deposit");
    assert_eq!(seqs(&found), [2]);
}

/// Attack on P4.
#[test]
fn an_export_is_whole_verified_by_the_public_key_alone_and_on_record() {
    let vault = Vault::start();
    (0..8).for_each(|n| drop(vault.deposit_as("acme", "ada", &deposit(&format!("bot{n}"), "s"))));
    let shown = covered(&vault, "acme");
    let key = VerifierKey::parse(&shown.text("public_key")).unwrap();
    let auditor = vault.token("acme", "auditor", "auditor");
    let answer = vault.call("GET", "/v1/audit/export?format=jsonl", &auditor, None);
    assert_eq!(answer.header("content-type"), Some("application/jsonl"));
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"pawl-audit.jsonl\""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("audit-checkpoint").is_some());
    let body = dechunked(&answer);
    let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines[0]["pawl_audit_export"].as_str(), lines[0]["org"].as_str()), (Some("1"), Some("acme")));
    let event: Value = serde_json::from_str(lines[2]["event"].as_str().unwrap()).unwrap();
    assert_eq!(event["activity_name"], "connection.deposit");
    let mut kept = Kept::default();
    kept.add(&shown.body).unwrap();
    let keys = std::slice::from_ref(&key);
    let report = verify_export(|| Ok(body.as_bytes()), keys, &kept).unwrap();
    assert_eq!((report.wrong.as_slice(), report.warnings.as_slice()), ([].as_slice(), [].as_slice()));
    assert_eq!(report.events, lines.len() as i64 - 2);
    assert!(report.uncovered < 5, "{report:?}");
    let unkeyed = verify_export(|| Ok(body.as_bytes()), &[], &Kept::default()).unwrap();
    assert!(unkeyed.wrong.is_empty() && unkeyed.warnings[0].contains("proves nothing"), "{unkeyed:?}");
    let newest = |vault: &Vault| {
        let rest = "FROM audit_events WHERE org_id = 'acme' ORDER BY seq DESC LIMIT 1";
        serde_json::from_str::<Value>(&vault.home.sql().texts("event", rest)[0]).unwrap()
    };
    let told = newest(&vault);
    assert_eq!(
        (told["activity_name"].as_str(), told["filter"].as_str()),
        (Some("audit.export"), Some("format=jsonl"))
    );
    assert_eq!(told["rows"].as_str().unwrap().parse::<usize>().unwrap(), lines.len() - 2);

    // A stretch of it, as far as the next event that the log knows.
    let then = vault.clock.now();
    vault.clock.advance(Duration::from_secs(3600));
    (8..12).for_each(|n| drop(vault.deposit_as("acme", "ada", &deposit(&format!("bot{n}"), "s"))));
    covered(&vault, "acme");
    vault.clock.advance(Duration::from_secs(3600));
    vault.deposit_as("acme", "ada", &deposit("last", "s"));
    let stretch = |query: &str| {
        let auditor = vault.token("acme", "auditor", "auditor");
        let body =
            dechunked(&vault.call("GET", &format!("/v1/audit/export?format=jsonl&{query}"), &auditor, None));
        // One that begins with a time is whole for who expects that.
        let head: Value = serde_json::from_str(body.lines().next().unwrap()).unwrap();
        let mut kept = Kept::default();
        kept.expect_from(head["first_seq"].as_i64().filter(|_| query.contains("from=")));
        let report = verify_export(|| Ok(body.as_bytes()), keys, &kept).unwrap();
        assert!(report.wrong.is_empty() && report.warnings.is_empty(), "{query} {report:?}");
        (body.matches("connection.deposit").count(), report.uncovered)
    };
    // Which comes at some time in the hour after.
    let (deposits, uncovered) = stretch(&format!("to={then}"));
    assert!((8..=12).contains(&deposits) && uncovered == 0, "{deposits} {uncovered}");
    let hour = then.after(Duration::from_secs(1800));
    let until = hour.after(Duration::from_secs(3600));
    assert_eq!(stretch(&format!("from={hour}&to={until}")).0, 4);
    assert_eq!(stretch(&format!("from={hour}")).0, 5);
}

/// Attack on P4.
#[test]
fn a_spreadsheet_takes_no_cell_for_a_formula() {
    let vault = Vault::start();
    let backend = vault.token_for("acme", "=HYPERLINK(\"http://evil\")", "backend", "+svc");
    let mut body = deposit("bot", "s");
    body["label"] = json!("@SUM(1+1)*cmd|' /C calc'!A0,\"x\"");
    assert_eq!(vault.call("POST", "/v1/connections", &backend, Some(&body)).status, 201);
    let auditor = vault.token("acme", "auditor", "auditor");
    let answer = vault.call("GET", "/v1/audit/export?format=csv", &auditor, None);
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    let body = dechunked(&answer);
    let mut lines = body.split("\r\n");
    assert_eq!(lines.next().unwrap(), format!("seq,{},hash,other", COLUMNS.join(",")));
    assert!(body.contains(",\"'=HYPERLINK(\"\"http://evil\"\")\",'+svc,"), "{body}");
    for line in lines {
        for cell in line.split(',') {
            assert!(!cell.trim_start_matches('"').starts_with(['=', '+', '-', '@']), "{line}");
        }
    }
}

#[test]
fn on_the_host_the_trail_is_shown_exported_and_verified() {
    let home = Home::new();
    let process = home.serve(&[("PAWL_CHECKPOINT_SECONDS", "1")]);
    let run = |args: &[&str]| {
        let done = home.pawl(&[]).arg("audit").args(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
    };
    for n in 0..12 {
        let issued = home
            .pawl(&[])
            .args(["token", "issue", "--org", "acme", "--user", "ada", "--role", "backend"])
            .output();
        assert!(issued.unwrap().status.success(), "{n}");
    }
    crate::harness::until("a checkpoint", || {
        home.sql().texts("count(*)", "FROM audit_leaves WHERE org_id = 'acme' AND seq >= 12") == ["1"]
    });
    let (code, out, err) = run(&["tail", "--org", "acme"]);
    let shown: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, seqs(&shown)), (0, (1..=12).collect()), "{err}");
    let (_, out, _) = run(&["tail", "--org", "acme"]);
    assert!(
        out.contains(r#"\"activity_name\":\"audit.read\""#) && out.contains(r#"\"actor.app_uid\":\"cli\""#),
        "{out}"
    );
    let (code, out, _) = run(&["tail", "--vault"]);
    assert!(code == 0 && out.contains("policy.load"), "{out}");

    let (code, out, err) = run(&["verify"]);
    assert!(code == 0 && out.starts_with("whole: 2 chains, "), "{out}{err}");
    assert!(run(&["verify", "--org", "acme"]).1.starts_with("whole: 1 chains, 13 events") || code == 0);
    let (code, export, err) = run(&["export", "--org", "acme", "--format", "jsonl"]);
    assert_eq!(code, 0, "{err}");
    let file = home.path().join("acme.jsonl");
    let file = file.to_str().unwrap();
    std::fs::write(file, &export).unwrap();
    let key = home.sql().texts("public_key", "FROM audit_logs").remove(0);
    let note = home.sql().texts("note", "FROM audit_checkpoints ORDER BY size DESC LIMIT 1").remove(0);
    let kept = home.path().join("kept");
    std::fs::write(&kept, note).unwrap();
    let (code, out, err) = run(&["verify", "--export", file, "--key", &key]);
    assert!(code == 0 && out.starts_with("whole: 1 chains, "), "{out}{err}");
    let (code, out, _) = run(&["verify", "--export", file]);
    assert!(code == 0 && out.starts_with("warning: no --key was given"), "{out}");
    let altered = export.replacen("backend", "worker!", 1);
    std::fs::write(file, altered).unwrap();
    let (code, out, _) = run(&["verify", "--export", file, "--key", &key]);
    assert!(code == 1 && out.starts_with("altered: event 1 of acme\nnot whole: "), "{out}");
    assert_eq!(run(&["verify", "--export", "/none/such"]).0, 2);
    std::fs::write(file, "something else\n").unwrap();
    assert_eq!(run(&["verify", "--export", file]).0, 2);
    let (code, out, err) = run(&["verify", "--checkpoint", kept.to_str().unwrap(), "--key", &key]);
    assert_eq!(code, 0, "{out}{err}");
    let (code, out, _) = run(&["export", "--org", "acme", "--format", "csv", "--from", "2020-01-01"]);
    assert!(code == 0 && out.starts_with("seq,time_dt,") && out.contains("audit.export"), "{out}");
    drop(process);
}
