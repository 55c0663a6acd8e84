//! Logins that Odoo refuses are counted over orgs, replicas and restarts; checks of a host are few.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, Vault};
use crate::scene::{LOOPBACK, deposit};
use crate::standin::company::Company;
use crate::standin::settings::Front;
use crate::standin::{LOGIN, PASSWORD, StandIn};

const HOUR: Duration = Duration::from_secs(60 * 60);
const MINUTE: Duration = Duration::from_secs(60);

/// A vault, and an Odoo that takes another password than the one that is deposited.
fn standing() -> (Vault, StandIn) {
    let odoo = StandIn::start(Company::sized(7, 3, 2)).unwrap();
    odoo.set_password("another");
    (Vault::start_with(&[LOOPBACK]), odoo)
}

fn check_as(vault: &Vault, url: &str, (org, user): (&str, &str), id: &str) -> Answer {
    let token = vault.token(org, user, "backend");
    crate::harness::call(url, "POST", &format!("/v1/connections/{id}/check"), &token, None)
}

fn found(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let causes = answer.json["causes"].as_array().unwrap();
    causes.first().map_or("ok".into(), |cause| cause["code"].as_str().unwrap().to_owned())
}

/// Attack on P6.
#[test]
fn five_refusals_of_a_login_hold_it_for_every_org_and_replica() {
    let (mut vault, odoo) = standing();
    let orgs = [("acme", "ada"), ("acme", "bob"), ("other", "eve")];
    let ids = orgs.map(|(org, user)| vault.deposit_as(org, user, &deposit(&odoo, PASSWORD)));
    let replica = vault.replica_with(&[LOOPBACK]);
    let ask = |vault: &Vault, url: &str, n: usize| check_as(vault, url, orgs[n], &ids[n]);
    for n in [0, 1, 2, 1, 0] {
        assert_eq!(found(&ask(&vault, &vault.url, n)), "login_refused");
    }
    assert_eq!(odoo.logins(), 5);
    for (n, url) in [(0, &vault.url), (2, &vault.url), (1, &replica)] {
        let refused = ask(&vault, url, n);
        assert_eq!((refused.status, refused.problem().as_str()), (429, "too-many-refusals"));
        assert_eq!(refused.header("retry-after"), Some("3600"));
        let told = vault.trail(orgs[n].0).pop().unwrap()["event"].clone();
        let said = ["activity_name", "status_detail", "connection.uid"].map(|name| told[name].clone());
        assert_eq!(json!(said), json!(["connection.check", "too-many-refusals", ids[n]]));
    }
    // Another login there is another's, and so is a host that another port answers at.
    let mut other = deposit(&odoo, PASSWORD);
    other["username"] = json!("somebody");
    let id = vault.deposit_as("acme", "ada", &other);
    assert_eq!(found(&check_as(&vault, &vault.url, orgs[0], &id)), "login_refused");
    let elsewhere = StandIn::start(Company::sized(7, 3, 2)).unwrap();
    let id = vault.deposit_as("acme", "ada", &deposit(&elsewhere, PASSWORD));
    assert_eq!(found(&check_as(&vault, &vault.url, orgs[0], &id)), "ok");
    assert_eq!(odoo.logins(), 6);

    // One an hour, for as long as it is refused.
    for hour in 0..2 {
        vault.clock.advance(HOUR);
        assert_eq!(found(&ask(&vault, &replica, 0)), "login_refused", "{hour}");
        assert_eq!(ask(&vault, &vault.url, 2).problem(), "too-many-refusals");
    }
    assert_eq!(odoo.logins(), 8);
    // Nothing names the login: neither who, nor where.
    let kept = vault.home.sql().texts("login || ' ' || refused", "FROM login_refusals ORDER BY refused");
    // Of all orgs, and of each.
    assert_eq!(kept.len(), 5, "{kept:?}");
    assert!(kept[4].ends_with(" 7"), "{kept:?}");
    let is_hex = |line: &String| line.split(' ').next().unwrap().bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(kept.iter().all(is_hex), "{kept:?}");

    // What is taken is forgiven.
    odoo.set_password(PASSWORD);
    vault.clock.advance(HOUR);
    assert_eq!(found(&ask(&vault, &vault.url, 2)), "ok");
    odoo.set_password("another");
    vault.clock.advance(MINUTE);
    for n in [0, 1, 2, 0, 1] {
        assert_eq!(found(&ask(&vault, &vault.url, n)), "login_refused");
    }
    assert_eq!(ask(&vault, &replica, 0).problem(), "too-many-refusals");
    // And what is a day old is forgotten.
    vault.clock.advance(24 * HOUR);
    for n in [0, 1, 2, 0, 1] {
        assert_eq!(found(&ask(&vault, &vault.url, n)), "login_refused");
    }
    assert_eq!(ask(&vault, &replica, 0).problem(), "too-many-refusals");
    assert_eq!(vault.home.sql().count("login_refusals"), 3, "nothing forgotten is kept");
}

/// Attack on P10.
#[test]
fn another_org_can_not_spend_the_tries_of_a_credential_that_odoo_takes() {
    let (mut vault, odoo) = standing();
    odoo.set_password(PASSWORD);
    let wrong = |user| (("evil", user), deposit(&odoo, "a guess"));
    let guesses =
        [wrong("eve"), wrong("eva")].map(|((org, user), body)| (user, vault.deposit_as(org, user, &body)));
    let good = vault.deposit_as("acme", "ada", &deposit(&odoo, PASSWORD));
    let replica = vault.replica_with(&[LOOPBACK]);
    let victim = |url: &str| check_as(&vault, url, ("acme", "ada"), &good);
    let read = || {
        let worker = vault.token("acme", "ada", "worker");
        let ask = json!({"model": "res.partner", "method": "search_read", "fields": ["name"], "limit": 1});
        vault.call("POST", &format!("/v1/connections/{good}/read"), &worker, Some(&ask))
    };
    let guess = |n: usize| check_as(&vault, &vault.url, ("evil", guesses[n].0), &guesses[n].1);
    assert_eq!(found(&victim(&vault.url)), "ok");
    let spend = || {
        while guess(0).status == 200 {
            vault.clock.advance(MINUTE);
        }
        assert_eq!(
            (guess(0).problem().as_str(), guess(1).problem().as_str()),
            ("too-many-refusals", "too-many-refusals")
        );
    };
    spend();
    assert_eq!(odoo.logins(), 6);
    // What Odoo took is no guess, wherever it is tried, and forgives the others nothing.
    assert_eq!((found(&victim(&vault.url)), found(&victim(&replica))), ("ok".into(), "ok".into()));
    assert_eq!(read().status, 200);
    assert_eq!(guess(1).problem(), "too-many-refusals");
    // A new credential is one, once: then what was refused holds its org too.
    let replace = |secret: &str| {
        let backend = vault.token("acme", "ada", "backend");
        let path = format!("/v1/connections/{good}/credential");
        let answer = vault.call("PUT", &path, &backend, Some(&json!({"secret": secret})));
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    replace("another guess");
    assert_eq!(found(&victim(&vault.url)), "login_refused");
    replace("a third");
    for url in [&vault.url, &replica] {
        assert_eq!(victim(url).problem(), "too-many-refusals");
    }
    // One of an hour is what anybody has.
    vault.clock.advance(HOUR);
    replace(PASSWORD);
    assert_eq!(found(&victim(&vault.url)), "ok");
    assert_eq!(read().status, 200);

    // That it is taken no more ends it.
    spend();
    assert_eq!(found(&victim(&vault.url)), "ok");
    odoo.set_password("changed");
    assert_eq!(found(&victim(&vault.url)), "login_refused");
    assert_eq!(victim(&vault.url).problem(), "too-many-refusals");
}

/// Attack on P6.
#[test]
fn an_org_that_was_refused_nothing_has_one_try_at_once_and_no_more() {
    let (vault, odoo) = standing();
    let evil = vault.deposit_as("evil", "eve", &deposit(&odoo, PASSWORD));
    for _ in 0..5 {
        assert_eq!(found(&check_as(&vault, &vault.url, ("evil", "eve"), &evil)), "login_refused");
    }
    let users: Vec<String> = (0..6).map(|n| format!("user{n}")).collect();
    let ids: Vec<String> =
        users.iter().map(|user| vault.deposit_as("acme", user, &deposit(&odoo, PASSWORD))).collect();
    odoo.set_latency(Duration::from_millis(50));
    std::thread::scope(|threads| {
        for (user, id) in users.iter().zip(&ids) {
            let vault = &vault;
            threads.spawn(move || check_as(vault, &vault.url, ("acme", user), id));
        }
    });
    assert_eq!(odoo.logins(), 6);
    // One that nobody answered is none.
    let other = vault.deposit_as("other", "oda", &deposit(&odoo, PASSWORD));
    let ask = || check_as(&vault, &vault.url, ("other", "oda"), &other);
    odoo.answer_raw(1, Vec::new());
    assert_eq!(found(&ask()), "broken_off");
    assert_eq!(found(&ask()), "login_refused");
    assert_eq!(ask().problem(), "too-many-refusals");
}

/// What stands before an Odoo may judge as well, and would tell a guesser no less.
/// Attack on P6.
#[test]
fn who_is_turned_away_before_odoo_is_counted_and_asked_no_more() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let (vault, odoo) = standing();
        odoo.set(|settings| settings.front = Front::Guarded(status));
        let id = vault.deposit_as("acme", "ada", &deposit(&odoo, PASSWORD));
        for n in 1..=5 {
            assert_eq!(found(&check_as(&vault, &vault.url, ("acme", "ada"), &id)), "turned_away");
            assert_eq!(odoo.asked(), n, "{status}");
        }
        let held = check_as(&vault, &vault.url, ("acme", "ada"), &id);
        assert_eq!((held.status, held.problem().as_str()), (429, "too-many-refusals"));
        // A read logs in too.
        let worker = vault.token("acme", "ada", "worker");
        let ask = json!({"model": "res.company", "method": "search_read", "fields": ["name"]});
        let read = vault.call("POST", &format!("/v1/connections/{id}/read"), &worker, Some(&ask));
        assert_eq!((read.status, read.problem().as_str()), (429, "too-many-refusals"), "{}", read.body);
        assert_eq!(odoo.asked(), 5);
        // Odoo has not judged it.
        let token = vault.token("acme", "ada", "backend");
        let shown = vault.call("GET", &format!("/v1/connections/{id}"), &token, None);
        assert_eq!(shown.text("state"), "active");
        vault.clock.advance(HOUR);
        let worker = vault.token("acme", "ada", "worker");
        let read = vault.call("POST", &format!("/v1/connections/{id}/read"), &worker, Some(&ask));
        assert_eq!((read.status, read.problem().as_str()), (502, "odoo-failed"), "{}", read.body);
        assert_eq!((&read.json["errors"][0]["rule"], odoo.asked()), (&json!("turned_away"), 6));
        let read = vault.call("POST", &format!("/v1/connections/{id}/read"), &worker, Some(&ask));
        assert_eq!(read.problem(), "too-many-refusals", "{}", read.body);
    }
    // A path that is closed to everybody has seen nothing.
    let (vault, odoo) = standing();
    odoo.set(|settings| settings.front = Front::Closed(&["/"], "403 Forbidden"));
    let id = vault.deposit_as("acme", "ada", &deposit(&odoo, PASSWORD));
    for _ in 0..7 {
        assert_eq!(found(&check_as(&vault, &vault.url, ("acme", "ada"), &id)), "kept_out");
    }
    assert_eq!(odoo.asked(), 0);
}

/// Attack on P6.
#[test]
fn many_at_once_are_no_more_guesses_than_one_after_the_other() {
    let (vault, odoo) = standing();
    let users: Vec<String> = (0..9).map(|n| format!("user{n}")).collect();
    let ids: Vec<String> =
        users.iter().map(|user| vault.deposit_as("acme", user, &deposit(&odoo, PASSWORD))).collect();
    assert_eq!(found(&check_as(&vault, &vault.url, ("acme", &users[0]), &ids[0])), "login_refused");
    vault.clock.advance(MINUTE);
    // The third call of each is the login's answer at the earliest: none is told before all have begun.
    odoo.set_latency(Duration::from_millis(50));
    std::thread::scope(|threads| {
        for (user, id) in users.iter().zip(&ids).skip(1) {
            let vault = &vault;
            threads.spawn(move || {
                let answer = check_as(vault, &vault.url, ("acme", user), id);
                let held = answer.status == 429 && answer.problem() == "too-many-refusals";
                assert!(held || found(&answer) == "login_refused", "{}", answer.body);
            });
        }
    });
    assert_eq!(odoo.logins(), 5);
}

/// A try that ended before Odoo said anything is none.
#[test]
fn what_nobody_answered_is_no_refusal() {
    let (vault, odoo) = standing();
    let id = vault.deposit_as("acme", "ada", &deposit(&odoo, PASSWORD));
    let ask = || check_as(&vault, &vault.url, ("acme", "ada"), &id);
    for _ in 0..4 {
        assert_eq!(found(&ask()), "login_refused");
    }
    let refused = || vault.home.sql().texts("refused", "FROM login_refusals");
    let before = odoo.asked();
    vault.clock.advance(MINUTE);
    for _ in 0..3 {
        odoo.answer_raw(1, Vec::new());
        assert_eq!(found(&ask()), "broken_off");
    }
    assert_eq!((refused(), odoo.asked()), (vec!["4".to_owned(); 2], before + 3));
    assert_eq!(found(&ask()), "login_refused");
    assert_eq!(ask().problem(), "too-many-refusals");
    // Nor does it cost the try of an hour.
    vault.clock.advance(HOUR);
    odoo.answer_raw(1, Vec::new());
    assert_eq!(found(&ask()), "broken_off");
    assert_eq!(found(&ask()), "login_refused");
    assert_eq!((ask().problem().as_str(), refused()), ("too-many-refusals", vec!["6".to_owned(); 2]));
}

/// Attack on P6 and P7.
#[test]
fn an_org_checks_a_host_ten_times_a_minute() {
    let (vault, odoo) = standing();
    odoo.set_password(PASSWORD);
    let id = vault.deposit_as("acme", "ada", &deposit(&odoo, PASSWORD));
    let mut second = deposit(&odoo, PASSWORD);
    second["database"] = json!("elsewhere");
    let second = vault.deposit_as("acme", "bob", &second);
    let begun = || {
        let trail = vault.trail("acme");
        trail.iter().filter(|line| line["event"]["status_detail"] == "begun").count()
    };
    for n in 0..10 {
        let (user, id) = if n % 2 == 0 { ("ada", &id) } else { ("bob", &second) };
        assert_eq!(check_as(&vault, &vault.url, ("acme", user), id).status, 200);
        vault.clock.advance(Duration::from_secs(2));
    }
    let calls = odoo.paths().len();
    let refused = check_as(&vault, &vault.url, ("acme", "ada"), &id);
    assert_eq!((refused.status, refused.problem().as_str()), (429, "too-many-checks"));
    assert_eq!(refused.header("retry-after"), Some("40"));
    assert_eq!((odoo.paths().len(), begun()), (calls, 10), "nothing is asked, and none was begun");
    // Another org's are its own; a check at a deposit counts as any.
    let other = vault.deposit_as("other", "eve", &deposit(&odoo, PASSWORD));
    assert_eq!(check_as(&vault, &vault.url, ("other", "eve"), &other).status, 200);
    let mut third = deposit(&odoo, PASSWORD);
    third["username"] = json!(format!("{LOGIN}.x"));
    let token = vault.token("acme", "ada", "backend");
    let deposited = vault.call("POST", "/v1/connections?check=true", &token, Some(&third));
    assert_eq!(
        (deposited.status, &deposited.json["check"]["causes"][0]["code"]),
        (201, &json!("not_checked"))
    );
    vault.clock.advance(Duration::from_secs(40));
    assert_eq!(check_as(&vault, &vault.url, ("acme", "ada"), &id).status, 200);
    assert_eq!(check_as(&vault, &vault.url, ("acme", "ada"), &id).problem(), "too-many-checks");
}
