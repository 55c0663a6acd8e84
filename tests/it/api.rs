//! The API's shapes and its refusals, over HTTP.

use serde_json::{Value, json};

use crate::harness::{ODOO, Vault, call, deposit, raw};

#[test]
fn a_connection_is_deposited_shown_listed_and_forgotten() {
    let vault = Vault::start();
    let backend = vault.token("acme", "ada", "backend");
    let body = json!({"url": "HTTPS://Acme.Odoo.com:443/", "database": "acme", "username": "bot@acme.com",
        "label": "Ours — ü", "environment": "staging",
        "credential": {"kind": "api_key", "secret": "k".repeat(4096), "expires_at": "2027-01-31T00:00:00Z"}});
    let made = vault.call("POST", "/v1/connections", &backend, Some(&body));
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.text("id");
    assert_eq!(made.header("location"), Some(format!("/v1/connections/{id}").as_str()));
    let expected = json!({"id": id, "org": "acme", "user": "ada", "label": "Ours — ü",
        "environment": "staging", "url": ODOO, "database": "acme", "username": "bot@acme.com",
        "rights": "unknown", "state": "active",
        "credential": {"kind": "api_key", "revision": 1, "key_id": "k1",
                       "expires_at": "2027-01-31T00:00:00.000000Z"},
        "sync_interval_seconds": null,
        "created_at": "2026-11-24T12:00:00.000000Z", "updated_at": "2026-11-24T12:00:00.000000Z",
        "last_lent_at": null});
    assert_eq!(made.json, expected);
    let path = format!("/v1/connections/{id}");
    assert_eq!(vault.call("GET", &path, &backend, None).json, expected);
    assert_eq!(
        vault.call("GET", "/v1/connections", &backend, None).json,
        json!({"items": [expected], "next_cursor": null})
    );

    vault.clock.advance(std::time::Duration::from_secs(90));
    assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).status, 201);
    let shown = vault.call("GET", &path, &vault.token("acme", "ada", "backend"), None);
    assert_eq!(shown.json["last_lent_at"], "2026-11-24T12:01:30.000000Z");

    let gone = vault.call("DELETE", &path, &backend, None);
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    for method in ["DELETE", "GET"] {
        let again = vault.call(method, &path, &backend, None);
        assert_eq!((again.status, again.problem().as_str()), (404, "not-found"));
    }
    let lend = vault.lend(&id, &json!({"purpose": "sync"}));
    assert_eq!((lend.status, lend.problem().as_str()), (404, "not-found"));
}

#[test]
fn lists_turn_pages_and_see_each_item_once() {
    let vault = Vault::start();
    let mut made = Vec::new();
    for n in 0..5 {
        vault.clock.advance(std::time::Duration::from_millis(2));
        made.push(vault.deposit_as("acme", "ada", &deposit(&format!("bot{n}"), "s")));
    }
    let backend = vault.token("acme", "ada", "backend");
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = vault.call("GET", &format!("/v1/connections?limit=2{cursor}"), &backend, None);
        let items = page.json["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, made);

    for (query, wrong) in [
        ("limit=0", "limit range"),
        ("limit=201", "limit range"),
        ("limit=x", "limit range"),
        ("limit=%2B5", "limit range"),
        ("limit=5&limit=6", "limit once"),
        ("cursor=conn_1", "cursor cursor"),
        ("offset=3", "offset unknown_field"),
    ] {
        let refused = vault.call("GET", &format!("/v1/connections?{query}"), &backend, None);
        assert_eq!((refused.status, refused.errors()), (422, vec![wrong.into()]), "{query}");
    }
}

/// Attack on P1.
#[test]
fn bad_input_names_the_field_and_the_rule_and_never_the_value() {
    let vault = Vault::start();
    let backend = vault.token("acme", "ada", "backend");
    let planted = "planted-7Q-value";
    let with = |pointer: &str, value: Value| {
        let mut body = deposit("bot", planted);
        match pointer.rsplit_once('/').unwrap() {
            ("", name) => body[name] = value,
            (parent, name) => body.pointer_mut(parent).unwrap()[name] = value,
        }
        body
    };
    let without = |name: &str| {
        let mut body = deposit("bot", planted);
        body.as_object_mut().unwrap().remove(name);
        body
    };
    let cases: Vec<(Value, &str)> = vec![
        (with("/url", json!("http://acme.odoo.com")), "url https_only"),
        (with("/url", json!("ftp://acme.odoo.com")), "url https_only"),
        (with("/url", json!(planted)), "url url"),
        (with("/url", json!("https://user@acme.odoo.com")), "url userinfo"),
        (with("/url", json!("https://10.0.0.1")), "url not_public"),
        (with("/url", json!("https://169.254.169.254")), "url not_public"),
        (with("/url", json!("https://localhost")), "url not_public"),
        (with("/url", json!(7)), "url type"),
        (with("/database", json!("")), "database not_empty"),
        (with("/database", json!("d".repeat(257))), "database max_bytes"),
        (with("/username", json!("a\nb")), "username no_control_characters"),
        (with("/label", json!("")), "label not_empty"),
        (with("/label", json!("é".repeat(65))), "label max_bytes"),
        (with("/environment", json!(planted)), "environment one_of"),
        (with("/planted", json!(1)), "planted unknown_field"),
        (with("/org", json!("other")), "org unknown_field"),
        (with("/credential/kind", json!(planted)), "credential.kind one_of"),
        (with("/credential/secret", json!("")), "credential.secret not_empty"),
        (with("/credential/secret", json!("s".repeat(4097))), "credential.secret max_bytes"),
        (with("/credential/secret", json!("a\u{0}b")), "credential.secret no_control_characters"),
        (with("/credential/secret", json!([planted])), "credential.secret type"),
        (with("/credential/secret", Value::Null), "credential.secret type"),
        (with("/credential/login", json!("x")), "credential.login unknown_field"),
        (with("/credential/expires_at", json!("tomorrow")), "credential.expires_at rfc3339"),
        (with("/credential/expires_at", json!("2026-11-24T12:00:00Z")), "credential.expires_at in_future"),
        (with("/credential", json!(planted)), "credential type"),
        (with("/credential", json!(["password", planted, null])), "credential type"),
        (without("url"), "url required"),
        (without("credential"), "credential required"),
        (json!([planted]), "body type"),
        (json!(planted), "body type"),
    ];
    for (body, wrong) in cases {
        let refused = vault.call("POST", "/v1/connections", &backend, Some(&body));
        assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid"), "{wrong}");
        assert_eq!(refused.errors(), vec![wrong.to_owned()]);
        assert!(!refused.body.contains(planted), "{}", refused.body);
    }
    let both = json!({"url": "http://x", "database": "", "username": "",
                      "credential": {"kind": "", "secret": ""}});
    let refused = vault.call("POST", "/v1/connections", &backend, Some(&both));
    assert_eq!(refused.errors().len(), 5, "{}", refused.body);
    let nothing_kept = vault.call("GET", "/v1/connections", &backend, None);
    assert_eq!(nothing_kept.json["items"], json!([]));
}

/// Attack on P1, P5 and P10.
#[test]
fn what_is_no_json_is_refused_by_its_form() {
    let vault = Vault::start();
    let bearer = format!("Authorization: Bearer {}\r\n", vault.token("acme", "ada", "backend"));
    let json = format!("{bearer}Content-Type: application/json\r\n");
    let twice = r#"{"url": "https://a.example", "url": "https://b.example"}"#;
    let large = format!("\"{}\"", "x".repeat(64 * 1024));
    for (headers, body, status, problem) in [
        (&json, "{", 400, "malformed"),
        (&json, "", 400, "malformed"),
        (&json, "{} {}", 422, "invalid"),
        (&json, twice, 422, "invalid"),
        (&json, large.as_str(), 413, "too-large"),
        (&bearer, "{}", 415, "unsupported-media-type"),
    ] {
        let refused = raw(&vault.url, "POST", "/v1/connections", headers, body.as_bytes());
        assert_eq!((refused.status, refused.problem().as_str()), (status, problem), "{body:.40}");
    }
    for (method, path, status, problem, allowed) in [
        ("GET", "/v1/nothing", 404, "not-found", None),
        ("PUT", "/v1/connections", 405, "method-not-allowed", Some("GET, POST")),
        ("POST", "/livez", 405, "method-not-allowed", Some("GET")),
    ] {
        let refused = raw(&vault.url, method, path, &bearer, b"");
        assert_eq!((refused.status, refused.problem().as_str()), (status, problem), "{method} {path}");
        assert_eq!(refused.header("allow"), allowed, "{method} {path}");
    }
}

/// Attack on P5.
#[test]
fn malformed_ids_are_named_and_foreign_ones_are_like_none() {
    let vault = Vault::start();
    let theirs = vault.deposit_as("other", "eve", &deposit("bot", "s"));
    let colleagues = vault.deposit_as("acme", "bob", &deposit("bot", "s"));
    let never = "conn_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned();
    let backend = vault.token("acme", "ada", "backend");
    let worker = vault.token("acme", "ada", "worker");
    let sync = json!({"purpose": "sync"});
    let (label, new) = (json!({"label": "x"}), json!({"secret": "x"}));
    let calls: [(&str, &str, &str, Option<&Value>); 5] = [
        ("GET", "", &backend, None),
        ("PATCH", "", &backend, Some(&label)),
        ("PUT", "/credential", &backend, Some(&new)),
        ("DELETE", "", &backend, None),
        ("POST", "/leases", &worker, Some(&sync)),
    ];
    for (method, end, token, body) in calls {
        let mut answers = Vec::new();
        for id in [&theirs, &colleagues, &never] {
            let answer = vault.call(method, &format!("/v1/connections/{id}{end}"), token, body);
            assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"), "{method}{end}");
            let mut json = answer.json.clone();
            json["request_id"] = Value::Null;
            answers.push(json);
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        for wrong in ["x", "conn_1", "lease_01ARZ3NDEKTSV4RRFFQ69G5FAV", "conn_01ARZ3NDEKTSV4RRFFQ69G5FA%00"]
        {
            let answer = vault.call(method, &format!("/v1/connections/{wrong}{end}"), token, body);
            assert_eq!((answer.status, answer.errors()), (422, vec!["id id_format".into()]), "{wrong}");
        }
    }
    let (back, renew) = (json!({"outcome": "ok"}), json!({}));
    for (method, end, body) in
        [("POST", "/return", Some(&back)), ("POST", "/renew", Some(&renew)), ("GET", "", None)]
    {
        let answer = vault.call(method, &format!("/v1/leases/nope{end}"), &worker, body);
        assert_eq!((answer.status, answer.errors()), (422, vec!["id id_format".into()]), "{method}{end}");
    }
    assert_eq!(
        vault
            .call("GET", &format!("/v1/connections/{theirs}"), &vault.token("other", "eve", "backend"), None)
            .status,
        200
    );
}

#[test]
fn a_second_deposit_for_the_same_address_names_the_first() {
    let vault = Vault::start();
    let first = vault.deposit("one");
    let backend = vault.token("acme", "ada", "backend");
    let again = vault.call("POST", "/v1/connections", &backend, Some(&deposit("bot", "two")));
    assert_eq!((again.status, again.problem().as_str()), (409, "duplicate"));
    assert_eq!(again.text("connection_id"), first);
    vault.deposit_as("acme", "bob", &deposit("bot", "two"));
    vault.deposit_as("acme", "ada", &deposit("bot2", "two"));
}

/// Attack on P5.
#[test]
fn an_owner_sees_the_org_and_borrows_nothing() {
    let vault = Vault::start();
    let ada = vault.deposit_as("acme", "ada", &deposit("bot", "s"));
    let bob = vault.deposit_as("acme", "bob", &deposit("bot", "s"));
    vault.deposit_as("other", "eve", &deposit("bot", "s"));
    let owner = vault.token("acme", "olga", "owner");
    let list = vault.call("GET", "/v1/connections", &owner, None);
    let mut ids: Vec<_> =
        list.json["items"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect();
    let mut both = vec![ada.clone(), bob.clone()];
    ids.sort();
    both.sort();
    assert_eq!(ids, both);
    let sync = json!({"purpose": "sync"});
    let lend = vault.call("POST", &format!("/v1/connections/{ada}/leases"), &owner, Some(&sync));
    assert_eq!((lend.status, lend.problem().as_str()), (403, "forbidden"));
    assert_eq!(vault.call("DELETE", &format!("/v1/connections/{bob}"), &owner, None).status, 204);
}

/// Attack on P4, P5, P6 and P8.
#[test]
fn every_change_is_on_a_chain_that_anyone_can_follow() {
    use sha2::{Digest, Sha256};
    let vault = Vault::start();
    let id = vault.deposit("s");
    let lease = vault.lend(&id, &json!({"purpose": "sync"})).text("id");
    let worker = vault.token("acme", "ada", "worker");
    let back = json!({"outcome": "auth_failed", "records": 0});
    assert_eq!(vault.call("POST", &format!("/v1/leases/{lease}/return"), &worker, Some(&back)).status, 204);
    let backend = vault.token("acme", "ada", "backend");
    let path = format!("/v1/connections/{id}");
    assert_eq!(vault.call("GET", &path, &backend, None).json["state"], "auth_failed");
    assert_eq!(vault.call("DELETE", &path, &backend, None).status, 204);

    let trail = vault.whole_trail("acme");
    let actions: Vec<_> = trail
        .iter()
        .map(|e| e["event"]["activity_name"].as_str().unwrap())
        .filter(|action| *action != "token.issue")
        .collect();
    assert_eq!(actions, ["connection.deposit", "lease.lend", "lease.return", "connection.forget"]);
    let mut previous = [0_u8; 32].to_vec();
    for (index, stored) in trail.iter().enumerate() {
        let event = stored["event"].to_string();
        let mut hash = Sha256::new();
        for part in ["pawl/v1/audit", "acme"] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update((index as i64 + 1).to_be_bytes());
        hash.update(&previous);
        hash.update((event.len() as u64).to_be_bytes());
        hash.update(&event);
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(stored["seq"], index as i64 + 1);
        assert_eq!(stored["prev_hash"], hex(&previous));
        previous = hash.finalize().to_vec();
        assert_eq!(stored["hash"], hex(&previous));
    }
    let page =
        vault.call("GET", "/v1/audit/events?limit=1&cursor=4", &vault.token("acme", "a", "auditor"), None);
    assert_eq!(page.json["items"][0]["seq"], 3);
    assert_eq!(page.json["next_cursor"], "3");
    for cursor in ["%2B2", "-1", "0000000000000000002", ""] {
        let path = format!("/v1/audit/events?cursor={cursor}");
        let refused = vault.call("GET", &path, &vault.token("acme", "a", "auditor"), None);
        assert_eq!((refused.status, refused.errors()), (422, vec!["cursor cursor".into()]), "{cursor}");
    }
    assert!(vault.trail("other").iter().all(|e| e["event"]["actor.user.org.uid"] == "other"));
}

#[test]
fn it_says_that_it_lives_and_is_ready() {
    let vault = Vault::start();
    for path in ["/livez", "/readyz"] {
        let answer = call(&vault.url, "GET", path, "", None);
        assert_eq!((answer.status, answer.text("status").as_str()), (200, "ok"));
    }
    vault.sql("ALTER TABLE keys RENAME TO lost");
    let answer = call(&vault.url, "GET", "/readyz", "", None);
    assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"));
}
