//! A vault as a process, with tokens of ada of acme for it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Answer, Process, call, deposit};

pub struct Served {
    pub process: Process,
    pub backend: String,
    pub worker: String,
    /// Where it writes its log.
    dir: PathBuf,
}

impl Served {
    /// `pawl` is its program with its settings, by which tokens are minted.
    pub fn of(process: Process, dir: PathBuf, mut pawl: impl FnMut() -> Command) -> Self {
        let mut token = |role: &str| {
            let args = ["token", "issue", "--org", "acme", "--user", "ada", "--role", role];
            let output = pawl().args(args).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let (backend, worker) = (token("backend"), token("worker"));
        Self { process, backend, worker, dir }
    }

    pub fn deposit(&self, name: &str) -> String {
        let body = deposit(name, &format!("secret of {name}"));
        let answer = call(&self.process.url, "POST", "/v1/connections", &self.backend, Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.text("id")
    }

    pub fn lend(&self, id: &str) -> Answer {
        let path = format!("/v1/connections/{id}/leases");
        call(&self.process.url, "POST", &path, &self.worker, Some(&json!({"purpose": "other"})))
    }

    pub fn opens(&self, id: &str, name: &str) {
        let loan = self.lend(id);
        assert_eq!(loan.json["credential"]["secret"], format!("secret of {name}"), "{}", loan.body);
    }

    /// Waits until `/readyz` says so of the keys; it never says that the vault is not ready.
    pub fn until(&self, state: &str) {
        let began = Instant::now();
        loop {
            let ready = call(&self.process.url, "GET", "/readyz", "", None);
            assert_eq!(ready.status, 200, "{}", ready.body);
            if ready.json["keys"] == state {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(40), "never {state}: {}", ready.body);
            std::thread::yield_now();
        }
    }

    pub fn log(&self) -> Vec<u8> {
        std::fs::read(self.dir.join("log")).unwrap()
    }
}
