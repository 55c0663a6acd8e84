//! What is counted, whom it is told to, and that it tells on nobody.

use std::collections::BTreeSet;
use std::net::TcpListener;

use serde_json::json;

use crate::harness::{Home, Process, call, deposit, raw};
use crate::tls;

const OPS: (&str, &str) = ("PAWL_OPS_LISTEN", "127.0.0.1:0");

fn token(home: &Home, role: &str) -> String {
    let args = ["token", "issue", "--org", "planted-ORG", "--user", "planted-USER", "--role", role];
    let minted = home.pawl(&[]).args(args).args(["--client", "planted-CLIENT"]).output().unwrap();
    String::from_utf8(minted.stdout).unwrap().trim().to_owned()
}

/// The value of one sample; 0 if there is none.
fn value(metrics: &str, sample: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

fn names(metrics: &str) -> BTreeSet<String> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

fn exercise(home: &Home, process: &Process) -> String {
    let (backend, worker) = (token(home, "backend"), token(home, "worker"));
    let id = call(&process.url, "POST", "/v1/connections", &backend, Some(&deposit("bot", "s"))).text("id");
    let lend = |purpose: &str| {
        let path = format!("/v1/connections/{id}/leases");
        call(&process.url, "POST", &path, &worker, Some(&json!({"purpose": purpose}))).status
    };
    assert_eq!((lend("sync"), lend("sync"), lend("planted-PURPOSE")), (201, 409, 422));
    home.sql().run(&format!("UPDATE connections SET username = 'x' WHERE id = '{id}'"));
    assert_eq!(lend("other"), 500);
    id
}

#[test]
fn what_happens_is_counted() {
    let home = Home::new();
    let process = home.serve(&[OPS]);
    let before = process.metrics();
    exercise(&home, &process);
    let metrics = process.metrics();
    for (sample, expected) in [
        ("pawl_lends_total{outcome=\"granted\",purpose=\"sync\"}", 1.0),
        ("pawl_lends_total{outcome=\"lease-held\",purpose=\"sync\"}", 1.0),
        ("pawl_lends_total{outcome=\"invalid\",purpose=\"unknown\"}", 1.0),
        ("pawl_lends_total{outcome=\"does-not-open\",purpose=\"other\"}", 1.0),
        ("pawl_refusals_total{problem=\"lease-held\"}", 1.0),
        ("pawl_sealed_not_opened_total{cause=\"does-not-open\"}", 1.0),
        (
            "pawl_request_seconds_count{method=\"POST\",route=\"/v1/connections/{id}/leases\",status=\"4xx\"}",
            2.0,
        ),
        ("pawl_transaction_seconds_count{name=\"deposit\",outcome=\"committed\"}", 1.0),
        ("pawl_transaction_seconds_count{name=\"lend\",outcome=\"committed\"}", 3.0),
        ("pawl_build_info{version=\"0.1.0\"}", 1.0),
    ] {
        assert_eq!(value(&metrics, sample), expected, "{sample}\n{metrics}");
    }
    let grown = |sample: &str| value(&metrics, sample) - value(&before, sample);
    // a deposit, a loan, two refusals of one: each with its event
    assert_eq!(grown("pawl_audit_lag_seconds_count"), 4.0);
    assert!(grown("pawl_pool_wait_seconds_count") >= 1.0);
    let started = value(&metrics, "process_start_time_seconds");
    assert!(started > 1.7e9 && value(&metrics, "pawl_keyring_read_timestamp_seconds") <= started);
}

/// Attack on P1: whoever reads `/metrics`, or names paths and methods so that it grows.
#[test]
fn no_label_says_whose_and_none_is_what_was_sent() {
    let home = Home::new();
    let process = home.serve(&[OPS]);
    let id = exercise(&home, &process);
    let attack = |n: u32| {
        for (method, path) in [
            ("GET", format!("/planted-PATH-{n}")),
            ("GET", format!("/v1/connections/planted-PATH-{n}?planted-QUERY={n}")),
            ("GET", format!("/v1/connections/conn_{n}/planted-PATH/%22%0a")),
        ] {
            raw(&process.url, method, &path, "X-Request-Id: planted-ID\r\n", b"");
        }
        for route in ["/v1/connections", "/metrics", "/livez"] {
            raw(&process.url, &format!("PLANTED{n}"), route, "traceparent: planted\r\n", b"");
        }
    };
    attack(0);
    let names = || -> Vec<String> {
        process.metrics().lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let grows = |round: u32| {
        let before = names();
        (40 * round..40 * (round + 1)).for_each(attack);
        before != names()
    };
    // The vault's own work comes into it when it first runs, and once; what they send would each time.
    assert!(!(1..=5).all(grows), "it grows");
    let metrics = process.metrics();
    for never in ["planted", "PLANTED", "acme", "conn_", "lease_", "req_", "odoo.com", &id] {
        assert!(!metrics.contains(never), "{never}: {metrics}");
    }
    assert!(metrics.contains("method=\"other\",route=\"no route\""), "{metrics}");
}

/// Attack on P1: from another host, or by way of the listener that others reach.
#[test]
fn the_ops_listener_is_for_this_host_and_for_little() {
    let home = Home::new();
    for elsewhere in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7296", "[::ffff:127.0.0.1]:0"] {
        let output = home.pawl(&[("PAWL_OPS_LISTEN", elsewhere)]).arg("serve").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("PAWL_OPS_LISTEN"), "{elsewhere}: {said}");
    }
    let process = home.serve(&[OPS]);
    let backend = token(&home, "backend");
    assert_eq!(call(&process.url, "GET", "/metrics", &backend, None).problem(), "not-found");
    let ops = process.ops();
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(call(&ops, "GET", path, "", None).status, 200, "{path}");
        assert_ne!(raw(&ops, "POST", path, "", b"").status, 200, "{path}");
    }
    for path in ["/", "/v1/connections", "/v1/audit/events", "/openapi.json", "/docs", "/metrics/"] {
        assert_eq!(call(&ops, "GET", path, &backend, None).status, 404, "{path}");
    }
}

#[test]
fn every_metric_is_explained() {
    let home = Home::new();
    let process = home.serve(&[OPS]);
    exercise(&home, &process);
    assert_eq!(call(&process.url, "GET", "/v1/connections", "hunter2", None).status, 401);
    let (backend, worker) = (token(&home, "backend"), token(&home, "worker"));
    let nobodys = call(&process.url, "POST", "/v1/connections", &backend, Some(&deposit("reader", "s")));
    let ask = json!({"model": "res.partner", "method": "search_read", "fields": ["name"]});
    let path = format!("/v1/connections/{}/read", nobodys.text("id"));
    assert_eq!(call(&process.url, "POST", &path, &worker, Some(&ask)).problem(), "odoo-failed");
    let mut served = names(&process.metrics());
    drop(process);
    let dir = tempfile::tempdir().unwrap();
    tls::lay(dir.path(), &tls::Authority::new().vouch("localhost", tls::GOOD));
    let witnesses = ("PAWL_AUDIT_WITNESSES", "file:checkpoints,http://127.0.0.1:1/nobody");
    let settings: Vec<_> = tls::SETTINGS.iter().copied().chain([OPS, witnesses]).collect();
    let metrics = Process::serve(dir.path(), &settings).metrics();
    served.extend(names(&metrics));
    assert_eq!(value(&metrics, "pawl_certificate_not_after_timestamp_seconds"), 4_102_444_800.0);

    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let written = rows.map(|row| row.split(['`', '{']).next().unwrap().to_owned()).collect();
    assert_eq!(served, written);
}

#[test]
fn pawl_ready_says_up_not_ready_and_absent() {
    let home = Home::new();
    let mut process = home.serve(&[OPS]);
    let listen = process.ops().strip_prefix("http://").unwrap().to_owned();
    let ask = |listen: &str| {
        let output = home.pawl(&[("PAWL_OPS_LISTEN", listen)]).arg("ready").output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(ask(&listen), (Some(0), String::new()));
    home.sql().run("ALTER TABLE keys RENAME TO gone");
    let (code, said) = ask(&listen);
    assert!(code == Some(1) && said.contains("not ready: HTTP 503"), "{said}");
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    let (code, said) = ask(&listen);
    assert!(code == Some(1) && said.contains("nobody answers"), "{said}");
    // one that takes the connection and says nothing
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, said) = ask(&silent.local_addr().unwrap().to_string());
    assert!(code == Some(1) && said.contains("nobody answers"), "{said}");
    let output = home.pawl(&[]).arg("ready").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("PAWL_OPS_LISTEN is not set"), "{said}");
}
