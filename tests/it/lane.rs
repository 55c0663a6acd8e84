//! The lane on PostgreSQL: one org's trouble is not another's, a row that can't be is not everybody's,
//! and a server that stops answering stops nothing for good.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use pawl::audit::{AuditEvent, Counted, Outcome};
use pawl::store::{Once, StoreError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::borrowers::{Borrowers, DEADLINE, Wish, chain_of, open, store_of, wait};
use crate::database::{PASSWORD, told};
use crate::harness::{Answer, Home, Vault, call, deposit, until};

/// Here nobody is in a hurry, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(5);

const DAMAGE: &str = "ALTER TABLE audit_events DISABLE TRIGGER USER; UPDATE audit_events SET hash = '\\x00' \
                      WHERE org_id = 'acme'; ALTER TABLE audit_events ENABLE TRIGGER USER";

/// Holds an org's chain as another replica would.
fn hold_chain(vault: &Vault, org: &str) -> crate::database::Sql {
    let digest = Sha256::new().chain_update("pawl/v1/chain").chain_update(org).finalize();
    let lock = i64::from_be_bytes(digest[..8].try_into().unwrap());
    let mut other = vault.home.sql();
    other.run(&format!("SELECT pg_advisory_lock({lock})"));
    other
}

fn lend(vault: &Vault, org: &str, user: &str, id: &str) -> Answer {
    lend_with(vault, &vault.token(org, user, "worker"), id)
}

fn lend_with(vault: &Vault, worker: &str, id: &str) -> Answer {
    vault.call("POST", &format!("/v1/connections/{id}/leases"), worker, Some(&json!({"purpose": "other"})))
}

/// Attack on P4.
#[test]
fn an_org_that_is_held_keeps_no_other_waiting() {
    let vault = Vault::start_in(Home::on_postgres(), &[]);
    let ours = vault.deposit_as("acme", "ada", &deposit("a", "s"));
    let theirs = vault.deposit_as("beta", "bea", &deposit("b", "s"));
    // minting is on record in the org's chain too
    let (ada, bea) = (vault.token("acme", "ada", "worker"), vault.token("beta", "bea", "worker"));
    let holder = hold_chain(&vault, "acme");
    std::thread::scope(|scope| {
        let held: Vec<_> = (0..6).map(|_| scope.spawn(|| lend_with(&vault, &ada, &ours).status)).collect();
        let free: Vec<u16> = (0..20).map(|_| lend_with(&vault, &bea, &theirs).status).collect();
        // a machine too slow for a deadline is no lane that waits
        assert!(free.iter().filter(|status| **status == 201).count() >= 18, "{free:?}");
        assert!(held.into_iter().all(|status| status.join().unwrap() == 503));
    });
    drop(holder);
    assert_eq!(lend_with(&vault, &ada, &ours).status, 201);
    // those who were told 503 got nothing
    assert_eq!(vault.home.sql().texts("count(*)", "FROM leases WHERE org_id = 'acme'"), ["1"]);
}

/// Attack on P4.
#[test]
fn a_row_that_can_not_be_is_its_own_trouble() {
    let vault = Vault::start_in(Home::on_postgres(), &[]);
    let ours = vault.deposit_as("acme", "ada", &deposit("a", "s"));
    let theirs = vault.deposit_as("beta", "bea", &deposit("b", "s"));
    assert_eq!(lend(&vault, "acme", "ada", &ours).status, 201);
    vault.sql("UPDATE leases SET fence = 9223372036854775807");
    for _ in 0..3 {
        assert_eq!(lend(&vault, "acme", "ada", &ours).problem(), "damaged");
        assert_eq!(lend(&vault, "beta", "bea", &theirs).status, 201);
    }
}

/// Attack on P4.
#[test]
fn a_chain_whose_end_is_damaged_is_its_own_trouble() {
    let vault = Vault::start_in(Home::on_postgres(), &[]);
    let ours = vault.deposit_as("acme", "ada", &deposit("a", "s"));
    let theirs = vault.deposit_as("beta", "bea", &deposit("b", "s"));
    let (borrowers, store) = (Borrowers::new(vault.clock.clone()), store_of(&vault.home));
    vault.sql(DAMAGE);
    wait(async {
        for _ in 0..5 {
            // all of them come to the lane before it turns to any
            let ask = |org, user, id| {
                store.lend(borrowers.ask((org, user, "svc"), Wish::of(id, "other")), PATIENCE)
            };
            let (damaged, whole, other) = tokio::join!(
                ask("acme", "ada", &ours),
                ask("beta", "bea", &theirs),
                ask("beta", "bea", &theirs)
            );
            assert!(matches!(damaged, Err(StoreError::Damaged(_))));
            for lent in [whole, other] {
                lent.unwrap().ok().unwrap().receipt.sign();
            }
        }
    });
}

/// Attack on P4.
#[test]
fn what_the_database_does_not_take_is_its_own_trouble() {
    let vault = Vault::start_in(Home::on_postgres(), &[]);
    let [ours, theirs] = ["ada", "bea"].map(|user| vault.deposit_as("acme", user, &deposit(user, "s")));
    let [ada, bea] = ["ada", "bea"].map(|user| vault.token("acme", user, "worker"));
    vault.sql("ALTER TABLE leases ADD CONSTRAINT none_of_adas CHECK (user_id <> 'ada')");
    let mut granted = 0;
    for _ in 0..10 {
        let holder = hold_chain(&vault, "acme");
        std::thread::scope(|scope| {
            let lent: Vec<_> = (0..5)
                .map(|_| [(&ada, &ours), (&bea, &theirs)])
                .map(|both| both.map(|(worker, id)| scope.spawn(|| lend_with(&vault, worker, id).status)))
                .collect();
            drop(holder);
            for [refused, lent] in lent {
                assert_eq!(refused.join().unwrap(), 503);
                granted += usize::from(lent.join().unwrap() == 201);
            }
        });
    }
    // a machine too slow for a deadline is no lane that fails
    assert!(granted >= 10, "{granted} of 50");
    let leases = vault.home.sql().texts("count(*)", "FROM leases WHERE user_id = 'bea'");
    assert!(leases[0].parse::<usize>().unwrap() >= granted);
    assert_eq!(vault.home.sql().texts("count(*)", "FROM leases WHERE user_id = 'ada'"), ["0"]);
    vault.trail("acme");
}

type Gate = Arc<(Mutex<bool>, Condvar)>;

/// Between a vault and the server; lets nothing through while it is stopped.
#[derive(Clone)]
struct Between {
    port: u16,
    stopped: Gate,
    /// Whether the next commit goes through and its answer, and all that follows on its connection, does not.
    is_set: Arc<AtomicBool>,
    /// Of the connections to which that happened.
    silenced: Arc<Mutex<Vec<Gate>>>,
    /// Whether what was held back there is lost, with the connection.
    is_cut: Arc<AtomicBool>,
}

impl Between {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stopped, silenced) = (Gate::default(), Arc::default());
        let [is_set, is_cut] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let between = Self { port, stopped, is_set, silenced, is_cut };
        let own = between.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect(("127.0.0.1", told("PORT").parse().unwrap())).unwrap();
                own.join(client, server);
            }
        });
        between
    }

    fn join(&self, client: TcpStream, server: TcpStream) {
        // One that comes while it is stopped goes through: the server is there, the old way is not.
        let gate = if *self.stopped.0.lock().unwrap() { Gate::default() } else { self.stopped.clone() };
        let (own, hushed, is_cut) = (self.clone(), Gate::default(), self.is_cut.clone());
        let (back, forth, quiet) = (server.try_clone().unwrap(), client.try_clone().unwrap(), hushed.clone());
        let forward = move |bytes: &[u8]| {
            let is_commit = bytes.windows(7).any(|part| part == b"COMMIT\0");
            if is_commit && own.is_set.swap(false, Ordering::SeqCst) {
                *quiet.0.lock().unwrap() = true;
                own.silenced.lock().unwrap().push(quiet.clone());
            }
            wait_at(&gate);
            true
        };
        let backward = move |_: &[u8]| wait_at(&hushed) == Waited::No || !is_cut.load(Ordering::SeqCst);
        std::thread::spawn(move || pass(client, server, forward));
        std::thread::spawn(move || pass(back, forth, backward));
    }

    fn silence_after_commit(&self) {
        self.is_set.store(true, Ordering::SeqCst);
    }

    fn stop(&self) {
        *self.stopped.0.lock().unwrap() = true;
    }

    fn go_on(&self) {
        for gate in self.silenced.lock().unwrap().iter().chain([&self.stopped]) {
            *gate.0.lock().unwrap() = false;
            gate.1.notify_all();
        }
    }
}

#[derive(PartialEq)]
enum Waited {
    Yes,
    No,
}

fn wait_at(gate: &Gate) -> Waited {
    let mut stopped = gate.0.lock().unwrap();
    let waited = if *stopped { Waited::Yes } else { Waited::No };
    while *stopped {
        stopped = gate.1.wait(stopped).unwrap();
    }
    waited
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_let_through: impl Fn(&[u8]) -> bool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read) = from.read(&mut bytes) {
        if !is_let_through(&bytes[..read]) || read == 0 || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    for end in [from, to] {
        let _ = end.shutdown(std::net::Shutdown::Both);
    }
}

/// A vault whose way to the server can be stopped.
fn behind(between: &Between) -> Vault {
    let home = Home::on_postgres();
    let address = address(&home, between);
    Vault::start_in(home, &[("PAWL_DATABASE_URL", &address)])
}

fn address(home: &Home, between: &Between) -> String {
    let name = home.database_name();
    format!("postgres://pawl_app:{PASSWORD}@127.0.0.1:{}/{name}?sslmode=disable", between.port)
}

fn is_long() -> bool {
    std::env::var_os("TEST_LONG").is_some()
}

/// What was answered 503 does not come over what was acknowledged after it.
/// Attack on P10.
#[test]
fn a_change_that_was_given_up_does_not_come_later() {
    if !is_long() {
        return;
    }
    let between = Between::start();
    let mut vault = behind(&between);
    let id = vault.deposit("secret 1");
    let direct = vault.replica();
    let backend = vault.token("acme", "ada", "backend");
    let path = format!("/v1/connections/{id}/credential");
    let put = |url: &str, secret: &str| call(url, "PUT", &path, &backend, Some(&json!({"secret": secret})));
    between.stop();
    assert_eq!(put(&vault.url, "OLD").status, 503);
    let new = put(&direct, "NEW");
    assert_eq!((new.status, &new.json["credential"]["revision"]), (200, &Value::from(2)));
    between.go_on();
    // the next change through the old way comes after whatever was under way there
    let label = json!({"label": "later"});
    let backend = vault.token("acme", "ada", "backend");
    let patched = vault.call("PATCH", &format!("/v1/connections/{id}"), &backend, Some(&label));
    assert_eq!(patched.status, 200, "{}", patched.body);
    let loan = lend(&vault, "acme", "ada", &id);
    assert_eq!(loan.json["credential"]["secret"], "NEW");
    assert_eq!(loan.json["credential"]["revision"], 2);
}

fn sync(vault: &Vault, worker: &str, id: &str) -> Answer {
    vault.call("POST", &format!("/v1/connections/{id}/leases"), worker, Some(&json!({"purpose": "sync"})))
}

/// The lend is committed, and the answer to the commit comes after everybody was told 503.
/// Attack on P4.
#[test]
fn a_commit_that_is_answered_too_late_leaves_no_lease_behind() {
    let between = Between::start();
    let vault = behind(&between);
    let id = vault.deposit("s");
    let worker = vault.token("acme", "ada", "worker");
    let other = vault.token_for("acme", "ada", "worker", "other");
    between.silence_after_commit();
    let late = sync(&vault, &worker, &id);
    assert_eq!((late.status, late.problem().as_str()), (503, "unavailable"), "{}", late.body);
    // it was granted all the same
    let open = "FROM leases WHERE ended_at IS NULL";
    until("the lease", || vault.home.sql().texts("count(*)", open) == ["1"]);
    between.go_on();
    // long before its 300 s: the first lend that the lane answers again
    let mut next = sync(&vault, &other, &id);
    while next.status == 503 {
        next = sync(&vault, &other, &id);
    }
    assert_eq!(next.status, 201, "{}", next.body);
    let outcomes = vault.home.sql().texts("coalesce(outcome, 'open')", "FROM leases ORDER BY fence");
    assert_eq!(outcomes, ["unanswered", "open"]);
    let trail = chain_of(&vault.home, "acme");
    let lends = trail.iter().filter(|event| event["activity_name"].as_str().unwrap().starts_with("lease."));
    let lends: Vec<_> = lends.map(|event| [&event["activity_name"], &event["actor.app_uid"]]).collect();
    let expected = [["lease.lend", "svc"], ["lease.unanswered", "svc"], ["lease.lend", "other"]];
    assert_eq!(json!(lends), json!(expected));
}

/// The connection dies with the commit: whether the lend came to be nobody can tell, and the lane sees to it.
/// Attack on P4.
#[test]
fn a_commit_that_is_never_answered_leaves_no_lease_behind() {
    let between = Between::start();
    let vault = behind(&between);
    let id = vault.deposit("s");
    let worker = vault.token("acme", "ada", "worker");
    let other = vault.token_for("acme", "ada", "worker", "other");
    between.silence_after_commit();
    assert_eq!(sync(&vault, &worker, &id).status, 503);
    let mut sql = vault.home.sql();
    until("the lease", || sql.texts("count(*)", "FROM leases WHERE ended_at IS NULL") == ["1"]);
    between.is_cut.store(true, Ordering::SeqCst);
    between.go_on();
    let mut next = sync(&vault, &other, &id);
    while next.status == 503 {
        next = sync(&vault, &other, &id);
    }
    assert_eq!(next.status, 201, "{}", next.body);
    let outcomes = sql.texts("coalesce(outcome, 'open')", "FROM leases ORDER BY fence");
    assert_eq!(outcomes, ["unanswered", "open"]);
    chain_of(&vault.home, "acme");
}

/// The thread that hangs in its commit is left behind: the one in its place ends what it may have granted.
/// Attack on P4.
#[test]
fn a_lane_that_hangs_in_a_commit_leaves_no_lease_behind() {
    if !is_long() {
        return;
    }
    let between = Between::start();
    let vault = Vault::start_in(Home::on_postgres(), &[]);
    let id = vault.deposit("s");
    let (borrowers, store) = (Borrowers::new(vault.clock.clone()), open(&address(&vault.home, &between)));
    let lend = |client: &str| {
        let ask = borrowers.ask(("acme", "ada", client), Wish::of(&id, "sync"));
        wait(store.lend(ask, DEADLINE)).ok()?.ok().map(|row| row.receipt.sign())
    };
    between.silence_after_commit();
    assert_eq!(lend("one"), None);
    until("another thread", || lend("two").is_some());
    let outcomes = vault.home.sql().texts("coalesce(outcome, 'open')", "FROM leases ORDER BY fence");
    assert_eq!(outcomes, ["unanswered", "open"]);
    between.go_on();
    chain_of(&vault.home, "acme");
}

/// Attack on P10.
#[test]
fn a_lane_that_hangs_is_replaced_and_readyz_says_so() {
    if !is_long() {
        return;
    }
    let between = Between::start();
    let vault = behind(&between);
    let id = vault.deposit("s");
    let worker = vault.token("acme", "ada", "worker");
    assert_eq!(lend_with(&vault, &worker, &id).status, 201);
    between.stop();
    // nothing more comes through on the connection that is there; a new one would
    let begun = std::time::Instant::now();
    let mut was_unready = false;
    loop {
        let lent = lend_with(&vault, &worker, &id);
        if lent.status == 201 {
            break;
        }
        was_unready |= call(&vault.url, "GET", "/readyz", "", None).status == 503;
        if begun.elapsed().as_secs() >= 20 {
            between.go_on();
        }
        assert!(begun.elapsed().as_secs() < 20, "it hangs for good: {}", lent.body);
    }
    assert!(was_unready);
    between.go_on();
}

/// Attack on P10.
#[test]
fn what_was_counted_is_there_once_whatever_became_of_the_first_try() {
    let between = Between::start();
    let vault = Vault::start_in(Home::on_postgres(), &[]);
    let store = open(&address(&vault.home, &between));
    let now = vault.clock.now();
    let counted = |action| Counted {
        action,
        outcome: Outcome::Refused("token-invalid"),
        purpose: None,
        org: None,
        user: None,
        client: None,
        block: None,
        count: 7,
        since: now,
        until: now,
    };
    let count = |action: &str| {
        let events = vault.own_trail();
        events.iter().filter(|event| event["activity_name"] == action && event["count"] == "7").count()
    };
    let soon = Duration::from_millis(500);
    // It outlives the tries: what hangs is waited for at its end.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Committed, and nobody was told; and never come so far.
    for (action, is_silenced) in [("one", true), ("two", false)] {
        let events = ["a", "b"].map(|_| AuditEvent::counted(None, &counted(action), now).unwrap());
        let once = Once::new(events.into());
        match is_silenced {
            true => between.silence_after_commit(),
            false => between.stop(),
        }
        assert!(runtime.block_on(store.append_once(&once, soon)).is_err());
        between.go_on();
        for _ in 0..2 {
            runtime.block_on(store.append_once(&once, PATIENCE)).unwrap();
            assert_eq!(count(action), 2, "{action}");
        }
    }
}
