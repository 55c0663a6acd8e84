//! Borrowers who ask a store of this process itself, beside a vault: whatever they ask, and however they leave.

use std::sync::Arc;
use std::time::Duration;

use pawl::access::{
    Action, Caller, Holder, Issuer, IssuerKey, KeyTerm, Policy, Principal, Role, Standing, Termed, Tokens,
};
use pawl::audit::{Actor, Call, GENESIS, link};
use pawl::clock::Clock;
use pawl::config::{Database, LANES, LeaseCaps};
use pawl::ids::{ClientId, ConnectionId, IdempotencyKey, LeaseId, OrgId, RequestId, RunId, UserId};
use pawl::secret::Secret;
use pawl::store::{LendAsk, Proof, Repeat, Store, Tables};

use serde_json::Value;

use crate::database::Sql;
use crate::harness::{ACCESS, Home};

/// A lend is answered within this.
pub const DEADLINE: Duration = Duration::from_millis(240);

/// Whoever makes callers of a store.
pub struct Borrowers {
    clock: Clock,
    tokens: Tokens,
    standing: Standing,
}

/// What a borrower wants.
pub struct Wish<'a> {
    pub connection: &'a str,
    pub purpose: &'static str,
    pub run: Option<&'a str>,
    /// Whether its credential opens where it lies is asked of this.
    pub proof: Proof,
}

impl<'a> Wish<'a> {
    /// For a credential that opens.
    pub fn of(connection: &'a str, purpose: &'static str) -> Self {
        Self { connection, purpose, run: None, proof: Box::new(|_| Ok(())) }
    }
}

impl Borrowers {
    pub fn new(clock: Clock) -> Self {
        let policy = Arc::new(Policy::parse(ACCESS).unwrap());
        let now = clock.now();
        let key = Arc::new(IssuerKey::generate(now).unwrap());
        let issuer = Issuer::new(vec![Termed { key, term: KeyTerm::from_now(now) }]);
        let standing = Standing::new(Arc::new(issuer), &[], None);
        let tokens = Tokens::new("urn:pawl".into(), policy, clock.clone());
        Self { clock, tokens, standing }
    }

    /// Somebody with this role.
    pub fn caller(&self, (org, user, client): (&str, &str, &str), role: &str) -> Caller {
        let tenant = Some((OrgId::parse(org).unwrap(), UserId::parse(user).unwrap()));
        let roles = vec![Role::parse(role).unwrap()];
        let holder = Holder { tenant, client: ClientId::parse(client).unwrap(), roles };
        let issued = self.tokens.issue(self.standing.issuer(), &holder, Duration::from_secs(900)).unwrap();
        match self.tokens.verify(issued.token.expose(), &self.standing).unwrap() {
            Principal::Caller(caller) => caller,
            Principal::Operator(_) => panic!("{role} acts for no org"),
        }
    }

    /// They, by a call of their own.
    pub fn actor(&self, caller: Caller) -> Actor {
        let request = RequestId::new(self.clock.now()).unwrap();
        Actor { caller, call: Call { request, address: None, trace: None } }
    }

    /// A worker's ask.
    pub fn ask(&self, who: (&str, &str, &str), wish: Wish) -> LendAsk {
        let (caller, at) = (self.caller(who, "worker"), self.clock.now());
        let permit = caller.permit(Action::of_lend(wish.purpose).unwrap()).unwrap();
        LendAsk {
            slot: pawl::audit::Slots::new(self.clock.clone()).take(None),
            scope: permit.own().clone(),
            actor: self.actor(caller),
            connection: ConnectionId::parse(wish.connection).unwrap(),
            purpose: wish.purpose,
            run: wish.run.map(|run| RunId::parse(run).unwrap()),
            ttl: Duration::from_secs(300),
            permit,
            lease: LeaseId::new(at).unwrap(),
            at,
            proof: wish.proof,
            missing: Vec::new(),
            repeat: None,
        }
    }
}

/// The name under which a request may come again.
pub fn named(key: &str, keyring: &pawl::seal::Keyring) -> Repeat {
    let said = pawl::seal::Said::of(&[b"lend"]);
    Repeat { key: IdempotencyKey::parse(key).unwrap(), marks: keyring.marks(&said) }
}

/// Another door to the database of a vault that is up.
pub fn store_of(home: &Home) -> Store {
    let of = |name: &str| home.settings().into_iter().find(|(of, _)| *of == name).map(|(_, value)| value);
    let sqlite = || format!("sqlite:{}", home.data().join("pawl.db").display());
    let address = of("PAWL_DATABASE_URL").unwrap_or_else(sqlite);
    open(&address)
}

/// The same by that address.
pub fn open(address: &str) -> Store {
    let caps = LeaseCaps { of_org: 100_000, of_connection: 100_000, events_per_day: 1_000_000 };
    Store::open(&Database::parse(Secret::new(address.to_owned())).unwrap(), Tables::Check, caps, LANES)
        .unwrap()
}

/// Waits for it, on a runtime of its own; for no work that it left behind, which may hang.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let come = runtime.block_on(future);
    runtime.shutdown_background();
    come
}

/// The chain of `org`, oldest event first: read beside the vault, and every link of it tried.
pub fn chain_of(home: &Home, org: &str) -> Vec<Value> {
    let mut sql = home.sql();
    let hex = |column: &str| match &sql {
        Sql::Sqlite(_) => format!("lower(hex({column}))"),
        #[cfg(feature = "postgres")]
        Sql::Postgres(_) => format!("encode({column}, 'hex')"),
    };
    let hashes = ["prev_hash", "hash"].map(hex);
    let from = format!("FROM audit_events WHERE org_id = '{org}' ORDER BY seq");
    let [seqs, events] = ["seq", "event"].map(|column| sql.texts(column, &from));
    let [previous, hashes] = hashes.map(|column| sql.texts(&column, &from));
    let id = OrgId::parse(org).unwrap();
    let mut last = GENESIS;
    for (at, event) in events.iter().enumerate() {
        let seq = i64::try_from(at).unwrap() + 1;
        assert_eq!(
            (seqs[at].as_str(), previous[at].as_str()),
            (&*seq.to_string(), &*last.to_string()),
            "{org}"
        );
        last = link(Some(&id), seq, &last, event.as_bytes());
        assert_eq!(hashes[at], last.to_string(), "{org} {seq}");
    }
    events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}
