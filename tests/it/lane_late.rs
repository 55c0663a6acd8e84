//! Lends that come too late for whoever asked: taken back before the commit, or ended by the lane after it.

use std::collections::BTreeMap;
use std::time::Duration;

use pawl::ids::KeyId;
use pawl::seal::{Keyring, MasterKey};
use serde_json::{Value, json};

use crate::borrowers::{Borrowers, Wish, chain_of, named, store_of, wait};
use crate::database::on_postgres;
use crate::harness::{Answer, Vault, deposit, until};

/// Here nobody is in a hurry, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(5);

fn sync(vault: &Vault, id: &str, client: &str) -> Answer {
    let worker = vault.token_for("acme", "ada", "worker", client);
    vault.call("POST", &format!("/v1/connections/{id}/leases"), &worker, Some(&json!({"purpose": "sync"})))
}

/// What the trail says was done to leases.
fn done(vault: &Vault) -> Vec<Value> {
    let of_lease = |event: &Value| event["activity_name"].as_str().unwrap().starts_with("lease.");
    chain_of(&vault.home, "acme").into_iter().filter(of_lease).collect()
}

/// How the leases of `id` ended, in their order.
fn outcomes(vault: &Vault, id: &str) -> Vec<String> {
    let of_it = format!("FROM leases WHERE connection_id = '{id}' ORDER BY fence");
    vault.home.sql().texts("coalesce(outcome, 'open')", &of_it)
}

/// Granted, and dropped by whoever asked: as when its deadline passes while the answer is on its way.
/// Attack on P4.
#[test]
fn a_loan_that_nobody_took_is_ended_before_the_next_and_on_record() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let (borrowers, store) = (Borrowers::new(vault.clock.clone()), store_of(&vault.home));
    let ask = |client: &str| borrowers.ask(("acme", "ada", client), Wish::of(&id, "sync"));
    wait(async {
        let lost = store.lend(ask("one"), PATIENCE).await.unwrap().ok().unwrap();
        let lease = lost.lease.to_string();
        drop(lost);
        let next = store.lend(ask("two"), PATIENCE).await.unwrap();
        let next = next.unwrap_or_else(|refused| panic!("{refused:?}"));
        assert_ne!(next.lease.to_string(), lease);
        // one that reached its borrower stays
        next.receipt.sign();
        let held = store.lend(ask("three"), PATIENCE).await.unwrap().err().unwrap();
        assert_eq!(held.cause(), "lease-held");

        let shown =
            vault.call("GET", &format!("/v1/leases/{lease}"), &vault.token("acme", "boss", "owner"), None);
        assert_eq!((shown.text("state"), shown.text("outcome")), ("ended".into(), "unanswered".into()));
        let ends: Vec<Value> =
            done(&vault).into_iter().filter(|event| event["activity_name"] == "lease.unanswered").collect();
        let said = ["status", "actor.user.uid", "actor.app_uid", "connection.uid", "lease.uid"];
        let said = said.map(|member| ends[0][member].as_str().unwrap());
        assert_eq!(said, ["Success", "ada", "one", id.as_str(), lease.as_str()]);
        assert_eq!(ends.len(), 1);
    });
    assert_eq!(outcomes(&vault, &id), ["unanswered", "open"]);
}

/// A 503 is not kept: the same request, come again, is a new one.
/// Attack on P4.
#[test]
fn a_loan_that_nobody_took_can_be_asked_for_again_by_its_name() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let (borrowers, store) = (Borrowers::new(vault.clock.clone()), store_of(&vault.home));
    let key = vault.home.sql().texts("id", "FROM keys").remove(0);
    let keys = BTreeMap::from([(key.clone(), MasterKey::generate().unwrap())]);
    let keyring = Keyring::new(KeyId::parse(&key).unwrap(), keys).unwrap();
    let ask = || {
        let mut ask = borrowers.ask(("acme", "ada", "one"), Wish::of(&id, "sync"));
        ask.repeat = Some(named("again", &keyring));
        ask
    };
    wait(async {
        let lost = store.lend(ask(), PATIENCE).await.unwrap().ok().unwrap().lease.to_string();
        let next = store.lend(ask(), PATIENCE).await.unwrap();
        let next = next.unwrap_or_else(|refused| panic!("{refused:?}"));
        let lease = next.lease.to_string();
        assert_ne!(lease, lost);
        next.receipt.sign();
        let same = store.lend(ask(), PATIENCE).await.unwrap().ok().unwrap();
        assert_eq!(same.lease.to_string(), lease);
        // the answer to a repeat may be lost: the lease is the first one's
        drop(same);
        let same = store.lend(ask(), PATIENCE).await.unwrap().ok().unwrap();
        assert_eq!(same.lease.to_string(), lease);
    });
    assert_eq!(outcomes(&vault, &id), ["unanswered", "open"]);
}

/// Two ask by the same name, and only the second hears of it: the loan is theirs.
/// Attack on P4.
#[test]
fn a_loan_that_was_given_again_is_not_ended_for_the_first_answer() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    let (borrowers, store) = (Borrowers::new(vault.clock.clone()), store_of(&vault.home));
    let key = vault.home.sql().texts("id", "FROM keys").remove(0);
    let keys = BTreeMap::from([(key.clone(), MasterKey::generate().unwrap())]);
    let keyring = Keyring::new(KeyId::parse(&key).unwrap(), keys).unwrap();
    let ask = |repeat: Option<&str>, ttl: u64| {
        let mut ask = borrowers.ask(("acme", "ada", "one"), Wish { run: Some("r"), ..Wish::of(&id, "sync") });
        ask.repeat = repeat.map(|name| named(name, &keyring));
        ask.ttl = Duration::from_secs(ttl);
        ask
    };
    // by its name, and as the same run with less time
    for (name, [first, second]) in [(Some("again"), [300, 300]), (None, [300, 60])] {
        wait(async {
            let both = [first, second].map(|ttl| store.lend(ask(name, ttl), PATIENCE));
            let [first, second] = both;
            let (first, second) = tokio::join!(first, second);
            let [first, second] = [first, second].map(|lent| lent.unwrap().ok().unwrap());
            assert_eq!(first.lease, second.lease);
            drop(first);
            second.receipt.sign();
            // whatever is to be ended is ended before this
            let held = store.lend(borrowers.ask(("acme", "ada", "two"), Wish::of(&id, "sync")), PATIENCE);
            assert_eq!(held.await.unwrap().err().unwrap().cause(), "lease-held");
            let third = store.lend(ask(name, 60), PATIENCE).await.unwrap().ok().unwrap();
            assert_eq!(third.lease, second.lease);
        });
        assert_eq!(outcomes(&vault, &id), ["open"]);
        vault.sql("DELETE FROM leases");
    }
    // nobody hears of either
    wait(async {
        let (first, second) = tokio::join!(
            store.lend(ask(Some("lost"), 300), PATIENCE),
            store.lend(ask(Some("lost"), 300), PATIENCE)
        );
        drop((first.unwrap(), second.unwrap()));
        let next = store.lend(borrowers.ask(("acme", "ada", "two"), Wish::of(&id, "sync")), PATIENCE);
        next.await.unwrap().ok().unwrap().receipt.sign();
    });
    assert_eq!(outcomes(&vault, &id), ["unanswered", "open"]);
}

/// While it can't be ended it is tried again, and others' lends go on.
/// Attack on P4.
#[test]
fn what_can_not_be_ended_yet_is_ended_later_and_holds_nobody_up() {
    let vault = Vault::start();
    let [lost, other] = ["lost", "other"].map(|bot| vault.deposit_as("acme", "ada", &deposit(bot, "s")));
    let (borrowers, store) = (Borrowers::new(vault.clock.clone()), store_of(&vault.home));
    vault.sql(match on_postgres() {
        false => {
            "CREATE TRIGGER no_end BEFORE UPDATE ON leases WHEN NEW.outcome = 'unanswered' \
             BEGIN SELECT RAISE(ABORT, 'no'); END"
        }
        true => "ALTER TABLE leases ADD CONSTRAINT no_end CHECK (outcome <> 'unanswered')",
    });
    let ask = |id: &str| borrowers.ask(("acme", "ada", "one"), Wish::of(id, "other"));
    wait(async {
        drop(store.lend(ask(&lost), PATIENCE).await.unwrap());
        for _ in 0..20 {
            if let Ok(lent) = store.lend(ask(&other), PATIENCE).await {
                lent.ok().unwrap().receipt.sign();
            }
        }
    });
    assert_eq!(outcomes(&vault, &lost), ["open"]);
    // a machine too slow for a deadline is no lane that stands still
    assert!(outcomes(&vault, &other).len() >= 10, "{:?}", outcomes(&vault, &other));
    vault.sql(match on_postgres() {
        false => "DROP TRIGGER no_end",
        true => "ALTER TABLE leases DROP CONSTRAINT no_end",
    });
    until("its end", || outcomes(&vault, &lost) == ["unanswered"]);
    chain_of(&vault.home, "acme");
}

/// The database takes longer for one lend than anybody waits.
/// Attack on P4.
#[test]
fn what_would_be_committed_too_late_is_not_and_leaves_nothing() {
    let vault = Vault::start();
    let id = vault.deposit("s");
    vault.sql(match on_postgres() {
        false => {
            "CREATE TRIGGER slow AFTER INSERT ON leases BEGIN SELECT count(*) FROM \
             (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000000) \
              SELECT i FROM n); END"
        }
        true => {
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$; \
             CREATE TRIGGER slow AFTER INSERT ON leases EXECUTE FUNCTION slow()"
        }
    });
    let before = done(&vault).len();
    assert_eq!(sync(&vault, &id, "one").problem(), "unavailable");
    vault.sql(match on_postgres() {
        false => "DROP TRIGGER slow",
        true => "DROP TRIGGER slow ON leases",
    });
    // the next comes after whatever was under way
    let mut lent = sync(&vault, &id, "two");
    while lent.status == 503 {
        lent = sync(&vault, &id, "two");
    }
    assert_eq!(lent.status, 201, "{}", lent.body);
    assert_eq!(outcomes(&vault, &id), ["open"]);
    assert_eq!(done(&vault).len(), before + 1);
}
