//! A name server of an attacker's that never answers: whoever's names it has waits for it, and nobody else.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::check::codes;
use crate::harness::{Home, Vault};
use crate::rebinding::{MUTE, NameServer, public_host};

fn at(url: &str) -> serde_json::Value {
    json!({"url": url, "database": "d", "username": "bot",
           "credential": {"kind": "password", "secret": "hunter2-hunter2"}})
}

/// Attack on P7.
#[test]
fn an_org_whose_names_are_never_answered_uses_up_its_own_look_ups_alone() {
    let (port, _) = public_host();
    let server =
        NameServer::start(BTreeMap::from([("steady.example", vec![vec!["127.0.0.1".parse().unwrap()]])]));
    let port_text = port.to_string();
    let settings = [("PAWL_EGRESS_ALLOW", "127.0.0.1"), ("PAWL_EGRESS_PORTS", port_text.as_str())];
    let vault = Vault::start_resolving(Home::new(), &settings, server.resolver());
    let steady = format!("https://steady.example:{port}");
    let check = |org: &str, user: &str, url: &str| {
        let id = vault.deposit_as(org, user, &at(url));
        let backend = vault.token(org, user, "backend");
        let answer = vault.call("POST", &format!("/v1/connections/{id}/check"), &backend, None);
        assert_eq!(answer.status, 200, "{}", answer.body);
        codes(&answer.json)
    };
    std::thread::scope(|threads| {
        for n in 0..4 {
            let check = &check;
            threads.spawn(move || {
                let found = check("evil", &format!("eve{n}"), &format!("https://n{n}{MUTE}:{port}"));
                assert_eq!(found, ["host_not_public"]);
            });
        }
    });
    assert_eq!(server.looks().len(), 4);
    vault.clock.advance(Duration::from_secs(120));
    // Nobody waits for those any more, and they go on.
    for url in [&format!("https://n9{MUTE}:{port}"), &steady] {
        assert_eq!(check("evil", "eve", url), ["look_ups_full"], "{url}");
        assert_eq!(server.looks(), Vec::<String>::new());
    }
    // By address there is nothing to look up.
    assert_eq!(check("evil", "eve", &format!("https://127.0.0.1:{port}")), ["connect"]);
    for n in 0..5 {
        assert_eq!(check("acme", &format!("ada{n}"), &steady), ["connect"], "another org's go on");
    }
}
