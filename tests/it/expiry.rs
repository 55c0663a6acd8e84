//! Credentials that end by their own date are told of in their org's trail: 14, 7 and 1 days before, each once.

use std::time::Duration;

use pawl::clock::Moment;
use serde_json::{Value, json};

use crate::harness::{Vault, call, deposit, until};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn key_that_ends(vault: &Vault, (org, user): (&str, &str), ends: Moment) -> String {
    let mut body = deposit(&format!("{user}-bot"), "0123456789abcdef0123456789abcdef01234567");
    body["credential"]["kind"] = json!("api_key");
    body["credential"]["expires_at"] = json!(ends.to_string());
    body["label"] = json!(format!("{user}'s"));
    vault.deposit_as(org, user, &body)
}

/// What an org was told: the connection, how many days before, and of which revision.
fn told(vault: &Vault, org: &str) -> Vec<[String; 3]> {
    let of = |event: &Value| {
        ["connection.uid", "days", "revision"].map(|name| event[name].as_str().unwrap_or_default().to_owned())
    };
    let trail = vault.trail(org);
    let events = trail.iter().map(|line| &line["event"]);
    events.filter(|event| event["activity_name"] == "credential.expires").map(of).collect()
}

fn line(id: &str, days: &str, revision: &str) -> [String; 3] {
    [id, days, revision].map(str::to_owned)
}

#[test]
fn what_ends_soon_is_told_once_for_each_threshold_and_credential() {
    let mut vault = Vault::start();
    let replica = vault.replica();
    let begun = vault.clock.now();
    let (acme, other) = (("acme", "ada"), ("other", "eve"));
    let ids = [
        key_that_ends(&vault, acme, begun.after(20 * DAY)),
        key_that_ends(&vault, ("acme", "bob"), begun.after(300 * DAY)),
        key_that_ends(&vault, other, begun.after(3 * DAY)),
    ];
    let none = vault.deposit_as("acme", "cid", &deposit("cid-bot", "s"));
    vault.clock.advance(Duration::from_secs(3_601));
    until("the one that ends in three days", || told(&vault, "other").len() == 1);
    assert_eq!(told(&vault, "other"), [line(&ids[2], "7", "1")]);
    assert!(told(&vault, "acme").is_empty());

    // Each day of three weeks, on both replicas.
    let mut seen = Vec::new();
    for day in 1..=21 {
        vault.clock.advance(DAY);
        let expected = [(6, "14"), (13, "7"), (19, "1")].iter().filter(|(from, _)| *from <= day).count();
        until(&format!("day {day}"), || told(&vault, "acme").len() == expected);
        seen = told(&vault, "acme");
    }
    assert_eq!(seen, [line(&ids[0], "14", "1"), line(&ids[0], "7", "1"), line(&ids[0], "1", "1")]);
    assert_eq!(told(&vault, "other"), [line(&ids[2], "7", "1"), line(&ids[2], "1", "1")]);

    // What it says, and whose it is.
    let trail = vault.trail("acme");
    let event = trail.iter().map(|line| &line["event"]).find(|event| event["days"] == "7").unwrap();
    let ends = begun.after(20 * DAY).to_string();
    for (member, value) in [
        ("connection.label", "ada's"),
        ("actor.user.org.uid", "acme"),
        ("actor.user.uid", "ada"),
        ("actor.app_uid", "pawl"),
        ("expires_at", ends.as_str()),
        ("status", "Success"),
    ] {
        assert_eq!(event[member], json!(value), "{event}");
    }

    // The next credential is told of anew, and one without an end never.
    let backend = vault.token("acme", "ada", "backend");
    let next = json!({"secret": "89abcdef0123456789abcdef0123456789abcdef",
                      "expires_at": vault.clock.now().after(10 * DAY).to_string()});
    let path = format!("/v1/connections/{}/credential", ids[0]);
    assert_eq!(call(&replica, "PUT", &path, &backend, Some(&next)).status, 200);
    vault.clock.advance(Duration::from_secs(3_601));
    until("the next credential", || told(&vault, "acme").len() == 4);
    assert_eq!(told(&vault, "acme")[3], line(&ids[0], "14", "2"));
    assert!(told(&vault, "acme").iter().all(|line| line[0] != none && line[0] != ids[1]));
    // A vault that begins anew tells nothing again.
    vault.replica();
    let last = key_that_ends(&vault, ("acme", "dan"), vault.clock.now().after(DAY));
    vault.clock.advance(Duration::from_secs(3_601));
    until("the last one", || told(&vault, "acme").len() == 5);
    assert_eq!(told(&vault, "acme")[4], line(&last, "1", "1"));
}
