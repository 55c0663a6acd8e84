//! An org's own list of hosts: what it refuses, to whom, from when on, and what is told of it.

use serde_json::{Value, json};

use crate::harness::{Vault, deposit};
use crate::import_source::{Kind, Table, counts, row, token, told};

const SETTINGS: &str = "/v1/org/settings";

fn allow(vault: &Vault, hosts: &Value) {
    let owner = vault.token("acme", "owner", "owner");
    let answer = vault.call("PUT", SETTINGS, &owner, Some(&json!({"allowed_hosts": hosts})));
    assert_eq!((answer.status, &answer.json["allowed_hosts"]), (200, hosts), "{}", answer.body);
}

fn at(url: &str, username: &str) -> Value {
    let mut body = deposit(username, "hunter2-hunter2");
    body["url"] = json!(url);
    body
}

/// Attack on P7.
#[test]
fn nothing_is_deposited_lent_renewed_checked_or_read_at_a_host_that_the_org_does_not_allow() {
    let vault = Vault::start();
    let [backend, worker] = ["backend", "worker"].map(|role| vault.token("acme", "ada", role));
    let id = vault.deposit("hunter2-hunter2");
    let sync = json!({"purpose": "sync", "run_id": "r"});
    let lease = vault.lend(&id, &sync).text("id");
    let [check, lend, read] = ["check", "leases", "read"].map(|call| format!("/v1/connections/{id}/{call}"));
    let renew = format!("/v1/leases/{lease}/renew");
    let query = json!({"model": "account.move", "method": "search_read", "fields": ["name"]});

    allow(&vault, &json!(["*.cust.example", "odoo.com"]));
    let other = json!({"purpose": "other"});
    let calls = [
        (&lend, &worker, &sync),
        (&lend, &worker, &other),
        (&renew, &worker, &json!({})),
        (&check, &backend, &Value::Null),
        (&read, &worker, &query),
    ];
    for (path, token, body) in calls {
        let answer = vault.call("POST", path, token, Some(body).filter(|body| !body.is_null()));
        assert_eq!((answer.status, answer.problem().as_str()), (403, "host-not-allowed"), "{path}");
        assert!(!answer.body.contains("acme.odoo.com"), "{}", answer.body);
    }
    let refused = vault.call("POST", "/v1/connections", &backend, Some(&deposit("bot2", "hunter2-hunter2")));
    assert_eq!(refused.status, 422);
    assert_eq!(
        (&refused.json["errors"][0]["field"], &refused.json["errors"][0]["rule"]),
        (&json!("url"), &json!("host_allowed"))
    );
    // It is there still, can be forgotten, and its lease handed back.
    assert_eq!(vault.call("GET", &format!("/v1/connections/{id}"), &backend, None).status, 200);
    let back =
        vault.call("POST", &format!("/v1/leases/{lease}/return"), &worker, Some(&json!({"outcome": "ok"})));
    assert_eq!(back.status, 204, "{}", back.body);
    vault.deposit_as("acme", "ada", &at("https://a.b.cust.example", "bot"));
    // Another org's list is its own.
    let others = vault.deposit_as("other", "ada", &deposit("bot", "hunter2-hunter2"));
    let others_worker = vault.token("other", "ada", "worker");
    let lent = vault.call("POST", &format!("/v1/connections/{others}/leases"), &others_worker, Some(&other));
    assert_eq!(lent.status, 201, "{}", lent.body);

    let trail = vault.trail("acme");
    let of = |action: &str| {
        trail.iter().filter(|event| event["event"]["activity_name"] == action).collect::<Vec<_>>()
    };
    let [set] = of("settings.hosts")[..] else { panic!("{trail:?}") };
    assert_eq!(set["event"]["hosts"], "*.cust.example odoo.com", "{set}");
    let told = trail.iter().filter(|event| event["event"]["status_detail"] == "host-not-allowed");
    // The deposit too.
    assert_eq!(told.count(), calls.len() + 1);

    // From the very next call on, and back again; the list can be taken away.
    allow(&vault, &json!(["acme.odoo.com"]));
    assert_eq!(vault.lend(&id, &sync).status, 201);
    allow(&vault, &json!(["*.cust.example"]));
    assert_eq!(vault.lend(&id, &other).problem(), "host-not-allowed");
    allow(&vault, &Value::Null);
    assert_eq!(vault.lend(&id, &other).status, 201);
}

/// What is not Odoo's is held to the list where it has a URL.
#[test]
fn a_secret_of_another_kind_is_held_to_the_list_by_its_url() {
    let vault = Vault::start();
    allow(&vault, &json!(["*.cust.example"]));
    let backend = vault.token("acme", "ada", "backend");
    for (url, status) in
        [(Some("https://a.cust.example"), 201), (Some("https://acme.odoo.com"), 422), (None, 201)]
    {
        let mut body = json!({"credential": {"kind": "generic", "secret": "hunter2-hunter2"}});
        if let Some(url) = url {
            body["url"] = json!(url);
        }
        let answer = vault.call("POST", "/v1/connections", &backend, Some(&body));
        assert_eq!(answer.status, status, "{url:?}: {}", answer.body);
    }
}

/// Attack on P7.
#[test]
fn no_row_is_moved_in_for_a_host_that_the_org_does_not_allow() {
    let vault = Vault::start();
    allow(&vault, &json!(["*.cust.example"]));
    let secret = token("hunter2-hunter2");
    let mut allowed = row("2", "ada", &secret);
    allowed[2] = Some("https://a.cust.example".into());
    let table = Table::new(&vault.home, Kind::Csv, &[row("1", "ada", &secret), allowed]);
    for (arguments, came) in [(&["--dry-run"][..], "0"), (&[], "1")] {
        let output = table.import(&vault.home, arguments);
        let rule = "id 1 left: url host_allowed: must be a host that the org's owner lets be called";
        assert_eq!(told(&output), (3, vec![rule.to_owned()]), "{arguments:?}");
        assert_eq!(counts(&output), [1, 0, 0, 0, 1], "{arguments:?}");
        assert_eq!(vault.home.sql().texts("count(*)", "FROM connections"), [came]);
    }
    // It is no row that came in once: when its host is allowed, it does.
    allow(&vault, &Value::Null);
    let output = table.import(&vault.home, &[]);
    assert_eq!((told(&output), counts(&output)), ((0, vec![]), [1, 1, 0, 0, 0]));
}

#[test]
fn a_list_is_shown_in_its_normal_form_and_kept_when_others_change() {
    let vault = Vault::start();
    let owner = vault.token("acme", "owner", "owner");
    let put = |body: Value| vault.call("PUT", SETTINGS, &owner, Some(&body));
    assert_eq!(vault.call("GET", SETTINGS, &owner, None).json["allowed_hosts"], Value::Null);
    let sent = json!({"allowed_hosts": ["ACME.odoo.com.", "*.żółw.example", "10.0.0.7", "fd00::1"]});
    let normal = json!(["acme.odoo.com", "*.xn--w-uga1v8h.example", "10.0.0.7", "[fd00::1]"]);
    assert_eq!(put(sent).json["allowed_hosts"], normal);
    assert_eq!(put(json!({"audit_retention_days": 400})).json["allowed_hosts"], normal);
    for (list, field, rule) in [
        (json!([]), "allowed_hosts", "items"),
        (json!(vec!["a.example"; 101]), "allowed_hosts", "items"),
        (json!(["a.example", "*.com"]), "allowed_hosts[1]", "host"),
        (json!(["https://a.example"]), "allowed_hosts[0]", "host"),
        (json!(["a.example", "A.example"]), "allowed_hosts[1]", "once"),
    ] {
        let refused = put(json!({"allowed_hosts": list}));
        let told = &refused.json["errors"][0];
        assert_eq!((refused.status, &told["field"], &told["rule"]), (422, &json!(field), &json!(rule)));
        assert!(!refused.body.contains("https://a.example"), "{}", refused.body);
    }
    assert_eq!(vault.call("GET", SETTINGS, &owner, None).json["allowed_hosts"], normal);
}
