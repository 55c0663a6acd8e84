//! Every call that the API's description has, by its own list: what is somebody else's is like what never was,
//! nobody says whose they are but by their token, and a text is never SQL. A call that is new there fails here
//! until it has an example.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::exchange::{FORM, Service, exchange};
use crate::harness::{Answer, Vault, call, deposit, raw};

/// One call of the description.
pub struct Call {
    pub method: String,
    pub path: String,
    pub operation: String,
    takes_body: bool,
}

/// All that take a bearer token.
pub fn calls() -> Vec<Call> {
    let document = serde_json::to_value(pawl::http::document()).unwrap();
    let mut calls = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, call) in item.as_object().unwrap() {
            if call["security"] != json!([{}]) {
                calls.push(Call {
                    method: method.to_uppercase(),
                    path: path.clone(),
                    operation: call["operationId"].as_str().unwrap().into(),
                    takes_body: call.get("requestBody").is_some(),
                });
            }
        }
    }
    assert!(calls.len() >= 13);
    calls
}

/// A body that is taken, of every call that takes one.
pub fn example(call: &Call) -> Option<Value> {
    let body = match call.operation.as_str() {
        "deposit_connection" => json!({
            "url": "https://mine.example", "database": "mine", "username": "mine", "label": "mine",
            "environment": "staging",
            "credential": {"kind": "password", "secret": "mine", "expires_at": "2027-01-31T00:00:00Z"}}),
        "update_connection" => json!({"label": "mine"}),
        "replace_credential" => json!({"secret": "mine", "expires_at": "2027-01-31T00:00:00Z"}),
        "lend_credential" => json!({"purpose": "other", "ttl_seconds": 60, "run_id": "mine"}),
        "renew_lease" => json!({"ttl_seconds": 60}),
        "change_settings" => json!({"frozen": false}),
        "read_records" => json!({"model": "res.partner", "method": "read", "fields": ["name"], "ids": [1]}),
        "return_lease" => json!({"outcome": "failed", "records": 1}),
        operation => {
            assert!(!call.takes_body, "{operation} is new: give it an example");
            return None;
        }
    };
    assert!(call.takes_body);
    Some(body)
}

/// What a call can't do without in its query.
fn query(call: &Call) -> &'static str {
    if call.operation == "export_audit_events" { "?format=jsonl" } else { "" }
}

const ROLES: [&str; 4] = ["backend", "worker", "owner", "auditor"];

/// Without what differs from one answer to the next.
fn plain(answer: &Answer) -> (u16, BTreeMap<String, String>, Value) {
    let mut body = answer.json.clone();
    if let Some(members) = body.as_object_mut() {
        members.remove("request_id");
    }
    let headers = answer.head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let changing = ["date", "x-request-id", "content-length", "ratelimit"];
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    (answer.status, headers.filter(|(name, _)| !changing.contains(&name.as_str())).collect(), body)
}

/// What the victim has: a connection, and a lease of it that is out.
struct Victim {
    connection: String,
    lease: String,
}

fn victim(vault: &Vault, org: &str, user: &str) -> Victim {
    let connection = vault.deposit_as(org, user, &deposit("planted-bot", "victim's"));
    let worker = vault.token(org, user, "worker");
    let path = format!("/v1/connections/{connection}/leases");
    let lent = vault.call("POST", &path, &worker, Some(&json!({"purpose": "sync", "ttl_seconds": 900})));
    Victim { lease: lent.text("id"), connection }
}

fn rows(vault: &Vault) -> [Value; 2] {
    let connections = ["id", "org_id", "user_id", "label", "sealed", "revision", "state", "updated_at"];
    let leases = ["id", "org_id", "user_id", "connection_id", "expires_at", "ended_at", "outcome"];
    let mut sql = vault.home.sql();
    [sql.rows("connections", &connections), sql.rows("leases", &leases)]
}

/// Attack on P5.
#[test]
fn an_id_of_somebody_else_is_answered_as_one_that_never_was() {
    let vault = Vault::start();
    let (stranger, neighbour) = (victim(&vault, "victim", "eve"), victim(&vault, "acme", "bob"));
    let before = rows(&vault);
    for call in calls().into_iter().filter(|call| call.path.contains("{id}")) {
        let is_lease = call.path.starts_with("/v1/leases");
        let of = |victim: &Victim| if is_lease { &victim.lease } else { &victim.connection }.clone();
        let unknown =
            if is_lease { "lease_01ARZ3NDEKTSV4RRFFQ69G5FAV" } else { "conn_01ARZ3NDEKTSV4RRFFQ69G5FAV" };
        let mut reached = 0;
        for role in ROLES {
            let token = vault.token("acme", "ada", role);
            let ask = |id: &str| {
                let path = call.path.replace("{id}", id);
                vault.call(&call.method, &path, &token, example(&call).as_ref())
            };
            let never = ask(unknown);
            let theirs = [Some(of(&stranger)), (role != "owner").then(|| of(&neighbour))];
            for id in theirs.into_iter().flatten() {
                let answer = ask(&id);
                assert_eq!(plain(&answer), plain(&never), "{} {} {role}", call.method, call.path);
                assert!([403, 404].contains(&answer.status), "{}", answer.body);
                assert!(!answer.body.contains(&id), "{}", answer.body);
                reached += usize::from(answer.status == 404);
            }
        }
        assert!(reached > 0, "no role makes the call {}", call.operation);
    }
    assert_eq!(rows(&vault), before, "nothing of theirs changed");
}

/// Attack on P5.
#[test]
fn no_list_shows_what_is_somebody_elses() {
    let vault = Vault::start();
    let victims = [victim(&vault, "victim", "eve"), victim(&vault, "acme", "bob")];
    for call in calls().into_iter().filter(|call| call.method == "GET" && !call.path.contains("{id}")) {
        for role in ROLES {
            let path = format!("{}{}", call.path, query(&call));
            let answer = vault.call("GET", &path, &vault.token("acme", "ada", role), None);
            assert!([200, 403].contains(&answer.status), "{} {role}: {}", call.path, answer.body);
            assert!(!answer.body.contains("victim"), "{}", answer.body);
            // Bob is of the owner's and the auditor's own org.
            let hidden = if ["owner", "auditor"].contains(&role) { &victims[..1] } else { &victims[..] };
            for Victim { connection, lease } in hidden {
                assert!(!answer.body.contains(connection) && !answer.body.contains(lease), "{}", answer.body);
            }
        }
    }
}

/// Attack on P5.
#[test]
fn whose_it_is_is_said_by_the_token_alone() {
    let vault = Vault::start();
    let theirs = victim(&vault, "victim", "eve");
    let mine = victim(&vault, "acme", "ada");
    let before = rows(&vault);
    let claims =
        [("org", "victim"), ("user", "eve"), ("org_id", "victim"), ("user_id", "eve"), ("tenant", "victim")];
    for call in calls() {
        let id = if call.path.starts_with("/v1/leases") { &mine.lease } else { &mine.connection };
        let path = call.path.replace("{id}", id);
        for role in ROLES {
            let token = vault.token("acme", "ada", role);
            for (name, value) in claims {
                let query = format!("{path}?{name}={value}");
                let answer = vault.call(&call.method, &query, &token, example(&call).as_ref());
                // Looks for a user's events, within the org that the token names.
                if call.operation == "list_audit_events" && name == "user" && answer.status == 200 {
                    assert_eq!(answer.json["items"], json!([]), "{}", answer.body);
                    continue;
                }
                assert!(
                    [403, 422].contains(&answer.status),
                    "{} {query} {role}: {}",
                    call.method,
                    answer.body
                );
                assert!(
                    answer.status == 403 || answer.errors()[0].starts_with(&format!("{name} ")),
                    "{}",
                    answer.body
                );
                if let Some(mut body) = example(&call) {
                    body[name] = json!(value);
                    let answer = vault.call(&call.method, &path, &token, Some(&body));
                    assert!(
                        [403, 422].contains(&answer.status),
                        "{} {path} {name} {role}: {}",
                        call.method,
                        answer.body
                    );
                    assert!(
                        answer.status == 403 || answer.errors()[0].starts_with(&format!("{name} ")),
                        "{}",
                        answer.body
                    );
                }
            }
        }
    }
    assert_eq!(rows(&vault), before, "nothing was done half");

    let headers = [
        "X-Org: victim",
        "X-Org-Id: victim",
        "X-Pawl-Org: victim",
        "X-Tenant: victim",
        "X-Tenant-Id: victim",
        "X-User: eve",
        "X-User-Id: eve",
        "X-Forwarded-User: eve",
        "X-Remote-User: eve",
        "Remote-User: eve",
        "X-Forwarded-Client-Cert: eve",
        "X-Original-URL: /v1/connections?org=victim",
        "X-HTTP-Method-Override: DELETE",
        "Cookie: org=victim; user=eve",
    ];
    let backend = vault.token("acme", "ada", "backend");
    let head = format!("Authorization: Bearer {backend}\r\n{}\r\n", headers.join("\r\n"));
    let listed = raw(&vault.url, "GET", "/v1/connections", &head, b"");
    assert_eq!(plain(&listed), plain(&vault.call("GET", "/v1/connections", &backend, None)));
    assert!(!listed.body.contains(&theirs.connection), "{}", listed.body);
    let shown = raw(&vault.url, "GET", &format!("/v1/connections/{}", theirs.connection), &head, b"");
    assert_eq!(shown.status, 404, "{}", shown.body);
    let body = deposit("another", "mine").to_string();
    let json = format!("{head}Content-Type: application/json\r\n");
    let kept = raw(&vault.url, "POST", "/v1/connections", &json, body.as_bytes());
    assert_eq!((kept.text("org"), kept.text("user")), ("acme".into(), "ada".into()), "{}", kept.body);
}

const SQL: [&str; 8] = [
    "'; DROP TABLE connections; --",
    "' OR '1'='1",
    "\" OR \"\"=\"",
    "') UNION SELECT sealed FROM connections --",
    "x'; UPDATE connections SET org_id = 'acme'; --",
    "\\'; DELETE FROM audit_events; --",
    "$1; SELECT set_config('pawl.scope', '{\"victim\":[\"\"]}', false)",
    "'||(SELECT sealed FROM connections LIMIT 1)||'",
];

/// The value with `text` in the place of its string number `at`.
fn with(value: &Value, at: &mut usize, text: &str) -> Value {
    match value {
        Value::String(_) if *at == 0 => {
            *at = usize::MAX;
            json!(text)
        }
        Value::String(it) => {
            *at -= 1;
            json!(it)
        }
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), with(member, at, text))).collect()
        }
        other => other.clone(),
    }
}

fn strings(value: &Value) -> usize {
    match value {
        Value::String(_) => 1,
        Value::Object(members) => members.values().map(strings).sum(),
        _ => 0,
    }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// In every string of every body, in every id and cursor, as an Idempotency-Key, and as org, user and client.
/// Attack on P5.
#[test]
fn a_text_is_never_sql() {
    let vault = Vault::start();
    let theirs = victim(&vault, "victim", "eve");
    let of_victim = |vault: &Vault| {
        let of = |row: &Value| row["org_id"] == "victim";
        rows(vault)
            .map(|rows| rows.as_array().unwrap().iter().filter(|row| of(row)).cloned().collect::<Vec<_>>())
    };
    let events = |vault: &Vault| {
        vault.trail("victim").iter().filter(|e| e["event"]["activity_name"] != "token.issue").count()
    };
    let (before, trail) = (of_victim(&vault), events(&vault));
    let mut asked = 0;
    let mut hold = |answer: Answer, what: &str| {
        asked += 1;
        assert!(answer.status < 500 && !answer.body.contains("planted-bot"), "{what}: {}", answer.body);
        assert!(!answer.body.contains("gAAAA"), "{what}: {}", answer.body);
    };
    for text in SQL {
        for (org, user, client) in [(text, "ada", "svc"), ("acme", text, "svc"), ("acme", "ada", text)] {
            for role in ROLES {
                let token = vault.token_for(org, user, role, client);
                for path in ["/v1/connections", "/v1/leases", "/v1/audit/events"] {
                    hold(vault.call("GET", path, &token, None), text);
                    hold(vault.call("GET", &format!("{path}?cursor={}", encoded(text)), &token, None), text);
                }
            }
            let backend = vault.token_for(org, user, "backend", client);
            let kept = vault.call("POST", "/v1/connections", &backend, Some(&deposit(text, "mine")));
            assert_eq!((kept.status, kept.text("username").as_str()), (201, text), "{}", kept.body);
            assert_eq!((kept.text("org").as_str(), kept.text("user").as_str()), (org, user));
            let path = format!("/v1/connections/{}", kept.text("id"));
            let named = vault.call("PATCH", &path, &backend, Some(&json!({"label": text})));
            assert_eq!(named.text("label"), text);
            assert_eq!(vault.call("DELETE", &path, &backend, None).status, 204);
        }
    }
    let operator = |name| {
        Service::new(name).registered(&vault, Some(&[]), None, &["operator"]).token(&vault, &json!({}))
    };
    let operators = SQL.map(operator);
    for call in calls() {
        let role = match call.path.as_str() {
            path if path.contains("lease") => "worker",
            path if path.contains("audit") => "auditor",
            _ => "owner",
        };
        for (text, operator) in SQL.iter().copied().zip(&operators) {
            let is_operators = call.path.starts_with("/v1/keys");
            let token = if is_operators { operator.clone() } else { vault.token("acme", "ada", role) };
            let id = if call.path.contains("{id}") { encoded(text) } else { String::new() };
            let path = call.path.replace("{id}", &id);
            hold(vault.call(&call.method, &path, &token, example(&call).as_ref()), text);
            let Some(body) = example(&call) else { continue };
            let unknown = match call.path.starts_with("/v1/leases") {
                true => "lease_01ARZ3NDEKTSV4RRFFQ69G5FAV",
                false => "conn_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            };
            let path = call.path.replace("{id}", unknown);
            for n in 0..strings(&body) {
                let body = with(&body, &mut n.clone(), text);
                hold(vault.call(&call.method, &path, &token, Some(&body)), text);
            }
            let key: String = text.chars().filter(char::is_ascii_graphic).collect();
            let head = format!(
                "Authorization: Bearer {token}\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n"
            );
            hold(raw(&vault.url, &call.method, &path, &head, body.to_string().as_bytes()), text);
        }
    }
    assert!(asked > 500, "{asked}");
    assert_eq!(of_victim(&vault), before, "nothing of the victim's changed");
    assert_eq!(events(&vault), trail);
    let eve = vault.token("victim", "eve", "backend");
    assert_eq!(
        call(&vault.url, "GET", &format!("/v1/connections/{}", theirs.connection), &eve, None).status,
        200
    );
}

/// In every claim of an assertion that is signed well, and in every member of the form.
/// Attack on P5.
#[test]
fn a_text_that_asks_for_a_token_is_never_sql() {
    let vault = Vault::start();
    victim(&vault, "victim", "eve");
    let shop = Service::new("shop").registered(&vault, None, None, &["backend"]);
    let of_all = || {
        let clients = ["id", "public_key", "roles", "orgs", "user_id"];
        (rows(&vault), vault.home.sql().rows("clients", &clients))
    };
    let before = of_all();
    let ada = json!({"org": "acme", "user": "ada"});
    let assertion = |name: &str, value: Value| {
        let mut wish = ada.clone();
        wish[name] = value;
        shop.assertion(&vault, &wish)
    };
    let hold = |answer: &Answer, may: &[u16], what: &str| {
        assert!(may.contains(&answer.status), "{what}: {} {}", answer.status, answer.body);
        assert!(!answer.body.contains("planted-bot") && !answer.body.contains("gAAAA"), "{}", answer.body);
    };
    for text in SQL {
        for name in ["iss", "sub", "jti", "aud", "org", "user", "roles"] {
            let value = if name == "roles" { json!([text]) } else { json!(text) };
            let answer = exchange(&vault.url, &assertion(name, value));
            // An org and a user may be called so. More than fifty wrong ones are told to wait, once they are judged.
            let may: &[u16] = if ["org", "user"].contains(&name) { &[200] } else { &[200, 400, 401, 429] };
            hold(&answer, may, name);
            if let Some(token) = answer.json["access_token"].as_str() {
                let listed = vault.call("GET", "/v1/connections", token, None);
                hold(&listed, &[200], name);
                assert_eq!(listed.json["items"], json!([]), "{name} {text}");
            }
        }
        for name in ["grant_type", "client_assertion_type", "client_assertion", "client_id", text] {
            let members = [
                ("grant_type", "client_credentials"),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", &shop.assertion(&vault, &ada)),
            ];
            let others = members.into_iter().filter(|(member, _)| *member != name);
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            let form = form.extend_pairs(others).append_pair(name, text).finish();
            let answer = raw(&vault.url, "POST", "/v1/token", FORM, form.as_bytes());
            hold(&answer, &[400, 401, 429], name);
        }
    }
    assert_eq!(of_all(), before, "nothing of anybody's changed");
    assert!(shop.token(&vault, &ada).contains('.'));
}
