//! What would fill a trail is counted: tokens that do not verify, denials past the first of a minute, calls past a
//! day's quota, and, when the disk is nearly full, whatever need not be told.

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Home, Vault, call, deposit, raw, until};

const MINUTE: Duration = Duration::from_secs(60);

/// The counted events of `trail`, by what was not done.
fn counts<'a>(trail: &'a [Value], action: &str) -> Vec<&'a Value> {
    trail.iter().filter(|event| event["activity_name"] == action && event["count"].is_string()).collect()
}

/// What is answered in time: on a busy machine a record may be late, which is a 503.
fn answered(late: &Cell<usize>, call: impl Fn() -> Answer) -> Answer {
    loop {
        let answer = call();
        if answer.status != 503 {
            return answer;
        }
        late.set(late.get() + 1);
    }
}

/// The events of an org, without a call that is on record itself.
fn stored(home: &Home, org: &str) -> Vec<Value> {
    let events = home.sql().texts("event", &format!("FROM audit_events WHERE org_id = '{org}' ORDER BY seq"));
    events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

fn told(vault: &Vault, org: &str, action: &str) -> Vec<Value> {
    vault.clock.advance(MINUTE);
    let mut found = Vec::new();
    until(&format!("{action} in {org}"), || {
        found = counts(&stored(&vault.home, org), action).into_iter().cloned().collect();
        !found.is_empty()
    });
    found
}

/// Attack on P10.
#[test]
fn a_bad_token_is_counted_in_the_vaults_own_trail_and_nothing_of_it_is_kept() {
    let vault = Vault::start_with(&[("PAWL_TRUSTED_PROXIES", "127.0.0.1")]);
    let good = vault.token("victim", "planted-USER", "backend");
    let (said, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{said}.{}", "A".repeat(86));
    let before = stored(&vault.home, "victim");
    let from = |address: &str, token: &str| {
        let headers = format!("Authorization: Bearer {token}\r\nX-Forwarded-For: {address}\r\n");
        raw(&vault.url, "GET", "/v1/connections", &headers, b"").status
    };
    for address in ["203.0.113.9", "203.0.113.200", "198.51.100.1", "2001:db8:1:2::9"] {
        assert_eq!(from(address, &forged), 401);
    }
    assert_eq!(call(&vault.url, "GET", "/v1/connections", "", None).status, 401);
    let own = vault.own_trail();
    assert!(counts(&own, "authentication.fail").is_empty(), "not before the minute is over");

    let told = told(&vault, "", "authentication.fail");
    let shown = |event: &Value| {
        ["src_endpoint.ip", "status", "status_detail", "count"]
            .map(|name| event[name].as_str().unwrap().to_owned())
    };
    let mut all: Vec<_> = told.iter().map(shown).collect();
    all.sort();
    let expected = [
        ["127.0.0.0/24", "Failure", "token-missing", "1"],
        ["198.51.100.0/24", "Failure", "token-invalid", "1"],
        ["2001:db8:1::/48", "Failure", "token-invalid", "1"],
        ["203.0.113.0/24", "Failure", "token-invalid", "2"],
    ];
    assert_eq!(all, expected);
    assert!(told.iter().all(|event| event["since"] == event["until"]), "the clock stood still");
    let text = serde_json::to_string(&vault.own_trail()).unwrap();
    assert!(!text.contains("planted-USER") && !text.contains("203.0.113.9"), "{text}");
    assert_eq!(stored(&vault.home, "victim"), before);
}

/// Attack on P10.
#[test]
fn a_bad_assertion_is_counted_by_its_cause() {
    let vault = Vault::start();
    let form = "grant_type=client_credentials&client_assertion=hunter2\
        &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
    for _ in 0..3 {
        assert_eq!(raw(&vault.url, "POST", "/v1/token", headers, form.as_bytes()).status, 401);
    }
    let told = told(&vault, "", "authentication.fail");
    assert_eq!((&told[0]["status_detail"], &told[0]["count"]), (&json!("assertion-form"), &json!("3")));
}

/// Attack on P10.
#[test]
fn denials_past_sixty_a_minute_are_counted_and_not_lost() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let worker = vault.token("acme", "ada", "worker");
    let other = vault.token("beta", "bea", "worker");
    let unknown = "/v1/connections/conn_01ARZ3NDEKTSV4RRFFQ69G5FAV/leases";
    let body = json!({"purpose": "other"});
    let late = Cell::new(0);
    let denied = |token: &str, n: usize| {
        let call = || match n % 2 {
            0 => vault.call("POST", unknown, token, Some(&body)),
            _ => vault.call("GET", "/v1/audit/events", token, None),
        };
        answered(&late, call).status
    };
    let before = stored(&vault.home, "acme").len();
    for n in 0..100 {
        assert_eq!(denied(&worker, n), if n % 2 == 0 { 404 } else { 403 });
    }
    let recorded = stored(&vault.home, "acme").len() - before;
    assert!(recorded <= 60 && recorded + late.get() >= 60, "{recorded}, {late:?} of them late");
    // another org has sixty of its own; and what is granted is on record, as ever
    assert_eq!(denied(&other, 0), 404);
    assert_eq!(stored(&vault.home, "beta").last().unwrap()["status_detail"], "not-found");
    assert_eq!(answered(&late, || vault.lend(&id, &body)).status, 201);
    let granted = stored(&vault.home, "acme").pop().unwrap();
    assert_eq!((&granted["activity_name"], &granted["status"]), (&json!("lease.lend"), &json!("Success")));
    // found in a transaction
    let renew = format!("/v1/leases/{}/renew", "lease_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    assert_eq!(vault.call("POST", &renew, &worker, Some(&json!({}))).status, 404);

    let lends = told(&vault, "acme", "lease.lend");
    let all = stored(&vault.home, "acme");
    // one transaction for a chain
    let (reads, renewals) = (counts(&all, "audit.read"), counts(&all, "lease.renew"));
    for (event, count, reason) in
        [(&lends[0], "20", "not-found"), (reads[0], "20", "forbidden"), (renewals[0], "1", "not-found")]
    {
        assert_eq!((&event["count"], &event["status_detail"]), (&json!(count), &json!(reason)));
        assert_eq!((&event["actor.user.uid"], &event["actor.app_uid"]), (&json!("ada"), &json!("svc")));
        assert_eq!((&event["actor.user.org.uid"], &event["status"]), (&json!("acme"), &json!("Failure")));
    }
    assert_eq!(lends[0]["purpose"], "other");
    // a new minute, and sixty more
    assert_eq!(denied(&worker, 0), 404);
    assert!(stored(&vault.home, "acme").pop().unwrap()["count"].is_null());
    vault.trail("acme");
}

/// Attack on P10.
#[test]
fn a_denied_read_counts_as_a_write_before_it_is_recorded() {
    let vault = Vault::start_with(&[("PAWL_WRITES_PER_SECOND", "2")]);
    let worker = vault.token("acme", "ada", "worker");
    let before = stored(&vault.home, "acme").len();
    let read = || vault.call("GET", "/v1/audit/events", &worker, None);
    let statuses: Vec<u16> = (0..6).map(|_| read().status).collect();
    assert_eq!(statuses, [403, 403, 403, 403, 429, 429]);
    assert_eq!(read().problem(), "too-many-requests");
    assert_eq!(stored(&vault.home, "acme").len() - before, 4);
    // what they may read they read
    assert_eq!(vault.call("GET", "/v1/leases", &worker, None).status, 200);
    vault.clock.advance(Duration::from_secs(1));
    assert_eq!(read().status, 403);
}

/// Attack on P10.
#[test]
fn an_org_past_its_quota_lends_and_changes_nothing_and_what_protects_goes_on() {
    let vault = Vault::start_with(&[("PAWL_EVENTS_PER_DAY", "12")]);
    let (backend, worker) = (vault.token("acme", "ada", "backend"), vault.token("acme", "ada", "worker"));
    let owner = vault.token("acme", "ada", "owner");
    let ids: Vec<String> = ["a", "b"]
        .iter()
        .map(|name| vault.call("POST", "/v1/connections", &backend, Some(&deposit(name, "s"))).text("id"))
        .collect();
    let late = Cell::new(0);
    let lend = |purpose: &str| {
        let path = format!("/v1/connections/{}/leases", ids[0]);
        answered(&late, || vault.call("POST", &path, &worker, Some(&json!({"purpose": purpose}))))
    };
    let lease = lend("sync").text("id");
    let mut lent = 1;
    let refused = loop {
        let answer = lend("other");
        match answer.status {
            201 => lent += 1,
            _ => break answer,
        }
    };
    assert_eq!((refused.status, refused.problem().as_str()), (429, "event-quota"));
    // it is twelve o'clock
    assert_eq!(refused.header("retry-after"), Some("43200"));
    let full = stored(&vault.home, "acme").len();
    assert!(full == 12 && lent <= 7 && lent + late.get() >= 7, "{full} {lent} {late:?}");
    let path = format!("/v1/connections/{}", ids[0]);
    let (renew, back) = (format!("/v1/leases/{lease}/renew"), format!("/v1/leases/{lease}/return"));
    let credential = format!("{path}/credential");
    for (method, path, token, body) in [
        ("POST", "/v1/connections", &backend, deposit("c", "s")),
        ("PATCH", path.as_str(), &backend, json!({"label": "x"})),
        ("PUT", &credential, &backend, json!({"secret": "t"})),
        ("POST", &renew, &worker, json!({})),
    ] {
        let answer = vault.call(method, path, token, Some(&body));
        assert_eq!((answer.status, answer.problem().as_str()), (429, "event-quota"), "{method} {path}");
    }
    // a denial is answered and counted
    assert_eq!(vault.call("GET", "/v1/audit/events", &worker, None).status, 403);
    assert_eq!(stored(&vault.home, "acme").len(), full);
    // another org has its own
    vault.deposit_as("beta", "bea", &deposit("b", "s"));

    let settings =
        |frozen: bool| vault.call("PUT", "/v1/org/settings", &owner, Some(&json!({"frozen": frozen}))).status;
    assert_eq!(vault.call("POST", &back, &worker, Some(&json!({"outcome": "ok"}))).status, 204);
    assert_eq!(vault.call("DELETE", &format!("/v1/connections/{}", ids[1]), &backend, None).status, 204);
    assert_eq!((settings(true), settings(true), settings(false)), (200, 200, 429));
    vault.registry().revoke_client(&pawl::ids::ClientId::parse("nobody").unwrap(), None).unwrap();
    assert_eq!(stored(&vault.home, "acme").len(), full + 3);

    // who used it up can still be read, and that it was is counted
    let auditor = vault.token("acme", "ada", "auditor");
    let before = stored(&vault.home, "acme").len();
    assert_eq!(vault.call("GET", "/v1/audit/events", &auditor, None).status, 200);
    assert_eq!(stored(&vault.home, "acme").len(), before);

    let told = told(&vault, "", "event.quota");
    assert_eq!(
        (told.len(), &told[0]["actor.user.org.uid"], &told[0]["count"]),
        (1, &json!("acme"), &json!("6"))
    );
    let mut reads = Vec::new();
    until("the counts of reads", || {
        let all = stored(&vault.home, "acme");
        let counted = counts(&all, "audit.read").into_iter();
        reads = counted.map(|event| (event["status"].clone(), event["count"].clone())).collect();
        !reads.is_empty()
    });
    reads.sort_by_key(|(status, _)| status.to_string());
    assert_eq!(reads, [(json!("Failure"), json!("1")), (json!("Success"), json!("1"))]);

    vault.clock.advance(Duration::from_secs(12 * 60 * 60));
    let (worker, owner) = (vault.token("acme", "ada", "worker"), vault.token("acme", "ada", "owner"));
    let body = json!({"purpose": "other"});
    assert_eq!(vault.call("PUT", "/v1/org/settings", &owner, Some(&json!({"frozen": false}))).status, 200);
    let again = answered(&late, || vault.call("POST", &format!("{path}/leases"), &worker, Some(&body)));
    assert_eq!(again.status, 201, "{}", again.body);
    vault.trail("acme");
}

/// Attack on P10.
#[test]
fn what_was_counted_is_told_when_the_vault_stops() {
    let vault = Vault::start();
    assert_eq!(call(&vault.url, "GET", "/v1/connections", "hunter2", None).status, 401);
    let home = vault.stop();
    assert_eq!(counts(&stored(&home, ""), "authentication.fail")[0]["count"], "1");
}

/// A folder that is a file system of its own, where this user may make one.
pub struct Volume(std::path::PathBuf);

impl Volume {
    pub fn mount(at: &std::path::Path, mib: u64) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0700"), "none"])
            .arg(at)
            .stderr(std::process::Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Attack on P4 and P10.
#[test]
fn below_the_reserve_lends_and_changes_are_recorded_and_denials_counted_until_there_is_room() {
    let home = Home::on_sqlite();
    let volume = Volume::mount(&home.data(), 64);
    // Where no volume can be mounted, of the disk that all others use too: with room for what they do meanwhile.
    let (reserve, filled) = match &volume {
        Some(_) => (32, 40 << 20),
        None => {
            let disk = rustix::fs::statvfs(home.path()).unwrap();
            (((disk.f_bavail * disk.f_frsize) >> 20) - 512, 1 << 30)
        }
    };
    let process =
        home.serve(&[("PAWL_AUDIT_RESERVE_MIB", &reserve.to_string()), ("PAWL_OPS_LISTEN", "127.0.0.1:0")]);
    let token = |role: &str| {
        let asked = ["token", "issue", "--org", "acme", "--user", "ada", "--role", role, "--client", "svc"];
        let minted = home.pawl(&[]).args(asked).output().unwrap();
        String::from_utf8(minted.stdout).unwrap().trim().to_owned()
    };
    let (backend, worker, auditor) = (token("backend"), token("worker"), token("auditor"));
    let metric = |wanted: &str| {
        until(wanted, || process.metrics().lines().any(|line| line == wanted));
    };
    metric("pawl_audit_below_reserve 0");
    let filling = home.data().join("filling");
    let file = std::fs::File::create(&filling).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, filled).unwrap();
    drop(file);
    metric("pawl_audit_below_reserve 1");
    let before = stored(&home, "acme").len();
    let denied = || call(&process.url, "GET", "/v1/audit/events", &worker, None).status;
    assert_eq!((denied(), denied()), (403, 403));
    assert_eq!(call(&process.url, "GET", "/v1/audit/events", &auditor, None).status, 200);
    let id = call(&process.url, "POST", "/v1/connections", &backend, Some(&deposit("bot", "s"))).text("id");
    let lend = |id: &str| {
        let path = format!("/v1/connections/{id}/leases");
        call(&process.url, "POST", &path, &worker, Some(&json!({"purpose": "other"}))).status
    };
    assert_eq!((lend(&id), lend("conn_01ARZ3NDEKTSV4RRFFQ69G5FAV")), (201, 404));
    let events = stored(&home, "acme");
    let names: Vec<&str> = events[before..].iter().map(|e| e["activity_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["connection.deposit", "lease.lend"]);
    std::fs::remove_file(filling).unwrap();
    metric("pawl_audit_below_reserve 0");
    assert_eq!(denied(), 403);
    assert_eq!(stored(&home, "acme").pop().unwrap()["status_detail"], "forbidden");
    let log = std::fs::read_to_string(home.path().join("log")).unwrap();
    assert_eq!(log.matches("below its reserve").count(), 1, "{log}");
    assert_eq!(log.matches("above its reserve").count(), 1, "{log}");
    // what was kept meanwhile
    process.signal(rustix::process::Signal::TERM);
    process.rest();
    let all = stored(&home, "acme");
    let mut reads: Vec<_> =
        counts(&all, "audit.read").iter().map(|event| (&event["status"], &event["count"])).collect();
    reads.sort_by_key(|(status, _)| status.to_string());
    assert_eq!(reads, [(&json!("Failure"), &json!("2")), (&json!("Success"), &json!("1"))]);
    assert_eq!(counts(&all, "lease.lend")[0]["count"], "1");
}
