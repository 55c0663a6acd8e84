//! The lane against a model that does one thing at a time: random batches of whatever can be asked for, while
//! connections are deleted, orgs frozen and, on PostgreSQL, another replica stops in the middle of a transaction.

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use futures_util::future::join_all;
use pawl::access::{Action, Scope};
use pawl::audit::{AuditEvent, Outcome, Subject};
use pawl::ids::ConnectionId;
use pawl::seal::OpenRefused;
use pawl::store::{Granted, LendAsk, Store, StoreError, Tx};

use crate::borrowers::{Borrowers, DEADLINE, Wish, chain_of, store_of, wait};
use crate::database::{Sql, on_postgres, without_foreign_keys};
use crate::harness::{Vault, deposit, until};

const ORGS: usize = 50;
/// A connection of each kind in each org.
const KINDS: [Kind; 6] = [Kind::Own, Kind::Shut, Kind::Damaged, Kind::Poisoned, Kind::Held, Kind::Doomed];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    /// Lent.
    Own,
    /// Does not open where it lies.
    Shut,
    /// Its row holds what no vault writes.
    Damaged,
    /// The database takes no lease of it.
    Poisoned,
    /// Somebody else holds its exclusive lease.
    Held,
    /// Is going to be deleted.
    Doomed,
}

/// splitmix64, Vigna 2015.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// What the model knows: everything that was acknowledged.
#[derive(Default)]
struct Model {
    deleted: BTreeSet<String>,
    frozen: BTreeSet<usize>,
    /// What is being deleted, and which org switched, while the batch runs: either answer will do.
    unsure: Option<String>,
    unsure_org: Option<usize>,
    /// The lease that holds a connection.
    held: BTreeMap<String, String>,
    fences: BTreeSet<(String, i64)>,
    /// How many asks of each org are on record, and of how many that were told 503 nothing is known.
    recorded: BTreeMap<usize, usize>,
    in_doubt: BTreeMap<usize, usize>,
    granted: usize,
}

struct Asked {
    org: usize,
    id: String,
    /// `None`: of another org, or of nobody.
    kind: Option<Kind>,
    is_sync: bool,
}

impl Model {
    /// What may be answered. Nothing at all, by a deadline, always may.
    fn allowed(&self, asked: &Asked) -> Vec<&'static str> {
        let (is_frozen, is_unsure) = (self.frozen.contains(&asked.org), self.unsure_org == Some(asked.org));
        let mut allowed = Vec::new();
        if is_frozen || is_unsure {
            allowed.push("frozen");
        }
        if is_frozen && !is_unsure {
            return allowed;
        }
        if self.unsure.as_ref() == Some(&asked.id) {
            allowed.push("not-found");
        }
        allowed.push(match asked.kind {
            None => "not-found",
            Some(_) if self.deleted.contains(&asked.id) => "not-found",
            Some(Kind::Shut) => "does-not-open",
            Some(Kind::Damaged) => "damaged",
            Some(_) if asked.is_sync && self.held.contains_key(&asked.id) => "lease-held",
            Some(Kind::Poisoned) => "not taken",
            Some(_) => "granted",
        });
        allowed
    }

    fn learn(&mut self, batch: u64, asked: &Asked, answer: Result<Granted, StoreError>) {
        let said = match &answer {
            Ok(Ok(_)) => "granted",
            Ok(Err(refused)) => refused.cause(),
            Err(StoreError::Damaged(_)) => "damaged",
            Err(StoreError::Unavailable("statement failed")) => "not taken",
            Err(StoreError::Unavailable(_)) => {
                *self.in_doubt.entry(asked.org).or_default() += 1;
                return;
            }
            Err(other) => panic!("batch {batch}: {other}"),
        };
        let (kind, id, allowed) = (asked.kind, &asked.id, self.allowed(asked));
        assert!(allowed.contains(&said), "batch {batch}: {said}, of {kind:?} {id} only {allowed:?}");
        *self.recorded.entry(asked.org).or_default() += usize::from(answer.is_ok());
        if let Ok(Ok(row)) = answer {
            self.granted += 1;
            assert!(
                self.fences.insert((id.clone(), row.fence)),
                "batch {batch}: {} of {id} twice",
                row.fence
            );
            if asked.is_sync {
                self.held.insert(id.clone(), row.lease.to_string());
            }
            row.receipt.sign();
        }
    }
}

struct World {
    vault: Vault,
    borrowers: Borrowers,
    stores: Vec<Store>,
    ids: Vec<BTreeMap<Kind, String>>,
    model: Model,
    dice: Dice,
    sql: Sql,
}

fn org(at: usize) -> String {
    format!("org{at:02}")
}

impl World {
    fn new(seed: u64) -> Self {
        let vault = Vault::start();
        let first = vault.deposit_as("first", "ada", &deposit("bot", "s"));
        let mut sql = vault.home.sql();
        let id = |at: usize, kind: usize| format!("{}{at:02}{kind:02}", &first[..first.len() - 4]);
        let ids: Vec<BTreeMap<Kind, String>> = (0..ORGS)
            .map(|at| KINDS.iter().enumerate().map(|(n, kind)| (*kind, id(at, n))).collect())
            .collect();
        for (at, (kind, id)) in
            ids.iter().enumerate().flat_map(|(at, of)| of.iter().map(move |one| (at, one)))
        {
            sql.run(&format!(
                "INSERT INTO connections (id, org_id, user_id, environment, kind, url, database, username, sealed, \
                 key_id, revision, state, created_at, updated_at) SELECT '{id}', '{}', 'ada', environment, kind, url, \
                 database, '{kind:?}', sealed, key_id, revision, state, created_at, updated_at \
                 FROM connections WHERE id = '{first}'",
                org(at)
            ));
        }
        let all = |kind| ids.iter().map(|of| format!("'{}'", of[&kind])).collect::<Vec<_>>().join(", ");
        let (damaged, poisoned) = (all(Kind::Damaged), all(Kind::Poisoned));
        sql.run(&match on_postgres() {
            true => {
                format!("ALTER TABLE leases ADD CONSTRAINT none CHECK (connection_id NOT IN ({poisoned}))")
            }
            false => format!(
                "CREATE TRIGGER none BEFORE INSERT ON leases WHEN NEW.connection_id IN ({poisoned}) \
                 BEGIN SELECT RAISE(ABORT, 'none'); END"
            ),
        });
        let mut planter = vault.home.sql();
        planter.run(&format!(
            "{}; UPDATE connections SET key_id = '' WHERE id IN ({damaged})",
            without_foreign_keys()
        ));
        // Where there may be more than one vault there are.
        let stores = (0..if on_postgres() { 2 } else { 1 }).map(|_| store_of(&vault.home)).collect();
        let (borrowers, model) = (Borrowers::new(vault.clock.clone()), Model::default());
        let mut world = Self { vault, borrowers, stores, ids, model, dice: Dice(seed), sql };
        for at in 0..ORGS {
            let id = world.ids[at][&Kind::Held].clone();
            let asked = Asked { org: at, id, kind: Some(Kind::Held), is_sync: true };
            let lent = wait(world.stores[0].lend(world.ask(&asked), Duration::from_secs(5)));
            world.model.learn(0, &asked, lent);
        }
        world
    }

    fn ask(&self, asked: &Asked) -> LendAsk {
        let mut wish = Wish::of(&asked.id, if asked.is_sync { "sync" } else { "other" });
        if asked.kind == Some(Kind::Shut) {
            wish.proof = Box::new(|_| Err(OpenRefused::DoesNotOpen));
        }
        self.borrowers.ask((&org(asked.org), "ada", "svc"), wish)
    }

    fn roll(&mut self) -> Asked {
        let (at, is_sync) = (self.dice.below(ORGS), self.dice.below(3) == 0);
        let (id, kind) = match self.dice.below(40) {
            0..3 => (self.ids[(at + 1) % ORGS][&Kind::Own].clone(), None),
            3..6 => ("conn_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(), None),
            6 => (self.ids[at][&Kind::Poisoned].clone(), Some(Kind::Poisoned)),
            7..10 => (self.ids[at][&Kind::Damaged].clone(), Some(Kind::Damaged)),
            10..13 => (self.ids[at][&Kind::Shut].clone(), Some(Kind::Shut)),
            13..20 => (self.ids[at][&Kind::Held].clone(), Some(Kind::Held)),
            20..30 => (self.ids[at][&Kind::Doomed].clone(), Some(Kind::Doomed)),
            _ => (self.ids[at][&Kind::Own].clone(), Some(Kind::Own)),
        };
        Asked { org: at, id, kind, is_sync }
    }

    /// A batch, and what happens meanwhile.
    fn batch(&mut self, number: u64) {
        let mut all: Vec<Asked> = Vec::new();
        for _ in 0..=self.dice.below(20) {
            let asked = self.roll();
            // Of two that want the same for themselves alone the model can't say which gets it.
            if !asked.is_sync || all.iter().all(|other| !other.is_sync || other.id != asked.id) {
                all.push(asked);
            }
        }
        let (doomed, switched) = (self.dice.below(ORGS), self.dice.below(ORGS));
        let gone = self.ids[doomed][&Kind::Doomed].clone();
        let deletes = self.dice.below(6) == 0 && !self.model.deleted.contains(&gone);
        let (switches, freezes) = (self.dice.below(4) == 0, !self.model.frozen.contains(&switched));
        self.model.unsure = deletes.then(|| gone.clone());
        self.model.unsure_org = switches.then_some(switched);
        let stopped =
            (on_postgres() && self.dice.below(8) == 0).then(|| Replica::stopped(&self.vault, all[0].org));
        let answers = wait(async {
            let lends = all
                .iter()
                .enumerate()
                .map(|(n, asked)| self.stores[n % self.stores.len()].lend(self.ask(asked), DEADLINE));
            let lends = join_all(lends.collect::<Vec<_>>());
            let (answers, (), (), ()) = tokio::join!(
                lends,
                async {
                    if deletes {
                        self.delete(doomed, &gone).await
                    }
                },
                async {
                    if switches {
                        self.switch(switched, freezes).await
                    }
                },
                async { stopped.into_iter().for_each(Replica::end) },
            );
            answers
        });
        for (asked, answer) in all.iter().zip(answers) {
            self.model.learn(number, asked, answer);
        }
        (self.model.unsure, self.model.unsure_org) = (None, None);
        if deletes {
            self.model.held.remove(&gone);
            self.model.deleted.insert(gone);
        }
        if switches && freezes {
            self.model.frozen.insert(switched);
            self.ids[switched].values().for_each(|id| drop(self.model.held.remove(id)));
        } else if switches {
            self.model.frozen.remove(&switched);
        }
        self.settle();
    }

    /// What was granted to somebody who was told 503 is ended: nothing is held that nobody knows of.
    fn settle(&mut self) {
        let known: BTreeSet<&String> = self.model.held.values().collect();
        let open = "FROM leases WHERE purpose = 'sync' AND ended_at IS NULL";
        until("the end of what nobody heard of", || {
            let open = self.sql.texts("id", open);
            let open: BTreeSet<&String> = open.iter().collect();
            assert!(known.is_subset(&open), "{known:?} {open:?}");
            open.len() == known.len()
        });
    }

    async fn delete(&self, at: usize, id: &str) {
        let (actor, now) = (self.borrowers.actor(self.owner(at)), self.vault.clock.now());
        let (scope, id) = (actor.caller.scope(Action::Forget).unwrap(), ConnectionId::parse(id).unwrap());
        let work = move |tx: &mut Tx| {
            if tx.end_connection(&id, now)? {
                let subject = Subject { connection: Some(&id), label: None, lease: None };
                tx.append(&AuditEvent::of(&actor, Action::Forget, subject, Outcome::Done, now).unwrap())?;
            }
            Ok(())
        };
        self.change("forget", scope, work).await;
    }

    async fn switch(&self, at: usize, freezes: bool) {
        let (actor, now) = (self.borrowers.actor(self.owner(at)), self.vault.clock.now());
        let action = if freezes { Action::Freeze } else { Action::Unfreeze };
        let scope = actor.caller.scope(action).unwrap();
        let work = move |tx: &mut Tx| {
            tx.set_frozen(freezes, now)?;
            tx.append(&AuditEvent::of(&actor, action, Subject::default(), Outcome::Done, now).unwrap())
        };
        self.change("freeze", scope, work).await;
    }

    /// As a caller does it who is told that the database stands still: again, whatever came of it.
    async fn change(
        &self,
        name: &'static str,
        scope: Scope,
        work: impl FnOnce(&mut Tx) -> Result<(), StoreError> + Clone + Send + 'static,
    ) {
        let store = &self.stores[0];
        while let Err(told) = store.run(name, scope.clone(), Duration::from_secs(30), work.clone()).await {
            assert!(matches!(told, StoreError::Unavailable(_)), "{told}");
        }
    }

    fn owner(&self, at: usize) -> pawl::access::Caller {
        self.borrowers.caller((&org(at), "boss", "console"), "owner")
    }

    /// The chains, whole, one event an ask; and no loan after what forbids it.
    fn judge(&mut self) {
        for at in 0..ORGS {
            let (mut is_frozen, mut deleted) = (false, BTreeSet::new());
            let (mut lends, mut unanswered) = (0, 0);
            for event in chain_of(&self.vault.home, &org(at)) {
                let connection = event["connection.uid"].as_str().unwrap_or_default();
                match event["activity_name"].as_str().unwrap() {
                    "settings.freeze" => is_frozen = true,
                    "settings.unfreeze" => is_frozen = false,
                    "connection.forget" => drop(deleted.insert(connection.to_owned())),
                    "lease.unanswered" => unanswered += 1,
                    "lease.lend" => {
                        lends += 1;
                        let is_lent = event["status"] == "Success";
                        assert!(!is_lent || !is_frozen && !deleted.contains(connection), "{event}");
                    }
                    other => panic!("{other}"),
                }
            }
            let of = |counts: &BTreeMap<usize, usize>| counts.get(&at).copied().unwrap_or_default();
            let (recorded, in_doubt) = (of(&self.model.recorded), of(&self.model.in_doubt));
            assert!((recorded..=recorded + in_doubt).contains(&lends), "{at}: {recorded} {lends} {in_doubt}");
            assert!(unanswered <= lends - recorded, "{at}: {unanswered}");
        }
        let gaps = "FROM leases GROUP BY connection_id HAVING count(*) <> max(fence)";
        assert_eq!(self.sql.texts("connection_id", gaps), Vec::<String>::new());
    }
}

/// Another vault, in the middle of a transaction that holds an org.
struct Replica {
    _session: Sql,
    pid: String,
    killer: Sql,
}

impl Replica {
    fn stopped(vault: &Vault, at: usize) -> Self {
        use sha2::{Digest, Sha256};
        let digest = Sha256::new().chain_update("pawl/v1/chain").chain_update(org(at)).finalize();
        let lock = i64::from_be_bytes(digest[..8].try_into().unwrap());
        let (mut session, killer) = (vault.home.sql(), vault.home.sql());
        session.run(&format!(
            "BEGIN; SELECT pg_advisory_xact_lock({lock}); INSERT INTO audit_events (org_id, seq, event, prev_hash, hash) \
             SELECT org_id, seq + 1, event, hash, hash FROM audit_events WHERE org_id = '{}' ORDER BY seq DESC LIMIT 1",
            org(at)
        ));
        let pid = session.texts("pg_backend_pid()", "").remove(0);
        Self { _session: session, pid, killer }
    }

    fn end(mut self) {
        self.killer.run(&format!("SELECT pg_terminate_backend({})", self.pid));
    }
}

/// Attack on P4 and P8.
#[test]
fn whatever_is_asked_together_is_answered_as_if_one_by_one() {
    let is_long = std::env::var_os("TEST_LONG").is_some();
    let batches = if is_long { 10_000 } else { 200 };
    let mut world = World::new(7);
    for number in 1..=batches {
        world.batch(number);
    }
    world.judge();
    // A machine too slow for a deadline is no lane that lends nothing.
    let (granted, in_doubt) = (world.model.granted, world.model.in_doubt.values().sum::<usize>());
    eprintln!("{granted} granted, {in_doubt} told 503");
    assert!(granted > usize::try_from(batches).unwrap(), "{granted} granted, {in_doubt} told 503");
}
