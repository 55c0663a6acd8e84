//! What no caller can see from outside: that a change which takes a credential away is not answered
//! before a loan of it that is on its way out; and that a reading of the keys which breaks off is not the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::App;
use crate::access::{Limits, Principal};
use crate::audit::{Actor, Call};
use crate::clock::{Clock, Moment};
use crate::config::Config;
use crate::ids::{ClientId, ConnectionId, KeyId, OrgId, RequestId, UserId};
use crate::seal::{Found, KeyFile, KeySource, MasterKey, SourceRefused};
use crate::secret::Secret;
use crate::vault::keys::{Keys, Ring};
use crate::vault::{ChangeSettings, Deposit, HostSwitch, Lend, Parts, Replace, Reserve, Untold, Vault};

struct Opened {
    vault: Arc<Vault>,
    backend: Actor,
    worker: Actor,
    owner: Actor,
    _dir: tempfile::TempDir,
}

fn open() -> Opened {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").to_str().unwrap().to_owned();
    let settings = [("PAWL_DATA_DIR".to_owned(), data.into())];
    let clock = Clock::held(Moment::parse("2026-11-24T12:00:00Z").unwrap());
    let app = App::open(Config::from("", settings.into_iter()).unwrap(), clock.clone()).unwrap();
    let who = (OrgId::parse("acme").unwrap(), UserId::parse("ada").unwrap(), ClientId::parse("svc").unwrap());
    let actor = |role: &str| {
        let token = app.issue_token((&who.0, &who.1, &who.2), role, Duration::from_secs(60)).unwrap();
        let Ok(Principal::Caller(caller)) = app.tokens.verify(token.expose(), &app.standing.0) else {
            panic!("no caller")
        };
        let call = Call { request: RequestId::new(clock.now()).unwrap(), address: None, trace: None };
        Actor { caller, call }
    };
    let (backend, worker, owner) = (actor("backend"), actor("worker"), actor("owner"));
    let vault = Vault::new(Parts {
        switch: HostSwitch::open(&app.config.data_dir).unwrap().into(),
        limits: Limits::new(app.config.rates, &app.clock).into(),
        untold: Untold::new(app.clock.clone(), Reserve::of(&app.config)),
        store: app.store,
        ring: Ring::new(app.keys, app.keyring),
        guard: app.guard,
        readable: app.readable,
        clock: app.clock,
        witnesses: crate::vault::Witnesses::default(),
    });
    Opened { vault: Arc::new(vault), backend, worker, owner, _dir: dir }
}

async fn deposit(opened: &Opened) -> ConnectionId {
    let deposit = Deposit {
        url: Some("https://acme.odoo.com".into()),
        database: Some("acme".into()),
        username: Some("bot".into()),
        label: None,
        environment: None,
        kind: "password".into(),
        secret: Secret::new("first".into()),
        expires_at: None,
        check: false,
    };
    opened.vault.deposit(&opened.backend, deposit, None).await.unwrap().id
}

/// Attack on P4 and P8.
#[test]
fn a_change_that_takes_a_credential_away_is_answered_after_the_loan_on_its_way() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for how in ["replace", "forget", "freeze"] {
        let opened = open();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let id = deposit(&opened).await;
            let lend = Lend { purpose: "other".into(), ttl_seconds: None, run_id: None };
            let loan = opened.vault.lend(&opened.worker, id.clone(), lend, None).await.unwrap();

            let (vault, backend, gone) = (opened.vault.clone(), opened.backend.clone(), id.clone());
            let owner = opened.owner.clone();
            let change = tokio::task::spawn_local(async move {
                let new = Replace { secret: Secret::new("second".into()), expires_at: None };
                let freeze = ChangeSettings { frozen: Some(true), ..ChangeSettings::default() };
                match how {
                    "forget" => vault.forget(&backend, gone).await,
                    "replace" => vault.replace(&backend, gone, new, None).await.map(drop),
                    _ => vault.change_settings(&owner, freeze, None).await.map(drop),
                }
            });
            let show = || opened.vault.show(&opened.backend, id.clone());
            while show().await.is_ok_and(|stored| stored.revision.number() == 1 && stored.state == "active") {
            }
            // It is durable, and has every chance to be answered meanwhile.
            for _ in 0..200 {
                let _ = show().await;
                tokio::task::yield_now().await;
            }
            assert!(!change.is_finished(), "{how}");
            drop(loan);
            change.await.unwrap().unwrap();
        });
    }
}

/// Attack on P8.
#[test]
fn what_is_forgotten_is_buried_also_where_who_asked_has_gone() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let opened = open();
    let log = opened._dir.path().join("data/pawl.db-wal");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let id = deposit(&opened).await;
        let lend = Lend { purpose: "other".into(), ttl_seconds: None, run_id: None };
        let loan = opened.vault.lend(&opened.worker, id.clone(), lend, None).await.unwrap();
        let (vault, backend, gone) = (opened.vault.clone(), opened.backend.clone(), id.clone());
        let forget = tokio::task::spawn_local(async move { vault.forget(&backend, gone).await });
        while opened.vault.show(&opened.backend, id.clone()).await.is_ok() {}
        forget.abort();
        assert!(forget.await.unwrap_err().is_cancelled());
        // A repeat waits for the loan on its way, like the first.
        let (vault, backend, gone) = (opened.vault.clone(), opened.backend.clone(), id.clone());
        let again = tokio::task::spawn_local(async move { vault.forget(&backend, gone).await });
        for _ in 0..200 {
            let _ = opened.vault.show(&opened.backend, id.clone()).await;
            tokio::task::yield_now().await;
        }
        assert!(!again.is_finished() && std::fs::metadata(&log).unwrap().len() > 0);
        drop(loan);
        assert!(again.await.unwrap().is_err());
        while std::fs::metadata(&log).unwrap().len() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

/// A key file whose reader panics while it is told to.
struct Breaks {
    file: KeyFile,
    now: AtomicBool,
}

impl KeySource for Breaks {
    fn name(&self) -> String {
        self.file.name()
    }

    fn read(&self, known: &[KeyId]) -> Result<Found, SourceRefused> {
        assert!(!self.now.load(Ordering::SeqCst), "the reader breaks off");
        self.file.read(known)
    }

    fn make(&self, id: &KeyId) -> Result<MasterKey, SourceRefused> {
        self.file.make(id)
    }

    fn destroy(&self, id: &KeyId) -> Result<(), SourceRefused> {
        self.file.destroy(id)
    }
}

/// Attack on P3 and P10.
#[test]
fn a_reading_of_the_keys_that_breaks_off_is_not_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let settings = [("PAWL_DATA_DIR".to_owned(), data.clone().into())];
    let app = App::open(Config::from("", settings.into_iter()).unwrap(), Clock::system()).unwrap();
    let file = KeyFile::at(&data.join("master.json"));
    let source = Arc::new(Breaks { file, now: AtomicBool::new(true) });
    let ring = Ring::new(Keys::new(app.store, source.clone(), app.clock), app.keyring);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(ring.refresh());
    assert!(ring.is_stale());
    source.now.store(false, Ordering::SeqCst);
    runtime.block_on(ring.refresh());
    assert!(!ring.is_stale(), "it was not read again");
}
