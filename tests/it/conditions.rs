//! Conditions of the policy: a grant for some kinds, environments or states is one for no others, whichever the
//! call; and a policy's file, which takes the place of the one compiled in.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::{ACCESS, Answer, Home, Vault, call, raw};
use crate::scene::LOOPBACK;

/// A vault whose owners have these grants, and whose backends and workers have theirs.
fn under(owner: &str) -> Vault {
    let (before, rest) = ACCESS.split_once("[owner]").unwrap();
    let after = rest.split_once("[auditor]").unwrap().1;
    Vault::start_under(Home::new(), &[LOOPBACK], &format!("{before}[owner]\n{owner}\n[auditor]{after}"))
}

fn deposit(vault: &Vault, user: &str, kind: &str, environment: &str) -> String {
    let body = json!({"url": "http://127.0.0.1:9", "database": "d", "username": format!("{kind}{environment}"),
        "environment": environment, "credential": {"kind": kind, "secret": "s"}});
    vault.deposit_as("acme", user, &body)
}

/// Every call of an owner's on one connection that changes nothing which the next one needs, and the last.
fn calls(id: &str) -> Vec<(&'static str, String, Option<Value>)> {
    let at = format!("/v1/connections/{id}");
    vec![
        ("GET", at.clone(), None),
        ("PATCH", at.clone(), Some(json!({"label": "x"}))),
        ("PUT", format!("{at}/credential"), Some(json!({"secret": "t"}))),
        ("POST", format!("{at}/check"), None),
        ("DELETE", at, None),
    ]
}

fn last_event(vault: &Vault) -> Value {
    let trail = vault.trail("acme");
    trail.iter().map(|e| e["event"].clone()).rfind(|e| e["activity_name"] != "token.issue").unwrap()
}

fn refused(vault: &Vault, answer: &Answer, cause: &str, id: &str) {
    assert_eq!((answer.status, answer.problem().as_str()), (403, cause), "{}", answer.body);
    let event = last_event(vault);
    assert_eq!((&event["status"], &event["status_detail"]), (&json!("Failure"), &json!(cause)), "{event}");
    assert_eq!(event["connection.uid"], id, "{event}");
}

const ALL: &str = r#""connection.show", "connection.update", "connection.check", "connection.replace", "connection.forget""#;

/// Attack on P5.
#[test]
fn no_call_reaches_a_connection_that_a_condition_leaves_out() {
    for (condition, cause) in [
        (r#"environments = ["staging", "development"]"#, "environment-not-allowed"),
        (r#"kinds = ["api_key"]"#, "kind-not-allowed"),
        (r#"states = ["active"]"#, "state-not-allowed"),
    ] {
        let vault = under(&format!("own_org = [{{ actions = [{ALL}], {condition} }}]"));
        let out = deposit(&vault, "bob", "password", "production");
        let within = deposit(&vault, "bob", "api_key", "staging");
        vault.sql(&format!("UPDATE connections SET state = 'auth_failed' WHERE id = '{out}'"));
        let columns = ["id", "label", "sealed", "revision", "updated_at", "state"];
        let before = vault.home.sql().rows("connections", &columns)[0].clone();
        let owner = vault.token("acme", "ada", "owner");
        for (method, path, body) in calls(&out) {
            refused(&vault, &vault.call(method, &path, &owner, body.as_ref()), cause, &out);
        }
        assert_eq!(vault.home.sql().rows("connections", &columns)[0], before, "nothing of it changed");
        for (method, path, body) in calls(&within) {
            let answer = vault.call(method, &path, &owner, body.as_ref());
            assert!(answer.status < 300, "{condition} {method} {path}: {}", answer.body);
        }
        // what is not there any more is not there
        let nobody = vault.call("GET", &format!("/v1/connections/{within}"), &owner, None);
        assert_eq!(nobody.status, 404);
    }
}

/// What it is judged by is how it was: a replace leaves the state that its grant is for, and so does a check.
#[test]
fn a_credential_that_odoo_refused_is_replaced_by_leave_for_such_alone() {
    let vault = under(r#"own_org = [{ actions = ["connection.replace"], states = ["auth_failed"] }]"#);
    let (id, owner) = (deposit(&vault, "bob", "password", "production"), vault.token("acme", "ada", "owner"));
    let path = format!("/v1/connections/{id}/credential");
    let replace = |key: &str| {
        let head = format!(
            "Authorization: Bearer {owner}\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n"
        );
        raw(&vault.url, "PUT", &path, &head, br#"{"secret": "t"}"#)
    };
    refused(&vault, &replace("a"), "state-not-allowed", &id);
    vault.sql("UPDATE connections SET state = 'auth_failed'");
    let first = replace("b");
    assert_eq!((first.status, &first.json["state"]), (200, &json!("active")), "{}", first.body);
    assert_eq!(last_event(&vault)["status"], "Success");
    let again = replace("b");
    assert_eq!((again.status, &again.json), (200, &first.json), "{}", again.body);
    refused(&vault, &replace("c"), "state-not-allowed", &id);
    assert_eq!(vault.home.sql().texts("revision", "FROM connections"), ["2"]);
}

/// Attack on P5 and P6.
#[test]
fn a_loan_is_judged_when_it_is_lent_and_when_it_is_renewed() {
    let (before, rest) = ACCESS.split_once("[worker]").unwrap();
    let after = rest.split_once("[fleet]").unwrap().1;
    let worker = r#"own_user = [
        { actions = ["lease.lend.sync"], environments = ["production"], states = ["active"] },
        { actions = ["lease.lend.other"], kinds = ["api_key"] }, "lease.renew", "lease.return"]"#;
    let vault =
        Vault::start_under(Home::new(), &[LOOPBACK], &format!("{before}[worker]\n{worker}\n[fleet]{after}"));
    let (production, staging) =
        (deposit(&vault, "ada", "password", "production"), deposit(&vault, "ada", "password", "staging"));
    let lend = |id: &str, purpose: &str| vault.lend(id, &json!({"purpose": purpose, "run_id": "r"}));
    refused(&vault, &lend(&staging, "sync"), "environment-not-allowed", &staging);
    refused(&vault, &lend(&production, "other"), "kind-not-allowed", &production);
    let denied = lend(&production, "check");
    assert_eq!((denied.status, denied.problem().as_str()), (403, "forbidden"));
    assert_eq!(
        (&last_event(&vault)["activity_name"], &last_event(&vault)["purpose"]),
        (&json!("lease.lend"), &json!("check"))
    );

    let lease = lend(&production, "sync").text("id");
    let renew = || {
        let worker = vault.token("acme", "ada", "worker");
        vault.call("POST", &format!("/v1/leases/{lease}/renew"), &worker, Some(&json!({})))
    };
    assert_eq!(renew().status, 200);
    let owner = vault.token("acme", "ada", "owner");
    let moved = vault.call(
        "PATCH",
        &format!("/v1/connections/{production}"),
        &owner,
        Some(&json!({"environment": "staging"})),
    );
    assert_eq!(moved.status, 200, "{}", moved.body);
    refused(&vault, &renew(), "environment-not-allowed", &production);
    vault.call(
        "PATCH",
        &format!("/v1/connections/{production}"),
        &owner,
        Some(&json!({"environment": "production"})),
    );
    vault.sql("UPDATE connections SET state = 'auth_failed'");
    refused(&vault, &renew(), "state-not-allowed", &production);
    refused(&vault, &lend(&production, "sync"), "state-not-allowed", &production);
}

/// Attack on P5.
#[test]
fn grants_add_up_and_an_environment_is_left_and_entered_by_leave() {
    let vault = under(
        r#"own_user = ["connection.show", { actions = ["connection.deposit"], kinds = ["api_key"], environments = ["staging"] }]
           own_org = ["connection.update",
             { actions = ["connection.show", "connection.environment"], environments = ["staging", "development"] }]"#,
    );
    let owner = vault.token("acme", "ada", "owner");
    let (own, theirs, staged) = (
        deposit(&vault, "ada", "password", "production"),
        deposit(&vault, "bob", "password", "production"),
        deposit(&vault, "bob", "password", "staging"),
    );
    let show = |id: &str| vault.call("GET", &format!("/v1/connections/{id}"), &owner, None);
    assert_eq!((show(&own).status, show(&staged).status), (200, 200));
    refused(&vault, &show(&theirs), "environment-not-allowed", &theirs);

    let to = |id: &str, environment: &str| {
        vault.call(
            "PATCH",
            &format!("/v1/connections/{id}"),
            &owner,
            Some(&json!({"environment": environment, "label": "x"})),
        )
    };
    refused(&vault, &to(&staged, "production"), "environment-not-allowed", &staged);
    refused(&vault, &to(&theirs, "staging"), "environment-not-allowed", &theirs);
    assert_eq!(to(&staged, "development").status, 200);
    assert_eq!(
        vault.home.sql().texts("count(*)", "FROM connections WHERE label = 'x'"),
        ["1"],
        "nothing is done half"
    );

    let keep = |kind: &str, environment: &str| {
        let body = json!({"url": "http://127.0.0.1:9", "database": "e", "username": "u", "environment": environment,
                          "credential": {"kind": kind, "secret": "planted-9"}});
        vault.call("POST", "/v1/connections", &owner, Some(&body))
    };
    for (kind, environment, cause) in
        [("password", "staging", "kind-not-allowed"), ("api_key", "production", "environment-not-allowed")]
    {
        let no = keep(kind, environment);
        assert_eq!((no.status, no.problem().as_str()), (403, cause));
        assert_eq!(last_event(&vault)["status_detail"], cause);
    }
    assert_eq!(keep("api_key", "staging").status, 201);
}

/// Attack on P3 and P5.
#[test]
fn a_policys_file_takes_the_embedded_ones_place_and_is_on_record() {
    let home = Home::new();
    let file = home.path().join("access.toml");
    let write = |text: &str, mode: u32| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let setting = ("PAWL_POLICY_FILE", file.to_str().unwrap());
    let said = |args: &[&str]| {
        let output = home.pawl(&[setting]).args(args).output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let stricter = ACCESS.replacen("\"connection.forget\"", "", 1);
    write(&stricter, 0o644);
    let process = home.serve(&[setting]);
    let (_, token) = said(&["token", "issue", "--org", "acme", "--user", "ada", "--role", "backend"]);
    let id = "conn_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let no = call(&process.url, "DELETE", &format!("/v1/connections/{id}"), token.trim(), None);
    assert_eq!((no.status, no.problem().as_str()), (403, "forbidden"));
    assert_eq!(call(&process.url, "GET", "/v1/connections", token.trim(), None).status, 200);

    let digest = |text: &str| {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    drop(process);
    drop(home.serve(&[]));
    let loaded =
        home.sql().texts("event", "FROM audit_events WHERE event LIKE '%\"policy.load\"%' ORDER BY seq");
    let loaded: Vec<Value> = loaded.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    for (event, (subject, text)) in loaded.iter().zip([(setting.1, stricter.as_str()), ("embedded", ACCESS)])
    {
        assert_eq!(
            (event["subject"].as_str(), event["digest"].as_str()),
            (Some(subject), Some(digest(text).as_str()))
        );
    }
    assert_eq!(loaded.len(), 2);

    let (done, table) = said(&["policy", "explain", "--as", "backend"]);
    assert!(done && table.contains(&digest(&stricter)) && !table.contains("connection.forget"), "{table}");
    assert!(table.contains("connection.deposit") && !table.contains("worker"), "{table}");
    assert!(said(&["doctor"]).1.contains(&digest(&stricter)));
    for (text, mode, named) in [
        ("[root]\n", 0o644, "role \"root\""),
        ("[worker]\nown_user = [\"lease.steal\"]\n", 0o644, "lease.steal"),
        (stricter.as_str(), 0o666, "changed by others"),
        (stricter.as_str(), 0o620, "changed by others"),
        (&"#".repeat(65 * 1024), 0o644, "64 KiB"),
    ] {
        write(text, mode);
        for args in [&["serve"][..], &["policy", "explain"], &["init"]] {
            let (done, said) = said(args);
            assert!(!done && said.contains("PAWL_POLICY_FILE") && said.contains(named), "{args:?}: {said}");
        }
    }
    std::fs::remove_file(&file).unwrap();
    assert!(said(&["serve"]).1.contains("PAWL_POLICY_FILE"));
    assert!(!said(&["policy", "explain", "--as", "root"]).0);
}

/// `docs/access.md` is the embedded policy, as people read it: TEST_WRITE=1 writes it anew.
#[test]
fn the_page_says_what_the_policy_says() {
    let policy = pawl::access::Policy::embedded().unwrap();
    let mut page = "# What each role may do\n\n<!-- Made of policies/access.toml by `TEST_WRITE=1 cargo test --test it \
                    conditions::`; a test fails when it is old. -->\n\nThe policy that is compiled in, \
                    [policies/access.toml](../policies/access.toml); `pawl policy explain` prints the one in force. \
                    `own_user`: rows of\nthe caller's own org and user; `own_org`: of any user of their org; `vault`: \
                    the vault's own, and no tenant's. What\nis not here is refused, and that is on record.\n\n\
                    | role | action | reach | of connections |\n|---|---|---|---|\n"
        .to_owned();
    for line in policy.explain(None) {
        let when = if line.when.is_empty() { "any" } else { &line.when };
        page.push_str(&format!("| `{}` | `{}` | `{}` | {when} |\n", line.role, line.action, line.reach));
    }
    page.push_str("\n`fleet` may nothing yet.\n");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/access.md");
    if std::env::var_os("TEST_WRITE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), page);
}
