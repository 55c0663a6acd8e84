//! What comes late: the end of a body, after its token was taken back; and the database, after it was asked.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use pawl::ids::ClientId;

use crate::harness::Vault;

/// Attack on P5 and P6.
#[test]
fn a_token_that_is_revoked_while_its_body_comes_borrows_and_changes_nothing() {
    let vault = Vault::start();
    let id = vault.deposit("planted-LATE");
    let worker = vault.token_for("acme", "ada", "worker", "stolen");
    let backend = vault.token_for("acme", "ada", "backend", "stolen");
    let calls = [
        ("POST", format!("/v1/connections/{id}/leases"), &worker, r#"{"purpose": "other"}"#),
        ("PATCH", format!("/v1/connections/{id}"), &backend, r#"{"label": "late"}"#),
        ("PUT", format!("/v1/connections/{id}/credential"), &backend, r#"{"secret": "late"}"#),
    ];
    let begun: Vec<(TcpStream, &str)> = calls
        .iter()
        .map(|(method, path, token, body)| {
            let mut stream = TcpStream::connect(vault.url.strip_prefix("http://").unwrap()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: pawl\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let (most, last) = body.split_at(body.len() - 1);
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(most.as_bytes()).unwrap();
            (stream, last)
        })
        .collect();
    // Good until here, and judged as such.
    assert_eq!(vault.call("GET", "/v1/leases", &worker, None).status, 200);
    assert_eq!(vault.call("GET", "/v1/connections", &backend, None).status, 200);
    vault.registry().revoke_client(&ClientId::parse("stolen").unwrap(), None).unwrap();
    Vault::until(&[&vault.url], "/v1/leases", &worker, 401);
    Vault::until(&[&vault.url], "/v1/connections", &backend, 401);
    for (mut stream, last) in begun {
        stream.write_all(last.as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 401") && !said.contains("planted-LATE"), "{said}");
    }
    // Each is a token that was not good: the vault counts them.
    vault.clock.advance(Duration::from_secs(60));
    let counted = || -> u64 {
        let own = vault.own_trail();
        let revoked = own.iter().filter(|event| {
            event["activity_name"] == "authentication.fail" && event["status_detail"] == "token-revoked"
        });
        revoked.map(|event| event["count"].as_str().unwrap().parse::<u64>().unwrap()).sum()
    };
    // With the two by which it was seen that they are taken no more.
    crate::harness::until("the counts", || counted() == 5);
    let mut sql = vault.home.sql();
    assert_eq!(sql.count("leases"), 0);
    assert_eq!(sql.texts("revision", "FROM connections WHERE label IS NULL"), ["1"]);
}

#[cfg(feature = "postgres")]
/// While nobody can read what is revoked, nothing is taken, and nobody waits for that.
/// Attack on P4 and P5.
#[test]
fn a_database_that_is_not_there_is_told_at_once_and_is_found_again() {
    use crate::harness::{Home, call};

    let vault = Vault::start_in(Home::on_postgres(), &[]);
    let id = vault.deposit("s");
    let worker = vault.token("acme", "ada", "worker");
    let lend = || {
        let body = serde_json::json!({"purpose": "other"});
        let begun = std::time::Instant::now();
        let answer = call(&vault.url, "POST", &format!("/v1/connections/{id}/leases"), &worker, Some(&body));
        (answer, begun.elapsed())
    };
    assert_eq!(lend().0.status, 201);
    let database = vault.home.database_name();
    let mut sql = vault.home.sql();
    sql.run(&format!("ALTER DATABASE {database} CONNECTION LIMIT 0"));
    sql.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pawl_app' AND datname = current_database()");
    // Until nobody knows any more who may call: more than two seconds.
    let mut slowest = Duration::ZERO;
    for _ in 0..2 {
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            let (answer, took) = lend();
            assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"), "{}", answer.body);
            slowest = slowest.max(took);
        }
    }
    if std::env::var_os("TEST_LONG").is_some() {
        assert!(slowest < Duration::from_millis(250), "{slowest:?}");
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    sql.run(&format!("ALTER DATABASE {database} CONNECTION LIMIT -1"));
    Vault::until(&[&vault.url], "/v1/leases", &worker, 200);
    assert_eq!(lend().0.status, 201);
}
