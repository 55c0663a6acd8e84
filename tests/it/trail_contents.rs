//! What events hold: who, from where, by which request and trace, and what of it was changed.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Home, Vault, deposit, raw, until};
use crate::trail::crowd_of;

fn stored(vault: &Vault, org: &str, action: &str) -> Vec<Value> {
    let all =
        vault.home.sql().texts("event", &format!("FROM audit_events WHERE org_id = '{org}' ORDER BY seq"));
    let all = all.iter().map(|event| serde_json::from_str::<Value>(event).unwrap());
    all.filter(|event| event["activity_name"] == action).collect()
}

#[test]
fn an_event_says_from_where_by_which_request_and_in_which_trace() {
    let vault = Vault::start_with(&[("PAWL_TRUSTED_PROXIES", "127.0.0.1")]);
    let id = vault.deposit("s");
    let (worker, owner) = (vault.token("acme", "ada", "worker"), vault.token("acme", "ada", "owner"));
    let of = |n: usize, token: &str| {
        format!(
            "Authorization: Bearer {token}\r\nX-Forwarded-For: 203.0.113.{n}\r\nContent-Type: application/json\r\n\
             traceparent: 00-0af7651916cd43dd8448eb211c8031{n:02x}-b7ad6b7169203331-01\r\n"
        )
    };
    let lease = format!("/v1/connections/{id}/leases");
    let connection = format!("/v1/connections/{id}");
    let lend: &[u8] = br#"{"purpose": "other"}"#;
    for (n, (method, path, token, body, status, action)) in [
        ("POST", lease.as_str(), &worker, lend, 201, "lease.lend"),
        ("POST", &lease, &owner, lend, 403, "lease.lend"),
        ("PATCH", &connection, &owner, br#"{"label": "l"}"#, 200, "connection.update"),
        ("GET", "/v1/audit/events", &owner, b"", 200, "audit.read"),
        ("PUT", "/v1/org/settings", &owner, br#"{"frozen": true}"#, 200, "settings.freeze"),
        ("DELETE", &connection, &owner, b"", 204, "connection.forget"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = raw(&vault.url, method, path, &of(n, token), body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        let event = stored(&vault, "acme", action).pop().unwrap();
        let shown = ["schema", "src_endpoint.ip", "trace.uid", "api.request.uid", "status"]
            .map(|name| event[name].as_str().unwrap_or_default().to_owned());
        let wanted = [
            "1",
            &format!("203.0.113.{n}"),
            &format!("0af7651916cd43dd8448eb211c8031{n:02x}"),
            answer.header("x-request-id").unwrap(),
            if status == 403 { "Failure" } else { "Success" },
        ];
        assert_eq!(shown, wanted, "{event}");
    }
}

#[test]
fn a_change_says_what_was_changed() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let owner = vault.token("acme", "ada", "owner");
    for (body, wanted) in [
        (json!({"label": "Ours"}), [Some("Ours"), None, None]),
        (json!({"label": null}), [None, Some("none"), None]),
        (json!({"sync_interval_seconds": 900}), [None, None, Some("900")]),
        (json!({"sync_interval_seconds": null}), [None, None, Some("none")]),
        (json!({"label": "X", "sync_interval_seconds": 60}), [Some("X"), None, Some("60")]),
    ] {
        let answer = vault.call("PATCH", &format!("/v1/connections/{id}"), &owner, Some(&body));
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        let event = stored(&vault, "acme", "connection.update").pop().unwrap();
        let told = ["connection.label", "label", "sync_interval_seconds"].map(|name| event[name].as_str());
        assert_eq!(told, wanted, "{event}");
    }
    for (readable, wanted) in [
        (
            json!({"res.partner": ["name", "vat"], "account.move": ["name"]}),
            "account.move:name res.partner:name,vat",
        ),
        (json!({"res.partner": ["name"]}), "res.partner:name"),
        (Value::Null, "all"),
    ] {
        let body = json!({"readable": readable});
        assert_eq!(vault.call("PUT", "/v1/org/settings", &owner, Some(&body)).status, 200, "{body}");
        assert_eq!(stored(&vault, "acme", "settings.injection").pop().unwrap()["readable"], wanted);
    }
}

/// Attack on P1.
#[test]
fn a_label_that_holds_the_secret_is_not_taken() {
    const SECRET: &str = "planted-9c2e71";
    let vault = Vault::start();
    let backend = vault.token("acme", "ada", "backend");
    let mut body = deposit("bot", SECRET);
    body["label"] = json!(format!("Odoo ({SECRET})"));
    let refused = vault.call("POST", "/v1/connections", &backend, Some(&body));
    assert_eq!((refused.status, refused.errors()), (422, vec!["label no_secret".to_owned()]));
    body["label"] = json!("Odoo");
    let id = vault.call("POST", "/v1/connections", &backend, Some(&body)).text("id");
    let path = format!("/v1/connections/{id}");
    vault.call("PATCH", &path, &backend, Some(&json!({"label": "the-next-planted-one"})));
    let next = json!({"secret": "next-planted"});
    let refused = vault.call("PUT", &format!("{path}/credential"), &backend, Some(&next));
    assert_eq!((refused.status, refused.errors()), (422, vec!["secret no_secret".to_owned()]));
    // a short one may be part of a name
    let short = json!({"secret": "next"});
    assert_eq!(vault.call("PUT", &format!("{path}/credential"), &backend, Some(&short)).status, 200);
    let trail = serde_json::to_string(&vault.trail("acme")).unwrap();
    assert!(!trail.contains(SECRET), "{trail}");
}

/// Attack on P10.
#[test]
fn who_reads_the_trail_leaves_half_of_the_day_to_what_is_lent() {
    let vault = Vault::start_with(&[("PAWL_EVENTS_PER_DAY", "40")]);
    let id = vault.deposit("s");
    let auditor = vault.token("acme", "eve", "auditor");
    for _ in 0..60 {
        assert_eq!(vault.call("GET", "/v1/audit/events?limit=1", &auditor, None).status, 200);
    }
    let told = stored(&vault, "acme", "audit.read").len();
    assert!((10..=20).contains(&told), "{told}");
    vault.clock.advance(Duration::from_secs(60));
    let counted = || {
        let all = stored(&vault, "acme", "audit.read");
        all.iter().filter_map(|event| event["count"].as_str()?.parse::<usize>().ok()).sum::<usize>()
    };
    until("the others are counted", || counted() == 60 - told);
    assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).status, 201);
}

/// Attack on P10.
#[test]
fn who_freezes_again_and_again_fills_no_trail() {
    let vault = Vault::start_with(&[("PAWL_EVENTS_PER_DAY", "10")]);
    let owner = vault.token("acme", "ada", "owner");
    let set = |body: &Value| vault.call("PUT", "/v1/org/settings", &owner, Some(body));
    let many = || vault.home.sql().texts("count(*)", "FROM audit_events WHERE org_id = 'acme'")[0].clone();
    for _ in 0..20 {
        assert_eq!(set(&json!({"frozen": true})).status, 200);
    }
    assert_eq!(many(), "10");
    // what takes nothing away waits for another day, also beside what does
    for body in [json!({"frozen": false}), json!({"frozen": true, "audit_retention_days": 400})] {
        let refused = set(&body);
        assert_eq!((refused.status, refused.problem().as_str()), (429, "event-quota"), "{body}");
    }
    vault.clock.advance(Duration::from_secs(24 * 60 * 60));
    let owner = vault.token("acme", "ada", "owner");
    let thawed = vault.call("PUT", "/v1/org/settings", &owner, Some(&json!({"frozen": false})));
    assert_eq!(thawed.status, 200, "{}", thawed.body);
}

/// What was counted while nothing could be written is told late, with the time it is of: younger events lie before it.
#[test]
fn a_search_goes_on_behind_what_was_told_late() {
    let vault = Vault::start();
    let began = vault.clock.now().to_string();
    vault.clock.advance(Duration::from_secs(60 * 60));
    let (from, _) = (vault.clock.now().to_string(), vault.deposit("s"));
    let owner = vault.token("acme", "ada", "owner");
    for n in 0..9 {
        let event = json!({"activity_name": "audit.read", "count": "3", "status": "Success", "time_dt": began,
            "metadata.uid": format!("evt_{n}"), "schema": "1"});
        let zeros =
            if crate::database::on_postgres() { "decode(repeat('00', 32), 'hex')" } else { "zeroblob(32)" };
        vault.sql(&format!(
            "INSERT INTO audit_events (org_id, seq, event, prev_hash, hash)
             SELECT 'acme', 1 + max(seq), '{event}', {zeros}, {zeros} FROM audit_events WHERE org_id = 'acme'"
        ));
    }
    let found = vault.searched(&owner, &format!("from={from}&action=connection.deposit"));
    assert_eq!(found.len(), 1, "{found:?}");
    let export = vault.call("GET", &format!("/v1/audit/export?format=csv&from={from}"), &owner, None);
    assert!(export.body.contains("connection.deposit"), "{}", export.body);
}

/// Attack on P10.
#[test]
fn an_export_takes_no_more_memory_for_being_long() {
    const MANY: i64 = 60_000;
    let home = Home::new();
    let process = home.serve(&[]);
    let owner = home.mint(&["--org", "acme", "--user", "ada", "--role", "owner"]);
    let long = "l".repeat(1_000);
    let event = json!({"activity_name": "lease.lend", "connection.label": long, "status": "Success",
        "time_dt": "2026-11-24T12:00:00.000000Z"});
    crowd_of(&home, "acme", MANY, &event.to_string());
    let before = process.kilobytes("VmHWM:");
    for format in ["jsonl", "csv"] {
        let address = process.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let path = format!("/v1/audit/export?format={format}");
        let headers = format!("Host: pawl\r\nConnection: close\r\nAuthorization: Bearer {owner}");
        write!(stream, "GET {path} HTTP/1.1\r\n{headers}\r\n\r\n").unwrap();
        let bytes = std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
        assert!(bytes > u64::try_from(MANY).unwrap() * 1_000, "{format}: {bytes}");
    }
    let grown = process.kilobytes("VmHWM:").saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} kB");
}
