//! The tour, a step a function: each does one thing over the same API that everybody uses, and shows
//! what came of it.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pawl::app::{App, Running};
use pawl::clock::Clock;
use pawl::config::Config;
use pawl::ids::{ClientId, ConnectionId, OrgId, UserId};
use pawl::secret::Secret;
use pawl::sync::{Job, Settings, Worker, stop_pair};
use serde_json::{Value, json};

use crate::Failure;
use crate::look;
use crate::standin::company::Company;
use crate::standin::{DATABASE, LOGIN, PASSWORD, StandIn};

/// The same books every time.
pub const SEED: u64 = 7295;
/// The stand-in is on loopback, which a vault and a worker must be allowed to call.
const LOOPBACK: &str = "127.0.0.1";

/// Everything that is up. Dropped, it is down.
pub struct Scene {
    odoo: StandIn,
    vault: Running,
    issuer: App,
    http: reqwest::Client,
    folder: PathBuf,
    started: Instant,
}

impl Scene {
    /// Starts the vault and the stand-in, with all they keep in `folder`.
    pub fn set(folder: &Path) -> Result<Self, Failure> {
        let started = Instant::now();
        let odoo = StandIn::start(Company::small(SEED))?;
        let data = folder.join("data").to_string_lossy().into_owned();
        let settings = [
            ("PAWL_DATA_DIR", data.as_str()),
            ("PAWL_LISTEN", "127.0.0.1:0"),
            ("PAWL_EGRESS_ALLOW", LOOPBACK),
        ];
        let config = Config::from("", settings.into_iter().map(named))?;
        let vault = Running::start(App::open(config.clone(), Clock::system())?)?;
        let issuer = App::open(config, Clock::system())?;
        // The one TLS provider of this program; this client is for loopback alone.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
        Ok(Self { odoo, vault, issuer, http, folder: folder.into(), started })
    }

    /// From the deposit to the ×.
    pub async fn tour(&self) -> Result<(), Failure> {
        let vault = self.vault.url();
        heading("1. A vault, and somebody's Odoo")?;
        say(&format!("pawl listens on {vault}, sealing under a key it made just now"))?;
        say(&format!("a stand-in for Odoo 19 listens on {}, with made-up books", self.odoo.url()))?;

        heading("2. A sibling service deposits a credential")?;
        let id = self.deposit().await?;
        say("POST /v1/connections")?;
        say(&format!(r#"{{"url": "{}", "database": "{DATABASE}", "username": "{LOGIN}","#, self.odoo.url()))?;
        say(r#" "credential": {"kind": "password", "secret": "••••••••"}}"#)?;
        say(&format!("201 {id}; the answer does not repeat the secret"))?;

        heading("3. What is stored")?;
        for (column, value) in look::stored_row(&self.database(), &id)? {
            look::wrapped(&mut std::io::stdout(), &column, &value)?;
        }

        heading("4. The worker borrows it, reads, and hands it back")?;
        let sink = self.folder.join("invoices.db");
        let summary = self.sync(&id, &sink).await?;
        say(&format!("pawl-sync run --connection {id} --to sqlite:invoices.db"))?;
        summary.to_string().lines().try_for_each(say)?;
        let (logins, calls) = (self.odoo.logins(), self.odoo.seen().len());
        say(&format!("Odoo saw {logins} login and {} reads, and nothing else", calls - logins))?;

        heading("5. The invoices")?;
        look::invoices(&mut std::io::stdout(), &sink)?;
        look::lines(&mut std::io::stdout(), &sink)?;

        heading("6. Where is the password?")?;
        let login = look::search(&self.folder, LOGIN)?;
        say(&format!(
            "the login, which is no secret, is in {} of {} files ({} kB)",
            login.holding,
            login.files,
            login.bytes / 1_000
        ))?;
        let password = look::search(&self.folder, PASSWORD)?;
        if password.holding > 0 || login.holding == 0 {
            return Err("the password is in a file, or the search can't find anything".into());
        }
        say("the password is in none: not in the database, its log, the key file or the invoices")?;

        heading("7. The × beside the connection")?;
        let status = self.call("DELETE", &format!("/v1/connections/{id}"), "backend", None).await?.0;
        expect(status, 204)?;
        say(&format!("DELETE /v1/connections/{id}"))?;
        say("204; the row and what was sealed in it are gone")?;
        let lend = format!("/v1/connections/{id}/leases");
        let (status, problem) = self.call("POST", &lend, "worker", Some(json!({"purpose": "sync"}))).await?;
        expect(status, 404)?;
        say(&format!("POST {lend}"))?;
        say(&format!("404 {}: there is nothing left to lend", problem["type"].as_str().unwrap_or_default()))?;

        heading("Your own Odoo, in three commands (after `cargo build --release`, in target/release)")?;
        for line in REAL_ODOO.lines() {
            say(line)?;
        }
        say("")?;
        say(&format!("Done in {:.1} s.", self.started.elapsed().as_secs_f32()))
    }

    /// What there is to play with, for those who keep it.
    pub async fn invite(&self) -> Result<(), Failure> {
        let id = self.deposit().await?;
        heading("It stays up until Ctrl-C; the connection is deposited anew")?;
        for role in ["backend", "worker", "owner"] {
            say(&format!("# {role}, for 15 minutes\n  {role}={}", self.token(role)?.expose()))?;
        }
        let vault = self.vault.url();
        say(&format!("curl -sS {vault}/v1/connections -H \"Authorization: Bearer $backend\""))?;
        say(&format!(
            "PAWL_URL={vault} PAWL_EGRESS_ALLOW={LOOPBACK} PAWL_TOKEN=$worker \\\n    \
             target/release/pawl-sync run --connection {id} --to sqlite:invoices.db"
        ))?;
        say(&format!(
            "curl -sS -X DELETE {vault}/v1/connections/{id} -H \"Authorization: Bearer $backend\""
        ))?;
        say(&format!(
            "PAWL_DATA_DIR={} target/release/pawl token issue --help",
            self.folder.join("data").display()
        ))?;
        say(&format!("Odoo: {}, database {DATABASE}, login {LOGIN}", self.odoo.url()))?;
        say(&format!("folder: {}, yours to remove", self.folder.display()))
    }

    fn database(&self) -> PathBuf {
        self.folder.join("data").join("pawl.db")
    }

    async fn deposit(&self) -> Result<ConnectionId, Failure> {
        let body = json!({
            "url": self.odoo.url(), "database": DATABASE, "username": LOGIN, "label": "Acme's books",
            "credential": {"kind": "password", "secret": PASSWORD},
        });
        let (status, answer) = self.call("POST", "/v1/connections", "backend", Some(body)).await?;
        expect(status, 201)?;
        Ok(ConnectionId::parse(answer["id"].as_str().unwrap_or_default())?)
    }

    async fn sync(&self, id: &ConnectionId, sink: &Path) -> Result<pawl::sync::Summary, Failure> {
        let (vault, token) = (self.vault.url(), self.token("worker")?);
        let settings =
            [("PAWL_URL", vault.as_str()), ("PAWL_TOKEN", token.expose()), ("PAWL_EGRESS_ALLOW", LOOPBACK)];
        let worker = Worker::new(Settings::from(settings.into_iter().map(named))?, Clock::system())?;
        let sink = sink.into();
        let job = Job { connection: id.clone(), sink, whole: false, accepts_removals: false, waits: false };
        let (_stopper, stop) = stop_pair();
        Ok(worker.run(&job, stop, &mut |_| {}).await?)
    }

    fn token(&self, role: &str) -> Result<Secret, Failure> {
        let (org, user) = (OrgId::parse("acme")?, UserId::parse("ada")?);
        let client = ClientId::parse("pawl-demo")?;
        Ok(self.issuer.issue_token((&org, &user, &client), role, Duration::from_secs(900))?)
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        role: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value), Failure> {
        let url = format!("{}{path}", self.vault.url());
        let mut request = self.http.request(method.parse()?, url).bearer_auth(self.token(role)?.expose());
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_slice(&response.bytes().await?).unwrap_or_default()))
    }
}

const REAL_ODOO: &str = r#"1  pawl serve
2  curl -sS http://127.0.0.1:7295/v1/connections --json @deposit.json \
     -H "Authorization: Bearer $(pawl token issue --org acme --user ada --role backend)"
3  PAWL_TOKEN=$(pawl token issue --org acme --user ada --role worker) \
     pawl-sync run --connection conn_… --to sqlite:invoices.db

deposit.json, with an API key of a user who may only read invoices:
   {"url": "https://acme.odoo.com", "database": "acme", "username": "bot@acme.com",
    "credential": {"kind": "api_key", "secret": "…"}}"#;

fn named((name, value): (&str, &str)) -> (String, OsString) {
    (name.to_owned(), value.into())
}

fn expect(status: u16, expected: u16) -> Result<(), Failure> {
    if status == expected {
        Ok(())
    } else {
        Err(format!("the vault answered {status}, not {expected}").into())
    }
}

fn heading(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "\n{text}\n{}", "─".repeat(text.chars().count()))?;
    Ok(())
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{}", format!("  {line}").trim_end())?;
    Ok(())
}
