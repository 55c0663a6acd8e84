//! Secrets that are not Odoo's: kept, lent, replaced and forgotten as Odoo's are, where a policy says so, and
//! never taken for Odoo's.

use serde_json::{Value, json};

use crate::database::without_foreign_keys;
use crate::harness::{ACCESS, Answer, Home, ODOO, Vault, deposit, holds, program, raw};

const OTHERS: [&str; 4] = ["oauth_token", "tunnel", "subscription", "generic"];

/// A vault whose workers may borrow every kind.
fn lends_all() -> Vault {
    let few = r#""lease.renew"], kinds = ["password", "api_key"]"#;
    let all = r#""lease.renew"], kinds = ["password", "api_key", "oauth_token", "tunnel", "subscription", "generic"]"#;
    assert_eq!(ACCESS.matches(few).count(), 1);
    Vault::start_under(Home::new(), &[], &ACCESS.replace(few, all))
}

fn other(kind: &str, secret: &str) -> Value {
    json!({"credential": {"kind": kind, "secret": secret}})
}

fn by_backend(vault: &Vault, method: &str, path: &str, body: Option<&Value>) -> Answer {
    vault.call(method, path, &vault.token("acme", "ada", "backend"), body)
}

fn keep(vault: &Vault, body: &Value) -> Answer {
    by_backend(vault, "POST", "/v1/connections", Some(body))
}

fn refused(answer: &Answer) -> (u16, String, Vec<String>) {
    (answer.status, answer.problem(), answer.errors())
}

/// The last event of acme's that is no token's: what was done, how it ended and why.
fn last_event(vault: &Vault) -> [Value; 3] {
    let trail = vault.trail("acme");
    let last = trail.iter().rev().find(|e| e["event"]["activity_name"] != "token.issue").unwrap();
    ["activity_name", "status", "status_detail"].map(|member| last["event"][member].clone())
}

/// Attack on P1 and P8.
#[test]
fn every_kind_is_kept_lent_replaced_and_forgotten_the_same_way() {
    let vault = lends_all();
    let other_purpose = json!({"purpose": "other", "ttl_seconds": 60});
    for (number, kind) in OTHERS.into_iter().enumerate() {
        let (first, second) = (format!("planted-{kind}-1"), format!("planted-{kind}-2"));
        let kept = keep(&vault, &other(kind, &first));
        assert_eq!(kept.status, 201, "{}", kept.body);
        let id = kept.text("id");
        let path = format!("/v1/connections/{id}");
        let shown = by_backend(&vault, "GET", &path, None);
        let listed = by_backend(&vault, "GET", "/v1/connections", None);
        assert_eq!(kept.json, shown.json);
        assert_eq!(listed.json["items"], json!([shown.json]));
        for part in ["url", "database", "username"] {
            assert_eq!(shown.json.get(part), Some(&Value::Null), "{kind} {part}");
        }
        assert_eq!(
            shown.json["credential"],
            json!({"kind": kind, "revision": 1, "key_id": "k1", "expires_at": null})
        );

        let loan = vault.lend(&id, &other_purpose);
        assert_eq!(loan.status, 201, "{}", loan.body);
        let lease = loan.text("id");
        assert_eq!(
            loan.json,
            json!({"id": lease, "expires_at": "2026-11-24T12:01:00.000000Z", "fence": 1,
                "connection": {"id": id, "url": null, "database": null, "username": null},
                "credential": {"kind": kind, "secret": first, "revision": 1, "expires_at": null},
                "allowed": {"methods": [], "models": []}})
        );
        let worker = vault.token("acme", "ada", "worker");
        let renewed = vault.call("POST", &format!("/v1/leases/{lease}/renew"), &worker, Some(&json!({})));
        assert_eq!(renewed.status, 200, "{}", renewed.body);
        let back = json!({"outcome": "ok"});
        let back = vault.call("POST", &format!("/v1/leases/{lease}/return"), &worker, Some(&back));
        assert_eq!(back.status, 204, "{}", back.body);

        let new = json!({"secret": second});
        let replaced = by_backend(&vault, "PUT", &format!("{path}/credential"), Some(&new));
        assert_eq!(replaced.status, 200, "{}", replaced.body);
        assert_eq!(replaced.json["credential"]["revision"], 2);
        assert_eq!(replaced.json["credential"]["kind"], kind);
        assert_eq!(vault.lend(&id, &other_purpose).json["credential"]["secret"], second);
        let label = by_backend(&vault, "PATCH", &path, Some(&json!({"label": "edge"})));
        assert_eq!(label.text("label"), "edge");

        for (file, bytes) in vault.home.everything_kept() {
            assert!(!holds(&bytes, "planted-"), "{}", file.display());
        }
        for said in [&kept.body, &shown.body, &listed.body, &replaced.body, &label.body] {
            assert!(!said.contains("planted-"), "{said}");
        }
        assert_eq!(by_backend(&vault, "DELETE", &path, None).status, 204);
        assert_eq!(refused(&vault.lend(&id, &other_purpose)).1, "not-found");
        assert_eq!(vault.home.sql().count("connections"), 0);
        let lends =
            vault.trail("acme").iter().filter(|e| e["event"]["activity_name"] == "lease.lend").count();
        assert_eq!(lends, 3 * (number + 1));
    }
}

/// Attack on P6.
#[test]
fn no_kind_is_lent_that_no_policy_names() {
    let vault = Vault::start();
    for kind in OTHERS {
        let id = keep(&vault, &other(kind, "planted-7")).text("id");
        for purpose in ["other", "sync", "check"] {
            let no = vault.lend(&id, &json!({"purpose": purpose}));
            assert_eq!((no.status, no.problem().as_str()), (403, "kind-not-allowed"), "{kind} {purpose}");
            assert!(!no.body.contains("planted-7"));
            assert_eq!(last_event(&vault), ["lease.lend", "Failure", "kind-not-allowed"]);
        }
    }
    assert_eq!(vault.lend(&vault.deposit("s"), &json!({"purpose": "other"})).status, 201);
}

/// Attack on P6.
#[test]
fn what_is_not_odoos_is_neither_synced_nor_checked() {
    let vault = lends_all();
    let whole = |kind: &str| {
        let mut whole = deposit("bot", "planted-8");
        whole["credential"]["kind"] = json!(kind);
        whole
    };
    for kind in OTHERS {
        let id = keep(&vault, &whole(kind)).text("id");
        for purpose in ["sync", "check"] {
            let no = vault.lend(&id, &json!({"purpose": purpose, "run_id": "r"}));
            assert_eq!(refused(&no), (409, "not-odoo".into(), vec!["purpose odoo_alone".into()]));
            assert!(!no.body.contains("planted-8"));
            assert_eq!(last_event(&vault), ["lease.lend", "Failure", "not-odoo"]);
        }
        let path = format!("/v1/connections/{id}");
        let no = by_backend(&vault, "POST", &format!("{path}/check"), None);
        assert_eq!(refused(&no), (409, "not-odoo".into(), vec!["id odoo_alone".into()]));
        assert_eq!(last_event(&vault), ["connection.check", "Failure", "not-odoo"]);
        let no = by_backend(&vault, "PATCH", &path, Some(&json!({"sync_interval_seconds": 60})));
        assert_eq!(refused(&no), (409, "not-odoo".into(), vec!["sync_interval_seconds odoo_alone".into()]));
        let yes = by_backend(&vault, "PATCH", &path, Some(&json!({"sync_interval_seconds": null})));
        assert_eq!(yes.status, 200, "{}", yes.body);

        let token = vault.token("acme", "ada", "worker");
        let settings = [("PAWL_URL", vault.url.as_str()), ("PAWL_TOKEN", token.as_str())];
        for what in [&["run", "--to", "jsonl:-", "--connection"][..], &["check", "--connection"]] {
            let mut worker = program(env!("CARGO_BIN_EXE_pawl-sync"), vault.home.path(), &settings);
            let output = worker.args(what).arg(&id).output().unwrap();
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(!output.status.success() && said.contains("no password or API key"), "{said}");
            assert!(!said.contains("planted-8"), "{said}");
        }
        let path = "/v1/connections?check=true";
        let no = by_backend(&vault, "POST", path, Some(&other(kind, "planted-9")));
        assert_eq!(refused(&no), (422, "invalid".into(), vec!["check odoo_alone".into()]));
    }
    assert_eq!(vault.home.sql().count("connections"), 4, "what was refused is not kept");
    assert_eq!(vault.home.sql().texts("count(*)", "FROM leases"), ["0"]);
}

#[test]
fn only_odoos_are_one_for_each_login() {
    let vault = Vault::start();
    let with = |kind: &str| {
        let mut body = deposit("bot", "s");
        body["credential"]["kind"] = json!(kind);
        body
    };
    for kind in OTHERS {
        for body in [with(kind), with(kind), other(kind, "s"), other(kind, "s")] {
            assert_eq!(keep(&vault, &body).status, 201, "{kind}");
        }
    }
    let first = keep(&vault, &with("password"));
    assert_eq!(first.status, 201, "those of other kinds are not in its way: {}", first.body);
    for kind in ["password", "api_key"] {
        let again = keep(&vault, &with(kind));
        assert_eq!((again.status, again.problem().as_str()), (409, "duplicate"));
        assert_eq!(again.json["connection_id"], first.json["id"]);
    }
    assert_eq!(keep(&vault, &with("generic")).status, 201);
    let listed = by_backend(&vault, "GET", "/v1/connections?limit=200", None);
    assert_eq!(listed.json["items"].as_array().unwrap().len(), 4 * 4 + 2);
}

/// Attack on P1 and P7.
#[test]
fn bad_input_names_the_field_and_the_rule_whatever_the_kind() {
    let vault = Vault::start();
    let with = |kind: &str, member: &str, value: Value| {
        let mut body =
            if OTHERS.contains(&kind) { other(kind, "planted-5") } else { deposit("b", "planted-5") };
        body["credential"]["kind"] = json!(kind);
        match member.strip_prefix("credential.") {
            Some(member) => body["credential"][member] = value,
            None => body[member] = value,
        }
        body
    };
    let mut cases = Vec::new();
    for kind in OTHERS {
        for (member, value, wrong) in [
            ("url", json!("http://acme.example"), "url https_only"),
            ("url", json!("https://10.0.0.1"), "url not_public"),
            ("url", json!("https://169.254.169.254"), "url not_public"),
            ("url", json!("https://user@acme.example"), "url userinfo"),
            ("url", json!("https://acme.example/planted-5"), "url no_path"),
            ("url", json!(""), "url url"),
            ("url", json!(7), "url type"),
            ("database", json!(""), "database not_empty"),
            ("database", json!("d".repeat(257)), "database max_bytes"),
            ("username", json!(""), "username not_empty"),
            ("username", json!("a\nb"), "username no_control_characters"),
            ("label", json!(""), "label not_empty"),
            ("planted", json!(1), "planted unknown_field"),
            ("credential.secret", json!(""), "credential.secret not_empty"),
            ("credential.secret", json!("s".repeat(16_385)), "credential.secret max_bytes"),
            ("credential.secret", json!("é".repeat(8_193)), "credential.secret max_bytes"),
            ("credential.secret", json!("a\u{0}b"), "credential.secret no_control_characters"),
            ("credential.secret", json!("a\u{b}b"), "credential.secret no_control_characters"),
            ("credential.secret", json!("a\u{1b}b"), "credential.secret no_control_characters"),
            ("credential.secret", json!("a\u{7f}b"), "credential.secret no_control_characters"),
            ("credential.secret", json!("a\u{85}b"), "credential.secret no_control_characters"),
            ("credential.expires_at", json!("2026-11-24T12:00:00Z"), "credential.expires_at in_future"),
        ] {
            cases.push((with(kind, member, value), wrong));
        }
    }
    for kind in ["password", "api_key"] {
        for part in ["url", "database", "username"] {
            let wrong = format!("{part} required");
            cases.push((with(kind, part, Value::Null), wrong.leak()));
        }
        for secret in ["a\nb", "a\tb", "a\r"] {
            let wrong = "credential.secret no_control_characters";
            cases.push((with(kind, "credential.secret", json!(secret)), wrong));
        }
        let long = "s".repeat(4_097);
        cases.push((with(kind, "credential.secret", json!(long)), "credential.secret max_bytes"));
    }
    for kind in ["", "Generic", "oauth", "api-key", "generic "] {
        cases.push((with("generic", "credential.kind", json!(kind)), "credential.kind one_of"));
    }
    for (body, wrong) in cases {
        let no = keep(&vault, &body);
        assert_eq!(refused(&no), (422, "invalid".into(), vec![wrong.to_owned()]), "{body:.300}");
        assert!(!no.body.contains("planted-5"), "{}", no.body);
    }
    assert_eq!(vault.home.sql().count("connections"), 0);
}

#[test]
fn a_file_comes_back_byte_for_byte_and_a_password_stays_a_line() {
    let vault = lends_all();
    let purpose = json!({"purpose": "other"});
    let pem = format!("-----BEGIN KEY-----\r\n\t{}\n-----END KEY-----\n", "aé\"\\/".repeat(1_000));
    let longest = ["\n".repeat(16_384), "\"".repeat(16_384), "é".repeat(8_192)];
    for secret in longest.iter().chain([&pem]) {
        let kept = keep(&vault, &other("tunnel", secret));
        assert_eq!(kept.status, 201, "{}", kept.body);
        let loan = vault.lend(&kept.text("id"), &purpose);
        assert_eq!(loan.json["credential"]["secret"], secret.as_str());
    }
    let [odoos, tunnels] = [vault.deposit("first"), keep(&vault, &other("tunnel", "first")).text("id")];
    for secret in ["a\nb", "\t", &"s".repeat(4_097)] {
        let put = |id: &str| {
            let new = json!({"secret": secret});
            by_backend(&vault, "PUT", &format!("/v1/connections/{id}/credential"), Some(&new))
        };
        let no = put(&odoos);
        assert_eq!((no.status, no.problem().as_str()), (422, "invalid"));
        assert_eq!(put(&tunnels).status, 200);
        assert_eq!(vault.lend(&tunnels, &purpose).json["credential"]["secret"], secret);
        let kept = vault.lend(&odoos, &purpose);
        assert_eq!(kept.json["credential"]["secret"], "first");
        assert_eq!(kept.json["credential"]["revision"], 1);
    }
    for id in [&odoos, &tunnels] {
        let put = |secret: &str| {
            let path = format!("/v1/connections/{id}/credential");
            refused(&by_backend(&vault, "PUT", &path, Some(&json!({"secret": secret})))).2
        };
        assert_eq!(put(""), ["secret not_empty"]);
        assert_eq!(put("a\u{0}"), ["secret no_control_characters"]);
        assert_eq!(put(&"s".repeat(16_385)), ["secret max_bytes"]);
    }
}

#[test]
fn a_deposit_that_comes_again_is_done_once() {
    let vault = Vault::start();
    let send = |body: &Value| {
        let token = vault.token("acme", "ada", "backend");
        let head = format!(
            "Authorization: Bearer {token}\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n"
        );
        raw(&vault.url, "POST", "/v1/connections", &head, body.to_string().as_bytes())
    };
    let first = send(&other("generic", "s"));
    assert_eq!((first.status, &send(&other("generic", "s")).json), (201, &first.json));
    assert_eq!(send(&other("tunnel", "s")).problem(), "idempotency-key-reused");
    assert_eq!(vault.home.sql().count("connections"), 1);
}

/// Lends that meet in one transaction, of rows that have every part and rows that have none.
#[test]
fn kinds_that_are_lent_at_once_do_not_mix() {
    let vault = lends_all();
    let mut kept: Vec<_> = OTHERS.map(|kind| (keep(&vault, &other(kind, kind)).text("id"), kind)).into();
    kept.push((vault.deposit("password"), "password"));
    let worker = vault.token("acme", "ada", "worker");
    std::thread::scope(|scope| {
        for (id, kind) in kept.iter().cycle().take(20) {
            let (vault, worker) = (&vault, &worker);
            scope.spawn(move || {
                let path = format!("/v1/connections/{id}/leases");
                let loan = vault.call("POST", &path, worker, Some(&json!({"purpose": "other"})));
                assert_eq!((loan.json["connection"]["id"].as_str(), loan.status), (Some(id.as_str()), 201));
                assert_eq!(loan.json["credential"]["secret"], *kind);
                assert_eq!(loan.json["connection"]["url"].is_null(), *kind != "password");
            });
        }
    });
}

/// Every kind is a key of its own: a secret that was left as one is not opened as another, nor where a part
/// of its destination came or went.
/// Attack on P2.
#[test]
fn a_row_that_is_made_another_kind_does_not_open() {
    let vault = lends_all();
    let mut sql = vault.home.sql();
    sql.run(without_foreign_keys());
    let kinds = ["password", "api_key"].into_iter().chain(OTHERS);
    for (number, kind) in kinds.clone().enumerate() {
        let mut body = deposit(&format!("bot{number}"), "planted-6");
        body["credential"]["kind"] = json!(kind);
        let id = keep(&vault, &body).text("id");
        let shut = |set: &str| {
            // So many denials are put on record one by one in a minute, and no more.
            vault.clock.advance(std::time::Duration::from_secs(60));
            for purpose in ["other", "sync"] {
                let no = vault.lend(&id, &json!({"purpose": purpose}));
                assert_eq!((no.status, no.problem().as_str()), (500, "does-not-open"), "{kind} {set}");
                assert!(!no.body.contains("planted-6"), "{}", no.body);
                assert_eq!(last_event(&vault), ["lease.lend", "Failure", "does-not-open"]);
            }
            let path = format!("/v1/connections/{id}");
            let new = json!({"secret": "planted-6"});
            for (method, path, body) in
                [("PUT", format!("{path}/credential"), Some(&new)), ("POST", format!("{path}/check"), None)]
            {
                let no = by_backend(&vault, method, &path, body);
                assert_eq!((no.status, no.problem().as_str()), (500, "does-not-open"), "{kind} {set}");
            }
        };
        let set = |sql: &mut crate::database::Sql, set: &str| {
            sql.run(&format!("UPDATE connections SET {set} WHERE id = '{id}'"));
        };
        for made in kinds.clone().filter(|made| *made != kind) {
            set(&mut sql, &format!("kind = '{made}'"));
            shut(made);
        }
        set(&mut sql, &format!("kind = '{kind}'"));
        if OTHERS.contains(&kind) {
            for part in ["url", "database", "username"] {
                let was = sql.texts(part, &format!("FROM connections WHERE id = '{id}'")).remove(0);
                set(&mut sql, &format!("{part} = NULL"));
                shut(part);
                set(&mut sql, &format!("{part} = '{was}'"));
            }
        }
        assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).status, 201, "{kind}, as it was");
    }
    // what was sealed for nowhere is not sent somewhere
    let id = keep(&vault, &other("generic", "planted-6")).text("id");
    for (part, value) in [("url", ODOO), ("database", "d"), ("username", "u")] {
        sql.run(&format!("UPDATE connections SET {part} = '{value}' WHERE id = '{id}'"));
        assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).problem(), "does-not-open", "{part}");
        sql.run(&format!("UPDATE connections SET {part} = NULL WHERE id = '{id}'"));
    }
    assert_eq!(vault.lend(&id, &json!({"purpose": "other"})).status, 201);
}

/// What the tables themselves refuse, whoever writes.
/// Attack on P2.
#[test]
fn the_tables_hold_odoos_rows_whole_and_every_kind_to_the_list() {
    let vault = Vault::start();
    let [odoos, others] = [vault.deposit("s"), keep(&vault, &other("generic", "s")).text("id")];
    let mut sql = vault.home.sql();
    for (id, set) in [
        (&odoos, "url = NULL"),
        (&odoos, "database = NULL"),
        (&odoos, "username = NULL"),
        (&odoos, "kind = 'passwords'"),
        (&others, "kind = ''"),
        (&others, "kind = 'password'"),
        (&others, "url = ''"),
        (&others, "database = ''"),
        (&others, "username = ''"),
        (&others, "sync_interval_seconds = 60"),
    ] {
        let done = sql.try_run(&format!("UPDATE connections SET {set} WHERE id = '{id}'"));
        assert!(done.is_err(), "{set}");
    }
    let columns =
        "org_id, user_id, environment, kind, url, database, username, sealed, key_id, revision, state,
        created_at, updated_at";
    let copy = |id: &str| {
        let new = id.replace("conn_", "copy_");
        format!(
            "INSERT INTO connections (id, {columns}) SELECT '{new}', {columns} FROM connections WHERE id = '{id}'"
        )
    };
    assert!(sql.try_run(&copy(&odoos)).is_err(), "a login has one connection");
    sql.run(&copy(&others));
}

#[cfg(feature = "postgres")]
/// Attack on P2.
#[test]
fn the_vaults_role_cannot_change_where_a_secret_leads() {
    let vault = Vault::start_in(Home::on_postgres(), &[]);
    let id = keep(&vault, &other("generic", "s")).text("id");
    let scope = r#"SELECT set_config('pawl.scope', '{"acme": ["ada"]}', false)"#;
    let mut role = vault.home.sql_as("pawl_app");
    role.run(scope);
    for column in ["kind", "url", "database", "username", "org_id", "user_id", "id"] {
        let set = format!("UPDATE connections SET {column} = 'generic' WHERE id = '{id}'");
        let no = role.try_run(&set).unwrap_err().to_string();
        assert!(no.contains("permission denied"), "{column}: {no}");
    }
    role.run(&format!("UPDATE connections SET label = 'mine' WHERE id = '{id}'"));
    let label = vault.home.sql().texts("label", &format!("FROM connections WHERE id = '{id}'"));
    assert_eq!(label, ["mine"]);
}
