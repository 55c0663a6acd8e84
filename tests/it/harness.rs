//! A vault for each test: its own directory, its own port, a clock that stands still until told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pawl::access::Policy;
use pawl::app::{App, Running, Setup, open_registry, open_trail};
use pawl::clock::{Clock, Moment};
use pawl::config::Config;
use pawl::egress::Resolve;
use pawl::ids::{ClientId, OrgId, UserId};
use pawl::vault::{HostTrail, Registry};
use serde_json::{Value, json};
use tempfile::TempDir;

#[cfg(feature = "postgres")]
use crate::database::TestDatabase;
use crate::database::{Sql, on_postgres};

/// The policy that is compiled in.
pub const ACCESS: &str = include_str!("../../policies/access.toml");

/// The hosts that tests may name; nothing is ever resolved.
pub const ODOO: &str = "https://acme.odoo.com";

/// What reads trails for tests, which leave it out of them.
const TRAIL_READER: &str = "trail-reader";

/// A folder and a database, and the settings under which a vault keeps its rows there.
pub struct Home {
    dir: TempDir,
    #[cfg(feature = "postgres")]
    postgres: Option<TestDatabase>,
}

impl Home {
    /// On the database of this run.
    pub fn new() -> Self {
        #[cfg(feature = "postgres")]
        if on_postgres() {
            return Self::on_postgres();
        }
        assert!(!on_postgres(), "these tests were built without PostgreSQL: --features postgres");
        Self::on_sqlite()
    }

    /// On SQLite, whatever this run is on.
    pub fn on_sqlite() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            #[cfg(feature = "postgres")]
            postgres: None,
        }
    }

    /// On PostgreSQL, whatever this run is on.
    #[cfg(feature = "postgres")]
    pub fn on_postgres() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("keys")).unwrap();
        Self { dir, postgres: Some(TestDatabase::new()) }
    }

    /// Without any row or table, on the database of this run.
    pub fn empty() -> Self {
        #[cfg(feature = "postgres")]
        if on_postgres() {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join("keys")).unwrap();
            return Self { dir, postgres: Some(TestDatabase::empty()) };
        }
        Self::new()
    }

    /// Its database's address as an administrator, whom no policy binds.
    #[cfg(feature = "postgres")]
    pub fn address_as(&self, role: &str) -> Option<String> {
        self.postgres.as_ref().map(|database| database.address(role))
    }

    fn is_on_postgres(&self) -> bool {
        #[cfg(feature = "postgres")]
        return self.postgres.is_some();
        #[cfg(not(feature = "postgres"))]
        false
    }

    #[cfg(feature = "postgres")]
    pub fn database_name(&self) -> String {
        self.postgres.as_ref().unwrap().name.clone()
    }

    /// As another role than the superuser.
    #[cfg(feature = "postgres")]
    pub fn sql_as(&self, role: &str) -> Sql {
        use diesel::Connection;
        let database = self.postgres.as_ref().unwrap();
        Sql::Postgres(diesel::PgConnection::establish(&database.address(role)).unwrap())
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("pawl-data")
    }

    pub fn key_file(&self) -> PathBuf {
        if self.is_on_postgres() {
            self.path().join("keys/master.json")
        } else {
            self.data().join("master.json")
        }
    }

    /// On SQLite none are needed; PostgreSQL is for production, which is told everything.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        #[cfg(feature = "postgres")]
        if let Some(database) = &self.postgres {
            return vec![
                ("PAWL_MODE", "production".into()),
                ("PAWL_DATABASE_URL", database.address("pawl_app")),
                ("PAWL_KEY_SOURCE", format!("file:{}", self.key_file().display())),
                ("PAWL_KEY_FILE_APART", "yes".into()),
                ("PAWL_TLS", "terminated-on-this-host".into()),
                ("PAWL_OWN_ISSUER", "on".into()),
            ];
        }
        Vec::new()
    }

    /// `pawl` with these settings and `more`.
    pub fn pawl(&self, more: &[(&str, &str)]) -> Command {
        let own = self.settings();
        let all: Vec<(&str, &str)> =
            own.iter().map(|(k, v)| (*k, v.as_str())).chain(more.iter().copied()).collect();
        pawl(self.path(), &all)
    }

    /// A token that `pawl token issue` made of these arguments.
    pub fn mint(&self, args: &[&str]) -> String {
        let minted = self.pawl(&[]).args(["token", "issue"]).args(args).output().unwrap();
        assert!(minted.status.success(), "{}", String::from_utf8_lossy(&minted.stderr));
        String::from_utf8(minted.stdout).unwrap().trim().to_owned()
    }

    /// `pawl serve` as a process, set up first where that has to be asked for.
    pub fn serve(&self, more: &[(&str, &str)]) -> Process {
        if self.is_on_postgres() {
            let made = self.pawl(&[]).arg("init").output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        let own = self.settings();
        let all: Vec<(&str, &str)> =
            own.iter().map(|(k, v)| (*k, v.as_str())).chain(more.iter().copied()).collect();
        Process::serve(self.path(), &all)
    }

    /// The configuration of a vault in this process. It may be given exceptions that production would
    /// not start with: a stand-in listens on loopback.
    fn config(&self, settings: &[(&str, &str)]) -> Config {
        let (egress, settings): (Vec<_>, Vec<_>) =
            settings.iter().copied().partition(|(name, _)| *name == "PAWL_EGRESS_ALLOW");
        let data = self.data().to_str().unwrap().to_owned();
        // A clock that stands still fills no bucket: what a caller may ask is for the tests of limits.
        let [reads, writes] =
            ["PAWL_READS_PER_SECOND", "PAWL_WRITES_PER_SECOND"].map(|of| (of, "100000".into()));
        let own = [("PAWL_DATA_DIR", data), ("PAWL_LISTEN", "127.0.0.1:0".into()), reads, writes];
        let all = own.into_iter().chain(self.settings());
        let all = all.chain(settings.into_iter().map(|(k, v)| (k, v.to_owned())));
        let all: Vec<(String, std::ffi::OsString)> = all.map(|(k, v)| (k.to_owned(), v.into())).collect();
        let mut config = Config::from("", all.into_iter()).unwrap_or_else(|e| panic!("{e}"));
        for (_, exceptions) in egress {
            config.egress_allow = exceptions.parse().unwrap();
        }
        config
    }

    /// Speaks SQL to the database beside the vault, as an attacker or an operator would.
    pub fn sql(&self) -> Sql {
        #[cfg(feature = "postgres")]
        if let Some(database) = &self.postgres {
            return database.sql();
        }
        Sql::sqlite(&self.data().join("pawl.db"))
    }

    /// The trail, as a command on this host opens it.
    pub fn host_trail(&self, clock: &Clock) -> HostTrail {
        open_trail(&self.config(&[]), clock.clone()).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Everything that is kept, as bytes to be searched: the files, and each row of PostgreSQL's.
    pub fn everything_kept(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut kept = everything_under(&self.data());
        if self.is_on_postgres() {
            let mut sql = self.sql();
            let tables = "FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
            for table in sql.texts("relname", tables) {
                let rows = sql.texts("t", &format!("FROM {table} AS t")).join("\n");
                kept.push((table.into(), rows.into_bytes()));
            }
        }
        kept
    }
}

/// A vault that serves on a thread of this process.
pub struct Vault {
    pub clock: Clock,
    pub url: String,
    issuer: App,
    _running: Running,
    replicas: Vec<Running>,
    settings: Vec<(String, String)>,
    pub home: Home,
}

impl Vault {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_in(Home::new(), settings)
    }

    pub fn start_in(home: Home, settings: &[(&str, &str)]) -> Self {
        Self::start_under(home, settings, ACCESS)
    }

    /// Under another policy than the one that is compiled in.
    pub fn start_under(home: Home, settings: &[(&str, &str)], access: &str) -> Self {
        let clock = Clock::held(Moment::parse("2026-11-24T12:00:00Z").unwrap());
        Self::start_by(clock, home, settings, access)
    }

    /// With this way to look a user's hosts up.
    pub fn start_resolving(home: Home, settings: &[(&str, &str)], resolve: Resolve) -> Self {
        let clock = Clock::held(Moment::parse("2026-11-24T12:00:00Z").unwrap());
        Self::start_of(clock, home, settings, ACCESS, |app| app.resolving(resolve))
    }

    /// By this clock: the system's, where processes beside it go by theirs.
    pub fn start_by(clock: Clock, home: Home, settings: &[(&str, &str)], access: &str) -> Self {
        Self::start_of(clock, home, settings, access, |app| app)
    }

    fn start_of(
        clock: Clock,
        home: Home,
        settings: &[(&str, &str)],
        access: &str,
        with: impl FnOnce(App) -> App,
    ) -> Self {
        let config = home.config(settings);
        let open = |setup| {
            let policy = Policy::parse(access).unwrap_or_else(|e| panic!("{e}"));
            App::open_under(policy, config.clone(), clock.clone(), setup).unwrap_or_else(|e| panic!("{e}"))
        };
        let running = Running::start(with(open(Setup::Make))).unwrap_or_else(|e| panic!("{e}"));
        let issuer = open(Setup::Look);
        let settings = settings.iter().map(|(name, to)| (name.to_string(), to.to_string())).collect();
        Self { url: running.url(), clock, issuer, _running: running, replicas: Vec::new(), settings, home }
    }

    /// The same vault, ended and started again at the same time with what it was told at first.
    pub fn restart(self) -> Self {
        let now = self.clock.now();
        let Self { home, _running, settings, .. } = self;
        drop(_running);
        let settings: Vec<_> = settings.iter().map(|(name, to)| (name.as_str(), to.as_str())).collect();
        let vault = Self::start_in(home, &settings);
        assert_eq!(vault.clock.now(), now);
        vault
    }

    /// Ends it, and leaves what it kept.
    pub fn stop(self) -> Home {
        let Self { home, _running, .. } = self;
        drop(_running);
        home
    }

    /// The register of services, as the command line on this vault's host opens it, by this vault's clock.
    pub fn registry(&self) -> Registry {
        open_registry(&self.home.config(&[]), self.clock.clone()).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Another vault on the same database and key, up until this one ends; its URL.
    pub fn replica(&mut self) -> String {
        self.replica_with(&[])
    }

    /// The same, told more.
    pub fn replica_with(&mut self, settings: &[(&str, &str)]) -> String {
        let config = self.home.config(settings);
        let app = App::open_with(config, self.clock.clone(), Setup::Use).unwrap_or_else(|e| panic!("{e}"));
        let running = Running::start(app).unwrap_or_else(|e| panic!("{e}"));
        let url = running.url();
        self.replicas.push(running);
        url
    }

    /// What a command on this vault's host opens, while it serves.
    pub fn app_beside(&self) -> App {
        let config = self.home.config(&[]);
        App::open_with(config, self.clock.clone(), Setup::Look).unwrap_or_else(|e| panic!("{e}"))
    }

    /// A token for ada as a backend, by the keys that are there now.
    pub fn app_beside_token(&self) -> String {
        let (org, user) = (OrgId::parse("acme").unwrap(), UserId::parse("ada").unwrap());
        let client = ClientId::parse("svc").unwrap();
        let life = Duration::from_secs(900);
        self.app_beside().issue_token((&org, &user, &client), "backend", life).unwrap().expose().to_owned()
    }

    /// A token for `user` of `org`, from the client `svc`.
    pub fn token(&self, org: &str, user: &str, role: &str) -> String {
        self.token_for(org, user, role, "svc")
    }

    pub fn token_for(&self, org: &str, user: &str, role: &str, client: &str) -> String {
        let (org, user) = (OrgId::parse(org).unwrap(), UserId::parse(user).unwrap());
        let client = ClientId::parse(client).unwrap();
        let life = Duration::from_secs(900);
        self.issuer.issue_token((&org, &user, &client), role, life).unwrap().expose().to_owned()
    }

    pub fn call(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> Answer {
        call(&self.url, method, path, token, body)
    }

    /// Deposits for ada of acme, and answers the connection's id.
    pub fn deposit(&self, secret: &str) -> String {
        self.deposit_as("acme", "ada", &deposit("bot", secret))
    }

    pub fn deposit_as(&self, org: &str, user: &str, body: &Value) -> String {
        let answer = self.call("POST", "/v1/connections", &self.token(org, user, "backend"), Some(body));
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.text("id")
    }

    pub fn lend(&self, id: &str, body: &Value) -> Answer {
        let worker = self.token("acme", "ada", "worker");
        self.call("POST", &format!("/v1/connections/{id}/leases"), &worker, Some(body))
    }

    /// Asks again and again until the answer's status is `wanted`, on each of `urls`; as a caller who waits for
    /// what reaches every vault.
    pub fn until(urls: &[&str], path: &str, token: &str, wanted: u16) {
        for url in urls {
            until(&format!("{wanted} of {url}"), || call(url, "GET", path, token, None).status == wanted);
        }
    }

    /// The vault's own trail, oldest first: no call shows it.
    pub fn own_trail(&self) -> Vec<Value> {
        let events = self.home.sql().texts("event", "FROM audit_events WHERE org_id = '' ORDER BY seq");
        events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
    }

    /// The trail of `org`, oldest first, but for what this itself has left there.
    pub fn trail(&self, org: &str) -> Vec<Value> {
        let is_own = |event: &Value| event["event"]["actor.app_uid"] == TRAIL_READER;
        self.whole_trail(org).into_iter().filter(|event| !is_own(event)).collect()
    }

    /// The same without a gap.
    pub fn whole_trail(&self, org: &str) -> Vec<Value> {
        let auditor = self.token_for(org, "auditor", "auditor", TRAIL_READER);
        let mut events = self.searched(&auditor, "limit=200");
        events.reverse();
        events
    }

    /// Every event that a search finds, page by page, newest first.
    pub fn searched(&self, token: &str, query: &str) -> Vec<Value> {
        let (mut events, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer = self.call("GET", &format!("/v1/audit/events?{query}{cursor}"), token, None);
            assert_eq!(answer.status, 200, "{}", answer.body);
            events.extend(answer.json["items"].as_array().unwrap().iter().cloned());
            match answer.json["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return events,
            }
        }
    }

    /// Speaks SQL to the database beside the vault, as an attacker or an operator would.
    pub fn sql(&self, sql: &str) {
        self.home.sql().run(sql);
    }
}

/// Waits for what comes by itself, and says how long that took.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} never came");
        std::thread::yield_now();
    }
    begun.elapsed()
}

/// The same, in time where TEST_LONG is set.
pub fn until_within(bound: Duration, what: &str, is_so: impl FnMut() -> bool) {
    is_within(bound, until(what, is_so), what);
}

/// Where TEST_LONG is set: a busy machine proves nothing.
pub fn is_within(bound: Duration, took: Duration, what: &str) {
    let is_judged = std::env::var_os("TEST_LONG").is_some();
    assert!(!is_judged || took <= bound, "{what} came after {took:?}");
}

pub fn deposit(username: &str, secret: &str) -> Value {
    json!({"url": ODOO, "database": "acme", "username": username,
           "credential": {"kind": "password", "secret": secret}})
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    pub json: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn text(&self, member: &str) -> String {
        self.json[member].as_str().unwrap_or_else(|| panic!("no {member} in {}", self.body)).to_owned()
    }

    /// The NAME of a problem; panics if the answer is none.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.body);
        assert_eq!(self.json["status"], self.status, "{}", self.body);
        assert_eq!(self.json["request_id"].as_str(), self.header("x-request-id"), "{}", self.body);
        self.text("type").strip_prefix("urn:pawl:problem:").unwrap().to_owned()
    }

    /// `field rule` of each error, in order.
    pub fn errors(&self) -> Vec<String> {
        let errors = self.json["errors"].as_array().unwrap().iter();
        errors.map(|e| format!("{} {}", e["field"].as_str().unwrap(), e["rule"].as_str().unwrap())).collect()
    }
}

pub fn call(url: &str, method: &str, path: &str, token: &str, body: Option<&Value>) -> Answer {
    let body = body.map(Value::to_string).unwrap_or_default();
    let headers = match (token, body.as_str()) {
        ("", "") => String::new(),
        ("", _) => "Content-Type: application/json\r\n".into(),
        (token, "") => format!("Authorization: Bearer {token}\r\n"),
        (token, _) => format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"),
    };
    raw(url, method, path, &headers, body.as_bytes())
}

/// One request over a connection of its own, with exactly these headers and bytes.
pub fn raw(url: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: pawl\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    // In one piece: a second would wait for the first to be acknowledged. The server may answer and close before it
    // has read a body that it refuses.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    Answer {
        status: head[9..12].parse().unwrap(),
        head: head.into(),
        json: serde_json::from_str(body).unwrap_or(Value::Null),
        body: body.into(),
    }
}

/// `pawl` as a command that finds nothing of the tester's own settings.
pub fn pawl(dir: &Path, settings: &[(&str, &str)]) -> Command {
    program(env!("CARGO_BIN_EXE_pawl"), dir, settings)
}

pub fn program(path: &str, dir: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PAWL_") {
            command.env_remove(name);
        }
    }
    command.current_dir(dir).envs(settings.iter().copied());
    command
}

/// `pawl serve` as a process of its own, ended with the test.
pub struct Process {
    pub child: Child,
    pub url: String,
    /// The lines it printed as it started.
    pub greeting: Vec<String>,
    stdout: Option<std::process::ChildStdout>,
}

impl Process {
    /// What the system says of its memory, such as `VmRSS:`, in kB.
    pub fn kilobytes(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        value.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    /// Starts in `dir`, on a free port, with its log in `dir/log`.
    pub fn serve(dir: &Path, settings: &[(&str, &str)]) -> Self {
        Self::started(pawl(dir, settings), dir, settings)
    }

    /// The same, started by `under`, a command that becomes what it is told to start.
    pub fn serve_under(under: &[&str], dir: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = program(under[0], dir, settings);
        command.args(&under[1..]).arg(env!("CARGO_BIN_EXE_pawl"));
        Self::started(command, dir, settings)
    }

    fn started(mut command: Command, dir: &Path, settings: &[(&str, &str)]) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
        let mut child = command
            .env("PAWL_LISTEN", "127.0.0.1:0")
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = Vec::new();
        let has_ops = settings.iter().any(|(name, _)| *name == "PAWL_OPS_LISTEN");
        for _ in 0..5 + usize::from(has_ops) {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            greeting.push(line.trim_end().to_owned());
        }
        let url = greeting[0].split_whitespace().last().unwrap_or_default().to_owned();
        assert!(url.starts_with("http"), "{greeting:?} {:?}", std::fs::read_to_string(dir.join("log")));
        Self { child, url, greeting, stdout: Some(reader.into_inner()) }
    }

    /// The ops listener's URL, if it was asked for.
    pub fn ops(&self) -> String {
        let line = self.greeting[5].strip_prefix("ops: ").unwrap();
        line.split("/metrics").next().unwrap().to_owned()
    }

    /// What `/metrics` answers.
    pub fn metrics(&self) -> String {
        let answer = call(&self.ops(), "GET", "/metrics", "", None);
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        answer.body
    }

    /// Sends a signal by its number.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Whatever it printed after its greeting, once it has ended.
    pub fn rest(mut self) -> String {
        let mut rest = String::new();
        self.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        self.child.wait().unwrap();
        rest
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every byte of every file under `dir`.
pub fn everything_under(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(everything_under(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            all.push((path, bytes));
        }
    }
    all
}

pub fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}
